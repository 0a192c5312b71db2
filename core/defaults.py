"""What chooses and what learns unless somebody names another: decided by experiments, see docs/benchmarks.md.

Both depend on the label mode. Where a tile has one class, labels are stretched over the tiles that look alike, which is
worth most while there are few; where it has several, that is worth nothing, and query functions differ more.
"""

from __future__ import annotations

from .catalogue import Mode
from .models import Choice
from .strategies.registry import STRATEGIES

BUDGET = 64
_STRATEGIES: dict[Mode, str] = {"single": "margin", "multi": "uherding"}
_LEARNERS: dict[Mode, str] = {"single": "semi_supervised", "multi": "linear"}


def default_strategy(mode: Mode) -> str:
    """The query function, by name."""
    return _STRATEGIES[mode]


def default_learner(mode: Mode, strategy: str = "") -> Choice:
    """The learner: the one that the query function was published with, where it asks for one, else the mode's own."""
    own = STRATEGIES.find(strategy).learner if strategy else ""
    return Choice(own or _LEARNERS[mode])
