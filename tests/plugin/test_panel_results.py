"""The results panel, with the real engine."""

from __future__ import annotations

import csv

import pytest
from qgis.core import QgsProject
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication

from quadrat.core.project.results import read_predictions
from quadrat.core.project.scores import wilson_interval
from quadrat.core.project.stopping import goal_of
from quadrat.plugin.panels.export_dialog import ExportDialog
from quadrat.plugin.panels.results import ResultsPanel, write_rounds
from quadrat.plugin.tallies import open_tiles, round_tallies
from quadrat.plugin.workflow import QuerySettings

from .waiting import wait_until
from .workbench import RECOMMENDED


@pytest.fixture
def panel(bench):
    panel = ResultsPanel(bench.context)
    panel.resize(360, 900)
    panel.show()
    yield panel
    panel.unload()
    panel.deleteLater()


@pytest.fixture
def scored(bench, panel, ready_project):
    """The panel with a project of two rounds, the first one answered and scored; returns the project."""
    ready = ready_project()
    bench.job.open(ready.path)
    bench.workflow.query_validation(6)
    bench.settle()
    bench.answer(ready, [*open_tiles(bench.project), *open_tiles(bench.project, validation=True)])
    bench.workflow.query(QuerySettings(budget=5, validation_budget=0))
    bench.settle()
    panel.refresh()
    return ready


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def column(table, number):
    return [table.item(row, number).text() for row in range(table.rowCount())]


def test_it_says_which_panel_comes_first(panel, bench):
    panel.refresh()
    assert "in Project" in panel.blocked()


def test_without_labels_it_says_what_is_missing(panel, bench, ready_project):
    bench.job.open(ready_project().path)
    panel.refresh()
    assert "No validation tile has an answer yet" in panel.score.said
    assert not panel.predict_button.isEnabled()
    assert "No tile has a label" in panel.why_not.said
    assert panel.curve.isHidden()


def test_one_class_is_not_enough(panel, bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    water = [tile.tile_id for tile in bench.project.tiles(("pool",)) if ready.truth[tile.tile_id] == ("Water",)]
    bench.answer(ready, water[:2])
    panel.refresh()
    assert not panel.predict_button.isEnabled()
    assert "second one" in panel.why_not.said


def test_the_numbers_are_those_of_the_project(panel, bench, scored):
    click(panel.predict_button)
    bench.settle()
    panel.refresh()
    counts = bench.project.counts()["classes"]
    predicted = [item.classes[0][0] for item in read_predictions(bench.project)]
    classes = bench.project.classes()
    assert column(panel.classes, 0) == [item.name for item in classes]
    assert column(panel.classes, 1) == [str(counts[item.class_id]) for item in classes]
    assert column(panel.classes, 2) == [str(predicted.count(item.class_id)) for item in classes]
    first, *_ = round_tallies(bench.project)
    assert column(panel.rounds, 0) == ["1", "", "2"]
    assert column(panel.rounds, 1) == [RECOMMENDED, "validation", RECOMMENDED]
    assert column(panel.rounds, 2) == ["8/8", "6/6", "0/5"]
    assert column(panel.rounds, 3) == ["8", "", ""]
    assert column(panel.rounds, 4) == [f"{first.score:.3f}", "", ""]
    low, high = wilson_interval(first.score, 6)
    assert f"{first.score:.0%} (95% interval {low:.0%} to {high:.0%}) of 6 validation tiles" in panel.score.said


def test_after_each_round_it_says_whether_to_go_on_and_until_when(panel, bench, scored):
    assert panel.advice.said.startswith("Suggestion: Go on: too little is known after 1 round")
    assert "more validation labels would bring it to ±5 points" in panel.advice.said
    bench.answer(scored, open_tiles(bench.project))
    bench.workflow.query(QuerySettings(budget=5, validation_budget=0))
    bench.settle()
    panel.refresh()
    assert panel.advice.said.startswith("The predictions agree to ")


def test_a_goal_is_kept_with_its_project(panel, bench, scored, ready_project):
    assert (panel.goal.value(), panel.goal.specialValueText()) == (0, "no goal")
    panel.goal.selectAll()
    QTest.keyClicks(panel.goal, "30")
    QTest.keyClick(panel.goal, Qt.Key.Key_Return)
    assert goal_of(bench.project) == 0.3
    assert "Stop: even the lower end of the interval" in panel.advice.said
    bench.job.open(ready_project("multi").path)
    panel.refresh()
    assert (panel.goal.value(), goal_of(bench.project)) == (0, None)
    bench.job.open(scored.path)
    panel.refresh()
    assert panel.goal.text() == "30 %"
    panel.goal.setValue(0)
    assert goal_of(bench.project) is None


def test_what_is_typed_into_the_goal_survives_news(panel, bench, scored):
    panel.goal.selectAll()
    QTest.keyClicks(panel.goal, "85")
    panel.refresh()
    assert panel.goal.text().startswith("85")


def test_the_curve_is_drawn_and_drawn_again_for_a_dark_theme(panel, bench, scored):
    wait_until(lambda: not panel.curve.pixmap.isNull(), "the picture")
    assert panel.curve.isVisible()
    assert panel.curve.heightForWidth(300) < 300
    light = panel.curve.pixmap.toImage()
    dark = QPalette(panel.palette())
    dark.setColor(QPalette.ColorRole.Window, QColor("#202020"))
    panel.setPalette(dark)
    wait_until(lambda: panel.curve.pixmap.toImage() != light, "the dark picture")
    bench.settle()


def test_another_project_does_not_show_the_curve_of_this_one(panel, bench, scored, ready_project):
    wait_until(lambda: not panel.curve.pixmap.isNull(), "the picture")
    bench.job.open(ready_project("multi").path)
    panel.refresh()
    assert panel.curve.pixmap.isNull()


def test_a_table_can_be_copied_and_exported(panel, bench, scored, tmp_path):
    panel.rounds.setFocus()
    panel.rounds.selectAll()
    panel.rounds.copy_action.trigger()
    assert QApplication.clipboard().text().split("\n")[1].split("\t")[:3] == ["", "validation", "6/6"]
    panel.classes.clearSelection()
    assert panel.classes.text().split("\n")[0] == "Class\tLabelled\tPredicted"
    out = tmp_path / "rounds é.csv"
    write_rounds(out, round_tallies(bench.project))
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["function"], rows[0]["tiles"], rows[0]["answered"]) == (RECOMMENDED, "8", "8")
    assert float(rows[0]["accuracy"]) == round_tallies(bench.project)[0].score
    assert "set_aside" not in rows[0]


