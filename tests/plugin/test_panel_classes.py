"""The classes panel: edits go into the project at once; what the project refuses is said and taken back."""

from __future__ import annotations

import pytest
from qgis.gui import QgsColorDialog
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication

from quadrat.core.project.store import Project
from quadrat.plugin.panels.class_table import COLOUR, KEY, LABELS, NAME
from quadrat.plugin.panels.classes import ClassesPanel

from .panel_context import CLASSES, click, follow, open_editor, press_enter, retype, surroundings, type_into_open_editor
from .projects import answer_by_truth


@pytest.fixture
def context(qgis_app):
    with surroundings() as made:
        yield made


@pytest.fixture
def panel(context, tmp_path):
    context.job.create(tmp_path / "é 'q' p.gpkg", CLASSES, "single", 64)
    made = ClassesPanel(context)
    follow(made, context.job)
    yield made
    made.unload()


def type_into(panel, row, column, text):
    """Edit a cell as hands do: double click, type, Enter."""
    table = panel.table
    table.setFocus()
    centre = table.visualItemRect(table.item(row, column)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    type_into_open_editor(table, text)


def in_file(panel):
    """The classes as another program reads them."""
    with Project.open(panel.context.job.project.path, writable=False) as project:
        return [(item.name, item.key) for item in project.classes()]


def test_without_a_project_the_panel_says_what_to_do_first(context):
    panel = ClassesPanel(context)
    panel.refresh()
    assert "project first" in panel.blocked()
    assert not panel.body.isEnabled()


def test_a_name_and_a_key_are_edited_in_place_and_stored_at_once(panel):
    news = []
    panel.context.job.classes_changed.connect(lambda: news.append(True))
    type_into(panel, 0, NAME, "Lac d'Été")
    type_into(panel, 0, KEY, "w")
    assert in_file(panel)[0] == ("Lac d'Été", "w")
    assert len(news) == 2


def test_a_name_that_is_taken_is_refused_with_the_reason_and_the_cell_goes_back(panel):
    type_into(panel, 0, NAME, "forest")
    assert panel.table.item(0, NAME).text() == "Water"
    assert "repeated" in panel.problem.said
    assert panel.problem.isVisible()
    assert in_file(panel)[0][0] == "Water"
    type_into(panel, 0, NAME, "Lake")
    assert not panel.problem.isVisible()


def test_a_key_of_a_command_is_refused(panel):
    type_into(panel, 1, KEY, "s")
    assert "skip" in panel.problem.said
    assert panel.table.item(1, KEY).text() == "2"


def test_an_emptied_key_becomes_the_next_free_one(panel):
    type_into(panel, 0, KEY, "x")
    type_into(panel, 0, KEY, "")
    assert panel.table.item(0, KEY).text() == "1"


def test_a_key_has_one_character(panel):
    type_into(panel, 0, KEY, "xyz")
    assert in_file(panel)[0] == ("Water", "x")


def test_a_colour_is_chosen_by_a_click(panel, monkeypatch):
    monkeypatch.setattr(QgsColorDialog, "getColor", lambda *_: QColor("#123456"))
    table = panel.table
    centre = table.visualItemRect(table.item(1, COLOUR)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert panel.context.job.project.classes()[1].colour == "#123456"


def test_classes_are_added_moved_and_removed(panel):
    click(panel.add_button)
    type_into_open_editor(panel.table, "Snow")
    assert [name for name, _ in in_file(panel)] == ["Water", "Forest", "Town", "Snow"]
    click(panel.up_button)
    click(panel.up_button)
    assert [name for name, _ in in_file(panel)] == ["Water", "Snow", "Forest", "Town"]
    assert panel.table.selected_row() == 1
    click(panel.remove_button)
    assert [name for name, _ in in_file(panel)] == ["Water", "Forest", "Town"]


def test_buttons_wait_for_a_class_that_they_can_act_on(panel):
    panel.table.clearSelection()
    assert not panel.remove_button.isEnabled()
    panel.table.setCurrentCell(0, NAME)
    assert not panel.up_button.isEnabled()
    assert panel.down_button.isEnabled()


def test_a_preset_adds_only_what_is_not_there_and_keeps_keys_apart(panel):
    panel.add_list("eurosat-10")
    names = [name for name, _ in in_file(panel)]
    assert names[:3] == ["Water", "Forest", "Town"]
    assert names.count("Forest") == 1
    assert len(names) == 3 + 9
    keys = [key for _, key in in_file(panel)]
    assert len(set(keys)) == len(keys)
    panel.add_list("eurosat-10")
    assert "already" in panel.problem.said


def test_a_file_that_is_no_class_list_is_refused(panel, tmp_path):
    (tmp_path / "liste é.csv").write_text("nom\nEau\n", encoding="utf-8")
    panel.add_list(str(tmp_path / "liste é.csv"))
    assert "no column called name" in panel.problem.said
    (tmp_path / "good.txt").write_text("Snow\nWater\n", encoding="utf-8")
    panel.add_list(str(tmp_path / "good.txt"))
    assert [name for name, _ in in_file(panel)] == ["Water", "Forest", "Town", "Snow"]


def test_an_editor_that_is_open_survives_news_of_the_job(panel):
    panel.table.edit_name(0)
    editor = open_editor(panel.table)
    retype(editor, "Sea")
    panel.context.job.classes_changed.emit()
    assert editor.text() == "Sea"
    press_enter(editor)
    assert in_file(panel)[0][0] == "Sea"


def test_an_edit_that_is_not_finished_is_dropped_when_another_project_is_opened(panel, tmp_path):
    panel.table.edit_name(0)
    retype(open_editor(panel.table), "Sea")
    panel.context.job.create(tmp_path / "other.gpkg", CLASSES, "single", 64)
    QApplication.processEvents()
    assert in_file(panel)[0][0] == "Water"
    assert panel.table.item(0, NAME).text() == "Water"


def test_labels_are_counted_and_a_class_in_use_stays(context, ready_project):
    ready = ready_project()
    answer_by_truth(ready, list(ready.truth)[:8])
    context.job.open(ready.path)
    panel = ClassesPanel(context)
    follow(panel, context.job)
    counts = [int(panel.table.item(row, LABELS).text()) for row in range(3)]
    assert sum(counts) == 8
    used = next(row for row, count in enumerate(counts) if count)
    panel.table.setCurrentCell(used, NAME)
    click(panel.remove_button)
    assert "cannot be removed" in panel.problem.said
    assert panel.table.rowCount() == 3


def test_a_project_that_another_program_holds_is_an_error_with_advice(panel):
    import sqlite3

    holder = sqlite3.connect(panel.context.job.project.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        type_into(panel, 0, NAME, "Lake")
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert panel.context.iface.said()
    assert panel.table.item(0, NAME).text() == "Water"
