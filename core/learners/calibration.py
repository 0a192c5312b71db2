"""Temperature scaling: one number that makes a learner's probabilities as often right as they say.

Dividing the logits by a temperature T keeps their order, so no prediction changes; T above 1 makes the learner less
sure of itself (Guo et al. 2017). Labels are too few to set some aside for this. So they are cut into folds; each fold
is predicted by a learner that was trained on all others, and T is fitted to all of these logits together.

The same held-out predictions tell which of two learners suits the labels better (:mod:`.auto`).

A handful of labels that are all predicted right would make any T look too high. As Platt (1999) did for his sigmoid,
the targets are therefore not 1 and 0, but stop short of them by as much as so few labels leave open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch.nn import functional

from ..catalogue import Mode
from ..kernels import Floats, Indices, finite_rows
from .base import Fitted, Run, Task

Learn = Callable[[Task, Run], Fitted]
"""A learner with its parameters, as :func:`.registry.fit` calls it."""

FEWEST = 10
"""With fewer labels to look at than this, nothing can be said about how often a learner is right."""
_LEAST, _MOST = 0.05, 20.0


class HeldOut(NamedTuple):
    """What a learner thinks of labels that it was not trained on: logits (n, C), targets (n,) or (n, C)."""

    logits: Floats
    targets: NDArray[Any]

    @property
    def suffices(self) -> bool:
        """Whether there are enough labels to conclude anything from."""
        return len(self.logits) >= FEWEST

    def at(self, temperature: float) -> HeldOut:
        """The same, with the logits divided by a temperature."""
        return HeldOut(self.logits / np.float32(temperature), self.targets)

    def log_likelihoods(self, mode: Mode) -> NDArray[np.float64]:
        """The log probability (n,) (natural) of what is true of each label: higher is better, above 0 never.

        In multi mode it is the mean over the classes.
        """
        scores, truth = torch.from_numpy(self.logits).double(), torch.from_numpy(np.asarray(self.targets))
        if mode == "single":
            return np.asarray(-functional.cross_entropy(scores, truth.long(), reduction="none"))
        losses = functional.binary_cross_entropy_with_logits(scores, truth.double(), reduction="none")
        return np.asarray(-losses.mean(dim=1))


def predict_held_out(learn: Learn, task: Task, run: Run, folds: int = 5) -> HeldOut:
    """Cut the labels into folds; each is predicted by a learner that was trained on all others.

    In single mode the folds are stratified, and the only label of a class always stays in the training part, so it is
    not in the result. Rows that are held out take their place among ``task.unlabelled``, so that semi-supervised
    learners see the same tiles as in earnest.

    Args:
        learn: the learner.
        task: as for :func:`.registry.fit`.
        run: seed, device, monitor; a warm start is not used, because it has seen the labels.
        folds: into how many parts the labels are cut; fewer if there are not enough.

    Raises:
        LearningError: the labels or the imagery do not allow it.
        Cancelled: the caller asked to stop.
    """
    usable = finite_rows(np.asarray(task.embeddings[task.labelled]))
    task = replace(task, labelled=task.labelled[usable], targets=np.asarray(task.targets)[usable], losses=False)
    parts = _parts(task, folds, np.random.default_rng(run.seed))
    held = np.flatnonzero(parts >= 0)
    logits = np.empty((len(task.labelled), task.n_classes), dtype=np.float32)
    count = int(parts.max(initial=-1)) + 1 if len(held) >= FEWEST else 0
    for part in range(count):
        monitor = run.monitor.part(part / count, (part + 1) / count)
        away = parts == part
        logits[away] = _logits_of(learn, task, replace(run, start=None, monitor=monitor), away)
    held = held if count else held[:0]
    return HeldOut(logits[held], task.targets[held])


def temperature(learn: Learn, task: Task, run: Run, folds: int = 5) -> float:
    """The temperature of a learner by cross-validation; 1.0 where there are too few labels to tell.

    Arguments and errors are those of :func:`predict_held_out`.
    """
    held = predict_held_out(learn, task, run, folds)
    return best_temperature(held.logits, held.targets, task.mode) if held.suffices else 1.0


def best_temperature(logits: Floats, targets: NDArray[Any], mode: Mode) -> float:
    """The temperature, from 0.05 to 20, at which logits have the least negative log likelihood.

    Args:
        logits: (n, C) of rows that the learner has not been trained on.
        targets: class positions (n,) in single mode; 0 or 1 for each class (n, C) in multi mode, which has one
            temperature for all of its binary logits.
        mode: the label mode.
    """
    scores = torch.from_numpy(logits).double()
    truth = np.eye(scores.shape[1])[targets] if mode == "single" else np.asarray(targets, dtype=np.float64)
    choices = scores.shape[1] if mode == "single" else 2
    doubt = 1.0 / (truth.size / (choices if mode == "single" else 1) + 2.0)
    wanted = torch.from_numpy(truth * (1.0 - doubt) + doubt / choices)

    def likelihood(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        if mode == "single":
            return float(-(wanted * scaled.log_softmax(dim=1)).sum(dim=1).mean())
        return float(functional.binary_cross_entropy_with_logits(scaled, wanted))

    found = minimize_scalar(likelihood, bounds=(np.log(_LEAST), np.log(_MOST)), method="bounded")
    return float(np.exp(found.x))


def _logits_of(learn: Learn, task: Task, run: Run, away: NDArray[np.bool_]) -> Floats:
    """Logits of the labels in ``away`` (L,), by a learner that was trained on all others."""
    rows = task.labelled[away]
    rest = replace(
        task,
        labelled=task.labelled[~away],
        targets=task.targets[~away],
        unlabelled=np.union1d(task.unlabelled, rows),
    )
    fitted = learn(rest, run)
    return fitted.head.logits(task.embeddings if fitted.features is None else fitted.features, rows)


def _parts(task: Task, folds: int, rng: np.random.Generator) -> Indices:
    """The fold (L,) in which each label is held out; -1 for those that never are."""
    count = len(task.labelled)
    parts = np.full(count, -1, dtype=np.int64)
    order = rng.permutation(count)
    if task.mode == "single":
        sizes = np.bincount(task.targets, minlength=task.n_classes)
        order = order[sizes[task.targets[order]] > 1]
        if np.count_nonzero(sizes) < 2:
            return parts
        # Dealing out class after class gives each fold its share of every class, and no fold all of one.
        order = order[np.argsort(task.targets[order], kind="stable")]
    parts[order] = np.arange(len(order)) % max(2, min(folds, len(order)))
    return parts
