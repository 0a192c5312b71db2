"""SQLite as Quadrat uses it: how a project file is connected to, and what its errors mean to an analyst.

Write-ahead logging (WAL) lets QGIS read while answers are written, in under a millisecond each. Two things follow:

- WAL needs memory shared between processes, so it is off on network drives.
- A program may contain two copies of the SQLite library (Python's own and the one inside GDAL's wheel). On POSIX,
  file locks belong to the process, so when the other copy closes the file it believes to be the last user and
  deletes the log under our connection; whatever we then write into the deleted log is lost. A :class:`.Presence`
  keeps everybody from deleting it where there is such a lock; elsewhere :class:`Connector` notices that the log
  changed and connects again before anything is read or written.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from ..errors import ProjectError
from .presence import Presence

NETWORK_FILE_SYSTEMS = {
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "drvfs", "fuse.davfs", "fuse.glusterfs", "fuse.rclone",
    "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs", "smb2", "smb3", "smbfs",
    "vboxsf", "virtiofs",
}  # fmt: skip

_WINDOWS_REMOTE_DRIVE = 4  # DRIVE_REMOTE of GetDriveTypeW

# What SQLite says, what that means, what helps. {name} is the file's name.
_MEANINGS = (
    (
        "locked",
        "{name} is being used by another program.",
        "Finish or close the work on it there (in QGIS: stop editing its layers), then do this again.",
    ),
    (
        "full",
        "The disk is full, so {name} was not changed.",
        "Free some space and do this again; everything recorded before is still there.",
    ),
    (
        "readonly",
        "{name} cannot be changed, because the file or its folder is read-only.",
        "Make both writable, or copy the project to a folder of your own.",
    ),
    (
        "disk I/O error",
        "The disk reported an error while {name} was read or written; the last step was not recorded.",
        "Check the drive and its free space or quota, then do this again; everything recorded before is still there.",
    ),
    (
        "malformed",
        "{name} is damaged.",
        "Restore it from a backup, or rescue what is left with the .recover command of the sqlite3 shell.",
    ),
    (
        "not a database",
        "{name} is not a project: it is not a GeoPackage, or it is damaged.",
        "Choose the .gpkg file of a Quadrat project, or restore it from a backup.",
    ),
    (
        "unable to open",
        "{name} cannot be opened.",
        "Check that the file and its folder exist and that you may read and write both.",
    ),
)


def utc_now() -> str:
    """The present moment as GeoPackage writes it: ``2026-01-31T12:00:00.000Z``."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors inside the block into :class:`ProjectError`; the one place where that is done."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a mistake in Quadrat, for example a connection used by two threads
    except sqlite3.Error as error:
        for words, message, hint in _MEANINGS:
            if words in str(error):
                raise ProjectError(message.format(name=path.name), hint=hint, details=str(error)) from error
        raise ProjectError(
            f"{path.name} refused to be read or changed.",
            hint="Nothing was changed. If it happens again, please report it with the details below.",
            details=str(error),
        ) from error


def on_network_drive(path: Path) -> bool:
    """Whether ``path`` lies on a file system that other machines may write to at the same time."""
    if sys.platform == "win32":
        drive = path.resolve().drive
        is_remote: int = ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\")
        return drive.startswith("\\\\") or is_remote == _WINDOWS_REMOTE_DRIVE
    if sys.platform == "darwin":
        return path.resolve().parts[:2] == ("/", "Volumes")  # also USB drives, which do no worse without WAL
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return file_system_of(path.resolve(), mounts) in NETWORK_FILE_SYSTEMS


def file_system_of(path: Path, mounts: str) -> str:
    """Type of the file system that holds the absolute ``path``, given the text of ``/proc/mounts``."""
    longest, found = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount_point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        depth = len(mount_point.parts)
        if depth >= longest and (mount_point == path or mount_point in path.parents):
            longest, found = depth, fields[2]  # of two mounts on one point the later one hides the earlier
    return found


