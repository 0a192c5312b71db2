"""Ask the engine from any thread, and wait for the answer.

:class:`EngineClient` is blocking, safe to share between threads and free of Qt. It starts the worker at the first call,
and again at the next one after it died or failed in a way that nobody foresaw; whoever waited for a dead worker gets an
:class:`EngineError` that says why.
A call is stopped by its own ``is_cancelled``: the worker is asked first, and ended only if it does not react.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import Cancelled
from ...core.monitor import SILENT, Monitor
from .errors import EngineError, error_from_wire
from .log import RotatingLog
from .worker import ENDED, Worker

PROTOCOL = 1
TICK_S = 0.1
START_S = 60.0  # the first import of torch from a slow disk
CANCEL_S = 5.0
TERMINATE_S = 3.0
STOP_NOTE = "--- asked to stop:"  # in the log, where it tells a stopped step from one that broke off
TEST_HINT = "Test the engine's Python in Raster > Quadrat > Engine…, or choose another one there."


class EngineClient:
    """The one who speaks to the worker. ``close`` ends it for good; a closed client only says Cancelled."""

    def __init__(self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._command = list(command)
        self._folder = folder
        self._environment = dict(environment)
        self._log = RotatingLog(log)
        self._starting = threading.Lock()
        self._state = threading.Lock()  # _closed and _worker change together
        self._closed = False
        self._worker: Worker | None = None
        self.hello: dict[str, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether a worker lives."""
        worker = self._worker
        return worker is not None and worker.running

    @property
    def pid(self) -> int | None:
        """Number of the worker's process, if one lives."""
        worker = self._worker
        return worker.pid if worker is not None and worker.running else None

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        on_progress: Callable[[float, str], None] | None = None,
        on_log: Callable[[str, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Ask the engine for one thing and wait for the result. The callables are called in this thread.

        Raises:
            QuadratError: the engine refused; the subclass, message, hint and details are those it raised.
            EngineError: the worker does not start, ended in the middle, or failed unforeseen.
            Cancelled: ``is_cancelled`` said so, or the client was closed.
        """
        monitor = Monitor(on_progress or SILENT.report, is_cancelled or SILENT.is_cancelled, on_log or SILENT.remark)
        worker = self._running_worker(monitor)
        return self._ask(worker, method, params or {}, monitor, CANCEL_S)

    def close(self, patience_s: float = 3.0) -> None:
        """End the worker: its input is closed, then it is terminated, then killed, ``patience_s`` apart.

        Calls that wait for it raise Cancelled.
        """
        with self._state:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.end(patience_s, patience_s)
        self._log.close()

    def _running_worker(self, monitor: Monitor) -> Worker:
        while not self._starting.acquire(timeout=TICK_S):
            if monitor.is_cancelled():
                raise Cancelled()
        try:
            if self._worker is not None and self._worker.running:
                if not (self._worker.is_worn and self._worker.is_idle):
                    return self._worker
                self._worker.end(TERMINATE_S, TERMINATE_S)
            worker = self._start()
            try:
                self.hello = self._greet(worker, monitor)
            except BaseException:
                worker.end(0, TERMINATE_S)
                raise
            return worker
        finally:
            self._starting.release()

    def _start(self) -> Worker:
        with self._state:
            if self._closed:
                raise Cancelled()
            self._log.write(time.strftime("--- %Y-%m-%d %H:%M:%S start: ").encode() + " ".join(self._command).encode())
            try:
                self._worker = Worker(self._command, self._folder, self._environment, self._log)
            except OSError as error:
                raise EngineError(
                    f"The engine cannot be started with {self._command[0]}: {error.strerror or error}.",
                    hint=TEST_HINT,
                ) from error
            return self._worker

    def _greet(self, worker: Worker, monitor: Monitor) -> dict[str, Any]:
        """The first words of a new worker, which must come in time and from an engine that we understand."""
        deadline = time.monotonic() + START_S
        waiting = Monitor(is_cancelled=lambda: monitor.is_cancelled() or time.monotonic() > deadline)
        try:
            hello = self._ask(worker, "hello", {}, waiting, 0)
        except EngineError as error:
            error.hint = TEST_HINT
            raise
        except Cancelled:
            if self._closed or monitor.is_cancelled():
                raise
            raise EngineError(
                f"The engine did not answer within {START_S:.0f} seconds of its start.",
                hint=TEST_HINT,
                details=worker.last_words(),
            ) from None
        if hello.get("name") != "quadrat" or hello.get("protocol") != PROTOCOL:
            raise EngineError(
                f"The engine is not the one that belongs to this plugin: it says {hello.get('name')!r}, "
                f"protocol {hello.get('protocol')!r} instead of {PROTOCOL}.",
                hint="Install plugin and engine of the same version and restart QGIS.",
            )
        return hello

    def _ask(
        self, worker: Worker, method: str, params: Mapping[str, Any], monitor: Monitor, patience_s: float
    ) -> dict[str, Any]:
        """One question to one worker. After it was cancelled the worker has ``patience_s`` to reply."""
        if monitor.is_cancelled():  # a quick worker would be done before it hears that nobody waits
            raise Cancelled()
        give_up_at: float | None = None
        with worker.request(method, params) as request:
            while True:
                message = request.next(TICK_S)
                if message is ENDED:
                    raise Cancelled() if self._closed or give_up_at is not None else worker.death()
                if message is not None:
                    if request.answered:
                        return _result(worker, message)
                    _pass_on(message, monitor)
                if give_up_at is None and monitor.is_cancelled():
                    request.cancel()
                    self._log.write(f"{STOP_NOTE} {method}".encode())
                    give_up_at = time.monotonic() + patience_s
                if give_up_at is not None and time.monotonic() >= give_up_at:
                    worker.end(0, TERMINATE_S, "it did not react when it was asked to stop, and was ended")
                    raise Cancelled()


def _pass_on(message: Mapping[str, Any], monitor: Monitor) -> None:
    """Hand a notification to the caller."""
    params = message["params"]
    text = str(params.get("message", ""))
    if message["method"] == "progress":
        monitor.report(float(params.get("fraction", 0)), text)
    elif message["method"] == "log":
        monitor.remark(str(params.get("level", "info")), text)


def _result(worker: Worker, message: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a reply, or its error; one that is none of Quadrat's own may have left modules half loaded."""
    if "error" in message:
        error = error_from_wire(message["error"])
        worker.is_worn = worker.is_worn or isinstance(error, EngineError)
        raise error
    result = message.get("result")
    return result if isinstance(result, dict) else {}
