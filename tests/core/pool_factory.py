"""Pools with a learner that tells everything a query function may ask, and what every answer has to be."""

import numpy as np
import torch

from quadrat.core.strategies.base import Pool, Predictions


class LinearLearner:
    """A random linear model, whose random versions differ in their weights, and all that it can say of (N, d) rows."""

    def __init__(self, embeddings, mode, n_classes=4, seed=0):
        self.mode = mode
        self.rows = embeddings.astype(np.float64)
        self.weights = np.random.default_rng(seed).normal(0, 1.0, (embeddings.shape[1], n_classes))

    def logits(self, rows, factors=1.0):
        return (self.rows[rows] @ (self.weights * factors)).astype(np.float32)

    def probabilities(self, sharpness=1.0):
        scores = torch.from_numpy(self.logits(np.arange(len(self.rows)))).double() * sharpness
        probabilities = scores.softmax(dim=1) if self.mode == "single" else scores.sigmoid()
        return probabilities.float().numpy()

    def sample(self, rows, passes, seed, input_dropout=None):
        masks = np.random.default_rng(seed).random((passes, len(self.weights), 1)) < 1 - (input_dropout or 0.3)
        return np.stack([self.logits(rows, mask) for mask in masks])

    def features(self, rows):
        return (self.rows[rows] * 0.5).astype(np.float32)

    def targets(self, rows):
        return self.logits(rows).argmax(axis=1) if self.mode == "single" else (self.logits(rows) > 0.5).astype(np.int64)


def predictions_of(learner, before):
    """Everything that a learner can tell a query function; ``before`` is the learner of the round before."""
    previous = before.probabilities()
    previous[:, 1:2] = np.nan  # a class that is new since
    return Predictions(
        learner.mode,
        learner.probabilities(),
        learner.sample,
        features=learner.features,
        calibrated=lambda: learner.probabilities(0.5),
        previous=previous,
        losses=-np.abs(learner.logits(np.arange(len(learner.rows)))).max(axis=1),
    )


def make_pool(mode="single", count=120, width=6, labelled=15, rows=None, dtype=np.float16, seed=0):
    """A pool of which every third row is not eligible, so that places and global indices differ."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(0, 1, (count, width)).astype(dtype) if rows is None else rows
    order = rng.permutation(len(embeddings))
    eligible = np.sort(order[labelled:])
    learner = LinearLearner(embeddings, mode)
    return Pool(
        embeddings,
        predictions_of(learner, LinearLearner(embeddings, mode, seed=1)) if labelled else None,
        np.sort(order[:labelled]),
        eligible[eligible % 3 != 0],
        targets=learner.targets(np.sort(order[:labelled])),
    )


def check(selection, pool, budget):
    """What every answer has to be, whatever was asked."""
    expected = min(budget, len(pool.eligible))
    assert selection.indices.dtype == np.int64
    assert selection.utilities.dtype == np.float64
    assert len(selection.indices) == len(set(selection.indices.tolist())) == expected
    assert np.isin(selection.indices, pool.eligible).all()
    assert len(selection.utilities) == len(selection.reasons) == expected
    assert np.isfinite(selection.utilities).all()
    assert (np.diff(selection.utilities) <= 0).all()
    assert all(selection.reasons)
    assert np.isin(selection.set_aside, pool.eligible).all()
    assert not np.isin(selection.set_aside, selection.indices).any()


def same(one, other):
    return one.indices.tolist() == other.indices.tolist() and one.utilities.tolist() == other.utilities.tolist()
