"""The first step: make a project, open one, and see what the open one holds; and whether the engine is ready."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QWidget,
)

from ...core.errors import QuadratError
from ...core.project.results import VALIDATION_SAMPLE, rounds
from .. import settings
from ..context import Context
from .base import Panel
from .engine_dialog import EngineDialog
from .new_project import MODES, NewProjectDialog, usual_folder
from .widgets import ElidedLabel, Note, in_a_row, push_button


class ProjectPanel(Panel):
    """New, open, recent projects; the open project in numbers; the engine in a line."""

    title = "Project"

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.new_button = push_button("New…", self._new, "Make a project for the rasters you want to label")
        self.open_button = push_button("Open…", self._open, "Open the .gpkg file of a project")
        self.recent_title = QLabel("Recent projects")
        self.recent = QListWidget()
        self.recent.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.recent.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.recent.setAlternatingRowColors(True)
        self.recent.setToolTip("Double-click a project to open it")
        self.recent.itemActivated.connect(self._open_recent)
        self.details = _ProjectDetails()
        self.folder_button = push_button("Show in file manager", self._show_folder)
        self.layers_button = push_button(
            "Show layers", self._show_layers, "Bring back layers of this project that were removed from the map"
        )
        self.close_button = push_button("Close", self.context.job.close, "Close the project; nothing is lost")
        self.details.form.addRow(in_a_row(self.folder_button))
        self.details.form.addRow(in_a_row(self.layers_button, self.close_button))
        self.engine_note = Note()
        self.engine_button = push_button("Engine…", self._show_engine, "Choose and test the Python that computes")
        self.form.addLayout(in_a_row(self.new_button, self.open_button))
        self.form.addWidget(self.details)
        self.form.addWidget(self.recent_title)
        self.form.addWidget(self.recent, 1)
        self.form.addWidget(self.engine_note)
        self.form.addLayout(in_a_row(self.engine_button))
        self.form.addStretch()

    def next_step(self) -> str:
        """How to begin, or where to go on."""
        if not self.context.job.is_open:
            return "Make a new project, or open one. A project is a single GeoPackage with all your labels."
        return "Every answer is saved at once; there is nothing to save here."

    def show_state(self) -> None:
        """Show the recent projects, the open one and the engine."""
        is_open = self.context.job.is_open
        self.details.setVisible(is_open)
        if is_open:
            self._show_project()
        self._show_recent()
        self.engine_note.say(self._engine_in_words())

    def open_project(self, path: Path) -> bool:
        """Open a project in place of the present one; says why if it cannot be."""
        try:
            self.context.job.open(path)
        except QuadratError as error:
            self.context.messages.error(error)
            return False
        return True

    def _new(self) -> None:
        dialog = NewProjectDialog(self.context.job, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.context.messages.success(f"Made {self.context.job.project.path.name}. Now choose its imagery.")
        dialog.deleteLater()

    def _open(self) -> None:
        recent = settings.recent_projects()
        folder = recent[0].parent if recent else usual_folder()
        path, _ = QFileDialog.getOpenFileName(self, "Open a Quadrat project", str(folder), "Quadrat projects (*.gpkg)")
        if path:
            self.open_project(Path(path))

    def _open_recent(self, item: QListWidgetItem) -> None:
        self.open_project(Path(item.data(Qt.ItemDataRole.UserRole)))

    def _show_recent(self) -> None:
        is_open = self.context.job.is_open
        others = [path for path in settings.recent_projects() if not is_open or path != self.context.job.project.path]
        if [self._path_at(row) for row in range(self.recent.count())] != others:
            self.recent.clear()
            for path in others:
                item = QListWidgetItem(f"{path.stem}\n{path.parent}", self.recent)
                item.setData(Qt.ItemDataRole.UserRole, str(path))
                item.setToolTip(str(path))
        self.recent_title.setVisible(bool(others))
        self.recent.setVisible(bool(others))

    def _path_at(self, row: int) -> Path:
        return Path(self.recent.item(row).data(Qt.ItemDataRole.UserRole))

    def _show_project(self) -> None:
        project = self.context.job.project
        counts = project.counts()
        usable = counts["pool"] + counts["validation"]
        answered = counts["labelled"] + counts["none"] + counts["skipped"] + counts["unsure"]
        tiles = f"{usable:,}"
        if counts["validation"]:
            tiles += f", {counts['validation']:,} of them for validation"
        if counts["excluded"]:
            tiles += f"; {counts['excluded']:,} set aside"
        self.details.setTitle(project.path.stem)
        self.details.folder.say(str(project.path.parent))
        self.details.mode.say(MODES[project.mode][0])
        self.details.size.say(f"{project.tile_size} px")
        self.details.tiles.say(tiles if usable or counts["excluded"] else "none yet: choose imagery next")
        self.details.answered.say(f"{answered:,}")
        asked = [record for record in rounds(project) if record.strategy != VALIDATION_SAMPLE]
        self.details.rounds.say(f"{len(asked):,}")

    def _show_layers(self) -> None:
        self.context.overlay.show_layers()

    def _show_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.context.job.project.path.parent)))

    def _show_engine(self) -> None:
        dialog = EngineDialog(self.context.engine, self)
        dialog.exec()
        dialog.deleteLater()

    def _engine_in_words(self) -> str:
        engine = self.context.engine
        if engine.interpreter() is None:
            return "Engine: not set up yet. Press Engine… to choose its Python."
        hello = engine.hello
        if hello is None:
            return "Engine: starts when it is needed."
        device = f"GPU {hello['gpu']}" if hello["device"] == "cuda" else f"processor, {hello['cores']} cores"
        return f"Engine: ready on {device}."


class _ProjectDetails(QGroupBox):
    """What is known about the open project, a line each."""

    def __init__(self) -> None:
        super().__init__()
        self.form = QFormLayout(self)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.folder = ElidedLabel()
        self.mode, self.size, self.tiles, self.answered, self.rounds = (Note() for _ in range(5))
        lines = {
            "Folder": self.folder,
            "Labels": self.mode,
            "Tile size": self.size,
            "Tiles": self.tiles,
            "Answered": self.answered,
            "Rounds": self.rounds,
        }
        for name, widget in lines.items():
            self.form.addRow(name, widget)
