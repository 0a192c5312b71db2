"""The overlay of a project in a real QGIS project, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qgis.core import (
    QgsLayerTreeGroup,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor, QImage

from quadrat.plugin.job import Job
from quadrat.plugin.labeling.overlay import Overlay

from .projects import ORIGIN, TILE
from .waiting import wait_until

PIXEL_M = 10.0


class OverlayBench:
    """A job and its overlay."""

    def __init__(self, iface: Any) -> None:
        self.job = Job()
        self.overlay = Overlay(iface, self.job)

    def open(self, path: Any) -> None:
        """Open a project and wait for its layers."""
        self.job.open(path)
        self.settle()

    def settle(self) -> None:
        """Wait until the overlay has nothing more to do."""
        idle = self.overlay
        wait_until(lambda: not (idle._settling.isActive() or idle._next_step.isActive()), "the layers")
        wait_until(lambda: not idle._composite_view._tasks, "the contrast")


@contextmanager
def overlay_bench(iface: Any) -> Iterator[OverlayBench]:
    """An overlay without a project, taken down at the end as the plugin does it."""
    bench = OverlayBench(iface)
    try:
        yield bench
    finally:
        bench.job.close()
        bench.overlay.unload()
        bench.settle()


def groups() -> list[QgsLayerTreeGroup]:
    """The groups of the layer tree."""
    return QgsProject.instance().layerTreeRoot().findGroups(True)


def titles(group: QgsLayerTreeGroup) -> list[str]:
    """The names of a group's children from top to bottom."""
    return [node.name() for node in group.children()]


def layer_called(name: str) -> QgsMapLayer | None:
    """The one layer of the QGIS project with this name."""
    found = QgsProject.instance().mapLayersByName(name)
    assert len(found) <= 1, f"{len(found)} layers called {name}"
    return found[0] if found else None


def is_visible(name: str) -> bool:
    """Whether a layer is checked in the layer tree."""
    return QgsProject.instance().layerTreeRoot().findLayer(layer_called(name).id()).itemVisibilityChecked()


def legend(name: str) -> dict[str, str]:
    """What the legend of a layer says: text and the colour that fills most of its symbol."""
    found = {}
    for item in layer_called(name).renderer().legendSymbolItems():
        image = item.symbol().asImage(QSize(24, 24))
        found[item.label()] = image.pixelColor(12, 12).name().upper()
    return found


def tile_extent(row: int, col: int) -> QgsRectangle:
    """Where a tile of the scene lies."""
    left, top = ORIGIN[0] + col * TILE * PIXEL_M, ORIGIN[1] - row * TILE * PIXEL_M
    return QgsRectangle(left, top - TILE * PIXEL_M, left + TILE * PIXEL_M, top)


def drawn(layers: list[QgsMapLayer], extent: QgsRectangle, size: int = 200) -> QImage:
    """What the map shows of ``layers``."""
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setExtent(extent)
    settings.setOutputSize(QSize(size, size))
    settings.setDestinationCrs(layers[0].crs())
    settings.setBackgroundColor(QColor("white"))
    rendering = QgsMapRendererParallelJob(settings)
    rendering.start()
    rendering.waitForFinished()
    return rendering.renderedImage()


def over_white(colour: str, opacity: float) -> QColor:
    """A colour as it looks when it lies half-transparent on white paper."""
    top = QColor(colour)
    return QColor(*(round(255 + opacity * (part - 255)) for part in (top.red(), top.green(), top.blue())))


def alike(first: QColor, second: QColor, tolerance: int = 6) -> bool:
    """Whether two colours differ by rounding only."""
    parts = zip(first.getRgb()[:3], second.getRgb()[:3])
    return all(abs(one - other) <= tolerance for one, other in parts)
