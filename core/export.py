"""Hand the result on: plain layers with plain columns, or image chips with a table.

The ending of the target decides: ``.gpkg``, ``.geojson`` (always in longitude and latitude, as its standard demands),
``.parquet`` (GeoParquet); a target without an ending is a folder of georeferenced image chips. A file is written under
a temporary name and renamed, so that a run that is killed never leaves half an export, nor destroys an older one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ProjectError, UsageError
from .monitor import SILENT, Monitor
from .paths import check_name
from .project.store import Project

LAYERS = {"labels": "labelled_tiles", "predictions": "predicted_tiles", "tiles": "tiles"}
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".parquet": "Parquet"}


@dataclass(frozen=True)
class Export:
    """Where the export lies and how many tiles are in it."""

    path: Path
    layer: str
    tiles: int


def export(project: Project, target: Path, layer: str = "labels", monitor: Monitor = SILENT) -> Export:
    """Write one layer of the project to ``target``, replacing an export of the same name.

    Raises:
        UsageError: the layer or the ending is not known.
        ProjectError: there is nothing to export yet, or ``target`` is something that must not be replaced.
        ImageryError: chips were asked for and a raster is missing or changed.
    """
    if layer not in LAYERS:
        raise UsageError(f"There is no layer {layer!r}.", hint=f"Choose one of {', '.join(LAYERS)}.")
    check_target(target)
    _check_replaceable(project, target, layer)
    frame = _read_view(project, layer)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(
            f"The folder {target.parent} cannot be made.", hint="Choose another place.", details=str(error)
        ) from error
    monitor.advance(0.0, f"Exporting {layer}")
    if target.suffix:
        _write_layer(frame, target, layer)
        return Export(target, layer, len(frame))
    from .chips import write_chips

    return Export(target, layer, write_chips(project, frame, target, monitor))


def check_target(target: Path) -> None:
    """Refuse a target of a format that Quadrat does not write; a name without an ending is a folder of chips.

    Raises:
        UsageError: with the formats.
    """
    check_name(target)
    if target.suffix and target.suffix.lower() not in DRIVERS:
        raise UsageError(
            f"Quadrat cannot export to {target.suffix}.",
            hint=f"Choose one of {', '.join(DRIVERS)}, or a name without an ending for a folder of chips.",
        )


def _check_replaceable(project: Project, target: Path, layer: str) -> None:
    """An export may replace a former export, but no project and no GeoPackage with other layers."""
    if target.resolve() == project.path.resolve():
        raise UsageError("The export would replace the project itself.", hint="Choose another name.")
    if target.is_dir() and target.suffix:
        raise ProjectError(f"{target} is a folder.", hint="Choose another name, or remove the folder yourself.")
    if target.suffix and target.exists() and not _is_former_export(target, layer):
        raise ProjectError(
            f"{target} holds something else than a former export of {layer}.",
            hint="Choose another name, or remove the file yourself.",
        )


def _is_former_export(target: Path, layer: str) -> bool:
    """Whether a file is one layer with the columns that an export has."""
    import pyarrow.parquet
    import pyogrio

    try:
        if target.suffix.lower() == ".parquet":
            columns = pyarrow.parquet.read_schema(target).names
        else:
            if pyogrio.list_layers(target)[:, 0].tolist() != [layer]:
                return False
            columns = pyogrio.read_info(target)["fields"].tolist()
    except (pyogrio.errors.DataSourceError, pyarrow.ArrowException, OSError):
        return False
    return {"tile_id", "row", "col"} <= set(columns)


def _read_view(project: Project, layer: str) -> Any:
    import geopandas as gpd

    missing = {
        "labels": "No tile has an answer yet. Label some first: quadrat label, or the Label panel in QGIS.",
        "predictions": f"Predict first: quadrat predict {project.path.name}, or in QGIS's Results panel.",
        "tiles": f"Cut a raster into tiles first: quadrat tile {project.path.name} RASTER, or Prepare in QGIS.",
    }
    frame = None
    if project.has_tiles():
        with project.lent() as path:
            frame = gpd.read_file(path, layer=LAYERS[layer], fid_as_index=True)
    if frame is None or frame.empty:
        raise ProjectError("There is nothing to export.", hint=missing[layer])
    if "tile_id" not in frame.columns:
        frame.insert(0, "tile_id", frame.index)
    # What GDAL may take for an ordinary field is the key of the view, a copy of tile_id.
    return frame.drop(columns="OGC_FID", errors="ignore").reset_index(drop=True)


def _write_layer(frame: Any, target: Path, layer: str) -> None:
    temporary = target.with_name(f".{target.stem}.partial{target.suffix}")
    temporary.unlink(missing_ok=True)
    try:
        if target.suffix.lower() == ".parquet":
            frame.to_parquet(temporary)
        elif target.suffix.lower() == ".geojson":
            frame.to_crs("EPSG:4326").to_file(temporary, driver="GeoJSON", layer=layer, engine="pyogrio")
        else:
            frame.to_file(temporary, driver="GPKG", layer=layer, engine="pyogrio")
    except Exception as error:  # GDAL and Arrow report a full disk, each by its own exception
        temporary.unlink(missing_ok=True)
        raise ProjectError(
            f"{target} could not be written.",
            hint="Check the free space and the folder's rights.",
            details=str(error)[:500],
        ) from error
    temporary.replace(target)
