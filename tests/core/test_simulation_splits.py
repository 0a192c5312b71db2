"""Which rows may be asked and which test: disjoint, the same for a seed, and no class vanishes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadrat.core.errors import UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.simulation.dataset import Dataset
from quadrat.core.simulation.splits import MOST_REMOVED, Split, check_split, set_apart, split, thinned
from quadrat.core.splits import held_out


class NoTiles:
    bands = ("B04",)

    def read(self, rows, size_px=None):
        raise AssertionError("a split looks at no image")


def dataset(count, test=None):
    return Dataset(
        name="d",
        mode="single",
        classes=("a", "b"),
        targets=np.arange(count) % 2,
        names=tuple(map(str, range(count))),
        tiles=NoTiles(),
        fingerprint="f",
        test=test,
    )


@st.composite
def parted(draw):
    count = draw(st.integers(8, 200))
    test = None
    if draw(st.booleans()):
        test = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
        test[:2] = True, False
    return dataset(count, test), draw(st.floats(0.15, 0.5)), draw(st.integers(0, 2**32))


@given(parted())
def test_test_tiles_are_never_in_the_pool_and_no_row_is_lost(case):
    rows, share, seed = case
    found = split(rows, share=share, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([found.pool, found.test])), np.arange(len(rows)))
    assert len(found.pool)
    for part in (found.pool, found.test):
        assert (np.diff(part) > 0).all()
    if rows.test is not None:
        assert np.array_equal(found.test, np.flatnonzero(rows.test))


@given(parted())
def test_the_same_seed_parts_in_the_same_way(case):
    rows, share, seed = case
    once, again = (split(rows, share=share, seed=seed) for _ in range(2))
    assert np.array_equal(once.pool, again.pool)
    assert np.array_equal(once.test, again.test)


def test_another_seed_parts_in_another_way():
    first, second = (split(dataset(100), seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.test, second.test)


def test_the_test_rows_are_those_that_an_encoder_was_not_trained_on():
    found = split(dataset(500), share=0.3, seed=7)
    assert np.array_equal(found.test, np.flatnonzero(held_out(500, 0.3, 7)))


@given(st.integers(2, 200).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))), st.integers(0, 99))
def test_a_validation_sample_is_taken_from_the_pool_and_no_row_is_lost(case, seed):
    size, validation = case
    pool = np.arange(size) * 3
    apart, others = set_apart(pool, validation, seed)
    assert len(apart) == validation
    assert np.array_equal(np.sort(np.concatenate([apart, others])), pool)
    assert np.array_equal(apart, np.sort(apart))
    assert np.array_equal(others, np.sort(others))


def test_validation_rows_do_not_depend_on_how_many_there_are_but_on_the_seed():
    few, many, other = (set_apart(np.arange(100), count, seed)[0] for count, seed in ((10, 0), (20, 0), (20, 1)))
    assert set(few) < set(many)
    assert set(many) != set(other)


@pytest.mark.parametrize(("validation", "said"), [(-1, "makes no sense"), (10, "nothing to ask")])
def test_a_validation_sample_that_leaves_nothing_is_refused(validation, said):
    with pytest.raises(UsageError, match=said):
        set_apart(np.arange(10), validation, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": 0.0}, "none to test on"),
        ({"share": 0.01}, "none to test on"),
        ({"share": 1.0}, "share to hold out"),
        ({"share": -0.1}, "share to hold out"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        split(dataset(10), **options)


@given(
    counts=st.lists(st.integers(0, 60), min_size=2, max_size=8),
    variant=st.integers(1, 50),
    seed=st.integers(0, 100),
)
def test_a_thinned_pool_keeps_some_of_every_class(counts, variant, seed):
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    rows = np.flatnonzero(rng.random(len(targets)) < 0.8)
    found = thinned(targets, rows, len(counts), f"unbalanced-{variant}")
    assert (np.diff(found.rows) > 0).all()
    assert set(found.rows) <= set(rows)
    before = np.bincount(targets[rows], minlength=len(counts))
    after = np.bincount(targets[found.rows], minlength=len(counts))
    assert ((after > 0) == (before > 0)).all()
    assert (found.removed_shares >= 0).all()
    assert (found.removed_shares <= MOST_REMOVED).all()
    np.testing.assert_allclose(after, before * (1 - found.removed_shares))


def test_a_variant_is_the_same_every_time_and_differs_from_the_others():
    targets = np.repeat(np.arange(4), 100)
    rows = np.arange(0, 400, 2)
    once, again, other = (thinned(targets, rows, 4, f"unbalanced-{number}") for number in (1, 1, 2))
    assert np.array_equal(once.rows, again.rows)
    assert np.array_equal(once.removed_shares, again.removed_shares)
    assert not np.array_equal(once.removed_shares, other.removed_shares)


def test_shares_are_spread_over_their_whole_range():
    targets = np.repeat(np.arange(10), 1000)
    shares = np.concatenate(
        [thinned(targets, np.arange(10_000), 10, f"unbalanced-{number}").removed_shares for number in range(1, 21)]
    )
    assert np.histogram(shares, bins=4, range=(0, MOST_REMOVED))[0].min() > 30


def test_a_balanced_pool_keeps_everything_also_with_several_classes_a_tile():
    rows = np.array([5, 2, 9])
    for targets in (np.zeros(10, int), np.zeros((10, 3), int)):
        found = thinned(targets, rows, 3, "balanced")
        assert found.rows.tolist() == [2, 5, 9]
        assert found.removed_shares.tolist() == [0, 0, 0]


@pytest.mark.parametrize("variant", ["unbalanced", "unbalanced-0", "unbalanced--1", "unbalanced-x", "Balanced", ""])
def test_unknown_variants_are_refused(variant):
    with pytest.raises(UsageError, match="no variant"):
        thinned(np.zeros(4, int), np.arange(4), 2, variant)


def test_shares_of_a_class_mean_nothing_where_a_tile_has_several():
    with pytest.raises(UsageError, match="several classes"):
        thinned(np.zeros((4, 2), int), np.arange(4), 2, "unbalanced-1")


def test_a_class_that_the_split_takes_from_the_pool_is_refused_or_told_of():
    heard = []
    monitor = Monitor(remark=lambda level, text: heard.append((level, text)))
    even, odd = np.arange(0, 8, 2), np.arange(1, 8, 2)
    with pytest.raises(UsageError, match="no tile of b in the pool") as caught:
        check_split(dataset(8), Split(even, odd), monitor)
    assert "--split-seed" in caught.value.hint
    sets = replace(dataset(8), mode="multi", targets=np.eye(2, dtype=np.int64)[np.arange(8) % 2])
    check_split(sets, Split(even, odd), monitor)
    assert [level for level, _ in heard] == ["warning", "warning"]
    assert "no tile of b in the pool" in heard[0][1]
    assert "No test tile has the class a" in heard[1][1]
    heard.clear()
    check_split(dataset(8), Split(np.arange(4), np.arange(4, 8)), monitor)
    assert not heard
