"""Decisions and scores by hand: what a map shows is what is counted."""

import numpy as np
import pytest

from quadrat.core.metrics import decide, position_of, scores, uncertainty
from quadrat.core.project.scores import wilson_interval
from quadrat.core.stability import kappa, score_interval

NAN = np.nan
SEEN = np.array([True, True, False])
SURE_OF_THE_UNSEEN = np.array([[0.3, 0.1, 0.6], [0.2, 0.7, 0.1]])


def test_the_most_probable_class_is_decided_or_every_class_above_a_half():
    probabilities = np.array([[0.6, 0.5, 0.1], [0.1, 0.7, 0.8]])
    assert decide(probabilities, "single").tolist() == [[True, False, False], [False, False, True]]
    assert decide(probabilities, "multi").tolist() == [[True, False, False], [False, True, True]]


def test_a_class_that_nobody_has_labelled_is_never_decided():
    assert position_of(decide(SURE_OF_THE_UNSEEN, "single", SEEN)).tolist() == [0, 1]
    assert decide(SURE_OF_THE_UNSEEN, "multi", SEEN).tolist() == [[False] * 3, [False, True, False]]
    certain = np.array([[0.0, 0.0, 1.0]])  # so sure that nothing is left for the others
    assert position_of(decide(certain, "single", np.array([False, True, False]))).tolist() == [1]
    assert not decide(certain, "single", np.zeros(3, bool)).any()


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_tile_that_cannot_be_predicted_has_no_class(mode):
    assert not decide(np.full((2, 3), NAN), mode).any()
    assert position_of(decide(np.full((2, 3), NAN), mode)).tolist() == [-1, -1]


def test_scores_count_what_the_map_shows():
    targets = np.array([0, 1])
    assert scores(SURE_OF_THE_UNSEEN, targets, "single")["accuracy"] == 0.5
    assert scores(SURE_OF_THE_UNSEEN, targets, "single", SEEN) == {"accuracy": 1.0, "macro_f1": 1.0}
    assert score_interval(SURE_OF_THE_UNSEEN, targets, "single", SEEN) == wilson_interval(1.0, 2)
    truth = np.array([[0, 0, 0], [0, 1, 0]])
    assert scores(SURE_OF_THE_UNSEEN, truth, "multi")["micro_f1"] == pytest.approx(2 / 3)
    assert scores(SURE_OF_THE_UNSEEN, truth, "multi", SEEN)["micro_f1"] == 1.0
    assert score_interval(SURE_OF_THE_UNSEEN, truth, "multi", SEEN) == wilson_interval(1.0, 2)


def test_a_tile_that_cannot_be_predicted_is_wrong_whatever_its_class():
    probabilities = np.array([[NAN, NAN], [0.9, 0.1], [0.2, 0.8], [NAN, NAN]])
    targets = np.array([0, 0, 1, 1])
    assert scores(probabilities, targets, "single") == {"accuracy": 0.5, "macro_f1": pytest.approx(2 / 3)}
    assert score_interval(probabilities, targets, "single") == wilson_interval(0.5, 4)


def test_each_model_agrees_by_the_classes_that_it_could_decide_for():
    before = np.array([[0.4, 0.0, 0.6], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]])
    now = np.array([[0.9, 0.0, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    seen_before, seen = decide(before, "single", SEEN), decide(now, "single", SEEN)
    assert kappa(seen_before, seen, "single") == 1.0
    assert kappa(seen_before, decide(now, "single"), "single") < 1.0
    assert kappa(decide(before, "single"), seen, "single") < 1.0


def test_scores_by_hand():
    single = scores(np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]]), np.array([0, 1, 1]), "single")
    assert single == {"accuracy": pytest.approx(2 / 3), "macro_f1": pytest.approx(2 / 3)}
    multi = scores(np.array([[0.9, 0.6], [0.1, 0.2]]), np.array([[1, 0], [0, 0]]), "multi")
    assert multi["micro_f1"] == pytest.approx(2 / 3)
    assert multi["accuracy"] == pytest.approx(0.5)
    assert multi["mean_average_precision"] == pytest.approx(1.0)


def test_mean_average_precision_by_hand_and_over_classes_that_occur_only():
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    probabilities = np.array([[0.9, 0.3, 0.9], [0.8, 0.2, 0.1], [0.7, 0.1, 0.1], [np.nan, np.nan, np.nan]])
    # The first class is first and third, the second one is second.
    expected = ((1 / 1 + 2 / 3) / 2 + 1 / 2) / 2
    assert scores(probabilities, truth, "multi")["mean_average_precision"] == pytest.approx(expected)


def test_uncertainty_runs_from_certain_to_no_idea():
    single = uncertainty(np.array([[1.0, 0.0], [0.5, 0.5]]), "single")
    multi = uncertainty(np.array([[1.0, 0.0], [0.5, 0.5]]), "multi")
    np.testing.assert_allclose(single, [0, 1], atol=1e-4)
    np.testing.assert_allclose(multi, [0, 1], atol=1e-4)


def test_without_a_class_that_occurs_nothing_is_known_of_the_means_over_classes():
    found = scores(np.array([[0.9, 0.1], [0.2, 0.3]]), np.zeros((2, 2)), "multi")
    assert np.isnan([found["macro_f1"], found["mean_average_precision"]]).all()
    assert (found["micro_f1"], found["accuracy"]) == (0.0, 0.5)
