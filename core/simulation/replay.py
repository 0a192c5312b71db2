"""One run of an experiment: labelling replayed, round by round, with the labels of an archive as the analyst.

A round is that of a project (:mod:`..rounds`), on arrays: a query function chooses, the oracle answers, the learner is
fitted on all answers, and what it became chooses next. The learner and the query function are handed the pool alone:
its embeddings, its tiles, its labels, and nothing else. So nothing of a test or validation tile can have a part in a
choice, neither by its neighbours nor by the mean of a column. The fitted learner is asked about those tiles afterwards.

Two kinds of indices meet here. Inside a run a row is a place in the pool, as everywhere else in the engine. Whatever
goes in and out (the dataset, the split, :attr:`Turn.asked`) has rows of the dataset.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..kernels import Device, Floats, Indices, Rows, column_moments, finite_rows, sparing
from ..learners.base import Arrays, Fitted, Keep, Run, Task, make_anew
from ..learners.registry import LEARNERS, fit
from ..metrics import seen_classes
from ..models import Model, predictions, temperature_of
from ..monitor import SILENT, Monitor
from ..project.stopping import Checked, advise
from ..stability import kappa
from ..strategies.base import NO_ROWS, Pool, Predictions, Selection, without
from ..strategies.registry import STRATEGIES, no_samples, select
from .dataset import Dataset, Targets, Vectors
from .examining import Estimate, Examiner, decided
from .plan import Plan, RoundResult
from .results import learner_label, strategy_label
from .splits import Parts, Split, parts_of

_SCORES = ("accuracy", "macro_f1", "micro_f1", "mean_average_precision")


@dataclass(frozen=True)
class Turn:
    """A round: the rows (n,) of the dataset that were asked about, most useful first, and what came of it."""

    asked: Indices
    result: RoundResult


def replay(
    dataset: Dataset,
    vectors: Vectors,
    split: Split,
    plan: Plan,
    *,
    keep: Keep | None = None,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> Iterator[RoundResult]:
    """The rounds of a run, each as soon as it is over; see :func:`turns`."""
    for turn in turns(dataset, vectors, split, plan, keep=keep, device=device, monitor=monitor):
        yield turn.result


def turns(
    dataset: Dataset,
    vectors: Vectors,
    split: Split,
    plan: Plan,
    *,
    keep: Keep | None = None,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> Iterator[Turn]:
    """The rounds of a run and what was asked in each.

    The run ends after ``plan.rounds`` rounds, or when its goal is reached, or when every tile of the pool has a label.

    Args:
        dataset: with the labels that the oracle answers with.
        vectors: (N, d) of its rows.
        split: which rows may be asked, which test and which estimate.
        plan: what is asked, with what learner.
        keep: gives back what depends on the pool's embeddings alone, for runs that share them; for this one by default.
        device: where to compute.
        monitor: progress, cancellation and remarks.

    Raises:
        UsageError: a plan that cannot be carried out, see :func:`check_plan`.
        LearningError: the query function needs what the learner does not have.
        Cancelled: the caller asked to stop.
    """
    parts = askable(dataset, vectors, split, plan)
    check_plan(dataset, plan, len(parts.pool))
    run = _Run(_ground(dataset, vectors, split, plan, parts, keep or remembering(), device, monitor))
    numbers = range(0 if plan.initial else 1, plan.rounds + 1)
    for place, number in enumerate(numbers):
        part = monitor.part(place / len(numbers), (place + 1) / len(numbers))
        turn = run.turn(number, round_seed(plan.seed, place), part)
        yield turn
        if not run.eligible.size or (plan.goal is not None and turn.result.score >= plan.goal):
            return


def askable(dataset: Dataset, vectors: Vectors, split: Split, plan: Plan) -> Parts:
    """The parts of a run, its pool as far as the vectors are finite.

    Raises:
        UsageError: as :func:`.splits.parts_of`.
    """
    parts = parts_of(dataset, split, plan)
    return replace(parts, pool=parts.pool[finite_rows(np.asarray(vectors.matrix[parts.pool]))])


def check_plan(dataset: Dataset, plan: Plan, pool_size: int) -> None:
    """Refuse at once what would fail after minutes, with a pool of so many tiles.

    Raises:
        UsageError: an unknown query function, learner or parameter, one that does not suit the dataset's label mode,
            no tile to ask for, or more than the pool has.
        LearningError: the query function needs versions of the learner, and it has none.
    """
    strategy, beginning = STRATEGIES.find(plan.strategy), STRATEGIES.find(plan.initial_by)
    learner = LEARNERS.find(plan.learner.name)
    STRATEGIES.settings(strategy, plan.parameters)
    for entry in (strategy, beginning):
        STRATEGIES.check_mode(entry, dataset.mode)
    LEARNERS.check_mode(learner, dataset.mode)
    if plan.learner.settings().get("dropout") == 0.0 and "samples" in strategy.needs:
        raise no_samples(strategy)
    if plan.budget < 1 or plan.rounds < 1 or plan.initial < 0:
        raise UsageError(
            f"A run of {plan.rounds} rounds with {plan.budget} tiles each asks for nothing.",
            hint="Use 1 or more of both (--rounds, --budget).",
        )
    if pool_size < plan.initial + plan.budget:
        wanted = f"{plan.initial} tiles to begin with and {plan.budget} a round" if plan.initial else f"{plan.budget}"
        raise UsageError(
            f"The pool has {pool_size} tiles, fewer than the {wanted} that are asked for.",
            hint="Ask for fewer (--budget, --initial), hold out fewer (--holdout, --validation), or use more images.",
        )


def remembering(keep: Keep = make_anew) -> Keep:
    """A :class:`Keep` that has what another one gave it in memory, for as long as it is there itself."""
    kept: dict[str, Arrays] = {}

    def remember(name: str, make: Callable[[], Arrays]) -> Arrays:
        if name not in kept:
            kept[name] = keep(name, make)
        return kept[name]

    return remember


def round_seed(seed: int, earlier: int) -> int:
    """Another seed for every round, the same for every run with this seed after as many ``earlier`` rounds."""
    return int(np.random.SeedSequence([seed, earlier]).generate_state(1)[0])


@dataclass(frozen=True)
class _Ground:
    """What does not change in a run.

    test (T,), validation (V,), rows (P,): of the dataset, the last those of the pool; matrix, targets, moments: the
    pool's.
    """

    dataset: Dataset
    vectors: Vectors
    plan: Plan
    test: Indices
    validation: Indices
    rows: Indices
    matrix: Rows
    targets: Targets
    moments: tuple[Floats, Floats]
    keep: Keep
    device: Device

    def pixels(self, rows: Indices) -> Floats:
        """Reflectance (n, bands, S, S) of places in the pool."""
        return self.dataset.tiles.read(self.rows[rows])


def _ground(
    dataset: Dataset,
    vectors: Vectors,
    split: Split,
    plan: Plan,
    parts: Parts,
    keep: Keep,
    device: Device,
    monitor: Monitor,
) -> _Ground:
    rows = parts.pool
    matrix = np.asarray(vectors.matrix[rows])
    moments = column_moments(matrix, device=device, monitor=Monitor(is_cancelled=monitor.is_cancelled))
    targets = dataset.targets[rows]
    return _Ground(dataset, vectors, plan, split.test, parts.validation, rows, matrix, targets, moments, keep, device)


class _Run:
    """What is known so far, and what happens next; its indices are places in the pool."""

    def __init__(self, ground: _Ground) -> None:
        self.ground = ground
        self.labelled = NO_ROWS
        self.set_aside = NO_ROWS
        self.model: Model | None = None
        self.thought: Predictions | None = None
        self.decided: NDArray[np.bool_] | None = None
        self.history: list[Checked] = []

    @property
    def eligible(self) -> Indices:
        """Places that have no label yet."""
        count = len(self.ground.rows)
        return without(np.arange(count), self.labelled, count)

    @property
    def known(self) -> Targets:
        """The labels of ``labelled``."""
        return self.ground.targets[self.labelled]

    def turn(self, number: int, seed: int, monitor: Monitor) -> Turn:
        """Ask, answer, learn, and see how good that is."""
        started = time.perf_counter()
        selection = self._ask(number, seed, monitor.part(0.0, 0.4))
        asked_after = time.perf_counter()
        self.labelled = np.union1d(self.labelled, selection.indices)
        self.set_aside = np.union1d(self.set_aside, selection.set_aside)
        seconds = self._learn(monitor.part(0.4, 0.9))
        result = self._result(number, selection.strategy, monitor.part(0.9, 1.0))
        result = replace(result, query_seconds=asked_after - started, train_seconds=seconds)
        return Turn(self.ground.rows[selection.indices], result)

    def _ask(self, number: int, seed: int, monitor: Monitor) -> Selection:
        ground, plan = self.ground, self.ground.plan
        name, budget = (plan.strategy, plan.budget) if number else (plan.initial_by, plan.initial)
        entry = STRATEGIES.find(name)
        cares = bool(number) and "predictions" in entry.needs | entry.uses
        return select(
            name,
            Pool(
                self.model.features if cares and self.model is not None else ground.matrix,
                self.thought if cares else None,
                self.labelled,
                self.eligible,
                self.set_aside,
                self.known,
            ),
            budget,
            seed=seed,
            parameters=plan.parameters if number else {},
            device=ground.device,
            monitor=monitor,
        )

    def _learn(self, monitor: Monitor) -> float:
        """Fit the learner on all answers, if anything can be learnt from them; the seconds that it took."""
        ground, plan = self.ground, self.ground.plan
        if ground.dataset.mode == "single" and len(np.unique(self.known)) < 2:
            return 0.0
        task = self._task()
        start = None if self.model is None else self.model.fitted.state

        fitting, started = monitor.part(0.0, 0.8), time.perf_counter()

        def fitted_on(where: Device) -> Fitted:
            return fit(plan.learner.name, task, Run(plan.seed, start, where, fitting), plan.learner.parameters)

        fitted = sparing(fitted_on, ground.device, monitor)
        seconds = time.perf_counter() - started
        model = Model(plan.learner, "", fitted, ground.matrix)
        self.thought = predictions(
            model,
            ground.dataset.mode,
            class_names=ground.dataset.classes,
            calibrated=lambda: self._calibrated(model, task, monitor),
            previous=None if self.thought is None else self.thought.probabilities,
            monitor=monitor.part(0.8, 1.0),
        )
        self.model = model
        return seconds

    def _task(self) -> Task:
        ground, entry = self.ground, STRATEGIES.find(self.ground.plan.strategy)
        return Task(
            embeddings=ground.matrix,
            labelled=self.labelled,
            targets=self.known,
            n_classes=ground.dataset.n_classes,
            mode=ground.dataset.mode,
            unlabelled=self.eligible,
            moments=ground.moments,
            pixels=ground.pixels,
            bands=tuple(ground.dataset.tiles.bands),
            losses="losses" in entry.needs | entry.uses,
            keep=ground.keep,
        )

    def _calibrated(self, model: Model, task: Task, monitor: Monitor) -> Floats:
        """Probabilities (P, C) that are as often right as they say, as :func:`..fitting.calibrated` has them."""
        plan, quiet = self.ground.plan, Monitor(is_cancelled=monitor.is_cancelled)
        found = temperature_of(plan.learner, lambda: task, seed=plan.seed, device=self.ground.device, monitor=quiet)
        return (model if found is None else model.at(found)).predict(monitor=quiet)

    def _result(self, number: int, chosen_by: str, monitor: Monitor) -> RoundResult:
        """The row of the round; the times are filled in by the caller."""
        ground, plan = self.ground, self.ground.plan
        seen = seen_classes(self.known, ground.dataset.n_classes)
        tested: dict[str, float] = {}
        found, agreed = Estimate(len(ground.validation)), None
        if self.model is not None and self.thought is not None:
            examiner = Examiner(ground.dataset, ground.vectors, self.model, seen)
            tested = examiner.scores(ground.test, monitor.part(0.0, 0.6))
            found = examiner.estimate(ground.validation, monitor.part(0.6, 1.0))
            before, self.decided = self.decided, decided(self.thought, seen)
            agreed = None if before is None else kappa(before, self.decided, ground.dataset.mode)
            self.history.append(Checked(len(self.labelled), found.labels, found.score, found.interval, agreed))
        low, high = found.interval or (math.nan, math.nan)
        return RoundResult(
            dataset=ground.dataset.name,
            encoder=ground.vectors.encoder,
            variant=plan.variant,
            strategy=strategy_label(plan),
            learner=learner_label(plan),
            budget=plan.budget,
            initial=plan.initial,
            initial_by=plan.initial_by,
            seed=plan.seed,
            round=number,
            labels=len(self.labelled),
            classes_seen=int(seen.sum()),
            chosen_by=chosen_by,
            **{name: tested.get(name, math.nan) for name in _SCORES},
            validation_labels=found.labels,
            estimate=math.nan if found.score is None else found.score,
            estimate_low=low,
            estimate_high=high,
            agreement=math.nan if agreed is None else agreed,
            stop=advise(self.history).stop,
            query_seconds=0.0,
            train_seconds=0.0,
            learner_parameters=0 if self.model is None else self.model.fitted.trained,
        )
