"""Random fields: the irregularity that the demo's hills, woods, soils and clouds are made of.

All of them are Gaussian random fields with a von Karman spectrum: flat above a correlation length, falling with a
power law below it. They are drawn with a Fourier transform, coarsely where they are smooth anyway.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Field = NDArray[np.float32]


def fractal(rng: np.random.Generator, size_px: int, length_px: float, *, decay: float = 2.6, step: int = 1) -> Field:
    """A random field with mean 0 and standard deviation 1.

    Args:
        rng: source of randomness.
        size_px: height and width of the field.
        length_px: correlation length.
        decay: exponent of the power spectrum below ``length_px``; 2 is rugged, 4 is smooth.
        step: draw on a grid this many times coarser and interpolate; details below ``2 * step`` pixels are lost.

    Returns:
        (size_px, size_px) float32.
    """
    # A margin of one correlation length keeps the periodic transform from making opposite edges look alike.
    drawn = -(-size_px // step) + 2
    padded = fft.next_fast_len(drawn + int(min(length_px / step, drawn)), real=True)
    spectrum = fft.rfft2(rng.standard_normal((padded, padded), dtype=np.float32), workers=2)
    down = fft.fftfreq(padded)[:, None]
    across = fft.rfftfreq(padded)[None, :]
    squared = (length_px / step) ** 2 * (down**2 + across**2)
    spectrum *= ((1 + squared) ** (-decay / 2)).astype(np.float32)
    field = fft.irfft2(spectrum, s=(padded, padded), workers=2, overwrite_x=True)[:drawn, :drawn]
    field = (field - field.mean()) / field.std()
    return enlarge(field.astype(np.float32), step, size_px)


def enlarge(field: Field, step: int, size_px: int) -> Field:
    """Interpolate a coarse square field linearly to ``size_px`` pixels, ``step`` pixels to a cell."""
    if step == 1:
        return np.ascontiguousarray(field[:size_px, :size_px])
    # Along the first axis twice: whole rows are gathered many times faster than columns.
    across = _lengthen(np.ascontiguousarray(field.T), step, size_px)
    return _lengthen(np.ascontiguousarray(across.T), step, size_px)


def _lengthen(field: Field, step: int, size_px: int) -> Field:
    """Interpolate along the first axis, from cell centres to pixel centres."""
    position = np.minimum((np.arange(size_px, dtype=np.float32) + 0.5) / step, len(field) - 1.001)
    cell = position.astype(np.intp)
    upper = field[cell]
    lower = field[cell + 1]
    lower -= upper
    lower *= (position - cell)[:, None].astype(np.float32)
    upper += lower
    return upper


def smoothstep(field: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    ramp = np.clip((field - low) / (high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)
