"""Fields, woods and wetlands: everything that grows.

What is sown is decided district by district and then parcel by parcel; woods follow the hills with a ragged edge;
reed and pools follow low ground near water.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from .canvas import Canvas
from .noise import Field, fractal, smoothstep
from .parcels import Parcels, divide
from .spectra import land_class, material
from .terrain import Terrain, Waters, wet_ground

# For each use of a field: material, class, typical share in the plain, how that changes into the hills (exponent),
# mean bareness, how strongly rows show.
_USES = (
    ("winter cereal", "Annual crop", 0.30, -1.0, 0.14, 0.035),
    ("rapeseed", "Annual crop", 0.07, -1.0, 0.10, 0.025),
    ("stubble", "Bare soil", 0.06, -1.0, 0.25, 0.04),
    ("ploughed soil", "Bare soil", 0.19, -2.0, 0.00, 0.045),
    ("seedbed", "Bare soil", 0.14, -2.0, 0.00, 0.03),
    ("grass", "Pasture", 0.30, 2.6, 0.08, 0.012),
    ("orchard rows", "Orchard or vineyard", 0.03, 0.5, 0.15, 0.10),
)
_BARENESS, _ROWS, _COMMON, _HILL = 4, 5, 2, 3


def sow_fields(rng: np.random.Generator, canvas: Canvas, terrain: Terrain) -> None:
    """Cover the whole scene with a mosaic of fields; whatever is not field is painted over it later."""
    size_px = len(canvas.material)
    parcels = divide(rng, size_px, district_px=min(290, size_px / 5), depth_px=(16, 60), width_px=(9, 50))
    use = _uses(rng, parcels, terrain)
    grown = use[parcels.parcel]
    canvas.material[:] = np.array([material(row[0]) for row in _USES], np.uint8)[grown]
    canvas.land[:] = np.array([land_class(row[1]) for row in _USES], np.uint8)[grown]
    _vary_fields(rng, canvas, parcels, use)
    _till(rng, canvas, parcels, use)
    _draw_margins(rng, canvas, parcels)


def grow_woods(rng: np.random.Generator, canvas: Canvas, terrain: Terrain, waters: Waters) -> None:
    """Forest on the hills, copses in the plain, willows along rivers; conifers higher up and in planted stands."""
    size_px = len(canvas.material)
    ragged = fractal(rng, size_px, 60, decay=1.7)
    broad = fractal(rng, size_px, min(220, size_px / 6), decay=2.6, step=4)
    score = 2.3 * terrain.hilliness + 0.55 * broad + 0.38 * ragged - 1.30
    riverside = smoothstep(_spread(waters.bed), 0.10, 0.32)
    forest = (score > 0) | (riverside + 0.30 * ragged > 0.62)
    stands = fractal(rng, size_px, min(240, size_px / 6), decay=2.8, step=2)
    high = terrain.height / max(1.0, float(np.quantile(terrain.height, 0.9)))
    conifer = forest & (1.1 * high + 1.3 * stands + 0.15 * ragged > 1.15)
    mantle = (score > -0.10) & ~forest & (ragged > 0)
    canvas.paint(mantle, "scrub", grain=0.13)
    canvas.paint(forest & ~conifer, "broadleaf", "Broadleaf forest", grain=0.13)
    canvas.paint(conifer, "conifer", "Conifer forest", grain=0.16)
    # Leaves are out in the valleys but not yet on the heights; young and old stands differ.
    leafing = np.clip(0.09 + 0.06 * broad + 0.05 * stands, 0, 0.5)
    np.copyto(canvas.bareness, leafing, where=forest & ~conifer)
    np.copyto(canvas.tone, 1 + 0.07 * stands, where=forest)
    felled = forest & (score > 0.25) & (fractal(rng, size_px, 22, decay=3.2, step=2) > 2.1)
    canvas.paint(felled, "scrub", grain=0.10)
    np.copyto(canvas.bareness, np.float32(0.35), where=felled)


def flood_low_ground(rng: np.random.Generator, canvas: Canvas, terrain: Terrain, waters: Waters) -> None:
    """Lake, gravel and running water, and between them and dry land the reed, pools and wet meadows of a wetland."""
    size_px = len(canvas.material)
    patches = fractal(rng, size_px, 34, decay=2.2)
    reach = fractal(rng, size_px, min(160, size_px / 6), decay=3.0, step=4)
    wet = wet_ground(terrain, waters) + 0.08 * patches + 0.36 * reach > 0.68
    canvas.paint(wet, "reed", "Wetland", grain=0.10)
    canvas.paint(wet & (patches > 0.55), "grass", grain=0.06)
    canvas.paint(wet & (patches < -1.05), "lake water", grain=0.04)
    canvas.paint(wet & (patches > 1.45), "scrub", grain=0.12)
    np.copyto(canvas.moisture, np.clip(0.45 - 0.25 * patches, 0, 1), where=wet)
    lake = waters.lake > 0
    canvas.paint(lake, "lake water", "Lake", grain=0.02)
    shallow = np.exp(-np.maximum(waters.lake, 0) / (0.012 * size_px))
    np.copyto(canvas.bareness, np.clip(0.10 * shallow + 0.018 * reach + 0.01, 0, 1), where=lake)
    dry = ~lake
    canvas.paint((waters.bed > 0.5) & dry, "scrub", "River", grain=0.12)
    canvas.paint((waters.bed > 0.5) & dry & (patches > -0.5), "gravel", grain=0.12)
    canvas.water[:] = waters.river * dry
    canvas.land[canvas.water > 0.5] = land_class("River")


def _uses(rng: np.random.Generator, parcels: Parcels, terrain: Terrain) -> NDArray[np.uint8]:
    """What every parcel is used for (P,), from the habits of its district."""
    size_px = len(terrain.hilliness)
    at = np.clip(parcels.seeds.astype(np.intp), 0, size_px - 1)
    hill = terrain.hilliness[at[:, 0], at[:, 1]][:, None]
    weight = np.array([row[_COMMON] for row in _USES]) * np.exp(hill * np.array([row[_HILL] for row in _USES]))
    # A district specialises in a class, with all its crops, and much as its neighbours do.
    kinds = [row[1] for row in _USES]
    habit = {
        kind: fractal(rng, size_px, min(420, size_px / 4), decay=3.2, step=8)[at[:, 0], at[:, 1]]
        for kind in dict.fromkeys(kinds)
    }
    weight = weight * np.exp(5.5 * np.stack([habit[kind] for kind in kinds], axis=1))
    weight = weight * np.exp(0.4 * rng.standard_normal(weight.shape))
    planted = rng.random(len(weight)) < 0.06 + 0.30 * ((hill[:, 0] > 0.03) & (hill[:, 0] < 0.5))
    weight[planted, -1] = 12 * weight[planted].sum(axis=1)
    bounds = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    lot = rng.random((len(weight), parcels.count // len(weight)))
    return np.asarray((lot[:, :, None] > bounds[:, None, :-1]).sum(axis=2).ravel(), np.uint8)


def _vary_fields(rng: np.random.Generator, canvas: Canvas, parcels: Parcels, use: NDArray[np.uint8]) -> None:
    """Sowing dates, soils and care: every parcel has its own bareness, tone, hue and moisture."""
    size_px = len(canvas.material)
    mean = np.array([row[_BARENESS] for row in _USES])[use]
    sown = np.clip(mean * rng.gamma(4.0, 0.25, parcels.count) + 0.02 * rng.standard_normal(parcels.count), 0, 0.85)
    patchy = fractal(rng, size_px, 26, decay=2.4, step=2)
    soil = fractal(rng, size_px, min(340, size_px / 4), decay=2.6, step=4)
    old_channels = np.exp(-6 * np.abs(fractal(rng, size_px, 120, decay=2.8, step=2)))
    canvas.bareness[:] = np.clip(sown.astype(np.float32)[parcels.parcel] * (1 + 0.35 * patchy), 0, 1)
    tone = np.exp(0.07 * rng.standard_normal(parcels.count, dtype=np.float32))
    canvas.tone[:] = tone[parcels.parcel] * (1 + 0.025 * patchy + 0.04 * soil)
    hue = 0.45 * rng.standard_normal(parcels.count, dtype=np.float32)
    canvas.hue[:] = hue[parcels.parcel] + 0.5 * soil
    wet = rng.beta(1.2, 3.0, parcels.count).astype(np.float32)
    canvas.moisture[:] = np.clip(0.45 * wet[parcels.parcel] + 0.08 * patchy + 0.14 * soil + 0.30 * old_channels, 0, 1)
    canvas.grain[:] = 0.025


def _till(rng: np.random.Generator, canvas: Canvas, parcels: Parcels, use: NDArray[np.uint8]) -> None:
    """Rows and tramlines along or across each parcel."""
    period = rng.uniform(2.3, 6.5, parcels.count).astype(np.float32)
    lengthwise = rng.random(parcels.count) < 0.6
    strength = np.array([row[_ROWS] for row in _USES], np.float32)[use] * rng.uniform(0, 1.6, parcels.count)
    position = np.where(lengthwise[parcels.parcel], parcels.across, parcels.along)
    rows = np.cos(np.float32(2 * np.pi) * position / period[parcels.parcel])
    np.multiply(canvas.tone, 1 + strength.astype(np.float32)[parcels.parcel] * rows, out=canvas.tone)


def _draw_margins(rng: np.random.Generator, canvas: Canvas, parcels: Parcels) -> None:
    """Between parcels: hedges, grass strips, dirt tracks, or nothing."""
    lot = rng.random(parcels.count, dtype=np.float32)
    side = np.where(parcels.edge, lot[parcels.parcel], np.float32(1))
    canvas.paint(side < 0.14, "scrub", grain=0.12)
    canvas.paint((side >= 0.14) & (side < 0.40), "grass", grain=0.06)
    canvas.paint((side >= 0.40) & (side < 0.45), "stubble", grain=0.05)


def _spread(bed: Field) -> Field:
    """Nearness of running water on the pixel's own grid, from a box mean of 13 pixels."""
    return np.asarray(uniform_filter(bed, 13), np.float32)
