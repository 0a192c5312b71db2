"""Work for the engine as a QGIS task: several calls, one after another, with one progress bar.

``run`` happens in a thread of QGIS's task manager. It touches nothing of Qt but the task's own signals and progress;
what it gets, or the error, is kept and published by ``finished``, which QGIS calls in the main thread. Stopping the
task in QGIS's task bar and calling ``cancel`` are the same.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from qgis.core import QgsTask
from qgis.PyQt.QtCore import QThreadPool, pyqtSignal

from ...core.errors import Cancelled, QuadratError
from ...core.monitor import Monitor
from .connection import Connection

PATIENCE_S = 2.0
Results = list[dict[str, Any]]
Params = Union[Mapping[str, Any], Callable[[Results], Union[Mapping[str, Any], None]]]  # Python 3.9 knows no X | Y here


@dataclass(frozen=True)
class Call:
    """One request. ``params`` may be a function of the results so far; if it returns None the call is left out.

    ``weight`` is the call's share of the task's progress, in the same unit as those of the other calls. The result of
    a call that was left out is empty.
    """

    method: str
    params: Params
    weight: float = 1.0


class EngineTask(QgsTask):
    """Calls to the engine in the background.

    Signals: ``step_done(index, result)`` after each call that was made, ``said(progress 0-1, message)`` and
    ``remarked(level, message)``; at the end either ``succeeded(results)`` or ``failed(error)``. A task that was stopped
    fails with Cancelled.
    """

    step_done = pyqtSignal(int, dict)
    succeeded = pyqtSignal(list)
    failed = pyqtSignal(object)
    said = pyqtSignal(float, str)
    remarked = pyqtSignal(str, str)

    def __init__(self, title: str, calls: Sequence[Call], connection: Connection, *, quiet: bool = False) -> None:
        super().__init__(title, task_flags(quiet=quiet))
        self.title = title
        self.quiet = quiet
        self.apart = False  # whether its connection is its own, so that it holds up nobody
        self.left = threading.Event()  # set when the thread is done with this task, or will never begin
        self.connection = connection
        self._calls = tuple(calls)
        self._results: Results = []
        self._error: QuadratError | None = None

    def run(self) -> bool:
        """Make the calls. Called by QGIS in another thread; no exception leaves it."""
        # The thread only waits, but counts as busy in the pool that also draws the map: two such tasks on a machine
        # with two cores, and nothing would be drawn until one of them ends.
        pool = QThreadPool.globalInstance()
        pool.releaseThread()
        try:
            self._work()
        except QuadratError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - QGIS would drop it, and the analyst would wait for ever
            self._error = unforeseen(error)
        finally:
            self._let_go()
            pool.reserveThread()
            self.left.set()
        return self._error is None

    def finished(self, result: bool) -> None:
        """Publish the outcome. Called by QGIS in the main thread, also for a task that was stopped before it began."""
        self.left.set()
        if result:
            self.succeeded.emit(self._results)
        else:
            self.failed.emit(self._error or Cancelled())

    def _work(self) -> None:
        whole = sum(call.weight for call in self._calls) or 1.0
        done = 0.0
        monitor = Monitor(self._report, self.isCanceled, self.remarked.emit)
        for index, call in enumerate(self._calls):
            if self.isCanceled():
                raise Cancelled()
            params = call.params(self._results) if callable(call.params) else call.params
            if params is None:
                self._results.append({})
            else:
                part = monitor.part(done / whole, (done + call.weight) / whole)
                self._results.append(self.connection.call(call.method, params, part))
                self.step_done.emit(index, self._results[-1])
            done += call.weight

    def _let_go(self) -> None:
        """What is left to do in the task's thread when the calls are over."""

    def _report(self, fraction: float, message: str) -> None:
        self.setProgress(100 * fraction)
        self.said.emit(fraction, message)


class TaskApart(EngineTask):
    """Calls to a worker of their own, which ends with the task, so that other work goes on meanwhile."""

    def __init__(self, title: str, calls: Sequence[Call], connection: Connection, *, quiet: bool = False) -> None:
        super().__init__(title, calls, connection, quiet=quiet)
        self.apart = True

    def _let_go(self) -> None:
        """End the worker."""
        self.connection.close(PATIENCE_S)


class Examination(TaskApart):
    """Try out a Python by its own worker: results are those of ``hello`` and ``doctor``.

    What is known of the Python before it is started is in ``connection.report``, also if the task fails.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        calls = (Call("hello", {}), Call("doctor", {"folder": str(folder)}))
        super().__init__("Quadrat: test the engine", calls, connection, quiet=True)


def unforeseen(error: BaseException) -> QuadratError:
    """An exception that nobody expected as one that can be shown, with its traceback in the details."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    sentence = f"Something went wrong that Quadrat did not foresee: {type(error).__name__}: {error}"
    return QuadratError(sentence, hint="Nothing recorded is lost. Please report the details.", details=trace)


def task_flags(*, quiet: bool) -> Any:
    """No task keeps QGIS from closing; a quiet one is not listed in its task bar (before QGIS 3.26 every one is)."""
    flags = QgsTask.Flag.CanCancel | QgsTask.Flag.CancelWithoutPrompt
    for name in ("Hidden", "Silent") if quiet else ():
        if hasattr(QgsTask.Flag, name):
            flags |= getattr(QgsTask.Flag, name)
    return flags
