"""The plain versions of the uncertainties: a score for every eligible row, higher = ask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import entr
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from ..kernels import Floats
from .ground import Ground
from .version import PASSES, Array, Version

_GRADIENT_ROWS = 256


def least_confidence(p: Floats, mode: str) -> Floats:
    """1 - max p, or the negative log of the most likely set of classes: (n,) from (n, C)."""
    return np.asarray(1.0 - p.max(axis=1) if mode == "single" else -np.log(np.maximum(p, 1.0 - p)).sum(axis=1))


def margin(p: Floats, mode: str) -> Floats:
    """1 - (p1 - p2), or the mean of 1 - |2p - 1|."""
    if mode == "multi":
        return np.asarray((1.0 - np.abs(2.0 * p - 1.0)).mean(axis=1))
    ordered = np.sort(p, axis=1)
    return np.asarray(1.0 - (ordered[:, -1] - ordered[:, -2]))


def entropy(p: Floats, mode: str) -> Floats:
    """Entropy over the classes, or the mean binary entropy."""
    p = np.clip(p, 1e-12, 1.0 - 1e-7)
    if mode == "single":
        return np.asarray(-(p * np.log(p)).sum(axis=1))
    return np.asarray(-(p * np.log(p) + (1.0 - p) * np.log(1.0 - p)).mean(axis=1))


def errors(p: Floats, mode: str) -> Floats:
    """Probabilities less the pseudo-labels (n, C)."""
    guess = (p > 0.5) if mode == "multi" else np.eye(p.shape[1], dtype=bool)[p.argmax(axis=1)]
    return (p - guess).astype(np.float32)


def forward_passes(ground: Ground, rows: Floats, passes: int, dropout: float) -> list[Floats]:
    """Logits (n, C) of each pass: standardise, drop, one product; every row with a mask of its own."""
    head = ground.head
    inputs = (torch.from_numpy(rows) - head.mean) * head.scale
    return [
        functional.linear(
            functional.dropout(inputs, dropout, training=True), head.output_weight, head.output_bias
        ).numpy()
        for _ in range(passes)
    ]


def probabilities(logits: Floats, mode: str) -> Floats:
    """Softmax over the last axis, or sigmoids."""
    scores = torch.from_numpy(logits)
    return np.asarray((scores.softmax(dim=-1) if mode == "single" else scores.sigmoid()).numpy())


def _of_probabilities(score: Callable[[Floats, str], Floats], what: str = "numpy") -> Version:
    def make(ground: Ground) -> Callable[[], Array]:
        p = ground.told.probabilities[ground.pool.eligible]
        return lambda: score(p, ground.setting.mode)

    return Version(make, what, exact=True)


def _disagreement(ground: Ground) -> Callable[[], Array]:
    """BALD: the entropy of the mean less the mean entropy over the passes."""
    rows, mode = ground.dense[ground.pool.eligible], ground.setting.mode

    def score() -> Array:
        p = probabilities(np.stack(forward_passes(ground, rows, PASSES, ground.head.dropout)), mode)
        return np.asarray(entropy(p.mean(axis=0), mode) - np.mean([entropy(one, mode) for one in p], axis=0))

    return score


def _disagreement_and_noise(ground: Ground) -> Callable[[], Array]:
    """PowerBALD: its logarithm and Gumbel noise."""
    score, rng = _disagreement(ground), np.random.default_rng(0)
    return lambda: np.log(np.maximum(score(), 1e-12)) + rng.gumbel(size=len(ground.pool.eligible))


def _change(ground: Ground) -> Callable[[], Array]:
    """TPD: how far the probabilities have moved since the round before."""
    rows, previous = ground.pool.eligible, ground.told.previous
    assert previous is not None
    return lambda: np.asarray(np.linalg.norm(ground.told.probabilities[rows] - previous[rows], axis=1))


def _expected_loss(ground: Ground) -> Callable[[], Array]:
    """LL: what the learner has predicted."""
    losses = ground.told.losses
    assert losses is not None
    return lambda: losses[ground.pool.eligible]


def _gradient_norms(ground: Ground) -> Callable[[], Array]:
    """MGE: the gradient of the last layer for every row, by autograd over some rows at a time."""
    head, mode, eligible = ground.head, ground.setting.mode, ground.pool.eligible

    def loss(weight: torch.Tensor, bias: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        logits = functional.linear(feature, weight, bias)
        if mode == "single":
            return functional.cross_entropy(logits, logits.argmax().detach())
        return functional.binary_cross_entropy_with_logits(logits, (logits > 0).float(), reduction="sum")

    of_rows = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(None, None, 0))

    def score() -> Array:
        found: list[Array] = []
        for start in range(0, len(eligible), _GRADIENT_ROWS):
            rows = torch.from_numpy(ground.dense[eligible[start : start + _GRADIENT_ROWS]])
            weight, bias = of_rows(head.output_weight, head.output_bias, (rows - head.mean) * head.scale)
            found.append((weight.square().sum(dim=(1, 2)) + bias.square().sum(dim=1)).sqrt().numpy())
        return np.concatenate(found)

    return score


def _unlike_and_unsure(ground: Ground) -> Callable[[], Array]:
    """CVIRS: ranks of |2p - 1|, times the mean entropy distance of the predicted set to each labelled one in turn."""
    p, labelled = ground.told.probabilities[ground.pool.eligible], ground.pool.targets
    assert labelled is not None

    def score() -> Array:
        ranks = rankdata(np.abs(2.0 * p - 1.0), method="min", axis=0)
        unsure = (len(p) - ranks).sum(axis=1) / (p.shape[1] * (len(p) - 1))
        predicted = p > 0.5
        return np.asarray(unsure * np.mean([_entropy_distance(predicted, one > 0) for one in labelled], axis=0))

    return score


def _entropy_distance(sets: Array, other: Array) -> Array:
    """Between label sets (n, C) and one (C,), 1 where they are opposites."""
    cells = [(sets == a) & (other == b) for a in (False, True) for b in (False, True)]
    joint = entr(np.stack([cell.mean(axis=1) for cell in cells])).sum(axis=0)
    alone = [entr(share) + entr(1.0 - share) for share in (sets.mean(axis=1), other.mean())]
    distances = np.divide(2.0 * joint - alone[0] - alone[1], joint, out=np.zeros_like(joint), where=joint > 0)
    return np.where((sets != other).all(axis=1), 1.0, distances)


def _expected_errors(ground: Ground) -> Callable[[], Array]:
    """MMC: the number of classes by logistic regression, then the probability of being wrong in each."""
    ordered = -np.sort(-ground.told.probabilities.astype(np.float64), axis=1)
    shares = ordered / ordered.sum(axis=1, keepdims=True)
    pool = ground.pool
    assert pool.targets is not None
    counts = pool.targets.sum(axis=1)

    def score() -> Array:
        model = LogisticRegression(max_iter=1000).fit(shares[pool.labelled], counts)
        present = np.arange(ordered.shape[1]) < model.predict(shares[pool.eligible])[:, None]
        return np.asarray(np.where(present, 1.0 - ordered[pool.eligible], ordered[pool.eligible]).sum(axis=1))

    return score


SCORES = {
    "least_confidence": _of_probabilities(least_confidence),
    "margin": _of_probabilities(margin),
    "entropy": _of_probabilities(entropy),
    "bald": Version(_disagreement, "forward passes"),
    "power_bald": Version(_disagreement_and_noise, "forward passes"),
    "ll": Version(_expected_loss, "numpy", exact=True),
    "tpd": Version(_change, "numpy", exact=True),
    "mge": Version(_gradient_norms, "autograd", exact=True),
    "cvirs": Version(_unlike_and_unsure, "a loop over the labelled", exact=True),
    "mmc": Version(_expected_errors, "numpy and scikit-learn", exact=True),
}
"""By the name of the query function."""
