"""Rounds for tests of what is concluded from them: every field as small as it can be, and scores by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from quadrat.core.simulation.plan import RoundResult

NAN = math.nan
PLAIN = RoundResult(
    dataset="tiles",
    encoder="statistics",
    variant="balanced",
    strategy="random",
    learner="linear",
    budget=10,
    initial=0,
    initial_by="random",
    seed=0,
    round=1,
    labels=10,
    classes_seen=3,
    chosen_by="random",
    accuracy=0.5,
    macro_f1=0.4,
    micro_f1=NAN,
    mean_average_precision=NAN,
    validation_labels=0,
    estimate=NAN,
    estimate_low=NAN,
    estimate_high=NAN,
    agreement=NAN,
    stop=False,
    query_seconds=0.0,
    train_seconds=0.0,
    learner_parameters=30,
)


def run(scores: Sequence[float], **fields: Any) -> list[RoundResult]:
    """A run with these accuracies, a budget of 10 unless said, beginning with one budget."""
    budget = fields.get("budget", PLAIN.budget)
    fields.setdefault("chosen_by", fields.get("strategy", "random"))
    return [
        replace(PLAIN, round=number, labels=number * budget, accuracy=score, **fields)
        for number, score in enumerate(scores, start=1)
    ]


def seeds(table: Sequence[Sequence[float]], **fields: Any) -> list[RoundResult]:
    """One run for each row of scores."""
    return [result for seed, scores in enumerate(table) for result in run(scores, seed=seed, **fields)]
