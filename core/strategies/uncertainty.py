"""Uncertainties that have a meaning for one class a tile and for any number of classes a tile.

First the scores as plain functions of arrays, then as functions of a pool, then their registration, from which
:mod:`.composition` makes the query functions ``NAME`` and ``NAME+clustering``. In multi-label mode each class is a
question of its own with two answers.

Notation: p the probabilities of a tile, C classes, t random versions of the learner, h the input of its last layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr

from ..catalogue import Mode, Within
from ..kernels import Device, Floats, Indices, gather, probabilities_of
from .base import Need, Pool, Predictions, Request, Utilities, highest
from .composition import Uncertainty, row_by_row, strategies_of, told

_FAINTEST = 1e-6
"""Disagreement below this is the rounding of float32 probabilities, and its logarithm would be noise."""


def least_confidence(probabilities: Floats, mode: Mode) -> Utilities:
    """How little the learner believes in its own answer: (n,) from (n, C).

    Single-label: 1 - max p. Multi-label: the answer is a set of classes, believed with the product of max(p, 1 - p);
    the score is minus its logarithm, because the product of many classes is too small to be subtracted from 1.
    """
    p = probabilities.astype(np.float64)
    if mode == "single":
        return np.asarray(1.0 - p.max(axis=1))
    return np.asarray(-np.log(np.maximum(p, 1.0 - p)).sum(axis=1))


def margin(probabilities: Floats, mode: Mode) -> Utilities:
    """Closeness of the decision (n,), 0 when certain to 1 when undecided, from (n, C).

    Single-label: 1 - (p1 - p2), with p1 and p2 the two highest. Multi-label: the mean over classes of 1 - |2p - 1|.
    """
    p = probabilities.astype(np.float64)
    if mode == "multi":
        return np.asarray(np.mean(1.0 - np.abs(2.0 * p - 1.0), axis=1))
    if p.shape[1] == 1:
        return np.zeros(len(p))
    top = np.partition(p, p.shape[1] - 2, axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]))


def entropy(probabilities: Floats, mode: Mode) -> Utilities:
    """Shannon's entropy in bits (n,), of p ("single") or the mean of that of each class ("multi"), from (n, C)."""
    bits = _bits(probabilities, mode)
    return np.asarray(bits.sum(axis=1) if mode == "single" else bits.mean(axis=1))


def disagreement(passes: Floats, mode: Mode) -> Utilities:
    """What the answer would tell of the learner, in bits: H[mean p] - mean H[p] (n,), from (t, n, C).

    Multi-label: the sum of that over the classes.
    """
    mean = passes.mean(axis=0, dtype=np.float64)
    gain = (_bits(mean, mode) - _bits(passes, mode).mean(axis=0)).sum(axis=1)
    return np.asarray(np.maximum(gain, 0.0))


def error_length(probabilities: Floats, mode: Mode) -> Utilities:
    """The length (n,) of p minus what p is rounded to, the derivative of the loss by the logits, from (n, C).

    Single-label: p - onehot(argmax p). Multi-label: p - 1[p > 0.5], that is min(p, 1 - p).
    """
    p = probabilities.astype(np.float64)
    if mode == "multi":
        return np.asarray(np.linalg.norm(np.minimum(p, 1.0 - p), axis=1))
    p[np.arange(len(p)), p.argmax(axis=1)] -= 1.0
    return np.asarray(np.linalg.norm(p, axis=1))


def discrepancy(now: Floats, before: Floats) -> Utilities:
    """The length (n,) of what changed between two rounds' probabilities (n, C); what is NaN before does not count."""
    return np.asarray(np.linalg.norm(_changes(now, before), axis=1))


def doubt(predictions: Predictions, probabilities: Floats) -> str:
    """For the analyst: the two classes between which one tile (C,) lies, or whose presence is least clear."""
    score = -np.abs(probabilities - 0.5) if predictions.mode == "multi" else probabilities
    named = [f"{predictions.name_of(int(c))} {probabilities[c]:.2f}" for c in highest(score, 2)]
    return "unsure: " + (", " if predictions.mode == "multi" else " or ").join(named)


