"""Each score against its definition written as a loop over tiles and classes, and against cases worked by hand."""

from math import log, log2, prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quadrat.core.kernels import tiles_of
from quadrat.core.strategies.base import Pool, Predictions
from quadrat.core.strategies.registry import select
from quadrat.core.strategies.uncertainty import (
    disagreement,
    discrepancy,
    entropy,
    error_length,
    least_confidence,
    margin,
)

SINGLE = np.array(
    [[0.5, 0.5, 0.0], [0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.6, 0.3, 0.1], [0.34, 0.33, 0.33]], dtype=np.float32
)
MULTI = np.array([[0.5, 0.5], [1.0, 0.0], [0.6, 0.9], [0.2, 0.8], [0.5, 0.0]], dtype=np.float32)

chances = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.1, 0.9, 1e-7, 0.3333333])
several = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5)), elements=chances)


def pool_of(probabilities, mode, names=(), **more):
    count = len(probabilities)
    embeddings = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    told = Predictions(mode, probabilities, class_names=names, **more)
    return Pool(embeddings, told, np.array([0]), np.arange(1, count))


def normalised(probabilities):
    """Probabilities of which each row sums to 1."""
    return (probabilities + np.float32(1e-3)) / (probabilities + np.float32(1e-3)).sum(axis=-1, keepdims=True)


def bits(p):
    return -p * log2(p) if p > 0 else 0.0


def binary_bits(p):
    return bits(p) + bits(1 - p)


def test_single_label_margin_is_one_minus_the_lead_of_the_best_class():
    np.testing.assert_allclose(margin(SINGLE, "single"), [1.0, 0.15, 0.95, 0.7, 0.99], atol=1e-6)


def test_multi_label_margin_is_the_mean_nearness_to_one_half():
    np.testing.assert_allclose(margin(MULTI, "multi"), [1.0, 0.0, 0.5, 0.4, 0.5], atol=1e-6)


def test_the_smallest_lead_is_asked_first_and_labelled_tiles_never():
    selection = select("margin", pool_of(SINGLE, "single"), 2)
    assert selection.indices.tolist() == [4, 2]
    np.testing.assert_allclose(selection.utilities, [0.99, 0.95], atol=1e-6)


def test_ties_go_to_the_lowest_index():
    same = np.tile(np.array([[0.5, 0.0]], dtype=np.float32), (6, 1))
    assert select("margin", pool_of(same, "multi"), 3).indices.tolist() == [1, 2, 3]


def test_reasons_name_the_classes_in_doubt():
    names = ("Forest", "River", "Road")
    assert select("margin", pool_of(SINGLE, "single", names), 2).reasons == (
        "unsure: Forest 0.34 or River 0.33",
        "unsure: Forest 0.40 or River 0.35",
    )
    assert select("margin", pool_of(MULTI, "multi"), 1).reasons == ("unsure: class 0 0.60, class 1 0.90",)


def test_a_single_class_in_the_project_is_never_in_doubt():
    assert margin(np.ones((4, 1), dtype=np.float32), "single").tolist() == [0.0] * 4


