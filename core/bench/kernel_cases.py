"""The kernels that are measured, each beside numpy, scikit-learn or plain torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.neighbors import NearestNeighbors

from .. import kernels
from .ground import Ground
from .plain import farthest
from .plain_scores import forward_passes, probabilities
from .version import PASSES, Array, Make, Version

Action = Callable[[], Array]
_NEIGHBOURS = 15


def _moments(ground: Ground) -> Action:
    device = ground.setting.device
    return lambda: np.stack(kernels.column_moments(ground.pool.embeddings, device=device))


def _plain_moments(ground: Ground) -> Action:
    return lambda: np.stack([ground.dense.mean(axis=0, dtype=np.float64), ground.dense.std(axis=0, dtype=np.float64)])


def _gaps(ground: Ground) -> Action:
    pool, device = ground.pool, ground.setting.device
    space = kernels.EmbeddingSpace(pool.embeddings, device)
    return lambda: kernels.nearest_squared_distances(space, pool.eligible, pool.labelled)


def _plain_gaps(ground: Ground) -> Action:
    pool = ground.pool
    rows, known = ground.dense[pool.eligible], ground.dense[pool.labelled]
    return lambda: np.asarray(pairwise_distances_argmin_min(rows, known, metric="sqeuclidean")[1])


def _neighbours(ground: Ground) -> Action:
    pool, setting = ground.pool, ground.setting
    queries = pool.eligible[: setting.budget]

    def action() -> Array:
        return kernels.nearest_neighbours(pool.embeddings, queries, pool.eligible, _NEIGHBOURS, device=setting.device)[
            0
        ]

    return action


def _plain_neighbours(ground: Ground) -> Action:
    eligible = ground.pool.eligible
    rows, queries = ground.dense[eligible], ground.dense[eligible[: ground.setting.budget]]

    def action() -> Array:
        index = NearestNeighbors(n_neighbors=_NEIGHBOURS, algorithm="brute").fit(rows)
        return np.asarray(eligible[index.kneighbors(queries, return_distance=False)])

    return action


def _farthest(ground: Ground) -> Action:
    pool, setting = ground.pool, ground.setting

    def action() -> Array:
        rows = (pool.embeddings, pool.eligible, pool.labelled)
        return kernels.farthest_points(*rows, setting.budget, device=setting.device)[0]

    return action


def _seeds(ground: Ground) -> Action:
    pool, setting = ground.pool, ground.setting

    def action() -> Array:
        space = kernels.EmbeddingSpace(pool.embeddings, setting.device)
        rng = np.random.default_rng(setting.seed)
        return kernels.d2_sampling(space, pool.eligible, setting.budget, rng)[0]

    return action


def _plain_seeds(ground: Ground) -> Action:
    rows, eligible, budget = ground.dense[ground.pool.eligible], ground.pool.eligible, ground.setting.budget
    return lambda: eligible[kmeans_plusplus(rows, budget, random_state=0, n_local_trials=1)[1]]


def _clusters(ground: Ground) -> Action:
    pool, setting = ground.pool, ground.setting

    def action() -> Array:
        rng = np.random.default_rng(setting.seed)
        found = kernels.kmeans(pool.embeddings, pool.eligible, setting.budget, rng, device=setting.device)
        return np.array([found.squared_distances.sum(dtype=np.float64)])

    return action


def _plain_clusters(ground: Ground) -> Action:
    rows, budget = ground.dense[ground.pool.eligible], ground.setting.budget
    return lambda: np.array([KMeans(budget, n_init=1, random_state=0).fit(rows).inertia_])


def _predictions(ground: Ground) -> Action:
    return lambda: ground.head.predict(ground.pool.embeddings)


def _plain_predictions(ground: Ground) -> Action:
    return lambda: probabilities(forward_passes(ground, ground.dense, 1, 0.0)[0], ground.setting.mode)


def _dropout(ground: Ground) -> Action:
    rows = np.arange(ground.setting.size)
    return lambda: ground.head.mc_dropout(ground.pool.embeddings, rows, PASSES, ground.setting.seed)


def _plain_dropout(ground: Ground) -> Action:
    return lambda: np.stack(forward_passes(ground, ground.dense, PASSES, ground.head.dropout))


KERNELS: dict[str, tuple[Make, Version]] = {
    "kernels.column_moments": (_moments, Version(_plain_moments, "numpy", exact=True)),
    "kernels.nearest_squared_distances": (_gaps, Version(_plain_gaps, "scikit-learn", exact=True)),
    "kernels.nearest_neighbours": (_neighbours, Version(_plain_neighbours, "scikit-learn", exact=True)),
    "kernels.farthest_points": (_farthest, Version(farthest, "all distances after every pick", exact=True)),
    "kernels.d2_sampling": (_seeds, Version(_plain_seeds, "scikit-learn")),
    "kernels.kmeans": (_clusters, Version(_plain_clusters, "scikit-learn", exact=True)),
    "head.predict": (_predictions, Version(_plain_predictions, "a forward pass in float32", exact=True)),
    "head.mc_dropout": (_dropout, Version(_plain_dropout, "forward passes in float32")),
}
"""By name: ours and the plain version. Of k-means the sum of squared distances is compared, which measures quality."""
