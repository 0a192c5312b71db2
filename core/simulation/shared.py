"""What runs share by way of files, so that many processes hold it once: ``kept/``, which may be deleted at any time.

``vectors.npy`` the embeddings and ``tiles-KEY.npy`` the images, both mapped into memory; ``POOL/`` what learners keep
of a pool, see :class:`..model_files.ModelFiles`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from ..errors import UsageError
from ..kernels import Floats, Indices
from ..learners.base import Arrays
from ..model_files import ModelFiles
from ..monitor import Monitor
from ..resizing import resized
from .dataset import Tiles, Vectors

_TOGETHER = 64


@dataclass(frozen=True)
class Keeper:
    """A :class:`..learners.base.Keep` for all processes: whoever comes first makes it, and the others wait for it."""

    folder: Path
    key: str

    def __call__(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays, kept or new."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            return ModelFiles(self.folder).keep(name, self.key, make)


def keeper_of(folder: Path, vectors: Vectors, pool: Indices) -> Keeper:
    """The keeper of these rows (P,) of the vectors, beneath ``folder``."""
    key = hashlib.sha256(vectors.key.encode() + np.ascontiguousarray(pool).tobytes()).hexdigest()
    return Keeper(folder / key[:16], key)


@dataclass(frozen=True)
class MappedVectors:
    """Vectors in a file, for other processes."""

    file: Path
    encoder: str
    key: str

    def open(self) -> Vectors:
        """The vectors, read from the disk where they are looked at."""
        return Vectors(np.load(self.file, mmap_mode="r"), self.encoder, self.key)


def map_vectors(vectors: Vectors, folder: Path) -> MappedVectors:
    """Put vectors into a file.

    Raises:
        UsageError: there is no room.
    """
    file, part = folder / "vectors.npy", folder / "vectors.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            np.save(out, vectors.matrix)
        part.replace(file)
    except OSError as error:
        raise _no_room(folder, vectors.matrix.nbytes, error) from error
    return MappedVectors(file, vectors.encoder, vectors.key)


@dataclass(frozen=True)
class MappedTiles:
    """Images in a file of half precision (N, bands, S, S), for learners that look at them again and again.

    Half precision keeps reflectance to 0.05 %.
    """

    bands: tuple[str, ...]
    file: Path

    def read(self, rows: Indices, size_px: int | None = None) -> Floats:
        """Reflectance (n, bands, S, S) float32 of some rows (n,), at ``size_px`` or, if None, as they are."""
        tiles: Floats = np.load(self.file, mmap_mode="r")[rows].astype(np.float32)
        if size_px is None:
            return tiles
        return np.asarray(resized(torch.from_numpy(tiles), size_px).numpy())


def map_tiles(tiles: Tiles, count: int, mapped: MappedTiles, monitor: Monitor) -> None:
    """Put the images of ``count`` rows into their file, unless that was done before.

    Raises:
        UsageError: there is no room.
        ImageryError: an image cannot be read.
        Cancelled: the caller asked to stop.
    """
    if mapped.file.exists():
        return
    part = mapped.file.with_suffix(".part")
    shape = (count, *tiles.read(np.zeros(1, np.int64)).shape[1:])
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
    except OSError as error:
        raise _no_room(part.parent, int(np.prod(shape)) * 2, error) from error
    for start in range(0, count, _TOGETHER):
        monitor.advance(start / count, "Reading the images")
        rows = np.arange(start, min(start + _TOGETHER, count))
        array[rows] = tiles.read(rows)
    array.flush()
    part.replace(mapped.file)


def _no_room(folder: Path, size: int, error: OSError) -> UsageError:
    return UsageError(
        f"There is no room for {size / 2**20:.0f} MiB in {folder}.",
        hint="Make room, or choose another folder (--out).",
        details=str(error),
    )
