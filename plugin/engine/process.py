"""Other programs, started and ended the same way everywhere: never through a shell, never with a window."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], **pipes: Any
) -> subprocess.Popen[bytes]:
    """Start a program that inherits nothing but its pipes. Raises OSError if that is not possible.

    On POSIX it leads a group of its own: Ctrl+C in the terminal from which QGIS was started does not reach it, and
    :func:`end` also reaches what it has started, for example Python behind a wrapper script.
    """
    return subprocess.Popen(  # noqa: S603 - a list of arguments, never a shell
        list(command),
        cwd=str(folder),
        env=dict(environment),
        close_fds=True,
        start_new_session=os.name == "posix",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        **pipes,
    )


def end(process: subprocess.Popen[bytes], *, by_force: bool) -> None:
    """Ask a program and what it started to end, or end them by force.

    By force also ends what a program that has ended by itself left behind: the group keeps its number while it has
    members, and has none otherwise.
    """
    ended = process.poll() is not None
    if os.name == "posix":
        if by_force or not ended:
            # Nobody may be left; macOS says "not permitted" of one that is ending.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL if by_force else signal.SIGTERM)
    elif not ended:
        process.kill()