def _bits(probabilities: NDArray[Any], mode: Mode) -> Utilities:
    """What each probability (..., C) adds to the entropy, in bits; in multi-label mode with that of its opposite."""
    p = probabilities.astype(np.float64)
    nats = entr(p) if mode == "single" else entr(p) + entr(1.0 - p)
    return np.asarray(nats / np.log(2.0))


def _changes(now: Floats, before: Floats) -> Utilities:
    return np.nan_to_num(now.astype(np.float64) - before.astype(np.float64), nan=0.0)


def _of_probabilities(measure: Callable[[Floats, Mode], Utilities]) -> Callable[[Pool, Request], Utilities]:
    """A score of a pool that needs the probabilities only."""

    def score(pool: Pool, request: Request) -> Utilities:
        p = told(pool).probabilities
        return row_by_row(pool, request, p.shape[1], lambda rows: measure(p[rows], told(pool).mode))

    return score


def score_bald(pool: Pool, request: Request, *, passes: Annotated[int, Within(2)] = 10) -> Utilities:
    """:func:`disagreement` of ``passes`` random versions of the learner."""
    predictions = told(pool)
    sample = predictions.sample_logits
    assert sample is not None
    seed = int(request.rng.integers(2**31))

    def measure(rows: Indices) -> Utilities:
        return disagreement(probabilities_of(sample(rows, passes, seed), predictions.mode), predictions.mode)

    return row_by_row(pool, request, passes * predictions.probabilities.shape[1], measure)


def score_power_bald(
    pool: Pool,
    request: Request,
    *,
    passes: Annotated[int, Within(2)] = 10,
    power: Annotated[float, Within(0.0)] = 1.0,
) -> Utilities:
    """``power`` x log BALD plus Gumbel noise: the highest b are a sample without replacement, weighted by BALD^power.

    So a round does not consist of b tiles that all tell the same. At power 0 it is random, at a high power BALD.
    """
    strength = np.log(np.maximum(score_bald(pool, request, passes=passes), _FAINTEST))
    return np.asarray(power * strength + request.rng.gumbel(size=len(strength)))


def score_ll(pool: Pool, request: Request) -> Utilities:
    """The loss that the learner expects."""
    losses = told(pool).losses
    assert losses is not None
    request.monitor.advance(0.0, "Weighing the predictions")
    return losses[pool.eligible].astype(np.float64)


def score_tpd(pool: Pool, request: Request) -> Utilities:
    """:func:`discrepancy` to the round before."""
    predictions = told(pool)
    before = predictions.previous
    assert before is not None
    now = predictions.probabilities
    return row_by_row(pool, request, now.shape[1], lambda rows: discrepancy(now[rows], before[rows]))


def score_mge(pool: Pool, request: Request, *, bias: bool = True) -> Utilities:
    """Length of the gradient of the loss by the last layer, if the learner's own answer were the truth.

    The gradient is the outer product of the error and h, so its length is the product of theirs; with the layer's
    ``bias``, h has a 1 at its end. No gradient is ever computed.
    """
    predictions = told(pool)

    def measure(rows: Indices) -> Utilities:
        h = _squared_lengths(pool, rows, request.device) + float(bias)
        return error_length(predictions.probabilities[rows], predictions.mode) * np.sqrt(h)

    width = max(pool.embeddings.shape[1], predictions.probabilities.shape[1])
    return row_by_row(pool, request, width, measure)


def _squared_lengths(pool: Pool, rows: Indices, device: Device) -> Utilities:
    """Squared length (n,) of the input of the learner's last layer for some rows (n,)."""
    features = told(pool).features
    block = gather(pool.embeddings, rows, device) if features is None else gather(features(rows), slice(None), device)
    lengths: torch.Tensor = torch.linalg.vector_norm(block, dim=1)
    return np.asarray(lengths.square().cpu().numpy())


def _doubt_of(pool: Pool, row: int) -> str:
    return doubt(told(pool), told(pool).probabilities[row])


def _reason_doubt(pool: Pool, row: int, _score: float) -> str:
    return _doubt_of(pool, row)


