"""Distances, farthest points, neighbours, clusters and column statistics over many embeddings.

Everything that is O(N) lives here, and four ideas carry it:

* **Tiles.** Embeddings ``(N, d)`` are numpy arrays of float16 or float32, often memory-mapped. They are read a tile of
  rows at a time and worked on by torch, on any device. Memory is bounded by the tile and by a few numbers a row,
  never by N x N.
* **Float64 inside, float32 out.** ``|a|2 + |b|2 - 2ab`` loses up to ``|a|2`` times the rounding unit. In float64 that
  is far below what float16 or float32 embeddings can tell apart, and rounding the result to float32 removes what is
  left of it: equal rows get equal distances in whatever order a processor adds. So the answers are those of a
  float64 brute force, and the same on one thread, on many, and on a GPU.
* **Equal means zero.** A squared distance below :data:`SAME` times ``|a|2 + |b|2`` is exactly 0.
* **Ties go to the lowest index**, always.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .monitor import SILENT, Monitor

Rows = NDArray[Any]
"""Embeddings (N, d), float16 or float32 (float64 works too), possibly a read-only memory map."""
Indices = NDArray[np.int64]
Floats = NDArray[np.float32]
Device = str | torch.device

SAME = 1e-12
"""Rows closer than a millionth of their length count as one and the same."""

_TILE_ELEMENTS = 2**21
"""16 MB of float64: larger tiles fall out of the processor's cache, and the whole pass takes twice as long."""
_FIRST_LOOK = 64
"""Stale rows that lazy farthest points brings up to date at a time; doubled while that is not enough."""


