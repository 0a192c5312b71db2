"""The project panel and the dialog that makes a project."""

from __future__ import annotations

import pytest
from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QDialog, QFileDialog

from quadrat.core.project.store import Project
from quadrat.plugin import settings
from quadrat.plugin.panels.class_table import NAME
from quadrat.plugin.panels.new_project import FILE, OWN, NewProjectDialog
from quadrat.plugin.panels.project import ProjectPanel
from quadrat.plugin.persistence import Persistence

from .panel_context import CLASSES, click, follow, retype, surroundings, type_into_open_editor
from .projects import answer_by_truth, make_scene


@pytest.fixture
def context(qgis_app, qgis_new_project):
    with surroundings() as made:
        yield made


@pytest.fixture
def panel(context):
    remembering = Persistence(context.job, context.messages)
    made = ProjectPanel(context)
    follow(made, context.job)
    yield made
    made.unload()
    remembering.unload()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "où 'ça'"
    made.mkdir()
    return made


@pytest.fixture
def dialog(context, folder):
    made = NewProjectDialog(context.job, None, folder)
    made.show()
    yield made
    made.close()


def choose_list(dialog, name):
    dialog.list_combo.setCurrentIndex(dialog.list_combo.findData(name))


def test_a_project_is_made_as_the_dialog_says(context, dialog, folder):
    retype(dialog.path_edit, "wälder")
    click(dialog.mode_buttons["multi"])
    choose_list(dialog, "corine-level-1")
    dialog.size_spin.setValue(32)
    assert "320 m" in dialog.size_note.said
    click(dialog.ok_button)
    assert dialog.result() == QDialog.DialogCode.Accepted
    project = context.job.project
    assert project.path == folder / "wälder.gpkg"
    assert (project.mode, project.tile_size, len(project.classes())) == ("multi", 32, 5)


def test_an_existing_file_is_refused_while_typing_and_nothing_is_lost(dialog, folder):
    (folder / "mine.gpkg").write_bytes(b"mine")
    retype(dialog.path_edit, "mine.gpkg")
    assert not dialog.ok_button.isEnabled()
    assert "exists already" in dialog.reason.said
    assert dialog.reason.isVisible()
    retype(dialog.path_edit, "mine-2.gpkg")
    assert dialog.ok_button.isEnabled()
    assert (folder / "mine.gpkg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [("", "Say where"), ("no/such/folder/p.gpkg", "no folder"), ("a;b.gpkg", "GDAL"), ("p.tif.gpkg", "")],
)
def test_a_path_that_cannot_be_is_explained(dialog, typed, reason):
    retype(dialog.path_edit, typed)
    assert reason in dialog.reason.said
    assert dialog.ok_button.isEnabled() == (not reason)


def test_an_own_list_begins_with_two_rows_and_needs_names(context, dialog):
    choose_list(dialog, OWN)
    assert dialog.table.rowCount() == 2
    assert not dialog.ok_button.isEnabled()
    assert "name is empty" in dialog.reason.said
    for row, name in enumerate(("Été", "Hiver")):
        dialog.table.edit_name(row)
        type_into_open_editor(dialog.table, name)
    assert dialog.ok_button.isEnabled()
    click(dialog.ok_button)
    classes = context.job.project.classes()
    assert [(item.name, item.key) for item in classes] == [("Été", "1"), ("Hiver", "2")]
    assert len({item.colour for item in classes}) == 2


def test_enter_in_the_editor_of_a_class_does_not_make_the_project(context, dialog):
    dialog.table.edit_name(0)
    type_into_open_editor(dialog.table, "Farmland")
    assert not context.job.is_open
    assert dialog.isVisible()
    assert dialog.table.item(0, NAME).text() == "Farmland"


def test_changes_in_one_list_are_there_again_after_a_look_at_another(dialog):
    click(dialog.add_button)
    type_into_open_editor(dialog.table, "Airport")
    first = dialog.list_combo.currentData()
    choose_list(dialog, "worldcover-11")
    assert dialog.table.rowCount() == 11
    choose_list(dialog, first)
    assert dialog.table.drafts()[-1].name == "Airport"


