"""Suggestions to stop are judged by what came after them, and seconds by the rounds that chose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import stdev
from typing import Any

import numpy as np
import pytest
from scipy import stats

from quadrat.core.simulation.evidence import costs, stops
from quadrat.core.simulation.plan import RoundResult

from .made_rounds import NAN, run


def marked(scores: Sequence[float], stop_at: int | None, **fields: Any) -> list[RoundResult]:
    """A run with a suggestion to stop in round ``stop_at`` and in all later ones."""
    return [replace(each, stop=stop_at is not None and each.round >= stop_at) for each in run(scores, **fields)]


def test_a_stop_is_right_if_the_score_does_not_rise_in_the_rounds_after_it():
    results = [
        *marked([0.5, 0.800, 0.805, 0.79, 0.81, 0.809, 0.95], 2, seed=0),
        *marked([0.5, 0.800, 0.805, 0.82, 0.80, 0.80, 0.80], 2, seed=1),
        *marked([0.5, 0.6, 0.7], None, seed=2),
    ]
    found = stops(results, patience_rounds=4, gain=0.0101)
    assert [(stop.seed, stop.round, stop.right, stop.saved) for stop in found.stops] == [
        (0, 2, True, 50),
        (1, 2, False, 50),
    ]
    assert [stop.rise for stop in found.stops] == pytest.approx([0.01, 0.02])
    assert (found.runs, found.judged, found.right, found.mean_saved) == (3, 2, 1, 50.0)


def test_a_stop_near_the_end_is_not_judged_right_or_wrong():
    results = [
        *marked([0.5, 0.6, 0.6], 2, seed=0),
        *marked([0.5, 0.6, 0.7], 2, seed=1),
        *marked([0.5, 0.6, 0.6], 3, seed=2),
        *marked([0.5, 0.6, 0.6, 0.605, 0.6], 1, seed=3),
    ]
    found = stops(results)
    assert [stop.right for stop in found.stops] == [None, None, None, False]
    assert (found.judged, found.right) == (1, 0)
    assert found.mean_rise == pytest.approx(0.105)


def test_the_share_of_right_stops_has_an_interval():
    results = [
        result
        for seed, last in enumerate((0.6, 0.6, 0.6, 0.9))
        for result in marked([0.6, 0.6, 0.6, 0.6, last], 1, seed=seed)
    ]
    found = stops(results)
    assert found.right_interval == pytest.approx(stats.binomtest(3, 4).proportion_ci(method="wilson"), abs=1e-5)
    assert stops(run([0.5])).right_interval is None


def test_an_estimate_that_says_the_goal_is_reached_is_judged_by_the_test_tiles():
    lows = {0: [0.6, 0.91, 0.95], 1: [0.6, 0.7, 0.92], 2: [0.6, 0.7, 0.8]}
    scores = {0: [0.7, 0.89, 0.96], 1: [0.7, 0.8, 0.93], 2: [0.7, 0.8, 0.95]}
    results = [
        replace(each, estimate=low + 0.02, estimate_low=low, estimate_high=low + 0.04)
        for seed, found in scores.items()
        for each, low in zip(run(found, seed=seed), lows[seed], strict=True)
    ]
    found = stops(results, goal=0.9)
    assert [(stop.seed, stop.labels, stop.right) for stop in found.goal_stops] == [(0, 20, False), (1, 30, True)]
    assert found.goals_right == 1
    assert found.goals_interval == pytest.approx(stats.binomtest(1, 2).proportion_ci(method="wilson"), abs=1e-5)
    assert stops(results).goal_stops == ()


def test_the_coverage_is_the_share_of_intervals_that_hold_the_score_on_the_test_tiles():
    rng = np.random.default_rng(5)
    lows, highs, scores = rng.uniform(0, 0.5, 40), rng.uniform(0.5, 1, 40), rng.uniform(0, 1, 40)
    rounds = [
        replace(each, estimate=(low + high) / 2, estimate_low=low, estimate_high=high)
        for each, low, high in zip(run(scores.tolist()), lows, highs, strict=True)
    ]
    found = stops([*rounds, *run([0.5, NAN], seed=1)])
    inside = sum(low <= score <= high for low, high, score in zip(lows, highs, scores, strict=True))
    assert (found.intervals, found.covered, found.coverage) == (40, inside, inside / 40)
    assert math.isnan(stops(run([0.5])).coverage)
    assert math.isnan(stops(run([0.5])).mean_saved)


def test_costs_are_the_seconds_of_rounds_that_the_function_chose_itself():
    rounds = [
        replace(each, query_seconds=seconds, round=number, chosen_by=chosen_by, learner_parameters=parameters)
        for each, (number, seconds, chosen_by, parameters) in zip(
            run([0.1] * 4, strategy="tpd(bias=false)"),
            [(0, 9.0, "random", 10), (1, 9.0, "kmeans", 10), (2, 1.0, "tpd", 30), (3, 2.0, "tpd", 20)],
            strict=True,
        )
    ]
    (found,) = costs(rounds)
    assert (found.seconds, found.rounds, found.parameters) == (1.5, 2, 30)
    assert found.spread == pytest.approx(stdev([1.0, 2.0]))
    (never,) = costs(run([0.5], strategy="margin", chosen_by="kmeans"))
    assert math.isnan(never.seconds)


def test_a_round_that_took_only_what_was_left_of_the_pool_is_no_selection():
    rounds = [replace(each, query_seconds=1.0) for each in run([0.5, 0.6, 0.7])]
    rounds[2] = replace(rounds[2], labels=24, query_seconds=0.001)
    (found,) = costs(rounds)
    assert (found.seconds, found.rounds) == (1.0, 2)
