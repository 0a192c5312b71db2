"""One contract for all query functions, and for `select`, through which they are called."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.errors import Cancelled, LearningError, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.strategies.base import Pool, Predictions, Selection, Strategy
from quadrat.core.strategies.registry import COLD_START, STRATEGIES, select

MODES = ("single", "multi")
EVERY = [(name, mode) for name in STRATEGIES.names() for mode in MODES if mode in STRATEGIES.find(name).modes]
every_function = pytest.mark.parametrize(("name", "mode"), EVERY)


def linear_learner(embeddings, mode, n_classes=4, seed=0):
    """Predictions of a random linear model on (N, d), whose random versions differ in their weights."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 1.0, (embeddings.shape[1], n_classes))

    def logits(rows, factors):
        return (embeddings[rows].astype(np.float64) @ (weights * factors)).astype(np.float32)

    def sample(rows, passes, seed):
        masks = np.random.default_rng(seed).random((passes, len(weights), 1)) < 0.7
        return np.stack([logits(rows, mask) for mask in masks])

    scores = torch.from_numpy(logits(np.arange(len(embeddings)), 1.0)).double()
    probabilities = scores.softmax(dim=1) if mode == "single" else scores.sigmoid()
    return Predictions(mode, probabilities.float().numpy(), sample)


