"""Whatever went wrong, as an error with a sentence for the analyst and what to do."""

from __future__ import annotations

import errno
import traceback

from ..errors import QuadratError


class MachineError(QuadratError):
    """The computer lacks something: memory, room on a disk, a file, the right to use it."""

    kind = "machine"


class InstallationError(QuadratError):
    """The engine's Python lacks a package, or one that cannot be loaded."""

    kind = "installation"


class UnforeseenError(QuadratError):
    """A fault of Quadrat's."""

    kind = "unforeseen"


_OF_ERRNO = {
    errno.ENOENT: ("There is no {file}", "Check the path, or whether it was moved."),
    errno.EACCES: ("{file} may not be used", "Check its rights, and those of its folder."),
    errno.EPERM: ("{file} may not be used", "Check its rights, and those of its folder."),
    errno.EROFS: ("{file} lies on a disk that cannot be written to", "Use another folder."),
    errno.ENOSPC: ("The disk is full", "Free some space and start the same step again."),
    errno.EDQUOT: ("The disk quota is used up", "Free some space and start the same step again."),
    errno.EMFILE: ("Too many files are open", "Close other programs, or restart the engine."),
}
_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


def explain(error: BaseException) -> QuadratError:
    """The error itself if it is one of Quadrat's, else what it means to an analyst."""
    if isinstance(error, QuadratError):
        return error
    details = "".join(traceback.format_exception(error))
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY):
        return _memory(error, details)
    if "CUDA error" in str(error):
        return MachineError(
            "The GPU stopped working.",
            hint="Restart the engine and start the same step again; if it happens again, use the device cpu.",
            details=details,
        )
    if isinstance(error, OSError) and error.errno in _OF_ERRNO:
        message, hint = _OF_ERRNO[error.errno]
        return MachineError(f"{message.format(file=error.filename or 'file')}.", hint=hint, details=details)
    if isinstance(error, ImportError):
        return InstallationError(
            f"The engine's Python cannot load {error.name or 'a package'}: {error}.",
            hint="Set up the engine again (make setup), or choose another Python for it.",
            details=details,
        )
    return UnforeseenError(
        f"Something went wrong that Quadrat did not foresee: {type(error).__name__}: {error}",
        hint="Start the same step again; if it happens again, please report it with the details.",
        details=details,
    )


def _memory(error: BaseException, details: str) -> MachineError:
    if "CUDA" in str(error) or "OutOfMemoryError" in type(error).__name__:
        return MachineError(
            "The GPU has not enough free memory.",
            hint="Close other programs that use the GPU, or use the device cpu, and start the same step again.",
            details=details,
        )
    return MachineError(
        "The computer has not enough free memory.",
        hint="Close other programs and start the same step again.",
        details=details,
    )
