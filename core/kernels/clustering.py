"""k-means over many embeddings: k-means++ seeds, Lloyd's iterations, then every row to its nearest centre.

The centres are found on a random part of the rows, because more than some dozens of rows a centre hardly move them,
and every row is assigned to them in one last tiled pass. So the time is bounded by the number of clusters, apart from
that pass. Distances come from :mod:`.distances`: float64 inside, float32 out, the same on any processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import Device, Floats, Indices, Rows, gather, tiles
from .distances import References

_SEED_ROWS = 10
"""Rows a cluster among which k-means++ draws the seeds: each draw reads them all."""
_FIT_ROWS = 64
"""Rows a cluster on which Lloyd's iterations run."""
_MOVED = 0.001
"""Lloyd stops once fewer than this share of the rows changed their cluster."""


@dataclass(frozen=True)
class Clusters:
    """What k-means found for n rows.

    centres (k, d) float32; labels (n,) cluster of each row; squared_distances (n,) float32 to the centre. There may
    be fewer clusters than asked for, where the rows do not have that many different values, and empty ones.
    """

    centres: Floats
    labels: Indices
    squared_distances: Floats

    @property
    def sizes(self) -> Indices:
        """Number of rows in each cluster (k,)."""
        return np.bincount(self.labels, minlength=len(self.centres)).astype(np.int64)


def kmeans(
    embeddings: Rows,
    rows: Indices,
    clusters: int,
    rng: np.random.Generator,
    *,
    iterations: int = 25,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> Clusters:
    """Cluster some rows by k-means (Lloyd 1982, seeds by Arthur and Vassilvitskii 2007).

    Args:
        embeddings: (N, d), finite in all rows used.
        rows: (n,) row numbers, at least one.
        clusters: k, cut to n.
        rng: where the randomness comes from; the same state gives the same clusters.
        iterations: at most so many of Lloyd's iterations.
        device: where to compute.
        monitor: progress and cancellation.
    """
    wanted = min(clusters, len(rows))
    fitting = rng.permutation(rows)[: wanted * _FIT_ROWS]
    seeds = _seeds(embeddings, fitting[: wanted * _SEED_ROWS], wanted, rng, device, monitor.part(0.0, 0.3))
    centres = gather(embeddings, seeds, device)
    labels = np.full(len(fitting), -1, dtype=np.int64)
    for turn in range(iterations):
        before = labels
        stage = 0.3 + 0.6 * turn / iterations
        found = _assign(embeddings, fitting, centres, device, monitor.part(stage, stage + 0.6 / iterations))
        labels = found.labels
        if np.mean(labels != before) < _MOVED:
            break
        centres = _means(embeddings, fitting, labels, centres, device)
    return _assign(embeddings, rows, centres, device, monitor.part(0.9, 1.0))


def _seeds(
    embeddings: Rows, rows: Indices, wanted: int, rng: np.random.Generator, device: Device, monitor: Monitor
) -> Indices:
    """k-means++: each next seed is drawn in proportion to its squared distance to the seeds so far."""
    block = gather(embeddings, rows, device)
    chosen = [int(rng.integers(len(rows)))]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < wanted:
        monitor.advance(len(chosen) / wanted, "Clustering the tiles")
        newest = References.of(block[chosen[-1:]])
        nearest = np.minimum(nearest, newest.squared_distances(block)[:, 0].cpu().numpy().astype(np.float64))
        reach = np.cumsum(nearest)
        if reach[-1] == 0.0:
            break
        chosen.append(int(np.searchsorted(reach, rng.random() * reach[-1], side="right")))
    return rows[chosen]


def _assign(embeddings: Rows, rows: Indices, centres: torch.Tensor, device: Device, monitor: Monitor) -> Clusters:
    """Each row to its nearest centre."""
    points = References.of(centres)
    labels = np.empty(len(rows), dtype=np.int64)
    distances = np.empty(len(rows), dtype=np.float32)
    for part in tiles(len(rows), max(embeddings.shape[1], len(centres))):
        monitor.advance(part.start / len(rows), "Clustering the tiles")
        smallest = points.squared_distances(gather(embeddings, rows[part], device)).min(dim=1)
        distances[part] = smallest.values.cpu().numpy()
        labels[part] = smallest.indices.cpu().numpy()
    return Clusters(centres.to(torch.float32).cpu().numpy(), labels, distances)


def _means(embeddings: Rows, rows: Indices, labels: Indices, centres: torch.Tensor, device: Device) -> torch.Tensor:
    """The mean (k, d) of each cluster's rows; an empty cluster keeps its centre."""
    sums = torch.zeros_like(centres)
    for part in tiles(len(rows), embeddings.shape[1]):
        places = torch.from_numpy(labels[part]).to(device)
        sums.index_add_(0, places, gather(embeddings, rows[part], device))
    counts = torch.from_numpy(np.bincount(labels, minlength=len(centres))).to(device)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), centres)
