"""The imagery panel with real layers, the real engine and a real map."""

from __future__ import annotations

import shutil

import pytest
from qgis.core import (
    QgsProject,
)
from qgis.PyQt.QtWidgets import QFileDialog

from quadrat.core.project.store import Project
from quadrat.plugin.panels.imagery import ImageryPanel

from .imagery_desk import lines, load, prepare, tiles_in_file, wait_for_look
from .panel_context import CLASSES, click, follow, surroundings
from .projects import TILE, make_scene
from .waiting import wait_until


@pytest.fixture
def context(engine, qgis_new_project):
    with surroundings(engine) as made:
        yield made
        wait_until(lambda: not engine._tasks, "the engine to be free for the next test")


def test_without_a_project_the_panel_says_what_to_do_first(context):
    panel = ImageryPanel(context)
    panel.refresh()
    assert "project first" in panel.blocked()
    assert not panel.prepare_button.isEnabled()
    panel.unload()


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
