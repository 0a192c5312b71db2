"""The ``tiles`` layer: polygons in the project's CRS, written by GDAL.

The layer has one CRS, that of the first raster unless another was asked for. A raster in another one is drawn in it
corner by corner, which over a tile's 640 m differs from the exact edge by less than a millimetre.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import shapely

from .errors import ImageryError, ProjectError, UsageError
from .imagery.grid import TileGrid
from .imagery.rasters import Raster
from .project.store import Project
from .scenes import grid_of

REACH_DEGREES = 12.0
GDAL_ERRORS = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError)


@dataclass(frozen=True)
class Tiles:
    """The tiles of one raster: ``rows, cols, valid (T,)``, ``roles (T,)`` and their polygons ``(T,)``."""

    rows: np.ndarray
    cols: np.ndarray
    valid: np.ndarray
    roles: np.ndarray
    polygons: np.ndarray


def append_tiles(project: Project, raster_id: int, tiles: Tiles, raster: Raster, crs: str | None) -> None:
    """Append the tiles as features; GDAL does it in one transaction."""
    has_tiles = project.has_tiles()
    with project.lent() as path:
        target = pyogrio.read_info(path, layer="tiles")["crs"] if has_tiles else (crs or raster.crs)
        frame = gpd.GeoDataFrame(
            {
                "raster_id": np.full(tiles.rows.size, raster_id, np.int32),
                "row": tiles.rows.astype(np.int32),
                "col": tiles.cols.astype(np.int32),
                "valid_fraction": tiles.valid.astype(np.float64).round(6),
                "role": tiles.roles.astype(object),
            },
            geometry=_transform(tiles.polygons, raster, target),
            crs=target,
        )
        options = {"layer_options": {"FID": "tile_id", "GEOMETRY_NAME": "geom"}, "geometry_type": "Polygon"}
        try:
            pyogrio.write_dataframe(
                frame, path, layer="tiles", driver="GPKG", append=has_tiles, **({} if has_tiles else options)
            )
        except GDAL_ERRORS as error:
            raise ProjectError(
                f"The tiles could not be written to {path.name}; none of this raster's is kept.",
                hint="Check the free space, and that no other program is writing to the project; then do this again.",
                details=str(error),
            ) from error


def overlapping_tiles(project: Project, grid: TileGrid, raster: Raster) -> tuple[np.ndarray, np.ndarray]:
    """Which tiles of a new raster, row by row, show ground of validation tiles and of pool tiles of other rasters.

    Returns:
        Two arrays ``(T,)`` bool. Tiles that only touch do not count.
    """
    nothing = np.zeros(grid.rows * grid.cols, bool)
    mine = _outline(grid, raster.crs)
    others = [r for r in project.rasters() if _outline(grid_of(r), r.crs).intersection(mine).area > 0]
    if not others:
        return nothing, nothing
    with project.lent() as path:
        listed = ", ".join(str(record.raster_id) for record in others)
        there = gpd.read_file(path, layer="tiles", where=f"raster_id IN ({listed})")
    polygons = _transform(grid.polygons(*grid.all_tiles()), raster, there.crs.to_wkt())
    # A hundredth of a tile is given away, so that neighbours do not count for sharing their border.
    tree = shapely.STRtree(shapely.buffer(polygons, -0.01 * np.sqrt(shapely.area(polygons).mean())))
    found = []
    for role in ("validation", "pool"):
        touched = nothing.copy()
        touched[np.unique(tree.query(there.geometry[there["role"] == role].to_numpy(), predicate="intersects")[1])] = (
            True
        )
        found.append(touched)
    return found[0], found[1]


def _outline(grid: TileGrid, crs: str) -> shapely.Geometry:
    """The ground that a grid's raster covers, in longitude and latitude."""
    t, width, height = grid.transform, grid.width, grid.height
    pixels = ((0, 0), (width, 0), (width, height), (0, height))
    frame = shapely.Polygon([(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in pixels])
    outline = shapely.segmentize(frame, frame.length / 64)
    to_degrees = _transformer(pyproj.CRS.from_user_input(crs), pyproj.CRS("EPSG:4326"))
    return shapely.transform(outline, lambda x, y: to_degrees.transform(x, y), interleaved=False)


def _transform(polygons: np.ndarray, raster: Raster, target: str) -> np.ndarray:
    """The polygons in the project's CRS: untouched if it is the raster's own, else corner by corner."""
    try:
        source_crs, target_crs = pyproj.CRS.from_user_input(raster.crs), pyproj.CRS.from_user_input(target)
    except pyproj.exceptions.CRSError as error:
        raise UsageError(f"{target!r} is not a CRS.", hint="Write it like EPSG:32633.", details=str(error)) from error
    if source_crs == target_crs:
        return polygons
    corners = shapely.get_coordinates(polygons)
    moved = np.column_stack(_transformer(source_crs, target_crs).transform(corners[:, 0], corners[:, 1]))
    if not np.isfinite(moved).all() or _is_far_outside(corners, source_crs, target_crs):
        raise ImageryError(
            f"{raster.path.name} lies too far outside the project's CRS ({target_crs.name}) to be drawn in it.",
            hint="Make a project of its own for it, or start a project whose tiles are drawn in EPSG:4326 (--crs).",
        )
    return np.asarray(shapely.set_coordinates(polygons.copy(), moved))


def _is_far_outside(corners: np.ndarray, source: pyproj.CRS, target: pyproj.CRS) -> bool:
    """Whether points ``(n, 2)`` lie more than :data:`REACH_DEGREES` east or west of where ``target`` is meant for.

    Neighbouring UTM zones are fine in one CRS (2 % too long after 12 degrees); the formulas go on giving numbers much
    farther away, but the tiles would be drawn out of shape.
    """
    meant_for = target.area_of_use
    if meant_for is None or target.is_geographic:
        return False
    longitudes = np.asarray(_transformer(source, pyproj.CRS("EPSG:4326")).transform(corners[:, 0], corners[:, 1])[0])
    middle, reach = (meant_for.west + meant_for.east) / 2, (meant_for.east - meant_for.west) / 2 + REACH_DEGREES
    return bool((np.abs((longitudes - middle + 180) % 360 - 180) > reach).any())


def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)
