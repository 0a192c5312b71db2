"""The mouse on the map while labelling: click goes to a tile, drag selects many, the right button pans.

The middle button, the wheel and zooming with Shift stay QGIS's own.
"""

from __future__ import annotations

from typing import Any

from qgis.core import QgsGeometry, QgsPointXY, QgsWkbTypes
from qgis.gui import QgsMapCanvas, QgsMapTool, QgsRubberBand
from qgis.PyQt.QtCore import QPoint, QRect, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtWidgets import QApplication

FILL_ALPHA = 50


class LabelMapTool(QgsMapTool):
    """``clicked(point)`` and ``dragged(corners)`` in map coordinates; ``taken(bool)`` when the canvas changes tools."""

    clicked = pyqtSignal(QgsPointXY)
    dragged = pyqtSignal(list)
    taken = pyqtSignal(bool)

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._previous: QgsMapTool | None = None
        self._pressed_at: QPoint | None = None
        self._rectangle: QgsRubberBand | None = None
        self._is_panning = False
        self.setCursor(Qt.CursorShape.CrossCursor)
        canvas.mapToolSet.connect(self._on_tool_set)

    @property
    def is_taken(self) -> bool:
        """Whether the mouse is ours now."""
        return self._canvas.mapTool() is self

    def take(self) -> None:
        """Take the mouse, and remember whose it was."""
        if not self.is_taken:
            self._forget_previous()
            self._previous = self._canvas.mapTool()
            if self._previous is not None:
                self._previous.destroyed.connect(self._forget_destroyed)
            self._canvas.setMapTool(self)

    def close(self) -> None:
        """Give the mouse back to whose it was, unless another tool has it, and go."""
        previous = self._previous
        self._forget_previous()
        if self.is_taken:
            if previous is not None:
                self._canvas.setMapTool(previous)
            else:
                self._canvas.unsetMapTool(self)
        self.cancel_drag()
        self._canvas.mapToolSet.disconnect(self._on_tool_set)
        self.deleteLater()

    def cancel_drag(self) -> bool:
        """Forget a rectangle that is being drawn; whether there was one."""
        was_drawing = self._rectangle is not None
        if self._rectangle is not None:
            self._canvas.scene().removeItem(self._rectangle)
            self._rectangle = None
        self._pressed_at = None
        return was_drawing

    def flags(self) -> Any:
        """Dragging with Shift zooms, as with QGIS's own tools."""
        return QgsMapTool.Flag.AllowZoomRect

    def deactivate(self) -> None:
        """Another tool takes over."""
        self.cancel_drag()
        super().deactivate()

    def canvasPressEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """A click or a drag begins."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed_at = event.pos()

    def canvasMoveEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """The drag goes on."""
        if event.buttons() & Qt.MouseButton.RightButton:
            self._is_panning = True
            self._canvas.panAction(event)
        elif self._pressed_at is not None and self._is_drag(event.pos()):
            self._show_rectangle(self._corners(event.pos()))

    def canvasReleaseEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """The click or the drag is done."""
        if event.button() == Qt.MouseButton.RightButton and self._is_panning:
            self._is_panning = False
            self._canvas.panActionEnd(event.pos())
        elif event.button() == Qt.MouseButton.LeftButton and self._pressed_at is not None:
            corners = self._corners(event.pos()) if self._is_drag(event.pos()) else None
            self.cancel_drag()
            if corners is None:
                self.clicked.emit(self.toMapCoordinates(event.pos()))
            else:
                self.dragged.emit(corners)

    def _is_drag(self, position: QPoint) -> bool:
        assert self._pressed_at is not None
        return (position - self._pressed_at).manhattanLength() >= QApplication.startDragDistance()

    def _corners(self, position: QPoint) -> list[QgsPointXY]:
        """The corners on the map of what is a rectangle on the screen; the map may be turned."""
        assert self._pressed_at is not None
        box = QRect(self._pressed_at, position).normalized()
        corners = (box.topLeft(), box.bottomLeft(), box.bottomRight(), box.topRight())
        return [self.toMapCoordinates(corner) for corner in corners]

    def _show_rectangle(self, corners: list[QgsPointXY]) -> None:
        if self._rectangle is None:
            self._rectangle = polygon_band(self._canvas)
        self._rectangle.setToGeometry(QgsGeometry.fromPolygonXY([corners]))

    def _on_tool_set(self, new: QgsMapTool | None, _old: QgsMapTool | None) -> None:
        self.taken.emit(new is self)

    def _forget_previous(self) -> None:
        if self._previous is not None:
            self._previous.destroyed.disconnect(self._forget_destroyed)
            self._previous = None

    def _forget_destroyed(self) -> None:
        self._previous = None


def polygon_band(canvas: QgsMapCanvas) -> QgsRubberBand:
    """An empty band for polygons in the accent colour of the theme, with a light fill."""
    band = QgsRubberBand(canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
    accent = QApplication.palette().color(QPalette.ColorRole.Highlight)
    fill = QColor(accent)
    fill.setAlpha(FILL_ALPHA)
    band.setStrokeColor(accent)
    band.setFillColor(fill)
    band.setWidth(2)
    return band
