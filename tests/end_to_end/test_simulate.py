"""`quadrat simulate` as a researcher meets it: killed, gone on with, refused, reported."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import psutil
import pytest
from filelock import FileLock
from PIL import Image
from typer.testing import CliRunner

from quadrat.core.cli import app
from quadrat.core.errors import LearningError
from quadrat.core.monitor import Monitor
from quadrat.core.simulation.conduct import Source, conduct
from quadrat.core.simulation.experiments import EXPERIMENTS, Experiment, Setting
from quadrat.core.simulation.experiments.studies import Study

from .test_command_line import ENVIRONMENT, run_json
from .test_killed import Engine

ENCODER = ["--encoder", "statistics"]
QUICK = ["--strategy", "random", "--strategy", "margin", "--learner", "linear", "-l", "epochs=4", "--workers", "1"]
SMALL = [*ENCODER, "--budget", "6", "--rounds", "2", "--seeds", "2", "--validation", "6", *QUICK]
PLACES = (0.3, 0.5)
"""Where in its work it is killed, as a share of its steps."""
TIMES = ("query_seconds", "train_seconds")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with sixty images of three classes."""
    home = tmp_path_factory.mktemp("simulate")
    rng = np.random.default_rng(0)
    for number in range(60):
        place = home / "images" / ("field", "forest", "lake")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        colour = np.array([[120, 100, 60], [40, 90, 40], [30, 50, 120]])[number % 3] + rng.normal(0, 25, 3)
        levels = (colour + rng.normal(0, 20, (24, 24, 3))).clip(0, 255)
        Image.fromarray(levels.astype(np.uint8)).save(place / f"{number}.png")
    return home


@pytest.fixture(scope="module")
def undisturbed(home):
    """What one run through leads to."""
    return run_json(home, "simulate", "images", "--out", "undisturbed", *SMALL)


@pytest.fixture
def here(home, undisturbed, monkeypatch):
    """The same folder as the current one, for commands in this process; what they say, and their exit status."""
    monkeypatch.chdir(home)

    def say(*arguments, status=0):
        done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
        assert done.exit_code == status, done.output
        return done.output

    return say


def rounds(folder):
    """The rows of a folder's table, without what they took."""
    with (folder / "rounds.csv").open(encoding="utf-8") as file:
        return [{name: cell for name, cell in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def test_it_says_what_came_of_each_function_and_writes_a_report(home, undisturbed, here):
    assert undisturbed["runs"] == 4
    assert {row["strategy"] for row in undisturbed["series"]} == {"random", "margin"}
    for row in undisturbed["series"]:
        assert (row["labels"], row["runs"]) == (12, 2)
        assert row["score"] > 0.5
        assert (row["labels_to_goal"] is None) != (row["labels_to_goal_above"] is None)
        assert 0 <= row["runs_to_goal_at_once"] <= row["runs_to_goal"] <= 2
    assert len(rounds(home / "undisturbed")) == 2 * 2 * 2
    assert (home / undisturbed["html"]).read_text(encoding="utf-8").count("<svg") > 0
    assert (home / undisturbed["markdown"]).is_file()
    said = here("simulate", "images", "--out", "undisturbed", *SMALL)
    assert "query function" in said
    assert "labels to 0.9" in said
    assert "report.html" in said
    assert "pool" not in said.splitlines()[0]


def test_a_run_that_was_asked_for_twice_counts_once_and_a_single_one_has_no_spread(home):
    alone = [*ENCODER, "--budget", "6,6", "--rounds", "1", "--seeds", "1", *QUICK, "--strategy", "random"]
    found = run_json(home, "simulate", "images", "--out", "twice", *alone)
    assert found["runs"] == 2
    assert [(row["runs"], row["spread"]) for row in found["series"]] == [(1, None), (1, None)]


def test_kinds_of_pools_are_told_apart_and_runs_that_stopped_keep_their_score(home, here):
    said = here("simulate", "images", "--out", "pools", *SMALL, "--unbalanced", "1", "--goal", "0.3", "--stop-at-goal")
    assert "whole" in said
    assert "unbalanced" in said
    assert "at once)" in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_killed_in_the_middle_it_goes_on_and_comes_to_the_same(home, undisturbed):
    engine = Engine(home)
    try:
        steps = engine.run(["simulate", "images", "--out", "counted", *SMALL])["steps"]
        for place in PLACES:
            command = ["simulate", "images", "--out", f"killed-{place}", *SMALL]
            assert engine.run(command, kill_at=int(steps * place))["status"] == -9
            assert engine.run(command)["status"] == 0
            assert rounds(home / f"killed-{place}") == rounds(home / "undisturbed")
            assert not list((home / f"killed-{place}").rglob("*.part"))
    finally:
        engine.process.stdin.close()
        engine.process.wait()


def test_its_processes_end_with_it(home):
    command = [sys.executable, "-m", "core", "simulate", "images", "--out", "orphans", *SMALL]
    command += ["--seeds", "400", "--workers", "2"]
    with subprocess.Popen(command, cwd=home, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        while "runs" not in process.stderr.readline():
            assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ([*SMALL, "--split-seed", "1"], "another split"),
        ([*SMALL, "--validation", "7"], "--validation"),
        (["--encoder", "quadrat-rgb", *SMALL[2:]], "another encoder"),
    ],
)
def test_results_of_something_else_are_not_mixed_in(home, here, changed, says):
    before = rounds(home / "undisturbed")
    said = here("simulate", "images", "--out", "undisturbed", *changed, status=2)
    assert says in said
    assert "--out" in said
    assert rounds(home / "undisturbed") == before


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["images", "--budget", "60"], 2, "fewer than the 60"),
        (["images", "--budget", "60", "--budget", "6"], 2, "fewer than the 60"),
        (["images", "--strategy", "margni"], 2, "margni"),
        (["images", "--experiment", "paper3"], 2, "paper3"),
        (["images", "--experiment", "paper2"], 2, "multi-label"),
        (["images", "--seeds", "a"], 2, "seeds"),
        (["images", "--learner", "linear", "-l", "worth=3"], 2, "worth"),
        (["images", "--goal", "0"], 2, "goal of 0"),
        (["images", "--goal", "1"], 2, "goal of 1"),
        (["images", "--test", "images", "--holdout", "0.2"], 2, "--holdout"),
        (["images", "--test", "images", "--split-seed", "0"], 2, "--split-seed"),
        (["nowhere"], 1, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(home, here, arguments, status, says):
    assert says in here("simulate", *arguments, "--out", "refused", *ENCODER, status=status)
    assert not (home / "refused" / "rounds.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--strategy", "margni", *ENCODER], "margni"),
        (["--encoder", "statistik"], "statistik"),
        (["--experiment", "paper2-finetuned", "--device", "cpu"], "GPU"),
    ],
)
def test_what_is_not_known_is_said_before_images_are_looked_at(home, here, arguments, says):
    assert says in here("simulate", "nowhere", "--out", "unknown", *arguments, status=2)


