"""Which items are set apart, decided by a seed and by nothing else: no label is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError


def held_out(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """A random share of ``count`` items, (count,) bool, rounded to whole items.

    Whoever trains and whoever tests on the same list of items must draw with the same share and seed.

    Raises:
        UsageError: a share that leaves nothing to learn from, or is below 0.
    """
    if not 0.0 <= share < 1.0:
        raise UsageError(
            f"The share to hold out must lie from 0 to below 1, not {share:g}.", hint="The usual is 0.2 (--holdout)."
        )
    apart = np.zeros(count, bool)
    apart[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return apart
