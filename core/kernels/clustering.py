"""k-means over many embeddings: k-means++ seeds, Lloyd's iterations, then every row to its nearest centre.

Seeds are drawn and centres moved on a random part of the rows, because more than some dozens of rows a centre hardly
move them. Then the centres move once for all rows, and every row is assigned to them: two tiled passes. So the time is
bounded by the number of clusters, apart from these, and the clusters are as tight as scikit-learn's within about one
per cent. Distances come from :mod:`.distances`: float64 inside, float32 out, the same on any processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import Device, Floats, Indices, Rows, gather, tiles
from .distances import References, all_squared_distances
from .sampling import d2_sampling
from .spaces import EmbeddingSpace

_SEED_ROWS = 4096
"""Rows, at most, among which greedy k-means++ looks for seeds; it keeps all distances between them (64 MB)."""
_SEED_ROWS_EACH = 16
"""Rows for each seed, where that is less."""
_TRIALS = 16
"""Rows drawn for each seed; scikit-learn draws 2 + log k, but here the distances are known already."""
_FIT_ROWS = 8192
"""Rows, at least, on which Lloyd's iterations run."""
_FIT_ROWS_EACH = 64
"""Rows for each cluster, where that is more."""
_MOVED = 0.01
"""Lloyd stops once fewer than this share of the rows changed their cluster: going on gains a thousandth of inertia."""


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

    def nearest_to_centres(self, first: int) -> tuple[Indices, Indices]:
        """Clusters with some of the ``first`` rows in them, and the place of the one nearest to each centre."""
        labels = self.labels[:first]
        by_distance = np.lexsort((self.squared_distances[:first], labels))
        clusters, start = np.unique(labels[by_distance], return_index=True)
        return clusters, by_distance[start]


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
        iterations: at most so many of Lloyd's iterations on a part of the rows.
        device: where to compute.
        monitor: progress and cancellation.
    """
    wanted = min(clusters, len(rows))
    seeds = _seeds(embeddings, rows, wanted, rng, device, monitor.part(0.0, 0.3))
    centres = gather(embeddings, seeds, device)
    fitting = rng.permutation(rows)[: max(_FIT_ROWS, wanted * _FIT_ROWS_EACH)]
    before = np.full(len(fitting), -1, dtype=np.int64)
    for turn in range(iterations):
        stage = monitor.part(0.3 + 0.5 * turn / iterations, 0.3 + 0.5 * (turn + 1) / iterations)
        labels, centres = _moved(embeddings, fitting, centres, device, stage)
        if np.mean(labels != before) < _MOVED:
            break
        before = labels
    if len(fitting) < len(rows):
        _, centres = _moved(embeddings, rows, centres, device, monitor.part(0.8, 0.9))
    return Clusters(
        centres.to(torch.float32).cpu().numpy(),
        *_assigned(embeddings, rows, centres, device, monitor.part(0.9, 1.0)),
    )


def _seeds(
    embeddings: Rows, rows: Indices, wanted: int, rng: np.random.Generator, device: Device, monitor: Monitor
) -> Indices:
    """Rows (k,) of which no two are the same: from some rows by greedy k-means++, and what is missing from all rows.

    Something is missing where most rows are the same, and where so many seeds are wanted that plain k-means++ will do.
    """
    seeds = rows[:0]
    if wanted * 2 <= _SEED_ROWS:
        some = rng.permutation(rows)[: min(_SEED_ROWS, wanted * _SEED_ROWS_EACH)]
        seeds = _greedy_seeds(embeddings, some, wanted, rng, device, monitor.part(0.0, 0.7))
    if len(seeds) == wanted:
        return seeds
    more, _ = d2_sampling(
        EmbeddingSpace(embeddings, device),
        rows,
        wanted - len(seeds),
        rng,
        references=seeds,
        monitor=monitor.part(0.7, 1.0),
    )
    return np.concatenate([seeds, more])


def _greedy_seeds(
    embeddings: Rows, rows: Indices, wanted: int, rng: np.random.Generator, device: Device, monitor: Monitor
) -> Indices:
    """Of some rows drawn in proportion to their squared distance to the seeds so far, the best, again and again.

    The best is the one after which the rows are nearest to their seeds. Plain k-means++ takes the first one drawn,
    and where there are clear clusters, it often puts two seeds into one and none into another.
    """
    gaps = all_squared_distances(embeddings, rows, device=device, monitor=monitor.part(0.0, 0.7))
    chosen = [int(rng.integers(len(rows)))]
    nearest = gaps[chosen[0]]
    while len(chosen) < wanted:
        monitor.advance(0.7 + 0.3 * len(chosen) / wanted, "Clustering the tiles")
        reach = np.cumsum(nearest, dtype=np.float64)
        if reach[-1] == 0.0:
            break
        drawn = np.searchsorted(reach, rng.random(_TRIALS) * reach[-1], side="right")
        after = np.minimum(nearest, gaps[drawn])
        best = int(np.argmin(after.sum(axis=1, dtype=np.float64)))
        chosen.append(int(drawn[best]))
        nearest = after[best]
    return rows[chosen]


def _moved(
    embeddings: Rows, rows: Indices, centres: torch.Tensor, device: Device, monitor: Monitor
) -> tuple[Indices, torch.Tensor]:
    """One of Lloyd's iterations: each row to its nearest centre (n,), each centre (k, d) to the mean of its rows.

    A centre without rows stays where it is.
    """
    sums = torch.zeros_like(centres)
    labels, _ = _assigned(embeddings, rows, centres, device, monitor, sums)
    counts = torch.from_numpy(np.bincount(labels, minlength=len(centres))).to(device)[:, None]
    return labels, torch.where(counts > 0, sums / counts.clamp(min=1), centres)


def _assigned(
    embeddings: Rows,
    rows: Indices,
    centres: torch.Tensor,
    device: Device,
    monitor: Monitor,
    sums: torch.Tensor | None = None,
) -> tuple[Indices, Floats]:
    """The nearest centre (n,) of each row and the squared distance (n,) to it.

    ``sums`` (k, d): to which each row is added at its centre, while it is at hand.
    """
    points = References.of(centres)
    labels = np.empty(len(rows), dtype=np.int64)
    distances = np.empty(len(rows), dtype=np.float32)
    for part in tiles(len(rows), max(embeddings.shape[1], len(centres))):
        monitor.advance(part.start / len(rows), "Clustering the tiles")
        block = gather(embeddings, rows[part], device)
        smallest = points.squared_distances(block).min(dim=1)
        distances[part] = smallest.values.cpu().numpy()
        labels[part] = smallest.indices.cpu().numpy()
        if sums is not None:
            sums.index_add_(0, smallest.indices, block)
    return labels, distances
