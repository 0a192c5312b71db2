"""What ``quadrat query --help`` says about the query functions.

Help answers at once, and the query functions stand on torch, which takes a second to import. So names and parameters
are written here a second time. ``tests/core/test_strategies_command.py`` holds them against the registry, and where
they differ it prints the table as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..catalogue import as_typed

if TYPE_CHECKING:
    from ..strategies.base import Strategy

QUERY_FUNCTIONS: Mapping[str, str] = {
    "badge": "",
    "bald": "passes=10",
    "bald+clustering": "multiple=3, passes=10",
    "cvirs": "multi-label only",
    "cvirs+clustering": "multiple=3, multi-label only",
    "drop_query": "passes=3, dropout=0.75",
    "entropy": "",
    "entropy+clustering": "multiple=3",
    "fps": "",
    "kmeans": "most_clusters=200",
    "least_confidence": "",
    "least_confidence+clustering": "multiple=3",
    "ll": "",
    "ll+clustering": "multiple=3",
    "margin": "",
    "margin+clustering": "multiple=3",
    "max_herding": "anchors=10000, sigma=1.0",
    "mcfps": "neighbours=15, passes=10, sure=0.8, average=probabilities, skip_for_good=false",
    "mcfps:paper": "neighbours=15, passes=10, sure=0.8, average=logits, skip_for_good=true",
    "mge": "bias=true",
    "mge+clustering": "multiple=3, bias=true",
    "mmc": "multi-label only",
    "mmc+clustering": "multiple=3, multi-label only",
    "osal": "most_clusters=10",
    "power_bald": "passes=10, power=1.0",
    "power_bald+clustering": "multiple=3, passes=10, power=1.0",
    "prob_cover": "anchors=2000, delta=0.0, clusters=0",
    "random": "",
    "tpd": "",
    "tpd+clustering": "multiple=3",
    "typiclust": "most_clusters=500, neighbours=20",
    "uherding": "anchors=10000",
}

# Older versions of typer make one paragraph of these lines, so each ends with a comma.
HELP = "Query functions, and what may be set by -p NAME=VALUE; `quadrat strategies NAME` explains one:\n" + ",\n".join(
    f"{name} ({notes})" if notes else name for name, notes in QUERY_FUNCTIONS.items()
)


def in_short(strategy: Strategy) -> str:
    """The parameters of a query function with their defaults, and the label mode if it has only one."""
    only = [f"{mode}-label only" for mode in strategy.modes] if len(strategy.modes) == 1 else []
    return ", ".join([*(f"{name}={as_typed(value)}" for name, value in strategy.defaults.items()), *only])
