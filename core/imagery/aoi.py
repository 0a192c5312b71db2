"""The area of interest: read from any vector file, brought to a raster's coordinate system, laid over the tiles.

A polygon's straight edges are straight in its own coordinate system only, so edges get intermediate points before the
area is reprojected. It is first cut to the surroundings of the tiles, because a polygon as large as a country cannot
be reprojected to a UTM zone far away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from ..errors import ImageryError
from ..paths import split_layer

_SEGMENTS_ACROSS = 256
_MARGIN = 0.05


@dataclass(frozen=True)
class AreaOfInterest:
    """A valid polygon or multipolygon; ``crs`` is WKT, ``source`` the file's name."""

    geometry: shapely.Geometry
    crs: str
    source: str


def read_area(path: str | Path, layer: str | None = None) -> AreaOfInterest:
    """The union of all polygons of a vector layer; invalid ones are repaired.

    Args:
        path: any vector file that GDAL reads. ``FILE|layername=NAME``, as QGIS writes it, names a layer too.
        layer: needed where a file has more than one layer of polygons.

    Raises:
        ImageryError: missing, not a vector file, several layers, no polygon, no coordinate reference system.
    """
    path, in_path = split_layer(path)
    layer = layer or in_path or None
    if not path.exists():
        raise ImageryError(f"There is no area of interest at {path}.", hint="Check the path.")
    try:
        layer = layer or _polygon_layer(path)
        frame = pyogrio.read_dataframe(path, layer=layer, columns=[])
    except (DataLayerError, DataSourceError) as error:
        raise ImageryError(
            f"{path.name} cannot be read as an area of interest.",
            hint="Use a vector file with polygons: GeoPackage, GeoJSON, Shapefile, ...",
            details=str(error),
        ) from error
    geometries = np.asarray(frame["geometry"]) if "geometry" in frame else np.array([], dtype=object)
    area = _polygons_of(shapely.union_all(shapely.make_valid(shapely.force_2d(geometries))))
    if area.is_empty:
        raise ImageryError(
            f"The area of interest {path.name} has no polygon.", hint="Draw the area as a polygon and save it again."
        )
    if frame.crs is None:
        raise ImageryError(
            f"The area of interest {path.name} has no coordinate reference system.",
            hint="Assign the right one, for example in QGIS: Layer > Set CRS, then save it as a GeoPackage.",
        )
    return AreaOfInterest(area, frame.crs.to_wkt(), path.name)


def tiles_inside(area: AreaOfInterest, polygons: NDArray[np.object_], crs: str) -> NDArray[np.bool_]:
    """Which tiles share ground with the area, (N,) bool; a tile that only touches its edge does not.

    Args:
        polygons: (N,) tile outlines.
        crs: their coordinate reference system, any form that PROJ reads.

    Raises:
        ImageryError: the area cannot be brought to that coordinate reference system.
    """
    if not len(polygons):
        return np.zeros(0, dtype=bool)
    try:
        geometry = _reprojected(area, shapely.total_bounds(polygons), CRS.from_user_input(crs))
    except ProjError as error:
        raise ImageryError(
            f"The area of interest {area.source} cannot be brought to the raster's coordinate reference system.",
            hint="Save the area in the raster's coordinate reference system, for example with QGIS.",
            details=str(error),
        ) from error
    shapely.prepare(geometry)
    return np.asarray(shapely.intersects(geometry, polygons) & ~shapely.touches(geometry, polygons))


def _polygon_layer(path: Path) -> str:
    """The only layer that may hold polygons, or the first one if none may."""
    layers = [(str(name), str(kind)) for name, kind in pyogrio.list_layers(path)]
    candidates = [name for name, kind in layers if "Polygon" in kind or "Surface" in kind]
    candidates = candidates or [name for name, kind in layers if kind not in ("None", "Point", "LineString")]
    if len(candidates) > 1:
        raise ImageryError(
            f"{path.name} has {len(candidates)} layers that may be the area of interest: {', '.join(candidates)}.",
            hint=f"Say which: {path.name}|layername={candidates[0]}",
        )
    return candidates[0] if candidates else layers[0][0]


def _reprojected(area: AreaOfInterest, bounds: NDArray[np.float64], target: CRS) -> shapely.Geometry:
    """The part of the area around ``bounds`` (of ``target``), in ``target``."""
    source = CRS.from_user_input(area.crs)
    if source == target:
        return area.geometry
    surroundings = _bounds_in(source, bounds, target)
    part = _polygons_of(shapely.intersection(area.geometry, surroundings))
    if part.is_empty:
        return part
    west, south, east, north = shapely.bounds(surroundings)
    part = shapely.segmentize(part, max(east - west, north - south) / _SEGMENTS_ACROSS)
    there = Transformer.from_crs(source, target, always_xy=True)
    moved = shapely.transform(part, lambda xy: np.column_stack(there.transform(xy[:, 0], xy[:, 1])))
    return _polygons_of(shapely.make_valid(moved))


def _bounds_in(source: CRS, bounds: NDArray[np.float64], target: CRS) -> shapely.Geometry:
    """``bounds`` of ``target`` with a margin, as one box of ``source``, or two where the 180th meridian is crossed."""
    west, south, east, north = bounds
    margin = _MARGIN * max(east - west, north - south)
    back = Transformer.from_crs(target, source, always_xy=True)
    west, south, east, north = back.transform_bounds(
        west - margin, south - margin, east + margin, north + margin, densify_pts=21
    )
    if not np.isfinite([west, south, east, north]).all():
        return shapely.Polygon()
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))


def _polygons_of(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry that may be a collection (repairing one can leave lines and points)."""
    parts = shapely.get_parts(geometry)
    while (shapely.get_type_id(parts) == shapely.GeometryType.GEOMETRYCOLLECTION).any():
        parts = shapely.get_parts(parts)
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