def test_a_class_is_removed_from_the_list(dialog):
    before = [draft.name for draft in dialog.table.drafts()]
    dialog.table.setCurrentCell(1, NAME)
    click(dialog.remove_button)
    assert [draft.name for draft in dialog.table.drafts()] == [before[0], *before[2:]]


def test_a_class_list_comes_from_a_file_and_a_bad_one_changes_nothing(dialog, folder):
    good, bad = folder / "klassen.csv", folder / "bad.csv"
    good.write_text("name;colour;key\nWald;#00AA00;w\nFluß;;\n", encoding="utf-8")
    bad.write_bytes(b"name\nWei\xdf\n")
    dialog.use_file(str(good))
    assert [draft.name for draft in dialog.table.drafts()] == ["Wald", "Fluß"]
    dialog.use_file(str(bad))
    assert "UTF-8" in dialog.reason.said
    assert dialog.list_combo.currentData() == FILE
    assert [draft.name for draft in dialog.table.drafts()] == ["Wald", "Fluß"]


def test_what_fails_in_the_end_is_said_in_the_dialog_which_stays(context, dialog, folder):
    retype(dialog.path_edit, "p.gpkg")
    (folder / "p.gpkg").write_bytes(b"appeared meanwhile")
    dialog.accept()
    assert dialog.isVisible()
    assert "exists already" in dialog.reason.said
    assert not context.job.is_open


def test_the_usual_folder_is_that_of_the_first_raster(context, folder):
    scene = make_scene(folder, rows=1, cols=1)
    QgsProject.instance().addMapLayer(QgsRasterLayer(str(scene.raster), "scene"))
    (folder / "labels.gpkg").write_bytes(b"")
    dialog = NewProjectDialog(context.job)
    assert dialog.path == folder / "labels-2.gpkg"
    dialog.close()


def test_the_panel_shows_the_open_project_in_numbers(context, panel, ready_project):
    ready = ready_project()
    answer_by_truth(ready, list(ready.truth)[:5])
    assert not panel.details.isVisible()
    assert panel.open_project(ready.path)
    assert panel.details.isVisible()
    assert panel.details.title() == ready.path.stem
    assert panel.details.folder.full_text == str(ready.path.parent)
    assert panel.details.tiles.said == "48, 12 of them for validation"
    assert (panel.details.answered.said, panel.details.rounds.said) == ("5", "1")
    click(panel.close_button)
    assert not context.job.is_open
    assert not panel.details.isVisible()


def test_a_recent_project_is_opened_by_a_double_click_and_by_enter(context, panel, folder):
    for name in ("one.gpkg", "two.gpkg"):
        context.job.create(folder / name, CLASSES, "single", 64)
    context.job.close()
    assert panel.recent.count() == 2
    assert panel.recent.item(0).text().startswith("two")
    second = panel.recent.visualItemRect(panel.recent.item(1)).center()
    QTest.mouseClick(panel.recent.viewport(), Qt.MouseButton.LeftButton, pos=second)
    QTest.mouseDClick(panel.recent.viewport(), Qt.MouseButton.LeftButton, pos=second)
    assert context.job.project.path == folder / "one.gpkg"
    panel.recent.setCurrentRow(0)
    QTest.keyClick(panel.recent, Qt.Key.Key_Return)
    assert context.job.project.path == folder / "two.gpkg"


def test_a_recent_project_that_is_gone_is_not_shown(context, panel, folder):
    Project.create(folder / "gone.gpkg", CLASSES, "single").close()
    settings.remember_project(folder / "gone.gpkg")
    (folder / "gone.gpkg").unlink()
    panel.refresh()
    assert panel.recent.count() == 0
    assert not panel.recent.isVisible()


def test_a_file_that_is_no_project_is_refused_and_the_open_one_stays(context, panel, folder, monkeypatch):
    context.job.create(folder / "good.gpkg", CLASSES, "single", 64)
    other = folder / "other.gpkg"
    other.write_bytes(b"SQLite format 3\0" + b"\0" * 200)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(other), ""))
    click(panel.open_button)
    assert "other.gpkg" in context.iface.said()
    assert context.job.project.path == folder / "good.gpkg"


def test_the_engine_is_said_in_a_line(context, panel):
    assert panel.engine_note.said.startswith("Engine:")
