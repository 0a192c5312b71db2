"""Many runs: the same numbers in whatever company, finished ones never made twice, and nothing mixed up in a folder."""

import csv
import json
import math
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from quadrat.core.errors import Cancelled, QuadratError, UsageError
from quadrat.core.models import Choice
from quadrat.core.monitor import Monitor
from quadrat.core.simulation.asked import (
    check_asked,
    make_learners,
    make_plans,
    parse_numbers,
    parse_seeds,
    variants_of,
)
from quadrat.core.simulation.experiments import EXPERIMENTS
from quadrat.core.simulation.plan import COLUMNS, Plan
from quadrat.core.simulation.record import check_record, read_record
from quadrat.core.simulation.results import plan_key, read_results, run_file
from quadrat.core.simulation.runs import run_all
from quadrat.core.simulation.shared import MappedTiles, keeper_of, map_tiles
from quadrat.core.simulation.splits import thinned

from .archive_factory import make_archive, make_split

QUICK = Choice("linear", {"epochs": 4})
PLANS = [Plan(name, QUICK, budget=10, rounds=2, seed=seed) for name in ("random", "margin") for seed in (0, 1)]


def run(folder, plans=PLANS, **options):
    return run_all(*make_archive(), make_split(), plans, folder, **options)


def without_times(results):
    return [repr(replace(result, query_seconds=0.0, train_seconds=0.0)) for result in results]


class Stopping:
    """Asks to stop when so many runs are finished."""

    def __init__(self, folder, finished):
        self.folder, self.finished = folder, finished
        self.monitor = Monitor(is_cancelled=self.is_time)

    def is_time(self):
        return len(list((self.folder / "runs").glob("*.csv"))) >= self.finished


def test_results_are_the_same_however_many_run_at_once(tmp_path):
    one = run(tmp_path / "one", workers=1)
    semi = [Plan("margin", Choice("semi_supervised", {"epochs": 4}), budget=10, rounds=2, seed=seed) for seed in (0, 1)]
    two = run(tmp_path / "two", [*PLANS, *semi], workers=2)
    assert not multiprocessing.active_children()
    learnt_alone = [result for result in two if result.learner.startswith("linear")]
    assert without_times(one) == without_times(learnt_alone)
    assert without_times(run(tmp_path / "one", [*PLANS, *semi])) == without_times(two)


def test_stopping_ends_the_processes_and_keeps_what_is_finished(tmp_path):
    many = [replace(PLANS[0], seed=seed) for seed in range(40)]
    with pytest.raises(Cancelled):
        run(tmp_path, many, workers=2, monitor=Stopping(tmp_path, 1).monitor)
    assert not multiprocessing.active_children()
    finished = {result.seed for result in read_results(tmp_path)}
    assert 1 <= len(finished) < 40
    assert len(list((tmp_path / "runs").glob("*.csv"))) == len(finished)


def test_a_run_that_was_interrupted_is_made_again_and_a_finished_one_is_not(tmp_path):
    undisturbed = run(tmp_path / "undisturbed")
    folder = tmp_path / "stopped"
    with pytest.raises(Cancelled):
        run(folder, monitor=Stopping(folder, 2).monitor)
    first = {file: file.stat().st_mtime_ns for file in (folder / "runs").glob("*.csv")}
    assert len(first) == 2
    # Killed in the middle of a row.
    half = run_file(folder, PLANS[-1]).with_suffix(".part")
    half.write_text("dataset,encoder\nmade,clus")
    assert without_times(run(folder)) == without_times(undisturbed)
    assert {file: file.stat().st_mtime_ns for file in first} == first
    assert not list((folder / "runs").glob("*.part"))


def test_runs_may_be_added_and_the_table_has_them_all_in_order(tmp_path):
    run(tmp_path, PLANS[2:])
    results = run(tmp_path, [*PLANS, *PLANS])
    keys = [(result.strategy, result.seed, result.round) for result in results]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) == 8
    assert without_times(read_results(tmp_path)) == without_times(read_results(tmp_path / "rounds.csv"))
    with (tmp_path / "rounds.csv").open() as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_a_longer_run_goes_beyond_a_shorter_one_and_has_the_same_beginning(tmp_path):
    short = run(tmp_path, PLANS[:1])
    longer = run(tmp_path, [replace(PLANS[0], rounds=4)])
    assert [result.round for result in longer] == [1, 2, 3, 4]
    assert without_times(longer)[:2] == without_times(short)


