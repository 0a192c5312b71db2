"""Rounds on a real project: what is asked, learnt, checked and predicted, and from which tiles never."""

from dataclasses import replace

import numpy as np
import pytest

from quadrat.core.defaults import default_learner
from quadrat.core.errors import LearningError, ProjectError, UsageError
from quadrat.core.models import Choice
from quadrat.core.monitor import Monitor
from quadrat.core.pool import open_pool
from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.results import picks_of_round, read_predictions, rounds
from quadrat.core.project.stopping import set_goal
from quadrat.core.rounds import predict, query, query_validation, train
from quadrat.core.strategies.registry import STRATEGIES

from .job import answer, ids, ready_project
from .scene_factory import new_project, read_layer


@pytest.fixture
def job(tmp_path):
    project, scene = ready_project(tmp_path)
    with project:
        yield project, scene


def test_the_first_round_is_a_cold_start_that_says_so(job):
    project, _ = job
    remarks = []
    asked = query(project, "margin", 5, monitor=Monitor(remark=lambda level, text: remarks.append(text)))
    assert len(set(asked.tile_ids)) == 5
    assert any("not enough to learn from" in text for text in remarks)
    assert rounds(project)[0].metrics["chosen_by"] == "kmeans"


@pytest.mark.parametrize("strategy", [n for n in STRATEGIES.names() if "single" in STRATEGIES.find(n).modes])
def test_every_query_function_asks_only_for_open_tiles_of_the_pool(job, strategy):
    project, scene = job
    pool = ids(project, "pool")
    answer(project, scene, [*pool[:10], *ids(project, "validation")])
    asked = query(project, strategy, 7, seed=1)
    assert set(asked.tile_ids) <= set(pool[10:])
    assert len(set(asked.tile_ids)) == 7
    picks = picks_of_round(project, asked.round_id)
    assert [pick.tile_id for pick in picks] == asked.tile_ids
    assert all(pick.reason for pick in picks)


def test_the_same_seed_asks_for_the_same_tiles(tmp_path):
    asked = []
    for name in "ab":
        (tmp_path / name).mkdir()
        project, scene = ready_project(tmp_path / name)
        with project:
            answer(project, scene, ids(project, "pool")[:12])
            asked.append(query(project, "mcfps", 6, seed=3).tile_ids)
    assert asked[0] == asked[1]


def test_what_a_round_was_asked_with_is_recorded(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:10])
    query(project, "mcfps", 4, seed=9, parameters={"neighbours": 5})
    (record,) = rounds(project)
    assert (record.strategy, record.seed, record.budget) == ("mcfps", 9, 4)
    assert record.parameters["neighbours"] == 5
    assert record.parameters["passes"] == 10
    assert record.metrics["learner"] == default_learner("single").name
    assert record.metrics["learner_parameters"] == default_learner("single").settings()
    assert record.encoder == "statistics"


def test_skipped_tiles_may_be_asked_again_but_unsure_ones_not(job):
    project, _ = job
    pool = ids(project, "pool")
    answers = [Answer(pool[0], "skip"), Answer(pool[1], "unsure"), Answer(pool[2], "none")]
    record_answers(project, answers, annotator="me", source="test")
    opened = open_pool(project)
    eligible = set(opened.embeddings.tile_ids[opened.eligible])
    assert pool[0] in eligible
    assert not {pool[1], pool[2]} & eligible


def test_none_of_these_teaches_a_multi_label_head_only(tmp_path):
    for mode, expected in (("single", 0), ("multi", 1)):
        (tmp_path / mode).mkdir()
        project, _ = ready_project(tmp_path / mode, mode)
        with project:
            record_answers(project, [Answer(ids(project, "pool")[0], "none")], annotator="me", source="test")
            assert open_pool(project).training.size == expected


def test_validation_tiles_are_scored_and_never_learnt_from(job):
    project, scene = job
    validation = ids(project, "validation")
    answer(project, scene, [*ids(project, "pool")[:15], *validation])
    training = train(project)
    assert (training.labels, training.validation_labels) == (15, len(validation))
    assert training.metrics["accuracy"] > 0.9
    opened = open_pool(project)
    assert not set(opened.training) & set(opened.validation)


def test_training_writes_the_scores_into_the_latest_round(job):
    project, scene = job
    asked = query(project, "random", 12)
    answer(project, scene, [*asked.tile_ids, *ids(project, "validation")], asked.round_id)
    training = train(project)
    assert rounds(project)[0].metrics["accuracy"] == training.metrics["accuracy"]
    assert rounds(project)[0].metrics["labels"] == 12


def test_validation_tiles_are_asked_for_by_their_own_query(job):
    project, _ = job
    asked = query_validation(project, 4, seed=1)
    assert set(asked.tile_ids) <= set(ids(project, "validation"))
    record_answers(project, [Answer(i, "unsure") for i in ids(project, "validation")], annotator="me", source="test")
    with pytest.raises(LearningError, match="no validation tile left"):
        query_validation(project, 4)


