"""Which of a round's scores is shown first, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_Z_95 = 1.959964

LOW, HIGH = "interval_low", "interval_high"
"""Under which names a round's metrics keep the 95 % interval of its main score."""


def main_score(mode: str) -> str:
    """The score that learning curves show, as a round's metrics name it."""
    return "accuracy" if mode == "single" else "micro_f1"


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """The 95 % confidence interval of a share that was found in ``count`` random draws, after Wilson (1927).

    Unlike the textbook interval it stays between 0 and 1 and is not empty when all draws agree.
    """
    shrink = 1 + _Z_95**2 / count
    centre = (share + _Z_95**2 / (2 * count)) / shrink
    half = _Z_95 / shrink * math.sqrt(share * (1 - share) / count + _Z_95**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def known_interval(metrics: Mapping[str, Any], mode: str) -> tuple[float, float] | None:
    """The interval of a round's main score; None if nothing is known.

    Rounds of earlier versions kept none. Of an accuracy it can be told all the same, of an F1 score it cannot.
    """
    low, high = metrics.get(LOW), metrics.get(HIGH)
    if low is not None and high is not None:
        return low, high
    score, tiles = metrics.get(main_score(mode)), metrics.get("validation_labels")
    return wilson_interval(score, tiles) if mode == "single" and score is not None and tiles else None


def tiles_missing(interval: tuple[float, float], tiles: int, half: float) -> int:
    """How many more tiles, about, would narrow an interval found on ``tiles`` to its middle plus or minus ``half``.

    Wilson's interval of a middling share is that of an estimate from so many tiles and z² more, and narrows with the
    square root of these.
    """
    drawn = tiles + _Z_95**2
    return max(0, math.ceil(drawn * ((interval[1] - interval[0]) / 2 / half) ** 2 - drawn))
