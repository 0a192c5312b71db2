"""The plugin as QGIS loads it, in a window of its own, and what must not be left of it afterwards."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qgis.core import Qgis, QgsApplication, QgsCoordinateReferenceSystem, QgsProject, QgsRectangle
from qgis.PyQt.QtCore import QObject, Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QDialog, QDockWidget, QMenu, QPushButton, QToolBar, QWidget

from quadrat.core.project.answers import current_answers
from quadrat.core.project.store import Project
from quadrat.plugin.main import QuadratPlugin
from quadrat.plugin.panels.base import Panel

from .labeling_desk import activate
from .panel_context import Window
from .projects import ReadyProject
from .waiting import wait_until


class QgisWindow(Window):
    """What of QGIS's interface the whole plugin uses: also docks, a menu and a tool bar."""

    def __init__(self) -> None:
        super().__init__()
        self.raster_menu = QMenu(self)
        self.raster_toolbar = QToolBar(self)
        self.resize(1100, 800)

    def addPluginToRasterMenu(self, _name: str, action: Any) -> None:  # noqa: N802
        self.raster_menu.addAction(action)

    def removePluginRasterMenu(self, _name: str, action: Any) -> None:  # noqa: N802
        self.raster_menu.removeAction(action)

    def addRasterToolBarIcon(self, action: Any) -> None:  # noqa: N802
        self.raster_toolbar.addAction(action)

    def removeRasterToolBarIcon(self, action: Any) -> None:  # noqa: N802
        self.raster_toolbar.removeAction(action)


class Seat:
    """An analyst in front of QGIS with the plugin; every exception that nobody caught is in ``mishaps``."""

    def __init__(self) -> None:
        self.mishaps: list[str] = []
        self.window = QgisWindow()
        self.window.show()
        activate(self.window)
        canvas = self.window.mapCanvas()
        canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
        canvas.setExtent(QgsRectangle(399960, 5293640, 406360, 5300040))
        self.load()

    def load(self) -> None:
        """Load the plugin, as its manager does."""
        self.plugin = QuadratPlugin(self.window)
        self.plugin.initGui()
        self.context = self.plugin.context
        self.job, self.engine = self.context.job, self.context.engine
        self.workflow, self.labelling = self.context.workflow, self.context.labelling

    @property
    def project(self) -> Project:
        return self.job.project

    def panel(self, kind: type[Panel]) -> Panel:
        """A panel, brought to the front."""
        self.plugin.dock.show_panel(kind)
        QTest.qWait(1)
        return self.plugin.dock.shown

    def error_text(self) -> str:
        """The error that the message bar shows, empty if there is none."""
        item = self.window.messageBar().currentItem()
        return item.text() if item is not None and item.level() == Qgis.MessageLevel.Critical else ""

    def press_button(self, text: str) -> None:
        """Press a button of the message that is shown."""
        buttons = self.window.messageBar().currentItem().findChildren(QPushButton)
        next(button for button in buttons if button.text() == text).click()

    def key(self, key: object, modifiers: object = Qt.KeyboardModifier.NoModifier) -> None:
        """One key press on the map."""
        self.window.mapCanvas().setFocus()
        QTest.keyClick(self.window.mapCanvas(), key, modifiers)

    def settle(self) -> None:
        """Wait until nothing is computed any more."""
        wait_until(lambda: not self.engine.busy, "the engine to be free", seconds=120)
        QTest.qWait(1)

    def answers(self, path: Path) -> dict[int, str]:
        """Kind of every answer that is on disk, read through a connection of its own."""
        with Project.open(path, writable=False) as other:
            return {tile_id: answer.kind for tile_id, answer in current_answers(other).items()}

    def answer_all(self, ready: ReadyProject) -> None:
        """Label what is asked by its truth, key by key."""
        keys = {item.name: item.key for item in self.project.classes()}
        while self.labelling.session is not None and not self.labelling.session.is_done:
            self.key(keys[ready.truth[self.labelling.session.current.tile_id][0]])

    def close(self) -> None:
        self.plugin.unload()
        self.window.messageBar().clearWidgets()
        self.window.close()
        QgsProject.instance().clear()
        QTest.qWait(1)


@contextmanager
def seated() -> Iterator[Seat]:
    """QGIS with the plugin; fails if anything went wrong that nobody was told of."""
    seat = Seat()
    before = sys.excepthook
    sys.excepthook = lambda kind, error, trace: seat.mishaps.append(_in_words(kind, error, trace))
    try:
        yield seat
    finally:
        seat.close()
        sys.excepthook = before
    assert not seat.mishaps, "\n".join(seat.mishaps)


def traces(window: QgisWindow) -> dict[str, Any]:
    """What a plugin can leave behind, counted."""
    QTest.qWait(10)
    gc.collect()
    scene = window.mapCanvas().scene()
    return {
        "docks": len(window.findChildren(QDockWidget)),
        "dialogs": len(window.findChildren(QDialog)),
        "widgets": len(window.findChildren(QWidget)),
        "objects": len(window.findChildren(QObject)),
        "actions": len(window.raster_menu.actions()) + len(window.raster_toolbar.actions()),
        "messages": len(window.messageBar().items()),
        "on the map": len(scene.items()),
        "layers": len(QgsProject.instance().mapLayers()),
        "groups": len(QgsProject.instance().layerTreeRoot().children()),
        "tasks": len(QgsApplication.taskManager().tasks()),
        "threads": len([thread for thread in threading.enumerate() if thread.name.startswith(("quadrat", "Thread-"))]),
        "open files": sorted(_open_files()),
    }


def _open_files() -> list[str]:
    files = []
    for link in Path("/proc/self/fd").glob("*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if ".gpkg" in target or "engine.log" in target:
            files.append(target)
    return files


def _in_words(kind: Any, error: Any, trace: Any) -> str:
    import traceback

    return "".join(traceback.format_exception(kind, error, trace))
