"""The plain versions: what a good researcher writes in an afternoon with numpy, scikit-learn and torch.

They get the embeddings in memory as float32, for nothing, and work on all of them at once. They compute the same as
ours where the method leaves no choice (``exact``); where it draws at random or clusters, they take the same steps.
Those of the uncertainties are in :mod:`.plain_scores`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from ..kernels import Floats, Indices
from .ground import Ground
from .plain_scores import SCORES, errors, forward_passes, least_confidence, margin, probabilities
from .version import PASSES, Array, Version

_ANCHORS = 10_000


def farthest(ground: Ground) -> Callable[[], Array]:
    """Farthest points, all distances after every pick, by way of |a|2 + |b|2 - 2ab."""
    points, pool, budget = ground.dense, ground.pool, ground.setting.budget

    def action() -> Array:
        squares = np.einsum("nd,nd->n", points, points)
        known = points[pool.labelled]
        gaps = (squares[:, None] + squares[pool.labelled] - 2.0 * points @ known.T).min(axis=1)
        gaps[pool.labelled] = -np.inf
        return _spread(points, squares, gaps, budget)

    return action


def _spread(points: Floats, squares: Floats, gaps: Floats, count: int) -> Indices:
    picks = np.empty(count, dtype=np.int64)
    for turn in range(count):
        picks[turn] = pick = int(gaps.argmax())
        np.minimum(gaps, squares + squares[pick] - 2.0 * (points @ points[pick]), out=gaps)
        gaps[pick] = -np.inf
    return picks


def clustered_middles(ground: Ground) -> Callable[[], Array]:
    """The rows nearest to the centres of scikit-learn's k-means, largest cluster first."""
    rows, budget = ground.dense[ground.pool.eligible], ground.setting.budget
    count = max(budget, min(budget + len(ground.pool.labelled), 200))

    def action() -> Array:
        found = KMeans(count, n_init=1, random_state=0).fit(rows)
        nearest = found.transform(rows).argmin(axis=0)
        largest = np.argsort(-np.bincount(found.labels_, minlength=count), kind="stable")[:budget]
        return np.asarray(ground.pool.eligible[nearest[largest]])

    return action