def _reason_versions(pool: Pool, row: int, _score: float) -> str:
    return f"{_doubt_of(pool, row)}; random versions of the learner disagree"


def _reason_loss(pool: Pool, row: int, score: float) -> str:
    return f"{_doubt_of(pool, row)}; expected loss {score:.3g}, on a scale of its own"


def _reason_change(pool: Pool, row: int, _score: float) -> str:
    """The class whose probability changed most."""
    predictions = told(pool)
    assert predictions.previous is not None
    now, before = predictions.probabilities[row], predictions.previous[row]
    changed = int(np.argmax(np.abs(_changes(now, before))))
    if np.isnan(before[changed]):
        return "nothing known of it from the round before"
    return f"{predictions.name_of(changed)} {before[changed]:.2f} in the round before, now {now[changed]:.2f}"


def _reason_gradient(pool: Pool, row: int, score: float) -> str:
    return f"{_doubt_of(pool, row)}; an answer moves the learner by {score:.3g} or more"


_LEARNT: frozenset[Need] = frozenset({"predictions"})
_ONE_LOOK = "the probabilities of all tiles"

UNCERTAINTIES = (
    Uncertainty(
        "margin",
        _of_probabilities(margin),
        _reason_doubt,
        "Tiles whose classes are hardest to tell apart",
        "hard to beat once every class was seen",
        "Scheffer et al. 2001 (best versus second best); multi-label: mean binary margin",
        _ONE_LOOK,
        _LEARNT,
    ),
    Uncertainty(
        "least_confidence",
        _of_probabilities(least_confidence),
        _reason_doubt,
        "Tiles of whose most likely answer the learner is least sure",
        "the oldest of all, near to margin",
        "Lewis and Gale 1994; multi-label: the most likely set of classes, after Culotta and McCallum 2005",
        _ONE_LOOK,
        _LEARNT,
    ),
    Uncertainty(
        "entropy",
        _of_probabilities(entropy),
        _reason_doubt,
        "Tiles of which the learner knows least, all classes considered",
        "weaker than margin where classes are many",
        "Shannon 1948; Settles 2009, section 3.1; multi-label: mean binary entropy",
        _ONE_LOOK,
        _LEARNT,
    ),
    Uncertainty(
        "bald",
        score_bald,
        _reason_versions,
        "Tiles on which random versions of the learner contradict each other",
        "not on those that are ambiguous in themselves",
        "Houlsby et al. 2011, equation 2; by dropout: Gal, Islam and Ghahramani 2017",
        "t products with the head",
        frozenset({"predictions", "samples"}),
    ),
    Uncertainty(
        "power_bald",
        score_power_bald,
        _reason_versions,
        "Tiles drawn at random, sooner where random versions of the learner contradict each other",
        "a mixed round at no cost",
        "Kirsch et al. 2023 (power acquisition), on BALD",
        "t products with the head",
        frozenset({"predictions", "samples"}),
    ),
    Uncertainty(
        "ll",
        score_ll,
        _reason_loss,
        "Tiles on which the learner expects to do worst",
        "the learner is taught to predict its own loss, which takes longer",
        "Yoo and Kweon 2019 (learned loss)",
        "nothing, after a longer training",
        frozenset({"predictions", "losses"}),
        learner="hidden",
    ),
    Uncertainty(
        "tpd",
        score_tpd,
        _reason_change,
        "Tiles about which the learner changed its mind since the round before",
        "from the second round on",
        "Huang et al. 2021 (temporal output discrepancy), of probabilities",
        _ONE_LOOK,
        frozenset({"predictions", "previous"}),
    ),
    Uncertainty(
        "mge",
        score_mge,
        _reason_gradient,
        "Tiles whose answer would change the learner most",
        "doubt, with more weight on tiles that stand out",
        "Ash et al. 2020, equation 1 (gradient embedding), its length in closed form",
        "one look at all tiles",
        _LEARNT,
    ),
)

STRATEGIES = tuple(strategy for uncertainty in UNCERTAINTIES for strategy in strategies_of(uncertainty))
