"""Query functions that cover: picks to which as many tiles as possible are close.

Farthest points go where nobody is; these go where the most tiles are that no label stands for. What "close" means is a
kernel on embeddings of length 1: a Gaussian (herding) or a ball (ProbCover). Coverage is measured on some thousands of
tiles drawn at random, the anchors, so the time grows with N and not with its square.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch

from ..catalogue import Within
from ..kernels import (
    EmbeddingSpace,
    Floats,
    Indices,
    Kernel,
    ball,
    gaussian,
    greedy_coverage,
    kmeans,
    nearest_neighbours,
    tiles,
)
from ..monitor import Monitor
from .base import Pool, Request, Selection, Strategy
from .coverage import filled
from .uncertainty import doubt, margin

_ANCHORS = 10_000
_BALL_ANCHORS = 2_000
_BALLS = 2_000
"""Balls whose purity is looked at to choose their radius."""
_PURE = 0.95
_CLUSTERS = 10
"""Pseudo-classes for the radius of balls as long as nobody has named any class."""


def choose_max_herding(
    pool: Pool,
    request: Request,
    *,
    anchors: Annotated[int, Within(1)] = _ANCHORS,
    sigma: Annotated[float, Within(1e-6)] = 1.0,
) -> Selection:
    """Each pick raises the mean coverage of all tiles most; its utility is by how much.

    Anchor j is covered by max exp(-|z_i - z_j|2 / sigma2) over the labelled and picked i, with z of length 1.

    Args:
        pool: predictions are not looked at.
        request: budget, randomness, device, monitor.
        anchors: on how many tiles at most coverage is measured.
        sigma: how far a label reaches; unit embeddings are at most 2 apart.
    """
    space = EmbeddingSpace(pool.embeddings, request.device, unit=True)
    covered = _drawn(pool, request, anchors)
    return _cover(pool, request, space, covered, gaussian(sigma))


def choose_uherding(pool: Pool, request: Request, *, anchors: Annotated[int, Within(1)] = _ANCHORS) -> Selection:
    """Each pick raises the coverage of uncertain tiles most: herding first, uncertainty as labels come in.

    An anchor counts by its uncertainty, 1 - margin of calibrated probabilities (multi-label: mean binary margin), and
    a label reaches as far as the two labelled tiles that are closest, but not the same: the more labels, the less it
    reaches. Without predictions, or with certain ones, it is max_herding.

    Args:
        pool: calibrated probabilities are used if there are any.
        request: budget, randomness, device, monitor.
        anchors: on how many tiles at most coverage is measured.
    """
    predictions = pool.predictions
    if predictions is None or not len(pool.labelled):
        request.monitor.info(
            "Nothing is known of the tiles yet, so uherding covers all of them alike, as max_herding does."
        )
        return choose_max_herding(pool, request, anchors=anchors)
    probabilities = predictions.probabilities if predictions.calibrated is None else predictions.calibrated()
    space = EmbeddingSpace(pool.embeddings, request.device, unit=True)
    covered = _drawn(pool, request, anchors)
    # A labelled row may lack a prediction; it covers itself and needs no weight.
    weights = np.nan_to_num(margin(probabilities[covered], predictions.mode)).astype(np.float32)
    sigma = _smallest_gap(space, pool.labelled, request.monitor.part(0.0, 0.1))
    selection = _cover(pool, request, space, covered, gaussian(sigma), weights if weights.any() else None)
    doubts = (doubt(predictions, probabilities[row]) for row in selection.indices)
    reasons = tuple(f"{doubted}; {reason}" for doubted, reason in zip(doubts, selection.reasons, strict=True))
    return replace(selection, reasons=reasons)


def choose_prob_cover(
    pool: Pool,
    request: Request,
    *,
    anchors: Annotated[int, Within(1)] = _BALL_ANCHORS,
    delta: Annotated[float, Within(0.0)] = 0.0,
    clusters: Annotated[int, Within(0)] = 0,
) -> Selection:
    """Each pick has the most tiles closer than ``delta`` that no label or pick is close to; utility: their share.

    Once all anchors are covered, farthest points fill up at utility 0. The radius decides, and it is hard to choose
    (Bae et al. 2024): max_herding, whose kernel has no edge, is the safer choice.

    Args:
        pool: predictions are only asked how many classes there are.
        request: budget, randomness, device, monitor.
        anchors: on how many tiles at most coverage is measured.
        delta: radius of the balls on embeddings of length 1; 0 for the largest with which 95 % of the balls hold
            tiles of one k-means cluster only.
        clusters: k for that; 0 for the number of classes, or 10 as long as it is not known.
    """
    space = EmbeddingSpace(pool.embeddings, request.device, unit=True)
    covered = _drawn(pool, request, anchors)
    if not delta:
        classes = _CLUSTERS if pool.predictions is None else pool.predictions.probabilities.shape[1]
        delta = pure_radius(space, covered, clusters or max(classes, 2), request)
    return _cover(pool, request, space, covered, ball(delta))


def _cover(
    pool: Pool,
    request: Request,
    space: EmbeddingSpace,
    anchors: Indices,
    kernel: Kernel,
    weights: Floats | None = None,
) -> Selection:
    """Greedy coverage of the anchors, filled up by farthest points where nothing is left to cover."""
    picks, gains = greedy_coverage(
        space,
        pool.eligible,
        anchors,
        request.budget,
        kernel,
        references=pool.labelled,
        weights=weights,
        monitor=request.monitor.part(0.1, 1.0),
    )
    reasons = tuple(f"adds {100 * gain:.2g} % to what the labels stand for" for gain in gains)
    return filled(Selection(picks, gains.astype(np.float64), reasons), pool, request)


def _drawn(pool: Pool, request: Request, most: int) -> Indices:
    """Up to ``most`` rows, drawn at random from all that are eligible or labelled, in ascending order."""
    rows = np.union1d(pool.eligible, pool.labelled)
    return rows if len(rows) <= most else np.sort(request.rng.choice(rows, most, replace=False))


def _smallest_gap(space: EmbeddingSpace, rows: Indices, monitor: Monitor) -> float:
    """The smallest distance between two of the rows that are not the same; 1 if there are no such two."""
    smallest = torch.tensor(torch.inf, device=space.device)
    for some in tiles(len(rows), space.width):
        points = space.points(rows[some])
        norms = space.squared_norms(points)
        for part in tiles(len(rows), max(space.width, len(points))):
            monitor.advance(some.start / len(rows), "Measuring distances")
            squared = space.squared_distances(space.points(rows[part]), points, norms)
            smallest = torch.minimum(smallest, squared.masked_fill_(squared == 0.0, torch.inf).amin())
    gap = float(smallest) ** 0.5
    return gap if np.isfinite(gap) else 1.0


def pure_radius(space: EmbeddingSpace, anchors: Indices, clusters: int, request: Request) -> float:
    """The largest radius with which 95 % of the balls around anchors are pure (Yehuda et al. 2022).

    A ball is pure if all anchors in it are of the same k-means cluster, so a ball stays pure up to the distance of
    the nearest anchor of another one. It is infinite where there is one cluster only.
    """
    unit = np.empty((len(anchors), space.width), dtype=np.float32)
    for part in tiles(len(anchors), space.width):
        unit[part] = space.points(anchors[part]).to(torch.float32).cpu().numpy()
    everyone = np.arange(len(anchors))
    found = kmeans(unit, everyone, clusters, request.rng, device=request.device, monitor=request.monitor.part(0.0, 0.1))
    centres = request.rng.permutation(everyone)[:_BALLS]
    limits = np.full(len(centres), np.inf, dtype=np.float32)
    for cluster in np.unique(found.labels[centres]):
        here = np.flatnonzero(found.labels[centres] == cluster)
        others = np.flatnonzero(found.labels != cluster)
        if len(others):
            _, squared = nearest_neighbours(
                unit, centres[here], others, 1, device=request.device, monitor=request.monitor.part(0.1, 0.1)
            )
            limits[here] = squared[:, 0]
    return float(np.sqrt(np.sort(limits)[int((1.0 - _PURE) * len(limits))]))


STRATEGIES = (
    Strategy(
        "max_herding",
        choose_max_herding,
        "Tiles to which many others are close: a good start, and good as long as labels are few.",
        "Bae et al. 2024 (MaxHerding: greedy generalised coverage, Gaussian kernel)",
        "one look at all tiles for each anchor, then lazily",
    ),
    Strategy(
        "uherding",
        choose_uherding,
        "Covers first and asks the unsure tiles later: a good choice at any number of labels.",
        "Bae et al. 2025 (UHerding: uncertainty coverage, temperature, shrinking kernel)",
        "one look at all tiles for each anchor, then lazily",
        uses=frozenset({"predictions"}),
    ),
    Strategy(
        "prob_cover",
        choose_prob_cover,
        "Tiles with the most others close by that no label stands for yet: a start with few labels.",
        "Yehuda et al. 2022 (ProbCover)",
        "one look at all tiles for each anchor, then lazily",
    ),
)
