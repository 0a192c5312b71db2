"""One turn of active learning: open the pool, fit the learner, query, record. The only place that ties these together.

The life of a round: (1) :func:`query` fits the learner on all answers so far, lets a query function choose, and records
the choice as a new round; (2) the analyst, a file or an oracle answers; (3) :func:`train` fits the learner again and
writes the scores on the validation sample into the round; (4) :func:`predict` maps every tile, whenever wanted.

Which learner it is, the query says: the caller's, else the one with which the query function was published, else the
default. Training and predicting go on with the learner that was named for the latest round, else the default.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .catalogue import label_mode
from .decisions import tile_predictions
from .defaults import BUDGET, default_learner, default_strategy
from .errors import LearningError, UsageError
from .fitting import agreement_with_round_before, calibrated, fit, predictions, remember
from .kernels import Rows
from .metrics import decide, scores
from .models import Choice, Model
from .monitor import SILENT, Monitor
from .pool import LabelledPool, open_pool
from .project.answers import current_answers
from .project.results import (
    VALIDATION_SAMPLE,
    Pick,
    RoundRecord,
    record_round,
    rounds,
    rounds_asking,
    set_round_metrics,
    write_predictions,
)
from .project.scores import HIGH, LOW
from .project.stopping import Advice, Checked, advise, check_goal, checked, goal_of, history
from .project.store import Project
from .stability import score_interval
from .strategies.base import Pool, Predictions, Selection, Strategy
from .strategies.registry import STRATEGIES, no_samples, select

# Under this name a round remembers the tiles that its query function never wants to see again (mcfps:paper).
SET_ASIDE = "set_aside"


@dataclass(frozen=True)
class QueriedRound:
    """A recorded round: tiles in the order in which they should be labelled, out of ``eligible`` ones.

    ``chosen_by`` differs from ``strategy``, which was asked for, after a cold start.
    """

    round_id: int
    strategy: str
    chosen_by: str
    tile_ids: list[int]
    eligible: int


@dataclass(frozen=True)
class Training:
    """A fitted learner and its scores on the labelled part of the validation sample (empty if there is none).

    ``interval`` is the 95 % interval of the main score. ``agreement`` with the predictions of the round before and
    ``advice`` on whether to stop are there after :func:`train`.
    """

    model: Model
    labels: int
    validation_labels: int
    metrics: dict[str, float]
    seconds: float
    interval: tuple[float, float] | None = None
    agreement: float | None = None
    advice: Advice | None = None

    def facts(self) -> dict[str, Any]:
        """What a round's metrics keep of it, and what is unknown now as None."""
        low, high = self.interval or (None, None)
        return {
            "labels": self.labels,
            "validation_labels": self.validation_labels,
            "train_seconds": self.seconds,
            "scored_learner": self.model.choice.name,
            "scored_learner_parameters": self.model.choice.settings(),
            **self.metrics,
            LOW: low,
            HIGH: high,
            "agreement": self.agreement,
        }


@dataclass(frozen=True)
class Predicted:
    """What was written: tiles, and how many got each class."""

    tiles: int
    per_class: dict[str, int]
    training: Training


def query(
    project: Project,
    strategy: str | None = None,
    budget: int = BUDGET,
    *,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    learner: Choice | None = None,
    device: str = "cpu",
    pool: LabelledPool | None = None,
    monitor: Monitor = SILENT,
) -> QueriedRound:
    """Choose the next ``budget`` tiles and record them as a round; without a name, the default for the label mode.

    Where nothing can be learnt yet (no labels, or one class only), the cold start chooses instead and says so.

    Raises:
        UsageError: unknown query function or parameter, budget below 1.
        LearningError: every tile of the pool has an answer.
        ProjectError: no tiles or embeddings.
    """
    mode = label_mode(project.mode)
    strategy = strategy or default_strategy(mode)
    entry = STRATEGIES.find(strategy)
    settings = STRATEGIES.settings(entry, parameters or {})
    named, learner = learner is not None, learner or default_learner(mode, strategy)
    learnt_with = {"learner": learner.name, "learner_parameters": learner.settings(), "learner_named": named}
    pool = pool or open_pool(project)
    STRATEGIES.check_mode(entry, pool.mode)
    if pool.eligible.size == 0:
        raise LearningError(
            "Every tile of the pool has an answer.", hint="Predict and export, or tile another raster to go on."
        )
    thought, embeddings = _think(project, pool, entry, learner, seed, device, monitor.part(0.0, 0.6))
    fitted_after = time.perf_counter()
    if budget > pool.eligible.size:
        monitor.warn(f"Only {pool.eligible.size} tiles are left to ask; all of them are chosen.")
    ruled_out = _set_aside(project, pool, strategy)
    selection = select(
        strategy,
        Pool(embeddings, thought, pool.training, pool.eligible, ruled_out, pool.training_targets),
        budget,
        seed=_round_seed(project, seed),
        parameters=parameters,
        device=device,
        monitor=monitor.part(0.6, 1.0),
    )
    facts: dict[str, Any] = {
        "chosen_by": selection.strategy,
        "query_seconds": time.perf_counter() - fitted_after,
        **learnt_with,
    }
    if selection.set_aside.size:
        facts[SET_ASIDE] = pool.embeddings.tile_ids[selection.set_aside].tolist()
    return _record(project, pool, selection, strategy, settings, seed, budget, facts)


