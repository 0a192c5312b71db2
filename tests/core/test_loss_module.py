"""The loss module: its ranking loss is the published one, and it learns which rows the classifier finds hard."""

import numpy as np
import pytest
import torch

from quadrat.core.errors import UsageError
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.loss_module import LossModule, LossTeacher, random_pairs, ranking_loss
from quadrat.core.learners.registry import fit


def uneven(count=900, width=8, seed=0):
    """Rows (N, d) whose classes are clear where the first column is 0 and a coin's toss where it is 3."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (count, width))
    hard = rng.random(count) < 0.5
    rows[:, 0] = np.where(hard, 3.0, 0.0)
    truth = np.where(hard, rng.integers(0, 2, count), rows[:, 1] > 0)
    return rows.astype(np.float32), truth.astype(np.int64), hard


def task_for(mode, labelled=400, n_classes=2):
    rows, truth, hard = uneven()
    targets = truth if mode == "single" else np.stack([truth, 1 - truth], axis=1)
    known = np.arange(labelled)
    return Task(rows, known, targets[known], n_classes, mode, losses=True), hard


def test_the_ranking_loss_is_the_equation_worked_by_hand():
    predicted = torch.tensor([1.0, 0.5, 2.0, 0.0, 0.3, 0.4])
    true = torch.tensor([3.0, 1.0, 1.0, 5.0, 2.0, 2.0])
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    # (0, 1): in order by 0.5, so 1 - 0.5. (2, 3): the wrong way round by 2, so 1 + 2. (4, 5): equal, sign 0, so 1.
    assert ranking_loss(predicted, true, pairs).item() == pytest.approx(2 / 6 * (0.5 + 3.0 + 1.0))
    assert ranking_loss(predicted, true, pairs, margin=0.2).item() == pytest.approx(2 / 6 * (0.0 + 2.2 + 0.2))


def test_the_ranking_loss_is_that_of_a_plain_loop():
    rng = np.random.default_rng(3)
    predicted, true = rng.normal(size=10), rng.integers(0, 4, 10).astype(float)
    pairs = random_pairs(10, rng)
    total = sum(max(0.0, -np.sign(true[j] - true[k]) * (predicted[j] - predicted[k]) + 1.0) for j, k in pairs)
    found = ranking_loss(torch.from_numpy(predicted), torch.from_numpy(true), pairs)
    assert found.item() == pytest.approx(2 / 10 * total)


def test_no_gradient_reaches_the_true_losses():
    predicted = torch.tensor([1.0, 2.0], requires_grad=True)
    true = torch.tensor([1.0, 0.0], requires_grad=True)
    ranking_loss(predicted, true, np.array([[0, 1]])).backward()
    assert true.grad is None
    assert predicted.grad.tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
def test_pairs_use_every_place_at_most_once_and_all_of_an_even_batch(count):
    pairs = random_pairs(count, np.random.default_rng(0))
    assert pairs.shape == (count // 2, 2)
    assert len(set(pairs.ravel().tolist())) == pairs.size


def test_a_batch_of_one_costs_nothing():
    assert ranking_loss(torch.zeros(1), torch.zeros(1), random_pairs(1, np.random.default_rng(0))).item() == 0.0


def test_the_seed_alone_decides_the_first_weights():
    torch.manual_seed(1)
    one = LossModule((6, 4), seed=5)
    torch.manual_seed(2)
    same, other = LossModule((6, 4), seed=5), LossModule((6, 4), seed=6)
    features = (torch.ones(3, 6), torch.ones(3, 4))
    assert torch.equal(one(features), same(features))
    assert not torch.equal(one(features), other(features))
    assert one(features).shape == (3,)
    with pytest.raises(UsageError):
        LossModule(())


def test_features_learn_from_the_module_only_before_sixty_percent_of_the_epochs():
    features = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    losses = torch.arange(8, dtype=torch.float64)
    teacher = LossTeacher((4,), seed=0)
    teacher.share([features], losses, 0.59).backward()
    assert features.grad.abs().sum() > 0
    features.grad = None
    teacher.step()
    teacher.share([features], losses, 0.6).backward()
    assert features.grad is None
    assert all(parameter.grad is not None for parameter in teacher.module.parameters())


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("learner", ["linear", "hidden", "semi_supervised"])
def test_a_head_expects_larger_losses_where_labels_are_a_coins_toss(learner, mode):
    task, hard = task_for(mode)
    losses = fit(learner, task, Run(seed=1)).losses
    assert losses.shape == (900,)
    assert losses.dtype == np.float32
    easy = ~hard
    won = (losses[400:][hard[400:]][:, None] > losses[400:][easy[400:]]).mean()
    assert won > 0.8


def test_losses_are_learnt_only_when_asked_for_and_do_not_change_a_linear_head():
    task, _ = task_for("single")
    asked = fit("linear", task, Run())
    silent = fit("linear", Task(task.embeddings, task.labelled, task.targets, 2, "single"), Run())
    assert silent.losses is None
    assert asked.head.predict(task.embeddings).tobytes() == silent.head.predict(task.embeddings).tobytes()


def test_losses_of_rows_that_are_not_finite_are_unknown():
    task, _ = task_for("single")
    task.embeddings[850, 2] = np.nan
    losses = fit("hidden", task, Run(), {"epochs": 5}).losses
    assert np.flatnonzero(np.isnan(losses)).tolist() == [850]


@pytest.mark.parametrize("learner", ["linear", "hidden"])
def test_losses_do_not_depend_on_the_number_of_threads(learner):
    task, _ = task_for("multi", labelled=61)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(fit(learner, task, Run(seed=2), {"epochs": 30}).losses)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
