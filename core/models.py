"""A learner by name, what it became, and what a query function gets to see of it.

This is where learners and query functions meet, on arrays alone: a project keeps its fitted learners in files
(:mod:`.fitting`), a simulation throws them away, and both make :class:`.strategies.base.Predictions` here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from .architectures import file_sha256
from .catalogue import Mode
from .kernels import Device, Floats, Indices, Rows
from .kernels.memory import sparing
from .learners import calibration
from .learners.base import Fitted, Run, Task
from .learners.registry import LEARNERS, fit
from .monitor import SILENT, Monitor
from .strategies.base import Predictions


@dataclass(frozen=True)
class Choice:
    """A learner by name, perhaps with a preset, and those of its parameters that differ from the defaults."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """All of its parameters.

        Raises:
            UsageError: no such learner, no such parameter, or a value that it cannot have.
        """
        return LEARNERS.settings(LEARNERS.find(self.name), self.parameters)

    @property
    def weights_hash(self) -> str:
        """The hash of the weights file that training begins with: another one of the same name is another start.

        Empty without one, and where it is not there, which the learner will complain of.
        """
        named = self.settings().get("weights")
        weights = Path(named).expanduser() if named else None
        return file_sha256(weights) if weights and weights.is_file() else ""

    @property
    def family(self) -> str:
        """What fits of this choice have in common, whatever the answers."""
        return json.dumps([self.name.partition(":")[0], self.settings()], sort_keys=True)


@dataclass(frozen=True)
class Model:
    """A learner fitted on answers; ``embeddings`` (N, d) are what it looks at.

    ``key`` is made of everything it depends on; empty where nobody keeps it.
    """

    choice: Choice
    key: str
    fitted: Fitted
    embeddings: Rows

    @property
    def features(self) -> Rows:
        """What its head maps to classes, (N, F)."""
        return self.embeddings if self.fitted.features is None else self.fitted.features

    def predict(self, rows: Indices | None = None, monitor: Monitor = SILENT) -> Floats:
        """Probabilities (n, C) of some rows, of all by default."""

        def predicted(device: Device) -> Floats:
            return replace(self.fitted.head, device=device).predict(self.features, rows, monitor=monitor)

        return sparing(predicted, self.fitted.head.device, monitor)

    def at(self, temperature: float) -> Model:
        """The same model, which divides its logits by ``temperature``."""
        return replace(self, fitted=replace(self.fitted, head=replace(self.fitted.head, temperature=temperature)))


def temperature_of(
    choice: Choice, make_task: Callable[[], Task], *, seed: int, device: Device, monitor: Monitor = SILENT
) -> float | None:
    """The temperature at which a learner's probabilities are as often right as they say, by cross-validation.

    None for learners for which that would take too long, or that calibrate themselves; then no task is made, which for
    some means reading pixels.
    """
    folds = LEARNERS.find(choice.name).folds
    if not folds:
        return None
    task = make_task()

    def cross_validated(where: Device) -> float:
        learn = partial(fit, choice.name, parameters=choice.parameters)
        return calibration.temperature(learn, task, Run(seed, None, where, monitor), folds)

    return sparing(cross_validated, device, monitor)


def predictions(
    model: Model,
    mode: Mode,
    *,
    class_names: tuple[str, ...] = (),
    calibrated: Callable[[], Floats] | None = None,
    previous: Floats | None = None,
    monitor: Monitor = SILENT,
) -> Predictions:
    """What a query function may know of a model; ``calibrated`` and ``previous`` as in :class:`Predictions`."""
    probabilities = model.predict(monitor=monitor)
    head, matrix = model.fitted.head, model.features

    def sample(rows: Indices, passes: int, seed: int, input_dropout: float | None = None) -> Floats:
        def sampled(where: Device) -> Floats:
            return replace(head, device=where).mc_dropout(matrix, rows, passes, seed, input_dropout)

        return sparing(sampled, head.device, monitor)

    def features(rows: Indices) -> Floats:
        return sparing(lambda where: replace(head, device=where).features(matrix, rows), head.device, monitor)

    return Predictions(
        mode=mode,
        probabilities=probabilities,
        sample_logits=sample if head.dropout > 0.0 else None,
        class_names=class_names,
        features=features,
        calibrated=calibrated,
        previous=previous,
        losses=model.fitted.losses,
    )