def test_what_is_read_is_what_was_written(tmp_path):
    results = run(tmp_path, [Plan("random", QUICK, budget=1, rounds=3, seed=0)])
    again = read_results(tmp_path)
    assert list(map(repr, again)) == list(map(repr, results))
    assert math.isnan(again[0].accuracy)
    assert again[0].stop is False


def test_results_that_are_not_there_or_damaged_are_named(tmp_path):
    with pytest.raises(UsageError, match="no results"):
        read_results(tmp_path)
    (tmp_path / "rounds.csv").write_text("dataset,encoder\na,b\n")
    with pytest.raises(UsageError, match="damaged"):
        read_results(tmp_path)


def test_a_folder_holds_one_dataset_one_encoder_and_one_split(tmp_path):
    dataset, vectors = make_archive()
    split = make_split()
    run(tmp_path, PLANS[:1])
    for change, words in (
        ((replace(dataset, fingerprint="other", name="lake"), vectors, split), ("another dataset", "lake")),
        ((dataset, replace(vectors, key="other", encoder="statistics"), split), ("another encoder", "statistics")),
        ((dataset, replace(vectors, key="other"), split), ("another encoder", "the same name, with other weights")),
        ((dataset, vectors, make_split(test=50)), ("another split", "50 now")),
        ((dataset, vectors, make_split(seed=2)), ("another split", "other tiles")),
    ):
        with pytest.raises(UsageError) as refusal:
            run_all(*change, PLANS[:1], tmp_path)
        with pytest.raises(UsageError, match=words[0]):
            check_record(tmp_path, change[0], change[1].encoder, change[1].key, change[2])
        assert words[0] in refusal.value.message
        assert words[1] in refusal.value.details
        assert "--out" in refusal.value.hint


def test_of_another_dataset_no_more_is_said_than_that(tmp_path):
    run(tmp_path, PLANS[:1])
    other = make_archive(200)
    with pytest.raises(UsageError, match=r"with another dataset\.$"):
        run_all(*other, make_split(200), PLANS[:1], tmp_path)


@pytest.mark.parametrize(
    ("change", "notes", "said"),
    [
        ({}, {"experiment": "paper1"}, "the experiment: none before, paper1 now"),
        ({}, {"goal": 0.8}, "the goal (--goal): 0.9 before, 0.8 now"),
        ({"validation": 20}, {}, "the validation sample (--validation): 0 before, 20 now"),
        ({"initial": 8}, {}, "--initial): 0 before, 8 now"),
    ],
)
def test_a_folder_holds_one_experiment(tmp_path, change, notes, said):
    before = {"experiment": None, "goal": 0.9}
    run(tmp_path, PLANS[:1], notes=before)
    with pytest.raises(UsageError) as refusal:
        run(tmp_path, [replace(PLANS[0], **change)], notes={**before, **notes})
    assert said in refusal.value.details
    assert "--out" in refusal.value.hint
    run(tmp_path, PLANS, notes=before)


def test_another_weights_file_under_the_same_name_makes_another_run(tmp_path):
    weights = tmp_path / "start.pth"
    keys = set()
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        keys.add(plan_key(Plan("random", Choice("finetune", {"weights": str(weights)}))))
    assert len(keys) == 2


