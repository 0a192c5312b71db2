"""What an uncertainty is, and the two query functions that follow from each one.

An *uncertainty* is a score of every eligible tile, higher where an answer would teach more. It is written once, as a
function ``(pool, request, *, parameters) -> (U,)``, and :func:`strategies_of` derives from it

* ``NAME``: the b highest;
* ``NAME+clustering`` (Möllenbrok, Sumbul and Demir 2023, section II): the m = ``multiple`` x b highest are cut by
  k-means into b clusters of similar tiles, and each cluster gives its highest. A round then has no near-duplicates.

Scores are computed in float64 and rounded to float32 before they are compared, so that rounding decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Mode, Within, parameters_of
from ..kernels import Indices, kmeans, tiles
from .base import Need, Pool, Predictions, Request, Selection, Strategy, Utilities, highest


@dataclass(frozen=True)
class Uncertainty:
    """A score of tiles and what there is to know about it.

    score: utilities (U,) of ``pool.eligible``, from pool and request; its keyword-only arguments are its parameters.
    reason: what an analyst reads about one row, from the pool, the row and its score. asks_for and remark: what tiles,
    and what else there is to say, without full stops. The other fields are those of :class:`.base.Strategy`.
    """

    name: str
    score: Callable[..., Utilities]
    reason: Callable[[Pool, int, float], str]
    asks_for: str
    remark: str
    source: str
    cost: str
    needs: frozenset[Need]
    modes: tuple[Mode, ...] = ("single", "multi")
    learner: str = ""


def strategies_of(uncertainty: Uncertainty) -> tuple[Strategy, Strategy]:
    """The query functions ``NAME`` and ``NAME+clustering``; both have the parameters of the score."""

    def choose_highest(pool: Pool, request: Request, **parameters: Any) -> Selection:
        """The tiles with the highest scores."""
        places, scores = _leaders(uncertainty, pool, request, request.budget, parameters)
        return _selection(uncertainty, pool, places, scores)

    def choose_clustered(
        pool: Pool, request: Request, *, multiple: Annotated[int, Within(1)] = 3, **parameters: Any
    ) -> Selection:
        """Of the ``multiple`` x b tiles with the highest scores, the highest of each of b clusters.

        Where duplicates or chance leave a cluster empty, the highest that is left fills its place.
        """
        scoring = replace(request, monitor=request.monitor.part(0.0, 0.5))
        places, scores = _leaders(uncertainty, pool, scoring, multiple * request.budget, parameters)
        clusters = kmeans(
            pool.embeddings,
            pool.eligible[places],
            request.budget,
            request.rng,
            device=request.device,
            monitor=request.monitor.part(0.5, 1.0),
        )
        chosen = first_of_each(clusters.labels, request.budget)
        return _selection(uncertainty, pool, places[chosen], scores[chosen])

    known = parameters_of(uncertainty.score)
    plain = Strategy(
        uncertainty.name,
        choose_highest,
        f"{uncertainty.asks_for}: {uncertainty.remark}.",
        uncertainty.source,
        uncertainty.cost,
        modes=uncertainty.modes,
        needs=uncertainty.needs,
        learner=uncertainty.learner,
        defaults=known.defaults,
        limits=known.limits,
    )
    clustered = replace(
        plain,
        name=f"{uncertainty.name}+clustering",
        function=choose_clustered,
        summary=f"{uncertainty.asks_for}, but of those that are alike only one a round.",
        source=f"Möllenbrok, Sumbul and Demir 2023, section II, on {uncertainty.name}",
        cost=f"as {uncertainty.name}, then b clusters of a few b tiles",
    )
    return plain, clustered


def first_of_each(labels: Indices, count: int) -> NDArray[np.intp]:
    """Places (count,), ascending, of the first member of each cluster, filled up by the first others.

    Args:
        labels: cluster (m,) of each candidate, the best candidate first; at most ``count`` different ones.
        count: b, at most m.
    """
    _, first = np.unique(labels, return_index=True)
    others = np.setdiff1d(np.arange(len(labels)), first)
    return np.sort(np.concatenate([first, others[: count - len(first)]]))


def told(pool: Pool) -> Predictions:
    """The predictions, which functions registered as needing them can count on."""
    assert pool.predictions is not None
    return pool.predictions


def row_by_row(pool: Pool, request: Request, width: int, measure: Callable[[Indices], Utilities]) -> Utilities:
    """A measure (n,) of some rows (n,), taken of all eligible ones (U,) a tile of rows of ``width`` at a time."""
    scores = np.empty(len(pool.eligible))
    for part in tiles(len(scores), width):
        request.monitor.advance(part.start / len(scores), "Weighing the predictions")
        scores[part] = measure(pool.eligible[part])
    return scores


def _leaders(
    uncertainty: Uncertainty, pool: Pool, request: Request, count: int, parameters: dict[str, Any]
) -> tuple[NDArray[np.intp], Utilities]:
    """Places in ``pool.eligible`` of the ``count`` highest scores, cut to U, and those scores, highest first."""
    scores = uncertainty.score(pool, request, **parameters).astype(np.float32)
    places = highest(scores, count)
    return places, scores[places].astype(np.float64)


def _selection(uncertainty: Uncertainty, pool: Pool, places: NDArray[np.intp], scores: Utilities) -> Selection:
    rows = pool.eligible[places]
    reasons = (uncertainty.reason(pool, int(row), float(score)) for row, score in zip(rows, scores, strict=True))
    return Selection(rows, scores, tuple(reasons))
