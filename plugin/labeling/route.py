"""In which order the tiles of a round are visited, so that the map moves little between one and the next.

Tiles of one raster stay together. Within it, up to :data:`NEAR_OPTIMAL` tiles are put on a path by going to the nearest
one each time, and then by turning parts of the path around while that makes it shorter (2-opt; Croes 1958). That
takes time with the square of their number, so more tiles follow a Hilbert curve, which is about a quarter longer.
Both depend on nothing but the tiles, so a round has the same order whenever it is opened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# 2-opt over a path of this many tiles takes about 20 ms in Python.
NEAR_OPTIMAL = 200
# Shorter than this is the rounding of the sum of two distances.
_GAIN = 1e-9


class Place(NamedTuple):
    """Where a tile is: its raster, and its row and column in that raster's grid."""

    raster_id: int
    row: int
    col: int


def visiting_order(places: Sequence[Place]) -> list[int]:
    """Indices of ``places`` in the order of a short path, one raster after another by ``raster_id``."""
    indices = sorted(range(len(places)), key=lambda index: places[index])
    of_raster: dict[int, list[int]] = {}
    for index in indices:
        of_raster.setdefault(places[index].raster_id, []).append(index)
    arrange = _short_path if len(places) <= NEAR_OPTIMAL else _along_curve
    return [index for group in of_raster.values() for index in arrange(group, places)]


def _short_path(indices: Sequence[int], places: Sequence[Place]) -> list[int]:
    """Nearest neighbour from the first tile, then 2-opt with free ends."""
    points = [(places[index].row, places[index].col) for index in indices]
    distance = [[math.dist(one, other) for other in points] for one in points]
    path = _nearest_neighbours(distance)
    while _untangle(path, distance):
        pass
    return [indices[step] for step in path]


def _nearest_neighbours(distance: Sequence[Sequence[float]]) -> list[int]:
    path, left = [0], set(range(1, len(distance)))
    while left:
        here = distance[path[-1]]
        path.append(min(left, key=lambda step: (here[step], step)))
        left.remove(path[-1])
    return path


def _untangle(path: list[int], distance: Sequence[Sequence[float]]) -> bool:
    """Turn around every part of the path that is better walked the other way; whether there was one."""
    last, improved = len(path) - 1, False
    for start in range(last):
        for end in range(start + 1, last + 1):
            gain = 0.0
            if start > 0:
                before = distance[path[start - 1]]
                gain += before[path[start]] - before[path[end]]
            if end < last:
                after = distance[path[end + 1]]
                gain += after[path[end]] - after[path[start]]
            if gain > _GAIN:
                path[start : end + 1] = path[start : end + 1][::-1]
                improved = True
    return improved


def _along_curve(indices: Sequence[int], places: Sequence[Place]) -> list[int]:
    """The order in which a Hilbert curve over the whole grid meets the tiles."""
    side = 1
    while side <= max(max(places[index].row, places[index].col) for index in indices):
        side *= 2
    return sorted(indices, key=lambda index: _hilbert(side, places[index].col, places[index].row))


def _hilbert(side: int, x: int, y: int) -> int:
    """How far along the Hilbert curve of a ``side`` x ``side`` grid the cell is; ``side`` is a power of two."""
    position = 0
    half = side // 2
    while half:
        right, down = int(bool(x & half)), int(bool(y & half))
        position += half * half * ((3 * right) ^ down)
        if not down:
            if right:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        half //= 2
    return position
