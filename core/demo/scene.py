"""A Sentinel-2-like scene with its own truth, for a user who has no data yet.

Nothing is downloaded and nothing is real: a landscape is invented (:mod:`landscape`), seen by an instrument
(:mod:`sensor`) and judged tile by tile (:mod:`truth`). The result has what makes real scenes hard: mixed tiles,
fields that differ within one crop, narrow roads, haze, clouds with shadows, coarse bands, noise, a border without
data. The same seed and size give the same pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import from_origin

from ..errors import ImageryError, UsageError
from ..monitor import SILENT, Monitor
from .landscape import Landscape, make_landscape
from .sensor import PIXEL_M, make_weather, observe, texture, valid_pixels
from .spectra import BANDS, CLASSES
from .truth import judge_tiles

CRS = "EPSG:32633"
UPPER_LEFT = (499980.0, 5300040.0)  # easting and northing of granule 33UWP, a corner on the 60 m grid
_MIN_TILES = 4
_SIZES_PX = (256, 5490)  # room for every part of the landscape; half a granule, about 4 GB of memory


@dataclass(frozen=True)
class DemoScene:
    """The files of a scene.

    ``raster``: 13 bands, uint16, reflectance x 10000, 0 = no data. ``truth_single`` and ``truth_multi``: CSV with
    columns row, col, label, names joined by ``;`` in the second. ``classes``: CSV with columns name, colour, key.
    """

    raster: Path
    truth_single: Path
    truth_multi: Path
    classes: Path


def scene_files(folder: Path) -> DemoScene:
    """The names that a scene's files have in a folder."""
    return DemoScene(
        folder / "scene.tif", folder / "truth_single.csv", folder / "truth_multi.csv", folder / "classes.csv"
    )


def make_scene(
    folder: Path, *, size_px: int = 2560, tile_px: int = 64, seed: int = 0, monitor: Monitor = SILENT
) -> DemoScene:
    """Write a scene of ``size_px`` x ``size_px`` pixels of 10 m and the truth of its tiles into a folder.

    Raises:
        UsageError: the scene is not 256-5490 px or less than four tiles wide, or the tile less than 8 px.
        ImageryError: the files cannot be written; none that looks whole is left behind by this call.
        Cancelled: the monitor asked to stop; likewise.
    """
    if tile_px < 8 or size_px < _MIN_TILES * tile_px or not _SIZES_PX[0] <= size_px <= _SIZES_PX[1]:
        raise UsageError(
            f"A demo scene of {size_px} px with tiles of {tile_px} px cannot be made.",
            hint=f"Choose a scene of {_SIZES_PX[0]} to {_SIZES_PX[1]} px, at least {_MIN_TILES} tiles wide, "
            "and tiles of at least 8 px.",
        )
    scene = scene_files(folder)
    land_rng, weather_rng, sensor_rng = np.random.default_rng(seed).spawn(3)
    landscape = make_landscape(land_rng, size_px, monitor.part(0.0, 0.45))
    valid = valid_pixels(size_px)
    truths = judge_tiles(landscape.canvas.land, valid, tile_px)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(
            scene.raster,
            lambda path: _write_raster(path, landscape, (weather_rng, sensor_rng), monitor.part(0.45, 1.0)),
        )
        _write_table(scene.truth_single, ("row", "col", "label"), ((t.row, t.column, t.label) for t in truths))
        _write_table(
            scene.truth_multi, ("row", "col", "label"), ((t.row, t.column, ";".join(t.labels)) for t in truths)
        )
        _write_table(scene.classes, ("name", "colour", "key"), ((c.name, c.colour, c.key) for c in CLASSES))
    except (OSError, RasterioError) as error:
        raise ImageryError(
            f"The demo scene could not be written to {folder}.",
            hint="Check that the folder can be written to and that the disk has 300 MB free.",
            details=str(error),
        ) from error
    monitor.advance(1.0, "Demo scene ready")
    return scene


def _write_raster(
    path: Path, landscape: Landscape, rngs: tuple[np.random.Generator, np.random.Generator], monitor: Monitor
) -> None:
    """Observe band after band and write them as a tiled GeoTIFF."""
    weather_rng, sensor_rng = rngs
    size_px = len(landscape.shade)
    monitor.advance(0.0, "Waiting for clear sky")
    weather = make_weather(weather_rng, size_px)
    brightness = texture(sensor_rng, landscape.canvas)
    valid = valid_pixels(size_px)
    profile = {
        "driver": "GTiff", "width": size_px, "height": size_px, "count": len(BANDS), "dtype": "uint16", "nodata": 0,
        "crs": CRS, "transform": from_origin(*UPPER_LEFT, PIXEL_M, PIXEL_M), "tiled": True, "blockxsize": 256,
        "blockysize": 256, "compress": "deflate", "predictor": 2, "zlevel": 1, "num_threads": 2,
        "interleave": "band",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        for number, (band, rng) in enumerate(zip(BANDS, sensor_rng.spawn(len(BANDS)), strict=True)):
            monitor.advance((number + 1) / (len(BANDS) + 1), f"Observing {band.name}")
            raster.write(observe(rng, landscape, brightness, weather, number) * valid, number + 1)
            raster.set_band_description(number + 1, band.name)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    def write(target: Path) -> None:
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    _write_whole(path, write)


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write under another name first, so that a file under its own name is always whole."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
