"""Published weights: looked for in one folder, else downloaded into it.

The folder is that of the environment variable ``QUADRAT_WEIGHTS``, else the user's cache. On a machine without network
the files are put there by hand under their published names. A file counts only if its hash is the one expected; one
with another hash is kept, out of the way, under another name. A download becomes visible under its name when it is
whole and right. Of several processes that want the same file one downloads and the others wait for it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from .errors import EncoderError
from .monitor import SILENT, Monitor

if TYPE_CHECKING:
    from .transfer import Wanted

FOLDER_VARIABLE = "QUADRAT_WEIGHTS"


def weights_folder() -> Path:
    """Where weights are looked for and downloaded to; it need not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).expanduser() if chosen else _user_cache() / "quadrat" / "weights"


def _user_cache() -> Path:
    """The folder for what can be made again, by each system's convention."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def find_weights(name: str, sha256: str) -> Path | None:
    """The path of a published file that is already in the folder of weights, or None.

    Args:
        name: of the file.
        sha256: its hash in hexadecimal, or how that begins (8 digits or more).

    Raises:
        EncoderError: a name with a folder in it, or no such hash.
    """
    _check(name, sha256)
    path = weights_folder() / name
    return path if _digest_of(path).startswith(sha256.lower()) else None


def weights_file(name: str, url: str, sha256: str, monitor: Monitor = SILENT) -> Path:
    """The path of a published file, downloaded if it is not in the folder of weights yet.

    Args:
        name: of the file in the folder.
        url: where it is published; https.
        sha256: its hash in hexadecimal, or how that begins (8 digits or more).
        monitor: told of the progress in MB; a cancelled download goes on where it stopped.

    Raises:
        EncoderError: no network, refused by the server, another hash, or the folder cannot be written to.
        Cancelled: the caller asked to stop.
    """
    found = find_weights(name, sha256)
    if found is not None:
        return found
    # Only a download needs the network's libraries, which take longer to load than to look for a file.
    from .transfer import Wanted, check_url, no_room

    check_url(url)
    path = weights_folder() / name
    by_hand = f"get {url} on another machine and put it into {path.parent} as {name}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path, monitor):
            if not _digest_of(path).startswith(sha256.lower()):  # another process may have been first
                _keep_aside(path, monitor)
                _download(Wanted(name, url, sha256, by_hand), path, monitor)
    except OSError as error:
        raise no_room(path.parent, error) from error
    return path


def _check(name: str, sha256: str) -> None:
    if name in ("", "..") or Path(name).name != name or "\\" in name:
        raise EncoderError(
            f"{name!r} is no name of a file of weights.", hint="Give a file name without a folder in the encoder file."
        )
    if not re.fullmatch("[0-9a-fA-F]{8,64}", sha256):
        raise EncoderError(
            f"The hash of {name} is {sha256!r}, which is no SHA-256.",
            hint="Give `sha256` in the encoder file: 64 hexadecimal digits, or the first 8 or more.",
        )


def _digest_of(path: Path) -> str:
    """SHA-256 in hexadecimal; empty where there is no readable file."""
    try:
        state = path.stat()
        return _digest(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return ""


@functools.lru_cache
def _digest(path: Path, _size: int, _changed: int) -> str:
    """Remembered, because a list of all encoders looks for the same files again and again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(path: Path, monitor: Monitor) -> Generator[None, None, None]:
    """Wait until no other process downloads the same file. The lock of a process that was killed is free."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=0.3)
            break
        except Timeout:
            monitor.advance(0.0, f"Waiting for another download of {path.name}")
    try:
        yield
    finally:
        lock.release()


def _keep_aside(path: Path, monitor: Monitor) -> None:
    if path.exists():
        aside = path.with_name(f"{path.name}.wrong")
        path.replace(aside)
        monitor.warn(f"{path.name} was not the file expected (another hash); it is now called {aside.name}.")


def _download(wanted: Wanted, path: Path, monitor: Monitor) -> None:
    from .transfer import fetch

    part = path.with_name(f"{path.name}.part")
    digest = fetch(wanted, part, monitor)
    if not digest.startswith(wanted.sha256.lower()):
        size = part.stat().st_size
        part.unlink()
        raise EncoderError(
            f"What was downloaded as {wanted.name} is not the file that was published, so it was thrown away.",
            hint=f"Run the same again; if that does not help, check whether your network asks for a login, "
            f"or {wanted.by_hand}",
            details=f"{wanted.url}: {size} bytes, expected sha256 {wanted.sha256}, found {digest}",
        )
    part.replace(path)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)