def test_what_cannot_be_done_is_said_before_tiles_are_embedded(home, here):
    here("simulate", "images", "--out", "early", "--encoder", "quadrat-rgb", "--budget", "60", status=2)
    assert not list((home / "early").rglob("*.npy"))
    here(
        "simulate",
        "images",
        "--out",
        "undisturbed",
        *SMALL[2:],
        "--vectors",
        "early",
        "--encoder",
        "quadrat-rgb",
        status=2,
    )
    assert not list((home / "early").rglob("*.npy"))


def test_a_folder_that_cannot_be_written_to_is_refused_first(home, here):
    (home / "file").write_text("")
    said = here("simulate", "nowhere", "--out", "file", *SMALL, status=2)
    assert "cannot be written to" in said
    assert "--out" in said
    assert "no results" in here("report", "file", "--out", "again", status=2)


def test_no_other_command_works_in_the_folder_from_the_first_to_the_last_step(home, here):
    (home / "locked").mkdir()
    with FileLock(home / "locked" / ".lock"):
        assert "at work" in here("simulate", "nowhere", "--out", "locked", *SMALL, status=2)


def test_a_study_that_cannot_be_made_does_not_lose_the_report(home):
    def fail(material):
        raise LearningError("60 tiles are too few.")

    experiment = Experiment(
        "few",
        "Few tiles",
        "Runs that can be made, and a study that cannot.",
        lambda setting: list(setting.plans(setting.pairs(("random",)))),
        Setting(budgets=(6,), rounds=1, seeds=(0,)),
        baseline={"strategy": "random"},
        studies=(Study("too-few", "Too few", "A study of more tiles.", fail),),
    )
    heard = []
    source = Source(str(home / "images"), home / "few" / "vectors", encoders=("statistics",))
    monitor = Monitor(remark=lambda level, text: heard.append(text))
    done = conduct(source, home / "few", experiment, monitor=monitor)
    assert len(done.results) == 1
    assert done.report.html.is_file()
    assert any("Too few" in text and "60 tiles" in text for text in heard)


def test_damaged_images_are_listed_and_skipped_only_if_asked_to(home, here):
    shutil.copytree(home / "images", home / "damaged")
    (home / "damaged" / "lake" / "2.png").write_bytes(b"no picture")
    said = here("simulate", "damaged", "--out", "skipped", *SMALL, status=1)
    assert "lake/2.png" in said
    assert "--skip-bad" in said
    here("simulate", "damaged", "--out", "skipped", *SMALL, "--skip-bad")
    assert json.loads((home / "skipped" / "experiment.json").read_text(encoding="utf-8"))["dataset"]["tiles"] == 59


def test_the_report_is_made_again_from_the_files(home, undisturbed, here):
    said = here("report", "undisturbed", "--out", "again")
    assert "report.html" in said
    assert (home / "again" / "report.html").read_bytes() == (home / undisturbed["html"]).read_bytes()
    here("report", "undisturbed", "--out", "margin", "--baseline", "margin", "--from", "6", "--to", "12")
    page = (home / "margin" / "report.html").read_text(encoding="utf-8")
    assert "the baseline is margin and mean scores are taken from 6 to 12 labels" in page
    assert "margni" in here("report", "undisturbed", "--out", "margin", "--baseline", "margni", status=2)
    assert "quadrat simulate" in here("report", "images", "--out", "nothing", status=2)


def test_the_help_names_every_experiment(here):
    said = here("simulate", "--help")
    assert all(name in said for name in EXPERIMENTS.names())
