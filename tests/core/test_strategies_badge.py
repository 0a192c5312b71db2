"""BADGE against gradient embeddings that are really made, and against cases worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.strategies.base import Pool, Predictions
from quadrat.core.strategies.gradients import errors
from quadrat.core.strategies.registry import select

from . import brute_force

MODES = ("single", "multi")


def learnt_pool(mode, count=300, width=16, n_classes=5, seed=0, levels=None):
    """Rows with a random linear learner; few different rows with ``levels``."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (count, width)) if levels is None else rng.integers(0, levels, (count, width))
    scores = torch.from_numpy(rows @ rng.normal(0, 0.7, (width, n_classes)))
    probabilities = scores.softmax(dim=1) if mode == "single" else scores.sigmoid()
    predictions = Predictions(mode, probabilities.float().numpy())
    return Pool(rows.astype(np.float16), predictions, np.arange(10), np.arange(10, count, 2))


def reference(pool, features, budget, seed):
    """BADGE as published: make all gradient embeddings, take the longest, go on with D2 sampling, then the longest."""
    p = pool.predictions.probabilities
    if pool.predictions.mode == "single":
        pseudo = np.eye(p.shape[1], dtype=np.float32)[p.argmax(axis=1)]
    else:
        pseudo = (p > 0.5).astype(np.float32)
    gradients = brute_force.outer(features, p - pseudo)
    lengths = (gradients[pool.eligible] ** 2).sum(axis=1).astype(np.float32)
    rng = np.random.default_rng(seed)
    picks, _ = brute_force.d2_sampling(gradients, pool.eligible, budget, rng, first=int(np.argmax(lengths)))
    rest = pool.eligible[np.argsort(-lengths, kind="stable")]
    return [*picks.tolist(), *rest[~np.isin(rest, picks)].tolist()][:budget]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n_classes", [1, 2, 5])
def test_badge_picks_what_it_would_pick_from_the_gradients_themselves(mode, n_classes):
    pool = learnt_pool(mode, n_classes=n_classes)
    selection = select("badge", pool, 40, seed=3)
    assert selection.indices.tolist() == reference(pool, pool.embeddings, 40, 3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(MODES),
    st.integers(30, 80),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 8),
    st.integers(0, 2**16),
)
def test_badge_fills_up_with_the_longest_gradients_where_rows_repeat(mode, count, width, levels, budget, seed):
    pool = learnt_pool(mode, count, width, seed=seed, levels=levels)
    selection = select("badge", pool, budget, seed=seed)
    assert selection.indices.tolist() == reference(pool, pool.embeddings, budget, seed)


def test_badge_looks_at_what_the_last_layer_sees():
    pool = learnt_pool("single")
    hidden = np.random.default_rng(8).normal(0, 1, (300, 7)).astype(np.float32)
    hidden.flags.writeable = False
    seen = replace(pool, predictions=replace(pool.predictions, features=lambda rows: hidden[rows]))
    assert select("badge", seen, 20).indices.tolist() == reference(pool, hidden, 20, 0)


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_embedding_is_the_gradient(mode):
    """The pseudo-labelled loss of a linear layer, differentiated by autograd."""
    pool = learnt_pool(mode, count=12)
    rows = torch.from_numpy(pool.embeddings.astype(np.float64))
    p = pool.predictions.probabilities
    made = brute_force.outer(pool.embeddings, errors(p, mode))
    for row in range(12):
        probabilities = torch.from_numpy(p[row].astype(np.float64))
        weights = torch.zeros(5, 16, dtype=torch.float64, requires_grad=True)
        # Logits that give exactly these probabilities, plus the layer, which is zero.
        base = probabilities.log() if mode == "single" else probabilities.logit()
        logits = base + weights @ rows[row]
        if mode == "single":
            loss = torch.nn.functional.cross_entropy(logits, probabilities.argmax())
        else:
            truth = (probabilities > 0.5).double()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="sum")
        loss.backward()
        np.testing.assert_allclose(made[row].reshape(16, 5), weights.grad.numpy().T, atol=1e-5)


def test_badge_takes_the_least_sure_first_then_what_lies_across():
    """Tile 0 and 1 pull the same way, 2 the other; 3 is sure of itself."""
    rows = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 1.9], [5.0, 5.0]], np.float16)
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]], np.float32)
    selection = select("badge", Pool(rows, Predictions("single", p), np.empty(0, int), np.arange(4)), 3, seed=1)
    assert selection.indices[0] == 0
    assert set(selection.indices.tolist()) == {0, 2, 3}
    assert selection.utilities[0] == pytest.approx(2.0 * np.sqrt(0.5))


def test_badge_on_a_learner_that_is_certain_of_everything_takes_the_first():
    pool = learnt_pool("single")
    sure = np.tile(np.eye(5, dtype=np.float32)[2], (300, 1))
    selection = select("badge", replace(pool, predictions=Predictions("single", sure)), 6)
    assert selection.indices.tolist() == pool.eligible[:6].tolist()
    assert not selection.utilities.any()