def in_dialog(act):
    """Do something in the export dialog that the next click opens."""

    def find():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, ExportDialog):
            act(dialog)
        else:
            QTimer.singleShot(10, find)

    QTimer.singleShot(0, find)


def test_labels_are_exported_and_added_to_the_map(panel, bench, scored, qgis_new_project):
    problems = []

    def act(dialog):
        dialog.layer.setCurrentIndex(dialog.layer.findData("predictions"))
        problems.append(dialog.problem())
        dialog.layer.setCurrentIndex(dialog.layer.findData("labels"))
        click(dialog.export_button)

    in_dialog(act)
    click(panel.export_button)
    bench.settle()
    assert problems == ["There are no predictions yet. Predict all tiles first."]
    out = scored.path.with_name("p_labels.gpkg")
    assert out.is_file()
    assert "14 tiles (labels)" in panel.exported_note.said
    click(panel.add_button)
    (layer,) = QgsProject.instance().mapLayers().values()
    assert layer.featureCount() == 14
    QgsProject.instance().removeAllMapLayers()


def test_chips_are_exported_into_a_folder(panel, bench, scored):
    def act(dialog):
        dialog.format.setCurrentIndex(dialog.format.findData(""))
        click(dialog.export_button)

    in_dialog(act)
    click(panel.export_button)
    bench.settle()
    assert len(list(scored.path.with_name("p_labels_chips").rglob("*.tif"))) == 14
    assert panel.add_button.isHidden()
    assert panel.folder_button.isVisible()


def test_an_export_that_cannot_be_is_refused_in_the_dialog(qgis_app, tmp_path):
    dialog = ExportDialog(tmp_path, "v1.2", {})
    assert dialog.path.text() == str(tmp_path / "v1_2_labels.gpkg")
    assert dialog.export_button.isEnabled()

    def type_path(text):
        dialog.path.selectAll()
        QTest.keyClick(dialog.path, Qt.Key.Key_Delete)
        QTest.keyClicks(dialog.path, str(text))
        return dialog.note.said, dialog.export_button.isEnabled()

    assert type_path("")[1] is False
    assert type_path("relative.gpkg") == ("Give the whole path, beginning with its folder or drive.", False)
    assert type_path(tmp_path / "a.shp") == ("The name must end in .gpkg.", False)
    assert type_path(tmp_path / "mine.gpkg") == ("", True)
    dialog.format.setCurrentIndex(dialog.format.findData(".geojson"))
    assert dialog.path.text() == str(tmp_path / "mine.geojson")
    (tmp_path / "mine.geojson").write_text("{}")
    assert type_path(tmp_path / "mine.geojson") == ("An earlier export of this name is replaced.", True)
    assert dialog.export_button.text() == "Replace"
    dialog.format.setCurrentIndex(dialog.format.findData(""))
    assert type_path(tmp_path / "my.chips") == ("The name of a folder of chips must have no dot.", False)


def test_a_refused_export_says_why(panel, bench, scored):
    other = scored.path.with_name("notes.gpkg")
    other.write_bytes(scored.path.read_bytes())
    bench.workflow.export(other, "labels")
    bench.settle()
    assert "something else than a former export" in bench.error_text()
    assert other.read_bytes()[:16] == b"SQLite format 3\x00"


def test_everything_fits_into_a_narrow_dock(panel, bench, scored):
    assert panel.minimumSizeHint().width() <= 340
    used = sum(panel.rounds.columnWidth(number) for number in range(panel.rounds.columnCount()))
    assert used <= panel.rounds.viewport().width()
