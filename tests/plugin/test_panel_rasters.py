"""The list of rasters, with real layers and the real engine."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
from osgeo import gdal
from qgis.core import (
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtWidgets import QApplication

from quadrat.plugin.requests import RasterChoice

from .imagery_desk import item_named, lines, load, tick, wait_for_look
from .panel_context import click
from .projects import TILE, make_scene, write_raster
from .waiting import wait_until


def test_the_only_raster_is_ticked_and_looked_at(panel, folder):
    load(make_scene(folder, rows=2, cols=3, name="scène").raster)
    wait_for_look(panel)
    assert lines(panel) == {"scène": "4 bands: B02 B03 B04 B08; 6 tiles"}
    panel.rasters.list.setCurrentRow(0)
    assert "EPSG:32633" in panel.rasters.details.said
    assert panel.prepare_button.isEnabled()


def test_layers_that_are_no_local_files_are_listed_with_the_reason(panel, folder):
    load(make_scene(folder, rows=1, cols=1).raster)
    copy = shutil.copy(folder / "scene.tif", folder / "lost.tif")
    load(copy, "lost")
    Path(copy).unlink()
    gdal.Translate("/vsimem/fleeting.tif", str(folder / "scene.tif"))
    load("/vsimem/fleeting.tif")
    web = QgsRasterLayer("type=xyz&url=https://tile.example.org/{z}/{x}/{y}.png", "web", "wms")
    QgsProject.instance().addMapLayer(web)
    shown = lines(panel)
    assert "web map" in shown["web"]
    assert "in memory" in shown["fleeting"]
    for name in ("web", "fleeting"):
        assert not item_named(panel, name).flags() & Qt.ItemFlag.ItemIsEnabled
    panel.refresh()
    assert "not there any more" in lines(panel)["lost"]
    assert next(iter(lines(panel))) == "scene"
    QgsProject.instance().removeAllMapLayers()
    gdal.Unlink("/vsimem/fleeting.tif")


def test_a_file_shown_by_two_layers_is_listed_once(panel, folder):
    raster = make_scene(folder, rows=1, cols=1).raster
    load(raster, "a")
    load(raster, "b")
    assert list(lines(panel)) == ["a"]


def test_a_layer_removed_while_the_engine_looks_at_it_breaks_nothing(panel, folder):
    layer = load(make_scene(folder, rows=1, cols=1, name="brief").raster)
    QgsProject.instance().removeMapLayer(layer)
    load(make_scene(folder, rows=1, cols=2, name="stays").raster)
    tick(panel, "stays")
    wait_for_look(panel)
    assert lines(panel) == {"stays": "4 bands: B02 B03 B04 B08; 2 tiles"}


def test_a_raster_is_looked_at_again_when_it_is_ticked_again_after_the_engine_died(panel, folder):
    engine = panel.context.engine
    wait_until(lambda: engine.pid and panel.options.encoders.combo.count() > 1, "the worker")
    os.kill(engine.pid, signal.SIGSTOP)
    load(make_scene(folder, rows=1, cols=2).raster)
    os.kill(engine.pid, signal.SIGKILL)
    wait_for_look(panel)
    assert not panel.prepare_button.isEnabled()
    panel.rasters.list.setCurrentRow(0)
    assert "tick it again" in panel.rasters.details.said
    item_named(panel, "scene").setCheckState(Qt.CheckState.Unchecked)
    tick(panel, "scene")
    wait_for_look(panel)
    assert lines(panel)["scene"].endswith("2 tiles")
    assert panel.prepare_button.isEnabled()


def test_a_raster_whose_bands_have_no_names_can_be_used_once_they_are_named(panel, folder):
    pixels = np.full((3, TILE, 2 * TILE), 900, np.uint16)
    load(write_raster(folder / "bare.tif", pixels, bands=None))
    wait_for_look(panel)
    assert not panel.prepare_button.isEnabled()
    panel.rasters.list.setCurrentRow(0)
    assert "Bands…" in panel.rasters.details.said
    said = []

    def name_the_bands():
        dialog = QApplication.activeModalWidget()
        for names in (("-", "-", "-"), ("B04", "B03", "B03"), ("B04", "B03", "-")):
            for combo, name in zip(dialog.combos, names):
                combo.setCurrentIndex(combo.findData(name))
            said.append((dialog.reason.said, dialog.ok_button.isEnabled()))
        click(dialog.ok_button)

    QTimer.singleShot(0, name_the_bands)
    click(panel.rasters.bands_button)
    assert said[0] == ("Say at least of one band which it is.", False)
    assert "Only one band can be B03" in said[1][0]
    assert said[2] == ("", True)
    assert panel.rasters.choices() == [RasterChoice(folder / "bare.tif", bands=("B04", "B03", "-"))]
    wait_for_look(panel)
    assert lines(panel)["bare"] == "2 bands: B04 B03; 2 tiles"
    assert panel.prepare_button.isEnabled()


def test_degrees_are_allowed_with_a_warning(panel, folder):
    pixels = np.full((4, TILE, TILE), 900, np.uint16)
    load(write_raster(folder / "grad.tif", pixels, epsg=4326, transform=(13.0, 1e-4, 0, 46.0, 0, -1e-4)))
    wait_for_look(panel)
    panel.rasters.list.setCurrentRow(0)
    assert "reproject" in panel.rasters.details.said
    assert panel.prepare_button.isEnabled()


def test_a_file_that_is_no_raster_is_refused(panel, folder):
    (folder / "no.tif").write_text("no raster")
    panel.rasters.add_files([str(folder / "no.tif")])
    assert "no.tif" in panel.context.iface.said()
    assert lines(panel) == {}


def test_an_added_file_is_loaded_and_ticked(panel, folder):
    load(make_scene(folder, rows=1, cols=1, name="other").raster)
    panel.rasters.add_files([str(make_scene(folder, rows=1, cols=2, name="added").raster)])
    assert "added" in [layer.name() for layer in QgsProject.instance().mapLayers().values()]
    wait_for_look(panel)
    assert [choice.path.name for choice in panel.rasters.choices()] == ["added.tif", "other.tif"]
