"""Series in one line each: the mean learning curve, the labels that a goal takes, the seconds of a selection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from .measures import crossing
from .plan import RoundResult
from .series import SERIES_FIELDS, Numbers, Run, Series, runs_of


@dataclass(frozen=True)
class Curve:
    """A mean learning curve: at each number of labels (n,), over the runs that have a score by then.

    labels, mean, spread (standard deviation, n - 1; NaN of a single run); count: how many runs these are. A run that
    ended sooner, at its goal or with its pool, counts with its last score from there on: the mean of the others alone
    would be one of the worse runs. ended: how many of them did. Between its rounds a run is linear. ``by`` are the
    fields that the runs have in common, the others of ``series`` are those of the first one.
    """

    series: Series
    by: tuple[str, ...]
    labels: Numbers
    mean: Numbers
    spread: Numbers
    count: Numbers
    ended: Numbers


def curves(results: Iterable[RoundResult], by: Sequence[str] = SERIES_FIELDS, *, score: str = "score") -> list[Curve]:
    """The mean learning curve of every series, or of all that agree in the fields ``by``.

    Raises:
        UsageError: a series has no such field, or there is no such score.
    """
    unknown = sorted(set(by) - set(SERIES_FIELDS))
    if unknown:
        raise UsageError(f"A series has no {unknown[0]}.", hint=f"It has {', '.join(SERIES_FIELDS)}.")
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for series, runs in runs_of(results).items():
        groups.setdefault(tuple(getattr(series, name) for name in by), []).extend(runs)
    return [_curve(runs, tuple(by), score) for runs in groups.values()]


def _curve(runs: list[Run], by: tuple[str, ...], score: str) -> Curve:
    found = [(labels, values) for labels, values in (run.curve(score) for run in runs) if len(labels)]
    at = np.unique(np.concatenate([labels for labels, _ in found] or [np.empty(0)]))
    # Beyond a run's end, np.interp goes on with its last score.
    columns = [
        np.array([np.interp(here, labels, values) for labels, values in found if labels[0] <= here]) for here in at
    ]
    return Curve(
        runs[0].series,
        by,
        at,
        np.array([values.mean() for values in columns]),
        np.array([values.std(ddof=1) if len(values) > 1 else math.nan for values in columns]),
        np.array([len(values) for values in columns], dtype=np.float64),
        np.array([sum(labels[-1] < here for labels, _ in found) for here in at], dtype=np.float64),
    )


@dataclass(frozen=True)
class Reached:
    """With how many labels a series reaches a score.

    runs: (variant, seed, labels or None) of each. mean and spread over them, NaN unless all reach it. last_labels:
    the fewest labels with which a run ended below it, so that every run that does not reach it takes more than these; 0
    if all reach it. at_once: runs that have it with the first labels that led to a score; they may have needed fewer.
    Summary: the mean, else how many reach it, else that it takes more than the last labels.
    """

    series: Series
    goal: float
    runs: tuple[tuple[str, int, float | None], ...]
    last_labels: int
    at_once: int

    @property
    def reached(self) -> Numbers:
        """The labels (k,) of those that reach it."""
        return np.array([labels for _, _, labels in self.runs if labels is not None], dtype=np.float64)

    @property
    def mean(self) -> float:
        """Over the runs; NaN if not all reach it."""
        return float(self.reached.mean()) if len(self.reached) == len(self.runs) else math.nan

    @property
    def spread(self) -> float:
        """The standard deviation over the runs; NaN if not all reach it or there is one alone."""
        return float(self.reached.std(ddof=1)) if len(self.reached) == len(self.runs) > 1 else math.nan

    @property
    def summary(self) -> str:
        """``128``, ``3 of 5``, or ``> 512``."""
        if len(self.reached) == len(self.runs):
            return f"{self.mean:.0f}"
        return f"{len(self.reached)} of {len(self.runs)}" if len(self.reached) else f"> {self.last_labels}"


def labels_to(results: Iterable[RoundResult], goal: float, *, score: str = "score") -> list[Reached]:
    """With how many labels each series first reaches ``goal``, linear between rounds.

    A run whose first score is at the goal already counts as the labels of that round, and is counted: whether fewer
    would have done is not known.
    """
    found = []
    for series, runs in runs_of(results).items():
        reached = tuple((run.variant, run.seed, crossing(run, goal, score)) for run in runs)
        below = (run.last_labels for run, (_, _, labels) in zip(runs, reached, strict=True) if labels is None)
        firsts = (run.curve(score)[1][:1] for run in runs)
        at_once = sum(bool((first >= goal).any()) for first in firsts)
        found.append(Reached(series, goal, reached, min(below, default=0), at_once))
    return found


@dataclass(frozen=True)
class Cost:
    """What a series costs: ``seconds`` of the selection alone, mean over ``rounds`` rounds, with their standard
    deviation; ``parameters`` that its learner learns, the most of any round.

    Rounds in which a cold start chose are left out, and so are the initial labels, and a last round that took only what
    was left of the pool: there was nothing to choose, or less.
    """

    series: Series
    seconds: float
    spread: float
    rounds: int
    parameters: int


def costs(results: Iterable[RoundResult]) -> list[Cost]:
    """The cost of every series; NaN seconds where it never chose by itself."""
    found = []
    for series, runs in runs_of(results).items():
        # A label may have parameters after the name, as in `mcfps(passes=20)`.
        name = series.strategy.partition("(")[0]
        whole = (each for run in runs for each in _whole_rounds(run))
        chosen = [each.query_seconds for each in whole if each.chosen_by == name]
        seconds = float(np.mean(chosen)) if chosen else math.nan
        spread = float(np.std(chosen, ddof=1)) if len(chosen) > 1 else math.nan
        parameters = max(each.learner_parameters for run in runs for each in run.rounds)
        found.append(Cost(series, seconds, spread, len(chosen), parameters))
    return found


def _whole_rounds(run: Run) -> Iterator[RoundResult]:
    """The rounds after the initial labels that asked for a whole budget."""
    before = run.series.initial
    for each in run.rounds:
        if each.round and each.labels - before >= run.series.budget:
            yield each
        before = each.labels
