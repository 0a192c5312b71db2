"""The rasters that are loaded in QGIS, to be ticked; what the engine finds in each, and what the analyst changes.

A Sentinel-2 product is one raster, whichever and however many layers show it, or none.
Layers come and go. What is known about a raster hangs on its file: it outlives the layer, and an answer of the engine
that comes too late finds nobody and is dropped. Only rasters that are ticked are looked at, one question each.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from qgis.core import QgsApplication, QgsProject, QgsProviderRegistry, QgsRasterLayer
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QDialog, QFileDialog, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ...core.errors import Cancelled, ImageryError, QuadratError
from ..context import Context
from ..engine.task import Call
from ..labeling.composites import show_usual_stretch
from ..messages import Messages
from ..product_layer import make_product_layer, product_behind, product_of_text
from ..requests import RasterChoice
from ..steps import reported
from .bands_dialog import BandsDialog
from .raster_layers import local_file, raster_layers
from .raster_look import Look, Question
from .widgets import Note, in_a_row, push_button


class Line(NamedTuple):
    """A raster in the list: its name, its file, or the reason why it has none that can be used."""

    name: str
    path: Path | None
    reason: str


class RasterList(QWidget):
    """Signals: ``changed`` when other rasters are ticked or more is known about one."""

    changed = pyqtSignal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._looks: dict[Path, Look] = {}
        self._known: set[Path] = set()
        self._without_layer: list[Path] = []  # products that QGIS cannot show
        self._tile_size_px = 0
        self._is_showing = False
        self._lines: list[Line] = []
        self.list = QListWidget()
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumHeight(120)
        self.list.itemChanged.connect(self._tick)
        self.list.currentRowChanged.connect(self._show_details)
        self.add_button = push_button("Add file…", self._ask_for_files, "Load a raster file, or a zipped product")
        self.product_button = push_button(
            "Add product…", self._ask_for_product, "Load a Sentinel-2 product: a .SAFE folder, or a folder of bands"
        )
        self.bands_button = push_button("Bands…", self.edit_bands, "Say what the bands of the selected raster are")
        self.details = Note()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addLayout(in_a_row(self.add_button, self.product_button, self.bands_button))
        layout.addWidget(self.details)
        project = QgsProject.instance()
        project.layersAdded.connect(self._show_layers)
        project.layersRemoved.connect(self._show_layers)
        project.layerTreeRoot().nameChanged.connect(self._show_layers)

    def unload(self) -> None:
        """Stop listening to QGIS and to the engine."""
        project = QgsProject.instance()
        project.layersAdded.disconnect(self._show_layers)
        project.layersRemoved.disconnect(self._show_layers)
        project.layerTreeRoot().nameChanged.disconnect(self._show_layers)

    def refresh(self, known: Collection[Path], tile_size_px: int) -> None:
        """Show the layers as they are now, for a project with such tiles and without the files that it has already."""
        self._known = set(known)
        self._tile_size_px = tile_size_px
        self._show_layers()

    def forget_choices(self) -> None:
        """Another project is open: nothing is ticked or changed for it yet."""
        self._looks.clear()
        self._without_layer.clear()

    def choices(self) -> list[RasterChoice]:
        """The rasters that are ticked, as they are to be read."""
        return [look.choice for look in self._shown_looks() if look.ticked]

    def reason(self) -> str:
        """Why the ticked rasters cannot be tiled yet; empty if they can. None ticked is no reason."""
        for look in self._shown_looks():
            if look.ticked and look.problem is not None:
                return f"{look.choice.path.name} cannot be used like this; select it to see why, or untick it."
            if look.ticked and look.seen is None:
                return f"Looking at {look.choice.path.name}."
        return ""

    def add_files(self, paths: Collection[str]) -> None:
        """Load raster files as layers and tick them; a file of a product stands for the product."""
        for text in paths:
            product = product_of_text(text)
            if product is not None:
                self.add_product(product)
                continue
            layer = QgsRasterLayer(text, Path(text).stem)
            if not layer.isValid():
                sentence = f"{Path(text).name} cannot be opened as a raster: it is of another kind, or damaged."
                self._context.messages.error(ImageryError(sentence, hint="Choose a GeoTIFF or the like."))
                continue
            path = local_file(layer).path
            if path is not None:
                self._look_of(path).ticked = True
            QgsProject.instance().addMapLayer(layer)

    @reported
    def add_product(self, path: Path) -> None:
        """Load a product as one layer and tick it; where QGIS cannot show it, it is listed without one."""
        if path.resolve() in self._known:
            self.messages.info(f"{path.name} is in the project already.")
            return
        self._look_of(path).ticked = True
        if all(line.path != path for line in self._lines):
            layer = make_product_layer(path, self._context.job.project.folder)
            if layer is None:
                self._without_layer.append(path)
            else:
                show_usual_stretch(layer)
                QgsProject.instance().addMapLayer(layer)
        self._show_layers()

    @property
    def messages(self) -> Messages:
        """Where to say what went wrong."""
        return self._context.messages

    def edit_bands(self) -> None:
        """Let the analyst say what the bands of the selected raster are."""
        look = self._current_look()
        if look is None or look.first is None:
            return
        dialog = BandsDialog(look.first, look.choice, self)
        if dialog.exec() == QDialog.DialogCode.Accepted and dialog.choice() != look.choice:
            look.choice = dialog.choice()
            look.ticked = True
            self._show_layers()
        dialog.deleteLater()

    def _ask_for_files(self) -> None:
        kinds = QgsProviderRegistry.instance().fileRasterFilters()
        paths, _ = QFileDialog.getOpenFileNames(self, "Add rasters", "", kinds)
        self.add_files(paths)

    def _ask_for_product(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "A .SAFE folder, or a folder of band files")
        if folder:
            self.add_product(Path(folder))

    def _look_of(self, path: Path) -> Look:
        return self._looks.setdefault(path, Look(RasterChoice(path)))

    def _shown_looks(self) -> list[Look]:
        return [self._look_of(line.path) for line in self._lines if line.path is not None]

    def _current_look(self) -> Look | None:
        """The raster whose line is selected; where none is, the only one."""
        row = self.list.currentRow()
        if row < 0 and len(self._shown_looks()) == 1:
            return self._shown_looks()[0]
        path = self._lines[row].path if 0 <= row < len(self._lines) else None
        return self._look_of(path) if path is not None else None

    def _show_layers(self, *_news: object) -> None:
        """Show the layers as they are now, with the same raster selected as before."""
        lines = self._listed()
        if lines != self._lines:
            look = self._current_look()
            self._is_showing = True
            self._lines = lines
            self.list.clear()
            for line in lines:
                item = QListWidgetItem(line.name, self.list)
                item.setToolTip(str(line.path or line.reason))
                if look is not None and line.path == look.choice.path:
                    self.list.setCurrentItem(item)
            self._is_showing = False
        self._tick_the_only_one()
        self._look_at_ticked()
        self._show_states()

    def _listed(self) -> list[Line]:
        """The rasters to list; what several layers show is listed once."""
        found = [_line_of(layer) for layer in raster_layers()]
        found += [Line(path.stem, path, "") for path in self._without_layer]
        listed: list[Line] = []
        seen = set(self._known)
        for line in found:
            if line.path is None or line.path.resolve() not in seen:
                listed.append(line)
            if line.path is not None:
                seen.add(line.path.resolve())
        return sorted(listed, key=lambda line: line.path is None)  # those that cannot be used come last

    def _tick_the_only_one(self) -> None:
        """With nothing to choose from, the choice is made; not while others that were chosen are being cut."""
        looks = self._shown_looks()
        if len(looks) == 1 and not self._context.engine.busy and not self._known and looks[0].asked is None:
            looks[0].ticked = True

    def _tick(self, item: QListWidgetItem) -> None:
        if self._is_showing:
            return
        path = self._lines[self.list.row(item)].path
        if path is None:
            return
        look = self._look_of(path)
        look.ticked = item.checkState() == Qt.CheckState.Checked
        if look.error is not None:
            look.asked = None  # ticking it again is asking again
        self.list.setCurrentItem(item)
        self._look_at_ticked()
        self._show_states()

    def _look_at_ticked(self) -> None:
        """Ask the engine about each ticked raster that it was not asked about as it is to be read now."""
        if not self._context.job.is_open or not self._tile_size_px:
            return
        interpreter = self._context.engine.interpreter()
        for look in self._shown_looks():
            question = Question(look.choice, self._tile_size_px, interpreter)
            if look.ticked and look.asked != question:
                look.asked, look.seen, look.error = question, None, None
                self._ask(look, question)

    def _ask(self, look: Look, question: Question) -> None:
        choice = question.choice

        def answered(results: list[dict[str, Any]] | None, error: QuadratError | None = None) -> None:
            if look.asked != question:
                return
            if isinstance(error, Cancelled):
                look.asked = None
                return
            look.error = error
            look.seen = results[0] if results else None
            look.first = look.first or look.seen
            self._show_states()

        self._context.engine.start(
            f"Looking at {choice.path.name}",
            [Call("inspect", question.params())],
            on_done=answered,
            on_failed=lambda error: answered(None, error),
            quiet=True,
        )

    def _show_states(self) -> None:
        """Bring the lines up to date without touching which are there."""
        self._is_showing = True
        for row, line in enumerate(self._lines):
            item = self.list.item(row)
            if line.path is None:
                item.setFlags(Qt.ItemFlag.ItemIsSelectable)
                item.setText(f"{line.name}\n{line.reason.split('. ')[0]}")
                continue
            look = self._look_of(line.path)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if look.ticked else Qt.CheckState.Unchecked)
            item.setText(f"{line.name}\n{look.state()}")
            warns = look.problem or (look.seen and look.seen["geographic"])
            icon = "/mIconWarning.svg" if warns else "/mIconRaster.svg"
            item.setIcon(QgsApplication.getThemeIcon(icon))
        self._is_showing = False
        self._show_details()
        self.changed.emit()

    def _show_details(self, *_news: object) -> None:
        look = self._current_look()
        self.bands_button.setEnabled(look is not None and look.first is not None)
        self.details.say(look.details() if look is not None else "")


def _line_of(layer: QgsRasterLayer) -> Line:
    path, reason = local_file(layer)
    name = layer.name() if path is None or product_behind(layer) is None else path.stem
    return Line(name, path, reason)
