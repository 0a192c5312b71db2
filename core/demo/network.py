"""Lines on the land: rivers that join downhill and roads that join on the way to town.

Both are trees of cheapest paths on a coarse grid: from everywhere to the river's mouth over ground that is cheap in
valleys, from every village to the town over ground that is cheap where it is flat and dry. Paths to one root share
their way from where they meet, which gives confluences and junctions for nothing. The paths are then smoothed,
bent, and drawn with their exact share of every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from .noise import Field

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """``points`` (N, 2) row, column in pixels, about one pixel apart; ``flow`` (N,) paths that run through them."""

    points: Points
    flow: NDArray[np.float64]


@dataclass(frozen=True)
class Bends:
    """How a path is drawn: smoothed over ``smooth_px``, then swung by ``swing_px`` every ``wave_px`` or so."""

    smooth_px: float
    swing_px: float = 0.0
    wave_px: float = 1.0


def tree(
    rng: np.random.Generator,
    cost: Field,
    step: int,
    root: tuple[int, int],
    sources: Sequence[tuple[int, int]],
    bends: Bends,
) -> list[Line]:
    """The lines from every source to the root, each ending where it meets one drawn before it.

    Args:
        rng: source of the swings.
        cost: (n, n) price of crossing a cell, above 0.
        step: pixels to a cell of ``cost``.
        root: row and column of the cell where all paths end.
        sources: cells where they start; a path that is longer than others is drawn first, as the main stem.
        bends: how the paths are drawn.
    """
    width = cost.shape[1]
    total, previous = _cheapest(cost, root[0] * width + root[1])
    starts = sorted({row * width + column for row, column in sources}, key=lambda node: -total[node])
    paths = [_follow(previous, start) for start in starts]
    flow = np.bincount(np.concatenate([np.zeros(0, np.intp), *paths]), minlength=cost.size).astype(np.float64)
    place = (np.stack(np.divmod(np.arange(cost.size), width), axis=-1) + 0.5) * step
    drawn = np.zeros(cost.size, np.bool_)
    lines = []
    for path in paths:
        new = path[: int(np.argmax(drawn[path])) + 1] if drawn[path].any() else path
        if len(new) < 3:
            continue
        points = _bend(rng, _resample(place[new]), bends)
        at = np.linspace(0, len(points) - 1, len(new))
        place[new[:-1]] = points[at.round().astype(np.intp)][:-1]
        drawn[new] = True
        lines.append(Line(points, np.interp(np.arange(len(points)), at, flow[np.append(new[:-1], new[-2])])))
    return lines


def draw(lines: Sequence[tuple[Points, NDArray[np.float64]]], size_px: int) -> Field:
    """The share of every pixel that lines cover; each line is its points (N, 2) and its widths (N,), in pixels."""
    share = np.zeros((size_px, size_px), np.float32)
    for points, widths in lines:
        # Twice as many points as pixels leave no notch on the edge of a narrow line.
        fine = np.linspace(0, len(points) - 1, 2 * len(points))
        dots = np.column_stack([np.interp(fine, np.arange(len(points)), v) for v in (*points.T, widths / 2)])
        # Piece by piece, so that a stream is not searched as widely as the river it becomes.
        for start in range(0, len(dots), 200):
            _dab(share, dots[start : start + 200])
    return share


def _dab(share: Field, dots: Points) -> None:
    """Raise the share of the pixels around dots (N, 3): row, column, half width."""
    reach = int(np.ceil(dots[:, 2].max() + 0.5))
    corner = np.maximum(np.floor(dots[:, :2].min(axis=0)).astype(np.intp) - reach, 0)
    patch = share[corner[0] : int(dots[:, 0].max()) + reach + 1, corner[1] : int(dots[:, 1].max()) + reach + 1]
    if patch.size == 0:
        return
    pixels = np.indices(patch.shape).reshape(2, -1).T + corner + 0.5
    far, nearest = cKDTree(dots[:, :2]).query(pixels, distance_upper_bound=reach + 1)
    half = np.append(dots[:, 2], 0)[nearest]
    cover = np.clip(half + 0.5 - far, 0, np.minimum(2 * half, 1)).astype(np.float32)
    np.maximum(patch, cover.reshape(patch.shape), out=patch)


def swing(rng: np.random.Generator, length: int, wave_px: float) -> NDArray[np.float64]:
    """A wave (length,) between about -1 and 1 whose phase and height wander, as a river's meanders do."""
    pace = np.exp(0.35 * _wander(rng, length, 2 * wave_px))
    height = 0.35 + 0.65 / (1 + np.exp(-2 * _wander(rng, length, 3 * wave_px)))
    return np.asarray(height * np.sin(rng.uniform(0, 2 * np.pi) + np.cumsum(pace) * 2 * np.pi / wave_px))


