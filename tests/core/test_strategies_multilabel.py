"""CVIRS and MMC against their papers' equations, written as loops, and on cases worked by hand."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression

from quadrat.core.strategies.base import Pool, Predictions
from quadrat.core.strategies.multilabel import loss_reduction, set_distances
from quadrat.core.strategies.registry import select


def pool_of(probabilities, targets):
    """A pool whose first rows have the answers ``targets``."""
    count = len(probabilities)
    embeddings = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    labelled = np.arange(len(targets))
    return Pool(
        embeddings,
        Predictions("multi", np.asarray(probabilities, dtype=np.float32)),
        labelled,
        np.arange(len(targets), count),
        targets=np.asarray(targets),
    )


def entropy_of(*shares):
    return -sum(share * log2(share) for share in shares if share > 0)


def distance(one, other):
    """f(i, j): 1 for opposites, else the normalised entropy distance by the paper's chain of conditional entropies."""
    classes = len(one)
    a = sum(bool(x and y) for x, y in zip(one, other, strict=True))
    b = sum(bool(x and not y) for x, y in zip(one, other, strict=True))
    c = sum(bool(y and not x) for x, y in zip(one, other, strict=True))
    d = classes - a - b - c
    if b + c == classes:
        return 1.0
    unlike, alike = (b + c) / classes, (a + d) / classes
    joint = entropy_of(unlike, alike) + alike * entropy_of(a / (a + d), d / (a + d))
    if b + c:
        joint += unlike * entropy_of(b / (b + c), c / (b + c))
    alone = sum(entropy_of(sum(item) / classes, 1 - sum(item) / classes) for item in (one, other))
    return (2 * joint - alone) / joint if joint else 0.0


def cvirs_by_hand(pool):
    """s(i) v(i) of every eligible row."""
    p = pool.predictions.probabilities[pool.eligible].astype(np.float64)
    count, classes = p.shape
    sureness = abs(2 * p - 1)
    scores = []
    for i in range(count):
        ranks = [1 + sum(sureness[j, c] < sureness[i, c] for j in range(count)) for c in range(classes)]
        ranking = sum(count - rank for rank in ranks) / (classes * (count - 1))
        inconsistency = np.mean([distance(p[i] > 0.5, target) for target in pool.targets])
        scores.append(ranking * inconsistency)
    return np.array(scores)


def mmc_by_hand(pool):
    """sum (1 - y f) / 2 of every eligible row."""

    def ordered(rows):
        p = -np.sort(-pool.predictions.probabilities[rows].astype(np.float64), axis=1)
        return p / np.maximum(p.sum(axis=1, keepdims=True), 1e-300)

    sizes = pool.targets.sum(axis=1)
    if len(set(sizes.tolist())) == 1:
        predicted = [sizes[0]] * len(pool.eligible)
    else:
        model = LogisticRegression(max_iter=1000).fit(ordered(pool.labelled), sizes)
        predicted = model.predict(ordered(pool.eligible))
    scores = []
    for row, size in zip(pool.eligible, predicted, strict=True):
        p = pool.predictions.probabilities[row].astype(np.float64)
        likely = set(np.argsort(-p, kind="stable")[:size].tolist())
        scores.append(sum((1 - (1 if c in likely else -1) * (2 * q - 1)) / 2 for c, q in enumerate(p)))
    return np.array(scores)


@st.composite
def pools(draw):
    classes = draw(st.integers(1, 5))
    labelled, eligible = draw(st.integers(1, 8)), draw(st.integers(2, 12))
    chances = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75, 0.1, 0.9])
    probabilities = draw(arrays(np.float64, (labelled + eligible, classes), elements=chances))
    targets = draw(arrays(np.int64, (labelled, classes), elements=st.integers(0, 1)))
    return pool_of(probabilities, targets)