def test_one_class_only_cannot_be_learnt_but_querying_goes_on(job):
    project, scene = job
    water = [t.tile_id for t in project.tiles(("pool",)) if scene.labels[t.row, t.col] == "Water"][:3]
    answer(project, scene, water)
    with pytest.raises(LearningError, match="'Water'") as caught:
        train(project)
    assert "another class" in caught.value.hint
    with pytest.raises(LearningError):
        predict(project)
    assert len(query(project, "margin", 5).tile_ids) == 5
    assert read_predictions(project) == []


def test_no_label_cannot_be_learnt(job):
    with pytest.raises(LearningError, match="No tile has a label"):
        train(job[0])


@pytest.mark.parametrize("ask", [query, query_validation])
def test_a_budget_of_nothing_is_refused(job, ask):
    with pytest.raises(UsageError):
        ask(job[0], budget=0)
    assert rounds(job[0]) == []


def test_a_budget_larger_than_the_pool_takes_all_of_it(job):
    project, _ = job
    assert set(query(project, "random", 10_000).tile_ids) == set(ids(project, "pool"))


def test_an_answered_pool_cannot_be_asked(job):
    project, scene = job
    answer(project, scene, ids(project, "pool"))
    with pytest.raises(LearningError, match="Every tile of the pool"):
        query(project, "random", 1)


@pytest.mark.parametrize(("strategy", "nearest"), [("margins", "margin"), ("mcfps:papre", "mcfps:paper")])
def test_an_unknown_query_function_names_the_nearest(job, strategy, nearest):
    with pytest.raises(UsageError) as caught:
        query(job[0], strategy, 3)
    assert nearest in caught.value.hint


def test_without_embeddings_the_next_step_is_named(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project, pytest.raises(ProjectError) as caught:
        query(project, "random", 1)
    assert "quadrat embed" in caught.value.hint


def test_every_tile_gets_a_prediction_and_most_are_right(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:15])
    done = predict(project)
    view = read_layer(project, layer="predicted_tiles")
    assert done.tiles == len(view) == 48
    truth = [scene.labels[tile.row, tile.col] for tile in view.itertuples()]
    assert (view["label"] == truth).mean() > 0.9
    assert view["probability"].between(0, 1).all()
    assert view["uncertainty"].between(0, 1).all()
    assert sum(done.per_class.values()) == 48


def test_multi_label_predictions_may_have_several_classes_or_none(tmp_path):
    project, scene = ready_project(tmp_path, "multi", rows=8, cols=8)
    with project:
        water, forest, town = (item.class_id for item in project.classes())
        sets = {"Water": (water, forest), "Forest": (forest,), "Town": ()}
        answers = []
        for tile in project.tiles(("pool",))[:30]:
            chosen = sets[scene.labels[tile.row, tile.col]]
            answers.append(Answer(tile.tile_id, "classes" if chosen else "none", chosen))
        record_answers(project, answers, annotator="me", source="test")
        assert len(query(project, "margin", 4).tile_ids) == 4
        predict(project)
        view = read_layer(project, layer="predicted_tiles")
        expected = {"Water": "Water; Forest", "Forest": "Forest", "Town": ""}
        truth = [expected[scene.labels[tile.row, tile.col]] for tile in view.itertuples()]
        assert (view["label"].fillna("") == truth).mean() > 0.85
        assert town not in {c for item in read_predictions(project) for c, _ in item.classes}


def test_predicting_again_replaces_the_map(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:6])
    predict(project)
    answer(project, scene, ids(project, "pool")[6:20])
    predict(project)
    assert len(read_layer(project, layer="predicted_tiles")) == 48
    assert project.read("SELECT count(*) FROM predictions") == [(48,)]


def test_a_head_is_fitted_once_for_the_same_answers(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:10])
    model = train(project).model
    (file,) = (project.folder / "models").rglob("head.safetensors")
    written = file.stat().st_mtime_ns
    assert train(project).model.key == model.key
    assert file.stat().st_mtime_ns == written
    answer(project, scene, ids(project, "pool")[10:12])
    assert train(project).model.key != model.key


def test_a_damaged_model_file_is_fitted_again(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:10])
    train(project)
    (file,) = (project.folder / "models").rglob("head.safetensors")
    file.write_bytes(b"not a head")
    assert train(project).labels == 10


def test_tiles_that_mcfps_paper_ruled_out_stay_out(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:20])
    query(project, "mcfps:paper", 2, parameters={"sure": 0.4})
    ruled_out = set(rounds(project)[0].metrics["set_aside"])
    left = 16 - len(ruled_out)
    assert ruled_out
    assert left > 1
    later = query(project, "mcfps:paper", left - 1)
    assert not ruled_out & set(later.tile_ids)


def test_a_round_without_an_answer_gets_no_scores(job):
    project, scene = job
    first = query(project, "random", 8)
    answer(project, scene, [*first.tile_ids, *ids(project, "validation")])
    train(project)
    query(project, "random", 4)
    train(project)
    assert ["accuracy" in item.metrics for item in rounds(project)] == [True, False]


