"""Study: why one-shot active learning fails (figure 5 of the first paper).

OSAL cuts the pool into as many clusters as give the highest silhouette, and takes the outermost tiles of each. Three
things are looked at. The silhouette of every number of clusters: where it is highest for few, "the outermost of each
cluster" is little else than farthest points. The classes of what it asks for, round by round, beside MCFPS, random and
k-means: the entropy of their counts in bits and how many of them were seen. And how odd the tiles are: the share of a
sample of the pool that lies closer to its neighbours than the tile does to its own, 0.5 for a tile like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy

from ...errors import LearningError
from ...kernels import Indices, nearest_neighbours
from ...monitor import Monitor
from ...strategies.base import Request
from ...strategies.clusters import silhouettes
from ..plan import Plan
from ..replay import turns
from .projection import SHOWN, drawn, laid_out
from .studies import Findings, Material, Study

STRATEGIES_SHOWN = ("osal", "mcfps", "random", "kmeans")
BUDGET = 64
ROUNDS = 4
DRAWS = 5
_MOST_CLUSTERS = 10
_SAMPLE = 2000
_NEIGHBOURS = 10


def _make(material: Material) -> Findings:
    pool = material.pool
    if len(pool) <= BUDGET * ROUNDS:
        raise LearningError(
            f"{len(pool)} tiles are too few for {ROUNDS} rounds of {BUDGET}.", hint="Use a larger dataset."
        )
    monitor = material.monitor
    rng = np.random.default_rng(material.seed)
    request = Request(BUDGET, rng, material.device, monitor.part(0.0, 0.1))
    found = silhouettes(material.vectors.matrix, pool, _MOST_CLUSTERS, request)
    picks = {
        name: [
            _asked(material, name, material.seed + draw, _stage(monitor, place * DRAWS + draw)) for draw in range(DRAWS)
        ]
        for place, name in enumerate(STRATEGIES_SHOWN)
    }
    first = np.concatenate([picks[name][0].ravel() for name in STRATEGIES_SHOWN])
    rest = np.setdiff1d(pool, first)
    shown = np.union1d(first, drawn(rest, max(SHOWN - len(first), 0), rng))
    placed = laid_out(np.asarray(material.vectors.matrix[shown], np.float32), material.seed, monitor.part(0.8, 1.0))
    oddness = _oddness(material, np.unique(np.concatenate([rows.ravel() for each in picks.values() for rows in each])))
    facts = {
        "classes": list(material.dataset.classes),
        "encoder": material.vectors.encoder,
        "budget": BUDGET,
        "rounds": ROUNDS,
        "draws": DRAWS,
        "silhouettes": {str(count): value for count, value in found.items()},
        "clusters": max(found, key=lambda count: found[count], default=1),
        "pool": _of_the_pool(material),
        "strategies": {name: _described(material, rounds, oddness) for name, rounds in picks.items()},
    }
    arrays = {"rows": shown, "embeddings": placed, "targets": material.dataset.targets[shown]}
    return Findings(facts, {**arrays, **{f"picks_{name}": rounds[0] for name, rounds in picks.items()}})


def _stage(monitor: Monitor, turn: int) -> Monitor:
    total = len(STRATEGIES_SHOWN) * DRAWS
    return monitor.part(0.1 + 0.7 * turn / total, 0.1 + 0.7 * (turn + 1) / total)


def _asked(material: Material, strategy: str, seed: int, monitor: Monitor) -> NDArray[np.int64]:
    """What a query function asks for, (rounds, b) rows, beginning without a label, with a linear learner."""
    plan = Plan(strategy, budget=BUDGET, rounds=ROUNDS, seed=seed)
    dataset, vectors = material.dataset, material.vectors
    # Nobody looks at the scores of these rounds.
    split = replace(material.split, test=material.split.test[:0])
    # That a cold start begins for MCFPS is meant, and need not be said for every draw.
    quiet = Monitor(report=monitor.report, is_cancelled=monitor.is_cancelled)
    rounds = turns(dataset, vectors, split, plan, device=material.device, monitor=quiet)
    return np.stack([turn.asked for turn in rounds])


def _described(material: Material, draws: Sequence[NDArray[np.int64]], oddness: NDArray[np.float64]) -> dict[str, Any]:
    """By round: class counts of the first draw; entropy, classes seen so far and oddness as means over the draws."""
    targets, n_classes = material.dataset.targets, material.dataset.n_classes
    counts = np.array([[np.bincount(targets[each], minlength=n_classes) for each in rounds] for rounds in draws])
    seen = np.count_nonzero(counts.cumsum(axis=1), axis=2)
    return {
        "counts": counts[0].tolist(),
        "entropy_bits": entropy(counts, base=2, axis=2).mean(axis=0).tolist(),
        "classes_seen": seen.mean(axis=0).tolist(),
        "oddness": oddness[np.stack(draws)].mean(axis=(0, 2)).tolist(),
    }


def _of_the_pool(material: Material) -> dict[str, Any]:
    """Class counts and entropy of the pool itself, to compare with."""
    counts = np.bincount(material.dataset.targets[material.pool], minlength=material.dataset.n_classes)
    return {"counts": counts.tolist(), "entropy_bits": float(entropy(counts, base=2))}


def _oddness(material: Material, rows: Indices) -> NDArray[np.float64]:
    """How odd some rows are, in an array (N,): the share of a sample of the pool that lies closer to its neighbours."""
    sample = drawn(material.pool, _SAMPLE, np.random.default_rng(material.seed))
    usual = np.sort(_distance_to_neighbours(material, sample, sample))
    odd = np.zeros(len(material.dataset))
    odd[rows] = np.searchsorted(usual, _distance_to_neighbours(material, rows, sample)) / len(usual)
    return odd


def _distance_to_neighbours(material: Material, rows: Indices, sample: Indices) -> NDArray[np.float64]:
    """Mean distance (n,) of some rows to the nearest others in the sample."""
    # A row of the sample is its own neighbour, at distance 0: then one more is looked at.
    _, squared = nearest_neighbours(
        material.vectors.matrix,
        rows,
        sample,
        _NEIGHBOURS + 1,
        device=material.device,
        monitor=material.monitor.part(0.8, 0.8),
    )
    distances = np.sqrt(squared.astype(np.float64))
    distances[~np.isin(rows, sample), _NEIGHBOURS:] = 0.0
    total: NDArray[np.float64] = distances.sum(axis=1)
    return total / _NEIGHBOURS


ONE_SHOT = Study(
    "one-shot",
    "Why one-shot active learning fails",
    "The number of clusters it takes, and the classes and the oddness of the tiles it asks for.",
    _make,
    modes=("single",),
)
