"""All learners by name, and :func:`fit`, the one way to call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalogue import Catalogue
from ..errors import LearningError
from . import auto, finetuning, fixmatch, linear, semi_supervised
from .base import Fitted, Learner, Run, Task

LEARNERS: Catalogue[Learner] = Catalogue("learner")


def fit(name: str, task: Task, run: Run, parameters: Mapping[str, Any] | None = None) -> Fitted:
    """Train a learner.

    Args:
        name: a learner, perhaps with a preset.
        task: what to learn from.
        run: seed, start, device, monitor.
        parameters: those of the learner to be changed.

    Raises:
        UsageError: unknown name or parameter, wrong type, a label mode that it does not support.
        LearningError: the labels or the imagery do not allow it.
        Cancelled: the caller asked to stop.
    """
    learner = LEARNERS.find(name)
    settings = LEARNERS.settings(learner, parameters or {})
    LEARNERS.check_mode(learner, task.mode)
    if learner.needs_pixels and task.pixels is None:
        raise LearningError(
            f"{name} learns from the tiles themselves, and they are out of reach.",
            hint="Put the rasters back where they were, or use a learner on embeddings, for example linear.",
        )
    fitted: Fitted = learner.function(task, run, **settings)
    return fitted


def facts(learner: Learner) -> dict[str, Any]:
    """What there is to know about a learner, for programs; limits are in words."""
    return {**learner.facts(), "needs_pixels": learner.needs_pixels, "uses_unlabelled": learner.uses_unlabelled}


for _family in (auto, linear, semi_supervised, finetuning, fixmatch):
    for _learner in _family.LEARNERS:
        LEARNERS.register(_learner)
