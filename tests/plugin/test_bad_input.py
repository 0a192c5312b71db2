"""The whole plugin where things go wrong: the analyst is told what to do, nothing is lost, and nothing is left over."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QEvent, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QStyle, QStyleOptionTab

from quadrat.core.errors import ProjectError
from quadrat.core.project import class_editing, database
from quadrat.core.project.answers import current_answers
from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.store import Project
from quadrat.plugin.dock import PANELS
from quadrat.plugin.labeling import overlay
from quadrat.plugin.panels.imagery import ImageryPanel
from quadrat.plugin.panels.label import LabelPanel
from quadrat.plugin.panels.query import QueryPanel

from .projects import CLASSES, ROOT, make_scene
from .waiting import wait_until
from .whole_plugin import Seat, seated, traces
from .workbench import frozen

CONTROL = Qt.KeyboardModifier.ControlModifier
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
"""
ANSWER = """
import sys
sys.path.insert(0, sys.argv[1])
from core.project.answers import Answer, record_answers
from core.project.store import Project
with Project.open(sys.argv[2]) as project:
    record_answers(project, [Answer(int(sys.argv[3]), "unsure")], annotator="zoe", source="test")
"""


@pytest.fixture
def seat(qgis_app) -> Iterator[Seat]:
    with seated() as made:
        yield made


@contextmanager
def held_by_another_program(path: Path) -> Iterator[None]:
    """Another process has the file to itself."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline().strip() == "held"
            yield
        finally:
            other.communicate("\n")


@contextmanager
def no_room_to_write(pid: int = 0) -> Iterator[None]:
    """No file of the process can grow any more."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def begin(seat: Seat, ready) -> None:
    """Open a project and start to label."""
    seat.plugin.open_project(ready.path)
    seat.panel(LabelPanel)
    seat.labelling.start()
    assert seat.labelling.active


def layer_names() -> list[str]:
    return sorted(layer.name() for layer in QgsProject.instance().mapLayers().values())


# Unload


def test_ten_times_loaded_while_labelling_and_working_nothing_is_left(seat, ready_project):
    ready = ready_project()
    seat.plugin.unload()
    before = traces(seat.window)
    for number in range(10):
        seat.load()
        begin(seat, ready)
        seat.key("s")
        seat.context.messages.error(ProjectError("No.", details="why"), ("Try again", seat.workflow.predict))
        if number % 3 == 0:
            seat.workflow.query_validation(1)
        seat.plugin.unload()
        wait_until(lambda: not QgsApplication.taskManager().activeTasks(), "the tasks to end")
        assert traces(seat.window) == before
    assert len(seat.answers(ready.path)) >= 8


def test_the_plugin_may_go_while_a_number_is_being_typed(seat, ready_project):
    seat.plugin.open_project(ready_project().path)
    panel = seat.panel(QueryPanel)
    panel.budget.setFocus()
    panel.budget.selectAll()
    QTest.keyClicks(panel.budget, "12")
    seat.plugin.unload()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # where QGIS crashed


def test_the_window_with_the_details_is_gone_when_it_is_closed(seat):
    seat.plugin.unload()
    before = traces(seat.window)
    seat.load()
    seat.context.messages.error(ProjectError("It did not work.", hint="Do this.", details="why é 'q'"))
    read = []

    def copy_and_close() -> None:
        dialog = QApplication.activeModalWidget()
        dialog.copy_button.click()
        read.append(QApplication.clipboard().text())
        dialog.reject()

    QTimer.singleShot(0, copy_and_close)
    seat.press_button("Details")
    assert read == ["It did not work.\nDo this.\nwhy é 'q'"]
    seat.plugin.unload()
    assert traces(seat.window) == before


def test_before_there_is_a_project_the_dock_says_how_to_begin(seat):
    panel = seat.plugin.dock.shown
    wait_until(panel.new_button.isVisible, "the dock")
    wait_until(lambda: not panel.details.isVisible(), "the panel to be brought up to date")
    bar = seat.plugin.dock.tabs.tabBar()
    names = [panel.title for panel in PANELS]
    assert [bar.tabText(number) for number in range(bar.count())] == names
    for number in range(bar.count()):
        option = QStyleOptionTab()
        bar.initStyleOption(option, number)
        room = bar.style().subElementRect(QStyle.SubElement.SE_TabBarTabText, option, bar).width()
        assert room >= bar.fontMetrics().horizontalAdvance(names[number]), "a name that is cut off"


# Projects that cannot be read or written


