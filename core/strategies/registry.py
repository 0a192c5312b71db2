"""All query functions by name, and :func:`select`, the one way to call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue
from ..errors import LearningError, UsageError
from ..kernels import Device, Indices, finite_rows, tiles
from ..monitor import SILENT, Monitor
from . import coverage, mcfps, uncertainty
from .base import Mode, Pool, Request, Selection, Strategy

COLD_START = "kmeans"
"""Chooses as long as there is nothing to learn from: representative tiles, where farthest points would be outliers."""

STRATEGIES: Catalogue[Strategy] = Catalogue("query function")


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the query function does not have, or of the wrong type.

    Raises:
        UsageError: with the nearest name, or the default.
    """
    STRATEGIES.settings(STRATEGIES.find(name), parameters)


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

    Rows whose embedding or prediction is not finite are left out, with a remark. If no more rows than the budget are
    left, all of them are chosen. Where the function needs labels or predictions and there are none, the
    cold start chooses instead, with a remark, and ``Selection.strategy`` says so.

    Args:
        name: a query function, perhaps with a preset.
        pool: labelled rows are never chosen, even if they are among the eligible ones.
        budget: b, at least 1.
        seed: the same seed and pool give the same answer.
        parameters: those of the query function to be changed.
        device: where to compute.
        monitor: progress, cancellation and remarks.

    Raises:
        UsageError: unknown name or parameter, wrong type, budget below 1, a label mode that it does not support.
        LearningError: no row may be chosen.
        Cancelled: the caller asked to stop.
    """
    strategy = STRATEGIES.find(name)
    settings = STRATEGIES.settings(strategy, parameters or {})
    if budget < 1:
        raise UsageError(f"A budget of {budget} tiles asks for nothing.", hint="Use a budget of 1 or more.")
    if pool.predictions is not None:
        check_mode(strategy, pool.predictions.mode)
    usable = _without_set_aside(_usable(pool, monitor), budget, monitor)
    if not len(usable.eligible):
        raise LearningError("There is no tile left to ask about.", hint="Add a raster, or predict and export.")
    if len(usable.eligible) <= budget:
        return _everything(usable.eligible, strategy.name)
    if _must_wait(strategy, usable):
        monitor.info(
            f"There is not enough to learn from yet, so {COLD_START} chooses typical tiles in place of {name}."
        )
        strategy = STRATEGIES.find(COLD_START)
        settings = dict(strategy.defaults)
    request = Request(budget, np.random.default_rng(seed), device, monitor)
    selection: Selection = strategy.function(usable, request, **settings)
    return replace(selection, strategy=strategy.name)


def check_mode(strategy: Strategy, mode: Mode) -> None:
    """Refuse a label mode in which the query function has no meaning.

    Raises:
        UsageError: the hint has the functions that can do it.
    """
    if mode not in strategy.modes:
        able = [entry.name for entry in STRATEGIES.entries() if mode in entry.modes]
        raise UsageError(
            f"{strategy.name} does not work with {mode}-label projects.", hint=f"Use one of: {', '.join(able)}."
        )


def _must_wait(strategy: Strategy, pool: Pool) -> bool:
    """Whether the function lacks what only comes with labels and rounds.

    Raises:
        LearningError: it lacks what this learner never has.
    """
    told = pool.predictions
    if ("labels" in strategy.needs and not len(pool.labelled)) or ("predictions" in strategy.needs and told is None):
        return True
    if told is None:
        return False
    if "samples" in strategy.needs and told.sample_logits is None:
        raise LearningError(
            f"{strategy.name} compares random versions of the learner, and this learner has none.",
            hint="Use a learner with dropout, or another query function.",
        )
    if "losses" in strategy.needs and told.losses is None:
        raise LearningError(
            f"{strategy.name} needs a learner that predicts its own loss, and this one does not.",
            hint="Use another learner or another query function.",
        )
    return "previous" in strategy.needs and told.previous is None


def _usable(pool: Pool, monitor: Monitor) -> Pool:
    """The pool as query functions rely on it: ascending, finite, eligible apart from labelled."""
    labelled = _inside(pool.labelled, len(pool.embeddings), "labelled")
    eligible = np.setdiff1d(_inside(pool.eligible, len(pool.embeddings), "eligible"), labelled)
    known = _finite(pool, eligible)
    if not known.all():
        monitor.warn(f"{np.count_nonzero(~known)} tiles have no usable embedding or prediction and are not asked.")
    learnt = _finite(pool, labelled)
    targets = None if pool.targets is None else _in_order(pool)[learnt]
    return replace(pool, labelled=labelled[learnt], eligible=eligible[known], targets=targets)


def _in_order(pool: Pool) -> NDArray[Any]:
    """The targets in the order of the sorted, distinct labelled rows."""
    assert pool.targets is not None
    _, first = np.unique(np.asarray(pool.labelled, dtype=np.int64), return_index=True)
    return np.asarray(pool.targets)[first]


def _without_set_aside(pool: Pool, budget: int, monitor: Monitor) -> Pool:
    """The pool without the rows that were set aside, unless that leaves no choice."""
    left = np.setdiff1d(pool.eligible, pool.set_aside)
    if len(left) > budget or len(left) == len(pool.eligible):
        return replace(pool, eligible=left)
    monitor.info(f"Only {len(left)} tiles were not set aside in earlier rounds, so all of them may be asked again.")
    return pool


def _inside(indices: Indices, count: int, kind: str) -> Indices:
    """Sorted distinct indices, all of them rows of the pool."""
    ordered = np.unique(np.asarray(indices, dtype=np.int64))
    if len(ordered) and (ordered[0] < 0 or ordered[-1] >= count):
        raise UsageError(f"Some {kind} tiles are not among the {count} embedded ones.", hint="Embed again.")
    return ordered


def _finite(pool: Pool, rows: Indices) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True (n,) where a row has a finite embedding and, if there are predictions, finite probabilities."""
    finite = np.empty(len(rows), dtype=bool)
    for part in tiles(len(rows), pool.embeddings.shape[1]):
        finite[part] = finite_rows(pool.embeddings[rows[part]])
    if pool.predictions is not None:
        finite &= np.isfinite(pool.predictions.probabilities[rows]).all(axis=1)
    return finite


def _everything(eligible: Indices, strategy: str) -> Selection:
    """All rows there are, in their order."""
    return Selection(eligible, np.zeros(len(eligible)), ("all that is left",) * len(eligible), strategy)


for _family in (coverage, uncertainty, mcfps):
    for _strategy in _family.STRATEGIES:
        STRATEGIES.register(_strategy)
