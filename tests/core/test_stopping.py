"""When to stop: intervals that hold the truth, agreement by its definition, and advice for every kind of history."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from quadrat.core.errors import UsageError
from quadrat.core.metrics import decide
from quadrat.core.project.scores import known_interval, tiles_missing, wilson_interval
from quadrat.core.project.stopping import AHEAD, CALM, LITTLE, WINDOW, Checked, advise, checked, goal_of, set_goal
from quadrat.core.stability import STOP_SET, score_interval, stop_set
from quadrat.core.stability import kappa as kappa_of

from .scene_factory import new_project

TILES, CLASSES = 4000, 6


def multi_label_world(error, seed=0):
    """Truth and probabilities (N, C); tiles differ in how hard they are, so that errors of a tile go together."""
    rng = np.random.default_rng(seed)
    truth = rng.random((TILES, CLASSES)) < 0.3
    hard = rng.beta(0.5, 0.5 / error - 0.5, (TILES, 1))
    wrong = rng.random(truth.shape) < hard
    return truth.astype(np.float32), np.where(truth ^ wrong, 0.9, 0.1).astype(np.float32)


@pytest.mark.parametrize("error", [0.25, 0.08, 0.01])
@pytest.mark.parametrize("count", [12, 40, 250])
def test_the_interval_of_f1_holds_the_true_one_nineteen_times_in_twenty(error, count):
    truth, probabilities = multi_label_world(error)
    true_f1 = f1_score(truth, probabilities > 0.5, average="micro")
    rng = np.random.default_rng(1)
    held = []
    for _ in range(400):
        rows = rng.integers(TILES, size=count)
        low, high = score_interval(probabilities[rows], truth[rows], "multi")
        held.append(low <= true_f1 <= high)
    assert 0.88 <= np.mean(held) <= 0.995


def test_the_interval_of_f1_is_that_of_a_bootstrap_over_tiles_where_there_are_many():
    truth, probabilities = (array[:600] for array in multi_label_world(0.1))
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(1000):
        rows = rng.integers(len(truth), size=len(truth))
        wanted, found = truth[rows] > 0, probabilities[rows] > 0.5
        scores.append(2 * (wanted & found).sum() / (wanted.sum() + found.sum()))
    assert score_interval(probabilities, truth, "multi") == pytest.approx(np.percentile(scores, (2.5, 97.5)), abs=0.004)


def test_the_interval_of_an_accuracy_is_wilsons():
    probabilities = np.eye(3)[[0, 1, 2, 0, 1]]
    assert score_interval(probabilities, np.array([0, 1, 2, 1, 1]), "single") == wilson_interval(0.8, 5)


@pytest.mark.parametrize(("right", "expected"), [(1.0, (0.722, 1.0)), (0.0, (0.0, 0.278))])
def test_a_small_sample_without_spread_is_not_taken_for_the_whole(right, expected):
    truth = np.tile([1.0, 0.0], (10, 1))
    probabilities = np.abs(truth - (1 - right))
    assert score_interval(probabilities, truth, "multi") == pytest.approx(expected, abs=0.001)


def test_without_a_class_in_answers_and_predictions_nothing_is_known_of_f1():
    assert score_interval(np.zeros((5, 3)), np.zeros((5, 3)), "multi") == (0.0, 1.0)


def test_one_tile_says_little():
    low, high = score_interval(np.array([[0.9, 0.9]]), np.array([[1, 0]]), "multi")
    assert high - low > 0.6


def agreement(before, now, mode):
    """Of two models, by their probabilities."""
    return kappa_of(decide(before, mode), decide(now, mode), mode)


def kappa_by_hand(one, other):
    """Cohen 1960."""
    values = set(one) | set(other)
    observed = np.mean([a == b for a, b in zip(one, other, strict=True)])
    chance = sum(np.mean([a == v for a in one]) * np.mean([b == v for b in other]) for v in values)
    return (observed - chance) / (1 - chance)


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_agreement_is_cohens_kappa_of_the_decisions(mode):
    rng = np.random.default_rng(3)
    before = rng.random((200, 4))
    now = before + rng.normal(0, 0.2, before.shape)
    decided = [p.argmax(1) if mode == "single" else (p > 0.5).ravel() for p in (before, now)]
    assert agreement(before, now, mode) == pytest.approx(kappa_by_hand(*decided))
    assert agreement(now, now, mode) == 1.0


def test_predictions_of_one_class_only_agree():
    assert agreement(np.array([[0.9, 0.1]] * 4), np.array([[0.6, 0.4]] * 4), "single") == 1.0
    assert agreement(np.full((4, 2), 0.1), np.full((4, 2), 0.2), "multi") == 1.0


def test_predictions_that_agree_no_more_than_by_chance_have_none():
    before, now = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 0, 1]]
    assert agreement(before, now, "single") == pytest.approx(0.0)


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_class_that_is_new_since_was_not_predicted_before(mode):
    before = np.array([[0.9, np.nan], [0.6, np.nan], [0.7, np.nan], [0.8, np.nan]], np.float32)
    same, other = np.array([[0.9, 0.1]] * 4), np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    assert agreement(before, same, mode) == 1.0
    assert agreement(before, other, mode) < 1.0


def test_the_stop_set_is_the_same_each_time_and_never_too_large():
    rows = np.arange(5, 30_005)
    chosen = stop_set(rows)
    assert len(np.unique(chosen)) == STOP_SET
    assert np.isin(chosen, rows).all()
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, stop_set(rows))
    np.testing.assert_array_equal(stop_set(rows[:7]), rows[:7])


def rounds_with(scores, agreements, tiles=400, width=0.03, labels=None):
    """A history of 100 labels and 10 more in each round."""
    counts = labels or itertools.count(100, 10)
    return [
        Checked(count, tiles, score, (score - width, score + width) if score is not None else None, kappa)
        for count, score, kappa in zip(counts, scores, agreements, strict=False)
    ]


CALM_ROUNDS = [None, *[CALM] * WINDOW]
FLAT_SCORES = [0.8] * (WINDOW + 1)


def curve(slope, labels):
    """Scores on a straight line against the logarithm of the labels."""
    return [0.7 + slope * math.log(count / 100) for count in labels]


def test_calm_predictions_and_a_score_that_hardly_rises_are_a_reason_to_stop():
    advice = advise(rounds_with(FLAT_SCORES, CALM_ROUNDS))
    assert advice.stop
    assert "agreed to 0.95 or more" in advice.reason
    assert "another 4 rounds should bring about 0.0 points" in advice.reason
    assert advice.sentence.startswith("Stop: ")


@pytest.mark.parametrize(
    ("scores", "agreements", "said"),
    [
        (FLAT_SCORES[1:], CALM_ROUNDS[1:], "too little is known after 3 rounds"),
        (FLAT_SCORES, [None, *[CALM] * (WINDOW - 1), CALM - 0.01], "agreed to 0.94 only"),
        (FLAT_SCORES, [None, None, *[CALM] * (WINDOW - 1)], "too little is known after 3 rounds with this encoder"),
        ([0.70, 0.72, 0.74, 0.76], CALM_ROUNDS, "the score still rises"),
        ([None, *FLAT_SCORES[1:]], CALM_ROUNDS, "too few of these rounds have a score"),
        ([*FLAT_SCORES[1:], None], CALM_ROUNDS, "no validation tile has an answer"),
    ],
)
def test_whatever_is_missing_is_a_reason_to_go_on(scores, agreements, said):
    advice = advise(rounds_with(scores, agreements))
    assert not advice.stop
    assert said in advice.reason
    assert advice.sentence.startswith("Go on: ")


@pytest.mark.parametrize("budget", [4, 16, 64])
@pytest.mark.parametrize("slope", [0.01, 0.05])
def test_the_next_rounds_are_expected_to_follow_the_curve(budget, slope):
    labels = [100 + budget * number for number in range(12)]
    gain = curve(slope, [labels[-1] + AHEAD * budget])[0] - curve(slope, labels)[-1]
    advice = advise(rounds_with(curve(slope, labels), [None, *[1.0] * 11], labels=labels))
    assert advice.stop == (gain < LITTLE)
    assert f"about {100 * gain:.1f} points" in advice.reason


def test_the_first_half_of_the_labels_does_not_count():
    labels = [20, 40, 60, 80, 100, 120, 140, 160]
    scores = [0.1, 0.3, 0.5, 0.8, 0.8, 0.8, 0.8, 0.8]
    assert advise(rounds_with(scores, [None, *[1.0] * 7], labels=labels)).stop


def test_rounds_without_new_labels_tell_nothing():
    advice = advise(rounds_with(FLAT_SCORES, CALM_ROUNDS, labels=[50] * 4))
    assert not advice.stop


def test_without_a_round_there_is_nothing_to_say():
    assert not advise([]).stop
    assert "quadrat query --validation" in advise([]).reason


def test_a_fall_of_the_score_is_no_rise():
    assert advise(rounds_with([*FLAT_SCORES[:-1], 0.7], CALM_ROUNDS)).stop


def test_older_rounds_do_not_matter():
    before = rounds_with([0.1, 0.9, None], [0.2, None, 0.3], labels=[10, 20, 30])
    assert advise([*before, *rounds_with(FLAT_SCORES, CALM_ROUNDS)]).stop


def test_a_goal_is_reached_when_the_lower_end_of_the_interval_reaches_it():
    (reached,) = rounds_with([0.93], [None])
    assert advise([reached], 0.90).stop
    advice = advise([reached], 0.91)
    assert not advice.stop
    assert "93.0% is above the goal of 91%" in advice.reason
    assert "more validation labels would tell" in advice.reason
    assert "is not reached: the score is 93.0%" in advise([reached], 0.95).reason


def test_a_goal_that_more_labels_will_not_reach_does_not_hold_up_the_end():
    advice = advise(rounds_with(FLAT_SCORES, CALM_ROUNDS), 0.95)
    assert advice.stop
    assert "The goal of 95% is not reached: the score is 80.0%." in advice.reason


@pytest.mark.parametrize(("share", "tiles"), [(0.5, 10), (0.5, 100), (0.7, 40), (0.85, 60)])
def test_the_missing_validation_labels_narrow_the_interval_as_said(share, tiles):
    interval = wilson_interval(share, tiles)
    enough = tiles + tiles_missing(interval, tiles, 0.05)
    low, high = wilson_interval(share, enough)
    assert (high - low) / 2 == pytest.approx(0.05, abs=0.004)
    (latest,) = [Checked(10, tiles, share, interval)]
    assert f"about {-(-(enough - tiles) // 10) * 10} more validation labels" in advise([latest]).warning


def test_a_narrow_interval_needs_no_warning():
    assert advise(rounds_with([0.8], [None], width=0.049)).warning == ""
    assert tiles_missing((0.7, 0.7), 50, 0.05) == 0


def test_every_history_is_settled_or_not_by_the_rules_alone():
    values = [None, 0.0, 0.5, 1.0]
    for score, kappa, goal in itertools.product(values, values, [None, 0.5]):
        for length in range(WINDOW + 3):
            advice = advise(rounds_with([score] * length, [kappa] * length), goal)
            scored = score is not None and length > 0
            reached = scored and goal is not None and score > goal
            settled = scored and length > WINDOW and kappa == 1.0  # the score stays as it is
            assert advice.stop == (reached or settled), (score, kappa, goal, length)
            assert ("no validation tile has an answer" in advice.reason) == (not scored)


def test_a_score_of_nothing_is_a_score():
    labels = [100, 110, 120, 130]
    scores = [0.0, 0.1, 0.2, 0.3]
    gain = np.polyfit(np.log(labels), scores, 1)[0] * math.log(1 + 4 * 10 / 130)
    assert f"about {100 * gain:.1f} points" in advise(rounds_with(scores, CALM_ROUNDS, labels=labels)).reason


@pytest.mark.parametrize("tiles", [(50, 50, 50, 50), (200, 200, 200, 200), (20, 20, 200, 400)])
def test_a_score_counts_as_much_as_the_validation_tiles_it_was_measured_on(tiles):
    labels, scores = [100, 120, 140, 160], [0.60, 0.75, 0.70, 0.78]
    history = [
        Checked(*found, agreement=kappa) for *found, kappa in zip(labels, tiles, scores, CALM_ROUNDS, strict=True)
    ]
    slope = np.polyfit(np.log(labels), scores, 1, w=np.sqrt(tiles))[0]
    gain = slope * math.log(1 + AHEAD * 20 / 160)
    assert f"about {100 * gain:.1f} points" in advise(history).reason


def test_numbers_of_labels_that_nobody_will_give_are_no_advice():
    close = Checked(500, 200, 0.9001, wilson_interval(0.9001, 200))
    assert advise([close], 0.9).reason.endswith(
        "The score of 90.0% is too close to the goal of 90% to tell if it is reached."
    )
    vague = Checked(500, 100, 0.5, (0.1, 0.9))
    assert "over 2,000 more validation labels would bring it to ±5 points" in advise([vague]).warning


def test_rounds_of_earlier_versions_have_an_interval_if_the_score_is_a_share_of_tiles():
    old = {"labels": 30, "validation_labels": 50, "accuracy": 0.8, "micro_f1": 0.9}
    assert checked(old, "single").interval == wilson_interval(0.8, 50)
    assert checked(old, "multi") == Checked(30, 50, 0.9, None, None)
    assert known_interval({**old, "interval_low": 0.1, "interval_high": 0.2}, "multi") == (0.1, 0.2)
    assert checked({"labels": 30, "validation_labels": 0}, "single") == Checked(30, 0)


def test_a_goal_is_kept_with_the_project_and_must_be_possible(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        assert goal_of(project) is None
        set_goal(project, 0.9)
        assert goal_of(project) == 0.9
        set_goal(project, None)
        assert goal_of(project) is None
        for impossible in (0.0, 1.0, 90.0, float("nan")):
            with pytest.raises(UsageError):
                set_goal(project, impossible)
