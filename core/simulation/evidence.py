"""What may be concluded from many runs, and how sure that is.

Everything is a pure function of rounds (:class:`.plan.RoundResult`). Query functions are compared *in pairs*: two runs
with the same seed and variant have the same pool and, where labels are given before the first round, the same initial
labels, so their difference varies less than either of them. The pairs are the seeds. Runs of one seed on several
unbalanced pools share all their chance but the pool, so they are not independent, and their differences are averaged
first. An interval over the seeds says whether a difference could be chance. Seeds are all the chance that is looked at:
the pools and the test tiles are the same in all runs, so intervals say nothing of other tiles or other datasets.
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
from .stops import GoalStop, Stop, Stops, stops

__all__ = [
    "Comparison",
    "Cost",
    "Curve",
    "GoalStop",
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
_SAME = 1e-12
"""Differences this close are one, but for rounding."""


@dataclass(frozen=True)
class Comparison:
    """Two series, pair by pair.

    a, b: the series. measure: what was compared. pairs: how many seeds. runs: how many runs each side has, those of all
    variants. mean_a, mean_b: of the measure. difference: mean of a - b, with its 95 % interval low to high (Student's t
    over the seeds, each with the mean over its variants). p: of the paired t test over the same; p_holm: ``p``
    corrected for all comparisons with the same baseline (Holm 1979), ``p`` itself where there is one alone. Interval
    and p are NaN where nothing is known of chance: of a single pair, or if all pairs differ by the same. censored_a,
    censored_b: runs of which only a lower bound is known, so that the difference is not exact.
    """

    a: Series
    b: Series
    measure: str
    pairs: int
    runs: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
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
    values_a, values_b = (_by_seed(runs_a, found) for found in (found_a, found_b))
    low, high, p = paired_test(values_a - values_b)
    return Comparison(
        runs_a[0].series,
        runs_b[0].series,
        measure.name,
        len(values_a),
        len(runs_a),
        float(values_a.mean()),
        float(values_b.mean()),
        float((values_a - values_b).mean()),
        low,
        high,
        p,
        p,
        sum(censored for _, censored in found_a),
        sum(censored for _, censored in found_b),
    )


def _by_seed(runs: list[Run], found: list[tuple[float, bool]]) -> Numbers:
    """The measure of every seed (s,): its mean over the variants of the pool."""
    values: dict[int, list[float]] = {}
    for run, (value, _) in zip(runs, found, strict=True):
        values.setdefault(run.seed, []).append(value)
    return np.array([np.mean(values[seed]) for seed in sorted(values)])


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


def paired_test(differences: Numbers) -> tuple[float, float, float]:
    """Interval (low, high) and p of the paired t test for differences (n,), two-sided.

    A single difference has neither. Where all are the same there is no spread to judge them by, so nothing is known of
    chance either: all three are NaN. Only if all are 0, nothing differs: the interval is 0 to 0, and p is 1.
    """
    from scipy import stats

    if len(differences) < 2:
        return math.nan, math.nan, math.nan
    if np.ptp(differences) < _SAME:
        nothing = abs(float(differences.mean())) < _SAME
        return (0.0, 0.0, 1.0) if nothing else (math.nan, math.nan, math.nan)
    test = stats.ttest_1samp(differences, 0.0)
    low, high = (float(end) for end in test.confidence_interval(CONFIDENCE))
    return low, high, float(test.pvalue)


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
    """The same with ``p_holm``: the k-th smallest of m p values times m - k + 1, never falling, at most 1.

    A p that is not known stays so, but counts among the m: it was looked at like the others.
    """
    known = sorted((each.p, place) for place, each in enumerate(comparisons) if not math.isnan(each.p))
    corrected = [each.p for each in comparisons]
    so_far = 0.0
    for rank, (p, place) in enumerate(known):
        so_far = max(so_far, min(1.0, p * (len(comparisons) - rank)))
        corrected[place] = so_far
    return [replace(each, p_holm=p) for each, p in zip(comparisons, corrected, strict=True)]