def _think(
    project: Project,
    pool: LabelledPool,
    entry: Strategy,
    learner: Choice,
    seed: int,
    device: str,
    monitor: Monitor,
) -> tuple[Predictions | None, Rows]:
    """What the learner thinks of every tile, if the query function cares and there is anything to learn from.

    With it come the embeddings in which to choose: a network that was trained on the tiles has better ones of its own.
    """
    wanted = entry.needs | entry.uses
    if "predictions" not in wanted or not pool.can_learn:
        return None, pool.embeddings.matrix
    if "samples" in entry.needs and learner.settings().get("dropout") == 0.0:
        raise no_samples(entry)  # now, and not after minutes of training
    losses = "losses" in wanted
    model = fit(project, pool, learner, seed=seed, losses=losses, device=device, monitor=monitor.part(0.0, 0.8))
    thought = predictions(project, pool, model, seed=seed, device=device, monitor=monitor.part(0.8, 1.0))
    remember(project, pool, model, thought.probabilities)
    return thought, model.features


def latest_learner(project: Project) -> Choice:
    """The learner that was named for the latest round of a query function, else the default.

    One that only came with the query function was published to choose tiles with, not to make the best map.
    """
    latest = next((item for item in reversed(rounds(project)) if item.strategy != VALIDATION_SAMPLE), None)
    if latest is None or not latest.metrics.get("learner_named"):
        return default_learner(label_mode(project.mode))
    return Choice(latest.metrics["learner"], latest.metrics["learner_parameters"])


def query_validation(project: Project, budget: int, *, seed: int = 0, pool: LabelledPool | None = None) -> QueriedRound:
    """Choose tiles of the validation sample that have no answer yet, at random. They are never trained on."""
    pool = pool or open_pool(project)
    if budget < 1:
        raise UsageError("The budget must be 1 or more.", hint="Say how many tiles you want to label, for example 64.")
    left = pool.unanswered_validation
    if left.size == 0:
        raise LearningError(
            "There is no validation tile left to label.",
            hint="A validation sample is drawn when rasters are tiled: give the share of tiles that it takes "
            "(--validation 0.1) with the next raster.",
        )
    rows = np.random.default_rng(_round_seed(project, seed)).permutation(left)[:budget]
    reasons = ("drawn at random for the validation sample",) * rows.size
    selection = Selection(rows, np.zeros(rows.size), reasons, VALIDATION_SAMPLE)
    return _record(project, pool, selection, VALIDATION_SAMPLE, {}, seed, budget, {})


def train(
    project: Project,
    *,
    seed: int = 0,
    learner: Choice | None = None,
    goal: float | None = None,
    device: str = "cpu",
    pool: LabelledPool | None = None,
    monitor: Monitor = SILENT,
) -> Training:
    """Fit the learner on all answers, score it on the validation sample, and say whether to stop.

    The latest round that has an answer remembers the scores: they are what its labels led to. ``goal`` is the main
    score at which to stop, by default that of the project.

    Raises:
        UsageError: a goal that cannot be reached.
        LearningError: no labels, or a single class in a single-label project.
    """
    goal = goal_of(project) if goal is None else check_goal(goal)
    pool = pool or open_pool(project)
    scored = _fit_and_score(project, pool, learner, seed, device, monitor)
    latest = _latest_answered_round(project)
    round_id = latest.round_id if latest else 0
    training = replace(scored, agreement=agreement_with_round_before(project, pool, scored.model, round_id))
    return replace(training, advice=advise(_checked_rounds(project, latest, training), goal))


