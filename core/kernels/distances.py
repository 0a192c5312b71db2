"""Squared distances to a few points, and nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import SAME, Device, Floats, Indices, Rows, gather, tiles


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


def all_squared_distances(
    embeddings: Rows, rows: Indices, *, device: Device = "cpu", monitor: Monitor = SILENT
) -> Floats:
    """Squared distances (n, n) float32 between some rows (n,), which must be few: this is all of them at once.

    Args:
        embeddings: (N, d), finite in all rows used.
        rows: (n,) row numbers.
        device: where to compute.
        monitor: progress and cancellation.
    """
    gaps = np.empty((len(rows), len(rows)), dtype=np.float32)
    width = embeddings.shape[1]
    for some in tiles(len(rows), width):
        points = References.of(gather(embeddings, rows[some], device))
        for part in tiles(len(rows), max(width, len(points.points))):
            monitor.advance(some.start / len(rows), "Measuring distances")
            found = points.squared_distances(gather(embeddings, rows[part], device))
            gaps[part, some] = found.cpu().numpy()
    return gaps


def nearest_neighbours(
    embeddings: Rows,
    queries: Indices,
    rows: Indices,
    neighbours: int,
    *,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> tuple[Indices, Floats]:
    """The nearest of ``rows`` for each of the ``queries``, nearest first, ties by position in ``rows``.

    A query that is itself among ``rows`` is its own first neighbour, unless a duplicate stands before it. All
    distances are computed, so the time grows with q n d, and memory with q k.

    Args:
        embeddings: (N, d), finite in all rows used.
        queries: (q,) row numbers.
        rows: (n,) row numbers among which to search, fewer than 2**31.
        neighbours: k, cut to n.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        Row numbers (q, k) and squared distances (q, k) float32.
    """
    k = min(neighbours, len(rows))
    places = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k), dtype=np.float32)
    width = embeddings.shape[1]
    for part in tiles(len(queries), width):
        asked = gather(embeddings, queries[part], device)
        stage = monitor.part(part.start / len(queries), part.stop / len(queries))
        best = torch.empty((len(asked), 0), dtype=torch.int64, device=device)
        for some in tiles(len(rows), max(width, len(asked))):
            stage.advance(some.start / len(rows), "Looking for neighbours")
            found = References.of(gather(embeddings, rows[some], device)).squared_distances(asked)
            best = torch.cat([best, _ranks(found, some.start)], dim=1)
            best = best.topk(min(k, best.shape[1]), dim=1, largest=False).values
        places[part] = (best & _PLACE).cpu().numpy()
        distances[part] = (best >> 32).to(torch.int32).view(torch.float32).cpu().numpy()
    return rows[places], distances


def nearest_others(
    embeddings: Rows,
    queries: Indices,
    rows: Indices,
    neighbours: int,
    *,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> tuple[Indices, Floats]:
    """As :func:`nearest_neighbours`, but no query is its own neighbour; k is cut to n - 1."""
    found, distances = nearest_neighbours(embeddings, queries, rows, neighbours + 1, device=device, monitor=monitor)
    own = found == queries[:, None]
    # Who is not among the rows, or among many duplicates does not find itself, has one too many: the farthest goes.
    own[~own.any(axis=1), -1] = True
    shape = (len(queries), max(found.shape[1] - 1, 0))
    return found[~own].reshape(shape), distances[~own].reshape(shape)


_PLACE = 2**32 - 1
"""The lower half of a rank."""


def _ranks(distances: torch.Tensor, start: int) -> torch.Tensor:
    """Integers (q, n) that sort like (distance, position in the rows), of which no two are equal.

    The bits of floats that are not negative sort like the floats, so they are the upper half; the position is the
    lower one.
    """
    positions = torch.arange(start, start + distances.shape[1], device=distances.device)
    return distances.view(torch.int32).to(torch.int64).bitwise_left_shift_(32).bitwise_or_(positions)


def _squared_norms(block: torch.Tensor) -> torch.Tensor:
    """Squared length (n,) of each row (n, d)."""
    norms: torch.Tensor = torch.linalg.vector_norm(block, dim=1)
    return norms.square()
