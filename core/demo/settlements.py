"""Towns, villages, industry and the roads between them.

Places are found on dry flat ground, apart from each other; roads follow the cheapest way to the two towns; blocks and
plots are cut like fields, only smaller, and a whole block either belongs to a place or does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from .canvas import Canvas
from .network import Bends, Line, draw, tree
from .noise import Field, enlarge, fractal
from .parcels import Parcels, divide
from .spectra import land_class
from .terrain import CELL_PX, Terrain, Waters, coarsen

_STEP = 4  # pixels to a cell where the density of building is worked out
_TOWN_PX, _MARKET_PX, _VILLAGE_PX = 150.0, 72.0, 24.0
_ESTATE_PX = 62.0


@dataclass(frozen=True)
class Places:
    """``towns`` (T, 3) and ``estates`` (E, 3): row, column and radius in pixels, largest town first."""

    towns: NDArray[np.float64]
    estates: NDArray[np.float64]


def found_places(rng: np.random.Generator, size_px: int, terrain: Terrain, waters: Waters) -> Places:
    """Choose the sites: two towns, some market towns, many villages, and industrial estates at their edges."""
    scale = (size_px / 2560) ** 2
    flat = 1 - terrain.coarse_hilliness
    wet = (coarsen(waters.lake) > -20) | (gaussian_filter(coarsen(waters.river), 0.7) > 0.1)
    wished = [_TOWN_PX] * max(1, round(2 * scale)) + [_MARKET_PX] * max(1, round(6 * scale))
    wished += [_VILLAGE_PX] * max(3, round(46 * scale))
    radii = [min(radius, size_px / 9) * rng.uniform(0.8, 1.25) for radius in wished]
    towns: list[tuple[float, float, float]] = []
    for radius in radii:
        suits = np.clip(flat, 0.02, 1) ** (3 if radius > 40 else 1) * ~wet
        _settle(rng, suits, towns, radius, apart=1.6 * radius + 34)
    estates: list[tuple[float, float, float]] = []
    near = _nearness(flat.shape, towns[: max(2, round(8 * scale))])
    for _ in range(max(2, round(22 * scale))):
        radius = min(_ESTATE_PX, size_px / 12) * rng.uniform(0.7, 1.3)
        _settle(rng, flat**3 * ~wet * near, estates, radius, apart=radius)
    return Places(np.array(towns), np.array(estates))


def build(rng: np.random.Generator, canvas: Canvas, places: Places) -> None:
    """Paint towns and villages, then the industrial estates."""
    _build_towns(rng, canvas, places.towns)
    _build_estates(rng, canvas, places.estates)


def pave_roads(rng: np.random.Generator, canvas: Canvas, terrain: Terrain, waters: Waters, places: Places) -> None:
    """Country roads from everywhere to the two largest towns, and a motorway across the scene that passes them by."""
    size_px = len(canvas.material)
    n = len(terrain.coarse_height)
    down, right = np.gradient(terrain.coarse_height, 10.0 * CELL_PX)
    ground = 1 + 25 * np.hypot(down, right) + 6 * coarsen(waters.river) + 60 * (coarsen(waters.lake) > -12)
    wander = np.exp(0.25 * fractal(rng, n, 10, decay=2.4))
    cells = [(int(row // CELL_PX), int(column // CELL_PX)) for row, column, _ in places.towns]
    estates = [(int(row // CELL_PX), int(column // CELL_PX)) for row, column, _ in places.estates]
    country: list[Line] = []
    for root in cells[:2]:
        country += tree(rng, (ground * wander).astype(np.float32), CELL_PX, root, cells + estates, Bends(7, 2.5, 60))
    blocked = ground * (1 + 30 * _built_up(n, places.towns))
    start, end = _gates(rng, terrain.coarse_hilliness)
    motorway = tree(rng, blocked.astype(np.float32), CELL_PX, end, [start], Bends(26, 9, 420))
    wide = draw([(line.points, np.full(len(line.points), 4.4)) for line in motorway], size_px)
    narrow = draw([(line.points, np.where(line.flow > 6, 1.7, 1.15)) for line in country], size_px)
    canvas.road[:] = np.maximum(narrow * (waters.lake < 0), wide)
    canvas.land[wide > 0.5] = land_class("Road")


def _settle(
    rng: np.random.Generator,
    suits: NDArray[np.float64] | Field,
    places: list[tuple[float, float, float]],
    radius: float,
    apart: float,
) -> None:
    """Add one place where it suits, ``apart`` pixels beyond the rim of every other; none if there is no room left."""
    row, column = np.mgrid[: len(suits), : len(suits)] * float(CELL_PX) + CELL_PX / 2
    chance = np.array(suits, np.float64)
    edge = min(0.7 * radius, 0.2 * len(suits) * CELL_PX)
    for axis in (row, column):
        chance[(axis < edge) | (axis > len(suits) * CELL_PX - edge)] = 0
    for other_row, other_column, other_radius in places:
        chance[np.hypot(row - other_row, column - other_column) < other_radius + apart] = 0
    if chance.sum() == 0:
        return
    cell = int(rng.choice(chance.size, p=chance.ravel() / chance.sum()))
    places.append((float(row.flat[cell]), float(column.flat[cell]), radius))


def _nearness(shape: tuple[int, ...], places: list[tuple[float, float, float]]) -> Field:
    """Highest at the rim of the given places, low in their middle and far away; on the coarse grid."""
    row, column = np.mgrid[: shape[0], : shape[1]] * float(CELL_PX)
    near = np.full(shape, 1e-3)
    for place_row, place_column, radius in places:
        rim = (np.hypot(row - place_row, column - place_column) - 1.15 * radius) / (0.5 * radius + 40)
        near = np.maximum(near, np.exp(-(rim**2)) * (rim > -0.4))
    return near.astype(np.float32)


def _density(rng: np.random.Generator, size_px: int, places: NDArray[np.float64], fray: float) -> Field:
    """How densely each pixel is built: 1 in the middle of a place, 0 at its rim, below 0 outside."""
    axis = ((np.arange(-(-size_px // _STEP) + 2) + 0.5) * _STEP).astype(np.float32)
    density = np.full((len(axis), len(axis)), -9, np.float32)
    for row, column, radius in places:
        density = np.maximum(density, 1 - np.hypot(axis[:, None] - row, axis[None, :] - column) / radius)
    ragged = fractal(rng, len(axis), 60 / _STEP, decay=2.2)
    return enlarge((density + fray * ragged).astype(np.float32), _STEP, size_px)


def _whole_parcels(parcels: Parcels, density: Field) -> Field:
    """The mean density of the parcel that each pixel lies in."""
    parcel = parcels.parcel.ravel()
    total = np.bincount(parcel, density.ravel(), parcels.count)
    mean = total / np.maximum(np.bincount(parcel, minlength=parcels.count), 1)
    return mean.astype(np.float32)[parcels.parcel]


def _build_towns(rng: np.random.Generator, canvas: Canvas, towns: NDArray[np.float64]) -> None:
    size_px = len(canvas.material)
    blocks = divide(rng, size_px, district_px=64, depth_px=(6, 11), width_px=(8, 20))
    density = _whole_parcels(blocks, _density(rng, size_px, towns, 0.26))
    town = density > 0
    house = np.repeat(np.repeat(rng.random((size_px // 2 + 1,) * 2, dtype=np.float32), 2, 0), 2, 1)[:size_px, :size_px]
    garden = rng.random((size_px, size_px), dtype=np.float32)
    character = rng.random(blocks.count, dtype=np.float32)[blocks.parcel]
    canvas.paint(town, "grass", "Town", grain=0.10)
    canvas.paint(town & (garden < 0.42), "scrub", grain=0.14)
    canvas.paint(town & (garden < 0.16), "broadleaf", grain=0.14)
    canvas.paint(town & (garden > 0.88), "concrete", grain=0.12)
    park = character > 0.93
    roof = town & ~park & (house < 0.28 + 0.34 * np.clip(density, 0, 1))
    canvas.paint(roof, "tiled roof", grain=0.16)
    canvas.paint(roof & (character < 0.22), "slate roof", grain=0.16)
    canvas.paint(roof & (garden > 0.86), "concrete", grain=0.2)
    canvas.paint(roof & (garden < 0.012), "metal roof", grain=0.2)
    canvas.paint(town & blocks.edge & ((density > 0.12) | (garden < 0.7)), "asphalt", grain=0.12)
    canvas.paint(town & (density > 0.62) & ~roof & (garden > 0.35), "concrete", grain=0.14)


def _build_estates(rng: np.random.Generator, canvas: Canvas, estates: NDArray[np.float64]) -> None:
    """Halls of one roof each, fenced by yards, car parks and strips of lawn."""
    size_px = len(canvas.material)
    plots = divide(rng, size_px, district_px=130, depth_px=(10, 22), width_px=(10, 34))
    inside = _whole_parcels(plots, _density(rng, size_px, estates, 0.16)) > 0
    lot = rng.random((3, plots.count), dtype=np.float32)
    kind, roof, yard = (values[plots.parcel] for values in lot)
    border = binary_dilation(plots.edge & inside, iterations=1)
    wide = binary_dilation(border, iterations=1)
    canvas.paint(inside, "concrete", "Industry", grain=0.10)
    canvas.paint(inside & (yard < 0.45), "asphalt", grain=0.10)
    canvas.paint(inside & (yard > 0.86), "grass", grain=0.07)
    hall = inside & (kind < 0.72) & ~np.where(kind < 0.3, wide, border)
    canvas.paint(hall, "metal roof", grain=0.05)
    canvas.paint(hall & (roof < 0.85), "slate roof", grain=0.07)
    canvas.paint(hall & (roof < 0.52), "concrete", grain=0.07)
    canvas.paint(inside & plots.edge & (yard > 0.6), "grass", grain=0.10)
    canvas.paint(inside & plots.edge & (yard <= 0.6), "asphalt", grain=0.08)
    # Coatings and age make each roof a little different.
    tone = np.exp(0.22 * rng.standard_normal(plots.count, dtype=np.float32))[plots.parcel]
    np.copyto(canvas.tone, tone, where=hall)


def _built_up(n: int, towns: NDArray[np.float64]) -> Field:
    row, column = np.mgrid[:n, :n] * float(CELL_PX)
    built = np.zeros((n, n))
    for town_row, town_column, radius in towns:
        built = np.maximum(built, np.hypot(row - town_row, column - town_column) < 1.1 * radius + 8)
    return built.astype(np.float32)


def _gates(rng: np.random.Generator, hilliness: Field) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a motorway enters and leaves: on the two opposite borders that lie lower, in their flatter parts."""
    n = len(hilliness)
    upright = hilliness[[0, -1]].sum() < hilliness[:, [0, -1]].sum()
    hill = (hilliness if upright else hilliness.T)[:, n // 8 : -n // 8].astype(np.float64)
    ends = []
    for border in (0, n - 1):
        chance = np.exp(-6 * hill[border])
        ends.append((border, n // 8 + int(rng.choice(len(chance), p=chance / chance.sum()))))
    first, second = ends if upright else [(place, border) for border, place in ends]
    return first, second
