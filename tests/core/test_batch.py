"""Batches: the whole job from a file, resumed where it stopped, with a validation sample that stays apart."""

import csv
import shutil

import geopandas as gpd
import pytest

from quadrat.core.batch import run_batch
from quadrat.core.config import read_config
from quadrat.core.errors import AnswerError, Cancelled, ImageryError, ProjectError, UsageError
from quadrat.core.models import Choice
from quadrat.core.monitor import Monitor
from quadrat.core.project.answers import Answer, current_answers, record_answers
from quadrat.core.project.results import rounds
from quadrat.core.project.store import Project
from quadrat.core.rounds import train

from .scene_factory import SPECTRA, make_scene

CONFIG = """
project = "p.gpkg"
rasters = ["scene.tif"]
classes = "classes.txt"

[tile]
validation = 0.25

[query]
strategy = {strategy}
budget = 6
rounds = 3
seed = {seed}

{oracle}

[export]
labels = ["labels.gpkg"]
predictions = ["map.geojson"]
"""
ORACLE = '[oracle]\ntruth = "scene.truth.csv"'


def write_config(folder, strategy='"margin"', seed="0", oracle=ORACLE, **scene):
    made = make_scene(folder, **scene)
    (folder / "classes.txt").write_text("\n".join(SPECTRA), encoding="utf-8")
    path = folder / "run.toml"
    path.write_text(CONFIG.format(strategy=strategy, seed=seed, oracle=oracle), encoding="utf-8")
    return path, made


