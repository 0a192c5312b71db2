"""Which of a round's scores is shown first, and how sure it is."""

from __future__ import annotations

import math

_Z_95 = 1.959964


def main_score(mode: str) -> str:
    """The score that learning curves show, as a round's metrics name it."""
    return "accuracy" if mode == "single" else "micro_f1"


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share that was found in ``count`` random draws, after Wilson (1927).

    Unlike the textbook interval it stays between 0 and 1 and is not empty when all draws agree.
    """
    shrink = 1 + _Z_95**2 / count
    centre = (share + _Z_95**2 / (2 * count)) / shrink
    half = _Z_95 / shrink * math.sqrt(share * (1 - share) / count + _Z_95**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)
