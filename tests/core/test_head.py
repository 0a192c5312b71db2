"""The head: it learns, says clearly what it cannot learn from, and repeats itself to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from quadrat.core.errors import Cancelled, LearningError, UsageError
from quadrat.core.kernels import column_moments, probabilities_of
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.head import Head
from quadrat.core.learners.registry import fit
from quadrat.core.learners.training import HeadConfig, PseudoLabels, fit_head
from quadrat.core.monitor import Monitor

QUICK = HeadConfig(epochs=20)


def scene(count=600, width=20, n_classes=4, seed=0):
    """Embeddings (N, d) float16 in overlapping clusters, with very different columns, and their classes (N,)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, count)
    rows = rng.normal(0, 1.5, (n_classes, width))[truth] + rng.normal(0, 1, (count, width))
    rows = rows * np.geomspace(0.01, 30, width) + np.linspace(-5, 50, width)
    return rows.astype(np.float16), truth


def several(truth, n_classes=4):
    """A multi-label truth (N, C): the class itself and, for even ones, the next one too."""
    targets = np.eye(n_classes, dtype=np.float32)[truth]
    targets[truth % 2 == 0] += np.eye(n_classes, dtype=np.float32)[(truth[truth % 2 == 0] + 1) % n_classes]
    return targets


@pytest.mark.parametrize("config", [HeadConfig(), HeadConfig(hidden=32), HeadConfig(batch_size=16, optimizer="sgd")])
def test_it_learns_single_labels(config):
    rows, truth = scene()
    head = fit_head(rows, np.arange(120), truth[:120], 4, "single", config)
    predicted = head.predict(rows)
    assert (predicted[120:].argmax(axis=1) == truth[120:]).mean() > 0.95
    np.testing.assert_allclose(predicted.sum(axis=1), 1.0, atol=1e-6)


def test_it_learns_any_number_of_labels():
    rows, truth = scene()
    targets = several(truth)
    head = fit_head(rows, np.arange(120), targets[:120], 4, "multi")
    assert ((head.predict(rows)[120:] > 0.5) == targets[120:]).mean() > 0.95


def test_a_class_that_is_rare_among_the_labels_is_rare_among_predictions():
    """Without a start from the log-odds, 20 epochs are far too few to bring a probability down to 1 in 100."""
    rows = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    targets = np.zeros((400, 3), dtype=np.float32)
    targets[:, 2] = 1.0
    predicted = fit_head(rows, np.arange(200), targets[:200], 3, "multi", QUICK).predict(rows)
    assert (predicted[:, :2] < 0.1).mean() > 0.95
    assert (predicted[:, 2] > 0.9).mean() > 0.95


def test_saying_everything_ten_times_over_teaches_nothing_new():
    """The penalty grows with the width: without that, ten copies of each column would be held back ten times less."""
    rows, truth = scene()
    config = HeadConfig(dropout=0.0, epochs=600, lr=0.01, weight_decay=1.0, init_std=0.0)
    once, often = (
        fit_head(embeddings, np.arange(60), truth[:60], 4, "single", config).predict(embeddings)
        for embeddings in (rows, np.tile(rows, 10))
    )
    np.testing.assert_allclose(often, once, atol=0.02)


def test_the_papers_training_learns_too():
    rows, truth = scene()
    mean, spread = column_moments(rows)
    scaled = (rows - mean) / spread
    head = fit_head(scaled, np.arange(120), truth[:120], 4, "single", HeadConfig.paper())
    assert (head.predict(scaled)[120:].argmax(axis=1) == truth[120:]).mean() > 0.95
    assert head.mean.abs().max() == 0.0
    assert (head.scale == 1.0).all()


def test_multi_label_needs_no_second_class_and_no_label_at_all():
    rows, _ = scene(50)
    head = fit_head(rows, np.arange(10), np.zeros((10, 3), np.float32), 3, "multi", QUICK)
    assert (head.predict(rows) < 0.5).all()


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("hidden", [None, 16])
def test_dropout_in_one_product_equals_a_loop_over_masked_heads(mode, hidden):
    rows, truth = scene(200)
    targets = truth if mode == "single" else several(truth)
    config = HeadConfig(hidden=hidden, dropout=0.4, epochs=20)
    head = fit_head(rows, np.arange(60), targets[:60], 4, mode, config)
    asked = np.array([3, 150, 77, 3])
    logits = head.mc_dropout(rows, asked, passes=5, seed=9)

    features = (torch.from_numpy(rows[asked]).double() - head.mean.double()) * head.scale.double()
    if hidden:
        layer = nn.Linear(20, hidden).double()
        layer.load_state_dict({"weight": head.hidden_weight, "bias": head.hidden_bias})
        features = layer(features).relu()
    output = nn.Linear(features.shape[1], 4).double()
    output.load_state_dict({"weight": head.output_weight, "bias": head.output_bias})
    masks = head.dropout_masks(5, 9)
    assert set(masks.unique().tolist()) == {0.0, 1.0 / 0.6}
    expected = torch.stack([output(features * mask) for mask in masks]).detach().numpy()
    assert logits.shape == (5, 4, 4)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [None, 16])
