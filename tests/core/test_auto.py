"""The learner that suits the imagery, chosen by labels that were held out."""

from dataclasses import replace

import numpy as np
import pytest

from quadrat.core.errors import LearningError
from quadrat.core.kernels import probabilities_of
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.registry import fit
from quadrat.core.monitor import Monitor


def archive(alike, mode="single", labelled=60, seed=0):
    """A task of 900 tiles and its truth.

    Where tiles that look alike are alike, each of three classes is a cloud among (900, 100) numbers, too many for a
    few labels. Otherwise tiles lie evenly among (900, 8), and how large the first number is decides.
    """
    rng = np.random.default_rng(seed)
    if alike:
        truth = rng.integers(0, 3, 900)
        rows = rng.normal(0, 0.35, (3, 100))[truth] + rng.normal(0, 1, (900, 100))
    else:
        rows = rng.normal(0, 1, (900, 8))
        truth = np.digitize(rows[:, 0], [-0.43, 0.43])
    targets = truth if mode == "single" else np.stack([truth == 0, truth != 2], axis=1).astype(np.int64)
    known = np.arange(labelled)
    classes = 3 if mode == "single" else 2
    return Task(rows.astype(np.float32), known, targets[known], classes, mode, np.arange(labelled, 900)), targets


def fit_and_listen(task, seed=0):
    said = []
    fitted = fit("auto", task, Run(seed, monitor=Monitor(remark=lambda _level, message: said.append(message))))
    return fitted.head, said


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize(("alike", "suited"), [(True, "semi_supervised"), (False, "linear")])
def test_it_learns_as_the_one_that_suits_the_archive(mode, alike, suited):
    task, _ = archive(alike, mode)
    head, said = fit_and_listen(task)
    assert len(said) == 1
    assert said[0].startswith(f"{suited} learns")
    expected = fit(suited, task, Run()).head
    np.testing.assert_allclose(head.logits(task.embeddings), expected.logits(task.embeddings), atol=1e-5)


def test_its_probabilities_are_the_chosen_ones_made_honest():
    """A third of the labels is wrong, so nobody may be sure of anything."""
    task, truth = archive(True, labelled=300)
    wrong = np.random.default_rng(1).random(300) < 0.33
    task = replace(task, targets=np.where(wrong, (task.targets + 1) % 3, task.targets))
    head, said = fit_and_listen(task)
    logits, probabilities = head.logits(task.embeddings), head.predict(task.embeddings)
    np.testing.assert_allclose(probabilities, probabilities_of(logits / head.temperature, "single"), atol=1e-5)
    plain = fit(said[0].split()[0], task, Run()).head.predict(task.embeddings)
    asked = np.where(np.random.default_rng(2).random(900) < 0.33, (truth + 1) % 3, truth)[300:]
    loss, of_plain = (-np.log(p[300:][np.arange(600), asked]).mean() for p in (probabilities, plain))
    assert loss < of_plain


@pytest.mark.parametrize(("labelled", "few"), [(13, True), (24, False)])
def test_with_few_labels_a_class_the_other_learner_has_to_be_clearly_better(labelled, few):
    """Tiles that are half clouds, half noise: with few labels a lead within its error is chance."""
    leads = []
    for seed in range(8):
        task, _ = archive(True, labelled=labelled, seed=seed)
        half = task.embeddings + np.random.default_rng(seed).normal(0, 2.0, task.embeddings.shape).astype(np.float32)
        _, said = fit_and_listen(replace(task, embeddings=half))
        lead, error = (float(part) for part in said[0].rstrip(".").rpartition(" of ")[2].split(" ± "))
        assert said[0].startswith("semi_supervised" if lead > few * error else "linear")
        leads.append(lead / error)
    assert any(0.0 < lead < 1.0 for lead in leads)


def test_with_too_few_labels_to_choose_by_it_is_the_linear_one():
    task, _ = archive(True, labelled=9)
    head, said = fit_and_listen(task)
    assert said == []
    expected = fit("linear", task, Run()).head
    np.testing.assert_allclose(head.predict(task.embeddings), expected.predict(task.embeddings), atol=1e-6)


def test_the_same_seed_gives_the_same_learner():
    task, _ = archive(True)
    once, again = (fit_and_listen(task, seed=3)[0].predict(task.embeddings) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_one_class_alone_is_refused_as_by_the_others():
    task, _ = archive(True)
    with pytest.raises(LearningError):
        fit("auto", replace(task, targets=np.zeros(60, np.int64)), Run())
