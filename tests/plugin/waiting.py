"""Wait for something to become true while Qt goes on working; never guess how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from qgis.PyQt.QtTest import QTest

STEP_MS = 10


def wait_until(condition: Callable[[], object], what: str = "", seconds: float = 60.0) -> None:
    """Process events until ``condition()`` is true.

    Raises:
        AssertionError: it is still false after a time in which it would have become true on the slowest machine.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what or condition}"
        QTest.qWait(STEP_MS)
