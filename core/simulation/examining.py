"""How good a fitted learner is: on test tiles, as only an experiment can know, and as an analyst would judge it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels import Floats, Indices
from ..metrics import decide, scores
from ..models import Model
from ..monitor import Monitor
from ..project.scores import main_score
from ..stability import score_interval, stop_set
from ..strategies.base import Predictions
from .dataset import Dataset, Vectors

_TOGETHER = 64
"""Tiles that are read at a time."""


@dataclass(frozen=True)
class Estimate:
    """The main score on a validation sample of ``labels`` tiles and its 95 % interval; None without a sample."""

    labels: int
    score: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Examiner:
    """Asks a model, fitted on a pool, about rows of the dataset that were not in it.

    seen: (C,) which classes have a label; no tile is said to have another.
    """

    dataset: Dataset
    vectors: Vectors
    model: Model
    seen: NDArray[np.bool_]

    def scores(self, rows: Indices, monitor: Monitor) -> dict[str, float]:
        """All scores on some rows (n,), by name; none of no rows."""
        if not rows.size:
            return {}
        return scores(self.predict(rows, monitor), self.dataset.targets[rows], self.dataset.mode, self.seen)

    def estimate(self, rows: Indices, monitor: Monitor) -> Estimate:
        """What an analyst can say of the accuracy, for whom these rows (n,) are the validation sample."""
        if not rows.size:
            return Estimate(0)
        mode, truth = self.dataset.mode, self.dataset.targets[rows]
        guessed = self.predict(rows, monitor)
        score = scores(guessed, truth, mode, self.seen)[main_score(mode)]
        return Estimate(len(rows), score, score_interval(guessed, truth, mode, self.seen))

    def predict(self, rows: Indices, monitor: Monitor) -> Floats:
        """Probabilities (n, C)."""
        encode = self.model.fitted.encode
        if encode is None:
            return replace(self.model, embeddings=self.vectors.matrix).predict(rows, monitor)
        features = []
        for start in range(0, len(rows), _TOGETHER):
            monitor.advance(start / len(rows), "Testing")
            features.append(encode(self.dataset.tiles.read(rows[start : start + _TOGETHER])))
        fitted = replace(self.model.fitted, features=np.concatenate(features))
        return replace(self.model, fitted=fitted).predict(monitor=monitor)


def decided(now: Predictions, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is said of the tiles of the pool that are compared between rounds, (S, C), see :mod:`..stability`."""
    return decide(now.probabilities[stop_set(np.arange(len(now.probabilities)))], now.mode, seen)