def test_predicting_leaves_the_scores_of_the_rounds_alone(job):
    project, scene = job
    first = query(project, "random", 8)
    answer(project, scene, [*first.tile_ids, *ids(project, "validation")])
    train(project)
    before = rounds(project)[0].metrics
    predict(project, learner=Choice("linear:paper"))
    assert rounds(project)[0].metrics == before


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_class_that_nobody_has_labelled_is_never_predicted(tmp_path, mode):
    project, scene = ready_project(tmp_path, mode)
    with project:
        town = project.classes()[2].class_id
        tiles = {tile.tile_id: tile for tile in project.tiles(("pool",))}
        other = [i for i, tile in tiles.items() if scene.labels[tile.row, tile.col] != "Town"]
        answer(project, scene, other[:5])
        predict(project)
        assert town not in {class_id for item in read_predictions(project) for class_id, _ in item.classes}


def test_a_tile_without_a_usable_embedding_is_in_no_class(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:12])
    pool = open_pool(project)
    matrix = np.array(pool.embeddings.matrix)
    matrix[pool.eligible[:3]] = np.nan
    done = predict(project, pool=replace(pool, embeddings=replace(pool.embeddings, matrix=matrix)))
    assert done.tiles == sum(done.per_class.values()) == len(matrix) - 3


def rounds_of(project, scene, budgets):
    """Ask at random, answer and train, once for each budget; what each training found."""
    done = []
    for budget in budgets:
        asked = query(project, "random", budget)
        answer(project, scene, asked.tile_ids, asked.round_id)
        done.append(train(project))
    return done


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_round_remembers_how_sure_its_score_is_and_whether_predictions_changed(tmp_path, mode):
    project, scene = ready_project(tmp_path, mode)
    with project:
        answer(project, scene, ids(project, "validation"))
        first, second = rounds_of(project, scene, (12, 4))
        kept = [item.metrics for item in rounds(project)]
    score = first.metrics["accuracy" if mode == "single" else "micro_f1"]
    assert first.interval[0] <= score <= first.interval[1]
    assert [(item["interval_low"], item["interval_high"]) for item in kept] == [first.interval, second.interval]
    assert first.agreement is None
    assert [item["agreement"] for item in kept] == [None, second.agreement]
    assert 0 < second.agreement <= 1
    assert not second.advice.stop
    assert "too little is known after 2 rounds" in second.advice.reason


def test_training_again_on_the_same_labels_compares_with_the_labels_before(job):
    project, scene = job
    first, second = rounds_of(project, scene, (8, 6))
    again = train(project, seed=1)
    assert first.agreement is None
    assert again.agreement is not None
    assert train(project).agreement == second.agreement == rounds(project)[1].metrics["agreement"]


def test_however_often_a_round_is_trained_it_is_compared_with_the_round_before(tmp_path):
    """Else training after every few answers would look calm: each step changes little."""
    found = []
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        project, scene = ready_project(tmp_path / name)
        with project:
            for budget in (3, 4, 6):
                asked = query(project, "random", budget)
                if name == "twice":
                    answer(project, scene, asked.tile_ids[:-1], asked.round_id)
                    train(project)
                answer(project, scene, asked.tile_ids, asked.round_id)
                train(project)
            found.append([item.metrics["agreement"] for item in rounds(project)])
    once, twice = found
    assert once[0] is None
    assert once[1] < 1
    assert twice == once


def test_what_an_earlier_version_kept_of_the_last_training_is_nothing_to_compare_with(job):
    project, scene = job
    rounds_of(project, scene, (8,))
    models = project.folder / "models"
    (file,) = models.glob("stop-set*.npz")
    old = file.rename(models / "stop-set.npz")
    (later,) = rounds_of(project, scene, (4,))
    assert later.agreement is None
    assert not old.exists()


def test_another_learner_begins_anew(job):
    project, scene = job
    rounds_of(project, scene, (8, 6))
    assert train(project, learner=Choice("hidden")).agreement is None
    assert rounds(project)[1].metrics["agreement"] is None


def test_losing_what_was_predicted_costs_one_comparison(job):
    project, scene = job
    rounds_of(project, scene, (8,))
    for file in (project.folder / "models").glob("stop-set*.npz"):
        file.write_bytes(b"damaged")
    damaged, next_round = rounds_of(project, scene, (4, 4))
    assert damaged.agreement is None
    assert next_round.agreement is not None


def test_training_stops_at_the_projects_goal_or_at_the_one_given(job):
    project, scene = job
    answer(project, scene, [*ids(project, "pool")[:15], *ids(project, "validation")])
    set_goal(project, 0.5)
    assert train(project).advice.stop
    assert not train(project, goal=0.999).advice.stop
    with pytest.raises(UsageError, match="cannot be reached"):
        train(project, goal=90)