def test_a_project_that_cannot_be_read_just_now_is_said_wherever_one_looks(seat, ready_project, monkeypatch):
    monkeypatch.setattr(database, "on_network_drive", lambda _path: True)  # where readers wait for writers
    monkeypatch.setattr("quadrat.plugin.job.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(overlay, "_RETRY_MS", 50)
    ready = ready_project()
    begin(seat, ready)
    wait_until(lambda: "Asked tiles" in layer_names(), "the layers")
    tile = seat.labelling.session.current
    news = ("project", "tiles", "classes", "embeddings", "rounds", "predictions")
    with held_by_another_program(ready.path):
        seat.key("s")
        assert "used by another program" in seat.error_text()
        for panel in PANELS:
            seat.window.messageBar().clearWidgets()
            seat.panel(panel)
            assert "used by another program" in seat.error_text(), panel
        for name in news:
            getattr(seat.job, f"{name}_changed").emit()
        QgsProject.instance().addMapLayer(QgsVectorLayer("Point", "a layer", "memory"))
        seat.labelling.go_to(tile.tile_id + 1)
        assert seat.labelling.session.current == tile
        composites = seat.panel(LabelPanel).composites
        next(iter(composites.values())).click()
        QTest.qWait(1)
    assert not seat.mishaps
    seat.key("s")
    assert seat.answers(ready.path) == {tile.tile_id: "skip"}
    wait_until(lambda: "Answers" in layer_names(), "the layers to be brought up to date")


def test_labelling_does_not_begin_halfway(seat, ready_project, monkeypatch):
    monkeypatch.setattr(database, "on_network_drive", lambda _path: True)
    monkeypatch.setattr("quadrat.plugin.job.BUSY_TIMEOUT_S", 0.01)
    ready = ready_project()
    seat.plugin.open_project(ready.path)
    items = len(seat.window.mapCanvas().scene().items())
    with held_by_another_program(ready.path):
        seat.labelling.start()
        assert not seat.labelling.active
        assert len(seat.window.mapCanvas().scene().items()) == items
    seat.labelling.start()
    assert seat.labelling.active


def test_a_project_in_use_is_not_opened_and_can_be_opened_afterwards(seat, ready_project):
    ready = ready_project()
    with held_by_another_program(ready.path):
        seat.plugin.open_project(ready.path)
        assert "used by another program" in seat.error_text()
        assert not seat.job.is_open
    begin(seat, ready)


def test_an_error_that_happens_again_and_again_is_shown_once(seat, ready_project):
    ready = ready_project()
    begin(seat, ready)
    tile = seat.labelling.session.current
    with no_room_to_write():
        for _ in range(5):
            seat.key("s")
        assert "disk" in seat.error_text()
        assert len(seat.window.messageBar().items()) == 1
        assert seat.labelling.session.current == tile
    seat.key("s")
    assert seat.answers(ready.path) == {tile.tile_id: "skip"}


@pytest.mark.parametrize("step", ["predict", "export", "query"])
def test_a_full_disk_stops_a_step_which_then_goes_on(seat, ready_project, tmp_path, step):
    ready = ready_project()
    begin(seat, ready)
    keys = dict(zip(CLASSES, "123"))
    for _ in range(7):
        seat.key(keys[ready.truth[seat.labelling.session.current.tile_id][0]])
    out = tmp_path / "labels é 'q'.gpkg"
    act = {
        "predict": seat.workflow.predict,
        "export": lambda: seat.workflow.export(out, "labels"),
        "query": lambda: seat.workflow.query(seat.workflow.query_settings),
    }[step]
    seat.workflow.query_validation(1)  # starts the worker
    seat.settle()
    before = seat.answers(ready.path)
    with no_room_to_write(seat.engine.pid):
        act()
        seat.settle()
        assert seat.error_text()
        assert not out.exists()
    seat.window.messageBar().clearWidgets()
    act()
    seat.settle()
    assert not seat.error_text()
    assert seat.answers(ready.path) == before
    assert out.exists() == (step == "export")


def test_a_worker_killed_while_it_predicts_leaves_the_predictions_from_before(seat, ready_project):
    ready = ready_project()
    begin(seat, ready)
    keys = dict(zip(CLASSES, "123"))
    for _ in range(7):
        seat.key(keys[ready.truth[seat.labelling.session.current.tile_id][0]])
    seat.workflow.predict()
    seat.settle()
    predicted = "SELECT count(*) FROM predicted_tiles"
    assert seat.project.read(predicted) == [(48,)]
    with frozen(seat.engine.pid):
        seat.workflow.predict()
        os.kill(seat.engine.pid, signal.SIGKILL)
    seat.settle()
    assert "was killed" in seat.error_text()
    assert seat.project.read(predicted) == [(48,)]
    seat.press_button("Try again")
    seat.settle()
    assert not seat.error_text()


# Rasters


def test_a_raster_that_was_moved_is_said_when_the_project_is_opened_and_found_again(seat, ready_project, tmp_path):
    ready = ready_project()
    with Project.open(ready.path) as project:
        project.update_raster(1, path=str(ready.scene.raster))  # not that of the project it is a copy of
    moved = tmp_path / "elsewhere é 'q'.tif"
    ready.scene.raster.rename(moved)
    seat.plugin.open_project(ready.path)
    assert "the file is not where it was" in seat.error_text()
    assert "Locate" in seat.error_text()
    begin(seat, ready)
    seat.key("s")
    assert len(seat.answers(ready.path)) == 1
    seat.panel(ImageryPanel).in_project.located.emit(1, moved)
    seat.settle()
    assert seat.project.find_raster(seat.project.rasters()[0]) == moved
    wait_until(lambda: "scene" in layer_names(), "the raster on the map")


def test_layers_removed_while_they_are_cut_stop_nothing(seat, tmp_path):
    folder = tmp_path / "a é 'q' \"d\""
    folder.mkdir()
    first, other = make_scene(folder, rows=3, cols=4, name="first"), make_scene(folder, rows=3, cols=4, name="other")
    seat.job.create(folder / "p.gpkg", [ClassDraft(name) for name in CLASSES], "single", 64)
    layers = [QgsRasterLayer(str(scene.raster), scene.raster.stem) for scene in (first, other)]
    QgsProject.instance().addMapLayers(layers)
    panel = seat.panel(ImageryPanel)
    panel.rasters.list.item(0).setCheckState(Qt.CheckState.Checked)
    wait_until(panel.prepare_button.isEnabled, "the engine to look at the raster")
    panel.prepare_button.click()
    with frozen(seat.engine.pid):
        QgsProject.instance().removeMapLayer(layers[0])
        QTest.qWait(1)
    seat.settle()
    assert not seat.error_text()
    assert [record.name for record in seat.project.rasters()] == ["first"]
    assert panel.rasters.choices() == [], "a raster that nobody ticked"


# Others at the same project, and QGIS around it


def test_two_who_label_the_same_project_do_not_get_each_others_tiles(seat, ready_project):
    ready = ready_project()
    begin(seat, ready)
    session = seat.labelling.session
    mine, theirs = session.tiles[0].tile_id, session.tiles[1].tile_id
    subprocess.run([sys.executable, "-c", ANSWER, str(ROOT), str(ready.path), str(theirs)], check=True)
    seat.key("s")
    assert session.current == session.tiles[2]
    seat.key("s")
    for _ in range(3):
        seat.key(Qt.Key.Key_Z, CONTROL)
    assert seat.answers(ready.path) == {theirs: "unsure"}
    assert session.current.tile_id == mine


def test_layers_and_file_may_be_used_as_one_likes_while_labelling(seat, ready_project):
    ready = ready_project()
    begin(seat, ready)
    wait_until(lambda: "Asked tiles" in layer_names(), "the layers")
    root = QgsProject.instance().layerTreeRoot()
    root.removeChildNode(root.findGroups(True)[0])
    for name in ("tiles", "labelled_tiles"):
        QgsProject.instance().addMapLayer(QgsVectorLayer(f"{ready.path}|layername={name}", name, "ogr"))
    seat.window.mapCanvas().refresh()
    seat.key("s")
    seat.workflow.query_validation(2)
    seat.key("s")
    QgsProject.instance().removeAllMapLayers()
    seat.settle()
    seat.key("s")
    assert len(seat.answers(ready.path)) == 3
    seat.context.overlay.show_layers()
    wait_until(lambda: layer_names() == ["Answers", "Asked tiles", "scene"], "the layers to come back")


def test_classes_may_be_changed_while_labelling(seat, ready_project):
    ready = ready_project()
    begin(seat, ready)
    project = seat.project
    water, forest, town = project.classes()
    class_editing.rename_class(project, water.class_id, "Sea é 'q'")
    class_editing.set_class_key(project, town.class_id, "x")
    class_editing.remove_class(project, forest.class_id)
    marsh = class_editing.add_class(project, ClassDraft("Marsh"))
    class_editing.reorder_classes(project, [item.class_id for item in reversed(project.classes())])
    seat.job.classes_changed.emit()
    first, second = (tile.tile_id for tile in seat.labelling.session.tiles[:2])
    seat.key("x")
    seat.key(next(item.key for item in project.classes() if item.name == "Marsh"))
    answers = current_answers(project)
    assert (answers[first].class_ids, answers[second].class_ids) == ((town.class_id,), (marsh.class_id,))


def test_a_new_qgis_project_ends_labelling_and_what_runs(seat, ready_project):
    ready = ready_project()
    begin(seat, ready)
    seat.key("s")
    seat.workflow.query_validation(2)
    QgsProject.instance().clear()
    seat.settle()
    assert not seat.job.is_open
    assert not seat.labelling.active
    assert layer_names() == []
    assert len(seat.answers(ready.path)) == 1
