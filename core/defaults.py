"""What chooses and what learns unless somebody names another: decided by experiments, see docs/benchmarks.md.

Which query function is best depends on the label mode, and so does the learner.

With one class a tile, doubtful tiles are asked about, but not many alike in a round. That was as good as anything else
on every set of embeddings, where each of the others fell behind on one. Stretching labels over tiles that look alike
gains points on an archive of pure patches and loses as many on a landscape of mixed ones, so the labels choose.

With several classes a tile, the function that covers uncertain tiles is ahead, and with it the plain learner.
"""

from __future__ import annotations

from .catalogue import Mode
from .models import Choice
from .strategies.registry import STRATEGIES

BUDGET = 64
_STRATEGIES: dict[Mode, str] = {"single": "margin+clustering", "multi": "uherding"}
_LEARNERS: dict[Mode, str] = {"single": "auto", "multi": "linear"}


def default_strategy(mode: Mode) -> str:
    """The query function, by name."""
    return _STRATEGIES[mode]


def default_learner(mode: Mode, strategy: str = "") -> Choice:
    """The learner: the one that the query function was published with, where it asks for one, else the mode's."""
    own = STRATEGIES.find(strategy).learner if strategy else ""
    return Choice(own or _LEARNERS[mode])
