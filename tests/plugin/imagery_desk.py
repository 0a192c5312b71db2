"""The imagery panel with the real engine, and what tests ask of its list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import Qt

from quadrat.core.project.store import Project
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.panels.imagery import ImageryPanel

from .panel_context import CLASSES, click, follow, surroundings
from .projects import TILE
from .waiting import wait_until


@contextmanager
def imagery_panel(engine: Engine, folder: Path) -> Iterator[ImageryPanel]:
    """The panel of a new project in ``folder``; the engine is free again afterwards."""
    with surroundings(engine) as context:
        context.job.create(folder / "p.gpkg", CLASSES, "single", TILE)
        panel = ImageryPanel(context)
        follow(panel, context.job)
        try:
            yield panel
        finally:
            panel.unload()
            wait_until(lambda: not engine._tasks, "the engine to be free for the next test")


def load(path, name=None):
    layer = QgsRasterLayer(str(path), name or Path(path).stem)
    assert layer.isValid()
    return QgsProject.instance().addMapLayer(layer)


def lines(panel):
    """Name and state of each raster in the list."""
    widget = panel.rasters.list
    return dict(widget.item(row).text().split("\n") for row in range(widget.count()))


def item_named(panel, name):
    widget = panel.rasters.list
    return next(widget.item(row) for row in range(widget.count()) if widget.item(row).text().startswith(name))


def tick(panel, name):
    item_named(panel, name).setCheckState(Qt.CheckState.Checked)


def wait_for_look(panel):
    wait_until(lambda: not panel.rasters.reason().startswith("Looking"), "the engine to look at the rasters")


def prepare(panel):
    wait_for_look(panel)
    assert panel.prepare_button.isEnabled(), [(look.problem, look.seen) for look in panel.rasters._shown_looks()]
    finished = []
    panel.context.workflow.finished.connect(finished.append)
    click(panel.prepare_button)
    wait_until(lambda: finished, "the tiles")


def tiles_in_file(panel):
    with Project.open(panel.context.job.project.path, writable=False) as project:
        return {(tile.raster_id, tile.row, tile.col) for tile in project.tiles()}
