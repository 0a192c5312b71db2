"""Read the tiles of a raster as fast as it can be decoded, in bounded memory, ahead of whoever uses them.

1. The tiles asked for are grouped into chunks of about 1024 x 1024 px along the raster's blocks; a tile belongs to the
   chunk that holds its upper-left pixel, and a chunk's window is the union of its tiles. So a block is decoded about
   once, whatever the order of the tiles.
2. A thread with a dataset of its own reads chunks and cuts them into tiles of float32 reflectance, while the consumer
   works on earlier ones. One thread, because a second dataset would have a block cache of its own and decode what
   neighbouring chunks share again; GDAL's own threads decode the blocks of a chunk in parallel.
3. The batches come out in the order of the plan, at most two of them waiting. A consumer that stops early, by an
   error or by closing the iterator, stops the thread too.

A pixel is valid if every band that is read is finite and not nodata, and the dataset's mask, if it has one, agrees.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..errors import ImageryError
from ..monitor import SILENT, Monitor
from .grid import TileGrid
from .rasters import Raster, has_mask, open_dataset, read_mask, read_window
from .sentinel2 import Radiometry

_CHUNKS_AHEAD = 2
_CHUNK_PX = 1 << 20
_BATCH_BYTES = 1 << 26

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Chunk:
    """What is read at once: a ``window`` of the raster, and ``positions`` (n,) of its tiles in the list asked for."""

    window: Window
    positions: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TileBatch:
    """The tiles of one chunk.

    ``chunk`` is its number in the plan, ``positions`` (n,) point into the list of tiles asked for, ``pixels``
    (n, bands, size, size) are float32 reflectance. A pixel that is not valid has the mean of its tile's valid pixels
    in each band; a tile without any is 0 throughout.
    """

    chunk: int
    positions: NDArray[np.int64]
    pixels: NDArray[np.float32]


def chunk_plan(raster: Raster, grid: TileGrid, rows: NDArray[np.integer], cols: NDArray[np.integer]) -> list[Chunk]:
    """Group tiles (n,), in any order and number, into chunks. The same input gives the same plan.

    Raises:
        ImageryError: a tile outside the grid.
    """
    tops, lefts = grid.pixel_offsets(rows, cols)
    if not len(tops):
        return []
    height, width = _chunk_shape(raster, grid)
    chunks_across = raster.width // width + 1
    keys = (tops // height) * chunks_across + lefts // width
    order = np.argsort(keys, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    return [Chunk(_union_window(tops[group], lefts[group], grid.size), group) for group in groups]


def _chunk_shape(raster: Raster, grid: TileGrid) -> tuple[int, int]:
    """Rows and columns of a chunk: whole blocks, as many as the pixels and the bytes of a batch allow."""
    overlap = max(1.0, (grid.size / grid.stride) ** 2)
    pixels = min(_CHUNK_PX, int(_BATCH_BYTES / (4 * len(raster.bands) * overlap)))
    block_height, block_width = raster.block_shape
    if block_width >= raster.width:  # strips: the full width, or the strips would be decoded again and again
        return _whole_blocks(pixels // raster.width, block_height), raster.width
    side = math.isqrt(pixels)
    return _whole_blocks(side, block_height), _whole_blocks(side, block_width)


def _whole_blocks(length: int, block: int) -> int:
    """A multiple of the block; blocks far longer than what is allowed (a whole image) cannot be respected."""
    if block > 2 * length:
        return max(length, 1)
    return block * max(1, length // block)


def _union_window(tops: NDArray[np.int64], lefts: NDArray[np.int64], size: int) -> Window:
    top, left = int(tops.min()), int(lefts.min())
    return Window(left, top, int(lefts.max()) + size - left, int(tops.max()) + size - top)


def read_tiles(
    raster: Raster,
    grid: TileGrid,
    rows: NDArray[np.integer],
    cols: NDArray[np.integer],
    *,
    bands: Sequence[str] | None = None,
    first_chunk: int = 0,
    monitor: Monitor = SILENT,
) -> Generator[TileBatch, None, None]:
    """Tiles as float32 reflectance, one batch for each chunk of :func:`chunk_plan`, in its order.

    Args:
        rows, cols: the tiles (n,), in any order.
        bands: names in the order wanted; all bands of the raster by default.
        first_chunk: leave out the chunks before this one, to go on where a run stopped.

    Raises:
        ImageryError: a tile outside the grid, a band that the raster has not, a raster that cannot be read.
        Cancelled: the caller asked to stop.
    """
    plan = chunk_plan(raster, grid, rows, cols)
    tops, lefts = grid.pixel_offsets(rows, cols)
    indexes = band_indexes(raster, bands)

    def cut(number: int, stored: NDArray[np.generic], valid: NDArray[np.bool_]) -> TileBatch:
        window, positions = plan[number].window, plan[number].positions
        corners = (tops[positions] - window.row_off, lefts[positions] - window.col_off)
        return TileBatch(number, positions, _cut_tiles(stored, valid, *corners, grid.size, raster.radiometry))

    return read_chunks(raster, indexes, plan, cut, first_chunk, monitor, "Reading tiles")


def band_indexes(raster: Raster, bands: Sequence[str] | None = None) -> list[int]:
    """Where bands lie in the raster's file, all of the raster's by default.

    Raises:
        ImageryError: a band that the raster has not.
    """
    index_of = {band.name: band.index for band in raster.bands}
    missing = [name for name in bands or () if name not in index_of]
    if missing:
        raise ImageryError(
            f"{raster.path.name} has no {', '.join(missing)}; it has {', '.join(index_of)}.",
            hint="Use imagery that has these bands, or an encoder that does without them.",
        )
    return [index_of[name] for name in bands or index_of]


def read_chunks(
    raster: Raster,
    indexes: Sequence[int],
    plan: Sequence[Chunk],
    work: Callable[[int, NDArray[np.generic], NDArray[np.bool_]], T],
    first: int,
    monitor: Monitor,
    message: str,
) -> Generator[T, None, None]:
    """``work(number, stored, valid)`` for every chunk from ``first`` on, done by the reader, handed out in order.

    ``stored`` (bands, height, width) are the numbers of the chunk's window, ``valid`` (height, width) its valid pixels.

    Raises:
        ImageryError: the raster cannot be read.
        Cancelled: the caller asked to stop.
    """
    waiting: deque[Future[T]] = deque()
    numbers = iter(range(first, len(plan)))
    with ThreadPoolExecutor(1, "quadrat-reader", _give_way) as reader:
        dataset = reader.submit(_open_as_inspected, raster).result()

        def read(number: int) -> T:
            return work(number, *_read_chunk(dataset, raster, indexes, plan[number].window))

        try:
            waiting.extend(reader.submit(read, number) for number in islice(numbers, _CHUNKS_AHEAD))
            done = first
            while waiting:
                monitor.advance(done / len(plan), message)
                result = waiting.popleft().result()
                waiting.extend(reader.submit(read, number) for number in islice(numbers, 1))
                done += 1
                yield result
        finally:
            reader.shutdown(cancel_futures=True)
            dataset.close()
    monitor.advance(1.0, message)


def _give_way() -> None:
    """Let the reader run only where the network leaves a core free, on systems where threads have priorities.

    A network's threads wait for the slowest of them at every layer, so a reader that takes turns with one slows all.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())  # of the worker already a low one
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), mine + 10)


