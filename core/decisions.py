"""What a map says of each tile, from a model's probabilities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .kernels import Floats
from .metrics import uncertainty
from .monitor import Monitor
from .pool import LabelledPool
from .project.results import TilePrediction


def tile_predictions(
    pool: LabelledPool, probabilities: Floats, decided: NDArray[np.bool_], monitor: Monitor
) -> Iterator[TilePrediction]:
    """The predictions one by one, reporting how many were taken; a tile whose embedding is not finite has none.

    ``decided`` (N, C) is what :func:`.metrics.decide` makes of ``probabilities`` (N, C). A writer that is stopped
    meanwhile leaves the old predictions in force.
    """
    if pool.mode == "single":
        certainty = (probabilities * decided).max(axis=1)
    else:
        certainty = np.abs(probabilities - 0.5).mean(axis=1) + 0.5
    class_ids = [item.class_id for item in pool.classes]
    classes: list[list[tuple[int, float]]] = [[] for _ in range(len(probabilities))]
    for row, column in zip(*(axis.tolist() for axis in np.nonzero(decided)), strict=True):
        classes[row].append((class_ids[column], round(float(probabilities[row, column]), 5)))
    numbers = zip(
        pool.embeddings.tile_ids.tolist(),
        certainty.astype(float).round(5).tolist(),
        uncertainty(probabilities, pool.mode).astype(float).round(5).tolist(),
        classes,
        strict=True,
    )
    for number, (tile_id, p, u, of_tile) in enumerate(numbers):
        if number % 1000 == 0:
            monitor.advance(number / len(classes), "Writing predictions")
        if p == p:
            yield TilePrediction(tile_id, p, u, tuple(of_tile))
