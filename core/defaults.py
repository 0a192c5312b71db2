"""What chooses and what learns unless somebody names another: decided by experiments, see docs/benchmarks.md.

Which query function is best depends on the label mode. Which learner is best depends on the imagery: one that stretches
labels over tiles that look alike gains eight points on an archive of pure patches and loses four on a landscape of
mixed ones. So the labels choose.
"""

from __future__ import annotations

from .catalogue import Mode
from .models import Choice
from .strategies.registry import STRATEGIES

BUDGET = 64
_STRATEGIES: dict[Mode, str] = {"single": "margin", "multi": "uherding"}
_LEARNER = "auto"


def default_strategy(mode: Mode) -> str:
    """The query function, by name."""
    return _STRATEGIES[mode]


def default_learner(strategy: str = "") -> Choice:
    """The learner: the one that the query function was published with, where it asks for one, else the usual."""
    own = STRATEGIES.find(strategy).learner if strategy else ""
    return Choice(own or _LEARNER)
