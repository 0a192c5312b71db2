"""What the project adds up to, against the project itself."""

from __future__ import annotations

import pytest

from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.results import TilePrediction, record_round, rounds, set_round_metrics, write_predictions
from quadrat.core.project.stopping import set_goal
from quadrat.core.project.store import Project
from quadrat.plugin.tallies import (
    advice_in_words,
    class_tallies,
    open_tiles,
    round_name,
    round_tallies,
    score_in_words,
    unanswered,
    why_nothing_to_learn,
)


@pytest.fixture
def project(ready_project):
    with Project.open(ready_project().path) as opened:
        yield opened


def answer(project, tile_ids, kind, *class_ids):
    answers = [Answer(tile_id, kind, class_ids) for tile_id in tile_ids]
    record_answers(project, answers, annotator="test", source="test")


def test_an_answer_of_any_kind_closes_a_tile_but_a_skipped_one_may_be_asked_again(project):
    asked = open_tiles(project)
    answer(project, asked[:2], "skip")
    answer(project, asked[2:3], "unsure")
    answer(project, asked[3:4], "classes", 1)
    assert open_tiles(project) == asked[4:]
    assert unanswered(project, "pool") == project.counts()["pool"] - 2
    (tally,) = round_tallies(project)
    assert (tally.tiles, tally.answered, tally.score) == (8, 4, None)


def test_rounds_are_counted_without_those_of_the_validation_sample(project):
    (first,) = rounds(project)
    more = {"parameters": {}, "seed": 0, "encoder": None, "budget": 1, "picks": [], "metrics": {}}
    sample = record_round(project, strategy="validation", **more)
    second = record_round(project, strategy="margin", **more)
    assert [tally.number for tally in round_tallies(project)] == [1, None, 2]
    names = [round_name(project, number) for number in (first.round_id, sample, second)]
    assert names == ["round 1", "validation", "round 2"]


def test_a_skipped_validation_tile_is_answered(project):
    tile, *_ = [tile.tile_id for tile in project.tiles(("validation",))]
    answer(project, [tile], "skip")
    assert unanswered(project, "validation") == 11


def test_a_single_label_model_needs_two_classes_in_the_pool(project):
    pool = [tile.tile_id for tile in project.tiles(("pool",))]
    sample = [tile.tile_id for tile in project.tiles(("validation",))]
    answer(project, sample[:1], "classes", 1)
    answer(project, pool[:1], "none")
    assert "No tile has a label" in why_nothing_to_learn(project)
    answer(project, pool[1:3], "classes", 1)
    assert "one class" in why_nothing_to_learn(project)
    answer(project, pool[3:4], "classes", 2)
    assert why_nothing_to_learn(project) == ""


def test_a_multi_label_model_learns_from_a_tile_without_classes(ready_project):
    with Project.open(ready_project("multi").path) as project:
        assert why_nothing_to_learn(project)
        answer(project, open_tiles(project)[:1], "none")
        assert why_nothing_to_learn(project) == ""


def test_classes_are_counted_as_the_project_counts_them(project):
    tiles = [tile.tile_id for tile in project.tiles(("pool",))]
    answer(project, tiles[:3], "classes", 2)
    write_predictions(project, [TilePrediction(tile, 0.9, 0.1, ((3, 0.9),)) for tile in tiles], model="test")
    write_predictions(project, [TilePrediction(tile, 0.9, 0.1, ((1, 0.9),)) for tile in tiles[:5]], model="test")
    assert [(c.labelled, c.predicted) for c in class_tallies(project)] == [(0, 5), (3, 0), (0, 0)]
    assert {c.class_id: c.labelled for c in class_tallies(project)} == project.counts()["classes"]


def test_the_score_says_what_it_rests_on(project):
    assert score_in_words(project, round_tallies(project)) == ""
    (record,) = rounds(project)
    metrics = {"labels": 30, "validation_labels": 10, "accuracy": 0.5, "macro_f1": 0.4}
    set_round_metrics(project, record.round_id, metrics)
    said = score_in_words(project, round_tallies(project))
    assert said == "Accuracy 50% (95% interval 24% to 76%) of 10 validation tiles, after 30 labels."


def test_an_f1_score_is_told_with_its_interval_unless_an_earlier_version_kept_none(ready_project):
    metrics = {"labels": 30, "validation_labels": 10, "micro_f1": 0.8, "accuracy": 0.6}
    with Project.open(ready_project("multi").path) as project:
        (record,) = rounds(project)
        set_round_metrics(project, record.round_id, metrics)
        old = score_in_words(project, round_tallies(project))
        set_round_metrics(project, record.round_id, {**metrics, "interval_low": 0.7, "interval_high": 0.87})
        new = score_in_words(project, round_tallies(project))
    assert old == "Micro-F1 0.800; every class right on 60% of 10 validation tiles, after 30 labels."
    assert new.startswith("Micro-F1 0.800 (95% interval 0.700 to 0.870); every class right on 60%")


def test_the_suggestion_follows_rounds_and_goal(project):
    assert advice_in_words(project) == ""
    (record,) = rounds(project)
    metrics = {"labels": 30, "validation_labels": 400, "accuracy": 0.9, "agreement": 0.962}
    set_round_metrics(project, record.round_id, metrics)
    assert advice_in_words(project).startswith(
        "The predictions agree to 0.96 with those of the round before. Suggestion: Go on: too little is known"
    )
    set_goal(project, 0.8)
    assert "Suggestion: Stop: even the lower end" in advice_in_words(project)
