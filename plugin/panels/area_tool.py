"""The map tool that draws one polygon: click adds a corner, right click or double click ends, Esc gives up."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsGeometry, QgsPointXY
from qgis.gui import QgsMapCanvas, QgsMapTool, QgsRubberBand
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor


class AreaTool(QgsMapTool):
    """Signals: ``drawn(QgsGeometry)`` in the map's coordinate system; ``given_up`` by Esc."""

    drawn = pyqtSignal(object)
    given_up = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self.corners: list[QgsPointXY] = []
        self._band = area_band(canvas)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def canvasPressEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """Left: one more corner. Right: that was all."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.corners.append(self.toMapCoordinates(event.pos()))
            self._show(self.corners)
        elif event.button() == Qt.MouseButton.RightButton:
            self._finish()

    def canvasDoubleClickEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """The first of the two clicks has set the last corner."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._finish()

    def canvasMoveEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """Show the polygon as it would be with a corner here."""
        if self.corners:
            self._show([*self.corners, self.toMapCoordinates(event.pos())])

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - QGIS's name
        """Esc gives up, Backspace takes the last corner back, Enter ends."""
        if event.key() == Qt.Key.Key_Escape:
            self._start_over()
            self.given_up.emit()
        elif event.key() == Qt.Key.Key_Backspace:
            self.corners = self.corners[:-1]
            self._show(self.corners)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._finish()
        else:
            event.ignore()

    def deactivate(self) -> None:
        """Another tool was chosen: what is not finished is dropped."""
        self._start_over()
        super().deactivate()

    def close(self) -> None:
        """Take the tool and its picture off the map."""
        self._start_over()
        if self.canvas().mapTool() is self:
            self.canvas().unsetMapTool(self)
        self.canvas().scene().removeItem(self._band)
        self.deleteLater()  # the canvas owns it and would keep it

    def _finish(self) -> None:
        """Keep the polygon; with fewer than three corners it is not finished yet."""
        corners = [point for index, point in enumerate(self.corners) if index == 0 or point != self.corners[index - 1]]
        if len(corners) >= 3:
            self._start_over()
            self.drawn.emit(QgsGeometry.fromPolygonXY([[*corners, corners[0]]]))

    def _start_over(self) -> None:
        self.corners = []
        self._band.reset()

    def _show(self, corners: list[QgsPointXY]) -> None:
        if corners:
            self._band.setToGeometry(QgsGeometry.fromPolygonXY([[*corners, corners[0]]]))
        else:
            self._band.reset()


def area_band(canvas: QgsMapCanvas) -> QgsRubberBand:
    """An empty rubber band in the palette's highlight colour, translucent inside."""
    band = QgsRubberBand(canvas)
    edge = canvas.palette().highlight().color()
    inside = QColor(edge)
    inside.setAlphaF(0.15)
    band.setStrokeColor(edge)
    band.setFillColor(inside)
    band.setWidth(2)
    return band
