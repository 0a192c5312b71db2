"""The lie of the land: hills on one side, a plain on the other, a lake between them and rivers running down.

Large features (hills, lake) grow with the scene, so that a small scene also has all of them; rivers keep their size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter

from .network import Bends, Line, draw, shift, swing, tree
from .noise import Field, enlarge, fractal, smoothstep

CELL_PX = 8  # the coarse grid on which rivers and roads find their way
_RELIEF_STEP = 2  # a terrain model of 20 m


@dataclass(frozen=True)
class Terrain:
    """``hilliness`` 0-1, ``height`` in metres and ``shade`` (H, W) for every pixel; shade is the light that a slope
    receives, 1 on flat ground. The ``coarse_`` ones are the same on cells of ``CELL_PX`` pixels.
    """

    hilliness: Field
    height: Field
    shade: Field
    coarse_height: Field
    coarse_hilliness: Field


@dataclass(frozen=True)
class Waters:
    """``lake`` (H, W): distance to the shore in pixels, roughly, above 0 on water; ``river`` and ``bed`` (H, W): share
    of the pixel that is running water, and running water or gravel; ``rivers``: the lines they follow.
    """

    lake: Field
    river: Field
    bed: Field
    rivers: list[Line]


def make_terrain(rng: np.random.Generator, size_px: int, downhill: float) -> Terrain:
    """Draw the relief; ``downhill`` is the direction of the plain in radians, 0 to the right, clockwise."""
    n = -(-size_px // _RELIEF_STEP)
    axis = np.linspace(-1, 1, n, dtype=np.float32)
    slope = (np.cos(downhill) * axis[None, :] + np.sin(downhill) * axis[:, None]).astype(np.float32)
    hill_px = min(300.0, size_px / 4) / _RELIEF_STEP
    border = fractal(rng, n, n / 3, decay=3.0, step=8)
    hilliness = smoothstep(-slope + 0.26 * border, -0.02, 0.62)
    rolling = fractal(rng, n, hill_px, decay=3.4, step=4)
    height = -60 * slope + 300 * hilliness * (0.4 + _ridges(rng, n, hill_px)) + 6 * rolling
    down, right = np.gradient(gaussian_filter(height, 1.0), 10.0 * _RELIEF_STEP)
    # Sun from the south-east, 45 degrees high: what a surface receives relative to a flat one.
    light = (1 - 0.42 * right - 0.90 * down) / np.sqrt(1 + right**2 + down**2)
    shade = np.clip(1 + 0.6 * (light - 1), 0.5, 1.4).astype(np.float32)
    coarse = np.s_[CELL_PX // _RELIEF_STEP // 2 :: CELL_PX // _RELIEF_STEP]
    return Terrain(
        enlarge(_closed(hilliness), _RELIEF_STEP, size_px),
        enlarge(_closed(height), _RELIEF_STEP, size_px),
        enlarge(_closed(shade), _RELIEF_STEP, size_px),
        height[coarse, coarse],
        hilliness[coarse, coarse],
    )


def make_waters(rng: np.random.Generator, size_px: int, terrain: Terrain) -> Waters:
    """A lake at the foot of the hills, and rivers from the hills to the lowest point of the scene's border.

    Large rivers have reaches with a broad gravel bed, in which a narrower channel swings from side to side.
    """
    lake = _lake(rng, size_px, terrain)
    height, hilliness = terrain.coarse_height, terrain.coarse_hilliness
    above = height - gaussian_filter(height, min(14, len(height) / 8))
    wander = fractal(rng, len(height), 12, decay=2.4)
    cost = np.exp(np.clip(1.6 * above / above.std() + 0.35 * wander, -2.5, 4)).astype(np.float32) + 0.05
    n = len(height)
    border = np.full_like(height, np.inf)
    for side in (np.s_[0, 2:-2], np.s_[-1, 2:-2], np.s_[2:-2, 0], np.s_[2:-2, -1]):
        border[side] = height[side] + 300 * hilliness[side] + 5 * wander[side]
    mouth = divmod(int(border.argmin()), n)
    sources = _springs(rng, hilliness, spacing=24)
    rivers = tree(rng, cost, CELL_PX, mouth, sources, Bends(smooth_px=9, swing_px=13, wave_px=95))
    rivers = [_winding(rng, line) for line in rivers[:1]] + rivers[1:]
    water, bed = [], []
    for line in rivers:
        width = np.clip(2.3 * np.sqrt(line.flow) - 1.5, 0.8, 15)
        braided = np.clip(2.2 * swing(rng, len(width), 420) - 0.3, 0, 1) * np.clip((width - 3) / 3, 0, 1)
        bed.append((line.points, np.where(braided > 0.02, width * (1 + 0.9 * braided), 0)))
        room = 0.6 * width * braided
        water.append((shift(line.points, room * swing(rng, len(width), 75)), width * (1 - 0.35 * braided)))
    river = draw(water, size_px)
    return Waters(lake, river, np.maximum(draw(bed, size_px), river), rivers)


def _ridges(rng: np.random.Generator, n: int, hill_px: float) -> Field:
    """Crests with spurs, 0-1: the creases of random fields, the finer ones standing on the coarser."""
    crest = np.exp(-1.6 * np.abs(fractal(rng, n, hill_px, decay=3.6, step=2)))
    spur = np.exp(-1.6 * np.abs(fractal(rng, n, hill_px / 3, decay=3.4, step=2)))
    gully = np.exp(-1.6 * np.abs(fractal(rng, n, hill_px / 9, decay=3.0)))
    return np.asarray(0.55 * crest + 0.32 * spur * crest + 0.10 * gully * (0.4 + crest), np.float32)


def _closed(field: Field) -> Field:
    """One more row and column, for interpolation up to the last pixel."""
    return np.pad(field, ((0, 1), (0, 1)), mode="edge").astype(np.float32)


def _lake(rng: np.random.Generator, size_px: int, terrain: Terrain) -> Field:
    """Three overlapping ellipses in the plain near the hills, their shore frayed by noise."""
    margin = int(0.2 * len(terrain.coarse_height))
    inner = np.abs(terrain.coarse_hilliness - 0.06)[margin:-margin, margin:-margin]
    centre = (np.array(np.unravel_index(int(inner.argmin()), inner.shape)) + margin + 0.5) * CELL_PX
    step = 4
    axis = (np.arange(-(-size_px // step) + 2, dtype=np.float32) + 0.5) * step
    angle = rng.uniform(0, np.pi)
    radius = 0.085 * size_px
    shore = np.full((len(axis), len(axis)), -np.inf, np.float32)
    for along in (-1.0, 0.0, 0.9):
        down = axis[:, None] - centre[0] - along * radius * np.sin(angle)
        right = axis[None, :] - centre[1] - along * radius * np.cos(angle)
        far = np.hypot(
            np.cos(angle) * right + np.sin(angle) * down, 1.35 * (np.cos(angle) * down - np.sin(angle) * right)
        )
        shore = np.maximum(shore, radius * (1 - 0.18 * abs(along)) - far).astype(np.float32)
    shore += 0.2 * radius * fractal(rng, len(axis), radius / step, decay=2.7)
    return enlarge(shore, step, size_px)


def _springs(rng: np.random.Generator, hilliness: Field, spacing: int) -> list[tuple[int, int]]:
    """Cells where streams begin: the lowest random number within ``spacing`` cells, mostly in the hills."""
    lot = rng.random(hilliness.shape, dtype=np.float32)
    rows, columns = np.nonzero((lot == minimum_filter(lot, size=spacing)) & (hilliness + 0.25 > rng.random(lot.shape)))
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _winding(rng: np.random.Generator, line: Line) -> Line:
    """The main stem once more with the wider meanders of a large river."""
    fade = np.minimum(1, line.flow / 8)
    return Line(shift(line.points, 16 * fade * swing(rng, len(line.points), 230)), line.flow)


def coarsen(field: Field) -> Field:
    """Mean over the cells of the coarse grid; the last ones repeat the border where the scene ends within them."""
    missing = -len(field) % CELL_PX
    padded = np.pad(field, ((0, missing), (0, missing)), mode="edge")
    n = len(padded) // CELL_PX
    return np.asarray(padded.reshape(n, CELL_PX, n, CELL_PX).mean((1, 3)), np.float32)


def wet_ground(terrain: Terrain, waters: Waters) -> Field:
    """How far the ground is from water and how low it lies: 1 at a shore in the plain, 0 on dry or hilly ground."""
    size_px = len(waters.lake)
    near = coarsen(waters.river)
    flood = np.sqrt(gaussian_filter(near, 4.0))
    by_river = enlarge(_closed(np.clip(1.75 * flood, 0, 1).astype(np.float32)), CELL_PX, size_px)
    by_lake = np.exp(np.minimum(waters.lake, 0) / (0.026 * size_px))
    return np.asarray(np.maximum(by_lake, by_river) * (1 - smoothstep(terrain.hilliness, 0.15, 0.5)), np.float32)
