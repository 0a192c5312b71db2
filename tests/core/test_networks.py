"""Fine-tuning: it learns from the tiles, starts where it should, predicts its own losses, and stops when asked."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from quadrat.core.architectures import STAGES, Stages, build_network, load_pretrained
from quadrat.core.errors import Cancelled, EncoderError, LearningError, UsageError
from quadrat.core.learners.augment import strong, weak
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.networks import paired_batches
from quadrat.core.learners.registry import LEARNERS, fit
from quadrat.core.monitor import Monitor

from .tile_scene import accuracy, predicted, stop_after, task_of, tiles

STILL = {"epochs": 1, "lr": 1e-9, "weight_decay": 0.0, "dropout": 0.0}


def small_task(bands=4, **changes):
    """Four labelled tiles of six."""
    pixels, truth = tiles(6, bands)
    rows = np.array([5, 0, 2, 1])
    task = Task(np.ones((6, 2), np.float16), rows, truth[rows], 3, "single", pixels=lambda wanted: pixels[wanted])
    return replace(task, **changes)


@pytest.fixture(scope="module")
def trained():
    """A task, its truth and the network that learnt it."""
    task, truth = task_of()
    return task, truth, fit("finetune", task, Run(), {"epochs": 4})


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_it_learns_from_the_tiles(mode, trained):
    task, truth = task_of(mode)
    fitted = trained[2] if mode == "single" else fit("finetune", task, Run(), {"epochs": 4})
    assert accuracy(fitted, task, truth) > 0.85
    assert (fitted.features.shape, fitted.features.dtype) == ((48, 512), np.float16)
    assert fitted.losses is None
    if mode == "single":
        np.testing.assert_allclose(predicted(fitted).sum(axis=1), 1.0, atol=1e-6)


def test_expected_losses_are_large_where_labels_are_a_matter_of_chance():
    pixels, truth = tiles(80)
    rng = np.random.default_rng(1)
    blank = rng.permutation(80)[:40]
    pixels[blank] = rng.normal(0.1, 0.03, pixels[blank].shape)
    truth[blank] = rng.integers(0, 3, 40)
    rows = rng.permutation(80)
    known = rows[:50]
    task = small_task(
        embeddings=np.ones((80, 2), np.float16),
        labelled=known,
        targets=truth[known],
        pixels=lambda wanted: pixels[wanted],
        losses=True,
    )
    losses = fit("finetune", task, Run(), {"epochs": 8, "lr": 0.005}).losses
    assert np.isfinite(losses).all()
    unseen = rows[50:]
    hard, easy = losses[np.intersect1d(unseen, blank)], losses[np.setdiff1d(unseen, blank)]
    assert (hard[:, None] > easy).mean() > 0.75


@pytest.mark.parametrize("bands", [1, 13])
def test_any_number_of_bands_will_do(bands):
    fitted = fit("finetune", small_task(bands), Run(), {"epochs": 1})
    assert fitted.state["network.conv1.weight"].shape[1] == bands
    assert np.isfinite(predicted(fitted)).all()


@pytest.mark.parametrize("network", ["densenet121", "resnet50"])
def test_the_larger_networks_and_their_loss_module(network):
    fitted = fit("finetune", small_task(losses=True), Run(), {"epochs": 1, "network": network})
    assert fitted.features.shape == (6, list(STAGES[network].values())[-1])
    assert np.isfinite(fitted.losses).all()


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_few_labels_are_enough_to_go_through_batch_normalisation(mode):
    rows = np.array([0, 1, 2]) if mode == "single" else np.array([4])
    targets = np.array([0, 1, 0]) if mode == "single" else np.array([[1, 0, 0]])
    task = small_task(labelled=rows, targets=targets, mode=mode)
    assert np.isfinite(predicted(fit("finetune", task, Run(), {"epochs": 1, "batch_size": 2}))).all()


def test_a_class_that_has_no_label_and_a_band_without_spread_do_no_harm():
    pixels, truth = tiles(6)
    pixels[:, 1] = 0.2
    task = small_task(n_classes=9, pixels=lambda rows: pixels[rows], targets=truth[[5, 0, 2, 1]])
    assert predicted(fit("finetune", task, Run(), {"epochs": 1})).shape == (6, 9)


def test_the_seed_alone_decides_and_torchs_own_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (fit("finetune", small_task(losses=True), Run(seed), {"epochs": 1}) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.features.tobytes() == same.features.tobytes()
    assert one.losses.tobytes() == same.losses.tobytes()
    assert one.features.tobytes() != other.features.tobytes()


def test_a_warm_start_goes_on_from_the_state_and_a_cold_one_does_not(trained, tmp_path):
    task, truth, first = trained
    save_file(dict(first.state), tmp_path / "state.safetensors")
    again = Run(seed=9, start=load_file(tmp_path / "state.safetensors"))
    warm = fit("finetune", task, again, STILL)
    cold = fit("finetune", task, again, {**STILL, "start": "cold"})
    for name, tensor in first.state.items():
        if name.endswith(("weight", "mean", "scale")) and "running" not in name:
            torch.testing.assert_close(warm.state[name], tensor, atol=1e-6, rtol=0)
    assert not torch.allclose(cold.state["output.weight"], first.state["output.weight"], atol=1e-3)
    assert accuracy(warm, task, truth) > accuracy(cold, task, truth)


def test_a_warm_start_survives_a_new_class_but_not_another_network():
    first = fit("finetune", small_task(), Run(), STILL)
    said = []
    run = Run(seed=1, start=first.state, monitor=Monitor(remark=lambda level, message: said.append(message)))
    more = fit("finetune", small_task(n_classes=4), run, STILL)
    kept = "network.layer4.1.conv2.weight"
    torch.testing.assert_close(more.state[kept], first.state[kept], atol=1e-6, rtol=0)
    assert more.state["output.weight"].shape[0] == 4
    anew = fit("finetune", small_task(bands=2), run, STILL)
    assert not torch.allclose(anew.state[kept], first.state[kept], atol=1e-6)
    assert [re.search("last layer starts anew|it starts anew", message)[0] for message in said] == [
        "last layer starts anew",
        "it starts anew",
    ]


def test_the_head_is_the_networks_last_layer():
    fitted = fit("finetune", small_task(), Run(), {"epochs": 1})
    weight, bias = fitted.state["output.weight"], fitted.state["output.bias"]
    logits = torch.from_numpy(fitted.features).float() @ weight.T + bias
    np.testing.assert_allclose(predicted(fitted), logits.softmax(dim=1), atol=1e-5)
    passes = fitted.head.mc_dropout(fitted.features, np.arange(6), passes=3, seed=0)
    assert not np.allclose(passes[0], passes[1])


def test_tiles_can_be_enlarged_and_are_never_too_small_for_the_network():
    pixels, _ = tiles(6)
    task = small_task(pixels=lambda rows: pixels[rows, :, :12, :12])
    for parameters in ({"network": "densenet121"}, {"size_px": 48}):
        assert np.isfinite(predicted(fit("finetune", task, Run(), {"epochs": 1, **parameters}))).all()


@pytest.mark.parametrize("calls", [1, 4])
def test_training_stops_between_batches(calls):
    monitor, told = stop_after(calls)
    with pytest.raises(Cancelled):
        fit("finetune", small_task(), Run(monitor=monitor), {"batch_size": 2})
    assert len(told) == calls


def test_progress_never_goes_back():
    told = []
    monitor = Monitor(report=lambda fraction, text: told.append(fraction))
    fit("finetune", small_task(), Run(monitor=monitor), {"epochs": 2, "batch_size": 2})
    assert told == sorted(told)
    assert len(told) >= 5


def test_labels_that_cannot_be_learnt_from_are_refused():
    empty = np.empty(0, np.int64)
    with pytest.raises(LearningError, match="No tile"):
        fit("finetune", small_task(labelled=empty, targets=empty), Run())
    with pytest.raises(LearningError, match="Only one class"):
        fit("finetune", small_task(targets=np.array([1, 1, 1, 1])), Run())
    with pytest.raises(LearningError, match="out of reach"):
        fit("finetune", Task(np.ones((6, 2)), np.arange(2), np.arange(2), 2, "single"), Run())
    with pytest.raises(UsageError, match="resnet18"):
        fit("finetune", small_task(), Run(), {"network": "resnet19"})


def test_the_papers_training_is_a_preset():
    assert LEARNERS.find("finetune:paper").defaults["network"] == "densenet121"
    assert LEARNERS.find("finetune:treesatai").defaults["lr"] == 0.01


def pretrained(folder, network="resnet18"):
    """A file of weights with a classifier, as torchvision's."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(network, weights=None).eval()
    torch.save(model.state_dict(), folder / f"{network}.pth")
    return model, folder / f"{network}.pth"


