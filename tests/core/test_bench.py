"""The benchmark measures what it says it measures: the same pool for all, results compared, limits kept."""

import multiprocessing
from dataclasses import replace
from functools import partial

import numpy as np
import psutil
import pytest

from quadrat.core.bench.cases import case_names, chosen_names, find_case
from quadrat.core.bench.ground import Setting, label_mode, make_ground, open_ground
from quadrat.core.bench.measure import Limits, Outcome, measure
from quadrat.core.bench.peers import PEERS, peer_version
from quadrat.core.bench.plain import PLAIN
from quadrat.core.bench.runs import Comparison, Growth, Measured, Rival, agreement, compare, grow
from quadrat.core.bench.tables import comparison_lines, growth_lines
from quadrat.core.errors import Cancelled, LearningError, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.strategies.registry import STRATEGIES

SMALL = Setting(size=600, dim=12, budget=8, classes=4, labelled=20)
with_peer = pytest.mark.skipif(not peer_version(), reason="scikit-activeml is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A made pool on disk."""
    folder = tmp_path_factory.mktemp("ground")
    make_ground(folder, SMALL)
    return folder


def results(folder, name, side, mode="single"):
    """What one version of a case gives on the made pool, in this process; and the case and its ground."""
    case = find_case(name, replace(SMALL, mode=mode))
    ground = open_ground(folder, replace(SMALL, mode=case.mode))
    return case.make(side)(ground)(), case, ground


def test_the_pool_lies_on_disk_in_float16_and_its_few_labels_know_every_class(folder):
    pool = open_ground(folder, SMALL).pool
    assert pool.embeddings.shape == (600, 12)
    assert pool.embeddings.dtype == np.float16
    assert not pool.embeddings.flags.writeable
    assert isinstance(pool.embeddings, np.memmap)
    assert np.bincount(pool.targets).tolist() == [5, 5, 5, 5]
    assert len(pool.labelled) + len(pool.eligible) == 600


def test_the_predictions_are_those_of_a_trained_head_with_all_that_any_function_asks_for(folder):
    for mode in ("single", "multi"):
        pool = open_ground(folder, replace(SMALL, mode=mode)).pool
        told = pool.predictions
        guessed = told.probabilities[pool.labelled]
        right = guessed.argmax(axis=1) == pool.targets if mode == "single" else (guessed > 0.5) == pool.targets
        assert right.mean() > 0.8
        assert np.abs(told.previous - told.probabilities).max() > 0.01
        assert told.losses.shape == (600,)
        assert told.features(pool.eligible).shape == (580, 12)
        assert told.calibrated().shape == (600, 4)
        assert told.sample_logits(pool.eligible, 3, 0).shape == (3, 580, 4)


def test_the_same_setting_gives_the_same_pool(folder, tmp_path):
    make_ground(tmp_path, SMALL)
    one, other = open_ground(folder, SMALL).pool, open_ground(tmp_path, SMALL).pool
    np.testing.assert_array_equal(one.embeddings, other.embeddings)
    np.testing.assert_array_equal(one.predictions.probabilities, other.predictions.probabilities)


def test_a_setting_in_which_nothing_can_be_learnt_is_refused(tmp_path):
    with pytest.raises(LearningError):
        make_ground(tmp_path, replace(SMALL, labelled=1))


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("name", case_names())
def test_a_plain_version_gives_our_result_where_only_one_is_right_and_proper_picks_elsewhere(folder, name, mode):
    ours, case, ground = results(folder, name, "ours", mode)
    if case.plain is None:
        pytest.skip("there is no plain version")
    plain = results(folder, name, "plain", mode)[0]
    assert plain.shape == ours.shape
    if case.plain.exact:
        assert agreement(ours, plain)[0] in (True, None)
    if name in STRATEGIES.names():
        assert len(np.unique(plain)) == SMALL.budget
        assert np.isin(plain, ground.pool.eligible).all()


@with_peer
@pytest.mark.parametrize("name", [name for name in PEERS if name in STRATEGIES.names()])
def test_a_peer_gives_our_picks_where_only_one_choice_is_right_and_proper_ones_elsewhere(folder, name):
    ours, case, ground = results(folder, name, "ours")
    peer = results(folder, name, "peer")[0]
    assert len(np.unique(peer)) == len(ours)
    assert np.isin(peer, ground.pool.eligible).all()
    if case.peer.exact:
        assert agreement(ours, peer)[0]


def test_peers_are_asked_in_single_label_mode_only_and_anchors_make_results_incomparable():
    assert find_case("margin", SMALL).peer is not None
    assert find_case("margin", replace(SMALL, mode="multi")).peer is None
    assert find_case("fps", replace(SMALL, size=10**6)).plain.exact


def test_a_pool_without_a_choice_is_refused():
    with pytest.raises(UsageError, match="no choice"):
        replace(SMALL, budget=580)


def test_a_function_is_measured_in_the_mode_that_it_has():
    assert find_case("cvirs", SMALL).mode == "multi"
    assert find_case("mcfps:paper", replace(SMALL, mode="multi")).mode == "multi"


def test_every_other_version_belongs_to_something_that_is_measured():
    assert set(PLAIN) | set(PEERS) <= set(case_names())


def test_results_are_compared_truthfully():
    picks = np.array([4, 7, 1])
    assert agreement(picks, np.array([4, 7, 1])) == (True, "same")
    assert agreement(picks, np.array([7, 4, 1])) == (False, "3 of 3")
    assert agreement(picks, np.array([4, 8, 9])) == (False, "1 of 3")
    assert agreement(np.array([1.0, 2.0]), np.array([1.0, 2.00001])) == (True, "same")
    assert agreement(np.array([1.0, 2.0]), np.array([1.5, 2.0])) == (False, "25.0% apart")
    assert agreement(np.array([102.0]), np.array([100.0])) == (None, "+2.0%")


def test_an_unknown_name_gets_the_nearest_one():
    assert chosen_names([]) == case_names()
    with pytest.raises(UsageError) as refusal:
        chosen_names(["fps", "kernels.kmaens"])
    assert "kernels.kmeans" in refusal.value.hint
    with pytest.raises(UsageError):
        label_mode("double")


def program(text):
    """Something to measure: a program that runs in the other process."""
    return partial(partial, exec, text)


@pytest.mark.parametrize(
    ("text", "limits", "problem"),
    [
        ("while True: pass", Limits(seconds=0.2), "over 0.2 s"),
        (
            "import numpy\nkept = []\nwhile True: kept.append(numpy.random.default_rng(0).random(10**6))",
            Limits(gigabytes=0.1),
            "over 0.1 GB",
        ),
        ("raise MemoryError", Limits(), "out of memory"),
        ("1 / 0", Limits(), "ZeroDivisionError: division by zero"),
        ("import os; os._exit(3)", Limits(), "its process died"),
    ],
)
def test_what_goes_wrong_in_a_version_is_said_and_leaves_nothing_running(text, limits, problem):
    outcome = measure(program(text), limits)
    assert outcome.problem == problem
    assert outcome.value is None
    assert not multiprocessing.active_children()


def test_what_goes_wrong_in_getting_ready_is_said_too():
    assert measure(partial(exec, "1 / 0"), Limits()).problem == "ZeroDivisionError: division by zero"


def test_seconds_memory_and_the_result_come_back():
    outcome = measure(partial(partial, np.ones, 3 * 10**7), Limits())
    assert outcome.seconds > 0.0
    assert outcome.peak_bytes > 0.2 * 10**9
    assert outcome.value.shape == (3 * 10**7,)
    assert outcome.device_bytes is None


def test_measuring_stops_when_asked_and_leaves_nothing_running():
    with pytest.raises(Cancelled):
        measure(program("while True: pass"), Limits(), Monitor(is_cancelled=lambda: True))
    assert not multiprocessing.active_children()


def test_a_comparison_holds_every_version_with_its_figures():
    found = compare(SMALL, ["fps", "random"], peers=bool(peer_version()))
    farthest, chance = found.as_dict()["measured"]
    assert (farthest["name"], farthest["mode"]) == ("fps", "single")
    assert (farthest["plain"]["same"], farthest["plain"]["agreement"]) == (True, "same")
    assert farthest["plain"]["ratio"] == farthest["plain"]["seconds"] / farthest["ours"]["seconds"]
    assert (chance["plain"]["same"], chance["plain"]["agreement"]) == (None, "")
    assert set(farthest["ours"]) == {"seconds", "peak_bytes", "device_bytes", "problem"}
    assert (farthest["peer"] is None) == (found.peer == "")
    lines = comparison_lines(found)
    assert any(line.startswith("fps ") and " yes" in line for line in lines)


def test_a_busy_machine_is_remarked_upon(monkeypatch):
    monkeypatch.setattr(psutil, "getloadavg", lambda: (99.0, 99.0, 99.0))
    said = []
    compare(SMALL, ["random"], plain=False, peers=False, monitor=Monitor(remark=lambda *words: said.append(words)))
    assert [(level, "99.0" in message) for level, message in said] == [("warning", True)]


def test_without_other_versions_only_ours_is_measured():
    found = compare(SMALL, ["margin"], plain=False, peers=False)
    assert (found.measured[0].plain, found.measured[0].peer, found.peer) == (None, None, "")


def test_growth_measures_one_three_and_ten_times_as_many_rows():
    found = grow(SMALL, ["margin"])
    assert [setting.size for setting in found.settings] == [600, 1800, 6000]
    values = found.as_dict()["growth"][0]
    assert (values["name"], values["sizes"]) == ("margin", [600, 1800, 6000])
    assert all(one["seconds"] > 0 for one in values["ours"])
    assert "6,000" in "".join(growth_lines(found))


def test_tables_never_hide_what_was_stopped():
    ours, slow, large = Outcome(0.5, 10**6), Outcome(60.0, 10**6, problem="over 60 s"), Outcome(problem="over 4 GB")
    failed = Outcome(problem="ValueError: no")
    measured = (
        Measured("fps", "single", ours, Rival("plain", slow, ratio=120.0), Rival("CoreSet", large)),
        Measured("cvirs", "multi", failed),
    )
    lines = comparison_lines(Comparison(SMALL, Limits(), "here", "a peer", measured))
    row = next(line for line in lines if line.startswith("fps"))
    assert "over 60 s" in row
    assert ">120" in row
    assert "over 4 GB" in row
    assert "yes" not in row
    assert next(line for line in lines if line.startswith("cvirs (multi)")).split()[2] == "failed"
    assert "cvirs was not measured: ValueError: no" in lines
    grown = growth_lines(Growth((SMALL,), Limits(), "here", {"fps": (slow,)}))
    assert "fps: over 60 s" in grown