def test_two_commands_do_not_work_in_one_folder(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(UsageError, match="at work"):
        run(tmp_path)
    run(tmp_path, PLANS[:1])


def test_the_record_says_what_the_numbers_depend_on(tmp_path):
    plans = [PLANS[0], replace(PLANS[0], variant="unbalanced-3")]
    run(tmp_path, plans[:1], notes={"command": "quadrat simulate a", "goal": 0.9, "split": {"seed": 1}})
    run(tmp_path, plans, notes={"command": "quadrat simulate b", "goal": 0.9, "split": {"seed": 1}})
    record = read_record(tmp_path)
    assert record["commands"] == ["quadrat simulate a", "quadrat simulate b"]
    assert record["goal"] == 0.9
    assert record["dataset"]["classes"] == ["crop", "forest", "town", "water"]
    assert record["split"]["pool"] == 180
    assert record["split"]["seed"] == 1
    assert {"torch", "numpy", "scikit-learn", "quadrat"} <= record["versions"].keys()
    assert [plan["variant"] for plan in record["plans"]] == ["balanced", "unbalanced-3"]
    assert record["plans"][0]["learner_parameters"]["epochs"] == 4
    dataset, _ = make_archive()
    removed = thinned(dataset.targets, make_split().pool, 4, "unbalanced-3").removed_shares
    assert record["unbalanced"] == {"unbalanced-3": removed.tolist()}


def test_another_version_of_a_library_is_remarked_upon(tmp_path):
    run(tmp_path, PLANS[:1])
    record = json.loads((tmp_path / "experiment.json").read_text())
    record["versions"]["torch"] = "1.0"
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    said = []
    run(tmp_path, PLANS[:1], monitor=Monitor(remark=lambda level, text: said.append(text)))
    assert any("torch 1.0" in text for text in said)


def test_a_run_that_fails_is_named_and_the_others_are_kept(tmp_path):
    broken = Plan("random", Choice("finetune", {"weights": "nowhere.pth"}), budget=10, rounds=1)
    with pytest.raises(QuadratError) as failure:
        run(tmp_path, [*PLANS, broken])
    assert "finetune" in failure.value.message
    assert "no weights file" in failure.value.message
    assert len({(result.strategy, result.seed) for result in read_results(tmp_path)}) == 4


def test_a_bad_plan_is_refused_before_anything_is_run(tmp_path):
    with pytest.raises(UsageError, match="pool has 180"):
        run(tmp_path, [*PLANS, Plan("margin", budget=181)])
    assert not (tmp_path / "experiment.json").exists()
    with pytest.raises(UsageError, match="0 processes"):
        run(tmp_path, workers=0)


def test_a_plan_is_the_same_however_its_defaults_are_said():
    assert plan_key(Plan("margin", Choice("linear", {"epochs": 100}))) == plan_key(Plan("margin"))
    different = [Plan("margin"), Plan("margin", rounds=3), Plan("margin", seed=1), Plan("margin", Choice("hidden"))]
    assert len(set(map(plan_key, different))) == 4


def test_labels_name_what_is_not_the_default(tmp_path):
    plan = Plan("mcfps", Choice("linear:paper"), {"sure": 0.5, "passes": 10}, budget=10, rounds=1)
    (result,) = run(tmp_path, [plan])
    assert result.strategy == "mcfps(sure=0.5)"
    assert result.learner == "linear:paper"


def test_without_an_experiment_every_function_is_run_with_every_learner():
    wanted = {
        "strategies": ("random", "mcfps"),
        "learners": make_learners(["linear", "semi_supervised"], {"worth": 40, "epochs": 9}),
        "seeds": parse_seeds("2"),
        "budgets": parse_numbers("10,20", "budgets"),
        "variants": variants_of(1),
    }
    setting, plans = make_plans(None, wanted, {"sure": 0.7})
    assert len(plans) == 2 * 2 * 2 * 2 * 2
    assert {(plan.strategy, tuple(plan.parameters.items())) for plan in plans} == {
        ("random", ()),
        ("mcfps", (("sure", 0.7),)),
    }
    assert {(plan.learner.name, tuple(plan.learner.parameters.items())) for plan in plans} == {
        ("linear", (("epochs", 9),)),
        ("semi_supervised", (("worth", 40), ("epochs", 9))),
    }
    assert setting.goal == 0.9
    assert {plan.goal for plan in plans} == {None}  # to count the labels to it, runs need not end there
    _, plans = make_plans(None, {"stop_at_goal": True}, {})
    assert {(plan.strategy, plan.rounds, plan.goal) for plan in plans} == {
        ("random", 8, 0.9),
        ("margin+clustering", 8, 0.9),
    }


def test_an_experiment_may_be_changed():
    setting, plans = make_plans(EXPERIMENTS.find("stopping"), {"seeds": (3,), "rounds": 2}, {})
    assert setting.validation == 250
    assert {(plan.seed, plan.rounds) for plan in plans} == {(3, 2)}


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("0,3,7", (0, 3, 7)), ("7,", (7,)), ("1,1", (1,))])
def test_seeds_are_a_count_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "ask",
    [
        lambda: parse_seeds("0"),
        lambda: parse_seeds("-1,2"),
        lambda: parse_seeds("many"),
        lambda: parse_numbers("0,10", "budgets"),
        lambda: make_learners([], {"epochs": 3}),
        lambda: make_learners(["linear"], {"worth": 3}),
        lambda: make_plans(None, {}, {"sure": 0.7}),
        lambda: make_plans(EXPERIMENTS.find("paper2"), {"mode": "single"}, {}),
    ],
)
def test_what_makes_no_sense_is_refused(ask):
    with pytest.raises(UsageError) as refusal:
        ask()
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("experiment", "wanted", "parameters", "said"),
    [
        (None, {"strategies": ("margni",)}, {}, "margni"),
        (None, {"initial_by": "randm"}, {}, "randm"),
        (None, {"strategies": ("mcfps",)}, {"passes": "many"}, "passes"),
        (None, {"strategies": ("random",)}, {"passes": 3}, "passes"),
        ("paper1", {"strategies": ("cvirs",)}, {}, "cvirs"),
        ("paper2-finetuned", {"device": "cpu"}, {}, "GPU"),
    ],
)
def test_what_no_dataset_makes_right_is_refused_before_one_is_opened(experiment, wanted, parameters, said):
    with pytest.raises(UsageError) as refusal:
        check_asked(None if experiment is None else EXPERIMENTS.find(experiment), wanted, parameters)
    assert said in f"{refusal.value.message} {refusal.value.hint}"
    assert "It has no" not in refusal.value.hint


