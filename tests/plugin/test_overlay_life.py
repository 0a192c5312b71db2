"""The layers of a project belong to the analyst, survive a saved QGIS project, and leave nothing behind."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from qgis.core import QgsLayerTreeGroup, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsMapCanvas

from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.store import Project

from .overlay_bench import OverlayBench, groups, is_visible, layer_called, overlay_bench, titles
from .projects import ROOT, answer_by_truth

LAYERS = ["Asked tiles", "Answers", "scene"]


@pytest.fixture
def bench(qgis_iface, qgis_new_project):
    with overlay_bench(qgis_iface) as made:
        yield made


@pytest.fixture
def labelled(ready_project):
    """A project with a round and some answers."""
    ready = ready_project()
    answer_by_truth(ready, list(ready.truth)[:5])
    return ready


def remove(name: str) -> None:
    QgsProject.instance().removeMapLayer(layer_called(name).id())


def skip(bench: OverlayBench, tile_id: int) -> None:
    record_answers(bench.job.project, [Answer(tile_id, "skip")], annotator="test", source="test")
    bench.job.answers_changed.emit([tile_id])


def show_on_canvas(iface) -> QgsMapCanvas:
    canvas = iface.mapCanvas()
    canvas.setLayers([layer_called(name) for name in LAYERS])
    canvas.setExtent(layer_called("scene").extent())
    return canvas


def keep_own_layer_in(group: QgsLayerTreeGroup) -> QgsVectorLayer:
    own = QgsVectorLayer("Polygon?crs=EPSG:32633", "my notes", "memory")
    QgsProject.instance().addMapLayer(own, False)
    group.insertLayer(0, own)
    return own


def test_a_layer_removed_by_hand_stays_away_until_it_is_asked_for(bench, labelled):
    bench.open(labelled.path)
    remove("Answers")
    remove("scene")
    skip(bench, 9)
    bench.job.tiles_changed.emit()
    bench.job.classes_changed.emit()
    bench.settle()
    assert titles(groups()[0]) == ["Asked tiles"]
    bench.overlay.set_visible("answers", False)
    bench.overlay.show_layers()
    bench.settle()
    assert titles(groups()[0]) == LAYERS
    assert not is_visible("Answers")


def test_what_was_removed_by_hand_is_there_when_the_project_is_opened_again(bench, labelled):
    bench.open(labelled.path)
    remove("Answers")
    bench.open(labelled.path)
    assert titles(groups()[0]) == LAYERS


def test_a_group_removed_by_hand_is_no_trouble(bench, labelled):
    bench.open(labelled.path)
    QgsProject.instance().layerTreeRoot().removeChildNode(groups()[0])
    for name in LAYERS:
        if layer_called(name):
            remove(name)
    bench.job.answers_changed.emit([1])
    bench.settle()
    assert not groups()
    bench.overlay.show_layers()
    bench.settle()
    assert titles(groups()[0]) == LAYERS


def test_a_group_that_was_renamed_and_moved_stays_so(bench, labelled):
    root = QgsProject.instance().layerTreeRoot()
    bench.open(labelled.path)
    elsewhere = root.addGroup("elsewhere")
    elsewhere.addChildNode(groups()[0].clone())
    root.removeChildNode(groups()[0])
    mine = elsewhere.children()[0]
    mine.setName("my study")
    remove("Answers")
    bench.overlay.show_layers()
    bench.settle()
    assert [group.name() for group in groups()] == ["elsewhere", "my study"]
    assert titles(mine) == LAYERS
    bench.job.close()
    assert [group.name() for group in groups()] == ["elsewhere"]


def test_the_analysts_own_layers_stay_when_the_project_is_closed(bench, labelled):
    own_image = QgsRasterLayer(str(labelled.scene.raster), "my image")
    QgsProject.instance().addMapLayer(own_image)
    bench.open(labelled.path)
    assert titles(groups()[0]) == ["Asked tiles", "Answers"], "the raster is loaded already"
    assert bench.overlay.raster_layer(1) == own_image
    own = keep_own_layer_in(groups()[0])
    bench.job.close()
    assert set(QgsProject.instance().mapLayers()) == {own.id(), own_image.id()}
    assert [titles(group) for group in groups()] == [["my notes"]]


def test_layers_of_a_saved_qgis_project_are_taken_over_and_not_doubled(bench, labelled, qgis_iface):
    bench.open(labelled.path)
    groups()[0].setName("my study")
    layer_called("Answers").setOpacity(0.5)
    bench.overlay.set_visible("asked", False)
    remove("scene")
    saved = str(labelled.path.with_name("study.qgz"))
    QgsProject.instance().write(saved)
    QgsProject.instance().clear()
    bench.job.close()
    QgsProject.instance().read(saved)
    bench.open(labelled.path)
    assert [(group.name(), titles(group)) for group in groups()] == [("my study", LAYERS)]
    assert layer_called("Answers").opacity() == 0.5
    assert not is_visible("Asked tiles")
    assert layer_called("Answers").featureCount() == 5
    assert not any(layer_called(name).isTemporary() for name in LAYERS[:2]), "QGIS would say that they will be lost"
    bench.job.close()
    assert not QgsProject.instance().mapLayers()
    assert not groups()


def test_layers_are_taken_over_after_the_folder_was_moved(bench, labelled, tmp_path):
    bench.open(labelled.path)
    QgsProject.instance().write(str(labelled.path.with_name("study.qgz")))
    QgsProject.instance().clear()
    bench.job.close()
    moved = labelled.path.parent.rename(tmp_path / "moved")
    QgsProject.instance().read(str(moved / "study.qgz"))
    bench.open(moved / labelled.path.name)
    assert [titles(group) for group in groups()] == [LAYERS]
    bench.job.close()
    assert not groups()


def test_a_saved_layer_whose_view_is_empty_now_goes(bench, ready_project):
    ready = ready_project()
    bench.open(ready.path)
    skip(bench, 1)
    bench.settle()
    saved = str(ready.path.with_name("study.qgz"))
    QgsProject.instance().write(saved)
    QgsProject.instance().clear()
    record_answers(bench.job.project, [Answer(1, "clear")], annotator="test", source="test")
    bench.job.close()
    QgsProject.instance().read(saved)
    bench.open(ready.path)
    assert titles(groups()[0]) == ["Asked tiles", "scene"]


def test_a_missing_raster_is_left_out_and_comes_when_it_is_found(bench, labelled):
    with Project.open(labelled.path) as project:
        project.update_raster(1, path=str(labelled.scene.raster))  # not where it was before the folder was copied
    aside = labelled.scene.raster.rename(labelled.scene.raster.with_suffix(".away"))
    bench.open(labelled.path)
    assert titles(groups()[0]) == LAYERS[:2]
    assert bench.overlay.raster_layer(1) is None
    aside.rename(labelled.scene.raster)
    bench.job.tiles_changed.emit()
    bench.settle()
    assert titles(groups()[0]) == LAYERS


def test_another_project_takes_the_place_of_the_first(bench, labelled, ready_project):
    bench.open(labelled.path)
    other = ready_project("multi")
    bench.open(other.path)
    assert [titles(group) for group in groups()] == [["Asked tiles", "scene"]]
    assert Path(layer_called("scene").source()) == other.scene.raster


def test_the_map_never_opens_the_project_file_so_that_its_locks_hold(bench, labelled, qgis_iface):
    bench.open(labelled.path)
    show_on_canvas(qgis_iface)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from core.project.store import Project\n"
        f"with Project.open({str(labelled.path)!r}) as project: project.set_setting('other', sys.argv[1])"
    )
    for number in range(5):
        subprocess.run([sys.executable, "-c", code, str(number)], check=True)  # as the engine does
        skip(bench, 20 + number)
        bench.settle()
    labels = bench.job.project.read("SELECT count(*) FROM labelled_tiles")[0][0]
    assert layer_called("Answers").featureCount() == labels == 10
    assert bench.job.project.setting("other") == "4"
    bench.job.close()
    assert [file.name for file in labelled.path.parent.glob("p.gpkg*")] == ["p.gpkg"]
    with sqlite3.connect(labelled.path) as outside:
        assert outside.execute("SELECT count(*) FROM label_events").fetchone()[0] == 10
    outside.close()
    labelled.path.rename(labelled.path.with_name("renamed.gpkg"))


def test_others_write_while_the_layers_are_drawn(bench, labelled, qgis_iface):
    bench.open(labelled.path)
    canvas = show_on_canvas(qgis_iface)
    for number in range(20):
        canvas.refreshAllLayers()
        with sqlite3.connect(labelled.path, timeout=0.5) as other:
            other.execute("UPDATE quadrat SET value = ? WHERE \"key\" = 'needs_quadrat'", (str(number),))
        other.close()
        skip(bench, 20 + number)
    bench.settle()
    assert layer_called("Answers").featureCount() == 25
    assert bench.job.project.setting("needs_quadrat") == "19"


def test_unloading_leaves_no_layer_no_group_and_no_listener(qgis_iface, qgis_new_project, labelled):
    for _ in range(10):
        bench = OverlayBench(qgis_iface)
        bench.open(labelled.path)
        bench.overlay.unload()
        assert not QgsProject.instance().mapLayers()
        assert not groups()
        signals = ("project_changed", "about_to_close", "answers_changed", "tiles_changed", "rounds_changed")
        assert [bench.job.receivers(getattr(bench.job, name)) for name in signals] == [0] * len(signals)
        bench.job.answers_changed.emit([1])
        bench.job.close()
    qgis_project = QgsProject.instance()
    qgis_project.addMapLayer(QgsVectorLayer("Polygon?crs=EPSG:32633", "later", "memory"))
    qgis_project.removeAllMapLayers()
