"""The tiles of a round as a sheet: what to look at, why, and an empty column for the label.

Filled in, the sheet is what ``quadrat label`` reads.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from .errors import UsageError
from .project.results import picks_of_round
from .project.store import Project

COLUMNS = ("tile_id", "raster", "row", "col", "label", "score", "reason")


def describe_round(project: Project, round_id: int) -> list[dict[str, Any]]:
    """A line a tile with the columns of :data:`COLUMNS`, in the order of asking."""
    tiles = {tile.tile_id: tile for tile in project.tiles()}
    names = {record.raster_id: Path(record.path).name for record in project.rasters()}
    lines = []
    for pick in picks_of_round(project, round_id):
        tile = tiles[pick.tile_id]
        values = (
            tile.tile_id,
            names[tile.raster_id],
            tile.row,
            tile.col,
            "",
            None if pick.score is None else round(pick.score, 6),
            pick.reason,
        )
        lines.append(dict(zip(COLUMNS, values, strict=True)))
    return lines


def check_sheet(path: Path) -> None:
    """Refuse a place where no sheet can be written.

    Raises:
        UsageError: it is a folder, or its folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder {path.parent} cannot be made.", hint="Choose another.", details=str(error)
        ) from error
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"The sheet cannot be written to {path}.", hint="Choose another name, ending in .csv.")


def write_sheet(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write the sheet, making its folder if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