@settings(max_examples=80, deadline=None)
@given(pools())
def test_cvirs_is_what_the_paper_says(pool):
    selection = select("cvirs", pool, len(pool.eligible) - 1)
    expected = cvirs_by_hand(pool)
    np.testing.assert_allclose(selection.utilities, expected[selection.indices - len(pool.labelled)], atol=1e-6)
    left = np.setdiff1d(pool.eligible, selection.indices)[0] - len(pool.labelled)
    assert expected[left] <= selection.utilities[-1] + 1e-6


@settings(max_examples=40, deadline=None)
@given(pools())
def test_mmc_is_what_the_paper_says(pool):
    selection = select("mmc", pool, len(pool.eligible) - 1)
    expected = mmc_by_hand(pool)
    np.testing.assert_allclose(selection.utilities, expected[selection.indices - len(pool.labelled)], atol=1e-6)


def test_label_sets_are_compared_by_entropy_and_not_by_counting_differences():
    """By Hamming both pairs differ in 1 of 4 classes; what one tells of the other is not the same."""
    one_of_two, two, none = [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]
    near, far = set_distances(np.array([one_of_two]), np.array([two, none]))[0]
    joint = entropy_of(1 / 4, 1 / 4, 2 / 4)
    assert near == pytest.approx((2 * joint - entropy_of(1 / 4, 3 / 4) - 1) / joint)
    assert far == pytest.approx(1.0)  # nothing in common with an empty set that has no entropy of its own


def test_a_set_is_at_no_distance_from_itself_and_at_full_distance_from_its_opposite():
    sets = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 1]])
    distances = set_distances(sets, sets)
    assert np.diag(distances).tolist() == [0.0] * 4
    assert distances[0, 3] == distances[1, 2] == 1.0
    np.testing.assert_array_equal(distances, distances.T)


def test_cvirs_prefers_doubt_and_combinations_that_nobody_labelled():
    targets = [[1, 0, 0, 0], [1, 0, 0, 0]]
    known, unlike = [0.9, 0.1, 0.1, 0.1], [0.1, 0.9, 0.9, 0.1]
    doubtful_known, doubtful_unlike = [0.6, 0.4, 0.4, 0.4], [0.4, 0.6, 0.6, 0.4]
    pool = pool_of([known, known, known, unlike, doubtful_known, doubtful_unlike], targets)
    selection = select("cvirs", pool, 3)
    assert selection.indices[0] == 5
    assert selection.utilities[0] > selection.utilities[1]
    assert select("cvirs", pool, 3).utilities[-1] == 0.0  # what is like all labelled tiles tells nothing new


def test_the_expected_loss_counts_classes_that_are_probably_wrong():
    p = np.array([[0.9, 0.2, 0.6], [0.9, 0.2, 0.6]], dtype=np.float32)
    np.testing.assert_allclose(loss_reduction(p, np.array([1, 2])), [0.1 + 0.6 + 0.2, 0.1 + 0.4 + 0.2], atol=1e-6)


def test_mmc_learns_how_many_classes_a_tile_has():
    """Tiles with two high probabilities have two classes here, so a tile with one and a half is the one in doubt."""
    rng = np.random.default_rng(0)
    one, two = np.array([0.9, 0.1, 0.1]), np.array([0.9, 0.9, 0.1])
    labelled = np.clip(np.repeat([one, two], 20, axis=0) + rng.normal(0, 0.02, (40, 3)), 0, 1)
    targets = np.repeat([[1, 0, 0], [1, 1, 0]], 20, axis=0)
    pool = pool_of(np.concatenate([labelled, [one, two, [0.9, 0.5, 0.1], two]]), targets)
    selection = select("mmc", pool, 2)
    assert selection.indices[0] == 42
    assert selection.reasons[0].endswith("0.7 of its classes may be wrong")


@pytest.mark.parametrize("name", ["cvirs", "mmc"])
def test_the_order_of_the_answers_does_not_matter(name):
    rng = np.random.default_rng(1)
    pool = pool_of(rng.random((60, 4)), rng.integers(0, 2, (20, 4)))
    other = replace(pool, labelled=pool.labelled[::-1], targets=pool.targets[::-1])
    assert select(name, pool, 10).indices.tolist() == select(name, other, 10).indices.tolist()