def make_pool(mode="single", count=120, width=6, labelled=15, rows=None, dtype=np.float16, seed=0):
    """A pool of which every third row is not eligible, so that places and global indices differ."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(0, 1, (count, width)).astype(dtype) if rows is None else rows
    order = rng.permutation(len(embeddings))
    eligible = np.sort(order[labelled:])
    return Pool(
        embeddings,
        linear_learner(embeddings, mode) if labelled else None,
        np.sort(order[:labelled]),
        eligible[eligible % 3 != 0],
    )


def check(selection, pool, budget):
    """What every answer has to be, whatever was asked."""
    expected = min(budget, len(pool.eligible))
    assert selection.indices.dtype == np.int64
    assert selection.utilities.dtype == np.float64
    assert len(selection.indices) == len(set(selection.indices.tolist())) == expected
    assert np.isin(selection.indices, pool.eligible).all()
    assert len(selection.utilities) == len(selection.reasons) == expected
    assert np.isfinite(selection.utilities).all()
    assert (np.diff(selection.utilities) <= 0).all()
    assert all(selection.reasons)
    assert np.isin(selection.set_aside, pool.eligible).all()
    assert not np.isin(selection.set_aside, selection.indices).any()


def same(one, other):
    return one.indices.tolist() == other.indices.tolist() and one.utilities.tolist() == other.utilities.tolist()


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
    full = make_pool(mode)
    pool = Pool(full.embeddings, None, full.labelled, full.eligible)
    said = []
    selection = select(name, pool, 10, monitor=Monitor(remark=lambda level, message: said.append(message)))
    check(selection, pool, 10)
    replaced = "predictions" in STRATEGIES.find(name).needs
    assert selection.strategy == (COLD_START if replaced else name)
    assert len(said) == replaced


@every_function
@pytest.mark.parametrize("labelled", [0, 15])
def test_a_budget_of_all_there_is_or_more_gives_all(name, mode, labelled):
    pool = make_pool(mode, labelled=labelled)
    for budget in (len(pool.eligible), len(pool.eligible) + 50):
        assert sorted(select(name, pool, budget).indices.tolist()) == pool.eligible.tolist()
    check(select(name, pool, len(pool.eligible) - 1), pool, len(pool.eligible) - 1)


@every_function
@pytest.mark.parametrize("labelled", [0, 15])
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
    for sample in (None, lambda rows, passes, seed: np.tile((sure[rows] - 0.5) * 80, (passes, 1, 1))):
        certain = Pool(pool.embeddings, Predictions(mode, sure, sample), pool.labelled, pool.eligible)
        check(select(name, certain, 20), certain, 20)


@every_function
@pytest.mark.parametrize("labelled", [0, 15])
def test_rows_that_are_not_finite_are_never_chosen(name, mode, labelled):
    pool = make_pool(mode, labelled=labelled)
    rows = pool.embeddings.copy()
    broken = pool.eligible[[0, 5, 9]]
    rows[broken[0], 2], rows[broken[1], 0], rows[broken[2]] = np.nan, np.inf, np.nan
    rows[pool.labelled[:1]] = np.nan
    said = []
    selection = select(
        name,
        Pool(rows, pool.predictions, pool.labelled, pool.eligible),
        len(pool.eligible) - 4,
        monitor=Monitor(remark=lambda level, message: said.append((level, message))),
    )
    check(selection, pool, len(pool.eligible) - 4)
    assert not np.isin(selection.indices, broken).any()
    assert next(m for level, m in said if level == "warning").startswith("3 tiles")


@every_function
def test_rows_whose_prediction_is_not_finite_are_never_chosen(name, mode):
    pool = make_pool(mode)
    probabilities = pool.predictions.probabilities.copy()
    probabilities[pool.eligible[7]] = np.nan
    unknown = Predictions(mode, probabilities, pool.predictions.sample_logits)
    selection = select(name, Pool(pool.embeddings, unknown, pool.labelled, pool.eligible), 30)
    assert pool.eligible[7] not in selection.indices


@every_function
def test_labelled_and_repeated_rows_among_the_eligible_are_not_asked_again(name, mode):
    pool = make_pool(mode)
    messy = np.concatenate([pool.eligible[::-1], pool.labelled, pool.eligible])
    given = Pool(pool.embeddings, pool.predictions, pool.labelled[::-1], messy)
    assert same(select(name, given, 10), select(name, pool, 10))


@every_function
def test_rows_set_aside_come_back_only_when_there_is_no_other_choice(name, mode):
    pool = make_pool(mode)
    away = Pool(pool.embeddings, pool.predictions, pool.labelled, pool.eligible, set_aside=pool.eligible[12:])
    said = []
    monitor = Monitor(remark=lambda level, message: said.append(message))
    assert np.isin(select(name, away, 11, monitor=monitor).indices, pool.eligible[:12]).all()
    assert not said
    assert same(select(name, away, 12, monitor=monitor), select(name, pool, 12))
    assert len(said) == 1


@every_function
@pytest.mark.parametrize("labelled", [0, 15])
def test_nothing_that_was_given_changes_and_it_may_lie_on_disk(name, mode, labelled, tmp_path):
    pool = make_pool(mode, labelled=labelled)
    np.save(tmp_path / "embeddings.npy", pool.embeddings)
    mapped = Pool(np.load(tmp_path / "embeddings.npy", mmap_mode="r"), pool.predictions, pool.labelled, pool.eligible)
    arrays = [pool.labelled, pool.eligible] + ([pool.predictions.probabilities] if labelled else [])
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert same(select(name, mapped, 10), select(name, pool, 10))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_function
@pytest.mark.parametrize("labelled", [0, 15])
def test_the_same_seed_gives_the_same_answer_on_any_number_of_threads(name, mode, labelled):
    pool = make_pool(mode, count=400, width=40, labelled=labelled)
    threads = torch.get_num_threads()
    answers = []
    try:
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            answers.append(select(name, pool, 25, seed=3))
    finally:
        torch.set_num_threads(threads)
    assert same(answers[0], answers[1])
    assert same(answers[0], answers[2])


@pytest.mark.parametrize("name", ["random", "kmeans"])
def test_another_seed_gives_another_answer(name):
    pool = make_pool()
    assert not same(select(name, pool, 10, seed=0), select(name, pool, 10, seed=1))


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
    if name in ("random", "margin"):
        pytest.skip("nothing in it takes long")
    with pytest.raises(Cancelled):
        select(name, make_pool(mode), 10, monitor=Monitor(is_cancelled=lambda: True))


def test_every_function_says_what_it_is_good_for():
    for strategy in STRATEGIES.entries():
        assert strategy.summary.endswith(".")
        assert strategy.source
    assert {"random", "fps", "kmeans", "margin", "mcfps", "mcfps:paper"} <= set(STRATEGIES.names())


def test_a_preset_has_its_own_parameters_and_head():
    paper, corrected = STRATEGIES.find("mcfps:paper"), STRATEGIES.find("mcfps")
    assert paper.defaults["average"] == "logits"
    assert paper.defaults["passes"] == corrected.defaults["passes"] == 10
    assert (paper.learner, corrected.learner) == ("linear:paper", "")


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("mcpfs", "mcfps"), ("mcfps:papre", "mcfps:paper"), ("xyz", "random"), ("margin:paper", "margin")],
)
def test_an_unknown_name_gets_the_nearest_one(asked, hint):
    with pytest.raises(UsageError) as refusal:
        select(asked, make_pool(), 5)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"neighbors": 5}, "neighbours"),
        ({"neighbours": 5.5}, "15"),
        ({"passes": True}, "10"),
        ({"sure": "high"}, "0.8"),
        ({"average": "medians"}, "logits"),
        ({"neighbours": 0}, "at least 1"),
    ],
)
def test_parameters_are_checked_by_name_and_type(parameters, says):
    with pytest.raises(UsageError) as refusal:
        select("mcfps", make_pool(), 5, parameters=parameters)
    assert says in refusal.value.message + refusal.value.hint


def test_a_whole_number_will_do_for_a_fraction():
    pool = make_pool()
    assert same(select("mcfps", pool, 5, parameters={"sure": 1}), select("mcfps", pool, 5, parameters={"sure": 1.0}))


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused(budget):
    with pytest.raises(UsageError, match=str(budget)):
        select("random", make_pool(), budget)


def test_a_pool_without_anything_to_ask_is_refused():
    pool = make_pool()
    with pytest.raises(LearningError):
        select("random", Pool(pool.embeddings, pool.predictions, pool.labelled, pool.labelled), 5)


@pytest.mark.parametrize("stray", [-1, 120])
def test_indices_that_are_no_rows_are_refused(stray):
    pool = make_pool()
    with pytest.raises(UsageError, match="120"):
        select("random", Pool(pool.embeddings, None, pool.labelled, np.array([3, stray])), 1)


def test_a_function_from_elsewhere_can_be_registered_and_is_kept_from_the_wrong_mode(monkeypatch):
    monkeypatch.setattr(STRATEGIES, "_entries", {})

    def first_rows(pool, request, *, skip: int = 0):
        picks = pool.eligible[skip : skip + request.budget]
        return Selection(picks, np.zeros(len(picks)), ("first",) * len(picks))

    STRATEGIES.register(Strategy("first-rows", first_rows, "For a test.", "-", "nothing", modes=("single",)))
    pool = make_pool()
    assert select("first-rows", pool, 3, parameters={"skip": 2}).indices.tolist() == pool.eligible[2:5].tolist()
    with pytest.raises(UsageError, match="multi-label"):
        select("first-rows", make_pool("multi"), 3)
