"""Pictures of a project: its raster beside the classes that are predicted, and how its score has grown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

from .errors import ProjectError
from .imagery.rasters import open_dataset
from .project.results import read_predictions, rounds
from .project.scores import known_interval, main_score
from .project.store import Project, RasterRecord
from .report import CheckedPoint, draw_map, draw_score
from .scenes import grid_of, open_scene

TRUE_COLOUR = ("B04", "B03", "B02")
LONGEST_SIDE_PX = 1400


@dataclass(frozen=True)
class ScoredRound:
    """What the labels of a round led to, measured on the validation sample; the 95 % interval where it is known."""

    round_id: int
    strategy: str
    labels: int
    validation_labels: int
    score: float
    interval: tuple[float, float] | None


def scored_rounds(project: Project) -> list[ScoredRound]:
    """The rounds after which the head was trained and checked, in order."""
    score = main_score(project.mode)
    return [
        ScoredRound(
            item.round_id,
            item.strategy,
            item.metrics["labels"],
            item.metrics["validation_labels"],
            item.metrics[score],
            known_interval(item.metrics, project.mode),
        )
        for item in rounds(project)
        if score in item.metrics
    ]


def draw_scores(project: Project, file: Path, *, dark: bool = False) -> list[ScoredRound]:
    """Draw the project's learning curve and return its points; without any point nothing is drawn.

    The band is the 95 % interval of the score.
    """
    scored = scored_rounds(project)
    points = [CheckedPoint(one.labels, one.score, one.interval) for one in scored]
    if points:
        draw_score(points, main_score(project.mode).replace("_f1", " F1"), [file], dark=dark)
    return scored


def draw_project(project: Project, files: Sequence[Path], raster_id: int | None = None) -> None:
    """Draw one raster of the project, the first by default, with its current predictions.

    A tile with several classes shows the most probable one; where tiles overlap, the later one is on top.

    Raises:
        ProjectError: no tiles or no predictions.
        ImageryError: the raster is missing or changed.
    """
    records = [record for record in project.rasters() if raster_id in (None, record.raster_id)]
    predictions = read_predictions(project)
    if not records or not predictions:
        raise ProjectError(
            "There is no map to draw yet.",
            hint=f"Predict first: quadrat predict {project.path.name}, or in QGIS's Results panel.",
        )
    record = records[0]
    classes = project.classes()
    position = {item.class_id: index for index, item in enumerate(classes)}
    best = {
        item.tile_id: position[max(item.classes, key=lambda pair: pair[1])[0]] for item in predictions if item.classes
    }
    grid = grid_of(record)
    shown = np.full((grid.rows, grid.cols), -1)
    for tile in project.tiles():
        if tile.raster_id == record.raster_id:
            shown[tile.row, tile.col] = best.get(tile.tile_id, -1)
    covered_px = ((grid.rows - 1) * grid.stride + grid.size, (grid.cols - 1) * grid.stride + grid.size)
    picture = true_colour(project, record, covered_px)
    draw_map(picture, shown, {item.name: item.colour for item in classes}, files)


def true_colour(project: Project, record: RasterRecord, covered_px: tuple[int, int]) -> np.ndarray:
    """The raster's upper-left ``covered_px`` (height, width) as ``(H, W, 3)`` 0-1, without its 2 % extremes.

    A raster without the three visible bands is shown by its first band in grey.
    """
    indexes = dict(record.bands)
    wanted = [indexes[band] for band in TRUE_COLOUR] if set(TRUE_COLOUR) <= indexes.keys() else [record.bands[0][1]] * 3
    raster = open_scene(project, record)
    height, width = covered_px
    shrink = max(1.0, max(height, width) / LONGEST_SIDE_PX)
    with open_dataset(raster.path) as source:
        stored = source.read(
            wanted,
            window=Window(0, 0, width, height),
            out_shape=(3, round(height / shrink), round(width / shrink)),
            resampling=Resampling.average,
            masked=True,
        ).astype(np.float32)
    visible = np.ma.filled(stored, np.nan)
    low, high = np.nanpercentile(visible, (2, 98), axis=(1, 2), keepdims=True)
    return np.asarray(np.nan_to_num(np.clip((visible - low) / np.maximum(high - low, 1e-6), 0, 1), nan=1.0)).transpose(
        1, 2, 0
    )
