"""A small real scene whose tiles can be told apart, and its truth."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np

from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.store import Project
from quadrat.core.tiling import tile_rasters

from .raster_factory import NORTH_UP, make_raster

TILE = 64
BANDS = ("B02", "B03", "B04", "B08")
# Reflectance of each class in these bands.
SPECTRA = {
    "Water": (0.06, 0.05, 0.03, 0.02),
    "Forest": (0.03, 0.05, 0.03, 0.30),
    "Town": (0.14, 0.15, 0.17, 0.22),
}
CLASSES = [ClassDraft(name) for name in SPECTRA]


@dataclass(frozen=True)
class Scene:
    """A raster, its truth as CSV, and the truth by (row, col)."""

    raster: Path
    truth: Path
    labels: dict[tuple[int, int], str]


def make_scene(
    folder: Path,
    *,
    rows: int = 6,
    cols: int = 8,
    name: str = "scene",
    seed: int = 0,
    crs: str = "EPSG:32633",
    **options,
) -> Scene:
    """``rows`` x ``cols`` tiles of one class each, with noise; by default a tiled GeoTIFF of DN."""
    rng = np.random.default_rng(seed)
    names = list(SPECTRA)
    grid = rng.integers(len(names), size=(rows, cols))
    grid.flat[: len(names)] = range(len(names))
    means = np.array([SPECTRA[name] for name in names])[grid]
    pixels = np.kron(means.transpose(2, 0, 1), np.ones((TILE, TILE)))
    pixels = pixels * rng.normal(1.0, 0.15, pixels.shape).clip(0.4, 1.6)
    raster = make_raster(
        folder / f"{name}.tif",
        bands=BANDS,
        values=(pixels * 10_000).round(),
        blocksize=128,
        crs=crs,
        transform=NORTH_UP,
        **options,
    )
    labels = {(row, col): names[grid[row, col]] for row in range(rows) for col in range(cols)}
    truth = folder / f"{name}.truth.csv"
    with truth.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("row", "col", "label"), *((r, c, label) for (r, c), label in labels.items())])
    return Scene(raster, truth, labels)


def new_project(path: Path, mode: str = "single") -> Project:
    """An empty project with the classes of the scene."""
    return Project.create(path, CLASSES, mode)


def read_layer(project: Project, layer: str, **options):
    """A layer of an open project, read by GDAL as others would."""
    with project.lent() as path:
        return gpd.read_file(path, layer=layer, **options)


def tiled(scene, path, mode="single"):
    with new_project(path, mode) as project:
        tile_rasters(project, [scene.raster])
    return path
