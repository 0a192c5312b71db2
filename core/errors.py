"""The one family of errors that Quadrat raises on purpose.

Every error answers the analyst's two questions: what happened (``message``, a sentence) and what to do about it
(``hint``). ``details`` holds whatever helps a developer, or one line for each of many problems. An error means that
the operation did not take place: nothing is left half written unless the class says so.

Only the standard library is used here, because QGIS's own Python imports this module too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QuadratError(Exception):
    """Base of all: ``kind`` names the class of problem in machine-readable output, ``exit_status`` the shell's."""

    kind = "error"
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def as_dict(self) -> dict[str, str]:
        """The fields as they go into JSON output and into the engine's protocol."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, "details": self.details}


class UsageError(QuadratError):
    """A value that was asked for makes no sense (unknown name, budget of 0, ...). Nothing was started."""

    kind = "usage"
    exit_status = 2


class ProjectError(QuadratError):
    """The project file cannot be created, opened, read or written. What was in it before is still there."""

    kind = "project"


class ImageryError(QuadratError):
    """A raster or area of interest cannot be used: missing, truncated, without bands, of the wrong unit, changed."""

    kind = "imagery"


class EncoderError(QuadratError):
    """An encoder cannot be loaded or must not be applied to this imagery."""

    kind = "encoder"


class UnknownEncoderError(EncoderError):
    """A name that no encoder has. Nothing was started."""

    exit_status = 2


class AnswerError(QuadratError):
    """One or more answers are not acceptable; ``details`` has a line for each. None of them was recorded."""

    kind = "answer"


class LearningError(QuadratError):
    """The labels do not allow what was asked, for example training with a single class."""

    kind = "learning"


class Cancelled(QuadratError):
    """The caller asked to stop. What was finished before stays; the same call goes on from there."""

    kind = "cancelled"
    exit_status = 130

    def __init__(self, message: str = "Stopped as asked.") -> None:
        super().__init__(message, hint="Start the same step again to go on.")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known name, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known: {', '.join(known)}." if known else "It has no parameters."
