"""Choose the area of interest: everything, the polygons of a layer, or a polygon drawn on the map.

The engine is another process and gets a file. So the area is copied into one when it is needed, as it is now: with
edits that are not saved, with the layer's filter, and if wanted only what is selected. QGIS writes it in the
background, because a layer may hold many polygons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsDistanceArea,
    QgsFeature,
    QgsGeometry,
    QgsMapLayer,
    QgsMapLayerProxyModel,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorFileWriterTask,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas, QgsMapLayerComboBox
from qgis.PyQt import sip
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QComboBox, QStackedWidget, QVBoxLayout, QWidget

from ...core.errors import ImageryError, QuadratError
from .area_tool import AreaTool, area_band
from .widgets import Note, in_a_row, narrow, push_button

EVERYWHERE, LAYER, DRAWN = range(3)
LAYER_NAME = "area"


class AreaChooser(QWidget):
    """Signals: ``changed`` when another area is chosen, drawn or cleared; ``drawing`` when the map is drawn on."""

    changed = pyqtSignal()
    drawing = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self._tool: AreaTool | None = None
        self._tool_before = None
        self._band = area_band(canvas)
        self._drawn: tuple[QgsGeometry, QgsCoordinateReferenceSystem] | None = None
        self._tasks: set[QgsVectorFileWriterTask] = set()
        self.combo = narrow(QComboBox())
        self.combo.addItems(["Everywhere", "Polygons of a layer", "Polygon drawn on the map"])
        self.layer_combo = narrow(QgsMapLayerComboBox())
        self.layer_combo.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.selected_only = QCheckBox()
        self.draw_button = push_button("Draw…", self.draw, "Draw the area on the map")
        self.clear_button = push_button("Clear", self.clear, "Forget the drawn area")
        self.drawn_note = Note()
        self._lay_out()
        self.combo.currentIndexChanged.connect(self._choose)
        self.layer_combo.layerChanged.connect(self._show_layer)
        self._canvas.destinationCrsChanged.connect(self._show_drawn)
        self._choose(EVERYWHERE)

    @property
    def layer(self) -> QgsVectorLayer | None:
        """The polygon layer that is chosen."""
        return self.layer_combo.currentLayer()

    def reason(self) -> str:
        """Why there is no area yet; empty if there is, or if none is wanted."""
        kind, layer = self.combo.currentIndex(), self.layer
        if kind == DRAWN and self._drawn is None:
            return "Draw the area of interest on the map, or choose Everywhere."
        if kind == LAYER and layer is None:
            return "Load a polygon layer for the area of interest, or choose Everywhere."
        if kind == LAYER and layer is not None and not layer.crs().isValid():
            return f"Nothing says where {layer.name()} lies. Set its CRS first: Layer, Layer CRS, Set Layer CRS…"
        return ""

    def refresh(self, project_file: Path) -> None:
        """Leave out the layers of the project itself, which are no areas, and count what is selected now."""
        layers = QgsProject.instance().mapLayers().values()
        self.layer_combo.setExceptedLayerList([layer for layer in layers if _shows(layer, project_file)])
        self._show_layer()

    def draw(self) -> None:
        """Give the analyst the tool to draw with."""
        self.drawing.emit()
        if self._tool is None:
            self._tool = AreaTool(self._canvas)
            self._tool.drawn.connect(self._keep)
            self._tool.given_up.connect(self._put_tool_back)
            self._tool.deactivated.connect(self._show_drawn)  # QGIS is changing tools: no time to set another one
        if self._canvas.mapTool() is not self._tool:
            self._tool_before = self._canvas.mapTool()
        self._canvas.setMapTool(self._tool)
        self._canvas.setFocus()
        self.drawn_note.say("Click the corners on the map; right click or double click ends, Esc gives up.")

    def clear(self) -> None:
        """Forget what was drawn."""
        self._drawn = None
        self._show_drawn()
        self.changed.emit()

    def write(
        self, folder: Path, on_done: Callable[[Path | None], None], on_failed: Callable[[QuadratError], None]
    ) -> None:
        """Write the area into a GeoPackage in ``folder`` and hand over its path; None at once if none is wanted."""
        layer, only_selected = self._as_layer()
        if layer is None:
            on_done(None)
            return
        path = folder / "area.gpkg"
        if _shows(layer, path):  # the layer shows the area of an earlier time; a file cannot be its own copy
            path = folder / "area-2.gpkg"
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName = "GPKG"
        options.layerName = LAYER_NAME
        options.skipAttributeCreation = True
        options.onlySelectedFeatures = only_selected
        options.actionOnExistingFile = QgsVectorFileWriter.ActionOnExistingFile.CreateOrOverwriteFile
        task = QgsVectorFileWriterTask(layer, str(path), options)
        self._tasks.add(task)
        task.writeComplete.connect(lambda _file: self._written(task, partial(on_done, path)))
        task.errorOccurred.connect(
            lambda _code, message: self._written(task, partial(on_failed, _cannot_write(path, message)))
        )
        QgsApplication.taskManager().addTask(task)

    def unload(self) -> None:
        """Take everything off the map; a file that is being written is of no use any more."""
        self._canvas.destinationCrsChanged.disconnect(self._show_drawn)
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if self._tool is not None:
            self._put_tool_back()
            self._tool.close()
            self._tool = None
        self._canvas.scene().removeItem(self._band)

    def _lay_out(self) -> None:
        from_layer = QWidget()
        lines = QVBoxLayout(from_layer)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.addWidget(self.layer_combo)
        lines.addWidget(self.selected_only)
        drawn = QWidget()
        lines = QVBoxLayout(drawn)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.addLayout(in_a_row(self.draw_button, self.clear_button))
        lines.addWidget(self.drawn_note)
        self.pages = QStackedWidget()
        for page in (QWidget(), from_layer, drawn):
            self.pages.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo)
        layout.addWidget(self.pages)

    def _choose(self, kind: int) -> None:
        self.pages.setCurrentIndex(kind)
        self.pages.setVisible(kind != EVERYWHERE)
        self._show_layer()
        self._show_drawn()
        self.changed.emit()

    def _show_layer(self, *_news: object) -> None:
        n_selected = self.layer.selectedFeatureCount() if self.layer is not None else 0
        self.selected_only.setText(f"Only the {n_selected:,} selected" if n_selected > 1 else "Only the one selected")
        self.selected_only.setVisible(n_selected > 0)
        if not n_selected:
            self.selected_only.setChecked(False)
        self.changed.emit()

    def _show_drawn(self) -> None:
        """Show the drawn polygon while it is what counts; the map's coordinate system may be another one by now."""
        self._band.reset()
        self.clear_button.setEnabled(self._drawn is not None)
        if self._drawn is None:
            self.drawn_note.say("")
            return
        if self.combo.currentIndex() == DRAWN:
            self._band.setToGeometry(*self._drawn)
        self.drawn_note.say(_in_words(*self._drawn))

    def _keep(self, polygon: QgsGeometry) -> None:
        self._drawn = (polygon, self._canvas.mapSettings().destinationCrs())
        self._put_tool_back()
        self.changed.emit()

    def _put_tool_back(self) -> None:
        if self._tool is not None and self._canvas.mapTool() is self._tool:
            before, self._tool_before = self._tool_before, None
            self._canvas.unsetMapTool(self._tool)
            if before is not None and not sip.isdeleted(before):
                self._canvas.setMapTool(before)
        self._show_drawn()

    def _as_layer(self) -> tuple[QgsVectorLayer | None, bool]:
        """The layer to copy, and whether only its selection counts; None if no area is wanted."""
        kind = self.combo.currentIndex()
        if kind == LAYER:
            return self.layer, self.selected_only.isChecked()
        if kind == DRAWN and self._drawn is not None:
            geometry, crs = self._drawn
            layer = QgsVectorLayer("Polygon", LAYER_NAME, "memory")
            layer.setCrs(crs)
            feature = QgsFeature()
            feature.setGeometry(geometry)
            layer.dataProvider().addFeatures([feature])
            return layer, False
        return None, False

    def _written(self, task: QgsVectorFileWriterTask, tell: Callable[[], None]) -> None:
        if task in self._tasks:  # else the panel is gone
            self._tasks.discard(task)
            tell()


def _shows(layer: QgsMapLayer, file: Path) -> bool:
    """Whether a layer's source is a file, or a layer in it."""
    return file.as_posix() in layer.source().replace("\\", "/")


def _in_words(polygon: QgsGeometry, crs: QgsCoordinateReferenceSystem) -> str:
    """How large a drawn polygon is on the ground."""
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsProject.instance().transformContext())
    measure.setEllipsoid(QgsProject.instance().ellipsoid() or "WGS84")
    corners = len(polygon.asPolygon()[0]) - 1
    return f"{corners} corners, {measure.measureArea(polygon) / 1e6:,.1f} km²"


def _cannot_write(path: Path, message: str) -> ImageryError:
    return ImageryError(
        "The area of interest could not be handed to the engine.",
        hint="Check that the project's folder is writable and the disk not full.",
        details=f"{path}: {message}",
    )
