"""Calibration: an overconfident learner is told to be less sure, and nothing else about it changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quadrat.core.errors import Cancelled
from quadrat.core.kernels import probabilities_of
from quadrat.core.learners import calibration
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.calibration import best_temperature
from quadrat.core.learners.head import Head
from quadrat.core.learners.registry import fit
from quadrat.core.monitor import Monitor

OVERCONFIDENT = {"weight_decay": 0.0, "dropout": 0.0, "epochs": 150, "lr": 0.1}


def temperature(name, task, run, folds=5, parameters=None):
    return calibration.temperature(lambda *given: fit(name, *given, parameters), task, run, folds)


def scene(mode="single", labelled=60, seed=0):
    """A task of overlapping clusters (1500, 30), and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 1500)
    rows = (rng.normal(0, 0.5, (3, 30))[truth] + rng.normal(0, 1, (1500, 30))).astype(np.float32)
    targets = truth if mode == "single" else np.stack([truth == 0, truth != 2], axis=1).astype(np.int64)
    known = np.arange(labelled)
    n_classes = 3 if mode == "single" else 2
    return Task(rows, known, targets[known], n_classes, mode, np.arange(labelled, 1500)), targets


def likelihood(probabilities, targets, mode):
    """Mean negative log likelihood."""
    chances = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    if mode == "single":
        return -np.log(chances[np.arange(len(targets)), targets]).mean()
    return -(targets * np.log(chances) + (1 - targets) * np.log(1 - chances)).mean()


def calibration_error(probabilities, targets, mode):
    """Expected calibration error, in ten bins of what was predicted."""
    if mode == "single":
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    else:
        sure, right = np.maximum(probabilities, 1 - probabilities).ravel(), ((probabilities > 0.5) == targets).ravel()
    bins = np.minimum((sure * 10).astype(int), 9)
    return sum(abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist()))


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_an_overconfident_head_becomes_honest_and_predicts_the_same(mode):
    task, truth = scene(mode)
    head = fit("linear", task, Run(), OVERCONFIDENT).head
    found = temperature("linear", task, Run(), 4, OVERCONFIDENT)
    assert found > 1.5
    before, after = (item.predict(task.embeddings)[60:] for item in (head, replace(head, temperature=found)))
    assert likelihood(after, truth[60:], mode) < 0.7 * likelihood(before, truth[60:], mode)
    assert calibration_error(after, truth[60:], mode) < 0.5 * calibration_error(before, truth[60:], mode)
    if mode == "single":
        np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    else:
        np.testing.assert_array_equal(before > 0.5, after > 0.5)


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("wanted", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_logits_is_found_again(mode, wanted):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 4)).astype(np.float32)
    chances = probabilities_of(logits, mode)
    if mode == "single":
        targets = (chances.cumsum(axis=1) < rng.random((len(chances), 1))).sum(axis=1).clip(max=3)
    else:
        targets = (rng.random(chances.shape) < chances).astype(int)
    assert best_temperature(logits * np.float32(wanted), targets, mode) == pytest.approx(wanted, rel=0.05)


def test_a_temperature_is_the_best_of_a_grid():
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(0, 4, (300, 3)).astype(np.float32), rng.integers(0, 3, 300)
    grid = np.geomspace(0.05, 20, 400)
    eps = 1 / (300 + 2)
    soft = np.eye(3)[targets] * (1 - eps) + eps / 3

    def cost(t):
        scaled = logits.astype(np.float64) / t
        return -(soft * (scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))).sum(axis=1).mean()

    assert best_temperature(logits, targets, "single") == pytest.approx(
        grid[np.argmin([cost(t) for t in grid])], rel=0.02
    )


def test_few_labels_that_are_all_right_do_not_make_it_certain():
    """Their likelihood alone would be best at the lowest temperature there is."""
    logits = np.tile(np.array([[2.0, 0.0]], np.float32), (12, 1))
    sure = probabilities_of(logits / np.float32(best_temperature(logits, np.zeros(12, int), "single")), "single")
    assert 0.9 < sure[0, 0] < 0.99


@pytest.mark.parametrize(
    "targets",
    [[0, 1], [0] * 20, [0, 1] * 4, [0, 1, 2]],
    ids=["two labels", "one class", "fewer than ten", "a label a class"],
)
def test_too_few_labels_change_nothing(targets):
    task, _ = scene()
    few = replace(task, labelled=np.arange(len(targets)), targets=np.array(targets))
    assert temperature("linear", few, Run()) == 1.0


def test_no_labels_change_nothing():
    task, _ = scene()
    none = np.empty(0, dtype=np.int64)
    assert temperature("linear", replace(task, labelled=none, targets=none), Run()) == 1.0


def test_a_class_with_a_single_label_is_never_missing_from_training():
    task, truth = scene(labelled=40)
    rare = np.flatnonzero(truth[:40] != 2)
    single = np.append(rare, np.flatnonzero(truth == 2)[0])
    lone = replace(task, labelled=single, targets=truth[single])
    assert 0.05 < temperature("linear", lone, Run(), 5, {"epochs": 20}) < 20


@pytest.mark.parametrize("folds", [2, 5, 1000])
def test_any_number_of_folds_will_do(folds):
    task, _ = scene(labelled=24)
    assert 0.05 < temperature("linear", task, Run(), folds, {"epochs": 10}) < 20


def test_rows_that_are_not_finite_are_left_out():
    task, _ = scene()
    task.embeddings[3] = np.nan
    assert np.isfinite(temperature("linear", task, Run(), 3, {"epochs": 10}))


def test_the_same_seed_gives_the_same_temperature_on_any_number_of_threads():
    task, _ = scene("multi")
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(temperature("linear", task, Run(seed=4), 3, {"epochs": 30}))
    finally:
        torch.set_num_threads(before)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_head_keeps_its_temperature_in_its_file(tmp_path):
    task, _ = scene()
    head = replace(fit("linear", task, Run()).head, temperature=2.5)
    head.save(tmp_path / "head.safetensors")
    again = Head.load(tmp_path / "head.safetensors")
    assert again.temperature == 2.5
    assert again.predict(task.embeddings).tobytes() == head.predict(task.embeddings).tobytes()


def test_calibration_stops_when_asked():
    task, _ = scene()
    with pytest.raises(Cancelled):
        temperature("linear", task, Run(monitor=Monitor(is_cancelled=lambda: True)))
