"""The learner that suits the imagery: the plain one, or the one that spreads labels where that foretells them better.

Where tiles show one thing each, stretching labels over tiles that look alike is worth points, many while labels are
few. Where they show mixtures, it costs some. Which of these an archive is, its own labels tell: each of the two
learners is trained on two thirds of them and asked about the last third, in turn. What counts is the log likelihood of
the truth, a proper score (Gneiting and Raftery 2007), once both are calibrated: accuracy on so few labels says next to
nothing, how sure a learner is of what is wrong says much.

While there are few labels a class, a small lead is chance: then the plain learner stays unless the other is better by
more than one standard error of the difference, label by label (the rule of one standard error, Breiman et al. 1984).
On EuroSAT the other one leads by more from 16 labels on. Later the lead alone counts: by then labels that were queried
are the hard ones, on which nobody leads by much.

The one that is chosen stays calibrated: its probabilities are as often right as they say.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Within
from .base import Fitted, Learner, Run, Task
from .calibration import Learn, best_temperature, predict_held_out
from .linear import fit_linear
from .semi_supervised import fit_semi_supervised

_CANDIDATES: dict[str, Learn] = {"linear": fit_linear, "semi_supervised": fit_semi_supervised}
_USUAL, _OTHER = _CANDIDATES
"""What is taken unless labels speak for the other, and that."""
_FEW = 5
"""Fewer labels a class than these are few."""
_CHOOSING = 0.8
"""Share of the time that is spent on choosing."""


def fit_auto(task: Task, run: Run, *, folds: Annotated[int, Within(2)] = 3) -> Fitted:
    """The linear head, or the semi-supervised one where held-out labels are likelier under that.

    Args:
        task: as for the others.
        run: seed, device, monitor.
        folds: into how many parts the labels are cut to choose.

    Raises:
        LearningError: no label, labels that do not fit, or one class alone in single mode.
        Cancelled: the caller asked to stop.
    """
    share = _CHOOSING / len(_CANDIDATES)
    found = {
        name: predict_held_out(learn, task, run.part(number * share, (number + 1) * share), folds)
        for number, (name, learn) in enumerate(_CANDIDATES.items())
    }
    if not found[_USUAL].suffices:
        return _CANDIDATES[_USUAL](task, run)
    temperatures = {name: best_temperature(held.logits, held.targets, task.mode) for name, held in found.items()}
    likely = {name: held.at(temperatures[name]).log_likelihoods(task.mode) for name, held in found.items()}
    gains = likely[_OTHER] - likely[_USUAL]
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    wanted = error if len(gains) < _FEW * _classes_in(found[_USUAL].targets) else 0.0
    chosen = _OTHER if gains.mean() > wanted else _USUAL
    told = " and ".join(f"{each.mean():.3f} by {name}" for name, each in likely.items())
    run.monitor.info(
        f"{chosen} learns: held-out labels have the log likelihood {told}, a difference of {gains.mean():.3f} "
        f"± {error:.3f}."
    )
    fitted = _CANDIDATES[chosen](task, run.part(_CHOOSING, 1.0))
    return replace(fitted, head=replace(fitted.head, temperature=temperatures[chosen]))


def _classes_in(targets: NDArray[Any]) -> int:
    """How many classes occur among targets (n,) or (n, C)."""
    return len(np.unique(targets)) if targets.ndim == 1 else int(targets.any(axis=0).sum())


LEARNERS = (
    Learner(
        "auto",
        fit_auto,
        "linear, or semi_supervised where that foretells labels better; calibrated.",
        "Log likelihood under cross-validation: Gneiting and Raftery 2007; one standard error: Breiman et al. 1984",
        "that of both, three times over",
        uses_unlabelled=True,
        folds=0,
    ),
)
