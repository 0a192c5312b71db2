"""What can go wrong with the engine's process, in words; and the errors that it sends, as the exceptions they were."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from ...core import errors

GO_ON_HINT = "Start the same step again; it goes on from there."

_SIGNALS = {
    "SIGKILL": "it was killed: the system was perhaps out of memory",
    "SIGSEGV": "it crashed (segmentation fault)",
    "SIGBUS": "it crashed (bus error): a file became shorter while it was read, or the disk is full",
    "SIGILL": "it crashed: this processor lacks an instruction that a library uses",
    "SIGABRT": "a library aborted it",
    "SIGTERM": "another program ended it",
    "SIGHUP": "another program ended it",
}
_WINDOWS_CRASHES = {
    0xC0000005: "it crashed (access violation)",
    0xC0000017: "it was ended: the system was out of memory",
    0xC000001D: "it crashed: this processor lacks an instruction that a library uses",
    0xC0000135: "a library that it needs was not found",
}


class EngineError(errors.QuadratError):
    """The engine cannot be started, ended in the middle of work or failed unforeseen. What was recorded stays."""

    kind = "engine"


_BY_KIND = {
    kind.kind: kind
    for kind in (
        errors.QuadratError,
        errors.UsageError,
        errors.ProjectError,
        errors.ImageryError,
        errors.EncoderError,
        errors.AnswerError,
        errors.LearningError,
    )
}


def error_from_wire(error: Any) -> errors.QuadratError:
    """The ``error`` member of a reply as the exception that the engine raised; EngineError where it is none of ours."""
    error = error if isinstance(error, Mapping) else {}
    data = error.get("data")
    data = data if isinstance(data, Mapping) else {}
    message = str(error.get("message") or "The engine failed without saying why.")
    if data.get("kind") == errors.Cancelled.kind:
        return errors.Cancelled()
    kind = _BY_KIND.get(str(data.get("kind")), EngineError)
    return kind(message, hint=str(data.get("hint") or ""), details=str(data.get("details") or ""))


def how_it_ended(exit_status: int) -> str:
    """What an exit status says about the end of a process: ``-9`` -> "it was killed: ..."."""
    if exit_status == 0:
        return "it ended by itself"
    if exit_status > 0:
        return _WINDOWS_CRASHES.get(exit_status, f"it ended with status {exit_status}")
    try:
        name = signal.Signals(-exit_status).name
    except ValueError:
        name = f"signal {-exit_status}"
    return _SIGNALS.get(name, f"it was ended by {name}")
