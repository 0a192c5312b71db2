"""Tiles of a project as a QGIS layer in memory, filled from the project's views a portion at a time.

Why the layer is not opened straight from the GeoPackage, which QGIS could: on Linux and macOS a process loses all its
locks on a file when any part of it closes that file, and GDAL opens and closes it for every layer and every drawing.
SQLite in the engine's process then takes the project for unused, deletes its write-ahead log and ends the mode that the
log belongs to; from then on QGIS shows old answers and cannot record new ones. So only the job's own connection may
touch the file in this process. In memory the tiles are also drawn faster than from the views.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

from qgis.core import QgsCoordinateReferenceSystem, QgsFeature, QgsGeometry, QgsVectorLayer

from ...core.project.store import Project

# How many tiles are read and shown in one go: 20 ms of the main thread. SQLite before 3.32 takes 999 parameters.
PORTION = 900

# All tiles in a range of numbers, or some by number.
Tiles = Union[range, Sequence[int]]

_HEADER = struct.Struct("<2sBB")
_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}


@dataclass(frozen=True)
class ProjectView:
    """A view of the project, and which of its columns the layer has, with their types as QGIS names them."""

    name: str
    columns: dict[str, str]

    def has_rows(self, project: Project) -> bool:
        """Whether it shows any tile."""
        there = project.read("SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = ?", (self.name,))
        return bool(there) and bool(project.read(f"SELECT 1 FROM {self.name} LIMIT 1"))  # noqa: S608 - own name

    def read(self, project: Project, tiles: Tiles) -> list[tuple[Any, ...]]:
        """``(geom, tile_id, ...)`` of the tiles that it shows among ``tiles``."""
        columns = ", ".join(f'"{name}"' for name in self.columns)
        if isinstance(tiles, range):
            where, parameters = "tile_id BETWEEN ? AND ?", [tiles.start, tiles.stop - 1]
        else:
            where, parameters = f"tile_id IN ({', '.join('?' for _ in tiles)})", list(tiles)
        return project.read(f"SELECT geom, {columns} FROM {self.name} WHERE {where}", parameters)  # noqa: S608


QUERIED = ProjectView(
    "queried_tiles",
    {
        "tile_id": "integer",
        "raster": "string",
        "row": "integer",
        "col": "integer",
        "round_id": "integer",
        "rank": "integer",
        "score": "double",
        "reason": "string",
        "strategy": "string",
        "answer": "string",
    },
)
LABELLED = ProjectView(
    "labelled_tiles",
    {
        "tile_id": "integer",
        "raster": "string",
        "row": "integer",
        "col": "integer",
        "role": "string",
        "answer": "string",
        "label": "string",
        "n_classes": "integer",
        "annotator": "string",
        "answered_at": "string",
    },
)
PREDICTED = ProjectView(
    "predicted_tiles",
    {
        "tile_id": "integer",
        "raster": "string",
        "row": "integer",
        "col": "integer",
        "role": "string",
        "label": "string",
        "n_classes": "integer",
        "probability": "double",
        "uncertainty": "double",
    },
)


class TileLayer(QgsVectorLayer):
    """Shows the rows of one view; :meth:`update_tiles` fills it and keeps it up to date."""

    def __init__(self, title: str, view: ProjectView, crs: QgsCoordinateReferenceSystem) -> None:
        fields = "&".join(f"field={name}:{kind}" for name, kind in view.columns.items())
        super().__init__(f"Polygon?{fields}", title, "memory")
        self.setCrs(crs)
        self.setReadOnly(True)
        # QGIS would ask whether the contents may be lost when it closes; they are in the project.
        self.setCustomProperty("skipMemoryLayersCheck", 1)
        self.view = view
        self._feature_of: dict[int, int] = {}

    def isTemporary(self) -> bool:  # noqa: N802 - QGIS's name
        """False, so that the layer tree does not say that the contents will be discarded."""
        return False

    def update_tiles(self, project: Project, tiles: Tiles) -> None:
        """Show of ``tiles`` what the view shows now."""
        provider = self.dataProvider()
        changed: dict[int, dict[int, Any]] = {}
        added = []
        seen = set()
        for geometry, *values in self.view.read(project, tiles):
            tile_id = values[0]
            seen.add(tile_id)
            if tile_id in self._feature_of:
                changed[self._feature_of[tile_id]] = dict(enumerate(values))
            else:
                added.append(_feature(geometry, values))
        gone = [tile_id for tile_id in tiles if tile_id in self._feature_of and tile_id not in seen]
        provider.deleteFeatures([self._feature_of.pop(tile_id) for tile_id in gone])
        provider.changeAttributeValues(changed)
        _, features = provider.addFeatures(added)
        self._feature_of.update((feature.attribute(0), feature.id()) for feature in features)


class Portion(NamedTuple):
    """Some of the tiles that a layer has to bring up to date."""

    role: str
    tiles: Tiles


def portions(role: str, tiles: Tiles) -> list[Portion]:
    """All of ``tiles`` in portions that are quickly done."""
    return [Portion(role, tiles[start : start + PORTION]) for start in range(0, len(tiles), PORTION)]


def all_tiles(project: Project) -> range:
    """The numbers of all tiles, and perhaps some that no tile has."""
    first, last = project.read("SELECT coalesce(min(tile_id), 0), coalesce(max(tile_id), -1) FROM tiles")[0]
    return range(first, last + 1)


def tiles_crs(project: Project) -> QgsCoordinateReferenceSystem:
    """The reference system of the tiles' outlines."""
    rows = project.read(
        "SELECT s.organization, s.organization_coordsys_id, s.definition FROM gpkg_geometry_columns g"
        " JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id WHERE g.table_name = 'tiles'"
    )
    organization, number, definition = rows[0]
    known = QgsCoordinateReferenceSystem(f"{organization}:{number}")
    return known if known.isValid() else QgsCoordinateReferenceSystem.fromWkt(definition)


def _feature(geometry: bytes, values: Sequence[Any]) -> QgsFeature:
    feature = QgsFeature()
    feature.setGeometry(_outline(geometry))
    feature.setAttributes(list(values))
    return feature


def _outline(blob: bytes) -> QgsGeometry:
    """A GeoPackage geometry: a header (clause 2.1.3: bits 1-3 of its flags tell the kind of envelope), then WKB."""
    _, _, flags = _HEADER.unpack_from(blob)
    geometry = QgsGeometry()
    geometry.fromWkb(blob[8 + _ENVELOPE_BYTES[flags >> 1 & 0b111] :])
    return geometry
