"""Uncertainties that have a meaning only where a tile may have any number of classes: CVIRS and MMC.

Both compare with the answers so far, ``Pool.targets``, which a margin or an entropy does not.

*CVIRS*, category vector inconsistency and ranking of scores (Reyes, Morell and Ventura 2018), is the product of

* s(i), how unsure the learner is of tile i: in each class the tiles are ranked by |2p - 1|, the smallest first, and
  the ranks are summed by Borda's rule: s(i) = sum over classes of (U - rank) / (C (U - 1));
* v(i), how unlike the predicted set of classes is to those answered so far: the mean over the labelled tiles j of
  f(i, j), which is the normalised entropy distance (2 H(i, j) - H(i) - H(j)) / H(i, j) of the two sets as vectors of C
  bits, but 1 where the sets have nothing in common and miss nothing together (a Hamming distance of 1), because the
  entropy distance of a vector to its opposite is 0.

*MMC*, maximum loss reduction with maximal confidence (Yang et al. 2009), asks where the learner expects to be wrong in
most classes, if it is right about their number: sum over classes of (1 - y f) / 2, with f = 2p - 1 in place of the
support vector machine's output, and y = 1 for the m most likely classes, else -1. The number m comes from a logistic
regression on the sorted probabilities, trained on the labelled tiles.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LearningError
from ..kernels import Floats, Indices
from .base import Need, Pool, Request, Utilities
from .composition import Uncertainty, row_by_row, strategies_of, told
from .uncertainty import doubt

_ARRAYS = 3
"""Arrays (n, m) that :func:`set_distances` holds at once."""
_MOST_STEPS = 1000
"""Iterations of the logistic regression: some dozens are usual, more than these mean nothing."""


def score_cvirs(pool: Pool, request: Request) -> Utilities:
    """s(i) v(i) of the module's text."""
    targets = _targets(pool, "cvirs")
    predictions = told(pool)
    sets, counts = np.unique(targets, axis=0, return_counts=True)

    def inconsistency(rows: Indices) -> Utilities:
        predicted = predictions.probabilities[rows] > 0.5
        return np.asarray(set_distances(predicted, sets) @ counts / len(targets))

    width = _ARRAYS * max(len(sets), targets.shape[1])
    return np.asarray(ranking_of_scores(pool, request) * row_by_row(pool, request, width, inconsistency))


def ranking_of_scores(pool: Pool, request: Request) -> Utilities:
    """s(i) of every eligible tile (U,), 0 to 1; equal probabilities have equal ranks, the best of them."""
    from scipy.stats import rankdata  # takes half a second to import, and only this function needs it

    probabilities = told(pool).probabilities
    count, classes = len(pool.eligible), probabilities.shape[1]
    surer = np.zeros(count)
    for column in range(classes):
        request.monitor.advance(column / classes, "Ranking the tiles")
        certainty = np.abs(2.0 * probabilities[pool.eligible, column].astype(np.float64) - 1.0)
        surer += count - rankdata(certainty, method="min")
    return np.asarray(surer / (classes * (count - 1)))


def set_distances(ones: NDArray[Any], others: NDArray[Any]) -> Utilities:
    """f(i, j) (n, m), 0 to 1, between two lists of label sets (n, C) and (m, C) of 0 and 1."""
    one, other = ones.astype(np.float64), others.astype(np.float64)
    both = (one @ other.T).astype(np.intp)
    sizes, other_sizes = one.sum(axis=1).astype(np.intp), other.sum(axis=1).astype(np.intp)
    return np.asarray(_distance_table(ones.shape[1])[sizes[:, None], other_sizes, both])