@pytest.mark.parametrize("bands", [("B04", "B03", "B02"), ("B02", "B03", "B04"), ("B03", "B04", "B02")])
def test_red_green_and_blue_get_their_own_filters_in_whatever_order_they_come(tmp_path, bands):
    model, file = pretrained(tmp_path)
    network = build_network("resnet18", 3)
    load_pretrained(network, "resnet18", 3, file, bands)
    photograph = torch.rand(2, 3, 64, 64)
    channels = dict(zip(("B04", "B03", "B02"), photograph.unbind(1), strict=True))
    ours = torch.stack([channels[band] for band in bands], dim=1)
    torch.testing.assert_close(network.conv1(ours), model.conv1(photograph))


def test_three_bands_get_the_filters_of_photographs_in_reverse(tmp_path):
    model, file = pretrained(tmp_path)
    model.fc = nn.Identity()
    network = build_network("resnet18", 3).eval()
    load_pretrained(network, "resnet18", 3, file)
    blue_to_red = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(blue_to_red), model(blue_to_red.flip(1)))


def test_other_numbers_of_bands_see_a_grey_tile_as_before(tmp_path):
    model, file = pretrained(tmp_path)
    grey = torch.rand(2, 1, 32, 32)
    for bands in (1, 6):
        network = build_network("resnet18", bands).eval()
        load_pretrained(network, "resnet18", bands, file)
        with torch.no_grad():
            torch.testing.assert_close(
                network.conv1(grey.repeat(1, bands, 1, 1)), model.conv1(grey.repeat(1, 3, 1, 1)), atol=1e-5, rtol=1e-4
            )


