"""Rounds and predictions: what was recorded comes back; predictions change all at once."""

import math

import numpy as np
import pytest

from quadrat.core.errors import ProjectError, UsageError
from quadrat.core.project.results import (
    Pick,
    TilePrediction,
    picks_of_round,
    read_predictions,
    record_round,
    rounds,
    set_round_metrics,
    write_predictions,
)

from .project_factory import make_project

PICKS = [Pick(3, 0, 0.9, "far from all labels"), Pick(1, 1, 0.5, "unsure between Water and Forest")]


@pytest.fixture
def project(tmp_path):
    with make_project(tmp_path / "p.gpkg", "multi") as project:
        yield project


def new_round(project, picks=PICKS, **changes):
    fields = {"strategy": "mcfps", "parameters": {"k": 15}, "seed": 7, "encoder": "statistics", "budget": 64}
    return record_round(project, **{**fields, "metrics": {}, **changes}, picks=picks)


def predict(n, class_id=1):
    return [TilePrediction(tile_id, 0.75, 0.25, ((class_id, 0.75),)) for tile_id in range(1, n + 1)]


def test_rounds_come_back_as_they_were_recorded(project):
    assert new_round(project, metrics={"accuracy": 0.5}) == 1
    assert new_round(project, picks=[], seed=None, encoder=None) == 2
    first, second = rounds(project)
    assert (first.strategy, first.parameters, first.seed, first.budget) == ("mcfps", {"k": 15}, 7, 64)
    assert first.metrics == {"accuracy": 0.5}
    assert first.created_at.endswith("Z")
    assert (second.seed, second.encoder) == (None, None)
    assert picks_of_round(project, 1) == PICKS
    assert picks_of_round(project, 2) == []


def test_numbers_of_numpy_are_taken_and_what_json_cannot_say_becomes_null(project):
    parameters = {"k": np.int64(3), "share": np.float32(0.5), "list": (1, math.nan), "name": "é", "on": True, "x": None}
    pick = Pick(np.int64(2), np.int64(0), math.inf, "")
    new_round(project, picks=[pick], parameters=parameters, metrics={"f1": math.nan})
    (record,) = rounds(project)
    assert record.parameters == {"k": 3, "share": 0.5, "list": [1, None], "name": "é", "on": True, "x": None}
    assert record.metrics == {"f1": None}
    assert picks_of_round(project, 1) == [Pick(2, 0, None, "")]


def test_metrics_may_be_known_later(project):
    new_round(project)
    set_round_metrics(project, 1, {"validation": {"accuracy": 0.8}})
    assert rounds(project)[0].metrics == {"validation": {"accuracy": 0.8}}
    with pytest.raises(UsageError, match="no round 2"):
        set_round_metrics(project, 2, {})


@pytest.mark.parametrize("tile_ids", [(1, 1), (1, 99)])
def test_impossible_picks_are_refused(project, tile_ids):
    with pytest.raises(UsageError):
        new_round(project, picks=[Pick(tile_id, 0, 0.0, "") for tile_id in tile_ids])
    assert rounds(project) == []


def test_predictions_come_back_as_they_were_written(project):
    predictions = [
        TilePrediction(1, 0.9, 0.1, ((3, 0.9), (1, 0.8))),
        TilePrediction(2, 0.6, 0.7, ()),
        TilePrediction(np.int64(4), np.float32(0.5), np.float64(1.5), ((np.int64(2), np.float32(0.5)),)),
    ]
    assert write_predictions(project, iter(predictions), model="head 3", chunk=2) == 3
    assert read_predictions(project) == predictions
    assert project.setting("prediction_model") == "head 3"


def test_new_predictions_replace_the_old_ones(project):
    write_predictions(project, predict(6), model="one", chunk=4)
    write_predictions(project, predict(4, class_id=2), model="two", chunk=3)
    assert read_predictions(project) == predict(4, class_id=2)
    assert project.read("SELECT count(*) FROM predictions") == [(4,)]
    assert project.read("SELECT count(*) FROM prediction_classes") == [(4,)]
    assert write_predictions(project, [], model="none") == 0
    assert read_predictions(project) == []


def test_a_write_that_stops_half_way_leaves_the_old_predictions_in_force(project):
    write_predictions(project, predict(6), model="one")

    def half():
        yield from predict(4, class_id=2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(project, half(), model="two", chunk=2)
    assert read_predictions(project) == predict(6)
    assert project.read("SELECT count(*) FROM predicted_tiles WHERE label = 'Water'") == [(6,)]
    assert project.read("SELECT count(*) FROM predictions") == [(10,)]
    write_predictions(project, predict(5, class_id=3), model="three")
    assert read_predictions(project) == predict(5, class_id=3)
    assert project.read("SELECT count(*) FROM predictions") == [(5,)]


def test_an_answer_can_be_given_between_two_chunks(project, tmp_path):
    from quadrat.core.project.answers import Answer, current_answers, record_answers
    from quadrat.core.project.store import Project

    def while_answering():
        with Project.open(project.path, busy_timeout_s=0) as other:
            for prediction in predict(6):
                record_answers(other, [Answer(1, "skip")], annotator="a", source="map")
                yield prediction

    assert write_predictions(project, while_answering(), model="one", chunk=2) == 6
    assert current_answers(project)[1].kind == "skip"


def test_two_writers_at_once_are_noticed(project):
    def disturbed():
        yield from predict(3)
        write_predictions(project, predict(2, class_id=2), model="the other")
        yield predict(4)[3]

    with pytest.raises(ProjectError, match="at the same time"):
        write_predictions(project, disturbed(), model="one", chunk=2)
    assert read_predictions(project) == predict(2, class_id=2)


def test_predictions_that_do_not_fit_are_refused(project):
    write_predictions(project, predict(2), model="one")
    for bad in (predict(1) * 2, [TilePrediction(1, math.nan, 0.0, ())], [TilePrediction(1, 1.0, 0.0, ((9, 1.0),))]):
        with pytest.raises(ProjectError):
            write_predictions(project, bad, model="two")
        assert read_predictions(project) == predict(2)
