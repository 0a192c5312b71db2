"""Learners on a real project: which one is used, what is kept of it, and what a query function gets to see."""

import numpy as np
import pytest

from quadrat.core import fitting
from quadrat.core.defaults import default_learner
from quadrat.core.errors import EncoderError, LearningError, UsageError
from quadrat.core.models import Choice
from quadrat.core.monitor import Monitor
from quadrat.core.pool import open_pool
from quadrat.core.project.class_editing import add_class
from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.results import read_predictions, rounds
from quadrat.core.rounds import latest_learner, predict, query, query_validation, train

from .job import answer, ids, ready_project

QUICK = Choice("linear", {"epochs": 5})


@pytest.fixture
def job(tmp_path):
    project, scene = ready_project(tmp_path)
    with project:
        yield project, scene


def test_training_and_mapping_go_on_with_the_learner_that_was_named_for_the_latest_round(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:12])
    assert train(project).model.choice == default_learner("single")
    query(project, "margin", 3, learner=Choice("hidden", {"hidden": 8}))
    query_validation(project, 2)
    assert train(project).model.choice.settings()["hidden"] == 8
    assert predict(project).training.model.choice.name == "hidden"
    query(project, "mcfps:paper", 3)
    assert rounds(project)[-1].metrics["learner"] == "linear:paper"
    assert latest_learner(project) == default_learner("single")  # the paper's came with its function
    assert train(project, learner=QUICK).model.choice == QUICK


def test_a_learner_that_is_not_there_is_refused_before_a_round_is_recorded(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:12])
    with pytest.raises(UsageError) as refusal:
        query(project, "margin", 3, learner=Choice("liner"))
    assert "linear" in refusal.value.hint
    with pytest.raises(UsageError, match="epochs"):
        query(project, "random", 3, learner=Choice("linear", {"epochs": 0}))
    assert not rounds(project)


def test_scores_say_whose_they_are(job):
    project, scene = job
    asked = query(project, "random", 12)
    answer(project, scene, [*asked.tile_ids, *ids(project, "validation")])
    train(project, learner=QUICK)
    (record,) = rounds(project)
    assert record.metrics["learner"] == "auto"
    assert record.metrics["scored_learner_parameters"]["epochs"] == 5


def test_only_the_latest_models_are_kept(job):
    project, scene = job
    pool = ids(project, "pool")
    for known in (8, 10, 12, 14):
        answer(project, scene, pool[:known])
        train(project, learner=QUICK)
    assert len(list((project.folder / "models").glob("fit-*"))) == 2


def test_a_model_that_cannot_be_kept_is_fitted_all_the_same(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:12])
    (project.folder / "models").write_text("in the way")
    said = []
    train(project, learner=QUICK, monitor=Monitor(remark=lambda level, text: said.append((level, text))))
    assert said[0][0] == "warning"
    assert "could not be kept" in said[0][1]


def thought(project, choice=QUICK):
    """What the learner thinks now, as a query remembers it."""
    pool = open_pool(project)
    model = fitting.fit(project, pool, choice)
    found = fitting.predictions(project, pool, model)
    fitting.remember(project, pool, model, found.probabilities)
    return found


def test_what_was_thought_before_is_what_was_thought_from_fewer_answers(job):
    project, scene = job
    pool = ids(project, "pool")
    answer(project, scene, pool[:8])
    first = thought(project)
    assert first.previous is None
    assert thought(project).previous is None  # the same answers again
    answer(project, scene, pool[8:12])
    second = thought(project)
    np.testing.assert_array_equal(second.previous, first.probabilities)
    np.testing.assert_array_equal(thought(project).previous, first.probabilities)
    answer(project, scene, pool[12:14])
    np.testing.assert_array_equal(thought(project).previous, second.probabilities)
    assert thought(project, Choice("linear", {"epochs": 6})).previous is None  # another learner thinks otherwise anyway


