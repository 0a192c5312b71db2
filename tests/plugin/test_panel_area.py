"""The area of interest: a layer's polygons, or drawn on a real map."""

from __future__ import annotations

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapToolPan
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtTest import QTest

from quadrat.plugin.panels.area import DRAWN, LAYER

from .imagery_desk import load, prepare, tiles_in_file
from .panel_context import click
from .projects import ORIGIN, TILE, make_scene

UTM33 = QgsCoordinateReferenceSystem("EPSG:32633")
SIDE_M = 10.0 * TILE


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
