"""An experiment is a question, the runs that answer it, and a setting in which they are made.

The setting holds all that somebody may want to change: the command line takes an experiment's own one and replaces in
it what was asked for::

    setting = replace(experiment.defaults, mode=dataset.mode, seeds=(0, 1, 2))
    plans = experiment.plans(setting)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from ...catalogue import Mode
from ...defaults import default_learner
from ...errors import UsageError
from ...models import Choice
from ...strategies.registry import STRATEGIES
from ..plan import BALANCED, Plan
from .studies import Study

SEEDS = (0, 1, 2, 3, 4)
LINEAR = Choice("linear")
"""The learner on which query functions are compared, unless an experiment is about learners."""


@dataclass(frozen=True)
class Setting:
    """What may be changed in an experiment; each field is the experiment's own unless somebody changes it.

    mode: of the dataset. device: on which the runs are made. strategies: query functions; none for the experiment's
    own. learners: none for the experiment's own. budgets: tiles a round. labels: with how many a run ends. rounds: how
    many there are instead, or None. initial: tiles labelled before, chosen by initial_by. variants: of the pool, see
    :func:`..splits.thinned`. validation: tiles set apart to estimate the score. goal: the score to which labels are
    counted. stop_at_goal: whether runs end there. By default they go on, so that the mean over the seeds is one over
    all of them at every number of labels.
    """

    mode: Mode = "single"
    device: str = "cpu"
    seeds: tuple[int, ...] = SEEDS
    strategies: tuple[str, ...] = ()
    learners: tuple[Choice, ...] = ()
    budgets: tuple[int, ...] = (64,)
    labels: int = 512
    rounds: int | None = None
    initial: int = 0
    initial_by: str = "random"
    variants: tuple[str, ...] = (BALANCED,)
    validation: int = 0
    goal: float | None = None
    stop_at_goal: bool = False

    def rounds_of(self, budget: int) -> int:
        """How many rounds of ``budget`` tiles it takes to get to the last label, the last round not cut short."""
        return -(-max(self.labels - self.initial, 1) // budget) if self.rounds is None else self.rounds

    def plans(self, pairs: Iterable[tuple[str, Choice]]) -> Iterator[Plan]:
        """Some query functions with their learners, at every budget, in every variant, with every seed."""
        for (strategy, learner), budget, variant, seed in product(pairs, self.budgets, self.variants, self.seeds):
            yield Plan(
                strategy,
                learner,
                budget=budget,
                rounds=self.rounds_of(budget),
                initial=self.initial,
                initial_by=self.initial_by if self.initial else "random",
                seed=seed,
                variant=variant,
                validation=self.validation,
                goal=self.goal if self.stop_at_goal else None,
            )

    def chosen(self, own: Iterable[str]) -> tuple[str, ...]:
        """The query functions that were asked for, else those of the experiment's own that suit the label mode.

        Raises:
            UsageError: one that was asked for is not known, or does not suit the label mode.
        """
        if not self.strategies:
            return tuple(name for name in own if self.mode in STRATEGIES.find(name).modes)
        for name in self.strategies:
            STRATEGIES.check_mode(STRATEGIES.find(name), self.mode)
        return self.strategies

    def pairs(self, own: Iterable[str], learners: Iterable[Choice] = ()) -> list[tuple[str, Choice]]:
        """Each query function with each learner: those that were asked for, else ``own`` and ``learners``.

        Without any learners a query function has the one with which it was published, else the default.
        """
        wanted = self.learners or tuple(learners)
        return [
            (strategy, learner)
            for strategy in self.chosen(own)
            for learner in wanted or (default_learner(self.mode, strategy),)
        ]


@dataclass(frozen=True)
class Experiment:
    """A question and how it is answered.

    name, title, summary: for the command line and the report. make: the runs of a setting. defaults: the setting that
    is meant. baseline: what every series is compared with, see :func:`..evidence.ranking`. modes: of the datasets on
    which it has a meaning. devices: on which it can be made. studies: what is found out beside the runs.
    """

    name: str
    title: str
    summary: str
    make: Callable[[Setting], list[Plan]]
    defaults: Setting
    baseline: Mapping[str, Any]
    modes: tuple[Mode, ...] = ("single", "multi")
    devices: tuple[str, ...] = ("cpu", "cuda")
    studies: tuple[Study, ...] = ()

    def plans(self, setting: Setting) -> list[Plan]:
        """The runs, each once.

        Raises:
            UsageError: the label mode or the device is not one of the experiment's, or a query function or learner is
                not known or does not suit them.
        """
        if setting.mode not in self.modes:
            raise UsageError(
                f"The experiment {self.name} is about {self.modes[0]}-label datasets, and this one is "
                f"{setting.mode}-label.",
                hint="Choose another dataset or another experiment.",
            )
        if setting.device not in self.devices:
            raise UsageError(
                f"The experiment {self.name} trains whole networks, which takes weeks on the {setting.device}.",
                hint=f"Use a machine with a GPU (--device {self.devices[0]}), or an experiment on frozen embeddings.",
            )
        plans: list[Plan] = []
        for plan in self.make(setting):
            plan.learner.settings()
            if plan not in plans:
                plans.append(plan)
        return plans
