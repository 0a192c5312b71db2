"""The first look at all of a raster: how much of each tile is valid, how much of it is cloudy, what its pixels say.

Every pixel is read once, chunk by chunk as the tiles will be read later, so damage anywhere is found before a tile is
made. Pixels are counted over any tile at once by differences of an integral image.
"""

from __future__ import annotations

import math
from contextlib import closing, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageryError
from ..monitor import SILENT, Monitor
from .clouds import CloudMask, open_mask
from .grid import TileGrid
from .rasters import Raster
from .reader import band_indexes, chunk_plan, read_chunks, to_reflectance
from .sentinel2 import Radiometry

_SAMPLE_PX = 50_000


@dataclass(frozen=True, eq=False)
class Survey:
    """What a raster's tiles hold, each array (rows, cols) float32 by tile.

    ``valid`` is the share of valid pixels. ``cloudy`` is the share of cloudy pixels among those that are valid and of
    which the mask says something, NaN where there are none such; None without a mask. ``sample`` (n, bands) is the
    reflectance of some 50,000 valid pixels spread over the raster, for :func:`~.sentinel2.check_reflectance`.
    """

    valid: NDArray[np.float32]
    cloudy: NDArray[np.float32] | None
    sample: NDArray[np.float32]


def survey(raster: Raster, grid: TileGrid, clouds: CloudMask | None = None, monitor: Monitor = SILENT) -> Survey:
    """Read the whole raster once, and the mask with it.

    Raises:
        ImageryError: truncated or damaged, or without any valid pixel.
        Cancelled: the caller asked to stop.
    """
    rows, cols = grid.all_tiles()
    tops, lefts = grid.pixel_offsets(rows, cols)
    plan = chunk_plan(raster, grid, rows, cols)
    step = math.ceil(math.sqrt(raster.width * raster.height / _SAMPLE_PX))
    counts = np.zeros((3, len(rows)), dtype=np.int64)  # valid; known to the mask too; cloudy
    samples = []
    with nullcontext() if clouds is None else open_mask(clouds, raster) as mask:

        def count(
            number: int, stored: NDArray[np.generic], valid: NDArray[np.bool_]
        ) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
            window, positions = plan[number].window, plan[number].positions
            corners = (tops[positions] - window.row_off, lefts[positions] - window.col_off)
            layers = [valid]
            if mask is not None:
                cloudy, known = mask.read(window)
                layers += [valid & known, valid & cloudy]
            sample = stored[:, ::step, ::step][:, valid[::step, ::step]]
            return np.stack([_count_in_tiles(layer, *corners, grid.size) for layer in layers]), sample

        message = f"Reading {raster.path.name}"
        with closing(read_chunks(raster, band_indexes(raster), plan, count, 0, monitor, message)) as counted:
            for chunk, (in_tiles, sample) in zip(plan, counted, strict=True):
                counts[: len(in_tiles), chunk.positions] = in_tiles
                samples.append(sample)
    if not counts[0].any():
        raise ImageryError(
            f"{raster.path.name} has no valid pixel.",
            hint="Check the file in QGIS; if its nodata value is wrong, give the right one (--nodata).",
        )
    shape = (grid.rows, grid.cols)
    return Survey(
        valid=(counts[0] / grid.size**2).astype(np.float32).reshape(shape),
        cloudy=None if clouds is None else _share(counts[2], counts[1]).reshape(shape),
        sample=_reflectance(np.concatenate(samples, axis=1).T, raster.radiometry),
    )


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float32]:
    """``part / whole`` (n,), NaN where there is no whole."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan).astype(np.float32)


def _count_in_tiles(
    pixels: NDArray[np.bool_], tops: NDArray[np.int64], lefts: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """How many pixels (height, width) are set in each of the tiles (n,) at the given corners."""
    if pixels.all():
        return np.full(len(tops), size * size, dtype=np.int64)
    integral = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1), dtype=np.int64)
    pixels.cumsum(axis=0, dtype=np.int64).cumsum(axis=1, out=integral[1:, 1:])
    bottoms, rights = tops + size, lefts + size
    return integral[bottoms, rights] - integral[tops, rights] - integral[bottoms, lefts] + integral[tops, lefts]


def _reflectance(stored: NDArray[np.generic], radiometry: Radiometry) -> NDArray[np.float32]:
    reflectance = np.empty(stored.shape, dtype=np.float32)
    to_reflectance(stored, reflectance, radiometry)
    return reflectance
