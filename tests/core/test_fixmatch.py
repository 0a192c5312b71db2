"""FixMatch: it learns from what it is sure of, aligned to the shares of the classes, and from nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from quadrat.core.errors import Cancelled, LearningError
from quadrat.core.learners.base import Run
from quadrat.core.learners.fixmatch import (
    AveragedWeights,
    ConfidentGuesses,
    aligned,
    class_shares,
    endless,
    unlabelled_loss,
)
from quadrat.core.learners.networks import Design, TileNetwork
from quadrat.core.learners.registry import LEARNERS, fit

from .tile_scene import accuracy, predicted, stop_after, task_of

QUICK = {"steps": 2, "batch_size": 4, "unlabelled_ratio": 2}


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_it_learns_from_few_labels_and_many_other_tiles(mode):
    task, truth = task_of(mode, labelled=12, losses=mode == "multi")
    fitted = fit("fixmatch", task, Run(), {"steps": 24, "batch_size": 8, "unlabelled_ratio": 2})
    assert accuracy(fitted, task, truth) > 0.7  # chance: a third, or in multi mode a half
    assert fitted.features.shape == (48, 512)
    if mode == "multi":
        assert np.isfinite(fitted.losses).all()


def test_the_seed_alone_decides_and_torchs_own_generator_is_left_alone():
    task, _ = task_of(labelled=6, count=12)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (fit("fixmatch", task, Run(seed), QUICK) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.features.tobytes() == same.features.tobytes()
    assert one.features.tobytes() != other.features.tobytes()


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("align", ["labels", "uniform", "none"])
def test_without_unlabelled_tiles_it_learns_from_the_labels(mode, align):
    task, _ = task_of(mode, labelled=6, count=8)
    task = replace(task, unlabelled=np.empty(0, np.int64))
    assert np.isfinite(predicted(fit("fixmatch", task, Run(), {**QUICK, "steps": 1, "align": align}))).all()


def test_fewer_tiles_than_a_batch_will_do():
    task, _ = task_of(labelled=3, count=5)
    assert np.isfinite(predicted(fit("fixmatch", task, Run(), {"steps": 1}))).all()


def test_a_warm_start_goes_on_from_the_state():
    task, _ = task_of(labelled=6, count=12)
    still = {**QUICK, "steps": 1, "lr": 1e-9, "weight_decay": 0.0}
    first = fit("fixmatch", task, Run(), still)
    warm = fit("fixmatch", task, Run(seed=1, start=first.state), still)
    kept = "network.layer4.1.conv2.weight"
    torch.testing.assert_close(warm.state[kept], first.state[kept], atol=1e-6, rtol=0)
    cold = fit("fixmatch", task, Run(seed=1, start=first.state), {**still, "start": "cold"})
    assert not torch.allclose(cold.state[kept], first.state[kept], atol=1e-6)


def test_training_stops_between_steps():
    task, _ = task_of(labelled=6, count=12)
    monitor, told = stop_after(4)
    with pytest.raises(Cancelled):
        fit("fixmatch", task, Run(monitor=monitor), {**QUICK, "steps": 100})
    assert len(told) == 4


def test_one_class_alone_is_refused():
    task, _ = task_of()
    with pytest.raises(LearningError, match="Only one class"):
        fit("fixmatch", replace(task, targets=np.zeros_like(task.targets)), Run())


def test_it_is_registered_as_looking_at_unlabelled_tiles_and_pixels():
    learner = LEARNERS.find("fixmatch")
    assert learner.needs_pixels
    assert learner.uses_unlabelled
    assert learner.modes == ("single", "multi")


def probabilities(count, classes, seed):
    said = np.random.default_rng(seed).dirichlet(np.ones(classes) / 2, count)
    return torch.from_numpy(said)


@given(st.integers(1, 20), st.integers(2, 6), st.integers(0, 99))
def test_alignment_multiplies_by_wanted_over_usual_shares(count, classes, seed):
    said = probabilities(count, classes, seed)
    wanted, usual = probabilities(2, classes, seed + 1).clamp_min(0.01)
    raw = said.numpy() * wanted.numpy() / usual.numpy()
    np.testing.assert_allclose(aligned(said, wanted, usual, "single"), raw / raw.sum(axis=1, keepdims=True), atol=1e-9)
    several = aligned(said, wanted, usual, "multi").numpy()
    for index in range(classes):
        pair = torch.stack([said[:, index], 1 - said[:, index]], dim=1)
        shares = [torch.stack([share[index], 1 - share[index]]) for share in (wanted, usual)]
        np.testing.assert_allclose(several[:, index], aligned(pair, *shares, "single")[:, 0], atol=1e-9)


def test_alignment_to_what_is_usual_changes_nothing_and_certainty_stays():
    said = probabilities(5, 3, 0)
    shares = said.mean(dim=0)
    torch.testing.assert_close(aligned(said, shares, shares, "single"), said)
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    for mode in ("single", "multi"):
        assert torch.equal(aligned(sure, torch.tensor([0.5, 0.5]).double(), sure.mean(dim=0), mode), sure)


def test_shares_of_classes_count_each_class_once_more():
    single, _ = task_of()
    single = replace(single, targets=np.array([0, 0, 0, 1]), n_classes=3)
    np.testing.assert_allclose(class_shares(single, "labels"), [4 / 7, 2 / 7, 1 / 7])
    np.testing.assert_allclose(class_shares(single, "uniform"), 1 / 3)
    multi = replace(single, mode="multi", targets=np.array([[1, 0, 1], [1, 0, 0]], np.float32))
    np.testing.assert_allclose(class_shares(multi, "labels"), [0.75, 0.25, 0.5])
    np.testing.assert_allclose(class_shares(multi, "uniform"), 0.5)


def test_only_what_is_sure_counts_and_as_much_as_its_share_of_the_batch():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [0.0, 0.0]])
    sure = torch.tensor([True, False, True])
    wanted = torch.tensor([0, 1, 1])
    expected = (functional.cross_entropy(logits[:1], wanted[:1]) + functional.cross_entropy(logits[2:], wanted[2:])) / 3
    torch.testing.assert_close(unlabelled_loss(logits, wanted, sure), expected)
    yes, known = torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]])
    torch.testing.assert_close(unlabelled_loss(logits[:1], yes, known), functional.softplus(torch.tensor(-2.0)) / 2)


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_guesses_are_the_most_probable_answers_above_the_threshold(mode):
    task, _ = task_of(mode)
    torch.manual_seed(0)
    net = TileNetwork(Design("resnet18", "", warm=False, dropout=0.5, size_px=0), 4, 3)
    tiles = torch.randn(6, 4, 32, 32)
    wanted, sure = ConfidentGuesses(task, 0.6, "none")(net, tiles)
    with torch.no_grad():
        logits = net.output(net.features(tiles))
    said = (logits.softmax(dim=1) if mode == "single" else logits.sigmoid()).numpy()
    if mode == "single":
        np.testing.assert_array_equal(wanted, said.argmax(axis=1))
        np.testing.assert_array_equal(sure, said.max(axis=1) >= 0.6)
    else:
        np.testing.assert_array_equal(wanted, said > 0.5)
        np.testing.assert_array_equal(sure, (said >= 0.6) | (said <= 0.4))


def test_alignment_pulls_guesses_towards_the_classes_that_are_named_too_rarely():
    task, _ = task_of()
    torch.manual_seed(0)
    net = TileNetwork(Design("resnet18", "", warm=False, dropout=0.0, size_px=0), 4, 3)
    net.output.bias.data = torch.tensor([3.0, 0.0, 0.0])
    tiles = torch.randn(30, 4, 32, 32)
    alone, _ = ConfidentGuesses(task, 0.5, "none")(net, tiles)
    together, _ = ConfidentGuesses(task, 0.5, "uniform")(net, tiles)
    assert len(alone.unique()) == 1
    assert len(together.unique()) == 3


def test_averaged_weights_follow_the_network_quickly_at_first_and_slowly_then():
    torch.manual_seed(0)
    net = TileNetwork(Design("resnet18", "", warm=False, dropout=0.0, size_px=0), 1, 2)
    averaged = AveragedWeights(net, 0.9)
    net.output.bias.data.fill_(1.0)
    averaged.update(net)
    assert (averaged.state["output.bias"] == 1.0).all()
    averaged.steps = 1000
    net.output.bias.data.fill_(2.0)
    averaged.update(net)
    torch.testing.assert_close(averaged.state["output.bias"], torch.full((2,), 1.1))
    averaged.copy_to(net)
    torch.testing.assert_close(net.output.bias.data, torch.full((2,), 1.1))


@given(st.integers(0, 12), st.integers(1, 30), st.integers(0, 99))
def test_every_place_comes_once_before_any_comes_again(count, size, seed):
    batches = endless(count, size, np.random.default_rng(seed))
    taken = np.concatenate([next(batches) for _ in range(5)])
    assert len(taken) == (5 * size if count else 0)
    for start in range(0, len(taken) - count, max(count, 1)):
        assert sorted(taken[start : start + count].tolist()) == list(range(count))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_gpu_learns_too(mode):
    task, truth = task_of(mode, labelled=12, losses=True)
    fitted = fit("fixmatch", task, Run(device="cuda"), {"steps": 40, "batch_size": 8, "unlabelled_ratio": 2})
    assert accuracy(fitted, task, truth) > 0.8
    assert np.isfinite(fitted.losses).all()
