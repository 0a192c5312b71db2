"""Labelling on a real canvas by mouse: clicks, rectangles, the movement of the map, rounds that follow."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from qgis.core import QgsCoordinateReferenceSystem
from qgis.gui import QgsMapToolPan
from qgis.PyQt.QtCore import QCoreApplication, QEvent, Qt
from qgis.PyQt.QtTest import QSignalSpy, QTest

from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.results import Pick, record_round
from quadrat.core.project.store import Project
from quadrat.plugin.labeling.session import POSITION
from quadrat.plugin.labeling.worklist import work_list

from .labeling_desk import SET_ASIDE, bands, outlined, sitting_at
from .waiting import wait_until

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


# Mouse


def test_a_click_goes_to_a_tile(desk):
    desk.show_all()
    desk.click(3.5, 4.2)
    assert (desk.session.current.row, desk.session.current.col) == (3, 4)
    assert outlined(desk) == (3, 4)


def test_a_click_where_the_map_is_in_another_reference_system_goes_there_too(desk):
    desk.canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    tile = desk.session.tiles[3]
    desk.labelling.go_to(tile.tile_id)
    desk.labelling.zoom_to_tile()
    centre = desk.canvas.viewport().rect().center()
    desk.labelling.go_to(desk.session.tiles[0].tile_id)
    desk.labelling.go_to(tile.tile_id)
    QTest.mouseClick(desk.canvas.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert desk.session.current == tile
    box = bands(desk)[0].asGeometry().boundingBox()
    assert 12 < box.center().x() < 15
    desk.canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    assert outlined(desk) == (tile.row, tile.col)


def test_a_click_beside_all_tiles_changes_nothing(desk):
    desk.show_all()
    before = desk.session.current
    desk.click(-0.4, 2)
    assert desk.session.current == before


def test_a_tile_that_is_set_aside_cannot_be_clicked(large):
    large.show_all()
    before = large.session.current
    large.click(SET_ASIDE[0] + 0.5, SET_ASIDE[1] + 0.5)
    assert large.session.current == before
    assert "set aside" in large.window.said()


def test_a_rectangle_selects_tiles_for_one_answer(desk):
    desk.show_all()
    desk.drag((2.5, 1.5), (4.5, 3.5))
    places = {(tile.row, tile.col) for tile in desk.session.selection}
    assert places == {(row, col) for row in (2, 3, 4) for col in (1, 2, 3)}
    told = QSignalSpy(desk.job.answers_changed)
    desk.type("3")
    assert len(told) == 1
    assert list(desk.answers().values()) == [("classes", ("Town",))] * 9
    assert "9 tiles answered" in desk.window.said()
    desk.press(Qt.Key.Key_Z, CONTROL)
    assert desk.answers() == {}


def test_a_rectangle_may_be_drawn_in_any_direction(desk):
    desk.show_all()
    desk.drag((4.5, 3.5), (3.5, 1.5))
    assert {(tile.row, tile.col) for tile in desk.session.selection} == {(r, c) for r in (3, 4) for c in (1, 2, 3)}


def test_the_right_button_moves_the_map(desk):
    desk.show_all()
    before = desk.canvas.center()
    desk.drag((3, 3), (3, 5), Qt.MouseButton.RightButton)
    assert desk.canvas.center().x() == pytest.approx(before.x() - 1280, abs=30)
    assert desk.session.selection == ()


def test_the_tool_from_before_comes_back(ready_project):
    with sitting_at(ready_project("single")) as desk:
        pan = QgsMapToolPan(desk.canvas)
        desk.canvas.setMapTool(pan)
        desk.labelling.start()
        assert desk.labelling.has_tool
        desk.labelling.stop()
        assert desk.canvas.mapTool() is pan


def test_another_tool_may_be_used_while_keys_go_on_labelling(desk):
    pan = QgsMapToolPan(desk.canvas)
    changes = QSignalSpy(desk.labelling.tool_changed)
    desk.canvas.setMapTool(pan)
    assert not desk.labelling.has_tool
    desk.type("1")
    assert len(desk.answers()) == 1
    desk.labelling.take_tool()
    assert desk.labelling.has_tool
    assert [list(change) for change in changes] == [[False], [True]]
    desk.canvas.setMapTool(pan)
    desk.labelling.stop()
    assert desk.canvas.mapTool() is pan


def test_a_tool_that_was_deleted_meanwhile_does_not_come_back(ready_project):
    with sitting_at(ready_project("single")) as desk:
        pan = QgsMapToolPan(desk.canvas)
        desk.canvas.setMapTool(pan)
        desk.labelling.start()
        pan.deleteLater()
        QCoreApplication.sendPostedEvents(None, int(QEvent.Type.DeferredDelete))
        desk.labelling.stop()
        assert desk.canvas.mapTool() is None


# The map


def test_the_first_tile_fills_a_third_of_the_map_and_later_ones_keep_the_scale(desk):
    tile_px = 640 / desk.canvas.mapUnitsPerPixel()
    assert tile_px == pytest.approx(min(desk.canvas.width(), desk.canvas.height()) / 3, rel=0.05)
    desk.canvas.zoomByFactor(1.7)
    scale = desk.canvas.scale()
    desk.type("1")
    tile = desk.session.current
    assert desk.canvas.scale() == pytest.approx(scale)
    assert desk.canvas.center().x() == pytest.approx(399960 + 640 * (tile.col + 0.5), abs=1)
    assert desk.canvas.center().y() == pytest.approx(5300040 - 640 * (tile.row + 0.5), abs=1)


@pytest.mark.parametrize("factor", [0.1, 30])
def test_the_scale_changes_where_the_next_tile_could_not_be_seen(desk, factor):
    desk.canvas.zoomByFactor(factor)
    desk.type("1")
    tile_px = 640 / desk.canvas.mapUnitsPerPixel()
    assert tile_px == pytest.approx(min(desk.canvas.width(), desk.canvas.height()) / 3, rel=0.05)


# Rounds, projects, trouble


def test_the_next_round_is_shown_to_an_analyst_who_waits(desk):
    desk.labelling.round_done.connect(desk.workflow.next_round)
    for tile_id in [tile.tile_id for tile in desk.session.tiles]:
        assert desk.tile_id == tile_id
        desk.type(desk.keys[desk.ready.truth[tile_id][0]])
    first = desk.session
    assert first.current is None
    wait_until(lambda: desk.session is not first, "the next round", seconds=120)
    assert desk.session.progress.round_id > 1
    assert desk.session.current is not None
    assert desk.session.suggestion is not None or desk.session.current.is_validation
    assert outlined(desk) == (desk.session.current.row, desk.session.current.col)


def test_an_analyst_who_corrects_goes_to_the_next_round_when_he_wants_to(desk):
    desk.labelling.round_done.connect(desk.workflow.next_round)
    for tile in desk.session.tiles:
        desk.type(desk.keys[desk.ready.truth[tile.tile_id][0]])
    desk.press(Qt.Key.Key_Backspace)
    corrected = desk.session.current
    wait_until(lambda: desk.labelling.next_round_waits, "the next round", seconds=120)
    assert desk.session.current == corrected
    assert "Ctrl+Right" in desk.window.said()
    desk.press(Qt.Key.Key_Right, CONTROL)
    assert desk.session.progress.round_id > 1
    assert not desk.labelling.next_round_waits


def test_correcting_a_finished_round_does_not_ask_for_another_one(desk):
    done = QSignalSpy(desk.labelling.round_done)
    for _ in desk.session.tiles:
        desk.type("1")
    desk.press(Qt.Key.Key_Z, CONTROL)
    desk.type("2")
    assert len(done) == 1
    desk.labelling.stop()
    desk.labelling.start()
    desk.type("3")
    assert len(done) == 1


def test_nothing_is_lost_when_the_project_is_in_use_elsewhere(multi):
    multi.type("1")
    multi.type("3")
    tile = multi.session.current
    with closing(sqlite3.connect(multi.ready.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        multi.press(Qt.Key.Key_Return)
        assert "used by another program" in multi.window.said()
        assert (multi.session.current, multi.session.toggles) == (tile, {1, 3})
        other.execute("ROLLBACK")
    multi.press(Qt.Key.Key_Return)
    assert multi.answers() == {tile.tile_id: ("classes", ("Water", "Town"))}


def test_labelling_goes_on_at_the_same_tile_after_reopening(desk):
    desk.type("1")
    desk.press(Qt.Key.Key_Right, CONTROL)
    tile = desk.session.current
    desk.job.close()
    assert not desk.labelling.active
    with Project.open(desk.ready.path) as project:
        assert project.setting(POSITION) == str(tile.tile_id)
    desk.job.open(desk.ready.path)
    desk.labelling.start()
    assert desk.session.current == tile


def test_answers_recorded_elsewhere_are_seen(desk):
    tile_id = desk.tile_id
    record_answers(desk.project, [Answer(tile_id, "unsure")], annotator="ben", source="import")
    desk.job.answers_changed.emit([tile_id])
    assert desk.session.answer.kind == "unsure"


def test_a_project_without_a_round_says_what_to_do(ready_project):
    with sitting_at(ready_project("single", 0)) as desk:
        desk.labelling.start()
        assert not desk.labelling.active
        assert "Query" in desk.window.said()
        desk.job.close()
        desk.labelling.start()
        assert "No Quadrat project is open" in desk.window.said()


def test_nothing_is_left_after_unloading(ready_project):
    with sitting_at(ready_project("single")) as desk:
        pan = QgsMapToolPan(desk.canvas)
        desk.canvas.setMapTool(pan)
        items = len(desk.canvas.scene().items())
        for _ in range(10):
            desk.labelling.start()
            desk.show_all()
            desk.drag((0.2, 0.2), (1.8, 2.8))
            desk.labelling.stop()
        desk.labelling.start()
        desk.labelling.unload()
        QCoreApplication.sendPostedEvents(None, int(QEvent.Type.DeferredDelete))
        assert len(desk.canvas.scene().items()) == items
        assert desk.canvas.mapTool() is pan
        desk.type("1")
        desk.job.answers_changed.emit([])
        desk.workflow.round_ready.emit(1)
        assert desk.answers() == {}
        assert desk.labelling.receivers(desk.labelling.round_done) == 0
        for signal in (desk.workflow.round_ready, desk.workflow.suggestions_changed):
            assert desk.workflow.receivers(signal) == 0
        desk.labelling.unload = lambda: None  # the desk unloads too


def test_a_round_that_came_while_validation_tiles_were_left_is_entered_after_the_last_of_them(desk):
    def ask(tile_ids, strategy):
        picks = [Pick(tile_id, rank, None, "a reason") for rank, tile_id in enumerate(tile_ids, start=1)]
        facts = {"parameters": {}, "seed": 0, "encoder": None, "budget": len(picks), "metrics": {}}
        return record_round(desk.project, strategy=strategy, picks=picks, **facts)

    desk.labelling.stop()
    asked = {tile.tile_id for tile in work_list(desk.project)}
    checks = desk.tile_ids("validation")[:1]
    ask(checks, "validation")
    desk.labelling.start()
    for _ in range(len(asked) + 1):
        if desk.tile_id not in checks:
            desk.type("1")
        elif any(desk.session.is_open(tile) for tile in desk.session.tiles if tile.tile_id not in checks):
            desk.press(Qt.Key.Key_Right, CONTROL)
            desk.type("1")
    assert desk.tile_id in checks
    fresh = [tile_id for tile_id in desk.tile_ids("pool") if tile_id not in asked][:2]
    desk.workflow.round_ready.emit(ask(fresh, "margin"))
    assert desk.labelling.next_round_waits
    desk.type("2")
    assert desk.tile_id in fresh
