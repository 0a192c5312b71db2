"""The tiles themselves for learners: reflectance of any rows of the pool matrix, in any order, again and again.

Networks look at every tile many times and in random order; rasters are decoded in blocks. So the tiles are cut once
into a memory-mapped file of half-precision reflectance for each raster, ``NAME.quadrat/pixels/*.npy``: two bytes a
pixel and band, 2.4 GB for 24,300 tiles of 64 px and 12 bands. Half precision keeps reflectance to 0.05 %.
Losing the folder costs a pass over the rasters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .embedding import ENCODED_ROLES, Embeddings, project_bands
from .errors import ProjectError
from .monitor import SILENT, Monitor
from .project.store import Project
from .tile_arrays import HALF_MAXIMUM, Advance, check_unchanged, make_part, plan_parts, remove_stale

FOLDER = "pixels"
_VERSION = "pixels-1"


class TilePixels:
    """Reflectance by global row, gaps filled; call it with rows (n,) to get (n, bands, H, W) float32.

    ``bands`` are their names, in the order of axis 1, which is Sentinel-2's; ``identity`` changes with the content.
    """

    def __init__(self, files: Sequence[NDArray[np.float16]], bands: tuple[str, ...], identity: str) -> None:
        self.bands = bands
        self.identity = identity
        self._files = list(files)
        self._starts = np.cumsum([0, *(len(file) for file in files)])

    def __len__(self) -> int:
        """How many rows there are, N."""
        return int(self._starts[-1])

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Reflectance (n, bands, H, W) float32 of some global rows (n,), repeated ones too."""
        rows = np.asarray(rows, np.int64)
        pixels = np.empty((len(rows), *self._files[0].shape[1:]), np.float32)
        number = np.searchsorted(self._starts, rows, side="right") - 1
        for index in np.unique(number):
            mine = number == index
            pixels[mine] = self._files[index][rows[mine] - self._starts[index]]
        return pixels


def open_pixels(project: Project, embeddings: Embeddings, monitor: Monitor = SILENT) -> TilePixels:
    """The tiles of all rows of ``embeddings``, cut from the rasters where that was not done before.

    Args:
        project: with tiles.
        embeddings: the pool matrix to whose rows the pixels belong.
        monitor: as for :func:`cut_pixels`.

    Raises:
        ImageryError: as :func:`cut_pixels`.
        ProjectError: the embeddings are those of other tiles, or the disk is full.
    """
    return cut_pixels(project, monitor, embeddings.tile_ids)[0]


def cut_pixels(
    project: Project, monitor: Monitor = SILENT, expected: NDArray[np.int64] | None = None
) -> tuple[TilePixels, NDArray[np.int64]]:
    """The tiles of the pool and the validation sample, cut from the rasters where that was not done before.

    Args:
        project: with tiles.
        monitor: told of every chunk of a raster; a cancelled run goes on from the last one.
        expected: the numbers (N,) of the tiles that there must be, in order.

    Returns:
        the pixels by row, and the number (N,) of the tile of each row.

    Raises:
        ImageryError: a raster has changed, or its tiles were not cut yet and it is missing or truncated.
        ProjectError: the tiles are not those expected, or the disk is full.
    """
    bands = project_bands(project)
    folder = project.folder / FOLDER

    def file_of(raster_id: int, key: str) -> Path:
        return folder / f"raster{raster_id}-{key}.npy"

    parts = plan_parts(project, ENCODED_ROLES, file_of, _VERSION, bands)
    tile_ids = np.array([tile.tile_id for part in parts for tile in part.tiles], np.int64)
    if expected is not None and not np.array_equal(tile_ids, expected):
        raise ProjectError(
            "The embeddings no longer belong to the project's tiles.",
            hint=f"Make them again: quadrat embed {project.path.name}, or Prepare in QGIS.",
        )
    done = 0
    for part in parts:
        share = monitor.part(done / len(tile_ids), (done + len(part.tiles)) / len(tile_ids))
        if part.file.exists():
            check_unchanged(project, part)
        else:
            make_part(project, part, bands, _in_range, "pixels of the tiles", "Cutting", share)
        done += len(part.tiles)
    remove_stale(folder, parts, ("raster",))
    identity = hashlib.sha256("".join(part.key for part in parts).encode()).hexdigest()
    return TilePixels([np.load(part.file, mmap_mode="r") for part in parts], bands, identity), tile_ids


def _in_range(pixels: NDArray[np.float32], advance: Advance) -> NDArray[np.float32]:
    """Reflectance that half precision can hold; there is nothing to wait for."""
    advance(0.0)
    return pixels.clip(-HALF_MAXIMUM, HALF_MAXIMUM)
