"""Farthest points, exact and lazy, and the row in the middle of many."""

from __future__ import annotations

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import Device, Floats, Indices, Rows, column_moments, gather, tile_elements, tiles
from .distances import References
from .lazy import Gaps, LazySearch
from .spaces import EmbeddingSpace, most_nearest_squared_distances, nearest_squared_distances


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
    space = EmbeddingSpace(embeddings, device)
    picked, search = _begin(space, candidates, references, count, monitor.part(0.0, 0.5))
    chosen = np.empty(count, dtype=np.int64)
    distances = np.empty(count, dtype=np.float32)
    for turn in range(count):
        monitor.advance(0.5 + 0.5 * turn / count, "Looking for the farthest tiles")
        chosen[turn] = search.leader()
        distances[turn] = search.take(chosen[turn])
        picked.add(chosen[turn])
    return candidates[chosen], distances


def _begin(
    space: EmbeddingSpace, candidates: Indices, references: Indices, count: int, monitor: Monitor
) -> tuple[Gaps, LazySearch]:
    """The search with the distances to the references, or, where these fit into a tile, with cheap bounds of them."""
    if len(references) * space.width > tile_elements():
        gaps = nearest_squared_distances(space, candidates, references, monitor=monitor)
        picked = Gaps(space, candidates, count)
        return picked, LazySearch(gaps, picked.update)
    bounds = most_nearest_squared_distances(space, candidates, references, monitor=monitor)
    picked = Gaps(space, candidates, count, references)
    return picked, LazySearch(bounds, picked.update, bounds=True)


def most_central(embeddings: Rows, candidates: Indices, *, device: Device = "cpu", monitor: Monitor = SILENT) -> int:
    """The place in ``candidates`` (n,) of the row nearest to the mean of them all, ties to the first."""
    mean, _ = column_moments(embeddings, candidates, device=device, monitor=monitor)
    middle = References.of(torch.from_numpy(mean[None]).to(device).to(torch.float64))
    gaps = [
        middle.squared_distances(gather(embeddings, candidates[part], device))[:, 0].cpu().numpy()
        for part in tiles(len(candidates), embeddings.shape[1])
    ]
    return int(np.argmin(np.concatenate(gaps)))
