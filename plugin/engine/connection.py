"""The way from QGIS to one Python: it is checked once, then asked through a client.

A connection belongs to one interpreter; another choice means another connection. It may be used from any thread, and
everything that takes time happens in the thread that calls.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import Cancelled
from ...core.monitor import SILENT, Monitor
from .client import TICK_S, EngineClient
from .environment import CHOOSE_HINT, InterpreterReport, check_interpreter, clean_environment
from .errors import EngineError


class Connection:
    """An interpreter, what is known of it, and the client that speaks to its worker."""

    def __init__(self, interpreter: Path | None, plugin_folder: Path, log: Path) -> None:
        self.interpreter = interpreter
        self.report: InterpreterReport | None = None
        self._checking = threading.Lock()
        self._closed = False
        self._client = EngineClient(
            [str(interpreter), "-m", "core", "worker"],
            folder=plugin_folder,
            environment=clean_environment(os.environ),
            log=log,
        )

    @property
    def hello(self) -> dict[str, Any] | None:
        """What the last started worker said of itself."""
        return self._client.hello

    @property
    def pid(self) -> int | None:
        """Number of the worker's process, if one lives."""
        return self._client.pid

    def call(self, method: str, params: Mapping[str, Any], monitor: Monitor = SILENT) -> dict[str, Any]:
        """Ask the engine and wait. Raises as :meth:`EngineClient.call`, and EngineError if the Python will not do."""
        self._check(lambda: self._closed or monitor.is_cancelled())
        return self._client.call(
            method, params, on_progress=monitor.report, on_log=monitor.remark, is_cancelled=monitor.is_cancelled
        )

    def close(self, patience_s: float) -> None:
        """End the worker for good, as :meth:`EngineClient.close`."""
        self._closed = True
        self._client.close(patience_s)

    def _check(self, is_cancelled: Callable[[], bool]) -> None:
        while not self._checking.acquire(timeout=TICK_S):
            if is_cancelled():
                raise Cancelled()
        try:
            if self.report is None:
                if self.interpreter is None:
                    raise EngineError("Quadrat's engine has not been set up yet.", hint=CHOOSE_HINT)
                self.report = check_interpreter(self.interpreter, is_cancelled)
        finally:
            self._checking.release()
