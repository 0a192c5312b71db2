"""Which tiles an encoder is taught to find alike besides a tile's own views: its nearest neighbours.

Two views of one tile say that a field is itself, whatever the light and the crop. They do not say that another field is
a field, too. Once the network sees a little, a tile's nearest neighbours mostly are of its class (nine in ten of the
five nearest on EuroSAT), so that a view of a neighbour is a better second view than one of the tile itself: the classes
draw together, and a few labels tell more. Dwibedi et al. 2021 (NNCLR) take neighbours as positives, from a queue;
Van Gansbeke et al. 2020 (SCAN, section 2.2) mine them among all images with a trained network, as here.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..encoders.whitening import measure_whitening
from ..kernels import nearest_others

_CANDIDATES = 20_000
"""Tiles among which neighbours are looked for: enough for close ones, and time grows with the number of tiles alone."""


def mine_neighbours(features: torch.Tensor, count: int, seed: int) -> NDArray[np.int64]:
    """The nearest others of each tile, by the angle between their whitened features.

    Args:
        features: (N, F) float32, N at least 2.
        count: K, cut to what there is.
        seed: which tiles may be neighbours, where there are very many.

    Returns:
        Rows (N, K), never the tile's own.
    """
    candidates = np.sort(np.random.default_rng(seed).permutation(len(features))[:_CANDIDATES])
    unit = functional.normalize(measure_whitening(features[candidates])(features.cpu()), dim=1)
    rows = np.arange(len(unit))
    return nearest_others(unit.numpy(), rows, candidates, count, device=features.device.type)[0]
