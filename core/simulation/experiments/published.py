"""What the papers report, to stand beside our own figures, and why the two cannot be compared as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["query_seconds", "micro_f1", "accuracy", "labels_to_goal"]


@dataclass(frozen=True)
class Published:
    """One figure of a paper.

    experiment: whose figure ours is. quantity: seconds, a score from 0 to 1, or labels. strategy: as it is called
    here. value: the figure; ``at_least`` where the paper only shows that it is more. group: ``balanced`` or
    ``unbalanced``. budget: tiles a round. labels: with how many. share: of the data, where it is given in place of
    labels. goal: the score that labels are counted to. source: paper and place. caveat: why ours differs.
    """

    experiment: str
    quantity: Quantity
    strategy: str
    value: float
    source: str
    caveat: str
    group: str = "balanced"
    at_least: bool = False
    budget: int | None = None
    labels: int | None = None
    share: float | None = None
    goal: float | None = None


_MCFPS = "MoCo and MC dropout based farthest point sampling (the MCFPS paper)"
_MULTI = "Möllenbrok, Sumbul and Demir 2023, IEEE Geoscience and Remote Sensing Letters"
_BY_EYE = (
    "Read off the figure by eye. The paper's pool held the test tiles, so tiles that were asked for were tested on, "
    "too; ours never does that. The encoder is another one."
)
_SHARE = "Given as about. The encoder and the test tiles are others."
_SECONDS = (
    "Measured on another machine, with DenseNet121 in place of frozen embeddings and a small head. For TPD the paper "
    "runs the model of the last round again; here its predictions are kept."
)
_TRAINED = (
    "DenseNet121 trained end to end every round, which paper2-finetuned does, too; paper2 has a linear model on frozen "
    "embeddings. Three trials, and 1050 of the 2100 images to choose from."
)


def _to_goal(strategy: str, value: float, group: str, at_least: bool = False) -> Published:
    return Published(
        "paper1",
        "labels_to_goal",
        strategy,
        value,
        f"{_MCFPS}, accuracy against labels",
        _BY_EYE,
        group,
        at_least,
        budget=64,
        goal=0.9,
    )


def _at_share(share: float, value: float) -> Published:
    return Published("paper1", "accuracy", "random", value, f"{_MCFPS}, linear evaluation of MoCo", _SHARE, share=share)


def _seconds(strategy: str, value: float) -> Published:
    return Published("paper2", "query_seconds", strategy, value, f"{_MULTI}, table I, UCMerced", _SECONDS, budget=20)


def _f1(strategy: str, labels: int, value: float) -> Published:
    return Published("paper2", "micro_f1", strategy, value, f"{_MULTI}, UCMerced", _TRAINED, labels=labels)


PUBLISHED = (
    _to_goal("mcfps", 190, "balanced"),
    _to_goal("random", 128, "balanced"),
    _to_goal("mcfps", 480, "unbalanced"),
    _to_goal("random", 700, "unbalanced", at_least=True),
    _at_share(0.02, 0.90),
    _at_share(0.05, 0.94),
    _at_share(0.10, 0.95),
    _seconds("ll", 7.25),
    _seconds("tpd", 10.84),
    _seconds("mge", 7.06),
    _f1("mge", 200, 0.7987),
    _f1("mge", 400, 0.8581),
    _f1("ll", 400, 0.8629),
)