def store_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Put a value under ``key`` into the project's settings, within the caller's transaction."""
    connection.execute(
        'INSERT INTO quadrat ("key", value) VALUES (?, ?) ON CONFLICT ("key") DO UPDATE SET value = excluded.value',
        (key, value),
    )


class Connector:
    """One connection to one file, in one thread, made anew when its log was deleted by someone else."""

    def __init__(self, path: Path, *, writable: bool, busy_timeout_s: float) -> None:
        self._path = path
        self._writable = writable
        self._busy_timeout_s = busy_timeout_s
        self._log_index = path.with_name(path.name + "-shm")
        self._log_seen: tuple[int, int] | None = None
        self._presence: Presence | None = None
        self._is_lost = False
        self._connection: sqlite3.Connection | None = self._connect()

    def get(self) -> sqlite3.Connection:
        """The connection, checked to be the one that other programs see too; call it before every step.

        Raises:
            sqlite3.ProgrammingError: it was closed.
        """
        if self._connection is None:
            raise sqlite3.ProgrammingError("the project is closed")
        if not self._is_lost and self._connection.in_transaction:
            return self._connection
        current = self._log_identity()
        if self._is_lost or (self._log_seen is not None and current != self._log_seen):
            self._connect_again(self._connection)
            current = self._log_identity()
        if current is None:  # a first read opens the log, if the file is in WAL mode
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            current = self._log_identity()
        self._log_seen = current
        return self._connection

    def _connect_again(self, old: sqlite3.Connection) -> None:
        """Replace the connection; if that fails now, because the file is away, the next call tries again."""
        self._is_lost = True
        old.close()
        if self._presence is not None:
            self._presence.end()
            self._presence = None
        self._connection = self._connect()
        self._is_lost = False

    def reopen(self) -> None:
        """Connect again after :meth:`close`."""
        if self._connection is None:
            self._log_seen = None
            self._connection = self._connect()

    def close(self) -> None:
        """Close, leaving a single file behind unless another program has it open."""
        if self._connection is None:
            return
        if self._presence is not None:
            self._presence.release()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA busy_timeout = 0")
            connection = self.get()
            if self._writable:
                connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()
        self._connection = None
        if self._presence is not None:
            self._presence.end()
            self._presence = None

    def _connect(self) -> sqlite3.Connection:
        connection = open_connection(self._path, writable=self._writable, busy_timeout_s=self._busy_timeout_s)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if self._writable:
            mode = "DELETE" if on_network_drive(self._path) else "WAL"
            connection.execute("PRAGMA busy_timeout = 0")
            with contextlib.suppress(sqlite3.OperationalError):  # someone reads it now: it works in either mode
                connection.execute(f"PRAGMA journal_mode = {mode}")
            connection.execute(f"PRAGMA busy_timeout = {round(self._busy_timeout_s * 1000)}")
            if self._presence is None and connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                self._presence = Presence(self._path)
        return connection

    def _log_identity(self) -> tuple[int, int] | None:
        try:
            status = self._log_index.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def open_connection(path: Path, *, writable: bool, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection with explicit transactions that has read the file once, and changed nothing."""
    address = _address(path)
    if writable:
        return _first_read(f"{address}?mode=rw", busy_timeout_s)
    try:
        return _first_read(f"{address}?mode=ro", busy_timeout_s)
    except sqlite3.OperationalError:
        unfinished = any(_has_content(path.with_name(path.name + end)) for end in ("-wal", "-journal"))
        if unfinished:
            # A writer was killed: SQLite has to restore the last committed state first, which is writing.
            _first_read(f"{address}?mode=rw", busy_timeout_s).close()
            return _first_read(f"{address}?mode=ro", busy_timeout_s)
        if os.access(path.parent, os.W_OK):
            raise
        # WAL wants to make its index beside the file, even for reading; in a read-only folder nobody writes.
        return _first_read(f"{address}?mode=ro&immutable=1", busy_timeout_s)


def _first_read(address: str, busy_timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=busy_timeout_s, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _address(path: Path) -> str:
    text = path.absolute().as_posix()
    return "file://" + ("" if text.startswith("/") else "/") + quote(text)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