def typical(ground: Ground) -> Callable[[], Array]:
    """TypiClust with scikit-learn's k-means and a search for neighbours in each cluster."""
    rows, pool, budget = ground.dense, ground.pool, ground.setting.budget
    count = min(len(pool.labelled) + budget, 500, len(rows))

    def action() -> Array:
        labels = KMeans(count, n_init=1, random_state=0).fit_predict(rows)
        seen, sizes = np.bincount(labels[pool.labelled], minlength=count), np.bincount(labels, minlength=count)
        picks = []
        for cluster in np.lexsort((-sizes, seen))[:budget]:
            members = np.flatnonzero(labels == cluster)
            near = min(20, max(1, len(members) // 2))
            gaps, _ = NearestNeighbors(n_neighbors=min(near + 1, len(members))).fit(rows[members]).kneighbors()
            picks.append(members[gaps.mean(axis=1).argmin()])
        return np.array(picks)

    return action


def by_silhouette(ground: Ground) -> Callable[[], Array]:
    """OSAL: k-means for every number of clusters from 2 to 10, the best silhouette, farthest points in each."""
    rows, budget, most = ground.dense[ground.pool.eligible], ground.setting.budget, 10

    def action() -> Array:
        tries = [KMeans(k, n_init=1, random_state=0).fit_predict(rows) for k in range(2, most + 1)]
        scores = [silhouette_score(rows, labels, sample_size=min(2000, len(rows)), random_state=0) for labels in tries]
        labels = tries[int(np.argmax(scores))]
        squares = np.einsum("nd,nd->n", rows, rows)
        picks: list[Array] = []
        for share in np.array_split(np.arange(budget), labels.max() + 1):
            inside = np.flatnonzero(labels == len(picks))
            far = np.full(len(inside), np.inf, dtype=np.float32)
            picks.append(inside[_spread(rows[inside], squares[inside], far, min(len(share), len(inside)))])
        return np.asarray(ground.pool.eligible[np.concatenate(picks)])

    return action


def gradients(ground: Ground) -> Callable[[], Array]:
    """BADGE with the matrix of all gradient embeddings, N x Cd, and D2 sampling over it."""
    rows, budget = ground.dense[ground.pool.eligible], ground.setting.budget
    p = ground.told.probabilities[ground.pool.eligible]
    rng = np.random.default_rng(0)

    def action() -> Array:
        matrix = (errors(p, ground.setting.mode)[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
        squares = np.einsum("nd,nd->n", matrix, matrix)
        picks = [int(squares.argmax())]
        gaps = np.full(len(rows), np.inf)
        while len(picks) < budget:
            newest = squares + squares[picks[-1]] - 2.0 * (matrix @ matrix[picks[-1]])
            gaps = np.minimum(gaps, np.maximum(newest, 0.0))
            gaps[picks] = 0.0
            picks.append(int(rng.choice(len(rows), p=gaps / gaps.sum())))
        return ground.pool.eligible[picks]

    return action


def herding(ground: Ground, weighted: bool = False) -> Callable[[], Array]:
    """Greedy kernel coverage with the whole matrix of similarities, N x anchors."""
    unit, pool, budget = normalize(ground.dense), ground.pool, ground.setting.budget
    rng = np.random.default_rng(0)

    def action() -> Array:
        anchors = rng.choice(len(unit), min(_ANCHORS, len(unit)), replace=False)
        weights, sigma2 = np.ones(len(anchors), dtype=np.float32), 1.0
        if weighted:
            assert ground.told.calibrated is not None
            weights = margin(ground.told.calibrated()[anchors], ground.setting.mode)
            own = 2.0 - 2.0 * unit[pool.labelled] @ unit[pool.labelled].T
            sigma2 = float(own[own > 1e-6].min())
        targets = unit[anchors]
        covered = np.exp((2.0 * unit[pool.labelled] @ targets.T - 2.0) / sigma2).max(axis=0, initial=0.0)
        similar = np.exp((2.0 * unit[pool.eligible] @ targets.T - 2.0) / sigma2)
        picks: list[int] = []
        for _ in range(budget):
            gains = np.maximum(similar - covered, 0.0) @ weights
            gains[picks] = -np.inf
            picks.append(int(gains.argmax()))
            covered = np.maximum(covered, similar[picks[-1]])
        return pool.eligible[picks]

    return action


def covering(ground: Ground) -> Callable[[], Array]:
    """ProbCover with the whole graph of who lies in whose ball, N x N, its radius by the purity of a sample."""
    unit, pool, setting = normalize(ground.dense), ground.pool, ground.setting

    def action() -> Array:
        some = unit[np.random.default_rng(0).permutation(len(unit))[:2000]]
        labels = KMeans(setting.classes, n_init=1, random_state=0).fit_predict(some)
        distances = np.sqrt(np.maximum(2.0 - 2.0 * some @ some.T, 0.0))
        other = np.where(labels[:, None] != labels, distances, np.inf).min(axis=1)
        radius = float(np.quantile(other, 0.05))
        graph = 2.0 - 2.0 * unit[pool.eligible] @ unit.T < radius**2
        free = ~graph[:, pool.labelled].any(axis=1)
        open_rows = np.zeros(len(unit), dtype=bool)
        open_rows[pool.eligible[free]] = True
        gains = (graph & open_rows).sum(axis=1)
        picks: list[int] = []
        for _ in range(setting.budget):
            gains[picks] = -1
            picks.append(int(gains.argmax()))
            newly = np.flatnonzero(graph[picks[-1]] & open_rows)
            open_rows[newly] = False
            gains -= graph[:, newly].sum(axis=1)
        return pool.eligible[picks]

    return action


def dropped_inputs(ground: Ground) -> Callable[[], Array]:
    """DropQuery: three predictions with most of the input gone, k-means of those that change their mind."""
    rows, pool, budget = ground.dense[ground.pool.eligible], ground.pool, ground.setting.budget

    def action() -> Array:
        plain = _decided(ground.told.probabilities[pool.eligible], ground.setting.mode)
        changed = np.zeros(len(rows))
        for logits in forward_passes(ground, rows, passes=3, dropout=0.75):
            changed += (_decided(probabilities(logits, ground.setting.mode), ground.setting.mode) != plain).any(axis=1)
        keep = np.argsort(-changed, kind="stable")[: max(budget, int((changed > 1.5).sum()))]
        nearest = KMeans(budget, n_init=1, random_state=0).fit_transform(rows[keep]).argmin(axis=0)
        return np.asarray(pool.eligible[keep[nearest]])

    return action


def _decided(p: Floats, mode: str) -> Array:
    return p > 0.5 if mode == "multi" else p.argmax(axis=1)[:, None]


def neighbourhoods(ground: Ground) -> Callable[[], Array]:
    """MCFPS: dropout passes over all rows, farthest points, scikit-learn's neighbours."""
    rows, pool = ground.dense, ground.pool

    def action() -> Array:
        logits = np.stack(forward_passes(ground, rows[pool.eligible], PASSES, ground.head.dropout))
        p = probabilities(logits, ground.setting.mode).mean(axis=0)
        scores = least_confidence(p, ground.setting.mode)
        sure = p.max(axis=1) if ground.setting.mode == "single" else np.maximum(p, 1.0 - p).min(axis=1)
        keep = np.flatnonzero(sure <= 0.8)
        keep = keep if len(keep) > ground.setting.budget else np.arange(len(p))
        free = rows[pool.eligible[keep]]
        squares = np.einsum("nd,nd->n", free, free)
        known = rows[pool.labelled]
        gaps = (squares[:, None] + np.einsum("nd,nd->n", known, known) - 2.0 * free @ known.T).min(axis=1)
        centres = _spread(free, squares, gaps, ground.setting.budget)
        near = NearestNeighbors(n_neighbors=15, algorithm="brute").fit(free).kneighbors(free[centres])[1]
        picks: list[int] = []
        for places in near:
            best = places[np.argsort(-scores[keep[places]])]
            picks.append(next(place for place in (*best, *range(len(free))) if place not in picks))
        return np.asarray(pool.eligible[keep[picks]])

    return action


def random_rows(ground: Ground) -> Callable[[], Array]:
    """Any rows."""
    eligible, rng = ground.pool.eligible, np.random.default_rng(0)
    return lambda: rng.choice(eligible, ground.setting.budget, replace=False)


def most_uncertain(ground: Ground, name: str) -> Callable[[], Array]:
    """The rows with the highest score of that name."""
    eligible, score = ground.pool.eligible, SCORES[name].make(ground)
    return lambda: eligible[np.argsort(-score(), kind="stable")[: ground.setting.budget]]


def uncertain_and_clustered(ground: Ground, name: str) -> Callable[[], Array]:
    """The 3b highest scores, scikit-learn's k-means into b clusters, the highest of each."""
    eligible, score, budget = ground.pool.eligible, SCORES[name].make(ground), ground.setting.budget

    def action() -> Array:
        best = np.argsort(-score(), kind="stable")[: 3 * budget]
        labels = KMeans(min(budget, len(best)), n_init=1, random_state=0).fit_predict(ground.dense[eligible[best]])
        _, first = np.unique(labels, return_index=True)
        return eligible[best[first]]

    return action


PLAIN = {
    "random": Version(random_rows, "numpy"),
    "fps": Version(farthest, "all distances after every pick", exact=True),
    "kmeans": Version(clustered_middles, "scikit-learn's k-means"),
    "mcfps": Version(neighbourhoods, "forward passes, all distances, scikit-learn's neighbours"),
    "osal": Version(by_silhouette, "scikit-learn's k-means nine times"),
    "typiclust": Version(typical, "scikit-learn's k-means and neighbours"),
    "badge": Version(gradients, "the N x Cd matrix"),
    "max_herding": Version(herding, "the N x anchors matrix", exact=True),
    "uherding": Version(partial(herding, weighted=True), "the N x anchors matrix", exact=True),
    "prob_cover": Version(covering, "the N x N graph"),
    "drop_query": Version(dropped_inputs, "forward passes, scikit-learn's k-means"),
    **{name: Version(partial(most_uncertain, name=name), score.what, score.exact) for name, score in SCORES.items()},
    **{
        f"{name}+clustering": Version(partial(uncertain_and_clustered, name=name), f"{score.what}, scikit-learn")
        for name, score in SCORES.items()
    },
}
"""By the name of the query function."""
