"""The experiments that choose our defaults: how to begin, what to ask, what to fit, how much at a time, when to stop.

Each changes one thing and leaves the rest as it is by default, for the same seeds, so that differences are paired.
"""

from __future__ import annotations

from dataclasses import replace

from ...defaults import default_strategy
from ...models import Choice
from ...strategies.registry import COLD_START, STRATEGIES
from ..plan import Plan
from .base import LINEAR, Experiment, Setting

AUTO = Choice("auto")
SEMI_SUPERVISED = Choice("semi_supervised")
BEGINNERS = ("random", "kmeans", "typiclust", "max_herding", "prob_cover", "osal")
"""Query functions that can choose without any label. ``fps`` needs one: asked for none, the cold start chooses."""
COMPARED = (
    LINEAR,
    AUTO,
    SEMI_SUPERVISED,
    *(Choice("semi_supervised", {"worth": worth}) for worth in (20.0, 40.0, 160.0)),
    Choice("hidden"),
)


def _begin(setting: Setting) -> list[Plan]:
    return list(setting.plans(setting.pairs(BEGINNERS, (LINEAR, AUTO))))


def _ask(setting: Setting) -> list[Plan]:
    every = tuple(entry.name for entry in STRATEGIES.entries())
    return list(setting.plans(setting.pairs(every, (LINEAR, AUTO))))


def _learn(setting: Setting) -> list[Plan]:
    return list(setting.plans(setting.pairs(("random", default_strategy(setting.mode)), COMPARED)))


def _spend(setting: Setting) -> list[Plan]:
    return list(setting.plans(setting.pairs((default_strategy(setting.mode),))))


def _stop(setting: Setting) -> list[Plan]:
    return list(setting.plans(setting.pairs((default_strategy(setting.mode), "random"))))


_SETTING = Setting(goal=0.9)

EXPERIMENTS = (
    Experiment(
        "cold-start",
        "How to begin",
        "The first labels by every query function that needs none before them.",
        _begin,
        replace(_SETTING, seeds=tuple(range(10)), budgets=(40, 64), rounds=1),
        baseline={"strategy": "random"},
    ),
    Experiment(
        "query-functions",
        "What to ask",
        "Every query function from the same beginning, with the plain learner and the default one.",
        _ask,
        replace(_SETTING, initial=64, initial_by=COLD_START),
        baseline={"strategy": "random"},
    ),
    Experiment(
        "learners",
        "What to fit",
        "Every learner on embeddings, with random tiles and with those of the default query function.",
        _learn,
        _SETTING,
        baseline={"learner": "linear"},
    ),
    Experiment(
        "budget",
        "How many tiles a round",
        "The same number of labels in small and in large rounds.",
        _spend,
        replace(_SETTING, budgets=(16, 32, 64, 128)),
        baseline={"budget": 64},
    ),
    Experiment(
        "stopping",
        "When to stop",
        "Rounds with a validation sample: how often the suggestion to stop is right, and what it saves.",
        _stop,
        replace(_SETTING, rounds=12, validation=250),
        baseline={"strategy": "random"},
    ),
)
