"""One contract for all query functions: every one of them, in each of its label modes, through all of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.errors import Cancelled
from quadrat.core.monitor import Monitor
from quadrat.core.strategies.base import Predictions
from quadrat.core.strategies.registry import COLD_START, STRATEGIES, facts, select

from .pool_factory import LinearLearner, check, make_pool, predictions_of, same

MODES = ("single", "multi")
EVERY = [(name, mode) for name in STRATEGIES.names() for mode in MODES if mode in STRATEGIES.find(name).modes]
every_function = pytest.mark.parametrize(("name", "mode"), EVERY)
# Without labels the cold start stands in for a function that needs some, and is in the list itself.
with_labels_or_without = pytest.mark.parametrize(
    ("name", "mode", "labelled"),
    [(*one, 15) for one in EVERY]
    + [(*one, 0) for one in EVERY if not {"labels", "predictions"} & STRATEGIES.find(one[0]).needs],
)


@every_function
def test_an_ordinary_round(name, mode):
    pool = make_pool(mode)
    selection = select(name, pool, 10)
    check(selection, pool, 10)
    assert selection.strategy == STRATEGIES.find(name).name


@every_function
def test_no_label_yet(name, mode):
    pool = make_pool(mode, labelled=0)
    selection = select(name, pool, 10)
    check(selection, pool, 10)
    info = STRATEGIES.find(name)
    assert selection.strategy == (COLD_START if {"labels", "predictions"} & info.needs else name)


@every_function
def test_labels_but_nothing_learnt_yet(name, mode):
    pool = replace(make_pool(mode), predictions=None)
    said = []
    selection = select(name, pool, 10, monitor=Monitor(remark=lambda level, message: said.append(message)))
    check(selection, pool, 10)
    info = STRATEGIES.find(name)
    assert selection.strategy == (COLD_START if "predictions" in info.needs else name)
    assert len(said) == ("predictions" in info.needs | info.uses)


@with_labels_or_without
def test_a_budget_of_all_there_is_or_more_gives_all(name, mode, labelled):
    pool = make_pool(mode, labelled=labelled)
    for budget in (len(pool.eligible), len(pool.eligible) + 50):
        assert sorted(select(name, pool, budget).indices.tolist()) == pool.eligible.tolist()
    check(select(name, pool, len(pool.eligible) - 1), pool, len(pool.eligible) - 1)


@with_labels_or_without
@pytest.mark.parametrize("kind", ["few different rows", "all rows zero", "one column"])
def test_degenerate_rows(name, mode, labelled, kind):
    rng = np.random.default_rng(1)
    rows = {
        "few different rows": rng.normal(size=(4, 6))[rng.integers(0, 4, 120)],
        "all rows zero": np.zeros((120, 6)),
        "one column": rng.normal(size=(120, 1)),
    }[kind].astype(np.float16)
    pool = make_pool(mode, labelled=labelled, rows=rows)
    check(select(name, pool, 20), pool, 20)


@every_function
def test_a_learner_that_is_certain_of_everything(name, mode):
    pool = make_pool(mode)
    sure = np.tile(np.eye(4, dtype=np.float32)[0], (120, 1))
    told = replace(
        pool.predictions,
        probabilities=sure,
        sample_logits=lambda rows, passes, seed, input_dropout=None: np.tile((sure[rows] - 0.5) * 80, (passes, 1, 1)),
        calibrated=lambda: sure,
        previous=sure,
        losses=np.zeros(120, dtype=np.float32),
    )
    check(select(name, replace(pool, predictions=told), 20), pool, 20)


@every_function
def test_all_labels_are_of_one_class(name, mode):
    pool = make_pool(mode)
    targets = np.zeros(15, dtype=np.int64) if mode == "single" else np.tile([1, 0, 0, 0], (15, 1))
    check(select(name, replace(pool, targets=targets), 10), pool, 10)


@every_function
def test_a_project_with_a_single_class(name, mode):
    pool = make_pool(mode)
    learner = LinearLearner(pool.embeddings, mode, n_classes=1)
    # One class out of one leaves nothing to learn.
    told = (
        predictions_of(learner, LinearLearner(pool.embeddings, mode, n_classes=1, seed=1)) if mode == "multi" else None
    )
    one = replace(pool, predictions=told, targets=learner.targets(pool.labelled))
    check(select(name, one, 10), one, 10)


@every_function
def test_a_learner_that_tells_only_what_is_needed(name, mode):
    """What a function uses where it is there may be missing."""
    pool = make_pool(mode)
    needs, told = STRATEGIES.find(name).needs, pool.predictions
    bare = Predictions(
        mode,
        told.probabilities,
        told.sample_logits if "samples" in needs else None,
        previous=told.previous if "previous" in needs else None,
        losses=told.losses if "losses" in needs else None,
    )
    check(select(name, replace(pool, predictions=bare), 10), pool, 10)


@with_labels_or_without
def test_rows_that_are_not_finite_are_never_chosen(name, mode, labelled):
    pool = make_pool(mode, labelled=labelled)
    rows = pool.embeddings.copy()
    broken = pool.eligible[[0, 5, 9]]
    rows[broken[0], 2], rows[broken[1], 0], rows[broken[2]] = np.nan, np.inf, np.nan
    rows[pool.labelled[:1]] = np.nan
    said = []
    selection = select(
        name,
        replace(pool, embeddings=rows),
        len(pool.eligible) - 4,
        monitor=Monitor(remark=lambda level, message: said.append((level, message))),
    )
    check(selection, pool, len(pool.eligible) - 4)
    assert not np.isin(selection.indices, broken).any()
    assert next(m for level, m in said if level == "warning").startswith("3 tiles")


@every_function
def test_rows_whose_prediction_is_not_finite_are_never_chosen(name, mode):
    pool = make_pool(mode)
    unknown = np.concatenate([pool.eligible[[7, 20]], pool.labelled[[3]]])

    def without(numbers):
        numbers = numbers.copy()
        numbers[unknown] = np.nan
        return numbers

    told = pool.predictions

    def features(rows):
        return np.where(np.isin(rows, unknown)[:, None], np.nan, told.features(rows))

    def sample(rows, passes, seed, input_dropout=None):
        logits = told.sample_logits(rows, passes, seed, input_dropout)
        return np.where(np.isin(rows, unknown)[:, None], np.nan, logits).astype(np.float32)

    broken = replace(
        told,
        probabilities=without(told.probabilities),
        sample_logits=sample,
        features=features,
        calibrated=lambda: without(told.calibrated()),
        previous=without(told.previous),
        losses=without(told.losses),
    )
    selection = select(name, replace(pool, predictions=broken), 30)
    check(selection, pool, 30)
    assert not np.isin(selection.indices, unknown).any()


@every_function
def test_tiles_that_are_new_since_the_round_before_may_be_asked(name, mode):
    pool = make_pool(mode)
    previous = pool.predictions.previous.copy()
    previous[pool.eligible[::2]] = np.nan
    half = replace(pool, predictions=replace(pool.predictions, previous=previous))
    check(select(name, half, len(pool.eligible) - 1), pool, len(pool.eligible) - 1)


@every_function
def test_labelled_and_repeated_rows_among_the_eligible_are_not_asked_again(name, mode):
    pool = make_pool(mode)
    messy = np.concatenate([pool.eligible[::-1], pool.labelled, pool.eligible])
    given = replace(pool, labelled=pool.labelled[::-1], targets=pool.targets[::-1], eligible=messy)
    assert same(select(name, given, 10), select(name, pool, 10))


@every_function
def test_rows_set_aside_come_back_only_when_there_is_no_other_choice(name, mode):
    pool = make_pool(mode)
    away = replace(pool, set_aside=pool.eligible[12:])
    said = []
    monitor = Monitor(remark=lambda level, message: said.append(message))
    assert np.isin(select(name, away, 11, monitor=monitor).indices, pool.eligible[:12]).all()
    assert not said
    assert same(select(name, away, 12, monitor=monitor), select(name, pool, 12))
    assert len(said) == 1


@with_labels_or_without
def test_nothing_that_was_given_changes_and_it_may_lie_on_disk(name, mode, labelled, tmp_path):
    pool = make_pool(mode, labelled=labelled)
    np.save(tmp_path / "embeddings.npy", pool.embeddings)
    mapped = replace(pool, embeddings=np.load(tmp_path / "embeddings.npy", mmap_mode="r"))
    arrays = [pool.labelled, pool.eligible, pool.targets]
    if labelled:
        arrays += [pool.predictions.probabilities, pool.predictions.previous, pool.predictions.losses]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert same(select(name, mapped, 10), select(name, pool, 10))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@with_labels_or_without
def test_the_same_seed_gives_the_same_answer_on_any_number_of_threads(name, mode, labelled):
    pool = make_pool(mode, count=900, width=40, labelled=labelled)
    threads = torch.get_num_threads()
    answers = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            answers.append(select(name, pool, 12, seed=3))
    finally:
        torch.set_num_threads(threads)
    assert same(*answers)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(EVERY),
    st.integers(3, 60),
    st.integers(1, 9),
    st.integers(0, 20),
    st.integers(1, 70),
    st.integers(1, 5),
    st.integers(0, 2**16),
)
def test_any_shape_keeps_the_contract(function, count, width, labelled, budget, levels, seed):
    name, mode = function
    rows = np.random.default_rng(seed).integers(0, levels, (count, width)).astype(np.float16)
    pool = make_pool(mode, labelled=min(labelled, count), rows=rows, seed=seed)
    if len(pool.eligible):
        check(select(name, pool, budget, seed=seed), pool, budget)


@every_function
def test_it_stops_when_asked(name, mode):
    with pytest.raises(Cancelled):
        select(name, make_pool(mode), 10, monitor=Monitor(is_cancelled=lambda: True))


def test_every_function_says_what_it_is_good_for():
    for strategy in STRATEGIES.entries():
        assert strategy.summary.endswith(".")
        assert strategy.source
        assert strategy.cost
        assert facts(strategy)["parameters"] == strategy.defaults
    assert {"random", "fps", "kmeans", "margin", "mcfps", "mcfps:paper", "mge+clustering"} <= set(STRATEGIES.names())