def test_torchvisions_old_names_of_densenet_are_understood(tmp_path):
    model, file = pretrained(tmp_path, "densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", k): v for k, v in model.state_dict().items()}
    old = {name: tensor for name, tensor in old.items() if not name.endswith("num_batches_tracked")}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, file)
    network = build_network("densenet121", 3)
    load_pretrained(network, "densenet121", 3, file)
    torch.testing.assert_close(network.features.norm5.weight, model.features.norm5.weight)


def test_training_begins_with_the_weights_of_a_file(tmp_path):
    model, file = pretrained(tmp_path)
    fitted = fit("finetune", small_task(), Run(seed=7), {**STILL, "weights": str(file)})
    torch.testing.assert_close(
        fitted.state["network.layer3.0.conv1.weight"], model.layer3[0].conv1.weight.detach(), atol=1e-6, rtol=0
    )


def test_weights_that_do_not_fit_or_are_not_there_are_refused(tmp_path):
    _, file = pretrained(tmp_path)
    with pytest.raises(EncoderError, match="does not hold the weights of a resnet50"):
        fit("finetune", small_task(), Run(), {"network": "resnet50", "weights": str(file)})
    with pytest.raises(EncoderError, match="nowhere") as refusal:
        fit("finetune", small_task(), Run(), {"weights": str(tmp_path / "nowhere.pth")})
    assert "path" in refusal.value.hint


@pytest.mark.parametrize("network", list(STAGES))
def test_stages_are_the_means_of_the_four_blocks_of_the_latest_pass(network):
    model = build_network(network, 2).eval()
    stages = Stages(model, network)
    with torch.no_grad():
        for count in (3, 2):
            model(torch.rand(count, 2, 64, 64))
    assert [tuple(matrix.shape) for matrix in stages.features] == [(2, size) for size in STAGES[network].values()]


@given(st.integers(1, 60), st.integers(2, 20), st.integers(0, 99))
def test_batches_are_even_and_hold_every_tile(count, size, seed):
    batches = paired_batches(count, size, np.random.default_rng(seed))
    assert all(len(batch) >= 2 and len(batch) % 2 == 0 and len(batch) <= size + 2 for batch in batches)
    every = np.concatenate(batches)
    assert set(every.tolist()) == set(range(count))
    assert len(every) == count + count % 2


def test_weak_views_are_the_eight_ways_in_which_a_square_can_lie():
    tile = torch.arange(18.0).reshape(1, 2, 3, 3)
    views = weak(tile.repeat(200, 1, 1, 1), np.random.default_rng(0))
    found = {tuple(view.flatten().tolist()) for view in views}
    turned = [torch.rot90(tile, quarter, (2, 3)) for quarter in range(4)]
    assert found == {tuple(way.flatten().tolist()) for view in turned for way in (view, view.flip(3))}


@given(st.integers(0, 9), st.sampled_from([1, 4, 13]), st.sampled_from([16, 33]), st.integers(0, 99))
def test_strong_views_are_other_tiles_of_the_same_kind(count, bands, size, seed):
    before = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, bands, size, size))).float()
    kept = before.clone()
    views = strong(before, np.random.default_rng(seed))
    assert torch.equal(before, kept)
    assert views.shape == before.shape
    assert torch.isfinite(views).all()
    assert all(not torch.equal(view, tile) for view, tile in zip(views, before, strict=True))
    assert torch.equal(views, strong(before, np.random.default_rng(seed)))


def test_strong_views_keep_a_bright_tile_bright():
    """Brightness and contrast change by less than the difference between a field and water."""
    flat = torch.full((300, 3, 16, 16), 2.0)
    middle = strong(flat, np.random.default_rng(0)).flatten(1).median(dim=1).values
    assert (middle > 0.8).all()
    assert (middle < 3.4).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_gpu_learns_too(mode):
    task, truth = task_of(mode, losses=True)
    before = torch.cuda.get_rng_state()
    fitted = fit("finetune", task, Run(device="cuda"), {"epochs": 8})
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert accuracy(fitted, task, truth) > 0.85
    assert np.isfinite(fitted.losses).all()
    assert all(tensor.device.type == "cpu" for tensor in fitted.state.values())
