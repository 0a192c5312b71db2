"""How good predictions are, on tiles whose answers the learner has not seen."""

from __future__ import annotations

import numpy as np

MULTI_THRESHOLD = 0.5


def scores(probabilities: np.ndarray, targets: np.ndarray, mode: str) -> dict[str, float]:
    """Scores of ``probabilities (V, C)`` against the answers.

    Single-label targets are ``(V,)`` positions: ``accuracy`` and ``macro_f1`` (over classes that occur). Multi-label
    targets are ``(V, C)`` 0/1: ``micro_f1``, ``macro_f1`` and ``accuracy``, the share of tiles with every class right;
    ``mean_average_precision`` over classes that occur looks at the order of the probabilities, not at a threshold.
    """
    from sklearn.metrics import average_precision_score, f1_score

    if mode == "single":
        predicted = probabilities.argmax(axis=1)
        occurring = np.unique(targets)
        return {
            "accuracy": float((predicted == targets).mean()),
            "macro_f1": float(f1_score(targets, predicted, labels=occurring, average="macro", zero_division=0)),
        }
    decided = probabilities > MULTI_THRESHOLD
    truth = targets > 0
    occurring = np.flatnonzero(truth.any(axis=0))
    # A tile that cannot be predicted has NaN, and stands behind all others.
    ranked = np.nan_to_num(probabilities, nan=-1.0)
    precisions = [float(average_precision_score(truth[:, column], ranked[:, column])) for column in occurring]
    return {
        "micro_f1": float(f1_score(truth, decided, average="micro", zero_division=0)),
        "macro_f1": float(f1_score(truth, decided, labels=occurring, average="macro", zero_division=0)),
        "accuracy": float((decided == truth).all(axis=1).mean()),
        "mean_average_precision": sum(precisions) / max(len(precisions), 1),
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
