"""How often it is right to stop when it is suggested, as the test tiles show, which no analyst has.

Two suggestions are judged, the first of each kind in every run: that more labels would bring little, and that the goal
is reached for certain, because the lower end of the estimate's interval is at or above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..project.scores import wilson_interval
from .plan import RoundResult
from .series import Run, Series, runs_of


@dataclass(frozen=True)
class _Suggestion:
    """Where in a run it was made: round, labels, and the score on the test tiles."""

    series: Series
    variant: str
    seed: int
    round: int
    labels: int
    score: float


@dataclass(frozen=True)
class Stop(_Suggestion):
    """The first suggestion to stop in a run.

    rise: by how much the test score was higher at best in the rounds looked at after it. right: whether it did not rise
    by more than the gain. rise is NaN and right None if the run ended too early to judge it. saved: labels that running
    to the end would have taken more.
    """

    rise: float
    right: bool | None
    saved: int


@dataclass(frozen=True)
class GoalStop(_Suggestion):
    """The first round of a run whose estimate says that the goal is reached: its interval lies at or above it.

    right: whether the score on the test tiles was at the goal, too.
    """

    right: bool


@dataclass(frozen=True)
class Stops:
    """How often suggestions to stop are right.

    runs: all, with a suggestion or without. stops: the first suggestion of each that had one. goal_stops: the first
    round of each in which the estimate said that the goal is reached. intervals: rounds with an estimate of the score;
    covered: those in which the score on the test tiles lies in the estimate's interval. Rounds of one run share one
    validation sample, so these are not so many independent draws.
    """

    runs: int
    stops: tuple[Stop, ...]
    goal_stops: tuple[GoalStop, ...]
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
    def right_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the share that was right; None if none was judged."""
        return _share_interval(self.right, self.judged)

    @property
    def goals_right(self) -> int:
        """Rounds in which the estimate said rightly that the goal is reached."""
        return sum(stop.right for stop in self.goal_stops)

    @property
    def goals_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the share of these; None if the estimate never said so."""
        return _share_interval(self.goals_right, len(self.goal_stops))

    @property
    def mean_rise(self) -> float:
        """By how much the score still rose, on average over the judged suggestions; NaN if there is none."""
        rises = [stop.rise for stop in self.stops if stop.right is not None]
        return float(np.mean(rises)) if rises else math.nan

    @property
    def mean_saved(self) -> float:
        """Labels saved by a suggestion, on average; NaN if there is none."""
        return float(np.mean([stop.saved for stop in self.stops])) if self.stops else math.nan

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the score on the test tiles; 0.95 is meant. NaN if there is none."""
        return self.covered / self.intervals if self.intervals else math.nan


def _share_interval(right: int, count: int) -> tuple[float, float] | None:
    return wilson_interval(right / count, count) if count else None


def stops(
    results: Iterable[RoundResult], patience_rounds: int = 4, gain: float = 0.01, goal: float | None = None
) -> Stops:
    """Judge the suggestions to stop of each run by its scores on the test tiles.

    The first suggestion was right if the score rose by no more than ``gain`` in the ``patience_rounds`` after it. One
    that is followed by fewer rounds is not judged: it could only be found wrong, so the share would come out too low.

    Args:
        results: all rounds.
        patience_rounds: how many rounds are looked at after a suggestion.
        gain: a rise of the score that would have been worth these rounds.
        goal: the score to reach; without one no goal is judged.
    """
    runs = [run for each in runs_of(results).values() for run in each]
    found = (_first_stop(run, patience_rounds, gain) for run in runs)
    reached = (None if goal is None else _first_goal(run, goal) for run in runs)
    estimated = [
        (each.estimate_low <= each.score <= each.estimate_high)
        for run in runs
        for each in run.rounds
        if np.isfinite([each.score, each.estimate_low, each.estimate_high]).all()
    ]
    return Stops(
        len(runs),
        tuple(stop for stop in found if stop),
        tuple(stop for stop in reached if stop),
        len(estimated),
        sum(estimated),
    )


def _first_stop(run: Run, patience_rounds: int, gain: float) -> Stop | None:
    place = next((place for place, each in enumerate(run.rounds) if each.stop), None)
    if place is None:
        return None
    here = run.rounds[place]
    after = [each.score for each in run.rounds[place + 1 : place + 1 + patience_rounds]]
    known = len(after) == patience_rounds
    rise = max(after) - here.score if known else math.nan
    right = rise <= gain if known else None
    saved = run.last_labels - here.labels
    return Stop(run.series, run.variant, run.seed, here.round, here.labels, here.score, rise, right, saved)


def _first_goal(run: Run, goal: float) -> GoalStop | None:
    here = next((each for each in run.rounds if each.estimate_low >= goal), None)
    if here is None:
        return None
    return GoalStop(run.series, run.variant, run.seed, here.round, here.labels, here.score, here.score >= goal)
