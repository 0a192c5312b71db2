"""What `select` does before and after it calls a query function: names, parameters, refusals, the cold start."""

from dataclasses import replace

import numpy as np
import pytest

from quadrat.core.errors import LearningError, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.strategies.base import Pool, Selection, Strategy
from quadrat.core.strategies.registry import COLD_START, STRATEGIES, select

from .pool_factory import make_pool, same


@pytest.mark.parametrize("name", ["random", "kmeans"])
def test_another_seed_gives_another_answer(name):
    pool = make_pool()
    assert not same(select(name, pool, 10, seed=0), select(name, pool, 10, seed=1))


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
        select("random", replace(pool, eligible=pool.labelled), 5)


@pytest.mark.parametrize("stray", [-1, 120])
def test_indices_that_are_no_rows_are_refused(stray):
    pool = make_pool()
    with pytest.raises(UsageError, match="120"):
        select("random", Pool(pool.embeddings, None, pool.labelled, np.array([3, stray])), 1)


@pytest.mark.parametrize("missing", ["all", "of the eligible tiles"])
def test_without_a_round_before_the_cold_start_chooses_and_says_so(missing):
    pool = make_pool()
    unknown = np.full_like(pool.predictions.previous, np.nan)
    unknown[pool.labelled] = 0.5
    told = replace(pool.predictions, previous=None if missing == "all" else unknown)
    said = []
    monitor = Monitor(remark=lambda level, message: said.append(message))
    selection = select("tpd", replace(pool, predictions=told), 5, monitor=monitor)
    assert selection.strategy == COLD_START
    assert said == [
        "There is no round before this one to compare with, so kmeans chooses typical tiles in place of tpd."
    ]


@pytest.mark.parametrize(("name", "lacking"), [("bald", "sample_logits"), ("ll", "losses")])
def test_what_a_learner_never_tells_is_an_error(name, lacking):
    pool = make_pool()
    with pytest.raises(LearningError, match=name) as refusal:
        select(name, replace(pool, predictions=replace(pool.predictions, **{lacking: None})), 5)
    assert "learner" in refusal.value.hint


@pytest.mark.parametrize("name", ["cvirs", "mmc+clustering"])
def test_answers_that_were_not_handed_over_are_an_error(name):
    with pytest.raises(LearningError, match=r"cvirs|mmc"):
        select(name, replace(make_pool("multi"), targets=None), 5)


def test_a_multi_label_function_is_refused_in_single_label_mode():
    with pytest.raises(UsageError, match="single-label") as refusal:
        select("cvirs", make_pool("single"), 5)
    assert "margin" in refusal.value.hint


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
