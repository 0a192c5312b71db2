"""The first paper's experiment: MCFPS on EuroSAT, one class a tile.

As published: 64 tiles a round, 8 rounds, 90 % to reach, the pool balanced and in four variants in which each class
lost a random share of its tiles. Beside the functions of the paper stand all others that can do it. Unlike the paper's,
the pool holds no test tile.

``mcfps:paper`` has the learner that it was published with, every other function the linear one, so that curves differ
by the function alone. To see what the learner is worth, name one for all: ``--learner linear:paper``.

As published, no tile has a label before the first round. Functions that need labels leave that round to the cold start,
and the others choose it themselves, so a difference from random holds that of the beginning, too. With ``--initial 64``
all begin with the same random tiles.
"""

from __future__ import annotations

from ...defaults import default_learner
from ...strategies.registry import STRATEGIES
from ..plan import BALANCED, Plan
from .base import LINEAR, Experiment, Setting
from .encoder_shares import ENCODER_SHARES
from .one_shot import ONE_SHOT
from .projection import PROJECTION

OF_THE_PAPER = ("random", "fps", "osal", "mcfps", "mcfps:paper")
VARIANTS = (BALANCED, *(f"unbalanced-{number}" for number in (1, 2, 3, 4)))


def strategies() -> tuple[str, ...]:
    """The paper's query functions, then all others for tiles of one class."""
    others = (entry.name for entry in STRATEGIES.entries() if "single" in entry.modes)
    return tuple(dict.fromkeys((*OF_THE_PAPER, *others)))


def _plans(setting: Setting) -> list[Plan]:
    if setting.learners:
        return list(setting.plans(setting.pairs(strategies())))
    # A preset is a publication, learner and all; a function for itself is compared on the learner of all others.
    pairs = [
        (name, default_learner("single", name) if ":" in name else LINEAR) for name in setting.chosen(strategies())
    ]
    return list(setting.plans(pairs))


EXPERIMENTS = (
    Experiment(
        "paper1",
        "Query functions for tiles of one class",
        "The experiment of the MCFPS paper (EuroSAT), and every other query function in it.",
        _plans,
        Setting(variants=VARIANTS, goal=0.9),
        baseline={"strategy": "random", "learner": "linear"},
        modes=("single",),
        studies=(PROJECTION, ENCODER_SHARES, ONE_SHOT),
    ),
)