@lru_cache(maxsize=2)
def _distance_table(classes: int) -> Utilities:
    """f (C + 1, C + 1, C + 1) by the sizes of two sets and of what they share, on which alone it depends."""
    share = np.arange(classes + 1) / classes
    terms = -share * np.log2(share, out=np.zeros_like(share), where=share > 0)
    size, other_size, both = np.ogrid[: classes + 1, : classes + 1, : classes + 1]
    unlike = size + other_size - 2 * both
    cells = (both, size - both, other_size - both, classes - both - unlike)
    # Not all combinations exist; what is read of the others is never asked for.
    joint = sum((terms[np.clip(cell, 0, classes)] for cell in cells), start=np.zeros(1))
    # In this order the rounding of equal sets is that of their joint entropy, so their distance is exactly 0.
    alone = (terms[size] + terms[classes - size]) + (terms[other_size] + terms[classes - other_size])
    distances = np.divide(2.0 * joint - alone, joint, out=np.zeros_like(joint), where=joint > 0)
    distances[unlike == classes] = 1.0
    distances.flags.writeable = False
    return np.asarray(distances)


def score_mmc(pool: Pool, request: Request) -> Utilities:
    """The number of classes in which the learner expects to be wrong."""
    targets = _targets(pool, "mmc")
    probabilities = told(pool).probabilities
    request.monitor.advance(0.0, "Learning how many classes a tile has")
    predict = _size_predictor(probabilities[pool.labelled], targets.sum(axis=1).astype(np.int64))

    def expected_errors(rows: Indices) -> Utilities:
        p = probabilities[rows]
        return loss_reduction(p, predict(p))

    return row_by_row(pool, request, probabilities.shape[1], expected_errors)


def loss_reduction(probabilities: Floats, sizes: Indices) -> Utilities:
    """sum over classes of (1 - y f) / 2 (n,) from (n, C), where the ``sizes`` (n,) most likely classes have y = 1."""
    p = -np.sort(-probabilities.astype(np.float64), axis=1)
    present = np.arange(p.shape[1]) < sizes[:, None]
    return np.asarray(np.where(present, 1.0 - p, p).sum(axis=1))


def _size_predictor(probabilities: Floats, sizes: Indices) -> Any:
    """A function from probabilities (n, C) to numbers of classes (n,), learnt from labelled tiles."""
    if len(np.unique(sizes)) == 1:
        return lambda p: np.full(len(p), sizes[0])
    # Takes a second to import, and only this function needs it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=_MOST_STEPS).fit(_sorted_shares(probabilities), sizes)
    return lambda p: model.predict(_sorted_shares(p))


def _sorted_shares(probabilities: Floats) -> Utilities:
    """Probabilities (n, C), the highest first, divided by their sum."""
    p = -np.sort(-probabilities.astype(np.float64), axis=1)
    return np.asarray(p / np.maximum(p.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny))


def _targets(pool: Pool, name: str) -> NDArray[Any]:
    """The answers so far (L, C).

    Raises:
        LearningError: the caller did not hand them over.
    """
    if pool.targets is None:
        raise LearningError(
            f"{name} compares with the answers so far, and was not told them.",
            hint="Hand over the targets of the labelled tiles, or use another query function, for example margin.",
        )
    return pool.targets


def _reason_cvirs(pool: Pool, row: int, _score: float) -> str:
    return f"{doubt(told(pool), told(pool).probabilities[row])}; this set of classes is unlike those labelled"


def _reason_mmc(pool: Pool, row: int, score: float) -> str:
    return f"{doubt(told(pool), told(pool).probabilities[row])}; {score:.2g} of its classes may be wrong"


_NEEDS: frozenset[Need] = frozenset({"labels", "predictions"})

UNCERTAINTIES = (
    Uncertainty(
        "cvirs",
        score_cvirs,
        _reason_cvirs,
        "Tiles with classes in doubt, in combinations unlike those labelled",
        "doubt and novelty in one number",
        "Reyes, Morell and Ventura 2018 (category vector inconsistency, ranking of scores)",
        "sorting all tiles for each class, and comparing each tile with the sets of classes labelled",
        _NEEDS,
        ("multi",),
    ),
    Uncertainty(
        "mmc",
        score_mmc,
        _reason_mmc,
        "Tiles that are expected to be wrong in most classes, given how many they have",
        "favours tiles with many classes in doubt",
        "Yang et al. 2009 (maximum loss reduction with maximal confidence)",
        "the probabilities of all tiles",
        _NEEDS,
        ("multi",),
    ),
)

STRATEGIES = tuple(strategy for uncertainty in UNCERTAINTIES for strategy in strategies_of(uncertainty))