def test_a_batch_with_an_oracle_ends_with_a_map_and_a_learning_curve(tmp_path):
    config, scene = write_config(tmp_path)
    outcome = run_batch(read_config(config))
    assert [row["labels"] for row in outcome.curve] == [6, 12, 18]
    assert outcome.curve[-1]["accuracy"] > 0.9
    results = tmp_path / "results"
    assert {file.name for file in results.iterdir()} == {
        "labels.gpkg",
        "map.geojson",
        "learning_curve.csv",
        "learning_curve.png",
        "learning_curve.svg",
    }
    with (results / "learning_curve.csv").open() as file:
        assert [int(row["labels"]) for row in csv.DictReader(file)] == [6, 12, 18]
    assert (results / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (results / "learning_curve.svg").read_text()
    assert len(gpd.read_file(results / "map.geojson")) == len(scene.labels)
    assert "18" in "\n".join(outcome.lines())


def test_the_validation_sample_is_answered_but_never_asked_or_learnt(tmp_path):
    config, _ = write_config(tmp_path)
    run_batch(read_config(config))
    with Project.open(tmp_path / "p.gpkg") as project:
        validation = {tile.tile_id for tile in project.tiles(("validation",))}
        asked = {row[0] for row in project.read("SELECT tile_id FROM queries")}
        answered = current_answers(project).keys()
        assert len(validation) == 12
        assert validation <= answered
        assert not asked & validation
        assert len(answered) == 12 + 18
        assert rounds(project)[-1].metrics["validation_labels"] == 12


def test_a_finished_batch_changes_nothing_when_run_again(tmp_path):
    config, _ = write_config(tmp_path)
    first = run_batch(read_config(config))
    second = run_batch(read_config(config))
    assert first.curve == second.curve
    with Project.open(tmp_path / "p.gpkg") as project:
        assert len(rounds(project)) == 3


def test_more_rounds_go_on_from_where_it_was(tmp_path):
    config, _ = write_config(tmp_path)
    run_batch(read_config(config))
    config.write_text(config.read_text().replace("rounds = 3", "rounds = 4"))
    outcome = run_batch(read_config(config))
    assert [row["labels"] for row in outcome.curve] == [6, 12, 18, 24]


def test_a_batch_cancelled_anywhere_ends_with_the_same_curve(tmp_path):
    (tmp_path / "whole").mkdir()
    config, _ = write_config(tmp_path / "whole")
    expected = [(row["labels"], row["accuracy"]) for row in run_batch(read_config(config)).curve]
    (tmp_path / "cut").mkdir()
    config, _ = write_config(tmp_path / "cut")
    stops = 0
    for stop_after in (1, 4, 9, 16, 25, 36, 49, 1000):
        calls = iter(range(10_000))
        monitor = Monitor(is_cancelled=lambda calls=calls, limit=stop_after: next(calls) >= limit)
        try:
            outcome = run_batch(read_config(config), monitor=monitor)
            break
        except Cancelled:
            stops += 1
    assert stops > 2
    assert [(row["labels"], row["accuracy"]) for row in outcome.curve] == expected


def test_query_functions_and_seeds_are_compared_on_copies(tmp_path):
    config, _ = write_config(tmp_path, strategy='["margin", "random"]', seed="[0, 1]")
    outcome = run_batch(read_config(config))
    assert {(row["strategy"], row["seed"]) for row in outcome.curve} == {
        (strategy, seed) for strategy in ("margin", "random") for seed in (0, 1)
    }
    assert len(outcome.projects) == 4
    with Project.open(tmp_path / "p.gpkg") as project:
        assert rounds(project) == []
    assert (tmp_path / "results" / "random.seed1" / "labels.gpkg").exists()


def test_without_an_oracle_the_batch_asks_and_then_goes_on_with_the_answers(tmp_path):
    config, scene = write_config(tmp_path, oracle="")
    first = run_batch(read_config(config))
    sheet = tmp_path / "results" / "p-answers-round1.csv"
    assert sheet in first.files
    assert "quadrat label" in first.next_step
    with sheet.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    again = run_batch(read_config(config))
    assert again.files == [sheet]
    with Project.open(tmp_path / "p.gpkg") as project:
        class_ids = {item.name: item.class_id for item in project.classes()}
        answers = [
            Answer(int(x["tile_id"]), "classes", (class_ids[scene.labels[int(x["row"]), int(x["col"])]],))
            for x in lines
        ]
        record_answers(project, answers, annotator="me", source="test")
    third = run_batch(read_config(config))
    assert (tmp_path / "results" / "map.geojson").exists()
    assert third.files[-1].name == "p-answers-round2.csv"


def test_a_multi_label_batch_is_scored_by_f1(tmp_path):
    config, _ = write_config(tmp_path)
    config.write_text('mode = "multi"\n' + config.read_text())
    outcome = run_batch(read_config(config))
    assert outcome.curve[-1]["micro_f1"] > 0.8


def test_tiles_that_the_truth_does_not_know_are_unsure(tmp_path):
    config, _ = write_config(tmp_path)
    truth = tmp_path / "scene.truth.csv"
    truth.write_text("\n".join(truth.read_text().splitlines()[:30]))
    run_batch(read_config(config))
    with Project.open(tmp_path / "p.gpkg") as project:
        kinds = {answer.kind for answer in current_answers(project).values()}
    assert kinds == {"classes", "unsure"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("budget", "bugdet", "did you mean `budget`"),
        ("[query]", "[quarry]", "did you mean `query`"),
        ('project = "p.gpkg"', "", "`project` is missing"),
        ("budget = 6", 'budget = "many"', "`query.budget`"),
        ("rounds = 3", "rounds = 2.5", "`query.rounds`"),
        ('project = "p.gpkg"', 'rounds = 3\nproject = "p.gpkg"', "`rounds` of the table [query]"),
        ('rasters = ["scene.tif"]', "rasters = [3]", "`rasters`"),
        ("[tile]", "tile = 3\n[tilt]", "must be a table"),
        ("[tile]", "[tile", "TOML"),
        ('["scene.tif"]', "[]", "`rasters` is empty"),
        ('truth = "scene.truth.csv"', "", "`truth` of the table [oracle] is missing"),
    ],
)
def test_a_configuration_with_a_mistake_says_which(tmp_path, old, new, said):
    config, _ = write_config(tmp_path)
    config.write_text(config.read_text().replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        read_config(config)
    assert said in f"{caught.value.hint} {caught.value.details}"


def test_mistakes_are_found_before_anything_is_made(tmp_path):
    config, _ = write_config(tmp_path, strategy='"margins"')
    with pytest.raises(UsageError, match="margins"):
        run_batch(read_config(config))
    assert not (tmp_path / "p.gpkg").exists()


def test_a_truth_with_unknown_classes_is_refused_by_line(tmp_path):
    config, _ = write_config(tmp_path)
    truth = tmp_path / "scene.truth.csv"
    truth.write_text(truth.read_text().replace("Water", "Lava"))
    with pytest.raises(AnswerError, match="wrong line"):
        run_batch(read_config(config))


def test_a_project_of_the_other_label_mode_is_refused(tmp_path):
    config, _ = write_config(tmp_path)
    run_batch(read_config(config))
    config.write_text('mode = "multi"\n' + config.read_text())
    with pytest.raises(ProjectError, match="single-label project"):
        run_batch(read_config(config))


def test_a_missing_raster_leaves_a_project_to_go_on_with(tmp_path):
    config, scene = write_config(tmp_path)
    away = shutil.move(scene.raster, tmp_path / "away.tif")
    with pytest.raises(ImageryError):
        run_batch(read_config(config))
    shutil.move(away, scene.raster)
    assert len(run_batch(read_config(config)).curve) == 3


def test_a_comparison_never_begins_with_the_rounds_of_one_query_function(tmp_path):
    config, _ = write_config(tmp_path)
    run_batch(read_config(config))
    config.write_text(config.read_text().replace('"margin"', '["margin", "random"]'))
    with pytest.raises(ProjectError, match="rounds of its own"):
        run_batch(read_config(config))


def test_the_last_point_of_a_curve_comes_from_the_query_functions_own_learner(tmp_path):
    config, _ = write_config(tmp_path, strategy='"mcfps:paper"')
    outcome = run_batch(read_config(config))
    with Project.open(tmp_path / "p.gpkg") as project:
        own = train(project, learner=Choice("linear:paper")).metrics["accuracy"]
    assert outcome.curve[-1]["accuracy"] == own


def test_parameters_are_checked_before_anything_is_made(tmp_path):
    config, _ = write_config(tmp_path, strategy='["mcfps", "random"]')
    config.write_text(config.read_text().replace("rounds = 3", "rounds = 3\nparameters = {neighbours = 5}"))
    with pytest.raises(UsageError, match="random has no parameter"):
        run_batch(read_config(config))
    assert not (tmp_path / "p.gpkg").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"map.geojson"', '"map.shp"', r"\.shp"),
        ("scene.truth.csv", "nowhere.csv", "no truth"),
        ("budget = 6", "budget = 0", "at least one"),
    ],
)
def test_what_would_fail_at_the_end_is_told_at_the_start(tmp_path, old, new, said):
    config, _ = write_config(tmp_path)
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(UsageError, match=said):
        run_batch(read_config(config))
    assert not (tmp_path / "p.gpkg").exists()


def test_a_configuration_saved_by_notepad_is_read(tmp_path):
    config, _ = write_config(tmp_path)
    config.write_text(config.read_text(), encoding="utf-8-sig")
    assert read_config(config).budget == 6


def test_a_batch_with_labels_of_one_class_only_still_ends_with_its_project(tmp_path):
    config, _ = write_config(tmp_path)
    truth = tmp_path / "scene.truth.csv"
    truth.write_text(truth.read_text().replace("Forest", "Water").replace("Town", "Water"))
    said = []
    outcome = run_batch(read_config(config), monitor=Monitor(remark=lambda level, text: said.append(text)))
    assert outcome.curve == []
    assert any("nothing is predicted" in text for text in said)


def test_the_curve_tells_how_long_training_took(tmp_path):
    config, _ = write_config(tmp_path)
    outcome = run_batch(read_config(config))
    assert all(row["train_seconds"] > 0.001 for row in outcome.curve)
