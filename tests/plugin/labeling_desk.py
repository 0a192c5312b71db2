"""A window with a map, an open project and labelling, and hands for keys and mouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from osgeo import gdal
from qgis.core import QgsCoordinateReferenceSystem, QgsPointXY, QgsRectangle
from qgis.gui import QgsMapCanvas, QgsRubberBand
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QWidget

from quadrat.core.project.answers import current_answers
from quadrat.core.project.results import Pick, record_round
from quadrat.core.project.store import Project
from quadrat.plugin.context import Context
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.job import Job
from quadrat.plugin.labeling.labelling import Labelling
from quadrat.plugin.labeling.overlay import Overlay
from quadrat.plugin.labeling.session import LabelingSession
from quadrat.plugin.messages import Messages
from quadrat.plugin.workflow import Workflow

from .panel_context import Window
from .projects import CLASSES, ROOT, ReadyProject, engine, make_scene, truth_of
from .waiting import wait_until

SET_ASIDE = (0, 9)  # row and column of the one tile without data
_made: dict[str, ReadyProject] = {}


def large_project(factory: pytest.TempPathFactory) -> ReadyProject:
    """10 x 10 tiles, 20 of them validation, one set aside, and a first round of 64; made once, never changed."""
    if "large" not in _made:
        folder = factory.mktemp("large") / "project"
        folder.mkdir()
        scene = make_scene(folder, rows=10, cols=10)
        data = gdal.Open(str(scene.raster), gdal.GA_Update)
        for band in range(1, data.RasterCount + 1):
            empty = data.GetRasterBand(band).ReadAsArray(64 * SET_ASIDE[1], 64 * SET_ASIDE[0], 64, 64) * 0
            data.GetRasterBand(band).WriteArray(empty, 64 * SET_ASIDE[1], 64 * SET_ASIDE[0])
        data.FlushCache()
        path, classes = folder / "p.gpkg", folder / "classes.txt"
        classes.write_text("\n".join(CLASSES), encoding="utf-8")
        engine("init", path, "--classes", classes)
        engine("tile", path, scene.raster, "--validation", 0.2)
        engine("embed", path, "--encoder", "statistics")
        engine("query", path, "--budget", 64)
        _made["large"] = ReadyProject(path, scene, truth_of(path, scene))
    return _made["large"]


class Desk:
    """The parts that labelling works with, as the plugin ties them together, and an analyst's hands."""

    def __init__(self, ready: ReadyProject, *, with_layers: bool = False) -> None:
        self.ready = ready
        self.window = Window()
        self.window.show()
        activate(self.window)
        self.canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
        self.canvas.setExtent(QgsRectangle(399960, 5293640, 406360, 5300040))
        self.job = Job()
        self.engine = Engine(ROOT)
        self.messages = Messages(self.window)
        self.workflow = Workflow(self.job, self.engine, self.messages)
        self.overlay = Overlay(self.window, self.job) if with_layers else None
        self.labelling = Labelling(self.window, self.job, self.workflow, self.messages)
        self.context = Context(
            self.window, self.job, self.engine, self.workflow, self.overlay, self.labelling, self.messages
        )
        self.job.open(ready.path)
        self.class_ids = {item.name: item.class_id for item in self.project.classes()}
        self.keys = {item.name: item.key for item in self.project.classes()}

    def close(self) -> None:
        self.labelling.unload()
        self.engine.close()
        self.job.close()
        if self.overlay is not None:
            self.overlay.unload()
        self.workflow.unload()
        self.window.close()

    @property
    def canvas(self) -> QgsMapCanvas:
        return self.window.mapCanvas()

    @property
    def project(self) -> Project:
        return self.job.project

    @property
    def session(self):
        return self.labelling.session

    @property
    def tile_id(self) -> int:
        """The tile that is shown."""
        return self.session.current.tile_id

    def tile_ids(self, role: str) -> list[int]:
        return [tile.tile_id for tile in self.project.tiles((role,))]

    def answers(self) -> dict[int, tuple[str, tuple[str, ...]]]:
        """Kind and class names of every answer that is on disk, read through a connection of its own."""
        names = {number: name for name, number in self.class_ids.items()}
        with Project.open(self.ready.path, writable=False) as other:
            return {
                tile_id: (answer.kind, tuple(names[number] for number in answer.class_ids))
                for tile_id, answer in current_answers(other).items()
            }

    def suggest_truth(self, share: float = 0.9) -> None:
        """Let the model suggest what is true of every tile."""
        for tile_id, names in self.ready.truth.items():
            self.workflow.suggestions[tile_id] = [(self.class_ids[name], share) for name in names]
        self.workflow.suggestions_changed.emit()

    def press(self, key: object, modifiers: object = Qt.KeyboardModifier.NoModifier, where: QWidget | None = None):
        """One key, which Qt first offers to whoever wants to override a shortcut."""
        widget = self.canvas if where is None else where  # an empty list widget is false
        widget.setFocus()
        QTest.keyClick(widget, key, modifiers)

    def type(self, letter: str) -> None:
        self.press(letter)

    def pixel(self, row: float, col: float) -> QPoint:
        """Where on the canvas a place of the grid is; (0.5, 0.5) is the centre of the first tile."""
        point = self.canvas.getCoordinateTransform().transform(QgsPointXY(399960 + 640 * col, 5300040 - 640 * row))
        return QPoint(round(point.x()), round(point.y()))

    def click(self, row: float, col: float) -> None:
        QTest.mouseClick(self.canvas.viewport(), Qt.MouseButton.LeftButton, pos=self.pixel(row, col))

    def drag(self, start: tuple[float, float], end: tuple[float, float], button=Qt.MouseButton.LeftButton) -> None:
        """Press, move, release."""
        view = self.canvas.viewport()
        QTest.mousePress(view, button, pos=self.pixel(*start))
        move(view, self.pixel(*end), button)
        QTest.mouseRelease(view, button, pos=self.pixel(*end))

    def show_all(self) -> None:
        """Show the whole raster."""
        self.canvas.setExtent(QgsRectangle(399960, 5293640, 406360, 5300040))


