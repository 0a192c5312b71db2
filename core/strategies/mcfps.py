"""MCFPS: farthest points decide where to look, Monte Carlo dropout decides which tile to take there.

A round: (1) t random versions of the head predict every eligible tile, and their mean is p; (2) tiles of which p is
surer than a threshold are skipped; (3) ``b`` farthest points S, seen from all that is labelled, are found among the
rest; (4) of the k nearest neighbours of each s in S, itself included, the one with the highest uncertainty is taken.

Where the published procedure is flawed, this one is corrected, and the preset ``paper`` has the original:

* u = 1 - max_c p (multi-label: mean binary entropy in bits) of averaged *probabilities*. The paper averages logits and
  applies the softmax then, which hides that the versions disagree.
* A tile is skipped for this round only. In the paper it never comes back, although a young head is often surely
  wrong; with the preset such tiles are in ``Selection.set_aside``, and the caller adds them to ``Pool.set_aside``.
* Always b tiles. Two neighbourhoods may share their most uncertain tile, and the paper then asks for fewer. Here the
  later neighbourhood (in the order of S) gives its next one, or the tile nearest to it that is free. If skipping
  leaves fewer than b tiles, the threshold rises until it leaves b. The preset does the same, because the contract
  of query functions asks for it.
* Without any label there is a cold start, not the noise of an untrained head.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Mode, Preset, Within
from ..kernels import Floats, Indices, farthest_points, nearest_neighbours, probabilities_of, tiles
from .base import Pool, Predictions, Request, Selection, Strategy, Utilities, highest
from .uncertainty import doubt, entropy, least_confidence


def choose_mcfps(
    pool: Pool,
    request: Request,
    *,
    neighbours: Annotated[int, Within(1)] = 15,
    passes: Annotated[int, Within(1)] = 10,
    sure: Annotated[float, Within(0.0, 1.0)] = 0.8,
    average: Annotated[str, Within(words=("probabilities", "logits"))] = "probabilities",
    skip_for_good: bool = False,
) -> Selection:
    """The most uncertain tile in the neighbourhood of each farthest point.

    Args:
        pool: with predictions; where they cannot be sampled, their probabilities are taken as they are.
        request: budget, randomness, device, monitor.
        neighbours: k.
        passes: t.
        sure: tiles whose confidence is above this are skipped, see :func:`confidence`.
        average: what is averaged over the passes, "probabilities" or "logits".
        skip_for_good: put the skipped tiles into ``Selection.set_aside``.
    """
    assert pool.predictions is not None
    mode = pool.predictions.mode
    mean = _mean_probabilities(pool.predictions, pool.eligible, passes, average, request)
    certainty = confidence(mean, mode)
    threshold = max(sure, float(np.partition(certainty, request.budget - 1)[request.budget - 1]))
    open_places = np.flatnonzero(certainty <= threshold)
    utilities = uncertainty(mean, mode)
    picks = _one_each(pool, request, open_places, utilities, neighbours)
    picks = picks[highest(utilities[picks], len(picks))]
    return Selection(
        pool.eligible[picks],
        utilities[picks],
        tuple(f"{doubt(pool.predictions, mean[i])}; far from all labelled tiles" for i in picks),
        set_aside=pool.eligible[certainty > threshold] if skip_for_good else pool.eligible[:0],
    )


def uncertainty(probabilities: Floats, mode: Mode) -> Utilities:
    """1 - max p ("single"), or the mean binary entropy in bits ("multi"): (n,) from (n, C)."""
    return least_confidence(probabilities, mode) if mode == "single" else entropy(probabilities, mode)


def confidence(probabilities: Floats, mode: Mode) -> Utilities:
    """max p ("single"), or how sure the head is of the class it is least sure of ("multi"): (n,) from (n, C)."""
    p = probabilities.astype(np.float64)
    return np.asarray(p.max(axis=1) if mode == "single" else np.maximum(p, 1.0 - p).min(axis=1))


def _mean_probabilities(predictions: Predictions, rows: Indices, passes: int, average: str, request: Request) -> Floats:
    """Probabilities (n, C) of the rows, averaged over the passes before or after the softmax."""
    if predictions.sample_logits is None:
        return predictions.probabilities[rows]
    seed = int(request.rng.integers(2**31))
    mean = np.empty((len(rows), predictions.probabilities.shape[1]), dtype=np.float32)
    for part in tiles(len(rows), passes * mean.shape[1]):
        request.monitor.advance(0.3 * part.start / len(rows), "Predicting with dropout")
        logits = predictions.sample_logits(rows[part], passes, seed)
        if average == "logits":
            mean[part] = probabilities_of(logits.mean(axis=0), predictions.mode)
        else:
            mean[part] = probabilities_of(logits, predictions.mode).mean(axis=0)
    return mean


def _one_each(
    pool: Pool, request: Request, places: NDArray[np.intp], utilities: Utilities, neighbours: int
) -> NDArray[np.intp]:
    """Places (b,) in ``pool.eligible``: one for each farthest point, no two alike."""
    rows = pool.eligible[places]
    centres, _ = farthest_points(
        pool.embeddings,
        rows,
        pool.labelled,
        request.budget,
        device=request.device,
        monitor=request.monitor.part(0.3, 0.8),
    )
    around, _ = nearest_neighbours(
        pool.embeddings, centres, rows, neighbours, device=request.device, monitor=request.monitor.part(0.8, 1.0)
    )
    taken = np.zeros(len(pool.eligible), dtype=bool)
    picks = np.empty(request.budget, dtype=np.intp)
    for turn, neighbourhood in enumerate(np.searchsorted(pool.eligible, around)):
        free = neighbourhood[~taken[neighbourhood]]
        if not len(free):
            left = pool.eligible[places[~taken[places]]]
            nearest, _ = nearest_neighbours(pool.embeddings, centres[[turn]], left, 1, device=request.device)
            free = np.searchsorted(pool.eligible, nearest[0])
        picks[turn] = free[highest(utilities[free], 1)[0]]
        taken[picks[turn]] = True
    return picks


STRATEGIES = (
    Strategy(
        "mcfps",
        choose_mcfps,
        "Uncertain tiles, spread over all kinds of tiles; asks for odd ones early.",
        "MoCo and MC dropout based farthest point sampling, corrected",
        "one look at all tiles, t products with the head, b neighbourhoods",
        needs=frozenset({"labels", "predictions"}),
        presets={
            "paper": Preset(
                "MCFPS as published, for comparison; the authors' notebook has neighbours = 5.",
                {"average": "logits", "skip_for_good": True},
                {
                    "learner": "linear:paper",
                    "source": "MoCo and MC dropout based farthest point sampling, as published",
                },
            )
        },
    ),
)
