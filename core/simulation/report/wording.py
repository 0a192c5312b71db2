"""Numbers as a report writes them, and the few sentences that are made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOTHING = "–"
SCORES = {
    "accuracy": "accuracy",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean average precision",
}
MULTI_SCORES = ("micro_f1", "macro_f1", "mean_average_precision")
"""What is shown of tiles with several classes, the main score first."""


def percent(share: float | None) -> str:
    """0.9 is ``90.0 %``."""
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def mean_and_spread(mean: float, spread: float) -> str:
    """Of shares: ``90.0 % ± 1.2``; a single one has no spread."""
    return f"{percent(mean)} ± {NOTHING if math.isnan(spread) else f'{100 * spread:.1f}'}"


def in_percent(mean: float, spread: float) -> str:
    """The same for a table that says the unit for all: ``90.0 ± 1.2``, which keeps a wide one narrow."""
    return mean_and_spread(mean, spread).replace(" %", "")


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, always with its sign: 0.021 is ``+2.1``."""
    return NOTHING if difference is None or math.isnan(difference) else _signed(100 * difference, 1)


def seconds(duration: float | None) -> str:
    """Three decimals below a second, else two."""
    if duration is None or math.isnan(duration):
        return NOTHING
    return "< 0.001" if 0 < duration < 0.001 else f"{duration:.{3 if duration < 1 else 2}f}"


def whole(count: float | None) -> str:
    """12345.4 is ``12,345``."""
    return NOTHING if count is None or math.isnan(count) else f"{count:,.0f}"


def more(count: float | None) -> str:
    """A difference of counts, always with its sign."""
    return NOTHING if count is None or math.isnan(count) else _signed(count, 0)


def probability(p: float | None) -> str:
    """0.0002 is ``< 0.001``."""
    if p is None or math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def counted(count: int, one: str, many: str = "") -> str:
    """``1 run``, ``2 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def interval(low: str, high: str) -> str:
    """Two ends, as they are written, of an interval that may not be known."""
    return NOTHING if NOTHING in (low, high) else f"{low} to {high}"


def capital(text: str) -> str:
    """With a capital at the beginning, all else as it is."""
    return text[:1].upper() + text[1:]


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+,.{decimals}f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", "\N{MINUS SIGN}")
