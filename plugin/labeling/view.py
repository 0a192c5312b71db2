"""What labelling shows on the map: the current tile outlined, the selected tiles filled, and the map moved there.

Tiles are known by arithmetic in the reference system of their raster (:mod:`.locator`); here they are brought into that
of the map, and points of the map back to tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvas, QgsRubberBand
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtWidgets import QApplication

from ...core.project.records import RasterRecord
from ...core.project.store import Project
from .locator import TileLocator, tile_at, tiles_touching
from .map_tool import polygon_band
from .worklist import AskedTile

# The smaller side of the map shows so many tiles when labelling begins: the tile with its surroundings.
TILES_ACROSS = 3
SMALLEST_TILE_PX = 24


class TileView:
    """Tiles of one project on one canvas, until :meth:`close`."""

    def __init__(self, canvas: QgsMapCanvas, project: Project) -> None:
        self._canvas = canvas
        self._project = project
        self._rasters: dict[int, RasterRecord] = {}
        self._transforms: dict[int, QgsCoordinateTransform] = {}
        self.read_rasters()  # may fail, when nothing is on the map yet
        self._outline = _outline_band(canvas)
        self._selection = polygon_band(canvas)
        self._shown: AskedTile | None = None
        self._selected: Sequence[AskedTile] = ()
        canvas.destinationCrsChanged.connect(self.redraw)
        QgsProject.instance().transformContextChanged.connect(self.redraw)

    def close(self) -> None:
        """Remove everything from the canvas."""
        self._canvas.destinationCrsChanged.disconnect(self.redraw)
        QgsProject.instance().transformContextChanged.disconnect(self.redraw)
        for band in (self._outline, self._selection):
            self._canvas.scene().removeItem(band)
        del self._outline, self._selection

    def read_rasters(self) -> None:
        """Know the project's rasters as they are now."""
        self._rasters = {record.raster_id: record for record in self._project.rasters()}
        self._locators = {raster_id: TileLocator(record) for raster_id, record in self._rasters.items()}
        self._transforms.clear()

    def show(self, tile: AskedTile | None, *, zoom: bool = False) -> None:
        """Outline a tile, or none, and move the map there; the scale stays, unless the tile could not be seen well."""
        self._shown = tile
        self._draw_outline()
        if tile is not None:
            self._move_to(self._polygon(tile).boundingBox(), zoom=zoom)

    def show_selection(self, tiles: Sequence[AskedTile]) -> None:
        """Fill these tiles, and no others."""
        self._selected = tiles
        polygons = [self._polygon(tile) for tile in tiles]
        self._selection.setToGeometry(QgsGeometry.collectGeometry(polygons) if polygons else QgsGeometry())

    def redraw(self) -> None:
        """Draw everything anew, after the map's reference system changed."""
        self._transforms.clear()
        self._draw_outline()
        self.show_selection(self._selected)

    def tile_at(self, point: QgsPointXY, first: int | None) -> int | None:
        """The number of the tile at a point of the map; where rasters overlap, of raster ``first`` if it has one."""
        for locator in self._in_order(first):
            here = self._to_raster(locator.raster_id, [point])
            found = tile_at(self._project, locator, here[0]) if here else None
            if found is not None:
                return found
        return None

    def tiles_in(self, corners: Sequence[QgsPointXY], first: int | None, most: int) -> list[int]:
        """Numbers of the tiles that touch a rectangle on the map, all of one raster: only one can be seen at a time.

        It is raster ``first`` if that has any. Of more than ``most`` tiles not all come back.
        """
        for locator in self._in_order(first):
            outline = self._to_raster(locator.raster_id, corners)
            found = tiles_touching(self._project, locator, outline, most) if outline else []
            if found:
                return found
        return []

    def _in_order(self, first: int | None) -> list[TileLocator]:
        return sorted(self._locators.values(), key=lambda locator: (locator.raster_id != first, locator.raster_id))

    def _draw_outline(self) -> None:
        tile = self._shown
        self._outline.setToGeometry(QgsGeometry() if tile is None else self._polygon(tile))

    def _polygon(self, tile: AskedTile) -> QgsGeometry:
        """A tile in the map's coordinates; empty if the map cannot show that part of the world."""
        corners = self._locators[tile.raster_id].corners(tile.row, tile.col)
        geometry = QgsGeometry.fromPolygonXY([[QgsPointXY(*corner) for corner in corners]])
        try:
            geometry.transform(self._transform(tile.raster_id))
        except QgsCsException:
            return QgsGeometry()
        return geometry

    def _to_raster(self, raster_id: int, points: Sequence[QgsPointXY]) -> list[tuple[float, float]]:
        """Points of the map in a raster's coordinates; [] if they are far outside of what those can say."""
        transform = self._transform(raster_id)
        try:
            moved = [transform.transform(point, Qgis.TransformDirection.Reverse) for point in points]
        except QgsCsException:
            return []
        return [(point.x(), point.y()) for point in moved]

    def _transform(self, raster_id: int) -> QgsCoordinateTransform:
        if raster_id not in self._transforms:
            source = QgsCoordinateReferenceSystem.fromWkt(self._rasters[raster_id].crs)
            target, context = self._canvas.mapSettings().destinationCrs(), QgsProject.instance().transformContext()
            self._transforms[raster_id] = QgsCoordinateTransform(source, target, context)
        return self._transforms[raster_id]

    def _move_to(self, box: QgsRectangle, *, zoom: bool) -> None:
        if box.isEmpty():
            return
        tile_px = max(box.width(), box.height()) / self._canvas.mapUnitsPerPixel()
        fits = SMALLEST_TILE_PX <= tile_px <= min(self._canvas.width(), self._canvas.height())
        if zoom or not fits:
            self._canvas.setExtent(box.buffered((TILES_ACROSS - 1) / 2 * max(box.width(), box.height())))
        else:
            self._canvas.setCenter(box.center())
        self._canvas.refresh()


def _outline_band(canvas: QgsMapCanvas) -> QgsRubberBand:
    """A line in the theme's accent colour within a white one: visible on dark water and on bright sand."""
    band = polygon_band(canvas)
    band.setFillColor(QColor(Qt.GlobalColor.transparent))
    band.setStrokeColor(QApplication.palette().color(QPalette.ColorRole.Highlight))
    band.setSecondaryStrokeColor(QColor(Qt.GlobalColor.white))
    band.setWidth(3)
    return band
