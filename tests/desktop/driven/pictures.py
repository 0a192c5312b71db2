"""The pictures of the documentation: each step in the dock, a tile being labelled, the map, the learning curve.

Options: ``demo``, a copy of the demo's folder that may be changed; ``out``, where the pictures go, as NAME.png.
"""

from __future__ import annotations

import csv
from pathlib import Path

from analyst import Analyst
from conductor import Pause, Until, picture
from qgis.core import QgsRectangle
from qgis.PyQt.QtCore import Qt
from qgis.utils import iface

LABELLED = 20


def steps(options):
    """A new project first, then one with several rounds behind it."""
    demo, out = Path(options["demo"]), Path(options["out"])
    analyst = Analyst()
    yield from analyst.sit_down()
    window, dock = iface.mainWindow(), analyst.plugin.dock
    layer = analyst.load_raster(demo / "scene.tif")
    window.resizeDocks([dock], [400], Qt.Orientation.Horizontal)
    yield from _begin(analyst, demo, out)
    analyst.job.close()
    analyst.plugin.open_project(demo / "demo.gpkg")
    truth = _truth(demo)
    yield Until(lambda: analyst.job.is_open and not analyst.context.engine.busy, "the demo's project")
    analyst.context.overlay.show_composite(analyst.context.overlay.composites()[0].name)
    yield from analyst.go_to("query")
    yield Pause(3)
    picture(dock, out / "query.png")
    yield from _label(analyst, truth, out)
    yield from _results(analyst, layer, out)
    return {}


def _begin(analyst, demo, out):
    """The dialog for a new project, and the panels Imagery and Classes of the project that it makes."""
    yield from analyst.new_project(
        "harbour.gpkg", classes=str(demo / "classes.csv"), seen=lambda dialog: picture(dialog, out / "new.png")
    )
    yield from analyst.go_to("imagery")
    yield Until(analyst.panel("imagery").prepare_button.isEnabled, "the engine to look at the raster")
    yield Pause(2)
    picture(iface.mainWindow(), out / "imagery.png")
    yield from analyst.go_to("classes")
    yield Pause()
    picture(analyst.plugin.dock, out / "classes.png")


def _label(analyst, truth, out):
    """Ask for tiles, answer some of them, and stop at one that has a suggestion."""
    rounds = len(analyst.job.project.read("SELECT 1 FROM rounds WHERE strategy <> 'validation'"))
    analyst.hands.click(analyst.panel("query").ask_button)
    yield Until(lambda: analyst.labelling.active, "tiles to label", 300)
    yield from analyst.round_of(rounds + 1)
    keys = {item.name: item.key for item in analyst.job.project.classes()}
    yield from analyst.label(lambda tile: keys[truth[tile.row, tile.col]], most=LABELLED)
    if not analyst.labelling.session.suggestion:
        yield from analyst.label(lambda tile: keys[truth[tile.row, tile.col]], most=1)
    yield Pause(3)
    picture(iface.mainWindow(), out / "label.png")


def _results(analyst, layer, out):
    """The learning curve beside the map of predictions."""
    analyst.labelling.stop()
    yield from analyst.predict()
    overlay = analyst.context.overlay
    overlay.set_visible("asked", False)
    overlay.set_visible("answers", False)
    extent = QgsRectangle(layer.extent())
    extent.scale(1.02)
    iface.mapCanvas().setExtent(extent)
    iface.messageBar().clearWidgets()
    yield Until(lambda: not analyst.context.engine.busy, "the learning curve")
    yield Pause(5)
    picture(iface.mainWindow(), out / "results.png")


def _truth(demo):
    with (demo / "truth_single.csv").open(encoding="utf-8") as file:
        return {(int(row["row"]), int(row["col"])): row["label"] for row in csv.DictReader(file)}
