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


def _squared_norms(block: torch.Tensor) -> torch.Tensor:
    """Squared length (n,) of each row (n, d)."""
    norms: torch.Tensor = torch.linalg.vector_norm(block, dim=1)
    return norms.square()
