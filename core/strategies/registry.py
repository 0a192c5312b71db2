"""All query functions by name, and :func:`select`, the one way to call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue
from ..errors import LearningError, UsageError
from ..kernels import Device, Indices, finite_rows, sparing, tiles
from ..monitor import SILENT, Monitor
from . import clusters, coverage, gradients, herding, mcfps, multilabel, uncertainty
from .base import Pool, Predictions, Request, Selection, Strategy, without

COLD_START = "kmeans"
"""Chooses as long as there is nothing to learn from: representative tiles, where farthest points would be outliers."""

STRATEGIES: Catalogue[Strategy] = Catalogue("query function")


def select(
    name: str,
    pool: Pool,
    budget: int,
    *,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> Selection:
    """Choose tiles, having checked all that a query function relies on.

    Rows whose embedding, probabilities or (for functions that look at it) expected loss are not finite are left out,
    with a remark. If no more rows than the budget are left, all of them are chosen. Where the function needs labels,
    predictions or those of the round before and there are none, the cold start chooses instead, with a remark, and
    ``Selection.strategy`` says so.

    Args:
        name: a query function, perhaps with a preset.
        pool: labelled rows are never chosen, even if they are among the eligible ones.
        budget: b, at least 1.
        seed: the same seed and pool give the same answer.
        parameters: those of the query function to be changed.
        device: where to compute; where a GPU has too little memory, see :func:`..kernels.sparing`.
        monitor: progress, cancellation and remarks.

    Raises:
        UsageError: unknown name or parameter, wrong type, budget below 1, a label mode that it does not support.
        LearningError: no row may be chosen, or the function needs what this learner does not have.
        Cancelled: the caller asked to stop.
    """
    strategy = STRATEGIES.find(name)
    settings = STRATEGIES.settings(strategy, parameters or {})
    if budget < 1:
        raise UsageError(f"A budget of {budget} tiles asks for nothing.", hint="Use a budget of 1 or more.")
    if pool.predictions is not None:
        STRATEGIES.check_mode(strategy, pool.predictions.mode)
    usable = _without_set_aside(_usable(pool, strategy, monitor), budget, monitor)
    if not len(usable.eligible):
        raise LearningError("There is no tile left to ask about.", hint="Add a raster, or predict and export.")
    if len(usable.eligible) <= budget:
        return _everything(usable.eligible, strategy.name)
    if reason := _why_wait(strategy, usable):
        monitor.info(f"{reason}, so {COLD_START} chooses typical tiles in place of {name}.")
        strategy = STRATEGIES.find(COLD_START)
        settings = dict(strategy.defaults)

    def choose(where: Device) -> Selection:
        request = Request(budget, np.random.default_rng(seed), where, monitor)
        selection: Selection = strategy.function(usable, request, **settings)
        return selection

    return replace(sparing(choose, device, monitor), strategy=strategy.name)


def facts(strategy: Strategy) -> dict[str, Any]:
    """What there is to know about a query function, for programs; limits are in words."""
    return {
        **strategy.facts(),
        "needs": sorted(strategy.needs),
        "learner": strategy.learner,
    }


def _why_wait(strategy: Strategy, pool: Pool) -> str:
    """What the function lacks that only comes with labels and rounds, as part of a sentence; empty if nothing.

    Raises:
        LearningError: it lacks what this learner never has.
    """
    told = pool.predictions
    if ("labels" in strategy.needs and not len(pool.labelled)) or ("predictions" in strategy.needs and told is None):
        return "There is not enough to learn from yet"
    if told is None:
        return ""
    if "samples" in strategy.needs and told.sample_logits is None:
        raise no_samples(strategy)
    if "losses" in strategy.needs and told.losses is None:
        raise LearningError(
            f"{strategy.name} needs a learner that predicts its own loss, and this one does not.",
            hint="Use another learner or another query function.",
        )
    if "previous" in strategy.needs and not _remembers(told, pool.eligible):
        return "There is no round before this one to compare with"
    return ""


def no_samples(strategy: Strategy) -> LearningError:
    """The error for a learner without dropout, where the function needs some."""
    return LearningError(
        f"{strategy.name} compares random versions of the learner, and this learner has none.",
        hint="Use a learner with dropout, or another query function.",
    )


def _remembers(told: Predictions, rows: Indices) -> bool:
    """Whether the round before knew anything of these rows."""
    return told.previous is not None and bool(np.isfinite(told.previous[rows]).any())


def _usable(pool: Pool, strategy: Strategy, monitor: Monitor) -> Pool:
    """The pool as query functions rely on it: ascending, finite, eligible apart from labelled."""
    labelled = _inside(pool.labelled, len(pool.embeddings), "labelled")
    eligible = without(_inside(pool.eligible, len(pool.embeddings), "eligible"), labelled, len(pool.embeddings))
    known = _finite(pool, eligible, monitor)
    if "losses" in strategy.needs and pool.predictions is not None and pool.predictions.losses is not None:
        known &= np.isfinite(pool.predictions.losses[eligible])
    if not known.all():
        monitor.warn(f"{np.count_nonzero(~known)} tiles have no usable embedding or prediction and are not asked.")
    learnt = _finite(pool, labelled, monitor)
    targets = None if pool.targets is None else _in_order(pool)[learnt]
    return replace(pool, labelled=labelled[learnt], eligible=eligible[known], targets=targets)


def _in_order(pool: Pool) -> NDArray[Any]:
    """The targets in the order of the sorted, distinct labelled rows."""
    assert pool.targets is not None
    _, first = np.unique(np.asarray(pool.labelled, dtype=np.int64), return_index=True)
    return np.asarray(pool.targets)[first]


def _without_set_aside(pool: Pool, budget: int, monitor: Monitor) -> Pool:
    """The pool without the rows that were set aside, unless that leaves no choice."""
    left = without(pool.eligible, pool.set_aside, len(pool.embeddings))
    if len(left) > budget or len(left) == len(pool.eligible):
        return replace(pool, eligible=left)
    monitor.info(f"Only {len(left)} tiles were not set aside in earlier rounds, so all of them may be asked again.")
    return pool


def _inside(indices: Indices, count: int, kind: str) -> Indices:
    """Sorted distinct indices, all of them rows of the pool."""
    rows = np.asarray(indices, dtype=np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise UsageError(f"Some {kind} tiles are not among the {count} embedded ones.", hint="Embed again.")
    marked = np.zeros(count, dtype=bool)
    marked[rows] = True
    return np.flatnonzero(marked)


def _finite(pool: Pool, rows: Indices, monitor: Monitor) -> NDArray[np.bool_]:
    """True (n,) where a row has a finite embedding and, if there are predictions, finite probabilities.

    Features need no look of their own: what is not finite there is not finite in the probabilities made of them.
    """
    finite = np.empty(len(rows), dtype=bool)
    for part in tiles(len(rows), pool.embeddings.shape[1]):
        monitor.advance(0.0, "Checking the embeddings")
        finite[part] = finite_rows(pool.embeddings[rows[part]])
    if pool.predictions is not None:
        finite &= np.isfinite(pool.predictions.probabilities[rows]).all(axis=1)
    return finite


def _everything(eligible: Indices, strategy: str) -> Selection:
    """All rows there are, in their order."""
    return Selection(eligible, np.zeros(len(eligible)), ("all that is left",) * len(eligible), strategy)


for _family in (coverage, clusters, uncertainty, multilabel, mcfps, gradients, herding):
    for _strategy in _family.STRATEGIES:
        STRATEGIES.register(_strategy)
