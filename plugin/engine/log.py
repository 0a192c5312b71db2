"""What the engine's libraries print, kept in a file that never grows beyond 1 MB, and the one before it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 1_000_000


class RotatingLog:
    """An append-only file; when it is full it becomes ``NAME.1`` and a new one starts.

    A log must never stop the work: where it cannot be written (disk full, folder read-only, or another QGIS holds it
    open on Windows) the lines are dropped.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def write(self, line: bytes) -> None:
        """Append one line, with or without its end."""
        with self._lock, contextlib.suppress(OSError):
            file = self._open()
            file.write(line.rstrip(b"\r\n") + b"\n")
            file.flush()
            if file.tell() >= self._limit_bytes:
                self._rotate()

    def close(self) -> None:
        """Let go of the file; another :meth:`write` would open it again."""
        with self._lock:
            self._close()

    def _open(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        return self._file

    def _rotate(self) -> None:
        self._close()
        try:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        except OSError:  # Windows moves no file that another QGIS holds open: start again in the same one
            self.path.open("wb").close()

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # the last lines do not fit on the disk
                self._file.close()
            self._file = None
