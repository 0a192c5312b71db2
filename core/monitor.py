"""How long-running functions talk to whoever called them: progress, cancellation, remarks.

The engine never prints. A caller hands in a :class:`Monitor` made of plain callables; the command line draws a bar
with it, the worker writes protocol messages, tests collect what was said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import Cancelled


def _ignore_progress(fraction: float, message: str) -> None:
    """Report to nobody."""


def _never() -> bool:
    """No one ever asks to stop."""
    return False


def _ignore_remark(level: str, message: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Monitor:
    """Three callables: ``report(fraction 0-1, message)``, ``is_cancelled()`` and ``remark(level, message)``.

    ``level`` is ``"info"`` or ``"warning"``.
    """

    report: Callable[[float, str], None] = _ignore_progress
    is_cancelled: Callable[[], bool] = _never
    remark: Callable[[str, str], None] = _ignore_remark

    def advance(self, fraction: float, message: str) -> None:
        """Report progress; call it at least once a second inside every long loop.

        Raises:
            Cancelled: the caller asked to stop since the last call.
        """
        if self.is_cancelled():
            raise Cancelled()
        self.report(min(max(fraction, 0.0), 1.0), message)

    def info(self, message: str) -> None:
        """Something the analyst may want to know."""
        self.remark("info", message)

    def warn(self, message: str) -> None:
        """Something the analyst should know, although the work goes on."""
        self.remark("warning", message)

    def part(self, start: float, end: float) -> Monitor:
        """A monitor for one stage of a job, whose 0-1 is mapped to ``start``-``end`` of this one."""
        return Monitor(
            report=lambda fraction, message: self.report(start + (end - start) * fraction, message),
            is_cancelled=self.is_cancelled,
            remark=self.remark,
        )


SILENT = Monitor()