def activate(window: QWidget) -> None:
    """Give a window the keyboard."""
    window.activateWindow()
    wait_until(lambda: QApplication.activeWindow() is window, "the window to have the keyboard")


def move(view: QWidget, position: QPoint, button) -> None:
    """Move the mouse with a button held down, which QTest.mouseMove does not do."""
    from qgis.PyQt.QtCore import QEvent, QPointF
    from qgis.PyQt.QtGui import QMouseEvent

    here = QPointF(position)
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        here,
        QPointF(view.mapToGlobal(position)),
        Qt.MouseButton.NoButton,
        button,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(view, event)


@contextmanager
def sitting_at(ready: ReadyProject, **options: bool) -> Iterator[Desk]:
    """A desk that is left as it was found."""
    desk = Desk(ready, **options)
    try:
        yield desk
    finally:
        desk.close()


def copy_of(ready: ReadyProject, folder: Path) -> ReadyProject:
    """The same project in a folder that is not kind to programs."""
    from .projects import copy_project

    return copy_project(ready, folder / "a é 'q'")


def bands(desk) -> list[QgsRubberBand]:
    """What labelling draws on the canvas, as far as it is not empty."""
    return [item for item in desk.canvas.scene().items() if isinstance(item, QgsRubberBand) and item.numberOfVertices()]


def outlined(desk) -> tuple[int, int]:
    """Row and column of the tile that is outlined."""
    centre = bands(desk)[0].asGeometry().centroid().asPoint()
    return int((5300040 - centre.y()) // 640), int((centre.x() - 399960) // 640)


def session_of(project: Project, suggestions=None, **options) -> LabelingSession:
    """An analyst's way through a project, without a map."""
    return LabelingSession(project, "anna", suggestions or {}, **options)


def ask(project: Project, tile_ids, strategy: str = "margin") -> int:
    """Record a round; returns its number."""
    picks = [Pick(tile_id, rank, 0.0, "a reason") for rank, tile_id in enumerate(tile_ids, start=1)]
    return record_round(
        project, strategy=strategy, parameters={}, seed=0, encoder=None, budget=len(picks), picks=picks, metrics={}
    )


def unasked(project: Project, role: str = "pool") -> list[int]:
    """The tiles of a role that no round has asked for."""
    asked = {tile_id for (tile_id,) in project.read("SELECT tile_id FROM queries")}
    return [tile.tile_id for tile in project.tiles((role,)) if tile.tile_id not in asked]