def test_dropping_input_in_one_product_equals_a_loop_over_masked_inputs(hidden):
    rows, truth = scene(200)
    head = fit_head(rows, np.arange(60), truth[:60], 4, "single", HeadConfig(hidden=hidden, dropout=0.4, epochs=20))
    asked = np.array([3, 150, 77, 3])
    logits = head.mc_dropout(rows, asked, passes=5, seed=9, input_dropout=0.75)

    standardised = (torch.from_numpy(rows[asked]).double() - head.mean.double()) * head.scale.double()
    masks = head.dropout_masks(5, 9, input_dropout=0.75)
    assert masks.shape == (5, 20)
    assert set(masks.unique().tolist()) == {0.0, 4.0}
    expected = []
    for mask in masks:
        features = standardised * mask
        if hidden:
            features = (features @ head.hidden_weight.double().T + head.hidden_bias.double()).relu()
        expected.append(features @ head.output_weight.double().T + head.output_bias.double())
    np.testing.assert_allclose(logits, torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [None, 16])
def test_dropping_none_of_the_input_is_the_head_itself(hidden):
    rows, truth = scene(200)
    head = fit_head(rows, np.arange(60), truth[:60], 4, "single", HeadConfig(hidden=hidden, dropout=0.4, epochs=20))
    asked = np.arange(50)
    for logits in head.mc_dropout(rows, asked, passes=2, seed=0, input_dropout=0.0):
        np.testing.assert_allclose(logits, head.logits(rows, asked), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_share_of_the_input_that_cannot_be_dropped_is_refused(share):
    rows, truth = scene(60)
    head = fit_head(rows, np.arange(60), truth, 4, "single", QUICK)
    with pytest.raises(UsageError):
        head.mc_dropout(rows, np.arange(3), 2, 0, share)


@pytest.mark.parametrize("hidden", [None, 16])
def test_features_are_what_the_last_layer_sees(hidden):
    rows, truth = scene(200)
    rows[7] = np.nan
    head = fit_head(rows, np.arange(60), truth[:60], 4, "single", HeadConfig(hidden=hidden, epochs=20))
    asked = np.array([199, 0, 30])
    features = head.features(rows, asked)
    assert features.shape == (3, hidden or 20)
    assert features.dtype == np.float32
    logits = features.astype(np.float64) @ head.output_weight.double().numpy().T + head.output_bias.double().numpy()
    np.testing.assert_allclose(logits, head.logits(rows, asked), rtol=1e-4, atol=1e-4)
    assert np.flatnonzero(np.isnan(head.features(rows)).all(axis=1)).tolist() == [7]


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_temperature_divides_the_logits_of_predictions_and_of_nothing_else(mode):
    rows, truth = scene(200)
    targets = truth if mode == "single" else several(truth)
    head = fit_head(rows, np.arange(60), targets[:60], 4, mode, QUICK)
    cooler = replace(head, temperature=3.0)
    np.testing.assert_allclose(cooler.predict(rows), probabilities_of(head.logits(rows) / 3.0, mode), atol=1e-6)
    asked = np.arange(9)
    assert cooler.mc_dropout(rows, asked, 2, 0).tobytes() == head.mc_dropout(rows, asked, 2, 0).tobytes()
    assert cooler.logits(rows).tobytes() == head.logits(rows).tobytes()


def test_pseudo_labels_are_learnt_in_proportion_to_their_weight():
    rows, truth = scene()
    lies = (truth + 1) % 4
    guessed = np.arange(120, 600)

    def right(targets, weights):
        guesses = PseudoLabels(guessed, np.eye(4)[targets[guessed]], weights, share=1.0, batch_size=100)
        head = fit_head(rows, np.arange(8), truth[:8], 4, "single", guesses=guesses)
        return (head.predict(rows, guessed).argmax(axis=1) == truth[guessed]).mean()

    assert right(truth, np.ones(480)) > 0.95
    assert right(lies, np.ones(480)) < 0.5
    assert right(lies, np.zeros(480)) > 0.9


def test_dropout_passes_are_the_same_for_a_part_of_the_rows():
    rows, truth = scene(200)
    head = fit_head(rows, np.arange(60), truth[:60], 4, "single", QUICK)
    whole = head.mc_dropout(rows, np.arange(200), passes=3, seed=1)
    np.testing.assert_array_equal(whole[:, 50:70], head.mc_dropout(rows, np.arange(50, 70), passes=3, seed=1))
    assert not np.array_equal(whole, head.mc_dropout(rows, np.arange(200), passes=3, seed=2))


def test_dropout_passes_average_to_the_prediction():
    rows, truth = scene(100)
    head = fit_head(rows, np.arange(60), truth[:60], 4, "single", QUICK)
    mean = torch.from_numpy(head.mc_dropout(rows, np.arange(100), passes=4000, seed=0)).mean(dim=0).softmax(dim=-1)
    np.testing.assert_allclose(mean, head.predict(rows), atol=0.05)


def test_the_seed_alone_decides_and_not_the_number_of_threads():
    rows, truth = scene()
    before = torch.get_num_threads()
    heads = []
    try:
        for threads, seed in ((1, 5), (2, 5), (1, 6)):
            torch.set_num_threads(threads)
            heads.append(fit_head(rows, np.arange(90), truth[:90], 4, "single", QUICK, seed=seed).predict(rows))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(heads[0], heads[1], atol=1e-6)
    assert not np.allclose(heads[0], heads[2], atol=1e-6)


@pytest.mark.parametrize("hidden", [None, 8])
def test_a_saved_head_predicts_the_same_to_the_last_bit(tmp_path, hidden):
    rows, truth = scene(100)
    config = HeadConfig(hidden=hidden, epochs=5)
    head = fit_head(rows, np.arange(40), truth[:40], 4, "single", config)
    head.save(tmp_path / "head.safetensors")
    again = Head.load(tmp_path / "head.safetensors")
    assert again.predict(rows).tobytes() == head.predict(rows).tobytes()
    asked = np.arange(100)
    assert again.mc_dropout(rows, asked, 3, 0).tobytes() == head.mc_dropout(rows, asked, 3, 0).tobytes()
    assert (again.mode, again.n_classes, again.width) == ("single", 4, 20)
    assert [file.name for file in tmp_path.iterdir()] == ["head.safetensors"]


@pytest.mark.parametrize("content", [None, b"", b"not a head", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_that_is_no_head_is_refused(tmp_path, content):
    path = tmp_path / "head.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LearningError) as refusal:
        Head.load(path)
    assert "train" in refusal.value.hint.lower()


def test_moments_that_are_known_change_nothing():
    rows, truth = scene(200)
    arguments = (rows, np.arange(60), truth[:60], 4, "single", QUICK)
    known = fit_head(*arguments, moments=column_moments(rows))
    assert known.predict(rows).tobytes() == fit_head(*arguments).predict(rows).tobytes()


def test_columns_without_spread_count_for_nothing():
    rows, truth = scene(200)
    flat = np.concatenate([rows, np.full((200, 2), 7, np.float16)], axis=1)
    head = fit_head(flat, np.arange(60), truth[:60], 4, "single", QUICK)
    flat[:, -2:] = 1000.0
    again = head.predict(flat)
    flat[:, -2:] = 7.0
    np.testing.assert_array_equal(again, head.predict(flat))


def test_rows_that_are_not_finite_are_left_out_of_training_and_predicted_as_nan():
    rows, truth = scene(200)
    rows[5, 3], rows[150, 0], rows[160, 1] = np.nan, np.inf, -np.inf
    said = []
    monitor = Monitor(remark=lambda level, message: said.append((level, message)))
    head = fit_head(rows, np.arange(60), truth[:60], 4, "single", QUICK, monitor=monitor)
    assert [level for level, _ in said] == ["warning"]
    assert said[0][1].startswith("1 labelled")
    unknown = np.isnan(head.predict(rows)).all(axis=1)
    assert np.flatnonzero(unknown).tolist() == [5, 150, 160]
    assert np.isnan(head.mc_dropout(rows, np.array([5]), 2, 0)).all()
    assert head.predict(rows, np.array([1, 5])).shape == (2, 4)


@pytest.mark.parametrize(
    ("labelled", "targets", "mode", "says"),
    [
        ([], [], "single", "No tile"),
        ([0, 1], [2, 2], "single", "Only one class"),
        ([0, 1], [0, 3], "single", "3 is no label"),
        ([0, 1], [0, -1], "single", "-1 is no label"),
        ([0, 100], [0, 1], "single", "100"),
        ([-1, 3], [0, 1], "single", "-1"),
        ([0, 1], [0, 1, 2], "single", "shape"),
        ([0, 1], [0, 1], "multi", "shape"),
        ([0], [[0, 1, 2]], "multi", "2 is no label"),
        ([0], [[0.5, 1, 0]], "multi", "0.5 is no label"),
        ([99], [[0, 1, 0]], "multi", "usable embedding"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused_in_words(labelled, targets, mode, says):
    rows, _ = scene(100)
    rows[99] = np.nan
    with pytest.raises(LearningError) as refusal:
        fit_head(rows, np.array(labelled, np.int64), np.array(targets), 3, mode)
    assert says in refusal.value.message
    assert refusal.value.hint


def test_embeddings_of_another_encoder_are_refused():
    rows, truth = scene(100)
    head = fit_head(rows, np.arange(40), truth[:40], 4, "single", QUICK)
    with pytest.raises(LearningError, match="20 numbers"):
        head.predict(rows[:, :10])


@pytest.mark.parametrize("learner", ["linear", "hidden"])
def test_a_warm_start_goes_on_from_the_round_before(learner):
    rows, truth = scene()
    warm, short = {"warm": True, "dropout": 0.0}, {"epochs": 2}
    first = fit(learner, Task(rows, np.arange(60), truth[:60], 4, "single"), Run(), warm)
    more = Task(rows, np.arange(90), truth[:90], 4, "single")

    def right(start, parameters):
        head = fit(learner, more, Run(seed=1, start=start), parameters).head
        return (head.predict(rows)[90:].argmax(axis=1) == truth[90:]).mean()

    assert right(first.state, {**warm, **short}) > right(None, {**warm, **short}) + 0.02
    # A cold start has no part of what was learnt before, and keeps nothing.
    assert right(first.state, {"dropout": 0.0, **short}) == right(None, {"dropout": 0.0, **short})
    assert not fit(learner, more, Run(), short).state


def test_a_warm_start_without_any_training_is_the_round_before():
    rows, truth = scene()
    task = Task(rows, np.arange(60), truth[:60], 4, "single", moments=column_moments(rows))
    first = fit("linear", task, Run(), {"warm": True})
    still = fit("linear", task, Run(start=first.state), {"warm": True, "epochs": 1, "lr": 1e-9})
    np.testing.assert_allclose(still.head.predict(rows), first.head.predict(rows), atol=1e-5)


def test_a_warm_start_of_another_shape_is_a_cold_one_and_said():
    rows, truth = scene()
    four = fit("linear", Task(rows, np.arange(60), truth[:60], 4, "single"), Run(), {"warm": True})
    said = []
    monitor = Monitor(remark=lambda level, text: said.append(text))
    five = Task(rows, np.arange(60), truth[:60], 5, "single")
    begun = fit("linear", five, Run(start=four.state, monitor=monitor), {"warm": True})
    assert "starts anew" in said[0]
    assert begun.head.predict(rows).tobytes() == fit("linear", five, Run()).head.predict(rows).tobytes()


def test_a_learner_counts_the_numbers_that_it_learns():
    rows, truth = scene()
    task = Task(rows, np.arange(60), truth[:60], 4, "single")
    assert fit("linear", task, Run(), {"epochs": 1}).trained == 20 * 4 + 4
    assert fit("hidden", task, Run(), {"epochs": 1, "hidden": 8}).trained == 20 * 8 + 8 + 8 * 4 + 4
    with_losses = fit("linear", replace(task, losses=True), Run(), {"epochs": 1})
    assert with_losses.trained == 20 * 4 + 4 + 20 * 128 + 128 + 128 + 1


def test_settings_that_make_no_sense_are_named():
    with pytest.raises(UsageError) as refusal:
        HeadConfig(dropout=1.0, epochs=0)
    assert "dropout" in refusal.value.hint
    assert "epochs" in refusal.value.hint


def test_training_stops_when_asked():
    rows, truth = scene(100)
    with pytest.raises(Cancelled):
        fit_head(rows, np.arange(40), truth[:40], 4, "single", monitor=Monitor(is_cancelled=lambda: True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_head():
    rows, truth = scene()
    arguments = (rows, np.arange(90), truth[:90], 4, "single", HeadConfig(hidden=16))
    here, there = fit_head(*arguments), fit_head(*arguments, device="cuda")
    np.testing.assert_allclose(here.predict(rows), there.predict(rows), atol=1e-5)
    np.testing.assert_allclose(
        here.mc_dropout(rows, np.arange(600), 4, 0), there.mc_dropout(rows, np.arange(600), 4, 0), atol=1e-4
    )
