"""One run of an experiment, described completely, and what each of its rounds reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..models import Choice

BALANCED = "balanced"


@dataclass(frozen=True)
class Plan:
    """One run: everything that decides its numbers, beside the dataset, the vectors and the split.

    strategy, parameters: the query function. learner: what is fitted every round, chooses and is tested. budget: tiles
    a round, b. rounds: how many. initial: tiles labelled before the first round, 0 for none: then the query function
    begins by itself (or the cold start for it, if it needs predictions). initial_by: the query function that chooses
    them; with the same seed every plan gets the same ones. seed: of all chance in the run. variant: ``balanced``, or
    ``unbalanced-K``, see :func:`.splits.thinned`. validation: tiles of the pool that are set apart, drawn with the
    seed, to estimate the score as an analyst would, see :func:`.splits.set_apart`. goal: the run stops after the round
    that reaches this score on the test tiles; None to go on.
    """

    strategy: str
    learner: Choice = field(default_factory=lambda: Choice("linear"))
    parameters: Mapping[str, Any] = field(default_factory=dict)
    budget: int = 64
    rounds: int = 8
    initial: int = 0
    initial_by: str = "random"
    seed: int = 0
    variant: str = BALANCED
    validation: int = 0
    goal: float | None = None

    @property
    def pool_key(self) -> tuple[str, int, int]:
        """What decides which tiles the run may ask; without a validation sample the seed does not."""
        return self.variant, self.validation, self.seed if self.validation else 0


@dataclass(frozen=True)
class RoundResult:
    """What a round led to: one row of a results file.

    dataset, encoder, variant, strategy, learner, budget, initial, initial_by, seed: whose round it is. round: counted
    from 1; 0 is the initial set. labels: how many are known after it. classes_seen: with at least one label.
    chosen_by: who chose, which differs from ``strategy`` in a cold start. accuracy, macro_f1, micro_f1,
    mean_average_precision: on the test tiles, NaN where the mode has none or nothing could be learnt yet.
    validation_labels, estimate, estimate_low, estimate_high: the main score on the validation sample and its 95 %
    interval. agreement: of the predictions with those of the round before, see :mod:`..stability`; NaN in the first.
    stop: whether it was suggested to stop. query_seconds: the selection alone. train_seconds: the fit.
    learner_parameters: numbers that the learner learns.
    """

    dataset: str
    encoder: str
    variant: str
    strategy: str
    learner: str
    budget: int
    initial: int
    initial_by: str
    seed: int
    round: int
    labels: int
    classes_seen: int
    chosen_by: str
    accuracy: float
    macro_f1: float
    micro_f1: float
    mean_average_precision: float
    validation_labels: int
    estimate: float
    estimate_low: float
    estimate_high: float
    agreement: float
    stop: bool
    query_seconds: float
    train_seconds: float
    learner_parameters: int

    @property
    def score(self) -> float:
        """The main score: accuracy, or micro F1 where a tile may have several classes."""
        return self.accuracy if self.micro_f1 != self.micro_f1 else self.micro_f1


COLUMNS = tuple(item.name for item in fields(RoundResult))
