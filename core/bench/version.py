"""What another way to compute the same is: a plain version, or that of a peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .ground import Ground

Array = NDArray[Any]
Make = Callable[[Ground], Callable[[], Array]]
"""Get ready, which is not measured, and return the action that is."""
PASSES = 10
"""Of Monte Carlo dropout, t."""


@dataclass(frozen=True)
class Version:
    """Another way to compute the same. ``what``: in a few words. ``exact``: its result has to be
    ours. A single number is a score, of which only the difference is told.
    """

    make: Make
    what: str
    exact: bool = False