def shift(points: Points, offset_px: NDArray[np.float64]) -> Points:
    """Move every point of a line sideways."""
    ahead = gaussian_filter1d(np.gradient(points, axis=0), 4, axis=0, mode="nearest")
    sideways = np.column_stack([-ahead[:, 1], ahead[:, 0]])
    return np.asarray(points + offset_px[:, None] * sideways / np.maximum(np.hypot(*sideways.T), 1e-6)[:, None])


def _cheapest(cost: Field, root: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Price of the cheapest path from each cell to the root, and the next cell on it, on the 8-neighbour grid."""
    node = np.arange(cost.size).reshape(cost.shape)
    first, second, price = [], [], []
    for a, b, length in (
        (np.s_[:, :-1], np.s_[:, 1:], 1.0),
        (np.s_[:-1], np.s_[1:], 1.0),
        (np.s_[:-1, :-1], np.s_[1:, 1:], 2**0.5),
        (np.s_[:-1, 1:], np.s_[1:, :-1], 2**0.5),
    ):
        first.append(node[a].ravel())
        second.append(node[b].ravel())
        price.append((length * 0.5 * (cost[a] + cost[b])).ravel().astype(np.float64))
    ends = (np.concatenate(first), np.concatenate(second))
    graph = coo_matrix((np.concatenate(price), ends), shape=(cost.size, cost.size)).tocsr()
    total, previous = dijkstra(graph, directed=False, indices=root, return_predecessors=True)
    return total, previous


def _follow(previous: NDArray[np.int32], start: int) -> NDArray[np.intp]:
    path = [start]
    while previous[path[-1]] >= 0:
        path.append(int(previous[path[-1]]))
    return np.array(path, np.intp)


def _resample(points: Points) -> Points:
    """The same line with its points one pixel apart."""
    length = np.append(0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    at = np.linspace(0, length[-1], max(3, int(length[-1]) + 1))
    return np.column_stack([np.interp(at, length, points[:, 0]), np.interp(at, length, points[:, 1])])


def _bend(rng: np.random.Generator, points: Points, bends: Bends) -> Points:
    """Smooth and swing a line whose two ends stay where they are."""
    smooth = gaussian_filter1d(points, bends.smooth_px, axis=0, mode="nearest")
    to_end = np.minimum(np.arange(len(points)), np.arange(len(points))[::-1])[:, None]
    pull = np.exp(-to_end / (2 * bends.smooth_px))
    nearer_start = (np.arange(len(points)) < len(points) / 2)[:, None]
    line = smooth + pull * np.where(nearer_start, points[0] - smooth[0], points[-1] - smooth[-1])
    if bends.swing_px == 0:
        return np.asarray(line)
    fade = np.minimum(1, to_end[:, 0] / bends.wave_px)
    return shift(line, bends.swing_px * fade * swing(rng, len(line), bends.wave_px))


def _wander(rng: np.random.Generator, length: int, over_px: float) -> NDArray[np.float64]:
    """Smooth noise (length,) around 0 that changes over about ``over_px``: a curve through random knots."""
    knots = rng.standard_normal(int(length / over_px) + 5)
    return np.asarray(make_interp_spline(np.arange(len(knots)), knots, k=3)(1.5 + np.arange(length) / over_px))
