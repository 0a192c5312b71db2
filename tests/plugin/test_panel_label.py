"""The label panel: what it shows, and that its buttons do what the keys do."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QAbstractButton, QWidget

from quadrat.core.project.answers import current_answers
from quadrat.core.project.class_editing import add_class, recolour_class, rename_class
from quadrat.core.project.classes import read_class_list
from quadrat.core.project.store import Project
from quadrat.plugin.labeling.keys import Command
from quadrat.plugin.panels.label import LabelPanel

from .labeling_desk import sitting_at
from .panel_context import click


@pytest.fixture
def at_panel(ready_project):
    """``at_panel(mode, budget)``: a desk and its label panel, as wide as the narrowest dock."""
    with ExitStack() as stack:

        def make(mode="single", budget=8):
            desk = stack.enter_context(sitting_at(ready_project(mode, budget), with_layers=True))
            panel = LabelPanel(desk.context)
            stack.callback(panel.close)
            stack.callback(panel.unload)
            for news in (desk.job.answers_changed, desk.job.classes_changed, desk.job.project_changed):
                news.connect(lambda *_news: panel.refresh())
            panel.resize(360, 760)
            panel.show()
            panel.refresh()
            return desk, panel

        yield make


def checked(panel) -> list[str]:
    """Names of the classes whose buttons are down."""
    return [button.text() for button in panel.classes.buttons.values() if button.isChecked()]


def test_without_a_round_the_panel_says_what_to_do_first(at_panel):
    desk, panel = at_panel(budget=0)
    assert "Query" in panel.blocked()
    assert not panel.body.isEnabled()
    desk.job.close()
    assert "Project" in panel.blocked()


def test_the_button_starts_and_stops(at_panel):
    desk, panel = at_panel()
    assert panel.progress_text.full_text == "0 of 8 answered, round 1"
    assert not panel.work.isVisible()
    click(panel.start_button)
    assert desk.labelling.active
    assert panel.work.isVisible()
    assert "Stop" in panel.start_button.text()
    click(panel.start_button)
    assert not desk.labelling.active


def test_the_classes_are_shown_and_answer(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    buttons = list(panel.classes.buttons.values())
    assert [button.text() for button in buttons] == ["Water", "Forest", "Town"]
    assert "2" in buttons[1].toolTip()
    tile_id = desk.tile_id
    click(buttons[1])
    assert desk.answers() == {tile_id: ("classes", ("Forest",))}
    assert panel.progress_text.full_text == "1 of 8 answered, round 1"
    assert panel.progress_bar.value() == 1
    assert checked(panel) == []
    click(panel.buttons[Command.BACK])
    assert checked(panel) == ["Forest"]


def test_chosen_classes_are_down_until_they_are_saved(at_panel):
    desk, panel = at_panel("multi")
    click(panel.start_button)
    save = panel.suggestion.accept_button
    assert not save.isEnabled()
    click(panel.classes.buttons[desk.class_ids["Town"]])
    desk.type("1")
    assert checked(panel) == ["Water", "Town"]
    assert desk.answers() == {}
    tile_id = desk.tile_id
    click(save)
    assert desk.answers() == {tile_id: ("classes", ("Water", "Town"))}
    assert checked(panel) == []


@pytest.mark.parametrize("command", [Command.SKIP, Command.UNSURE, Command.NONE])
def test_other_answers_have_buttons_that_show_them(at_panel, command):
    desk, panel = at_panel()
    click(panel.start_button)
    tile_id = desk.tile_id
    click(panel.buttons[command])
    assert desk.answers() == {tile_id: (command.value, ())}
    assert not panel.buttons[command].isChecked()
    click(panel.buttons[Command.BACK])
    assert panel.buttons[command].isChecked()


def test_buttons_work_only_when_they_do_something(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)

    def usable():
        return {command for command in panel.buttons if panel.buttons[command].isEnabled()}

    answers = {Command.SKIP, Command.UNSURE, Command.NONE}
    assert usable() == {*answers, Command.NEXT}
    desk.type("1")
    assert usable() == {*answers, Command.NEXT, Command.BACK, Command.UNDO}
    click(panel.buttons[Command.UNDO])
    assert usable() == {*answers, Command.NEXT, Command.BACK, Command.REDO}
    click(panel.buttons[Command.REDO])
    for _ in range(7):
        click(panel.buttons[Command.NEXT])
        desk.type("1")
    assert usable() == {Command.BACK, Command.UNDO}
    assert "Query" in panel.next_step()
    assert not panel.classes.isEnabled()


def test_the_suggestion_is_shown_with_its_probability_and_can_be_accepted_or_hidden(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    assert panel.suggestion.text.said == "No suggestion yet."
    assert not panel.suggestion.accept_button.isEnabled()
    tile_id = desk.tile_id
    town, water = desk.class_ids["Town"], desk.class_ids["Water"]
    desk.workflow.suggestions[tile_id] = [(town, 0.874), (water, 0.1)]
    desk.workflow.suggestions_changed.emit()
    assert panel.suggestion.likeliest.said == "Suggested: Town 87%"
    assert panel.suggestion.text.said == "or Water 10%"
    panel.suggestion_check.click()
    assert panel.suggestion.text.said == "The suggestion is hidden."
    assert not panel.suggestion.accept_button.isEnabled()
    panel.suggestion_check.click()
    click(panel.suggestion.accept_button)
    assert desk.answers() == {tile_id: ("classes", ("Town",))}


def test_a_validation_tile_says_why_it_has_no_suggestion(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    desk.suggest_truth()
    desk.labelling.go_to(desk.tile_ids("validation")[0])
    assert "checks the model" in panel.suggestion.text.said


def test_the_reason_is_shown_or_hidden_and_that_is_remembered(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    assert desk.session.current.reason in panel.reason.said
    panel.reason_check.click()
    assert panel.reason.said == ""
    again = LabelPanel(desk.context)
    assert not again.reason_check.isChecked()
    assert again.suggestion_check.isChecked()
    again.unload()
    again.deleteLater()


def test_a_selection_is_explained_and_can_be_cleared(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    assert not panel.selection.isVisible()
    first = desk.tile_id
    desk.type("1")
    desk.labelling.select([first, *desk.tile_ids("validation")[:3]])
    assert panel.selection.isVisible()
    assert panel.selection.text.said.startswith("4 tiles are selected, 1 of them with an answer already")
    click(panel.selection.clear_button)
    assert not panel.selection.isVisible()
    desk.labelling.select([first])
    panel.selection.replace_check.click()
    desk.type("3")
    assert desk.answers() == {first: ("classes", ("Town",))}


def test_the_tool_can_be_taken_again(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    assert not panel.tool_button.isVisible()
    desk.canvas.unsetMapTool(desk.canvas.mapTool())
    assert panel.tool_button.isVisible()
    click(panel.tool_button)
    assert desk.labelling.has_tool
    assert not panel.tool_button.isVisible()


def test_each_composite_has_a_button(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    assert list(panel.composites) == [composite.name for composite in desk.overlay.composites()]
    assert "True colour" in panel.composites
    click(panel.composites["Near infrared"])
    renderer = desk.overlay.raster_layer(1).renderer()
    assert (renderer.redBand(), renderer.greenBand(), renderer.blueBand()) == (4, 3, 2)


def test_zoom_shows_the_tile_with_its_surroundings(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    scale = desk.canvas.scale()
    desk.canvas.zoomByFactor(3)
    click(panel.zoom_button)
    assert desk.canvas.scale() == pytest.approx(scale)


def test_classes_that_are_edited_meanwhile_are_shown_and_have_their_keys(at_panel):
    desk, panel = at_panel()
    click(panel.start_button)
    rename_class(desk.project, desk.class_ids["Town"], "City")
    recolour_class(desk.project, desk.class_ids["Town"], "#123456")
    made = add_class(desk.project, read_class_list("corine-level-1")[4])
    desk.job.classes_changed.emit()
    assert [button.text() for button in panel.classes.buttons.values()][2:] == ["City", made.name]
    tile_id = desk.tile_id
    desk.type(made.key)
    with Project.open(desk.ready.path, writable=False) as project:
        assert current_answers(project)[tile_id].class_ids == (made.class_id,)


def test_19_long_names_fit_into_the_narrowest_dock(at_panel):
    desk, panel = at_panel("multi")
    for draft in read_class_list("bigearthnet-19"):
        add_class(desk.project, type(draft)(draft.name))
    desk.job.classes_changed.emit()
    click(panel.start_button)
    assert len(panel.classes.buttons) == 22
    desk.type("1")
    desk.press(Qt.Key.Key_Return)
    desk.labelling.select(desk.tile_ids("pool"))
    assert panel.minimumSizeHint().width() <= 340  # beside a scroll bar
    for widget in panel.findChildren(QWidget):
        if widget.isVisible() and panel.classes.widget() is not widget and not panel.classes.isAncestorOf(widget):
            right = widget.mapTo(panel, widget.rect().topRight()).x()
            assert right < 360, widget
    for button in panel.classes.buttons.values():
        assert button.width() <= panel.classes.viewport().width()
        assert button.text() in button.toolTip()


def test_no_button_takes_the_keyboard(at_panel):
    _, panel = at_panel()
    click(panel.start_button)
    for button in panel.findChildren(QAbstractButton):
        assert button.focusPolicy() == Qt.FocusPolicy.NoFocus, button.text()