def _checked_rounds(project: Project, latest: RoundRecord | None, training: Training) -> list[Checked]:
    """All trained rounds with this training as the last, written into the round whose labels led to it, if any."""
    if latest is None:  # labels that no round asked for
        return [*history(project), checked(training.facts(), project.mode)]
    set_round_metrics(project, latest.round_id, {**latest.metrics, **training.facts()})
    return history(project)


def predict(
    project: Project,
    *,
    seed: int = 0,
    learner: Choice | None = None,
    device: str = "cpu",
    pool: LabelledPool | None = None,
    monitor: Monitor = SILENT,
) -> Predicted:
    """Class or classes, probability and uncertainty for every tile, written into the project.

    The probabilities are calibrated by cross-validation, see :func:`.fitting.calibrated`.

    Single-label: the most probable class and its probability. Multi-label: every class above 0.5; the tile's
    probability is the mean over classes of how sure the yes or no is.
    """
    pool = pool or open_pool(project)
    training = _fit_and_score(project, pool, learner, seed, device, monitor.part(0.0, 0.3))
    honest = calibrated(project, pool, training.model, seed=seed, device=device, monitor=monitor.part(0.3, 0.5))
    probabilities = honest.predict(monitor=monitor.part(0.5, 0.6))
    decided = decide(probabilities, pool.mode, pool.seen)
    found = tile_predictions(pool, probabilities, decided, monitor.part(0.6, 1.0))
    written = write_predictions(project, found, model=training.model.key)
    per_class = {item.name: int(decided[:, index].sum()) for index, item in enumerate(pool.classes)}
    monitor.advance(1.0, "Predictions written")
    return Predicted(written, per_class, training)


def _fit_and_score(
    project: Project, pool: LabelledPool, learner: Choice | None, seed: int, device: str, monitor: Monitor
) -> Training:
    started = time.perf_counter()
    model = fit(project, pool, learner or latest_learner(project), seed=seed, device=device, monitor=monitor)
    metrics: dict[str, float] = {}
    interval = None
    if pool.validation.size:
        probabilities = model.predict(pool.validation)
        metrics = scores(probabilities, pool.validation_targets, pool.mode, pool.seen)
        interval = score_interval(probabilities, pool.validation_targets, pool.mode, pool.seen)
    seconds = time.perf_counter() - started
    return Training(model, pool.training.size, pool.validation.size, metrics, seconds, interval)


def _latest_answered_round(project: Project) -> RoundRecord | None:
    """The newest round of a query function of whose tiles at least one has an answer."""
    answered = rounds_asking(project, current_answers(project).keys())
    return next((item for item in answered if item.strategy != VALIDATION_SAMPLE), None)


def _set_aside(project: Project, pool: LabelledPool, strategy: str) -> np.ndarray:
    """Global indices that earlier rounds of the same query function ruled out for good."""
    tile_ids = {
        tile_id
        for item in rounds(project)
        if item.strategy == strategy and item.encoder == pool.embeddings.encoder
        for tile_id in item.metrics.get(SET_ASIDE, ())
    }
    return pool.embeddings.rows_of(sorted(tile_ids))


def _round_seed(project: Project, seed: int) -> int:
    """Another seed for every round, the same for the same round of the same experiment."""
    return int(np.random.SeedSequence([seed, len(rounds(project))]).generate_state(1)[0])


def _record(
    project: Project,
    pool: LabelledPool,
    selection: Selection,
    strategy: str,
    parameters: dict[str, Any],
    seed: int,
    budget: int,
    facts: dict[str, Any],
) -> QueriedRound:
    tile_ids = [int(tile_id) for tile_id in pool.embeddings.tile_ids[selection.indices]]
    utilities = [None if strategy == VALIDATION_SAMPLE else float(value) for value in selection.utilities]
    ranks = range(1, len(tile_ids) + 1)
    picks = [Pick(*pick) for pick in zip(tile_ids, ranks, utilities, selection.reasons, strict=True)]
    round_id = record_round(
        project,
        strategy=strategy,
        parameters=parameters,
        seed=seed,
        encoder=pool.embeddings.encoder,
        budget=budget,
        picks=picks,
        metrics=facts,
    )
    asked_from = pool.unanswered_validation if strategy == VALIDATION_SAMPLE else pool.eligible
    return QueriedRound(round_id, strategy, selection.strategy, tile_ids, asked_from.size)
