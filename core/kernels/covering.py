"""Greedy coverage: picks that together are close to as many rows as possible, exact and lazy.

How well an anchor is covered is the highest kernel value between it and anything labelled or picked; what a candidate
adds is the sum, over the anchors, of the rise that it would bring, weighted. That sum is submodular: it can only fall
as picks are added (Nemhauser, Wolsey and Fisher 1978). So after one tiled pass over candidates x anchors only those
that lead are looked at again, and there is never a matrix of all against all. That pass need not be exact either: it
gives upper bounds from float32, and only what leads is ever computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import Floats, Indices, tiles
from .lazy import LazySearch
from .spaces import EmbeddingSpace

Kernel = Callable[[torch.Tensor], torch.Tensor]
"""From squared distances (n, m), which it may overwrite, to how well the one covers the other, 0 to 1, in their type.
It must not rise with the distance."""


def gaussian(sigma: float) -> Kernel:
    """exp(-|a - b|2 / sigma2)."""
    return lambda squared: squared.div_(-(sigma**2)).exp_()


def ball(radius: float) -> Kernel:
    """1 where |a - b| < radius, else 0."""
    return lambda squared: (squared < radius**2).to(squared.dtype)


def greedy_coverage(
    space: EmbeddingSpace,
    candidates: Indices,
    anchors: Indices,
    count: int,
    kernel: Kernel,
    *,
    references: Indices,
    weights: Floats | None = None,
    monitor: Monitor = SILENT,
) -> tuple[Indices, Floats]:
    """Pick the candidate that adds most to the coverage of the anchors, again and again.

    With m_j the coverage of anchor j by the references and the earlier picks, candidate i adds
    mean_j u_j max(0, k_ij - m_j). Ties go to the first in ``candidates``.

    Args:
        space: where to measure.
        candidates: (n,) distinct row numbers.
        anchors: (a,) row numbers of what is to be covered; they are held in memory, a x width numbers.
        count: how many to pick, cut to n.
        kernel: :func:`gaussian` or :func:`ball`.
        references: (m,) row numbers that cover from the start.
        weights: u (a,), at least 0; 1 by default.
        monitor: progress and cancellation.

    Returns:
        Row numbers (k,) in the order picked and what each added (k,) float32, which never rises. k is below
        ``count`` where no candidate that is left adds anything.
    """
    count = min(count, len(candidates))
    coverage = _Coverage(space, candidates, anchors, weights, kernel)
    coverage.cover(references, monitor.part(0.0, 0.2))

    def later() -> Monitor:
        return monitor.part(0.7 + 0.3 * len(chosen) / count, 1.0)

    search = LazySearch(
        coverage.most_gains(np.arange(len(candidates)), monitor.part(0.2, 0.7)),
        lambda places, _: coverage.gains(places, later()),
        bound=lambda places: coverage.most_gains(places, later()),
    )
    chosen: list[int] = []
    gains: list[float] = []
    while len(chosen) < count:
        monitor.advance(0.7 + 0.3 * len(chosen) / count, "Covering the tiles")
        leader = search.leader()
        if search.values[leader] <= 0.0:
            break
        chosen.append(leader)
        gains.append(search.take(leader))
        coverage.cover(candidates[[leader]], monitor.part(1.0, 1.0))
    return candidates[chosen], np.array(gains, dtype=np.float32)


class _Coverage:
    """The anchors and how well each is covered so far (a,); shares are their weights, divided by their number."""

    def __init__(
        self, space: EmbeddingSpace, candidates: Indices, anchors: Indices, weights: Floats | None, kernel: Kernel
    ) -> None:
        self.space, self.candidates, self.kernel = space, candidates, kernel
        self.points = torch.empty((len(anchors), space.width), dtype=torch.float64, device=space.device)
        for part in tiles(len(anchors), space.width):
            self.points[part] = space.points(anchors[part])
        self.norms = space.squared_norms(self.points)
        self.rough = self.points.to(torch.float32)
        self.covered = torch.zeros(len(anchors), dtype=torch.float64, device=space.device)
        shares = np.ones(len(anchors)) if weights is None else weights.astype(np.float64)
        self.shares = torch.from_numpy(shares / len(anchors)).to(space.device)

    def cover(self, rows: Indices, monitor: Monitor) -> None:
        """These rows (n,) cover the anchors from now on."""
        for part in self._tiles(rows):
            monitor.advance(part.start / len(rows), "Covering the tiles")
            torch.maximum(self.covered, self._kernel(rows[part]).amax(dim=0), out=self.covered)
        self._forget()

    def _forget(self) -> None:
        """Let go of anchors that nothing can cover better, once that spares at least half of the work."""
        left = self.covered < 1.0
        if 2 * int(left.sum()) <= len(left):
            self.points, self.norms, self.rough = self.points[left], self.norms[left], self.rough[left]
            self.covered, self.shares = self.covered[left], self.shares[left]

    def gains(self, places: Indices, monitor: Monitor) -> Floats:
        """What the candidates at these places (n,) would add now (n,)."""
        gains = np.empty(len(places), dtype=np.float32)
        for part in self._tiles(places):
            monitor.advance(part.start / len(places), "Covering the tiles")
            rises = self._kernel(self.candidates[places[part]]).sub_(self.covered).clamp_(min=0.0)
            gains[part] = (rises @ self.shares).to(torch.float32).cpu().numpy()
        return gains

    def most_gains(self, places: Indices, monitor: Monitor) -> Floats:
        """Upper bounds (n,) of what the candidates at these places would add now, in float32, at half the price.

        Distances are bounded from below, coverage is taken to be a millionth less than it is, which pays for the
        rounding of the differences, and the sum of ``a`` numbers is raised by the most that rounding can cost it.
        """
        points, norms = self.rough, self.norms
        covered = (self.covered * (1.0 - 1e-6)).to(torch.float32)
        shares = self.shares.to(torch.float32)
        gains = np.empty(len(places), dtype=np.float32)
        for part in self._tiles(places):
            monitor.advance(part.start / len(gains), "Covering the tiles")
            block = self.space.points(self.candidates[places[part]])
            rises = self.kernel(self.space.least_squared_distances(block, points, norms)).sub_(covered).clamp_(min=0.0)
            gains[part] = (rises @ shares).mul_(1.0 + (len(points) + 8) * 2.0**-23).cpu().numpy()
        return gains

    def _tiles(self, rows: Indices) -> list[slice]:
        return list(tiles(len(rows), max(self.space.width, len(self.points))))

    def _kernel(self, rows: Indices) -> torch.Tensor:
        """The kernel (n, a) between some rows and the anchors."""
        squared = self.space.squared_distances(self.space.points(rows), self.points, self.norms)
        return self.kernel(squared.to(torch.float64))
