"""The grid of square tiles over a raster: tile (row, col) starts at pixel (row * stride, col * stride).

Only whole tiles count: those that would stick out at the right or lower edge are left out. A stride below the size
makes tiles overlap. Polygons come from the integer pixel corners through the raster's affine transform, so they are
exact for rotated, sheared, non-square and south-up pixels, and neighbours share their corners to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from ..errors import ImageryError, UsageError

# Corners of a tile in tile sides, as (down, right); counter-clockwise on a north-up raster.
_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])


@dataclass(frozen=True)
class TileGrid:
    """Tiles of ``size`` px every ``stride`` px over a raster of ``width`` by ``height`` px.

    Raises:
        UsageError: a size or stride below 1.
        ImageryError: the raster is smaller than a tile; ``source`` is its name in that message.
    """

    width: int
    height: int
    transform: Affine
    size: int
    stride: int
    source: str = field(default="The raster", compare=False)

    def __post_init__(self) -> None:
        if self.size < 1 or self.stride < 1:
            raise UsageError(
                f"Tiles of {self.size} px every {self.stride} px make no sense.",
                hint="Size and stride are 1 px or more; the usual is 64 for both.",
            )
        if self.width < self.size or self.height < self.size:
            raise ImageryError(
                f"{self.source} is {self.width} x {self.height} px, less than a tile of {self.size} x {self.size} px.",
                hint="Use a larger raster, or smaller tiles.",
            )

    @property
    def rows(self) -> int:
        """Rows of whole tiles."""
        return (self.height - self.size) // self.stride + 1

    @property
    def cols(self) -> int:
        """Columns of whole tiles."""
        return (self.width - self.size) // self.stride + 1

    def all_tiles(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of every tile, each (rows * cols,), row by row."""
        tiles = np.arange(self.rows * self.cols, dtype=np.int64)
        return tiles // self.cols, tiles % self.cols

    def pixel_offsets(
        self, rows: NDArray[np.integer], cols: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixel row and pixel column of the upper-left pixel of tiles, each (n,).

        Raises:
            ImageryError: a tile outside the grid.
        """
        outside = (rows < 0) | (rows >= self.rows) | (cols < 0) | (cols >= self.cols)
        if outside.any():
            first = int(outside.argmax())
            raise ImageryError(
                f"{self.source} has no tile at row {rows[first]}, column {cols[first]}: "
                f"there are {self.rows} rows and {self.cols} columns.",
                hint="Rows and columns count tiles, from 0 at the upper left.",
            )
        return rows.astype(np.int64) * self.stride, cols.astype(np.int64) * self.stride

    def polygons(self, rows: NDArray[np.integer], cols: NDArray[np.integer]) -> NDArray[np.object_]:
        """Outlines of tiles, (n,) shapely polygons in the raster's coordinate reference system."""
        tops, lefts = self.pixel_offsets(rows, cols)
        down = tops[:, None] + self.size * _CORNERS[:, 0]
        right = lefts[:, None] + self.size * _CORNERS[:, 1]
        a, b, c, d, e, f = self.transform[:6]
        rings = np.stack([right * a + down * b + c, right * d + down * e + f], axis=-1)
        return np.asarray(shapely.polygons(rings))
