"""D2 sampling, exact and lazy: the seeds of k-means++ and the picks of BADGE."""

from __future__ import annotations

import numpy as np

from ..monitor import SILENT, Monitor
from .arrays import Floats, Indices
from .lazy import Gaps, LazySearch
from .spaces import Space, nearest_squared_distances

_LEAST_DRAW = np.finfo(np.float64).tiny
"""A draw of exactly 0 would let a candidate of weight 0 win."""


def d2_sampling(
    space: Space,
    candidates: Indices,
    count: int,
    rng: np.random.Generator,
    *,
    references: Indices | None = None,
    first: int | None = None,
    monitor: Monitor = SILENT,
) -> tuple[Indices, Floats]:
    """Draw candidates in proportion to their squared distance to the nearest of the earlier ones.

    That is the seeding of k-means++ (Arthur and Vassilvitskii 2007). Each draw is a race: candidate i arrives after
    E_i / w_i, where E_i is a fresh exponential number and w_i its weight, and the first to arrive is i with
    probability w_i / sum w. Weights only fall, so w_i / E_i from old weights is an upper bound, and few of them have
    to be brought up to date: about the sum of the old weights over the sum of the present ones.

    Args:
        space: where to measure.
        candidates: (n,) distinct row numbers.
        count: how many to draw, cut to n.
        rng: where the randomness comes from.
        references: (m,) row numbers that count as drawn before.
        first: the place in ``candidates`` of the first pick where there are no references; drawn uniformly by default.
        monitor: progress and cancellation.

    Returns:
        Row numbers (k,) in the order drawn and their squared distances (k,) float32 when they were drawn, infinite
        for a first pick without references. k is below ``count`` where all that is left is at distance 0.
    """
    count = min(count, len(candidates))
    chosen: list[int] = []
    squared: list[float] = []
    if count and (references is None or not len(references)):
        chosen.append(int(rng.integers(len(candidates))) if first is None else first)
        squared.append(np.inf)
        references = candidates[chosen]
    known = candidates[:0] if references is None else references
    weights = nearest_squared_distances(space, candidates, known, monitor=monitor.part(0.0, 0.5))
    gaps = Gaps(space, candidates, count)
    search = LazySearch(weights, gaps.update)
    while len(chosen) < count:
        monitor.advance(0.5 + 0.5 * len(chosen) / count, "Drawing tiles")
        leader = search.leader(np.maximum(rng.standard_exponential(len(candidates)), _LEAST_DRAW))
        if weights[leader] <= 0.0:
            break
        chosen.append(leader)
        squared.append(search.take(leader))
        gaps.add(leader)
    return candidates[chosen], np.array(squared, dtype=np.float32)
