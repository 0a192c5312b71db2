"""Colours and keys for classes that come without.

The first seven colours are the ones of Okabe and Ito ("Color Universal Design", 2008). The next thirteen were added
one at a time from a 5 x 5 x 5 grid of RGB, each the farthest in CIELAB from all before it, where the distance is the
smallest of those seen with normal, protanopic and deuteranopic vision (simulated after Machado et al. 2009). No two
of the twenty are closer than 16.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterator

PALETTE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#2222EE", "#552222", "#EEEEBB",
    "#552255", "#222288", "#BBEEEE", "#8855EE", "#EEEE88", "#EE2255", "#2222BB", "#555522", "#EE8855", "#8888EE",
)  # fmt: skip

COMMAND_KEYS = {"s": "skip", "u": "unsure", "n": "none of these"}
KEYS = "123456789abcdefghijklmopqrtvwxyz"

# Of the step widths and sets of shades that were tried, these keep the colours farthest apart: among the first 40, any
# two differ by at least 26 of 255 levels in red, green or blue; among the first 100, by 11.
_HUE_STEP = 0.7548776662466927  # of a full turn; 1 / plastic number
_SHADES = ((0.3, 0.8), (0.5, 1.0), (0.7, 0.6), (0.45, 0.4), (0.8, 0.9))  # lightness, saturation


def colours() -> Iterator[str]:
    """The twenty colours, then some thousands of new ones; none twice."""
    yield from PALETTE
    seen = set(PALETTE)
    for number in itertools.count():
        lightness, saturation = _SHADES[number % len(_SHADES)]
        rgb = colorsys.hls_to_rgb(number * _HUE_STEP % 1.0, lightness, saturation)
        colour = "#" + "".join(f"{round(255 * level):02X}" for level in rgb)
        if colour not in seen:
            seen.add(colour)
            yield colour
