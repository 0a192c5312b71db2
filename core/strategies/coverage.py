"""Query functions that look at the embeddings only: random, farthest points, and k-means for a start from nothing."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ..catalogue import Within
from ..kernels import Floats, Indices, farthest_points, kmeans
from .base import Pool, Request, Selection, Strategy, highest, without

_MOST_CLUSTERS = 200
"""The time of k-means grows with the square of their number: about 2 s here, and 12 s for 500."""


def choose_random(pool: Pool, request: Request) -> Selection:
    """Uniformly at random, without replacement; every utility is 0."""
    picks = request.rng.choice(pool.eligible, size=request.budget, replace=False)
    return Selection(picks, np.zeros(len(picks)), ("drawn at random",) * len(picks))


def choose_farthest(pool: Pool, request: Request) -> Selection:
    """Each pick is farthest from all that is labelled or picked; its utility is that distance."""
    picks, squared = farthest_points(
        pool.embeddings,
        pool.eligible,
        pool.labelled,
        request.budget,
        device=request.device,
        monitor=request.monitor,
    )
    return _by_distance(picks, squared)


def choose_typical(
    pool: Pool, request: Request, *, most_clusters: Annotated[int, Within(1)] = _MOST_CLUSTERS
) -> Selection:
    """The tile nearest to the centre of each of the largest clusters that have fewest labels.

    The eligible and labelled rows are cut into L + b clusters, so that at least b hold no label, but at most
    ``most_clusters`` (or b, if that is more). A cluster's utility is the number of its rows that a label would stand
    for: size / (1 + labels in it). Where duplicates leave too few clusters, farthest points fill up at utility 0.
    """
    rows = np.concatenate([pool.eligible, pool.labelled])
    count = max(request.budget, min(len(pool.labelled) + request.budget, most_clusters))
    found = kmeans(
        pool.embeddings, rows, count, request.rng, device=request.device, monitor=request.monitor.part(0.0, 0.9)
    )
    clusters, nearest = found.nearest_to_centres(len(pool.eligible))
    labels = np.bincount(found.labels[len(pool.eligible) :], minlength=len(found.centres))[clusters]
    sizes = found.sizes[clusters]
    shares = sizes / (1.0 + labels)
    order = highest(shares, request.budget)
    picks = pool.eligible[nearest[order]]
    reasons = tuple(f"typical of {sizes[i]} similar tiles, {labels[i]} of them labelled" for i in order)
    return filled(Selection(picks, shares[order], reasons), pool, request)


def filled(selection: Selection, pool: Pool, request: Request) -> Selection:
    """The selection, brought up to the budget by the rows farthest from all that is labelled or picked."""
    missing = request.budget - len(selection.indices)
    if not missing:
        return selection
    near = np.concatenate([pool.labelled, selection.indices])
    left = without(pool.eligible, selection.indices, len(pool.embeddings))
    more, _ = farthest_points(pool.embeddings, left, near, missing, device=request.device, monitor=request.monitor)
    return Selection(
        np.concatenate([selection.indices, more]),
        np.concatenate([selection.utilities, np.zeros(len(more))]),
        (*selection.reasons, *("unlike the other picks",) * len(more)),
    )


def _by_distance(picks: Indices, squared: Floats) -> Selection:
    """Picks whose utility is their distance."""
    distances = np.sqrt(squared.astype(np.float64))
    return Selection(picks, distances, tuple(f"{d:.3g} away from all labelled tiles" for d in distances))


STRATEGIES = (
    Strategy(
        "random",
        choose_random,
        "Any tiles: the yardstick for every other function, and an unbiased sample.",
        "-",
        "nothing",
    ),
    Strategy(
        "fps",
        choose_farthest,
        "Tiles unlike all labelled ones: finds rare classes, but outliers too.",
        "Gonzalez 1985; Sener and Savarese 2018, algorithm 1 (core-set, greedy)",
        "one look at all tiles for each labelled one, then lazily",
        needs=frozenset({"labels"}),
    ),
    Strategy(
        "kmeans",
        choose_typical,
        "Typical tiles of every kind: the best start when nothing is labelled yet.",
        "k-means cold start; utilities after TypiClust (Hacohen et al. 2022)",
        "one look at all tiles for each cluster, then 64 tiles a cluster",
    ),
)
