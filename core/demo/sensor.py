"""The instrument: from a landscape to digital numbers, band by band, as in a level-1C product.

Ground reflectance is lit by the relief, covered by clouds and their shadows, seen through haze, blurred by the optics
and by light scattered in from around, averaged to the band's true pixel size, made noisy, and repeated on 10 m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from .canvas import Canvas
from .landscape import Landscape
from .noise import Field, fractal, smoothstep
from .spectra import BANDS, REFLECTANCE, Band, material

PIXEL_M = 10
DN_PER_REFLECTANCE = 10000
_SKYLIGHT = 0.32  # share of the light that still reaches a cloud's shadow; more of it in the blue
_SCATTERED = 0.07  # share of a pixel's signal that comes from its surroundings


@dataclass(frozen=True)
class Weather:
    """``cloud`` (H, W) opacity 0-1, ``shadow`` (H, W) share of direct sun lost 0-1, ``haze`` (H, W) relative path."""

    cloud: Field
    shadow: Field
    haze: Field


def make_weather(rng: np.random.Generator, size_px: int) -> Weather:
    """A few fair-weather clouds, their shadows to the north-west, and thin uneven haze."""
    field = fractal(rng, size_px, min(120, size_px / 6), decay=2.5, step=2)
    groups = fractal(rng, size_px, size_px / 4, decay=3.0, step=8)
    puffs = field + 1.3 * groups
    base = float(np.quantile(puffs[::8, ::8], 0.987))
    cloud = smoothstep(puffs, base, base + 0.75)
    away = (-min(70, size_px // 9), -min(32, size_px // 18))
    shadow = np.roll(gaussian_filter(cloud, 1.5), away, (0, 1))
    shadow[away[0] :] = 0
    shadow[:, away[1] :] = 0
    haze = 1 + 0.10 * fractal(rng, size_px, size_px / 3, decay=3.2, step=8)
    return Weather(cloud, np.clip(1.2 * shadow, 0, 1), np.maximum(haze, 0.6))


def valid_pixels(size_px: int) -> NDArray[np.bool_]:
    """Where the instrument looked (H, W): all but a wedge along the left edge, the border of the swath."""
    axis = np.arange(size_px)
    return np.asarray(axis[None, :] >= 0.075 * size_px * (1 - axis[:, None] / (0.88 * size_px)))


def texture(rng: np.random.Generator, canvas: Canvas) -> Field:
    """Brightness (H, W) with everything that varies within a material, common to all bands."""
    size_px = len(canvas.material)
    fine = fractal(rng, size_px, 2.5, decay=1.6)
    patchy = fractal(rng, size_px, 18, decay=2.2, step=2)
    return np.asarray(canvas.tone * np.maximum(1 + canvas.grain * (0.85 * fine + 0.4 * patchy), 0.2), np.float32)


def observe(
    rng: np.random.Generator, landscape: Landscape, brightness: Field, weather: Weather, number: int
) -> NDArray[np.uint16]:
    """One band of the scene (H, W), at least 1 everywhere; ``number`` counts in :data:`spectra.BANDS`.

    A band of 20 m or 60 m has equal values in blocks of 2x2 or 6x6 pixels counted from the upper left corner.
    """
    band = BANDS[number]
    ground = _ground(landscape.canvas, number) * brightness
    blue = 0.25 * float(np.clip((0.75 - band.centre_um) / 0.3, 0, 1))
    ground *= landscape.shade
    ground *= 1 - (1 - _SKYLIGHT - blue) * weather.shadow
    ground *= band.transmission
    ground += band.path * weather.haze
    ground += weather.cloud * (band.cloud * (0.75 + 0.25 * weather.cloud) - ground)
    factor = band.pixel_m // PIXEL_M
    seen = _blur(_block_mean(ground, factor), factor)
    seen += rng.standard_normal(seen.shape, dtype=np.float32) * np.sqrt(3e-7 + 6e-6 * np.maximum(seen, 0))
    counts = np.clip(np.rint(seen * DN_PER_REFLECTANCE), 1, 65535).astype(np.uint16)
    size_px = len(ground)
    return np.repeat(np.repeat(counts, factor, 0), factor, 1)[:size_px, :size_px]


def _ground(canvas: Canvas, number: int) -> Field:
    """Reflectance of the ground in one band, with the lines that lie over it."""
    band: Band = BANDS[number]
    spectrum = REFLECTANCE[:, number]
    ground = spectrum[canvas.material]
    ground += canvas.bareness * (spectrum[material("ploughed soil")] - ground)
    ground *= 1 + band.redden * canvas.hue
    ground *= 1 - band.wetting * canvas.moisture
    ground += canvas.water * (spectrum[material("river water")] - ground)
    ground += canvas.road * (spectrum[material("asphalt")] - ground)
    return ground


def _block_mean(field: Field, factor: int) -> Field:
    """Mean over blocks of ``factor`` pixels; the last block repeats the border where the scene ends within it."""
    if factor == 1:
        return field
    missing = -len(field) % factor
    padded = np.pad(field, ((0, missing), (0, missing)), mode="edge")
    n = len(padded) // factor
    return np.asarray(padded.reshape(n, factor, n, factor).mean((1, 3)), np.float32)


def _blur(field: Field, factor: int) -> Field:
    """Point spread of the optics (about half a pixel) and of the air (some hundred metres)."""
    sharp = gaussian_filter(field, 0.55 if factor == 1 else 0.45)
    around = uniform_filter(sharp, max(3, 24 // factor))
    return np.asarray((1 - _SCATTERED) * sharp + _SCATTERED * around, np.float32)
