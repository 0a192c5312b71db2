"""Farthest points, exact and lazy."""

from __future__ import annotations

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import Device, Floats, Indices, Rows, column_moments, gather, tiles
from .distances import References, min_squared_distances

_FIRST_LOOK = 64
"""Stale rows that lazy farthest points brings up to date at a time; doubled while that is not enough."""


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