def tiles(count: int, width: int, most: int = 8192) -> Iterator[slice]:
    """Slices that cut ``count`` rows of ``width`` numbers into tiles of at most ``most`` rows."""
    step = max(64, min(most, _TILE_ELEMENTS // max(width, 1)))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def gather(embeddings: Rows, rows: slice | Indices, device: Device = "cpu") -> torch.Tensor:
    """Some rows as a float64 tensor (n, d) on ``device``; they travel in the type in which they are stored."""
    block = np.array(embeddings[rows], order="C")
    return torch.from_numpy(block).to(device).to(torch.float64)


def finite_rows(embeddings: Rows, monitor: Monitor = SILENT) -> NDArray[np.bool_]:
    """True (N,) for each row without a NaN or an infinity."""
    finite = np.empty(len(embeddings), dtype=bool)
    for part in tiles(len(embeddings), embeddings.shape[1]):
        monitor.advance(part.start / len(embeddings), "Checking the embeddings")
        finite[part] = np.isfinite(embeddings[part]).all(axis=1)
    return finite


def column_moments(
    embeddings: Rows, rows: Indices | None = None, *, device: Device = "cpu", monitor: Monitor = SILENT
) -> tuple[Floats, Floats]:
    """Mean and (population) standard deviation of every column, over finite rows only.

    Tiles are merged by the pairwise update of Chan, Golub and LeVeque (1979), so a large mean does not drown a
    small spread. A column that does not vary has a spread of exactly 0; so have all when there is no finite row.

    Args:
        embeddings: (N, d).
        rows: the rows to look at (n,), all by default.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        mean (d,) and standard deviation (d,), float32.
    """
    width = embeddings.shape[1]
    total = len(embeddings) if rows is None else len(rows)
    mean = torch.zeros(width, dtype=torch.float64, device=device)
    squares = torch.zeros_like(mean)
    count = 0
    for part in tiles(total, width):
        monitor.advance(part.start / total, "Measuring the embeddings")
        block = gather(embeddings, part if rows is None else rows[part], device)
        block = block[torch.isfinite(block).all(dim=1)]
        if not len(block):
            continue
        variance, block_mean = torch.var_mean(block, dim=0, correction=0)
        shift = block_mean - mean
        count += len(block)
        mean += shift * (len(block) / count)
        squares += variance * len(block) + shift**2 * ((count - len(block)) * len(block) / count)
    spread = (squares / max(count, 1)).sqrt()
    spread[spread <= mean.abs() * SAME**0.5] = 0.0
    return _floats(mean), _floats(spread)


@dataclass(frozen=True)
class References:
    """Points (m, d) to which distances are wanted, in float64 on the device, with their squared norms (m,)."""

    points: torch.Tensor
    norms: torch.Tensor

    @classmethod
    def of(cls, points: torch.Tensor) -> References:
        """Take points (m, d) that are already float64 on the right device."""
        return cls(points, _squared_norms(points))

    def squared_distances(self, block: torch.Tensor) -> torch.Tensor:
        """Squared Euclidean distances (n, m), float32, from the rows of ``block`` (n, d) to these points."""
        sums = _squared_norms(block)[:, None] + self.norms
        distances = torch.addmm(sums, block, self.points.T, alpha=-2.0)
        distances.masked_fill_(distances <= SAME * sums, 0.0)
        return distances.to(torch.float32)


def min_squared_distances(
    embeddings: Rows, rows: Indices, references: Indices, *, device: Device = "cpu", monitor: Monitor = SILENT
) -> Floats:
    """Squared distance from each of ``rows`` to the nearest of ``references``; infinite if there are none.

    Args:
        embeddings: (N, d), finite in all rows used.
        rows: (n,) row numbers.
        references: (m,) row numbers.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        (n,) float32.
    """
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    width = embeddings.shape[1]
    for some in tiles(len(references), width):
        points = References.of(gather(embeddings, references[some], device))
        for part in tiles(len(rows), max(width, len(points.points))):
            monitor.advance(part.start / len(rows), "Measuring distances")
            found = points.squared_distances(gather(embeddings, rows[part], device)).amin(dim=1)
            nearest[part] = np.minimum(nearest[part], found.cpu().numpy())
    return nearest


def nearest_neighbours(
    embeddings: Rows,
    queries: Indices,
    rows: Indices,
    neighbours: int,
    *,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> tuple[Indices, Floats]:
    """The nearest of ``rows`` for each of a few ``queries``, nearest first, ties by position in ``rows``.

    A query that is itself among ``rows`` is its own first neighbour, unless a duplicate stands before it.

    Args:
        embeddings: (N, d), finite in all rows used.
        queries: (q,) row numbers.
        rows: (n,) row numbers among which to search.
        neighbours: k, cut to n.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        Row numbers (q, k) and squared distances (q, k) float32.
    """
    k = min(neighbours, len(rows))
    points = References.of(gather(embeddings, queries, device))
    best = torch.full((len(queries), 0), np.inf, dtype=torch.float32, device=device)
    places = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
    for part in tiles(len(rows), max(embeddings.shape[1], len(queries))):
        monitor.advance(part.start / len(rows), "Looking for neighbours")
        found = points.squared_distances(gather(embeddings, rows[part], device)).T
        here = torch.arange(part.start, part.stop, device=device).expand(len(queries), -1)
        # A stable sort of (kept, new) keeps the earlier position first among equals.
        best, order = torch.sort(torch.cat([best, found], dim=1), dim=1, stable=True)
        best, places = best[:, :k], torch.cat([places, here], dim=1).gather(1, order[:, :k])
    return rows[places.cpu().numpy()], best.cpu().numpy()


def farthest_points(
    embeddings: Rows,
    candidates: Indices,
    references: Indices,
    count: int,
    *,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> tuple[Indices, Floats]:
    """Farthest-point sampling (k-centre greedy, Gonzalez 1985), exact and lazy.

    Each pick is the candidate that is farthest from everything in ``references`` and all earlier picks, ties to the
    first in ``candidates``. A candidate's distance can only fall as picks are added, so an old one is an upper bound:
    only the few that lead are brought up to date before each pick. With no reference at all the first pick is the
    candidate nearest to the mean of all, at infinite distance.

    Args:
        embeddings: (N, d), finite in all rows used.
        candidates: (n,) distinct row numbers.
        references: (m,) row numbers.
        count: how many to pick, cut to n.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        Row numbers (count,) in the order picked and squared distances (count,) float32, which never rise.
    """
    count = min(count, len(candidates))
    if count and not len(references):
        first = candidates[[most_central(embeddings, candidates, device=device, monitor=monitor)]]
        rest = candidates[candidates != first]
        picks, gaps = farthest_points(embeddings, rest, first, count - 1, device=device, monitor=monitor)
        return np.concatenate([first, picks]), np.concatenate([np.full(1, np.inf, dtype=np.float32), gaps])
    gaps = min_squared_distances(embeddings, candidates, references, device=device, monitor=monitor.part(0.0, 0.5))
    search = _LazySearch(embeddings, candidates, gaps, count, device)
    chosen = np.empty(count, dtype=np.int64)
    distances = np.empty(count, dtype=np.float32)
    for turn in range(count):
        monitor.advance(0.5 + 0.5 * turn / count, "Looking for the farthest tiles")
        chosen[turn], distances[turn] = search.pick(turn)
    return candidates[chosen], distances


def most_central(embeddings: Rows, candidates: Indices, *, device: Device = "cpu", monitor: Monitor = SILENT) -> int:
    """The place in ``candidates`` (n,) of the row nearest to the mean of them all, ties to the first."""
    mean, _ = column_moments(embeddings, candidates, device=device, monitor=monitor)
    middle = References.of(torch.from_numpy(mean[None]).to(device).to(torch.float64))
    gaps = [
        middle.squared_distances(gather(embeddings, candidates[part], device))[:, 0].cpu().numpy()
        for part in tiles(len(candidates), embeddings.shape[1])
    ]
    return int(np.argmin(np.concatenate(gaps)))


class _LazySearch:
    """The state of one farthest-point sampling: each candidate's gap, and how many picks it has been compared to."""

    def __init__(self, embeddings: Rows, candidates: Indices, gaps: Floats, count: int, device: Device) -> None:
        self.embeddings, self.candidates, self.device = embeddings, candidates, device
        self.gaps = gaps
        self.seen = np.zeros(len(candidates), dtype=np.int64)
        self.picked = torch.empty((count, embeddings.shape[1]), dtype=torch.float64, device=device)

    def pick(self, turn: int) -> tuple[int, float]:
        """The place among the candidates of pick number ``turn``, which is then taken, and its squared distance."""
        look = _FIRST_LOOK
        while self.seen[leader := int(np.argmax(self.gaps))] < turn:
            self._update(turn, look)
            look *= 2
        gap = float(self.gaps[leader])
        self.gaps[leader] = -np.inf
        self.seen[leader] = np.iinfo(np.int64).max
        self.picked[turn] = gather(self.embeddings, self.candidates[[leader]], self.device)[0]
        return leader, gap

    def _update(self, turn: int, look: int) -> None:
        """Bring the ``look`` leading candidates that missed some of the first ``turn`` picks up to date."""
        stale = np.flatnonzero(self.seen < turn)
        if len(stale) > look:
            stale = stale[np.argpartition(-self.gaps[stale], look)[:look]]
        missed = References.of(self.picked[self.seen[stale].min() : turn])
        for part in tiles(len(stale), self.embeddings.shape[1]):
            rows = stale[part]
            block = gather(self.embeddings, self.candidates[rows], self.device)
            self.gaps[rows] = np.minimum(self.gaps[rows], missed.squared_distances(block).amin(dim=1).cpu().numpy())
        self.seen[stale] = turn


def probabilities_of(logits: Floats, mode: str) -> Floats:
    """Softmax over the last axis ("single"), or the sigmoid of every number ("multi"), float32."""
    scores = torch.from_numpy(logits).double()
    result = scores.softmax(dim=-1) if mode == "single" else scores.sigmoid()
    return _floats(result)


def _squared_norms(block: torch.Tensor) -> torch.Tensor:
    """Squared length (n,) of each row (n, d)."""
    norms: torch.Tensor = torch.linalg.vector_norm(block, dim=1)
    return norms.square()


def _floats(values: torch.Tensor) -> Floats:
    """As float32 in numpy."""
    return np.asarray(values.to(torch.float32).cpu().numpy())
