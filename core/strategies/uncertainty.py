"""Query functions that look at the probabilities only."""

from __future__ import annotations

import numpy as np

from ..kernels import Floats
from .base import Pool, Predictions, Request, Selection, Strategy, Utilities, highest


def choose_margin(pool: Pool, request: Request) -> Selection:
    """The tiles whose classes are hardest to tell apart.

    Single-label: utility 1 - (p1 - p2), with p1 and p2 the two highest probabilities. Multi-label: the mean over
    classes of 1 - |2p - 1|. Both are 0 when certain and 1 when undecided.
    """
    assert pool.predictions is not None
    probabilities = pool.predictions.probabilities[pool.eligible]
    utilities = margin(probabilities, pool.predictions.mode)
    order = highest(utilities, request.budget)
    reasons = tuple(doubt(pool.predictions, probabilities[i]) for i in order)
    return Selection(pool.eligible[order], utilities[order], reasons)


def margin(probabilities: Floats, mode: str) -> Utilities:
    """Closeness of the decision (n,), 0-1, from probabilities (n, C)."""
    p = probabilities.astype(np.float64)
    if mode == "multi":
        return np.asarray(np.mean(1.0 - np.abs(2.0 * p - 1.0), axis=1))
    if p.shape[1] == 1:
        return np.zeros(len(p))
    top = np.partition(p, p.shape[1] - 2, axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]))


def doubt(predictions: Predictions, probabilities: Floats) -> str:
    """For the analyst: the two classes between which one tile (C,) lies, or whose presence is least clear."""
    score = -np.abs(probabilities - 0.5) if predictions.mode == "multi" else probabilities
    named = [f"{predictions.name_of(int(c))} {probabilities[c]:.2f}" for c in highest(score, 2)]
    return "unsure: " + (", " if predictions.mode == "multi" else " or ").join(named)


STRATEGIES = (
    Strategy(
        "margin",
        choose_margin,
        "Tiles whose classes are hardest to tell apart: hard to beat once every class was seen.",
        "Scheffer et al. 2001 (best versus second best); multi-label: mean binary margin",
        "nothing",
        needs=frozenset({"predictions"}),
    ),
)