def test_a_class_that_is_new_since_is_unknown_before(job):
    project, scene = job
    pool = ids(project, "pool")
    answer(project, scene, pool[:8])
    first = thought(project)
    add_class(project, ClassDraft("Glacier"))
    answer(project, scene, pool[8:12])
    before = thought(project).previous
    np.testing.assert_array_equal(before[:, :-1], first.probabilities)
    assert np.isnan(before[:, -1]).all()


def test_tpd_starts_cold_and_then_asks_where_the_opinion_changed_most(job):
    project, scene = job
    pool = ids(project, "pool")
    answer(project, scene, pool[:8])
    assert query(project, "tpd", 2, learner=QUICK).chosen_by == "kmeans"
    answer(project, scene, pool[8:12])
    asked = query(project, "tpd", 2, learner=QUICK)
    assert asked.chosen_by == "tpd"
    opened = open_pool(project)
    now = fitting.predictions(project, opened, fitting.fit(project, opened, QUICK))
    changed = np.linalg.norm(now.probabilities - now.previous, axis=1)[opened.eligible]
    best = opened.eligible[np.argsort(-changed, kind="stable")[:2]]
    assert asked.tile_ids == opened.embeddings.tile_ids[best].tolist()


def test_probabilities_of_the_map_are_calibrated_and_the_temperature_is_kept(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:20])
    model = predict(project).training.model
    opened = open_pool(project)
    honest = fitting.calibrated(project, opened, model)
    assert honest.fitted.head.temperature != 1.0
    written = {item.tile_id: item.probability for item in read_predictions(project)}
    sure = honest.predict().max(axis=1)
    assert [written[i] for i in opened.embeddings.tile_ids.tolist()] == pytest.approx(sure.tolist(), abs=2e-5)
    np.testing.assert_array_equal(honest.predict().argmax(axis=1), model.predict().argmax(axis=1))


def test_a_query_function_sees_features_samples_and_honest_probabilities(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:12])
    pool = open_pool(project)
    found = fitting.predictions(project, pool, fitting.fit(project, pool, Choice("hidden", {"hidden": 8})))
    rows = np.array([5, 2])
    assert found.features(rows).shape == (2, 8)
    assert found.sample_logits(rows, 3, 0).shape == (3, 2, pool.n_classes)
    assert found.calibrated().shape == found.probabilities.shape
    assert found.losses is None
    sure = fitting.predictions(project, pool, fitting.fit(project, pool, Choice("linear", {"dropout": 0.0})))
    assert sure.sample_logits is None


def test_a_function_that_compares_versions_of_the_learner_needs_one_with_dropout(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:12])
    with pytest.raises(LearningError, match="random versions"):
        query(project, "bald", 3, learner=Choice("linear", {"dropout": 0.0}))
    assert not list((project.folder / "models").glob("fit-*"))  # it is said before anything is trained


def test_a_network_is_kept_for_the_next_to_start_from_and_chooses_in_its_own_features(job):
    project, scene = job
    pool = ids(project, "pool")
    tiny = Choice("finetune", {"epochs": 1, "batch_size": 8})
    answer(project, scene, pool[:10])
    query(project, "mge+clustering", 3, learner=tiny)
    (network,) = (project.folder / "models").glob("fit-*/state.safetensors")
    for known in (11, 12, 13):
        answer(project, scene, pool[:known])
        train(project, learner=QUICK)
    assert network.exists()
    opened = open_pool(project)
    model = fitting.fit(project, opened, tiny)
    assert model.features.shape == (len(opened.embeddings.matrix), 512)
    cold = fitting.fit(project, opened, Choice("finetune", {**tiny.parameters, "start": "cold"}))
    assert not np.array_equal(cold.features, model.features)


def test_weights_that_are_not_there_are_named(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:10])
    with pytest.raises(EncoderError, match="no weights file"):
        train(project, learner=Choice("finetune", {"weights": "~/nowhere/resnet18.pth"}))
