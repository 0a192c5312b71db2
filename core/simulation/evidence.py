"""What may be concluded from many runs, and how sure that is.

Everything is a pure function of rounds (:class:`.plan.RoundResult`). Query functions are compared *in pairs*: the same
seed means the same initial labels and the same pool, so the difference of two runs varies less than either of them,
and an interval over the seeds says whether it could be chance. Seeds are all the chance that is looked at: the test
tiles are the same in all runs, so intervals say nothing of other tiles or other datasets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UsageError
from .curves import Cost, Curve, Reached, costs, curves, labels_to
from .measures import LabelsTo, MeanScore, Measure, ScoreAt
from .plan import RoundResult
from .series import Numbers, Run, Series, runs_of, select_series

__all__ = [
    "Comparison",
    "Cost",
    "Curve",
    "LabelsTo",
    "MeanScore",
    "Measure",
    "Reached",
    "ScoreAt",
    "Series",
    "Stop",
    "Stops",
    "compare",
    "costs",
    "curves",
    "labels_to",
    "ranking",
    "select_series",
    "stops",
]

CONFIDENCE = 0.95
FEWEST_FOR_WILCOXON = 6
"""With fewer pairs the smallest p of the signed-rank test is above 0.05 whatever the differences."""
_SAME = 1e-12
"""Differences this close are one, but for rounding."""


@dataclass(frozen=True)
class Comparison:
    """Two series, pair by pair.

    a, b: the series. measure: what was compared. pairs: how many. mean_a, mean_b: of the measure. difference: mean of
    a - b, with its 95 % interval low to high (Student's t over the pairs; NaN for a single one). p: of the paired t
    test; p_wilcoxon: of the signed-rank test, NaN with fewer than 6 pairs; p_holm: ``p`` corrected for all comparisons
    with the same baseline (Holm 1979), ``p`` itself where there is one alone. censored_a, censored_b: runs of which
    only a lower bound is known, so that the difference is not exact.
    """

    a: Series
    b: Series
    measure: str
    pairs: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    p_wilcoxon: float
    p_holm: float
    censored_a: int = 0
    censored_b: int = 0

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0.0 or self.high < 0.0


def compare(results: Iterable[RoundResult], a: Series, b: Series, measure: Measure) -> Comparison:
    """Compare two series over the runs that have the same variant and seed.

    Raises:
        UsageError: the results of one are missing, the two do not have the same variants and seeds, or a run does not
            go far enough.
    """
    runs = runs_of(results)
    for series in (a, b):
        if series not in runs:
            raise UsageError(f"There are no results of {series.strategy} with {series.learner}.", hint="Run it first.")
    return _compared(runs[a], runs[b], measure)


def _compared(runs_a: list[Run], runs_b: list[Run], measure: Measure) -> Comparison:
    _check_paired(runs_a, runs_b)
    found_a, found_b = ([measure.of(run) for run in runs] for runs in (runs_a, runs_b))
    values_a, values_b = (np.array([value for value, _ in found]) for found in (found_a, found_b))
    low, high, p, p_wilcoxon = paired_tests(values_a - values_b)
    return Comparison(
        runs_a[0].series,
        runs_b[0].series,
        measure.name,
        len(values_a),
        float(values_a.mean()),
        float(values_b.mean()),
        float((values_a - values_b).mean()),
        low,
        high,
        p,
        p_wilcoxon,
        p,
        sum(censored for _, censored in found_a),
        sum(censored for _, censored in found_b),
    )


def _check_paired(runs_a: list[Run], runs_b: list[Run]) -> None:
    seeds_a, seeds_b = ([(run.variant, run.seed) for run in runs] for runs in (runs_a, runs_b))
    if seeds_a == seeds_b:
        return
    alone = sorted(set(seeds_a) ^ set(seeds_b))
    raise UsageError(
        f"{runs_a[0].series.strategy} and {runs_b[0].series.strategy} were not run with the same seeds and variants.",
        hint="Make the missing runs: the same command with the same --seeds goes on where it stopped.",
        details="\n".join(f"{variant}, seed {seed}: only one of them" for variant, seed in alone),
    )


def paired_tests(differences: Numbers) -> tuple[float, float, float, float]:
    """Interval (low, high), p of the paired t test and of Wilcoxon's for differences (n,), two-sided.

    Where all pairs differ by the same, there is no chance left: the interval is a point, and p is 0, or 1 for none.
    """
    from scipy import stats

    if len(differences) < 2:
        return math.nan, math.nan, math.nan, math.nan
    mean = float(differences.mean())
    if np.ptp(differences) < _SAME:
        differences = np.full_like(differences, mean if abs(mean) >= _SAME else 0.0)
        mean = float(differences[0])
        certain = 0.0 if mean else 1.0
        low, high, p = mean, mean, certain
    else:
        test = stats.ttest_1samp(differences, 0.0)
        low, high = (float(end) for end in test.confidence_interval(CONFIDENCE))
        p = float(test.pvalue)
    if len(differences) < FEWEST_FOR_WILCOXON:
        return low, high, p, math.nan
    p_wilcoxon = float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0
    return low, high, p, p_wilcoxon


def ranking(
    results: Iterable[RoundResult], measure: Measure, baseline: str | Mapping[str, Any] = "random"
) -> list[Comparison]:
    """Every series against the baseline of its kind, the highest mean difference first within each kind.

    A series is of a baseline's kind if they agree in all fields that ``baseline`` does not name. With
    ``{"strategy": "random"}`` each learner has a random of its own; ``{"strategy": "random", "learner": "linear"}`` is
    one for all learners. Series of a kind without a baseline are left out. p values are corrected within a kind.

    Args:
        results: all rounds.
        measure: of a run.
        baseline: the values that make a series the baseline; a name alone is a query function's.

    Raises:
        UsageError: there is no such baseline, or as :func:`compare`.
    """
    results = list(results)
    wanted = {"strategy": baseline} if isinstance(baseline, str) else dict(baseline)
    every = runs_of(results)
    found: list[Comparison] = []
    for base in select_series(results, **wanted):
        kind = [series for series in every if series != base and replace(series, **wanted) == base]
        compared = _corrected([_compared(every[series], every[base], measure) for series in kind])
        found += sorted(compared, key=lambda each: -each.difference)
    return found


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """The same with ``p_holm``: the k-th smallest of m p values times m - k + 1, never falling, at most 1."""
    known = sorted((each.p, place) for place, each in enumerate(comparisons) if not math.isnan(each.p))
    corrected = [each.p for each in comparisons]
    so_far = 0.0
    for rank, (p, place) in enumerate(known):
        so_far = max(so_far, min(1.0, p * (len(known) - rank)))
        corrected[place] = so_far
    return [replace(each, p_holm=p) for each, p in zip(comparisons, corrected, strict=True)]


@dataclass(frozen=True)
class Stop:
    """The first suggestion to stop in a run.

    round, labels, score: where it was made. rise: by how much the test score was higher at best in the rounds looked
    at after it; NaN if there are none. right: whether it did not rise by more than the gain; None if the run ended too
    early to know. saved: labels that running to the end would have taken more.
    """

    series: Series
    variant: str
    seed: int
    round: int
    labels: int
    score: float
    rise: float
    right: bool | None
    saved: int


@dataclass(frozen=True)
class Stops:
    """How often suggestions to stop are right.

    runs: all, with a suggestion or without. stops: the first suggestion of each that had one. intervals: rounds with
    an estimate of the score; covered: those in which the score on the test tiles lies in the estimate's interval.
    """

    runs: int
    stops: tuple[Stop, ...]
    intervals: int
    covered: int

    @property
    def judged(self) -> int:
        """Suggestions of which it is known whether they were right."""
        return sum(stop.right is not None for stop in self.stops)

    @property
    def right(self) -> int:
        """Those that were."""
        return sum(stop.right is True for stop in self.stops)

    @property
    def mean_saved(self) -> float:
        """Labels saved by a suggestion, on average; NaN if there is none."""
        return float(np.mean([stop.saved for stop in self.stops])) if self.stops else math.nan

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the score on the test tiles; 0.95 is meant. NaN if there is none."""
        return self.covered / self.intervals if self.intervals else math.nan


def stops(results: Iterable[RoundResult], patience_rounds: int = 4, gain: float = 0.01) -> Stops:
    """Judge the first suggestion to stop of each run by what happened in the ``patience_rounds`` after it.

    It was right if the score on the test tiles rose by no more than ``gain``. One that is followed by fewer rounds can
    be seen to be wrong, but not to be right.
    """
    runs = [run for each in runs_of(results).values() for run in each]
    found = (_first_stop(run, patience_rounds, gain) for run in runs)
    estimated = [
        (each.estimate_low <= each.score <= each.estimate_high)
        for run in runs
        for each in run.rounds
        if np.isfinite([each.score, each.estimate_low, each.estimate_high]).all()
    ]
    return Stops(len(runs), tuple(stop for stop in found if stop), len(estimated), sum(estimated))


def _first_stop(run: Run, patience_rounds: int, gain: float) -> Stop | None:
    place = next((place for place, each in enumerate(run.rounds) if each.stop), None)
    if place is None:
        return None
    here = run.rounds[place]
    after = [each.score for each in run.rounds[place + 1 : place + 1 + patience_rounds]]
    rise = max(after) - here.score if after else math.nan
    right = None if len(after) < patience_rounds and not rise > gain else rise <= gain
    saved = run.last_labels - here.labels
    return Stop(run.series, run.variant, run.seed, here.round, here.labels, here.score, rise, right, saved)
