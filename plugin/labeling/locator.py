"""Where tiles are, by arithmetic: a raster's transform and its grid of tiles say it all.

Coordinates here are those of the raster's own reference system; who needs others transforms them. Only what the
project is asked for is read, tile by tile or by ranges of rows and columns, never all tiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...core.project.records import RasterRecord
from ...core.project.store import Project

Point = tuple[float, float]  # (x, y)

# A rectangle turned by 45 degrees covers half of the rows and columns that it spans, one that is also thin still less.
_SPANNED_PER_TOUCHED = 4


class TileLocator:
    """The grid of tiles of one raster: tile (row, col) starts at pixel (row * stride, col * stride)."""

    def __init__(self, raster: RasterRecord) -> None:
        self.raster_id = raster.raster_id
        self._transform = raster.transform
        self._size = raster.tile_size
        self._stride = raster.stride
        self._rows = (raster.height - raster.tile_size) // raster.stride + 1
        self._cols = (raster.width - raster.tile_size) // raster.stride + 1

    def corners(self, row: int, col: int) -> list[Point]:
        """The four corners of a tile, around it."""
        top, left = row * self._stride, col * self._stride
        bottom, right = top + self._size, left + self._size
        return [self._to_map(*pixel) for pixel in ((left, top), (left, bottom), (right, bottom), (right, top))]

    def tile_at(self, x: float, y: float) -> tuple[int, int] | None:
        """``(row, col)`` of the tile at a point; where tiles overlap, the one with the nearest centre."""
        col_px, row_px = self._to_pixel(x, y)
        row, col = self._nearest(row_px, self._rows), self._nearest(col_px, self._cols)
        inside = self._is_within(row_px, row) and self._is_within(col_px, col)
        return (row, col) if inside else None

    def span(self, outline: Sequence[Point]) -> tuple[range, range]:
        """Rows and columns of the tiles that an outline might touch."""
        pixels = [self._to_pixel(*point) for point in outline]
        return (
            self._touched([row_px for _, row_px in pixels], self._rows),
            self._touched([col_px for col_px, _ in pixels], self._cols),
        )

    def touches(self, row: int, col: int, outline: Sequence[Point]) -> bool:
        """Whether a tile and a convex outline have ground in common; sharing a border is not enough."""
        return _overlap(self.corners(row, col), outline)

    def _to_map(self, col_px: float, row_px: float) -> Point:
        a, b, c, d, e, f = self._transform
        return a * col_px + b * row_px + c, d * col_px + e * row_px + f

    def _to_pixel(self, x: float, y: float) -> Point:
        a, b, c, d, e, f = self._transform
        area = a * e - b * d
        return (e * (x - c) - b * (y - f)) / area, (a * (y - f) - d * (x - c)) / area

    def _nearest(self, pixel: float, count: int) -> int:
        """The tile, along one axis, whose centre is nearest."""
        return min(max(math.floor((pixel - self._size / 2) / self._stride + 0.5), 0), count - 1)

    def _is_within(self, pixel: float, number: int) -> bool:
        return 0 <= pixel - number * self._stride < self._size

    def _touched(self, pixels: Sequence[float], count: int) -> range:
        first = math.floor((min(pixels) - self._size) / self._stride) + 1
        last = math.ceil(max(pixels) / self._stride) - 1
        return range(max(first, 0), min(last, count - 1) + 1)


def tile_at(project: Project, locator: TileLocator, point: Point) -> int | None:
    """The number of the tile at a point, also of one that is set aside; None where the project has none."""
    found = locator.tile_at(*point)
    if found is None:
        return None
    rows = project.read(
        'SELECT tile_id FROM tiles WHERE raster_id = ? AND "row" = ? AND "col" = ?', (locator.raster_id, *found)
    )
    return int(rows[0][0]) if rows else None


def tiles_touching(project: Project, locator: TileLocator, outline: Sequence[Point], most: int) -> list[int]:
    """Numbers of the tiles that touch a convex outline and may be answered, row by row.

    Where there are more than ``most``, some more than ``most`` come back, and not necessarily all.
    """
    rows, cols = locator.span(outline)
    if not rows or not cols:
        return []
    spanned = project.read(
        'SELECT tile_id, "row", "col" FROM tiles WHERE raster_id = ? AND role <> \'excluded\''
        ' AND "row" BETWEEN ? AND ? AND "col" BETWEEN ? AND ? ORDER BY "row", "col" LIMIT ?',
        (locator.raster_id, rows[0], rows[-1], cols[0], cols[-1], _SPANNED_PER_TOUCHED * most + 1),
    )
    if len(spanned) > _SPANNED_PER_TOUCHED * most:
        return [tile_id for tile_id, _, _ in spanned]
    return [tile_id for tile_id, row, col in spanned if locator.touches(row, col, outline)]


def _overlap(one: Sequence[Point], other: Sequence[Point]) -> bool:
    """Whether two convex outlines overlap: no side of either has all of the other on its outer side.

    This is the separating axis theorem; the axes to look along are at right angles to the sides.
    """
    for outline in (one, other):
        for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], outline[0]]):
            across = (y0 - y1, x1 - x0)
            reach_one = [x * across[0] + y * across[1] for x, y in one]
            reach_other = [x * across[0] + y * across[1] for x, y in other]
            slack = 1e-9 * (max(reach_one) - min(reach_one))  # neighbours' corners differ by rounding
            if max(reach_one) <= min(reach_other) + slack or max(reach_other) <= min(reach_one) + slack:
                return False
    return True