def _open_as_inspected(raster: Raster) -> DatasetReader:
    dataset = open_dataset(raster.path)
    if (dataset.width, dataset.height) != (raster.width, raster.height):
        now = f"{dataset.width} x {dataset.height} px"
        dataset.close()
        raise ImageryError(
            f"{raster.path.name} has changed: it is {now} now, and was {raster.width} x {raster.height} px.",
            hint="Put the old file back, or make the tiles again.",
        )
    return dataset


def _read_chunk(
    dataset: DatasetReader, raster: Raster, indexes: Sequence[int], window: Window
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Stored numbers (bands, height, width) and valid pixels (height, width) of a window."""
    stored = read_window(dataset, indexes, window, raster.path)
    valid = _valid_pixels(stored, raster.radiometry.nodata)
    if has_mask(dataset, indexes):
        valid &= read_mask(dataset, indexes, window, raster.path)
    return stored, valid


def _valid_pixels(stored: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_]:
    """(height, width): finite and not nodata in every band of (bands, height, width)."""
    valid = np.ones(stored.shape[1:], dtype=bool)
    if stored.dtype.kind == "f":
        for band in stored:
            valid &= np.isfinite(band)
    if nodata is not None:
        with np.errstate(all="ignore"):
            number = np.float64(nodata).astype(stored.dtype)
        # What an integer type cannot hold (-9999 in uint16, NaN) is not in the data.
        if stored.dtype.kind == "f" or number == nodata:
            for band in stored:
                valid &= band != number
    return valid


def _cut_tiles(
    stored: NDArray[np.generic],
    valid: NDArray[np.bool_],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    size: int,
    radiometry: Radiometry,
) -> NDArray[np.float32]:
    """Tiles (n, bands, size, size) of a chunk's stored numbers, as reflectance, gaps filled."""
    pixels = np.empty((len(tops), len(stored), size, size), dtype=np.float32)
    all_valid = bool(valid.all())
    # Tile by tile, because a tile stays in the processor's cache through all the steps.
    for tile, top, left in zip(pixels, tops.tolist(), lefts.tolist(), strict=True):
        down, right = slice(top, top + size), slice(left, left + size)
        to_reflectance(stored[:, down, right], tile, radiometry)
        if not all_valid:
            _fill_gaps(tile, valid[down, right])
    return pixels


def to_reflectance(stored: NDArray[np.generic], out: NDArray[np.float32], radiometry: Radiometry) -> None:
    """Write the reflectance of stored numbers to ``out``."""
    with np.errstate(over="ignore"):  # numbers beyond float32 are no reflectance, and become infinite
        out[...] = stored
    if radiometry.offset:
        out += np.float32(radiometry.offset)
    if radiometry.scale != 1:
        out *= np.float32(radiometry.scale)


def _fill_gaps(tile: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Give pixels (bands, size, size) that are not valid the mean of those that are, band by band."""
    if not valid.any():
        tile[...] = 0
    elif not valid.all():
        tile[:, ~valid] = tile[:, valid].mean(axis=1, dtype=np.float64)[:, None]
