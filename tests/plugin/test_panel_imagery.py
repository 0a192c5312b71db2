"""The imagery panel with real layers, the real engine and a real map."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapToolPan
from qgis.PyQt.QtCore import QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QFileDialog

from quadrat.core.project.store import Project
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.panels.area import DRAWN, LAYER
from quadrat.plugin.panels.imagery import ImageryPanel
from quadrat.plugin.requests import RasterChoice

from .panel_context import CLASSES, click, follow, surroundings
from .projects import ORIGIN, ROOT, TILE, make_scene, write_raster
from .waiting import wait_until

UTM33 = QgsCoordinateReferenceSystem("EPSG:32633")
SIDE_M = 10.0 * TILE


@pytest.fixture(scope="module")
def engine(qgis_app):
    made = Engine(ROOT)
    yield made
    made.close()


@pytest.fixture
def context(engine, qgis_new_project):
    with surroundings(engine) as made:
        yield made
        wait_until(lambda: not engine._tasks, "the engine to be free for the next test")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "Bilder é 'q' \"z\""
    made.mkdir()
    return made


@pytest.fixture
def panel(context, folder):
    context.job.create(folder / "p.gpkg", CLASSES, "single", TILE)
    made = ImageryPanel(context)
    follow(made, context.job)
    yield made
    made.unload()


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


def polygon_layer(*boxes, crs=UTM33):
    layer = QgsVectorLayer("Polygon", "fields", "memory")
    layer.setCrs(crs)
    features = []
    for box in boxes:
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(box))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    return QgsProject.instance().addMapLayer(layer)


def box_of_tiles(row, col, rows=1, cols=1):
    """Ground well inside of some tiles of a scene."""
    west, north = ORIGIN[0] + SIDE_M * col + 50, ORIGIN[1] - SIDE_M * row - 50
    return QgsRectangle(west, north - SIDE_M * rows + 100, west + SIDE_M * cols - 100, north)


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


def test_without_a_project_the_panel_says_what_to_do_first(context):
    panel = ImageryPanel(context)
    panel.refresh()
    assert "project first" in panel.blocked()
    assert not panel.prepare_button.isEnabled()
    panel.unload()


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


def test_the_list_follows_the_layers_until_the_panel_is_unloaded(context, folder):
    context.job.create(folder / "p.gpkg", CLASSES, "single", TILE)
    panel = ImageryPanel(context)
    panel.refresh()
    first = load(make_scene(folder, rows=1, cols=1, name="one").raster)
    load(make_scene(folder, rows=1, cols=1, name="two").raster)
    assert set(lines(panel)) == {"one", "two"}
    first.setName("eins")
    assert set(lines(panel)) == {"eins", "two"}
    QgsProject.instance().removeMapLayer(first)
    assert set(lines(panel)) == {"two"}
    items = len(context.iface.mapCanvas().scene().items())
    panel.unload()
    load(folder / "one.tif", "late")
    assert set(lines(panel)) == {"two"}
    assert len(context.iface.mapCanvas().scene().items()) < items


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
    wait_until(lambda: engine.pid and panel.options.encoder_combo.count() > 1, "the worker")
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


def test_prepare_makes_tiles_and_the_first_round_and_then_shows_what_is_in_the_project(panel, folder):
    load(make_scene(folder, rows=3, cols=4).raster)
    panel.options.validation_spin.setValue(25)
    prepare(panel)
    assert len(tiles_in_file(panel)) == 12
    with Project.open(panel.context.job.project.path, writable=False) as project:
        assert project.counts()["validation"] == 3
        assert project.read("SELECT count(*) FROM rounds")[0][0] >= 1
    panel.refresh()
    assert panel.in_project.isVisible()
    assert panel.in_project.list.item(0).text() == "scene: 12 tiles"
    assert lines(panel) == {}
    assert panel.prepare_button.isEnabled()  # another encoder, or what was stopped


def test_the_area_is_that_of_a_layer_with_its_edits_and_only_what_is_selected(panel, folder):
    load(make_scene(folder, rows=3, cols=4).raster)
    fields = polygon_layer(box_of_tiles(0, 0), box_of_tiles(1, 1, 1, 2), crs=UTM33)
    fields.startEditing()
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(box_of_tiles(2, 3)))
    fields.addFeature(feature)
    panel.area.combo.setCurrentIndex(LAYER)
    fields.selectByRect(box_of_tiles(1, 1, 2, 3))
    panel.refresh()
    assert panel.area.selected_only.text() == "Only the 2 selected"
    panel.area.selected_only.setChecked(True)
    prepare(panel)
    assert {(row, col) for _, row, col in tiles_in_file(panel)} == {(1, 1), (1, 2), (2, 3)}
    fields.rollBack()


def test_the_area_is_drawn_on_the_map_whatever_its_coordinate_system(panel, folder):
    canvas = panel.context.iface.mapCanvas()
    layer = load(make_scene(folder, rows=3, cols=4).raster)
    canvas.setLayers([layer])
    canvas.setDestinationCrs(UTM33)
    canvas.setExtent(layer.extent())
    panel.area.combo.setCurrentIndex(DRAWN)
    assert "Draw the area" in panel.area.reason()
    click(panel.area.draw_button)
    corners = [corner_on(canvas, x, y) for x, y in corners_of(box_of_tiles(0, 0, 2, 1))]
    for corner in corners:
        QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=corner)
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.RightButton, pos=corners[0])
    assert "4 corners" in panel.area.drawn_note.said
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    prepare(panel)
    assert {(row, col) for _, row, col in tiles_in_file(panel)} == {(0, 0), (1, 0)}
    canvas.setLayers([])


def corners_of(box):
    return [
        (box.xMinimum(), box.yMinimum()),
        (box.xMaximum(), box.yMinimum()),
        (box.xMaximum(), box.yMaximum()),
        (box.xMinimum(), box.yMaximum()),
    ]


def corner_on(canvas, x, y):
    point = canvas.getCoordinateTransform().transform(x, y)
    return QPoint(round(point.x()), round(point.y()))


def test_drawing_ends_by_double_click_and_is_given_up_by_escape(panel):
    canvas = panel.context.iface.mapCanvas()
    canvas.setDestinationCrs(UTM33)
    canvas.setExtent(QgsRectangle(0, 0, 1000, 1000))
    panel.area.combo.setCurrentIndex(DRAWN)
    click(panel.area.draw_button)
    for x, y in ((50, 50), (150, 50), (150, 150)):
        QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    QTest.mouseDClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(150, 150))
    assert "3 corners" in panel.area.drawn_note.said
    before = panel.area.drawn_note.said
    click(panel.area.draw_button)
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 20))
    QTest.keyClick(canvas, Qt.Key.Key_Escape)
    assert canvas.mapTool() is None
    assert panel.area.drawn_note.said == before
    click(panel.area.clear_button)
    assert panel.area.reason()


def test_another_tool_ends_drawing_and_stays_in_hand(panel):
    canvas = panel.context.iface.mapCanvas()
    canvas.setExtent(QgsRectangle(0, 0, 1000, 1000))
    before, other = QgsMapToolPan(canvas), QgsMapToolPan(canvas)
    canvas.setMapTool(before)
    panel.area.combo.setCurrentIndex(DRAWN)
    click(panel.area.draw_button)
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 20))
    canvas.setMapTool(other)
    assert canvas.mapTool() is other
    assert not before.isActive()
    assert panel.area.drawn_note.said == ""
    click(panel.area.draw_button)
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 20))
    QTest.keyClick(canvas, Qt.Key.Key_Escape)
    assert canvas.mapTool() is other
    canvas.unsetMapTool(other)


def test_a_layer_removed_while_its_raster_is_tiled_breaks_nothing(panel, folder):
    layer = load(make_scene(folder, rows=6, cols=8).raster)
    wait_for_look(panel)
    finished = []
    panel.context.workflow.finished.connect(finished.append)
    click(panel.prepare_button)
    QgsProject.instance().removeMapLayer(layer)
    wait_until(lambda: finished, "the tiles")
    assert len(tiles_in_file(panel)) == 48


def test_a_raster_that_has_moved_is_located(context, ready_project, folder, monkeypatch):
    ready = ready_project()
    there = folder / "là.tif"
    shutil.move(ready.scene.raster, there)
    with Project.open(ready.path) as project:
        project.update_raster(1, path=str(ready.scene.raster))  # not where the copied project came from
    context.job.open(ready.path)
    panel = ImageryPanel(context)
    follow(panel, context.job)
    assert panel.in_project.list.item(0).text() == "scene: its file is not where it was"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(there), ""))
    finished = []
    context.workflow.finished.connect(finished.append)
    click(panel.in_project.locate_button)
    wait_until(lambda: finished, "the raster")
    panel.refresh()
    assert panel.in_project.list.item(0).text() == "scene: 48 tiles"
    assert not panel.in_project.locate_button.isVisible()
    panel.unload()


def test_the_encoders_come_from_the_engine(panel, folder):
    combo = panel.options.encoder_combo
    wait_until(lambda: combo.count() > 1, "the encoders")
    assert combo.currentData() == "statistics"
    panel.options.use_encoder(str(folder / "my weights.pth"))
    assert panel.options.encoder == str(folder / "my weights.pth")


def test_drawing_an_area_ends_labelling_which_takes_the_same_keys(panel, ready_project):
    context = panel.context
    context.job.open(ready_project().path)
    context.labelling.start()
    assert context.labelling.active
    panel.area.combo.setCurrentIndex(DRAWN)
    click(panel.area.draw_button)
    assert not context.labelling.active
    canvas = context.iface.mapCanvas()
    for x, y in ((50, 50), (150, 50), (150, 150)):
        QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    QTest.mouseDClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(150, 150))
    assert "3 corners" in panel.area.drawn_note.said
