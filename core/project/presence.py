"""A mark on an open project that no other part of the same program can wipe out by accident.

SQLite says that it is here with a shared lock on the file; whoever closes the file and finds no such lock of others
tidies up, and deletes the write-ahead log. On POSIX those locks belong to the process and are lost as soon as *any*
part of it closes the file, which GDAL does whenever QGIS opens a layer of it: the log is then deleted under us by the
next program that closes the project. A lock of the open file description kind (Linux) lasts until its own descriptor is
closed. It lies on the bytes that an exclusive lock needs, so nobody tidies up while it is held.

Elsewhere there is nothing to do (Windows: locks belong to handles) or nothing to do it with (macOS), and
:class:`.database.Connector` notices afterwards.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# SQLite's file format: the bytes that a shared lock takes one of, and an exclusive lock all.
_SHARED_FIRST = 0x40000002
_SHARED_SIZE = 510


class Presence:
    """Held from now until :meth:`end`, for a file in WAL mode: in any other mode it would keep others from writing."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        if hasattr(fcntl, "F_OFD_SETLK"):
            self._descriptor = os.open(path, os.O_RDONLY)
            _lock(self._descriptor, fcntl.F_RDLCK)

    def release(self) -> None:
        """Give the lock up, so that the file can be left tidy; the descriptor stays until :meth:`end`."""
        if self._descriptor is not None:
            _lock(self._descriptor, fcntl.F_UNLCK)

    def end(self) -> None:
        """Close the descriptor; after SQLite's connection, because closing takes this process's other locks along."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int, kind: int) -> None:
    # struct flock of a 64-bit Linux: type, whence, start, length, process (0 for this kind of lock).
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
    with contextlib.suppress(OSError):  # a file system without such locks: no worse than before
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
