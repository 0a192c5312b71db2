"""The second paper's experiment: uncertainty, then diversity, on UC Merced, several classes a tile.

As published: 40 labels drawn at random, then 10, 20 or 40 a round up to 400; loss ordering, temporal discrepancy and
gradient magnitude (``ll``, ``tpd``, ``mge``), each alone and with clustering, against random. ``paper2`` has frozen
embeddings and a linear model on them, begun anew every round (cold) or where the last one ended (warm), and all other
functions for tiles of several classes. ``paper2-finetuned`` trains DenseNet121 end to end as the paper did, which
takes a GPU half an hour a run or more.

A learnt loss needs hidden features. On a linear model it has the embedding alone, so the loss functions also run with
the hidden layer that they are registered with; random runs with it too, or there would be nothing to compare with.
"""

from __future__ import annotations

from ...models import Choice
from ...strategies.registry import STRATEGIES
from ..plan import Plan
from .base import LINEAR, Experiment, Setting

OF_THE_PAPER = ("random", "ll", "tpd", "mge", "ll+clustering", "tpd+clustering", "mge+clustering")
WARM = Choice("linear", {"warm": True})
HIDDEN = Choice("hidden")
FINETUNED = Choice("finetune:paper")
_SETTING = Setting(mode="multi", budgets=(10, 20, 40), labels=400, initial=40)


def strategies() -> tuple[str, ...]:
    """The paper's query functions, then all others for tiles of several classes."""
    others = (entry.name for entry in STRATEGIES.entries() if "multi" in entry.modes)
    return tuple(dict.fromkeys((*OF_THE_PAPER, *others)))


def _frozen(setting: Setting) -> list[Plan]:
    if setting.learners:
        return list(setting.plans(setting.pairs(strategies())))
    chosen = setting.chosen(strategies())
    pairs = [(name, LINEAR) for name in chosen]
    pairs += [(name, WARM) for name in chosen if name in OF_THE_PAPER]
    if hidden := [name for name in chosen if STRATEGIES.find(name).learner == HIDDEN.name]:
        pairs += [(name, HIDDEN) for name in chosen if name in ("random", *hidden)]
    return list(setting.plans(pairs))


def _finetuned(setting: Setting) -> list[Plan]:
    return list(setting.plans(setting.pairs(OF_THE_PAPER, (FINETUNED,))))


EXPERIMENTS = (
    Experiment(
        "paper2",
        "Query functions for tiles of several classes",
        "The experiment of the multi-label paper (UC Merced) on frozen embeddings, and every other query function.",
        _frozen,
        _SETTING,
        baseline={"strategy": "random"},
        modes=("multi",),
    ),
    Experiment(
        "paper2-finetuned",
        "Query functions for tiles of several classes, with DenseNet121 trained end to end",
        "The experiment of the multi-label paper as it was made: a whole network every round, for a GPU.",
        _finetuned,
        _SETTING,
        baseline={"strategy": "random"},
        modes=("multi",),
        devices=("cuda",),
    ),
)
