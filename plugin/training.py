"""Trains an encoder on the project's imagery in the background, for hours if need be, while labelling goes on.

The training has a worker of its own. It ends when it is done, when it is stopped, or with QGIS; the engine keeps what
was trained beside the file that the encoder goes into, and the project remembers what was asked for, so that the same
training can be gone on with, also on another day.
"""

from __future__ import annotations

import time

from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.errors import Cancelled, ProjectError, QuadratError
from ..core.paths import is_file
from ..core.project.store import Project
from .engine.engine import Engine
from .engine.task import Call, EngineTask, Results
from .job import Job
from .messages import Messages
from .requests import TrainingRequest

SETTING = "encoder_training"
_AT_WORK = "Epoch"  # how the engine's messages begin once everything is prepared
_ENOUGH = 0.001  # of the whole, before it is said how long the rest takes


class EncoderTraining(QObject):
    """One training at a time.

    Signals: ``changed`` whenever there is something else to show; ``trained(request)`` when an encoder is ready.
    """

    changed = pyqtSignal()
    trained = pyqtSignal(object)

    def __init__(self, job: Job, engine: Engine, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job = job
        self._engine = engine
        self._messages = messages
        self._task: EngineTask | None = None
        self._begun: tuple[float, float] | None = None  # time and progress of its first epoch here
        self.request: TrainingRequest | None = None
        self.progress = 0.0
        self.message = ""
        self.remaining_s: float | None = None

    @property
    def running(self) -> bool:
        """Whether an encoder is being trained."""
        return self._task is not None

    @property
    def state(self) -> str:
        """The training in a line, with the time that the rest takes if that can be told; empty if there is none."""
        if self.request is None or not self.running:
            return ""
        left = f" ({in_words(self.remaining_s)} left)" if self.remaining_s is not None else ""
        return f"{self.request.name}: {self.message}{left}"

    def unfinished(self, project: Project) -> TrainingRequest | None:
        """The training of a project that was stopped or interrupted and can be gone on with."""
        request = TrainingRequest.from_json(project.setting(SETTING), project.path)
        return request if request is not None and is_file(request.checkpoint) else None

    def start(self, request: TrainingRequest, *, resume: bool = True) -> None:
        """Begin a training, or go on with what was kept of the same one."""
        if self.running:
            return
        self._remember(request)
        self.request, self.progress, self.message = request, 0.0, "Starting"
        self._begun = self.remaining_s = None
        title = f"Training the encoder {request.name}"
        call = Call("pretrain", {**request.params(), "resume": resume})
        self._task = task = self._engine.start_apart(
            title,
            [call],
            on_said=lambda fraction, message: self._show(task, fraction, message),
            on_done=lambda results: self._succeed(task, request, results),
            on_failed=lambda error: self._fail(task, request, error),
        )
        self.changed.emit()

    def stop(self) -> None:
        """Stop the training; what was trained is kept."""
        if self._task is not None:
            self.message, self.remaining_s = "Stopping", None
            self._task.cancel()
            self.changed.emit()

    def unload(self) -> None:
        """Stop the training and let nothing arrive any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _remember(self, request: TrainingRequest) -> None:
        """Without it the training goes on all the same, but cannot be offered again."""
        try:
            if self._job.is_open and self._job.project.path == request.project:
                self._job.project.set_setting(SETTING, request.to_json())
        except ProjectError as error:
            self._messages.warn(f"The project does not remember this training: {error.message}")

    def _show(self, task: EngineTask, fraction: float, message: str) -> None:
        if task is not self._task or task.isCanceled():
            return
        if message.startswith(_AT_WORK):
            now = time.monotonic()
            since, first = self._begun = self._begun or (now, fraction)
            if fraction - first > _ENOUGH:
                self.remaining_s = (now - since) / (fraction - first) * (1 - fraction)
        self.progress, self.message = fraction, message or self.message
        self.changed.emit()

    def _succeed(self, task: EngineTask, request: TrainingRequest, results: Results) -> None:
        if task is not self._task:
            return
        self._task = None
        knn = results[0].get("knn")
        accuracy = "" if knn is None else f" Its nearest neighbours tell {knn:.0%} of the labels."
        self._messages.success(f"The encoder {request.name} is trained.{accuracy} Press Prepare tiles to use it.")
        self.trained.emit(request)
        self.changed.emit()

    def _fail(self, task: EngineTask, request: TrainingRequest, error: QuadratError) -> None:
        if task is not self._task:
            return
        self._task = None
        is_kept = is_file(request.checkpoint)
        if isinstance(error, Cancelled):
            kept = " What it learnt is kept: train again to go on." if is_kept else ""
            self._messages.info(f"The training of {request.name} was stopped.{kept}")
        elif is_kept:
            self._messages.error(error, ("Go on", lambda: self.start(request)))
        else:
            self._messages.error(error)
        self.changed.emit()


def in_words(seconds: float) -> str:
    """A length of time, roughly."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {minutes} min"
    return f"about {round(minutes / 60)} h"
