"""What predictions say of each tile, and how good that is on tiles whose answers the learner has not seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MULTI_THRESHOLD = 0.5


def seen_classes(targets: NDArray[Any], n_classes: int) -> NDArray[np.bool_]:
    """Which classes (C,) have at least one label, by targets (L,) of positions or (L, C) of 0 and 1."""
    if targets.ndim == 1:
        return np.isin(np.arange(n_classes), targets)
    return np.asarray(targets.any(axis=0))


def decide(probabilities: NDArray[Any], mode: str, seen: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which classes each row of ``probabilities`` (N, C) is said to have, (N, C): what a map shows, and what is scored.

    Single-label: the most probable class. Multi-label: every class above 0.5. Never one that nobody has labelled yet,
    where ``seen`` (C,) says which are (by default all), and none where the probability is NaN: so a tile that cannot be
    predicted has no class at all.
    """
    possible = ~np.isnan(probabilities) if seen is None else seen & ~np.isnan(probabilities)
    known = np.where(possible, probabilities, -np.inf)
    if mode == "multi":
        return np.asarray(known > MULTI_THRESHOLD)
    decided = np.zeros(known.shape, bool)
    decided[np.arange(len(known)), known.argmax(axis=1)] = True
    return np.asarray(decided & possible)


def position_of(decided: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The one class that each row of single-label decisions (N, C) has, (N,); -1 where it has none."""
    return np.where(decided.any(axis=1), decided.argmax(axis=1), -1)


def scores(
    probabilities: NDArray[Any], targets: NDArray[Any], mode: str, seen: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Scores of ``probabilities (V, C)`` against the answers, by what :func:`decide` makes of them and ``seen`` (C,).

    Single-label targets are ``(V,)`` positions: ``accuracy`` and ``macro_f1`` (over classes that occur). Multi-label
    targets are ``(V, C)`` 0/1: ``micro_f1``, ``macro_f1`` and ``accuracy``, the share of tiles with every class right;
    ``mean_average_precision`` over classes that occur looks at the order of the probabilities, not at a threshold.
    A mean over classes is NaN where no class occurs.
    """
    from sklearn.metrics import average_precision_score, f1_score

    decided = decide(probabilities, mode, seen)
    if mode == "single":
        predicted = position_of(decided)
        occurring = np.unique(targets)
        return {
            "accuracy": float((predicted == targets).mean()),
            "macro_f1": float(f1_score(targets, predicted, labels=occurring, average="macro", zero_division=0)),
        }
    truth = targets > 0
    occurring = np.flatnonzero(truth.any(axis=0))
    # A tile that cannot be predicted has NaN, and stands behind all others.
    ranked = np.nan_to_num(probabilities, nan=-1.0)
    precisions = [float(average_precision_score(truth[:, column], ranked[:, column])) for column in occurring]
    return {
        "micro_f1": float(f1_score(truth, decided, average="micro", zero_division=0)),
        "macro_f1": float(f1_score(truth, decided, labels=occurring, average="macro", zero_division=0)),
        "accuracy": float((decided == truth).all(axis=1).mean()),
        "mean_average_precision": sum(precisions) / len(precisions) if precisions else math.nan,
    }


def uncertainty(probabilities: np.ndarray, mode: str) -> np.ndarray:
    """How undecided each row of ``probabilities (N, C)`` is, from 0 (certain) to 1 (no idea): ``(N,)`` float32.

    Single-label: entropy over log C. Multi-label: mean binary entropy in bits.
    """
    p = np.clip(probabilities, 1e-7, 1.0)
    if mode == "single":
        n_classes = max(p.shape[1], 2)
        return np.asarray(-(p * np.log(p)).sum(axis=1) / np.log(n_classes), np.float32)
    q = np.clip(1.0 - probabilities, 1e-7, 1.0)
    return np.asarray(-(p * np.log2(p) + q * np.log2(q)).mean(axis=1), np.float32)
