"""BADGE: tiles that would change the learner most, each in another direction.

The gradient embedding of a tile is the gradient of the loss on the learner's last layer, taken as if its prediction
were true: the outer product of the layer's input z and the error D = p - y. Its length says how much the tile would
teach, its direction what. k-means++ seeds in that space are long and far apart. The matrices themselves (N, C d) are
never made: distances between outer products have a closed form, see :class:`..kernels.GradientSpace`.
"""

from __future__ import annotations

import numpy as np

from ..catalogue import Mode
from ..kernels import Floats, GradientSpace, d2_sampling, squared_norms
from .base import Pool, Request, Selection, Strategy, highest
from .uncertainty import doubt


def choose_badge(pool: Pool, request: Request) -> Selection:
    """The tile with the longest gradient embedding, then D2 sampling among them.

    The utility is the distance between a tile's gradient embedding and the nearest one picked before it, for the first
    its length. Distances that are drawn may rise again, so it is the smallest so far: the gap that all picks up to
    this one keep. The order is that of the draws, because then the first few picks are BADGE with a smaller budget.
    Where all that is left is a duplicate or certain, the longest gradients fill up, at utility 0.
    """
    assert pool.predictions is not None
    predictions = pool.predictions
    features = predictions.features if predictions.features is not None else pool.embeddings.__getitem__
    space = GradientSpace(features, errors(predictions.probabilities, predictions.mode), request.device)
    norms = squared_norms(space, pool.eligible, monitor=request.monitor.part(0.0, 0.3))
    picks, squared = d2_sampling(
        space,
        pool.eligible,
        request.budget,
        request.rng,
        first=int(np.argmax(norms)),
        monitor=request.monitor.part(0.3, 1.0),
    )
    squared[0] = norms.max()
    gaps = np.sqrt(np.minimum.accumulate(squared).astype(np.float64))
    left = np.flatnonzero(~np.isin(pool.eligible, picks))
    more = pool.eligible[left[highest(norms[left], request.budget - len(picks))]]
    chosen = np.concatenate([picks, more])
    return Selection(chosen, np.concatenate([gaps, np.zeros(len(more))]), tuple(_reason(pool, row) for row in chosen))


def errors(probabilities: Floats, mode: Mode) -> Floats:
    """D (N, C): probabilities minus what they predict, the likeliest class ("single") or all above 0.5 ("multi")."""
    if mode == "multi":
        return np.asarray(probabilities - (probabilities > 0.5), dtype=np.float32)
    difference = np.array(probabilities, dtype=np.float32)
    difference[np.arange(len(difference)), probabilities.argmax(axis=1)] -= 1.0
    return difference


def _reason(pool: Pool, row: int) -> str:
    """For the analyst."""
    assert pool.predictions is not None
    return f"{doubt(pool.predictions, pool.predictions.probabilities[row])}; would teach what the other picks do not"


STRATEGIES = (
    Strategy(
        "badge",
        choose_badge,
        "Unsure tiles that would each teach something else; no setting to choose.",
        "Ash et al. 2020, algorithm 1 (BADGE); multi-label: pseudo-labels 1[p > 0.5]",
        "two looks at all tiles, then lazily; the number of classes hardly matters",
        needs=frozenset({"predictions"}),
    ),
)
