"""All query functions by name, and :func:`select`, the one way to call them.

A name may carry a preset after a colon: ``mcfps:paper``. A query function's parameters are its keyword-only arguments;
their defaults give the types, so nothing is declared twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import LearningError, UsageError, nearest
from ..kernels import Device, Indices, finite_rows, tiles
from ..monitor import SILENT, Monitor
from . import coverage, mcfps, uncertainty
from .base import Pool, Request, Selection, Strategy

COLD_START = "kmeans"
"""Chooses as long as there is nothing to learn from: representative tiles, where farthest points would be outliers."""

_STRATEGIES: dict[str, Strategy] = {}


def register(strategy: Strategy) -> None:
    """Make a query function known under its name."""
    arguments = inspect.signature(strategy.function).parameters.values()
    defaults = {a.name: a.default for a in arguments if a.kind is inspect.Parameter.KEYWORD_ONLY}
    _STRATEGIES[strategy.name] = replace(strategy, defaults=defaults)


def strategies() -> tuple[Strategy, ...]:
    """Every query function, in alphabetical order, without presets."""
    return tuple(_STRATEGIES[name] for name in sorted(_STRATEGIES))


def names() -> tuple[str, ...]:
    """Everything that :func:`find_strategy` accepts: ``mcfps``, ``mcfps:paper``, ..."""
    return tuple(name for s in strategies() for name in (s.name, *(f"{s.name}:{preset}" for preset in s.presets)))


def find_strategy(name: str) -> Strategy:
    """The query function of that name; with a preset, its parameters, summary and head are the preset's.

    Raises:
        UsageError: no such name; the hint has the nearest one.
    """
    if name not in names():
        raise UsageError(f"There is no query function called {name!r}.", hint=nearest(name, names()))
    base, _, preset_name = name.partition(":")
    strategy = _STRATEGIES[base]
    if not preset_name:
        return strategy
    preset = strategy.presets[preset_name]
    defaults = {**strategy.defaults, **preset.parameters}
    return replace(strategy, name=name, summary=preset.summary, head=preset.head, defaults=defaults, presets={})


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the query function does not have, or of the wrong type.

    Raises:
        UsageError: with the nearest name, or the default.
    """
    _settings(find_strategy(name), parameters)


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
    strategy = find_strategy(name)
    settings = _settings(strategy, parameters or {})
    if budget < 1:
        raise UsageError(f"A budget of {budget} tiles asks for nothing.", hint="Use a budget of 1 or more.")
    if pool.predictions is not None and pool.predictions.mode not in strategy.modes:
        raise UsageError(f"{name} does not work with {pool.predictions.mode}-label projects.", hint=_alternatives(pool))
    usable = _without_set_aside(_usable(pool, monitor), budget, monitor)
    if not len(usable.eligible):
        raise LearningError("There is no tile left to ask about.", hint="Add a raster, or predict and export.")
    if len(usable.eligible) <= budget:
        return _everything(usable.eligible, strategy.name)
    if _must_wait(strategy, usable):
        monitor.info(
            f"There is not enough to learn from yet, so {COLD_START} chooses typical tiles in place of {name}."
        )
        strategy, settings = _STRATEGIES[COLD_START], {}
    request = Request(budget, np.random.default_rng(seed), device, monitor)
    return replace(strategy.function(usable, request, **settings), strategy=strategy.name)


def _must_wait(strategy: Strategy, pool: Pool) -> bool:
    """Whether the function lacks the labels or predictions that it needs."""
    lacks_labels = strategy.needs_labels and not len(pool.labelled)
    return lacks_labels or (strategy.needs_predictions and pool.predictions is None)


def _usable(pool: Pool, monitor: Monitor) -> Pool:
    """The pool as query functions rely on it: ascending, finite, eligible apart from labelled."""
    labelled = _inside(pool.labelled, len(pool.embeddings), "labelled")
    eligible = np.setdiff1d(_inside(pool.eligible, len(pool.embeddings), "eligible"), labelled)
    known = _finite(pool, eligible)
    if not known.all():
        monitor.warn(f"{np.count_nonzero(~known)} tiles have no usable embedding or prediction and are not asked.")
    return replace(pool, labelled=labelled[_finite(pool, labelled)], eligible=eligible[known])


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


def _settings(strategy: Strategy, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The function's parameters, changed as asked, each of the type of its default."""
    settings = dict(strategy.defaults)
    for key, value in parameters.items():
        if key not in settings:
            raise UsageError(f"{strategy.name} has no parameter {key!r}.", hint=nearest(key, settings))
        wanted = type(settings[key])
        fits = type(value) is wanted or (wanted is float and type(value) is int)
        if not fits:
            raise UsageError(
                f"{strategy.name}: {key} is {value!r}, but should be of type {wanted.__name__}.",
                hint=f"The default is {settings[key]!r}.",
            )
        settings[key] = wanted(value)
    return settings


def _alternatives(pool: Pool) -> str:
    """A hint with the functions that support this pool's label mode."""
    assert pool.predictions is not None
    return "Use one of: " + ", ".join(s.name for s in strategies() if pool.predictions.mode in s.modes) + "."


for _family in (coverage, uncertainty, mcfps):
    for _strategy in _family.STRATEGIES:
        register(_strategy)