@settings(max_examples=60, deadline=None)
@given(several)
def test_single_label_scores_are_what_their_definitions_say(passes):
    passes = normalised(passes).astype(np.float32)
    p = passes[0].astype(np.float64)
    by_definition = {
        least_confidence: [1 - max(row) for row in p],
        entropy: [sum(map(bits, row)) for row in p],
        error_length: [sum((q - (c == row.argmax())) ** 2 for c, q in enumerate(row)) ** 0.5 for row in p],
    }
    for score, expected in by_definition.items():
        np.testing.assert_allclose(score(passes[0], "single"), expected, atol=1e-12)
    mean = passes.astype(np.float64).mean(axis=0)
    expected = [
        sum(map(bits, mean[i])) - sum(sum(map(bits, version[i].astype(float))) for version in passes) / len(passes)
        for i in range(len(mean))
    ]
    np.testing.assert_allclose(disagreement(passes, "single"), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(several)
def test_multi_label_scores_are_what_their_definitions_say(passes):
    p = passes[0].astype(np.float64)
    by_definition = {
        least_confidence: [-log(prod(max(q, 1 - q) for q in row)) for row in p],
        margin: [sum(1 - abs(2 * q - 1) for q in row) / len(row) for row in p],
        entropy: [sum(map(binary_bits, row)) / len(row) for row in p],
        error_length: [sum((q - (q > 0.5)) ** 2 for q in row) ** 0.5 for row in p],
    }
    for score, expected in by_definition.items():
        np.testing.assert_allclose(score(passes[0], "multi"), expected, atol=1e-12)
    mean = passes.astype(np.float64).mean(axis=0)
    expected = [
        sum(map(binary_bits, mean[i]))
        - sum(sum(map(binary_bits, version[i].astype(float))) for version in passes) / len(passes)
        for i in range(len(mean))
    ]
    np.testing.assert_allclose(disagreement(passes, "multi"), expected, atol=1e-12)


def test_many_classes_in_doubt_are_still_told_apart():
    """1 minus a product of 100 halves is 1, and so would be that of 99."""
    doubtful = np.full((2, 100), 0.5, dtype=np.float32)
    doubtful[0, 0] = 1.0
    first, second = least_confidence(doubtful, "multi")
    assert second > first


def test_versions_that_contradict_each_other_disagree_by_one_bit_and_doubt_alone_by_none():
    passes = np.array([[[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]], dtype=np.float32)
    assert disagreement(passes, "single").tolist() == [1.0, 0.0]
    assert disagreement(passes, "multi").tolist() == [2.0, 0.0]


def versions_of(p):
    """A learner with two classes whose even versions give the first class p (n,), and the odd ones 1 - p."""
    p = np.asarray(p, dtype=np.float64)
    logit = np.stack([np.log(p), np.log1p(-p)], axis=1).astype(np.float32)

    def sample(rows, passes, seed, input_dropout=None):
        return np.stack([logit[rows] if turn % 2 == 0 else logit[rows][:, ::-1] for turn in range(passes)])

    return {"sample_logits": sample}


CONTRARY = versions_of([0.5, 0.6, 0.99, 0.5, 0.9, 0.7])
EVEN = np.full((6, 2), 0.5, dtype=np.float32)


def test_bald_asks_where_the_versions_contradict_each_other():
    selection = select("bald", pool_of(EVEN, "single", **CONTRARY), 3)
    assert selection.indices.tolist() == [2, 4, 5]
    np.testing.assert_allclose(selection.utilities, [1 - binary_bits(p) for p in (0.99, 0.9, 0.7)], atol=1e-6)
    assert "disagree" in selection.reasons[0]


def test_power_bald_draws_in_proportion_to_bald():
    pool = pool_of(EVEN, "single", **CONTRARY)
    bald = {2: 1 - binary_bits(0.99), 4: 1 - binary_bits(0.9), 5: 1 - binary_bits(0.7), 1: 1 - binary_bits(0.6)}
    for power in (1.0, 2.0):
        draws = [
            int(select("power_bald", pool, 1, seed=seed, parameters={"power": power}).indices[0])
            for seed in range(1500)
        ]
        total = sum(value**power for value in bald.values())
        for row, value in bald.items():
            assert draws.count(row) / len(draws) == pytest.approx(value**power / total, abs=0.04)


def test_power_bald_is_random_at_power_zero_and_bald_at_a_high_one():
    pool = pool_of(EVEN, "single", **CONTRARY)
    firsts = {int(select("power_bald", pool, 1, seed=s, parameters={"power": 0.0}).indices[0]) for s in range(60)}
    assert firsts == {1, 2, 3, 4, 5}
    assert select("power_bald", pool, 3, parameters={"power": 1000.0}).indices.tolist() == [2, 4, 5]


def test_the_highest_expected_losses_are_asked():
    losses = np.array([9.0, -1.5, 0.25, np.nan, 3.0], dtype=np.float32)
    selection = select("ll", pool_of(SINGLE, "single", losses=losses), 2)
    assert selection.indices.tolist() == [4, 2]
    assert selection.utilities.tolist() == [3.0, 0.25]
    assert selection.reasons[0].endswith("expected loss 3, on a scale of its own")


def test_the_discrepancy_is_the_length_of_the_change_in_classes_known_before():
    now = np.array([[0.1, 0.9, 0.0], [0.2, 0.3, 0.5]], dtype=np.float32)
    before = np.array([[0.4, 0.5, np.nan], [np.nan, np.nan, np.nan]], dtype=np.float32)
    np.testing.assert_allclose(discrepancy(now, before), [0.5, 0.0], atol=1e-6)


def test_tiles_about_which_the_learner_changed_its_mind_are_asked_with_what_changed():
    previous = SINGLE[[0, 1, 1, 3, 4]].copy()
    previous[3] = np.nan
    selection = select("tpd", pool_of(SINGLE, "single", ("Forest", "River", "Road"), previous=previous), 3)
    assert selection.indices.tolist() == [2, 1, 3]
    assert selection.reasons[0] == "Forest 0.90 in the round before, now 0.40"
    assert selection.reasons[2] == "nothing known of it from the round before"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("own_features", [True, False])
@pytest.mark.parametrize("mode", ["single", "multi"])
def test_mge_is_the_length_of_the_gradient_that_autograd_finds(mode, own_features, bias):
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(30, 5)).astype(np.float16)
    features = rng.normal(size=(30, 7)).astype(np.float32) if own_features else embeddings
    inputs = torch.from_numpy(features.astype(np.float64))
    layer = torch.nn.Linear(inputs.shape[1], 4, bias=bias, dtype=torch.float64)
    lengths = []
    for row in inputs:
        logits = layer(row)
        if mode == "single":
            loss = torch.nn.functional.cross_entropy(logits, logits.argmax())
        else:
            answer = (logits.sigmoid() > 0.5).double()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, answer, reduction="sum")
        gradients = torch.autograd.grad(loss, list(layer.parameters()))
        lengths.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
    scores = layer(inputs).detach()
    probabilities = (scores.softmax(dim=1) if mode == "single" else scores.sigmoid()).float().numpy()
    told = Predictions(mode, probabilities, features=(lambda rows: features[rows]) if own_features else None)
    pool = Pool(embeddings, told, np.array([0]), np.arange(1, 30))
    selection = select("mge", pool, 28, parameters={"bias": bias})
    np.testing.assert_allclose(selection.utilities, np.asarray(lengths)[selection.indices], rtol=1e-5)


@pytest.mark.parametrize("name", ["margin", "bald", "tpd", "mge"])
def test_a_large_pool_is_weighed_piece_by_piece_with_the_same_outcome(name):
    rng = np.random.default_rng(0)
    p = normalised(rng.random((500, 4))).astype(np.float32)
    passes = rng.normal(size=(10, 500, 4)).astype(np.float32)
    more = {"sample_logits": lambda rows, count, seed, input_dropout=None: passes[:, rows], "previous": p[::-1].copy()}
    pool = pool_of(p, "single", **more)
    whole = select(name, pool, 20)
    with tiles_of(1):
        pieces = select(name, pool, 20)
    assert whole.indices.tolist() == pieces.indices.tolist()
    assert whole.utilities.tolist() == pieces.utilities.tolist()
