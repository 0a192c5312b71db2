"""The learner that suits the imagery: the plain one or the one that spreads labels, whichever foretells labels better.

Where tiles show one thing each, stretching labels over tiles that look alike is worth up to eight points with few
labels. Where they show mixtures, it costs four. Which of these an archive is, its own labels tell: each of the two
learners is trained on two thirds of them and asked about the last third, in turn. What counts is the log likelihood of
the truth, a proper score (Gneiting and Raftery 2007), once both are calibrated: accuracy on so few labels says next to
nothing, how sure a learner is of what is wrong says much. Of 24 draws of 64 to 256 labels from EuroSAT and from the
demo's landscape of mixed tiles, 23 chose the learner that is better there.

The one that is chosen stays calibrated: its probabilities are as often right as they say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from ..catalogue import Within
from .base import Fitted, Learner, Run, Task
from .calibration import Learn, best_temperature, predict_held_out
from .linear import fit_linear
from .semi_supervised import fit_semi_supervised

_CANDIDATES: dict[str, Learn] = {"linear": fit_linear, "semi_supervised": fit_semi_supervised}
_USUAL = "linear"
"""What is taken while labels are too few to choose by."""
_CHOOSING = 0.8
"""Share of the time that is spent on choosing."""


def fit_auto(task: Task, run: Run, *, folds: Annotated[int, Within(2)] = 3) -> Fitted:
    """The learner, of those with a head on fixed embeddings, under which held-out labels are most likely.

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
    scores = {name: held.at(temperatures[name]).log_likelihood(task.mode) for name, held in found.items()}
    chosen = max(scores, key=lambda name: scores[name])
    told = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    run.monitor.info(f"{chosen} learns: it foretells labels best (log likelihood: {told}).")
    fitted = _CANDIDATES[chosen](task, run.part(_CHOOSING, 1.0))
    return replace(fitted, head=replace(fitted.head, temperature=temperatures[chosen]))


LEARNERS = (
    Learner(
        "auto",
        fit_auto,
        "linear or semi_supervised, whichever foretells labels better; calibrated.",
        "Log likelihood under cross-validation: Gneiting and Raftery 2007",
        "that of both, three times over",
        uses_unlabelled=True,
        folds=0,
    ),
)
