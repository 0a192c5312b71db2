"""Small real scenes and projects for the plugin's tests.

The rasters are written by GDAL, which QGIS brings; the projects are made by the real engine in its own environment,
through its command line, as QGIS's Python has neither torch nor rasterio.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
SCENES = ROOT.parent / "shared" / "data" / "scenes"

TILE = 64
# Reflectance of each class in these bands; the first letters and the keys 1, 2, 3 differ.
BANDS = ("B02", "B03", "B04", "B08")
SPECTRA = {
    "Water": (0.06, 0.05, 0.03, 0.02),
    "Forest": (0.03, 0.05, 0.03, 0.30),
    "Town": (0.14, 0.15, 0.17, 0.22),
}
CLASSES = tuple(SPECTRA)
ORIGIN = (399960.0, 5300040.0)


@dataclass(frozen=True)
class Scene:
    """A raster and its truth: the classes of each tile, by (row, col)."""

    raster: Path
    labels: dict[tuple[int, int], tuple[str, ...]]


@dataclass(frozen=True)
class ReadyProject:
    """A project file that is not open, its scene, and the truth of each of its tiles by ``tile_id``."""

    path: Path
    scene: Scene
    truth: dict[int, tuple[str, ...]]


_WRITE_PRODUCT = """
import json, sys
from pathlib import Path
import numpy as np
from quadrat.core.bench.safe import write_safe

folder, cloudy_px, options = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
side = options["size_px"] // 2
scl = np.full((side, side), 4, np.uint8)
scl[:, : cloudy_px // 2] = 9
print(write_safe(folder, scl=scl, driver="JP2OpenJPEG", **options))
"""


def make_product(folder: Path, *, cloudy_px: int = 0, size_px: int = 384, **options: Any) -> Path:
    """A small L2A product as ESA delivers it; the first ``cloudy_px`` columns of 10 m are under clouds."""
    chosen = json.dumps({"size_px": size_px, **options})
    command = [str(ENGINE), "-c", _WRITE_PRODUCT, str(folder), str(cloudy_px), chosen]
    return Path(_run_in_engine(command).splitlines()[-1])


def engine(*arguments: Any, status: int = 0) -> dict[str, Any]:
    """``python -m core ... --json`` in the engine's environment; what it answers."""
    command = [str(ENGINE), "-m", "core", *map(str, arguments), "--json"]
    return json.loads(_run_in_engine(command, status).splitlines()[-1])


def _run_in_engine(command: list[str], status: int = 0) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QGIS_", "GDAL_"))}
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == status, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def write_raster(
    path: Path,
    pixels: np.ndarray,
    *,
    bands: tuple[str, ...] | None = BANDS,
    epsg: int = 32633,
    transform: tuple[float, ...] = (ORIGIN[0], 10.0, 0.0, ORIGIN[1], 0.0, -10.0),
) -> Path:
    """A tiled GeoTIFF of DN from an array (band, row, col); ``bands`` become the bands' descriptions."""
    count, height, width = pixels.shape
    options = ["TILED=YES", "BLOCKXSIZE=128", "BLOCKYSIZE=128"]
    data = gdal.GetDriverByName("GTiff").Create(str(path), width, height, count, gdal.GDT_UInt16, options)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    data.SetProjection(reference.ExportToWkt())
    data.SetGeoTransform(transform)
    for number, band in enumerate(pixels, start=1):
        out = data.GetRasterBand(number)
        out.SetNoDataValue(0)
        if bands:
            out.SetDescription(bands[number - 1])
        out.WriteArray(band)
    data.FlushCache()
    return path


def make_scene(folder: Path, *, rows: int = 6, cols: int = 8, mixed: bool = False, name: str = "scene", seed: int = 0):
    """``rows`` x ``cols`` tiles; each is of one class, or with ``mixed`` of one or two side by side."""
    rng = np.random.default_rng(seed)
    left = rng.integers(len(CLASSES), size=(rows, cols))
    left.flat[: len(CLASSES)] = range(len(CLASSES))
    right = rng.integers(len(CLASSES), size=(rows, cols)) if mixed else left
    halves = np.stack([left, right], axis=2).reshape(rows, 2 * cols)
    means = np.array(list(SPECTRA.values()))[halves].transpose(2, 0, 1)
    pixels = np.kron(means, np.ones((TILE, TILE // 2)))
    pixels = (10_000 * pixels * rng.normal(1.0, 0.15, pixels.shape).clip(0.4, 1.6)).round().astype(np.uint16)
    labels = {
        (row, col): tuple(CLASSES[number] for number in sorted({int(left[row, col]), int(right[row, col])}))
        for row in range(rows)
        for col in range(cols)
    }
    return Scene(write_raster(folder / f"{name}.tif", pixels), labels)


def make_project(
    folder: Path, mode: str = "single", *, name: str = "p", validation: float = 0.25, budget: int = 8, **scene: Any
) -> ReadyProject:
    """A project that is tiled and embedded and, unless ``budget`` is 0, has asked for its first tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    made = make_scene(folder, mixed=mode == "multi", **scene)
    path, classes = folder / f"{name}.gpkg", folder / "classes.txt"
    classes.write_text("\n".join(CLASSES), encoding="utf-8")
    engine("init", path, "--classes", classes, "--mode", mode)
    engine("tile", path, made.raster, "--validation", validation)
    engine("embed", path, "--encoder", "statistics")
    if budget:
        engine("query", path, "--budget", budget)
    return ReadyProject(path, made, truth_of(path, made))


def copy_project(project: ReadyProject, folder: Path) -> ReadyProject:
    """The same in another folder, with its raster and its embeddings, for a test to change."""
    shutil.copytree(project.path.parent, folder)
    scene = replace(project.scene, raster=folder / project.scene.raster.name)
    return replace(project, path=folder / project.path.name, scene=scene)


def truth_of(path: Path, scene: Scene) -> dict[int, tuple[str, ...]]:
    """The classes of each tile by ``tile_id``."""
    from quadrat.core.project.store import Project

    with Project.open(path) as project:
        return {tile.tile_id: scene.labels[tile.row, tile.col] for tile in project.tiles()}


def answer_by_truth(project: ReadyProject, tile_ids: list[int]) -> None:
    """Answer tiles as an analyst who is always right, through the engine's command line."""
    sheet = project.path.with_name("answers.csv")
    with sheet.open("w", newline="", encoding="utf-8") as file:
        rows = [(tile_id, ";".join(project.truth[tile_id])) for tile_id in tile_ids]
        csv.writer(file).writerows([("tile_id", "label"), *rows])
    engine("label", project.path, sheet)