def test_what_suits_one_kind_of_dataset_is_not_refused_before_it_is_known():
    check_asked(None, {"strategies": ("cvirs",)}, {})
    check_asked(None, {"strategies": ("mcfps",)}, {"passes": 3})
    check_asked(EXPERIMENTS.find("paper2"), {}, {})


def test_images_in_a_file_are_those_of_the_dataset(tmp_path):
    dataset, _ = make_archive(150)
    mapped = MappedTiles(dataset.tiles.bands, tmp_path / "tiles.npy")
    map_tiles(dataset.tiles, len(dataset), mapped, Monitor())
    rows = np.array([149, 0, 7, 7])
    np.testing.assert_allclose(mapped.read(rows), dataset.tiles.read(rows), atol=5e-4)
    assert mapped.read(rows, 16).shape == (4, 3, 16, 16)
    assert [file.name for file in tmp_path.iterdir()] == ["tiles.npy"]


def test_what_learners_keep_is_made_once_for_all_runs_on_a_pool(tmp_path):
    _, vectors = make_archive()
    made = []

    def make():
        made.append(1)
        return {"neighbours": np.arange(3)}

    for pool in (np.arange(9), np.arange(9), np.arange(8), np.arange(9)):
        kept = keeper_of(tmp_path, vectors, pool)("graph", make)
        assert kept["neighbours"].tolist() == [0, 1, 2]
    assert len(made) == 2


def test_vectors_that_are_not_finite_are_never_asked(tmp_path):
    dataset, vectors = make_archive()
    matrix = vectors.matrix.copy()
    matrix[::7] = np.nan
    results = run_all(dataset, replace(vectors, matrix=matrix), make_split(), [replace(PLANS[2], rounds=20)], tmp_path)
    assert results[-1].labels == int(np.isfinite(matrix[make_split().pool]).all(axis=1).sum())
    assert np.isfinite(results[-1].score)
