"""Land cut into parcels: fields, town blocks and industrial plots all come from here.

The plane is first divided into *districts*, Voronoi cells with frayed borders. Each has its own direction; it is
cut across into strips of random depth, and every strip into parcels of random width. So neighbouring parcels lie
parallel, as they do where land was divided at one time, and the pattern turns from district to district.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .noise import Field, fractal

_STRIPS = 64  # numbers of strips and of parcels in a strip repeat after this many, farther apart than a district
_PATTERNS = 8  # different ways in which the strips of a district are cut


@dataclass(frozen=True)
class Parcels:
    """A division of the scene.

    ``district`` and ``parcel`` (H, W) int32 number what each pixel belongs to; ``along`` and ``across`` (H, W)
    float32 are coordinates in pixels in the district's direction; ``edge`` (H, W) bool marks the first pixel of
    each parcel; ``seeds`` (D, 2) are the districts' centres as row, column; ``count`` is an upper bound for parcel.
    """

    district: NDArray[np.int32]
    parcel: NDArray[np.int32]
    along: Field
    across: Field
    edge: NDArray[np.bool_]
    seeds: NDArray[np.float64]
    count: int


def divide(
    rng: np.random.Generator,
    size_px: int,
    *,
    district_px: float,
    depth_px: tuple[float, float],
    width_px: tuple[float, float],
) -> Parcels:
    """Divide a square scene; ``depth_px`` and ``width_px`` are the ranges of strip depth and parcel width.

    A district draws its own scale within the ranges, so that finely and coarsely divided land lie side by side.
    """
    seeds = _seeds(rng, size_px, district_px)
    row, column = _frayed_grid(rng, size_px, district_px)
    district = _nearest(seeds, row, column)
    angle = rng.uniform(0, np.pi, len(seeds))
    scale = rng.uniform(0, 1, len(seeds))
    reach = int(3 * district_px)
    down = row - seeds[:, 0].astype(np.float32)[district]
    right = column - seeds[:, 1].astype(np.float32)[district]
    cosine, sine = (np.asarray(f(angle), np.float32)[district] for f in (np.cos, np.sin))
    along = cosine * right + sine * down
    across = cosine * down - sine * right
    del row, column, down, right, cosine, sine
    strips = _cuts(rng, len(seeds), 1, scale, depth_px, 2 * reach)
    plots = _cuts(rng, len(seeds), _PATTERNS, scale, width_px, 2 * reach)
    strip = strips[district, 0, _cell(across, reach)]
    plot = plots[district, strip % _PATTERNS, _cell(along, reach)]
    parcel = (district * _STRIPS + strip) * _STRIPS + plot
    return Parcels(district, parcel, along, across, _first_pixels(parcel), seeds, len(seeds) * _STRIPS**2)


def _seeds(rng: np.random.Generator, size_px: int, district_px: float) -> NDArray[np.float64]:
    """Jittered grid of district centres (D, 2), reaching one district beyond the scene."""
    cells = int(np.ceil(size_px / district_px)) + 2
    corner = np.indices((cells, cells)).reshape(2, -1).T - 1
    return np.asarray((corner + rng.uniform(0.05, 0.95, corner.shape)) * district_px)


def _frayed_grid(rng: np.random.Generator, size_px: int, district_px: float) -> tuple[Field, Field]:
    """Row and column of every pixel, gently bent, so that no border is perfectly straight."""
    step = max(2, int(district_px / 24))
    bend = 0.02 * district_px
    axis = np.arange(size_px, dtype=np.float32)
    row = axis[:, None] + bend * fractal(rng, size_px, district_px / 2, decay=3.6, step=step)
    column = axis[None, :] + bend * fractal(rng, size_px, district_px / 2, decay=3.6, step=step)
    return row, column


def _nearest(seeds: NDArray[np.float64], row: Field, column: Field) -> NDArray[np.int32]:
    """The nearest seed of every pixel (H, W), decided for 2x2 pixels at once to take a quarter of the time."""
    points = np.column_stack([row[::2, ::2].ravel(), column[::2, ::2].ravel()])
    _, nearest = cKDTree(seeds).query(points, workers=2)
    coarse = nearest.reshape(row[::2, ::2].shape).astype(np.int32)
    return np.repeat(np.repeat(coarse, 2, 0), 2, 1)[: len(row), : len(row)]


def _cuts(
    rng: np.random.Generator,
    districts: int,
    patterns: int,
    scale: NDArray[np.float64],
    range_px: tuple[float, float],
    length: int,
) -> NDArray[np.int32]:
    """Number of the piece at each pixel of a line: (districts, patterns, length), pieces of random length."""
    typical = range_px[0] * (range_px[1] / range_px[0]) ** scale[:, None, None]
    pieces = int(np.ceil(length / (0.55 * range_px[0])))
    ends = np.cumsum(typical * rng.uniform(0.55, 1.45, (districts, patterns, pieces)), axis=-1)
    starts = np.zeros((districts, patterns, length), np.int32)
    d, p, k = np.nonzero(ends < length)
    starts[d, p, ends[d, p, k].astype(np.intp)] = 1
    return np.asarray(np.cumsum(starts, axis=-1, dtype=np.int32) % _STRIPS)


def _cell(coordinate: Field, reach: int) -> NDArray[np.intp]:
    return np.clip(coordinate + reach, 0, 2 * reach - 1).astype(np.intp)


def _first_pixels(parcel: NDArray[np.int32]) -> NDArray[np.bool_]:
    edge = np.zeros(parcel.shape, np.bool_)
    edge[:, 1:] = parcel[:, 1:] != parcel[:, :-1]
    edge[1:] |= parcel[1:] != parcel[:-1]
    return edge
