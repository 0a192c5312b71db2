"""The engine as the rest of the plugin sees it: start some work, hear of its progress, get the result or the error.

There is one :class:`Engine` in the plugin, and it lives in the main thread: so do all its signals and callbacks. The
work is done by the worker, another process, and waited for in the threads of QGIS's task manager.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qgis.core import Qgis, QgsApplication, QgsMessageLog
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ...core.errors import QuadratError
from .. import settings
from .connection import Connection
from .environment import find_interpreter
from .task import Call, EngineTask, Examination, Results, TaskApart, unforeseen

PATIENCE_S = 2.0
UNLOAD_S = 0.4  # QGIS stands still meanwhile
SETTING = "interpreter"

OnDone = Callable[[Results], None]
OnFailed = Callable[[QuadratError], None]
OnStep = Callable[[int, dict[str, Any]], None]
OnSaid = Callable[[float, str], None]


class Engine(QObject):
    """The one way to the worker.

    Signals: ``busy_changed`` and ``said(progress 0-1, message)`` tell of all work that is neither quiet nor apart,
    ``remarked(level, message)`` of all that is not quiet; ``state_changed`` when another worker, or another Python, has
    taken over.
    """

    busy_changed = pyqtSignal(bool)
    said = pyqtSignal(float, str)
    remarked = pyqtSignal(str, str)
    state_changed = pyqtSignal()

    def __init__(self, plugin_folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = plugin_folder
        self._tasks: list[EngineTask] = []  # references: QGIS alone would let go of the Python half of a task
        self._was_busy = False
        self._closed = False
        self._connection = self._connect(self.interpreter())
        self._last_hello: dict[str, Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether work is going on that the analyst should know of and other work has to wait for."""
        return bool(self._occupying())

    @property
    def title(self) -> str:
        """What is being done, empty if nothing is."""
        return next((task.title for task in self._occupying()), "")

    @property
    def hello(self) -> dict[str, Any] | None:
        """What the last started worker said of itself: version, device, memory. None before the first work."""
        return self._connection.hello

    @property
    def pid(self) -> int | None:
        """Number of the worker's process, if one lives."""
        return self._connection.pid

    def interpreter(self) -> Path | None:
        """The Python that runs the engine: the chosen one, or one found by itself; None if there is none."""
        return find_interpreter(settings.read(SETTING), self._folder)

    def found_interpreter(self) -> Path | None:
        """The Python that would be taken if none were chosen."""
        return find_interpreter(None, self._folder)

    def use_interpreter(self, path: Path | None) -> None:
        """Choose the engine's Python, None for the one found by itself. Work in progress is stopped."""
        settings.write(SETTING, str(path) if path else "")
        self.restart()

    def start(
        self,
        title: str,
        calls: Sequence[Call],
        *,
        on_done: OnDone | None = None,
        on_failed: OnFailed | None = None,
        on_step: OnStep | None = None,
        quiet: bool = False,
    ) -> EngineTask:
        """Let the engine do some calls one after another, in the background.

        ``on_step(index, result)`` hears of each call, then either ``on_done(results)`` or ``on_failed(error)`` of the
        end; the error is Cancelled if the work was stopped. A QuadratError that ``on_done`` raises goes to
        ``on_failed``. Quiet work is not shown as busy.
        """
        if self._connection.interpreter != self.interpreter():
            self.restart()
        task = EngineTask(title, calls, self._connection, quiet=quiet)
        return self._submit(task, on_done, on_failed, on_step, None if quiet else self.said.emit)

    def start_apart(
        self, title: str, calls: Sequence[Call], *, on_said: OnSaid, on_done: OnDone, on_failed: OnFailed
    ) -> EngineTask:
        """The same in a worker of its own, for work that takes hours.

        Nothing waits for it, and neither :meth:`stop` nor :meth:`restart` ends it, but the task's own ``cancel``.
        ``on_said(progress 0-1, message)`` hears how far it is.
        """
        task = TaskApart(title, calls, self._connect(self.interpreter()))
        return self._submit(task, on_done, on_failed, on_said=on_said)

    def examine(
        self,
        path: Path | None,
        on_done: Callable[[Examination, Results], None],
        on_failed: Callable[[Examination, QuadratError], None],
    ) -> Examination:
        """Try out a Python (None: there is none) without touching the worker that runs. See :class:`Examination`."""
        task = Examination(self._connect(path), Path.home())
        self._submit(task, lambda results: on_done(task, results), lambda error: on_failed(task, error))
        return task

    def stop(self) -> None:
        """Stop all work that :attr:`busy` tells of; it ends with Cancelled, within seconds even if the worker hangs."""
        for task in self._occupying():
            task.cancel()

    def restart(self) -> None:
        """Let go of the worker. Its work ends with Cancelled; the next work starts a new one."""
        old, self._connection = self._connection, self._connect(self.interpreter())
        self._last_hello = None
        # In a thread, for the old worker may take its time.
        threading.Thread(target=old.close, args=(PATIENCE_S,), name="quadrat-close", daemon=True).start()
        self.state_changed.emit()

    def close(self) -> None:
        """End the worker, for good, within about a second. No callback is called and no signal sent any more."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for connection in {self._connection, *(task.connection for task in tasks)}:
            connection.close(UNLOAD_S)
        for task in tasks:
            task.left.wait(UNLOAD_S)

    def _occupying(self) -> list[EngineTask]:
        """The tasks that are neither quiet nor apart."""
        return [task for task in self._tasks if not (task.quiet or task.apart)]

    def _connect(self, interpreter: Path | None) -> Connection:
        log = Path(QgsApplication.qgisSettingsDirPath()) / "quadrat" / "engine.log"
        return Connection(interpreter, self._folder, log)

    def _submit(
        self,
        task: EngineTask,
        on_done: OnDone | None,
        on_failed: OnFailed | None,
        on_step: OnStep | None = None,
        on_said: OnSaid | None = None,
    ) -> EngineTask:
        """Hand a task to QGIS. Its signals come from another thread and are queued for this one."""
        task.step_done.connect(lambda index, result: self._deliver(on_step, index, result))
        task.succeeded.connect(lambda results: self._end(task, on_done, on_failed, results))
        task.failed.connect(lambda error: self._end(task, on_failed, None, error))
        task.said.connect(lambda fraction, message: self._deliver(on_said, fraction, message))
        if not task.quiet:
            task.remarked.connect(lambda level, message: self._deliver(self.remarked.emit, level, message))
        self._tasks.append(task)
        QgsApplication.taskManager().addTask(task)
        self._tell_busy()
        return task

    def _end(self, task: EngineTask, callback: Any, on_error: OnFailed | None, outcome: Any) -> None:
        """A task is over. The callback may start another one before it is said whether the engine is busy."""
        self._tasks.remove(task)
        self._deliver(callback, outcome, on_error=on_error)
        self._tell_busy()

    def _deliver(self, callback: Callable[..., None] | None, *news: Any, on_error: OnFailed | None = None) -> None:
        """Call back, unless the plugin is gone. An exception here would end QGIS, so it is reported instead."""
        if self._closed:
            return
        if callback is not None:
            try:
                callback(*news)
            except Exception as error:  # noqa: BLE001
                if on_error is None:
                    QgsMessageLog.logMessage(traceback.format_exc(), "Quadrat", Qgis.MessageLevel.Critical)
                else:
                    self._deliver(on_error, error if isinstance(error, QuadratError) else unforeseen(error))
        self._tell_state()

    def _tell_busy(self) -> None:
        if not self._closed and self._was_busy != self.busy:
            self._was_busy = self.busy
            self.busy_changed.emit(self._was_busy)

    def _tell_state(self) -> None:
        if not self._closed and self._last_hello is not self.hello:
            self._last_hello = self.hello
            self.state_changed.emit()
