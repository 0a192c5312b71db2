"""Rounds put in order: a *run* is what one seed led to, a *series* the runs that differ by chance alone.

The seed is chance, and so is what each of the unbalanced pools lost: the variants ``unbalanced-K`` belong together.
Runs of one seed on several of them are not independent, see :mod:`.evidence`. The learning curve of a run goes through
its rounds and is linear between them; rounds after which nothing could be learnt yet have no score and are not part of
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .plan import RoundResult

SCORES = ("score", "accuracy", "macro_f1", "micro_f1", "mean_average_precision")
"""What may be looked at: the main score, or one by name."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """What runs have in common. group: ``balanced`` (the whole pool) or ``unbalanced``. The others are a round's."""

    dataset: str
    encoder: str
    group: str
    strategy: str
    learner: str
    budget: int
    initial: int
    initial_by: str


SERIES_FIELDS = tuple(item.name for item in fields(Series))


@dataclass(frozen=True)
class Run:
    """The rounds (n,) of one series, variant and seed, in their order."""

    series: Series
    variant: str
    seed: int
    rounds: tuple[RoundResult, ...]

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"{self.series.strategy} with {self.series.learner} ({self.variant}, seed {self.seed})"

    @property
    def last_labels(self) -> int:
        """How many labels it ended with."""
        return self.rounds[-1].labels

    def curve(self, score: str = "score") -> tuple[Numbers, Numbers]:
        """Labels and scores (n,) of the rounds that have a score.

        Raises:
            UsageError: there is no such score.
        """
        if score not in SCORES:
            raise UsageError(f"There is no score called {score!r}.", hint=f"Known: {', '.join(SCORES)}.")
        points = np.array([(each.labels, getattr(each, score)) for each in self.rounds], dtype=np.float64)
        labels, values = points[np.isfinite(points[:, 1])].T
        return labels, values


def series_of(result: RoundResult) -> Series:
    """The series that a round belongs to."""
    group = result.variant.partition("-")[0]
    return Series(
        result.dataset,
        result.encoder,
        group,
        result.strategy,
        result.learner,
        result.budget,
        result.initial,
        result.initial_by,
    )


def runs_of(results: Iterable[RoundResult]) -> dict[Series, list[Run]]:
    """All runs by series; series in the order in which they first occur, runs by variant and seed."""
    found: dict[Series, dict[tuple[str, int], list[RoundResult]]] = {}
    for result in results:
        found.setdefault(series_of(result), {}).setdefault((result.variant, result.seed), []).append(result)
    return {
        series: [
            Run(series, variant, seed, tuple(sorted(rounds, key=lambda each: each.round)))
            for (variant, seed), rounds in sorted(runs.items())
        ]
        for series, runs in found.items()
    }


def select_series(results: Iterable[RoundResult], **wanted: Any) -> list[Series]:
    """The series with these values in these fields, in the order in which they first occur.

    Raises:
        UsageError: a series has no such field, or there is none with these values.
    """
    unknown = sorted(wanted.keys() - set(SERIES_FIELDS))
    if unknown:
        raise UsageError(f"A series has no {unknown[0]}.", hint=f"It has {', '.join(SERIES_FIELDS)}.")
    every = runs_of(results)
    found = [series for series in every if all(getattr(series, key) == value for key, value in wanted.items())]
    if not found:
        named = ", ".join(f"{key} {value}" for key, value in wanted.items())
        raise UsageError(f"There are no results with {named}.", hint="Make these runs first, or ask for others.")
    return found
