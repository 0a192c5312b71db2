"""How good an encoder is already: do a tile's nearest neighbours have its class? No label reaches the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ..knn import knn_votes

FEWEST_LABELS = 10
_MOST = 5000
_TOGETHER = 256
_QUERIES = 0.2


def knn_accuracy(features: Callable[[NDArray[np.int64]], torch.Tensor], labels: NDArray[np.int64], seed: int) -> float:
    """The share of tiles whose class the majority of their nearest neighbours have, see :func:`..knn.knn_votes`.

    Some thousand labelled rows are drawn by the seed; a fifth of them are asked about, the others answer.

    Args:
        features: rows (n,) to features (n, F).
        labels: (N,), below 0 where not known; :data:`FEWEST_LABELS` or more are known.
        seed: always the same rows.
    """
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))[:_MOST]
    parts = np.array_split(rows, -(-len(rows) // _TOGETHER))
    vectors = torch.cat([features(part) for part in parts])
    asked = round(_QUERIES * len(rows))
    classes, targets = np.unique(labels[rows], return_inverse=True)
    votes = torch.eye(len(classes), device=vectors.device)[torch.from_numpy(targets[asked:]).to(vectors.device)]
    predicted = knn_votes(vectors[:asked], vectors[asked:], votes).argmax(dim=1).cpu().numpy()
    return float((predicted == targets[:asked]).mean())
