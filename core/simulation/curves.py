"""Series in one line each: the mean learning curve, the labels that a goal takes, the seconds of a selection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from .measures import crossing
from .plan import RoundResult
from .series import SERIES_FIELDS, Numbers, Run, Series, runs_of


@dataclass(frozen=True)
class Curve:
    """A mean learning curve: at each number of labels (n,), over the runs that have a round there.

    labels, mean, spread (standard deviation, n - 1; 0 of a single run), least, most; count: how many runs these are.
    ``by`` are the fields that the runs have in common, the others of ``series`` are those of the first one.
    """

    series: Series
    by: tuple[str, ...]
    labels: Numbers
    mean: Numbers
    spread: Numbers
    least: Numbers
    most: Numbers
    count: Numbers


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
    at: dict[float, list[float]] = {}
    for run in runs:
        for labels, value in zip(*run.curve(score), strict=True):
            at.setdefault(float(labels), []).append(float(value))
    points = [np.array(at[labels]) for labels in sorted(at)]
    columns = [
        (values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0, values.min(), values.max(), len(values))
        for values in points
    ]
    mean, spread, least, most, count = np.array(columns, dtype=np.float64).reshape(-1, 5).T
    return Curve(runs[0].series, by, np.array(sorted(at), dtype=np.float64), mean, spread, least, most, count)


@dataclass(frozen=True)
class Reached:
    """With how many labels a series reaches a score.

    runs: (variant, seed, labels or None) of each. mean and spread over them, NaN unless all reach it. last_labels:
    the most labels that a run which does not reach it had. Summary: the mean, else how many reach it, else that it
    takes more than the last labels.
    """

    series: Series
    goal: float
    runs: tuple[tuple[str, int, float | None], ...]
    last_labels: int

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

    A run whose first score is at the goal already has the labels of that round: what it would have needed before is
    not known.
    """
    found = []
    for series, runs in runs_of(results).items():
        reached = tuple((run.variant, run.seed, crossing(run, goal, score)) for run in runs)
        last = max(
            (run.last_labels for run, (_, _, labels) in zip(runs, reached, strict=True) if labels is None), default=0
        )
        found.append(Reached(series, goal, reached, last))
    return found


@dataclass(frozen=True)
class Cost:
    """What a series costs: ``seconds`` of the selection alone, mean over ``rounds`` rounds, with their standard
    deviation; ``parameters`` that its learner learns, the most of any round.

    Rounds in which a cold start chose are left out, and so are the initial labels.
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
        rounds = [each for run in runs for each in run.rounds]
        # A label may have parameters after the name, as in `mcfps(passes=20)`.
        name = series.strategy.partition("(")[0]
        chosen = [each.query_seconds for each in rounds if each.round and each.chosen_by == name]
        seconds = float(np.mean(chosen)) if chosen else math.nan
        spread = float(np.std(chosen, ddof=1)) if len(chosen) > 1 else math.nan
        found.append(Cost(series, seconds, spread, len(chosen), max(each.learner_parameters for each in rounds)))
    return found
