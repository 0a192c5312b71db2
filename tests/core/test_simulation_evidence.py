"""What is concluded from rounds, against plain versions and results that can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quadrat.core.errors import UsageError
from quadrat.core.simulation.evidence import (
    LabelsTo,
    MeanScore,
    ScoreAt,
    compare,
    curves,
    labels_to,
    ranking,
    select_series,
)
from quadrat.core.simulation.measures import crossing
from quadrat.core.simulation.plan import RoundResult
from quadrat.core.simulation.series import runs_of

from .made_rounds import NAN, run, seeds


def test_a_curve_is_the_mean_and_the_spread_over_the_seeds_at_each_number_of_labels():
    table = [[0.2, 0.5, 0.6], [0.4, 0.5, 0.9], [0.3, 0.8, 0.9]]
    (curve,) = curves(seeds(table))
    columns = list(zip(*table, strict=True))
    assert curve.labels.tolist() == [10, 20, 30]
    np.testing.assert_allclose(curve.mean, [fmean(each) for each in columns])
    np.testing.assert_allclose(curve.spread, [stdev(each) for each in columns])
    assert curve.count.tolist() == [3, 3, 3]
    assert curve.ended.tolist() == [0, 0, 0]


def test_rounds_without_a_score_are_not_in_a_curve_and_a_single_run_has_no_spread():
    (curve,) = curves(seeds([[NAN, 0.5], [0.4, 0.6]]))
    assert curve.count.tolist() == [1, 2]
    np.testing.assert_allclose(curve.mean, [0.4, 0.55])
    np.testing.assert_allclose(curve.spread, [NAN, stdev([0.5, 0.6])])


def test_a_run_that_stopped_at_the_goal_keeps_its_last_score_in_the_mean():
    (curve,) = curves(seeds([[0.5, 0.95], [0.5, 0.6, 0.7]]))
    assert (curve.count.tolist(), curve.ended.tolist()) == ([2, 2, 2], [0, 0, 1])
    np.testing.assert_allclose(curve.mean, [0.5, 0.775, 0.825])


def test_a_run_whose_pool_ran_out_between_two_rounds_of_the_others_is_compared_with_them_there():
    short = [*run([0.4, 0.6]), *run([0.65], budget=10)]
    short[2] = replace(short[2], round=3, labels=25)
    (curve,) = curves([*short, *run([0.4, 0.6, 0.8], seed=1)])
    assert curve.labels.tolist() == [10, 20, 25, 30]
    np.testing.assert_allclose(curve.mean, [0.4, 0.6, (0.65 + 0.7) / 2, (0.65 + 0.8) / 2])


def test_unbalanced_variants_are_one_series_and_balanced_ones_another():
    results = [
        result for variant in ("balanced", "unbalanced-1", "unbalanced-2") for result in run([0.5], variant=variant)
    ]
    assert [(curve.series.group, curve.count.tolist()) for curve in curves(results)] == [
        ("balanced", [1]),
        ("unbalanced", [2]),
    ]


def test_series_that_differ_in_other_fields_can_be_taken_together():
    results = [*run([0.2], learner="linear"), *run([0.4], learner="hidden")]
    (curve,) = curves(results, by=("strategy", "budget"))
    assert curve.mean == pytest.approx([0.3])


def test_the_main_score_is_micro_f1_where_there_is_one_and_others_can_be_looked_at():
    results = [replace(each, micro_f1=0.7, mean_average_precision=0.8) for each in run([0.1])]
    assert curves(results)[0].mean.tolist() == [0.7]
    assert curves(results, score="mean_average_precision")[0].mean.tolist() == [0.8]


def test_an_unknown_score_or_field_is_refused():
    with pytest.raises(UsageError, match="no score"):
        curves(run([0.5]), score="kappa")
    with pytest.raises(UsageError, match="no colour"):
        curves(run([0.5]), by=("colour",))
    with pytest.raises(UsageError, match="no colour"):
        select_series(run([0.5]), colour="red")
    with pytest.raises(UsageError, match="strategy margin"):
        select_series(run([0.5]), strategy="margin")


def test_results_that_never_had_a_score_make_an_empty_curve():
    (curve,) = curves(run([NAN, NAN]))
    assert len(curve.labels) == len(curve.mean) == 0


def test_labels_to_a_goal_are_linear_between_rounds():
    (found,) = labels_to(seeds([[0.5, 0.7, 0.95], [0.9, 0.91, 0.92]]), 0.9)
    # Halfway is not where it is: 0.2 of 0.25 on the way from 20 to 30. The second run is there from the beginning.
    assert [labels for _, _, labels in found.runs] == pytest.approx([28.0, 10.0])
    assert (found.mean, found.spread, found.summary) == (pytest.approx(19.0), pytest.approx(stdev([28, 10])), "19")


def test_a_goal_that_no_run_reaches_takes_more_than_every_run_is_known_to_have_had():
    (never,) = labels_to(seeds([[0.5, 0.6], [0.5, 0.6, 0.6, 0.6]]), 0.9)
    assert never.summary == "> 20"


def test_runs_that_have_the_goal_with_their_first_labels_are_counted():
    (found,) = labels_to(seeds([[0.95, 0.96], [NAN, 0.91], [0.5, 0.9]]), 0.9)
    assert [labels for _, _, labels in found.runs] == [10.0, 20.0, 20.0]
    assert found.at_once == 2


def test_labels_to_a_goal_count_the_first_time_it_is_reached():
    (found,) = labels_to(run([0.5, 0.9, 0.6, 0.95]), 0.9)
    assert found.mean == 20.0


def test_labels_to_a_goal_that_not_all_runs_reach_say_how_many_do():
    (found,) = labels_to(seeds([[0.5, 0.9], [0.5, 0.6], [0.5, NAN]]), 0.9)
    assert found.summary == "1 of 3"
    assert math.isnan(found.mean)
    assert math.isnan(found.spread)
    (never,) = labels_to(seeds([[0.5, 0.6], [0.5, 0.6]]), 0.9)
    assert never.summary == "> 20"


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
    st.floats(0.0, 1.0),
)
def test_labels_to_a_goal_are_where_the_curve_first_has_it(scores: list[float], goal: float):
    ((only,),) = runs_of(run(scores)).values()
    found = crossing(only, goal)
    assert (found is None) == (max(scores) < goal)
    if found is not None:
        knots = 10.0 * np.arange(1, len(scores) + 1)
        here = np.interp(found, knots, scores)
        assert here == pytest.approx(goal, abs=1e-9) or (found == 10.0 and here > goal)
        before = np.linspace(10.0, found, 1000)[:-1]
        assert (np.interp(before[before < found], knots, scores) < goal + 1e-9).all()


def test_the_score_at_some_labels_is_linear_between_rounds():
    ((only,),) = runs_of(run([0.5, 0.7, 0.8])).values()
    assert ScoreAt(25).of(only) == (pytest.approx(0.75), False)
    assert ScoreAt(10, "macro_f1").of(only) == (pytest.approx(0.4), False)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8), st.floats(0.0, 1.0), st.floats(0.01, 1.0))
def test_the_mean_score_is_the_mean_over_a_fine_grid(scores: list[float], begin: float, width: float):
    last = 10.0 * len(scores)
    start = 10.0 + begin * (last - 10.0) * 0.98
    end = start + width * (last - start)
    ((only,),) = runs_of(run(scores)).values()
    middles = start + (end - start) * (np.arange(20_000) + 0.5) / 20_000
    expected = np.interp(middles, 10.0 * np.arange(1, len(scores) + 1), scores).mean()
    assert MeanScore(start, end).of(only)[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("measure", [ScoreAt(40), ScoreAt(5), MeanScore(10, 40), MeanScore(5, 20)])
def test_a_run_that_does_not_go_far_enough_is_refused(measure):
    ((only,),) = runs_of(run([0.5, 0.7, 0.8])).values()
    with pytest.raises(UsageError, match="10 to 30 labels"):
        measure.of(only)


def test_a_mean_over_nothing_is_refused():
    ((only,),) = runs_of(run([0.5, 0.7])).values()
    with pytest.raises(UsageError, match="nothing"):
        MeanScore(20, 20).of(only)


def two(table_a: Sequence[Sequence[float]], table_b: Sequence[Sequence[float]], **fields: Any) -> list[RoundResult]:
    return [*seeds(table_a, strategy="margin", **fields), *seeds(table_b, strategy="random", **fields)]


def test_a_comparison_is_paired_and_agrees_with_the_tests_of_scipy():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.7, (8, 1))
    better = base + 0.05 + rng.normal(0.0, 0.02, (8, 1))
    results = two(better.tolist(), base.tolist())
    (a,), (b,) = (select_series(results, strategy=name) for name in ("margin", "random"))
    found = compare(results, a, b, ScoreAt(10))
    differences = (better - base)[:, 0]
    half = stats.t.ppf(0.975, 7) * differences.std(ddof=1) / math.sqrt(8)
    assert found.pairs == 8
    assert found.difference == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert found.p == pytest.approx(stats.ttest_rel(better[:, 0], base[:, 0]).pvalue)
    assert found.p_holm == found.p
    assert found.differs


def test_runs_of_one_seed_on_several_pools_are_one_pair_whatever_the_order_of_the_rows():
    gains = {("unbalanced-1", 0): 0.1, ("unbalanced-1", 1): 0.2, ("unbalanced-2", 0): 0.3, ("unbalanced-2", 1): 0.1}
    results = [
        result
        for (variant, seed), gain in gains.items()
        for strategy, more in (("margin", gain), ("random", 0.0))
        for result in run([0.3 + more], strategy=strategy, variant=variant, seed=seed)
    ]
    shuffled = [results[place] for place in np.random.default_rng(1).permutation(len(results))]
    (a,), (b,) = (select_series(shuffled, strategy=name) for name in ("margin", "random"))
    found = compare(shuffled, a, b, ScoreAt(10))
    expected = stats.ttest_1samp([(0.1 + 0.3) / 2, (0.2 + 0.1) / 2], 0.0)
    assert (found.pairs, found.runs) == (2, 4)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.difference == pytest.approx(0.175)


def test_pairs_that_all_differ_by_the_same_say_nothing_of_chance():
    (found,) = ranking(two([[0.6], [0.7]], [[0.5], [0.6]]), ScoreAt(10))
    assert found.difference == pytest.approx(0.1)
    assert np.isnan([found.low, found.high, found.p, found.p_holm]).all()
    assert not found.differs


def test_runs_that_do_not_differ_are_no_evidence_of_a_difference():
    results = two([[0.5]] * 6, [[0.5]] * 6)
    (a,), (b,) = (select_series(results, strategy=name) for name in ("margin", "random"))
    found = compare(results, a, b, ScoreAt(10))
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert not found.differs


def test_a_single_pair_has_no_interval():
    single, few = ([*two([[0.6]] * n, [[0.5 + 0.01 * i] for i in range(n)])] for n in (1, 5))
    for results, interval in ((single, False), (few, True)):
        (found,) = ranking(results, ScoreAt(10))
        assert math.isfinite(found.low) == math.isfinite(found.p) == interval
        assert found.differs == interval


def test_a_p_that_is_not_known_counts_as_one_of_those_that_were_looked_at():
    results = [
        *seeds([[0.5], [0.6], [0.4]]),
        *seeds([[0.6], [0.7], [0.5]], strategy="fps"),
        *seeds([[0.6], [0.72], [0.51]], strategy="margin"),
    ]
    found = {each.a.strategy: each for each in ranking(results, ScoreAt(10))}
    assert math.isnan(found["fps"].p_holm)
    assert found["margin"].p_holm == pytest.approx(2 * found["margin"].p)


@pytest.mark.parametrize("missing", [{"seed": 1}, {"variant": "unbalanced-1"}])
def test_results_that_are_not_paired_are_refused(missing):
    results = [*run([0.5], strategy="margin"), *run([0.5], strategy="margin", **missing), *run([0.4])]
    if "variant" in missing:
        results += run([0.4], variant="unbalanced-2")
        pair = [
            next(series for series in select_series(results, strategy=name) if series.group == "unbalanced")
            for name in ("margin", "random")
        ]
    else:
        pair = [select_series(results, strategy=name)[0] for name in ("margin", "random")]
    with pytest.raises(UsageError, match="same seeds") as caught:
        compare(results, pair[0], pair[1], ScoreAt(10))
    assert "only one of them" in caught.value.details


def test_a_series_without_results_is_refused():
    results = run([0.5])
    (series,) = select_series(results)
    with pytest.raises(UsageError, match="no results of margin"):
        compare(results, replace(series, strategy="margin"), series, ScoreAt(10))


def test_a_run_that_never_reaches_the_goal_counts_as_one_budget_more_and_is_said_to():
    results = two([[0.5, 0.9], [0.9, 0.9]], [[0.5, 0.6], [0.5, 0.9]])
    (found,) = ranking(results, LabelsTo(0.9))
    assert (found.mean_a, found.mean_b) == (pytest.approx(15.0), pytest.approx(25.0))
    assert (found.censored_a, found.censored_b) == (0, 1)
    assert found.measure == "labels to score 0.9"


def test_a_ranking_has_everything_against_the_baseline_best_first_with_corrected_p():
    rng = np.random.default_rng(3)
    base = rng.uniform(0.4, 0.6, 6)
    gains = {"margin": 0.1, "entropy": 0.03, "fps": -0.05}
    noise = {name: rng.normal(0.0, 0.03, 6) for name in gains}
    results = seeds(base[:, None].tolist())
    for name, gain in gains.items():
        results += seeds((base + gain + noise[name])[:, None].tolist(), strategy=name)
    found = ranking(results, ScoreAt(10), "random")
    assert [each.a.strategy for each in found] == ["margin", "entropy", "fps"]
    assert [each.p_holm for each in found] == pytest.approx(holm([each.p for each in found]))


def holm(values: list[float]) -> list[float]:
    """The smallest alpha at which each p and all smaller ones are at most alpha / (m - k + 1), k their rank."""
    return [
        min(1.0, max(other * (len(values) - sorted(values).index(other)) for other in values if other <= value))
        for value in values
    ]


def test_each_learner_has_a_baseline_of_its_own_unless_one_is_named_for_all():
    results = [
        *seeds([[0.5], [0.6]]),
        *seeds([[0.6], [0.8]], strategy="margin"),
        *seeds([[0.7], [0.7]], strategy="mcfps:paper", learner="linear:paper"),
    ]
    assert [each.a.strategy for each in ranking(results, ScoreAt(10), "random")] == ["margin"]
    both = ranking(results, ScoreAt(10), {"strategy": "random", "learner": "linear"})
    assert [each.a.strategy for each in both] == ["margin", "mcfps:paper"]
    with pytest.raises(UsageError, match="strategy kmeans"):
        ranking(results, ScoreAt(10), "kmeans")


def test_budgets_can_be_ranked_too():
    results = [*seeds([[0.5, 0.6], [0.5, 0.7]]), *seeds([[0.55], [0.72]], budget=20)]
    (found,) = ranking(results, ScoreAt(20), {"budget": 10})
    assert (found.a.budget, found.b.budget) == (20, 10)
    assert found.difference == pytest.approx(-0.015)
