"""Image chips: one small GeoTIFF a tile, with its label in a table, as training pipelines want them.

In single-label projects the chips lie in a folder a class. All chips are written into a hidden folder beside the
target, which takes the target's place when it is complete: a killed export leaves an older one untouched.
"""

from __future__ import annotations

import csv
import re
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from .errors import ProjectError
from .imagery.rasters import open_dataset
from .imagery.reader import chunk_plan
from .monitor import Monitor
from .project.store import Project, RasterRecord
from .scenes import grid_of, open_scene

TABLE = "chips.csv"
COLUMNS = ("file", "tile_id", "raster_id", "row", "col", "answer", "label")
UNLABELLED = ("skip", "unsure")


def write_chips(project: Project, frame: Any, folder: Path, monitor: Monitor) -> int:
    """Write the tiles of ``frame``, a view of the project as GeoDataFrame, to ``folder``; returns how many.

    Chips have the raster's own bands, numbers and CRS. Tiles that were skipped or left unsure have no chip.

    Raises:
        ProjectError: ``folder`` holds something other than an older export of chips, or cannot be written.
        ImageryError: a raster is missing or changed.
    """
    _check_replaceable(folder)
    if "answer" in frame.columns:
        frame = frame[~frame["answer"].isin(UNLABELLED)]
    if "label" in frame.columns:
        frame = frame.assign(label=frame["label"].fillna(""))
    work = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        _write_all(project, frame, work, monitor)
    except OSError as error:  # rasterio's errors are OSErrors too
        shutil.rmtree(work, ignore_errors=True)
        raise ProjectError(
            f"The chips could not be written to {folder}.",
            hint="Check the free space and the folder's rights.",
            details=str(error),
        ) from error
    _put_in_place(work, folder)
    return len(frame)


def _check_replaceable(folder: Path) -> None:
    """Only an empty folder, or a former export to whose files nothing was added, may be replaced."""
    if not folder.exists():
        return
    ours = {TABLE}
    if (folder / TABLE).is_file():
        with (folder / TABLE).open(encoding="utf-8", newline="") as file:
            ours |= {row.get("file") or "" for row in csv.DictReader(file)}
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    # GDAL and QGIS write statistics beside a raster that was shown; they go with it.
    strangers = [name for name in files if name.removesuffix(".aux.xml") not in ours]
    if strangers or not folder.is_dir():
        raise ProjectError(
            f"{folder} holds something else: {', '.join(strangers[:5]) or 'it is a file'}.",
            hint="Choose a new or empty folder for the chips.",
        )


def _write_all(project: Project, frame: Any, work: Path, monitor: Monitor) -> None:
    by_class = project.mode == "single" and "label" in frame.columns
    folders = class_folders(_folder_label(row) for row in frame.itertuples()) if by_class else {}
    raster_of = {tile.tile_id: tile.raster_id for tile in project.tiles()}
    frame = frame.assign(raster_id=frame["tile_id"].map(raster_of))
    file_of: dict[int, Path] = {}
    for record in project.rasters():
        tiles = frame[frame["raster_id"] == record.raster_id]
        if len(tiles) == 0:
            continue
        raster = open_scene(project, record)
        # In the order of the raster's blocks, so that each is decoded about once.
        plan = chunk_plan(raster, grid_of(record), tiles["row"].to_numpy(), tiles["col"].to_numpy())
        with open_dataset(raster.path) as source:
            for row in tiles.iloc[np.concatenate([chunk.positions for chunk in plan])].itertuples():
                name = f"raster{record.raster_id}_row{row.row}_col{row.col}.tif"
                file = Path(folders.get(_folder_label(row), "")) / name
                _write_chip(source, record, row, work / file)
                file_of[row.tile_id] = file
                if len(file_of) % 50 == 0:
                    monitor.advance(len(file_of) / len(frame), "Writing chips")
    _write_table([(row, file_of[row.tile_id]) for row in frame.itertuples()], work / TABLE)


def _folder_label(row: Any) -> str:
    """What decides a chip's folder: its class, or that it is none of them; empty for a layer without labels."""
    return str(getattr(row, "label", "") or getattr(row, "answer", ""))


def _write_chip(source: Any, record: RasterRecord, row: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    window = Window(int(row.col) * record.stride, int(row.row) * record.stride, record.tile_size, record.tile_size)
    profile = {
        "driver": "GTiff",
        "width": record.tile_size,
        "height": record.tile_size,
        "count": len(record.bands),
        "dtype": source.dtypes[0],
        "crs": source.crs,
        "transform": source.window_transform(window),
        "nodata": record.nodata,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as chip:
        chip.write(source.read([index for _, index in record.bands], window=window))
        chip.descriptions = [name for name, _ in record.bands]
        # GDAL's reflectance is DN x scale + offset, ours (DN + offset) x scale.
        chip.scales = [record.scale] * len(record.bands)
        chip.offsets = [record.offset * record.scale] * len(record.bands)
        chip.update_tags(tile_id=int(row.tile_id), label=getattr(row, "label", ""))


def _write_table(chips: Sequence[tuple[Any, Path]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row, name in chips:
            answer, label = getattr(row, "answer", ""), getattr(row, "label", "")
            writer.writerow([name.as_posix(), row.tile_id, row.raster_id, row.row, row.col, answer, label])


def _put_in_place(work: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    work.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def class_folders(labels: Iterable[str]) -> dict[str, str]:
    """A folder name for each distinct label; two labels never share one, also where case does not count."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(set(labels)):
        name, number = clean_name(label), 2
        while name.casefold() in taken:
            name, number = f"{clean_name(label)}_{number}", number + 1
        taken.add(name.casefold())
        folders[label] = name
    return folders


def clean_name(name: str) -> str:
    """A class name as a folder name that every file system takes: ``"Crops / arable (wet)"`` -> ``"Crops_arable_wet"``.

    Names that have nothing left, or are reserved on Windows, get a neutral one.
    """
    plain = unicodedata.normalize("NFKC", name)
    cleaned = re.sub(r"[^\w-]+", "_", plain).strip("_")[:60]
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)?", cleaned)
    return f"class_{cleaned}" if reserved else cleaned
