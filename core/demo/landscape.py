"""The demo's landscape from scratch: relief, water, fields, woods, settlements, roads, in the order nature had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..monitor import Monitor
from .canvas import Canvas
from .countryside import flood_low_ground, grow_woods, sow_fields
from .noise import Field
from .settlements import build, found_places, pave_roads
from .terrain import make_terrain, make_waters


@dataclass(frozen=True)
class Landscape:
    """What lies where (``canvas``) and how the sun falls on it (``shade`` (H, W), 1 on flat ground)."""

    canvas: Canvas
    shade: Field


def make_landscape(rng: np.random.Generator, size_px: int, monitor: Monitor) -> Landscape:
    """Invent a square landscape; every part draws from a random stream of its own."""
    relief, water, sites, fields, woods, wet, houses, roads = rng.spawn(8)
    monitor.advance(0.0, "Raising hills")
    terrain = make_terrain(relief, size_px, downhill=float(relief.uniform(0, 2 * np.pi)))
    monitor.advance(0.15, "Letting rivers run")
    waters = make_waters(water, size_px, terrain)
    places = found_places(sites, size_px, terrain, waters)
    canvas = Canvas.blank(size_px)
    monitor.advance(0.3, "Sowing fields")
    sow_fields(fields, canvas, terrain)
    monitor.advance(0.6, "Growing woods")
    grow_woods(woods, canvas, terrain, waters)
    build(houses, canvas, places)
    monitor.advance(0.85, "Filling lake and wetland")
    flood_low_ground(wet, canvas, terrain, waters)
    monitor.advance(0.95, "Building roads")
    pave_roads(roads, canvas, terrain, waters, places)
    return Landscape(canvas, np.where(waters.lake > 0, np.float32(1), terrain.shade))
