"""Herding and coverage by balls against brute force, and against cases worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.kernels import EmbeddingSpace, kmeans
from quadrat.core.strategies.base import Pool, Predictions, Request
from quadrat.core.strategies.herding import pure_radius
from quadrat.core.strategies.registry import select

from . import brute_force

NOBODY = np.empty(0, dtype=np.int64)
NAMES = ("max_herding", "uherding", "prob_cover")


def heaps(sizes, seed=0, width=8, spread=1.0):
    """Well separated heaps of rows, and the heap (N,) of each row, shuffled."""
    rng = np.random.default_rng(seed)
    heap = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(0, 30, (len(sizes), width))
    return (centres[heap] + rng.normal(0, spread, (len(heap), width))).astype(np.float16), heap


def learnt_pool(mode="single", count=260, seed=0, labelled=12):
    rows, _ = heaps([count // 2, count - count // 2], seed, spread=12.0)
    p = np.random.default_rng(seed).dirichlet(np.ones(4), count).astype(np.float32)
    order = np.random.default_rng(seed + 1).permutation(count)
    return Pool(rows, Predictions(mode, p), np.sort(order[:labelled]), np.sort(order[labelled : count - 20]))


def distances(rows):
    unit = brute_force.unit(rows)
    return brute_force.squared(unit, unit).astype(np.float64)


def everyone(pool):
    return np.union1d(pool.eligible, pool.labelled)


@settings(max_examples=15, deadline=None)
@given(st.integers(40, 90), st.integers(0, 12), st.integers(1, 25), st.integers(0, 2**16))
def test_max_herding_is_that_of_brute_force(count, labelled, budget, seed):
    pool = learnt_pool(count=count, labelled=labelled, seed=seed)
    budget = min(budget, len(pool.eligible) - 1)
    selection = select("max_herding", pool, budget)
    kernel = np.exp(-distances(pool.embeddings))
    expected, gains = brute_force.coverage(kernel, pool.labelled, pool.eligible, everyone(pool), 1.0, budget)
    assert selection.indices.tolist() == expected.tolist()
    np.testing.assert_allclose(selection.utilities, gains, rtol=1e-5)


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_uherding_is_that_of_brute_force(mode):
    pool = learnt_pool(mode)
    p = pool.predictions.probabilities.astype(np.float64)
    top = np.sort(p, axis=1)
    u = 1 - (top[:, -1] - top[:, -2]) if mode == "single" else (1 - np.abs(2 * p - 1)).mean(axis=1)
    d2 = distances(pool.embeddings)
    within = d2[np.ix_(pool.labelled, pool.labelled)]
    kernel = np.exp(-d2 / within[within > 0].min())
    anchors = everyone(pool)
    shares = u[anchors].astype(np.float32).astype(np.float64)
    expected, gains = brute_force.coverage(kernel, pool.labelled, pool.eligible, anchors, shares, 30)
    selection = select("uherding", pool, 30)
    assert selection.indices.tolist() == expected.tolist()
    np.testing.assert_allclose(selection.utilities, gains, rtol=1e-5)


def test_uherding_believes_calibrated_probabilities_if_there_are_any():
    pool = learnt_pool()
    other = np.random.default_rng(9).dirichlet(np.ones(4), 260).astype(np.float32)
    told = replace(pool, predictions=replace(pool.predictions, calibrated=lambda: other))
    expected = select("uherding", replace(pool, predictions=Predictions("single", other)), 20)
    assert select("uherding", told, 20).indices.tolist() == expected.indices.tolist()
    assert select("uherding", pool, 20).indices.tolist() != expected.indices.tolist()


def test_uherding_is_max_herding_as_long_as_nothing_is_learnt_or_all_is_certain():
    pool = learnt_pool()
    bare = replace(pool, predictions=None)
    assert select("uherding", bare, 20).indices.tolist() == select("max_herding", bare, 20).indices.tolist()
    sure = Predictions("single", np.tile(np.eye(4, dtype=np.float32)[0], (260, 1)))
    one = replace(pool, predictions=sure, labelled=pool.labelled[:1])
    assert select("uherding", one, 20).indices.tolist() == select("max_herding", one, 20).indices.tolist()


def test_uherding_stays_away_from_what_the_learner_knows():
    rows, heap = heaps([100, 100, 100])
    p = np.where(heap[:, None] == 1, [0.5, 0.5], [0.999, 0.001]).astype(np.float32)
    labelled = np.array([np.flatnonzero(heap == h)[0] for h in range(3)])
    pool = Pool(rows, Predictions("single", p), labelled, np.setdiff1d(np.arange(300), labelled))
    assert (heap[select("uherding", pool, 5).indices] == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_picks_stand_for_the_largest_heaps_and_skip_labelled_ones(name):
    rows, heap = heaps([120, 80, 50, 10])
    labelled = np.flatnonzero(heap == 0)[:1]
    pool = Pool(rows, None, labelled, np.setdiff1d(np.arange(260), labelled))
    parameters = {"clusters": 4} if name == "prob_cover" else {}
    assert heap[select(name, pool, 3, parameters=parameters).indices].tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", NAMES)
def test_a_few_anchors_choose_about_as_well_as_all_of_them(name):
    rows, heap = heaps([400, 300, 200, 100])
    pool = Pool(rows, None, NOBODY, np.arange(1000))
    parameters = {"anchors": 200, "clusters": 4} if name == "prob_cover" else {"anchors": 200}
    picks = select(name, pool, 4, parameters=parameters).indices
    assert sorted(heap[picks].tolist()) == [0, 1, 2, 3]


def test_prob_cover_is_that_of_brute_force_and_then_farthest_points():
    pool = learnt_pool()
    kernel = (distances(pool.embeddings) < 0.4**2) * 1.0
    expected, gains = brute_force.coverage(kernel, pool.labelled, pool.eligible, everyone(pool), 1.0, 100)
    assert 5 < len(expected) < 100
    selection = select("prob_cover", pool, 100, parameters={"delta": 0.4})
    assert selection.indices[: len(expected)].tolist() == expected.tolist()
    np.testing.assert_allclose(selection.utilities[: len(expected)], gains, rtol=1e-6)
    rest = np.setdiff1d(pool.eligible, expected)
    known = np.concatenate([pool.labelled, expected])
    farthest, _ = brute_force.farthest_points(pool.embeddings, rest, known, 100 - len(expected))
    assert selection.indices[len(expected) :].tolist() == farthest.tolist()
    assert not selection.utilities[len(expected) :].any()


def test_the_radius_of_balls_is_the_largest_with_which_95_percent_are_pure():
    rows, _ = heaps([150, 150, 100], spread=14.0)
    rows = brute_force.unit(rows).astype(np.float32)
    anchors = np.arange(400)
    radius = pure_radius(EmbeddingSpace(rows, unit=True), anchors, 3, Request(1, np.random.default_rng(2)))
    labels = kmeans(
        EmbeddingSpace(rows, unit=True).points(anchors).float().numpy(), anchors, 3, np.random.default_rng(2)
    ).labels
    gaps = np.sqrt(distances(rows))
    different = labels[:, None] != labels[None, :]

    def purity(limit):
        return 1.0 - ((gaps < limit) & different).any(axis=1).mean()

    assert purity(radius * (1 - 1e-5)) >= 0.95
    assert purity(radius * (1 + 1e-5)) < 0.95


def test_prob_cover_on_a_single_kind_of_tile_takes_one_and_fills_up():
    pool = Pool(np.ones((50, 3), np.float16), None, NOBODY, np.arange(50))
    selection = select("prob_cover", pool, 4)
    assert selection.indices.tolist() == [0, 1, 2, 3]
    assert selection.utilities.tolist() == [1, 0, 0, 0]
