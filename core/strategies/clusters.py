"""Query functions that first cut the pool into clusters, so that every kind of tile gets its share.

TypiClust takes the most typical tile of each cluster that has no label yet, OSAL the outermost ones of each cluster,
and DropQuery one of each cluster of those tiles about which the learner changes its mind. All three cluster by
:func:`..kernels.kmeans`, on the embeddings as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Mode, Within
from ..kernels import (
    Floats,
    Indices,
    Rows,
    all_squared_distances,
    farthest_points,
    kmeans,
    nearest_neighbours,
    tiles,
)
from .base import Pool, Request, Selection, Strategy, highest
from .uncertainty import margin

_SMALL_CLUSTER = 5
"""TypiClust leaves clusters of so few rows alone: outliers are typical of nothing."""
_NEIGHBOURHOOD_ROWS = 1000
"""Of larger clusters, so many rows drawn at random stand for all when neighbours are looked for."""
_SILHOUETTE_ROWS = 1000
"""Rows, at most, on which OSAL compares numbers of clusters: the silhouette needs all distances between them."""


def choose_typiclust(
    pool: Pool,
    request: Request,
    *,
    most_clusters: Annotated[int, Within(1)] = 500,
    neighbours: Annotated[int, Within(1)] = 20,
) -> Selection:
    """The most typical tile of each of the largest clusters that have fewest labels.

    The eligible and labelled rows are cut into min(|L| + b, ``most_clusters``) clusters, those of 5 rows or fewer are
    left out, and the others come in the order of (labels up, size down). In each the eligible row with the highest
    typicality is taken: 1 / mean distance to its min(``neighbours``, n / 2) nearest of the cluster's n rows. If budget
    is left, the clusters have their turn again, and at last the small ones. Only the order of the utilities has a
    meaning.

    In a cluster of more than 1000 rows the neighbours are looked for among 1000 of them drawn at random, so that the
    time grows with the number of rows and not with its square.
    """
    rows = np.concatenate([pool.eligible, pool.labelled])
    count = min(len(pool.labelled) + request.budget, most_clusters)
    found = kmeans(
        pool.embeddings, rows, count, request.rng, device=request.device, monitor=request.monitor.part(0.0, 0.6)
    )
    labels = np.bincount(found.labels[len(pool.eligible) :], minlength=len(found.sizes))
    order = np.lexsort((-found.sizes, labels))
    shares = _shares(order, found.sizes, found.sizes - labels, request.budget)
    asked = order[shares[order] > 0]
    picks, turns = [], []
    for place, cluster in enumerate(asked):
        members = np.flatnonzero(found.labels == cluster)
        free = members[members < len(pool.eligible)]
        stage = request.monitor.part(0.6 + 0.4 * place / len(asked), 0.6 + 0.4 * (place + 1) / len(asked))
        ranked = _by_typicality(pool, replace(request, monitor=stage), rows[members], rows[free], neighbours)
        picks.append(free[ranked[: shares[cluster]]])
        # Small clusters have their turns after every turn of the large ones.
        turns.append(np.arange(shares[cluster]) + (len(rows) if found.sizes[cluster] <= _SMALL_CLUSTER else 0))
    sequence = np.concatenate(picks)[np.argsort(np.concatenate(turns), kind="stable")]
    return Selection(
        rows[sequence],
        1.0 - np.arange(request.budget) / request.budget,
        tuple(
            f"most typical of {found.sizes[c]} similar tiles, {labels[c]} of them labelled"
            for c in found.labels[sequence]
        ),
    )


def _shares(order: Indices, sizes: Indices, free: Indices, budget: int) -> Indices:
    """How many rows TypiClust takes from each cluster (k,): in turn from large ones, then from small ones."""
    shares = np.zeros(len(order), dtype=np.int64)
    large = order[sizes[order] > _SMALL_CLUSTER]
    small = order[sizes[order] <= _SMALL_CLUSTER]
    shares[large] = equal_shares(free[large], min(budget, int(free[large].sum())))
    shares[small] = equal_shares(free[small], budget - int(shares.sum()))
    return shares


def _by_typicality(
    pool: Pool, request: Request, members: Indices, candidates: Indices, neighbours: int
) -> NDArray[np.intp]:
    """Places in ``candidates`` (n,), the most typical of their cluster first, ties to the first."""
    among = members
    if len(members) > _NEIGHBOURHOOD_ROWS:
        among = np.sort(request.rng.choice(members, _NEIGHBOURHOOD_ROWS, replace=False))
    k = max(1, min(neighbours, len(members) // 2, len(among) - 1))
    # A row may be its own neighbour, at distance 0: then one more is looked at.
    _, squared = nearest_neighbours(
        pool.embeddings, candidates, among, k + 1, device=request.device, monitor=request.monitor
    )
    distances = np.sqrt(squared.astype(np.float64))
    distances[~np.isin(candidates, among), k:] = 0.0
    return np.argsort(distances.sum(axis=1).astype(np.float32), kind="stable")


def equal_shares(sizes: Indices, total: int) -> Indices:
    """``total`` shared out among parts (k,), one after the other in turn, none getting more than its size.

    >>> equal_shares(np.array([9, 1, 9]), 8).tolist()
    [4, 1, 3]
    """
    shares = np.zeros(len(sizes), dtype=np.int64)
    while left := total - int(shares.sum()):
        unfilled = np.flatnonzero(shares < sizes)
        if left < len(unfilled):
            shares[unfilled[:left]] += 1
        else:
            shares[unfilled] += np.minimum(left // len(unfilled), (sizes - shares)[unfilled])
    return shares


def choose_osal(pool: Pool, request: Request, *, most_clusters: Annotated[int, Within(1)] = 10) -> Selection:
    """Farthest points within each cluster, as many from each.

    The eligible rows are cut into 2 to ``most_clusters`` clusters, by what gives the highest silhouette on at most
    1000 rows. Beginning with the largest, each gives the same number of rows (the largest ones what remains, and those
    that have too few let others have it), by farthest-point sampling from all that is labelled or picked. A row's
    utility is that distance; a first one that has nothing to be far from shares the highest.
    """
    count = _number_of_clusters(pool.embeddings, pool.eligible, most_clusters, request)
    found = kmeans(
        pool.embeddings,
        pool.eligible,
        count,
        request.rng,
        device=request.device,
        monitor=request.monitor.part(0.5, 0.8),
    )
    order = highest(found.sizes, len(found.sizes))
    picks, gaps = pool.eligible[:0], np.empty(0, dtype=np.float32)
    for cluster, share in zip(order, equal_shares(found.sizes[order], request.budget), strict=True):
        more, squared = farthest_points(
            pool.embeddings,
            pool.eligible[found.labels == cluster],
            np.concatenate([pool.labelled, picks]),
            int(share),
            device=request.device,
            monitor=request.monitor.part(0.8, 1.0),
        )
        picks, gaps = np.concatenate([picks, more]), np.concatenate([gaps, squared])
    utilities = np.sqrt(gaps.astype(np.float64))
    utilities[np.isinf(utilities)] = utilities[np.isfinite(utilities)].max(initial=0.0)
    ranked = highest(utilities, len(picks))
    clusters = found.labels[np.searchsorted(pool.eligible, picks)]
    reasons = tuple(f"far from the other picks among {found.sizes[clusters[i]]} similar tiles" for i in ranked)
    return Selection(picks[ranked], utilities[ranked], reasons)


def _number_of_clusters(embeddings: Rows, rows: Indices, most: int, request: Request) -> int:
    """The number of clusters with the highest silhouette, ties to the lowest; 1 if there is none."""
    found = silhouettes(embeddings, rows, most, request)
    return max(found, key=lambda count: found[count], default=1)


def silhouettes(embeddings: Rows, rows: Indices, most: int, request: Request) -> dict[int, float]:
    """The mean silhouette (Rousseeuw 1987) of 2 to ``most`` clusters, where there can be as many.

    It is computed on at most 1000 of the rows, drawn at random.
    """
    from sklearn.metrics import silhouette_score

    sample = np.sort(request.rng.permutation(rows)[:_SILHOUETTE_ROWS])
    squared = all_squared_distances(embeddings, sample, device=request.device, monitor=request.monitor.part(0.0, 0.1))
    distances = np.sqrt(squared.astype(np.float64))
    found: dict[int, float] = {}
    for count in range(2, most + 1):
        stage = request.monitor.part(0.1 + 0.4 * (count - 2) / (most - 1), 0.1 + 0.4 * (count - 1) / (most - 1))
        labels = kmeans(embeddings, sample, count, request.rng, device=request.device, monitor=stage).labels
        if 1 < len(np.unique(labels)) < len(sample):
            # In float32, so that rounding decides nothing.
            found[count] = float(np.float32(silhouette_score(distances, labels, metric="precomputed")))
    return found


def choose_drop_query(
    pool: Pool,
    request: Request,
    *,
    passes: Annotated[int, Within(1)] = 3,
    dropout: Annotated[float, Within(0.0, 0.99)] = 0.75,
) -> Selection:
    """One of each kind of the tiles whose predicted class changes when much of the embedding is hidden.

    Candidates are the tiles whose class (multi-label: set of classes) differs from the plain prediction in more than
    half of the passes, each without a random share ``dropout`` of the learner's input. They are cut into b clusters,
    and the one nearest to each centre is taken. Where there are fewer, the tiles that changed most fill up, and of
    these the ones with the highest margin utility. A tile's utility is the share of the passes in which it changed.
    """
    assert pool.predictions is not None
    probabilities = pool.predictions.probabilities[pool.eligible]
    changed = _share_changed(pool, request, probabilities, passes, dropout)
    order = np.lexsort((-margin(probabilities, pool.predictions.mode), -changed))
    candidates = np.flatnonzero(changed > 0.5)
    chosen = np.zeros(len(order), dtype=bool)
    if len(candidates) > request.budget:
        found = kmeans(
            pool.embeddings,
            pool.eligible[candidates],
            request.budget,
            request.rng,
            device=request.device,
            monitor=request.monitor.part(0.3, 1.0),
        )
        chosen[candidates[found.nearest_to_centres(len(candidates))[1]]] = True
    chosen[order[~chosen[order]][: request.budget - np.count_nonzero(chosen)]] = True
    picks = order[chosen[order]]
    reasons = tuple(f"predicted differently in {changed[i] * passes:.0f} of {passes} passes" for i in picks)
    return Selection(pool.eligible[picks], changed[picks], reasons)


def _share_changed(
    pool: Pool, request: Request, probabilities: Floats, passes: int, dropout: float
) -> NDArray[np.float64]:
    """Share of the passes (n,) in which an eligible row is not predicted as it is without dropout."""
    assert pool.predictions is not None
    assert pool.predictions.sample_logits is not None
    seed = int(request.rng.integers(2**31))
    mode = pool.predictions.mode
    changed = np.empty(len(probabilities))
    for part in tiles(len(changed), passes * probabilities.shape[1]):
        request.monitor.advance(0.3 * part.start / len(changed), "Predicting with dropout")
        logits = pool.predictions.sample_logits(pool.eligible[part], passes, seed, input_dropout=dropout)
        changed[part] = _differs(logits, probabilities[part], mode).mean(axis=0)
    return changed


def _differs(logits: Floats, probabilities: Floats, mode: Mode) -> NDArray[np.bool_]:
    """Whether logits (t, n, C) and probabilities (n, C) predict different classes (t, n)."""
    if mode == "single":
        return np.asarray(logits.argmax(axis=-1) != probabilities.argmax(axis=-1))
    return np.asarray(((logits > 0.0) != (probabilities > 0.5)).any(axis=-1))


STRATEGIES = (
    Strategy(
        "typiclust",
        choose_typiclust,
        "Typical tiles of kinds without labels: the best start, good as long as labels are few.",
        "TypiClust (Hacohen, Dekel and Weinshall 2022), algorithm 1 with k-means",
        "k-means into as many clusters as there are labels and picks; neighbours within the clusters chosen",
    ),
    Strategy(
        "osal",
        choose_osal,
        "The outermost tiles of the few largest groups: the baseline of the MCFPS paper.",
        "One-shot active learning (Jin et al. 2022), as compared with in the MCFPS paper",
        "k-means and the silhouette on 1000 tiles for each number of clusters, then as fps",
    ),
    Strategy(
        "drop_query",
        choose_drop_query,
        "Tiles that get another class when part of the embedding is hidden, one of each kind.",
        "DropQuery (Gupte et al. 2024), algorithm 1",
        "a few products with the head, then k-means on the tiles that changed",
        needs=frozenset({"predictions", "samples"}),
    ),
)
