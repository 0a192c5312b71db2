"""The rasters that are in the project already, and finding again those whose file was moved."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QFileDialog, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ...core.project.store import Project
from .widgets import in_a_row, push_button

_IS_FOLDER = Qt.ItemDataRole.UserRole + 1
_FOLDERS = ("", ".safe")  # endings of what was a product in a folder


class ProjectRasters(QWidget):
    """Signals: ``located(raster_id, path)`` when the analyst said where a raster is now."""

    located = pyqtSignal(int, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folder = Path.home()
        self.list = QListWidget()
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMaximumHeight(96)
        self.list.currentRowChanged.connect(self._enable_button)
        self.locate_button = push_button("Locate…", self._locate, "Say where the file of the selected raster is now")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("In the project"))
        layout.addWidget(self.list)
        layout.addLayout(in_a_row(self.locate_button))

    def show_project(self, project: Project) -> set[Path]:
        """Show the rasters of the project; returns the files that are there. Hidden while there is none."""
        self._folder = project.path.parent
        records = project.rasters()
        tiles = dict(project.read("SELECT raster_id, count(*) FROM tiles GROUP BY raster_id")) if records else {}
        found = {record.raster_id: project.find_raster(record) for record in records}
        selected = self.list.currentRow()
        self.list.clear()
        for record in records:
            path = found[record.raster_id]
            state = f"{tiles.get(record.raster_id, 0):,} tiles"
            item = QListWidgetItem(f"{record.name}: {state if path else 'its file is not where it was'}", self.list)
            item.setToolTip(str(path or record.path))
            item.setData(Qt.ItemDataRole.UserRole, None if path else record.raster_id)
            item.setData(_IS_FOLDER, Path(record.path).suffix.lower() in _FOLDERS)
            item.setIcon(QgsApplication.getThemeIcon("/mIconRaster.svg" if path else "/mIconWarning.svg"))
        missing = [row for row, record in enumerate(records) if found[record.raster_id] is None]
        self.list.setCurrentRow(selected if selected in missing else next(iter(missing), -1))
        self.locate_button.setVisible(bool(missing))
        self.setVisible(bool(records))
        self._enable_button()
        return {path.resolve() for path in found.values() if path is not None}

    def _missing_id(self) -> int | None:
        item = self.list.currentItem()
        return item.data(Qt.ItemDataRole.UserRole) if item is not None else None

    def _enable_button(self, *_news: object) -> None:
        self.locate_button.setEnabled(self._missing_id() is not None)

    def _locate(self) -> None:
        raster_id, title = self._missing_id(), "Where is the raster now?"
        if self.list.currentItem().data(_IS_FOLDER):
            path = QFileDialog.getExistingDirectory(self, title, str(self._folder))
        else:
            path, _ = QFileDialog.getOpenFileName(self, title, str(self._folder))
        if path and raster_id is not None:
            self.located.emit(raster_id, Path(path))
