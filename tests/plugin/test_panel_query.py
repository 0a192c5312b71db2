"""The query panel, with the real engine."""

from __future__ import annotations

import pytest
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest

from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.results import rounds
from quadrat.plugin.panels.query import QueryPanel
from quadrat.plugin.tallies import open_tiles
from quadrat.plugin.workflow import QuerySettings

from .waiting import wait_until
from .workbench import RECOMMENDED, frozen


@pytest.fixture
def panel(bench):
    panel = QueryPanel(bench.context)
    panel.resize(360, 700)
    panel.show()
    yield panel
    panel.unload()
    panel.deleteLater()


def opened(panel, bench, path):
    """The panel with a project and the list of query functions."""
    bench.job.open(path)
    panel.refresh()
    wait_until(lambda: panel.summary.said, "the query functions")
    return panel


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_it_says_which_panel_comes_first(panel, bench, tmp_path):
    panel.refresh()
    assert "in Project" in panel.blocked()
    assert not panel.body.isEnabled()
    bench.job.create(tmp_path / "p.gpkg", [ClassDraft("Water")], "single", 64)
    panel.refresh()
    assert "in Imagery" in panel.blocked()


def test_the_recommended_function_comes_first_with_what_it_is_good_for(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    names = [panel.strategy.itemData(index) for index in range(panel.strategy.count())]
    assert names[0] == RECOMMENDED
    assert panel.strategy.currentText() == f"{RECOMMENDED} (recommended)"
    assert {"random", "fps", "kmeans", "mcfps", "mcfps:paper"} <= set(names)
    assert "hardest to tell apart" in panel.summary.said
    assert "Möllenbrok" in panel.strategy.toolTip()
    assert set(panel.parameters.fields) == {"multiple"}


def test_parameters_are_out_of_sight_until_advanced_is_opened(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    assert not panel.parameters.fields["multiple"].isVisible()
    panel.advanced.setCollapsed(False)
    assert panel.parameters.fields["multiple"].isVisible()


def test_a_function_is_chosen_by_hand_and_asks_with_its_own_parameters(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    index = panel.strategy.findData("mcfps")
    panel.strategy.setFocus()
    while panel.strategy.currentIndex() != index:
        QTest.keyClick(panel.strategy, Qt.Key.Key_Down)
    wait_until(lambda: "mcfps" in bench.workflow.query_settings.strategy, "the choice")
    panel.parameters.fields["neighbours"].setValue(6)
    panel.parameters.fields["skip_for_good"].setChecked(True)
    panel.budget.setValue(5)
    panel.sample_share.setValue(0)
    expected = QuerySettings("mcfps", 5, {"neighbours": 6, "skip_for_good": True}, 0)
    assert bench.workflow.query_settings == panel.settings() == expected
    click(panel.ask_button)
    bench.settle()
    (asked,) = rounds(bench.project)
    assert (asked.strategy, asked.budget, asked.parameters["neighbours"]) == ("mcfps", 5, 6)


def test_a_learner_is_chosen_by_hand_and_learns_from_then_on(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    assert panel.learner.currentText() == "auto (default)"
    panel.strategy.setCurrentIndex(panel.strategy.findData("mcfps:paper"))
    panel.strategy.activated.emit(panel.strategy.currentIndex())
    assert panel.learner.currentText() == "linear:paper (default)"
    index = panel.learner.findData("hidden")
    panel.learner.setFocus()
    while panel.learner.currentIndex() != index:
        QTest.keyClick(panel.learner, Qt.Key.Key_Down)
    wait_until(lambda: bench.workflow.query_settings.learner == "hidden", "the choice")
    assert "hidden layer" in panel.learner.itemData(index, Qt.ItemDataRole.ToolTipRole)
    panel.strategy.setCurrentIndex(panel.strategy.findData("margin"))
    panel.strategy.activated.emit(panel.strategy.currentIndex())
    assert panel.learner.currentData() == "hidden"  # another function, the same learner
    click(panel.ask_button)
    bench.settle()
    asked = next(item for item in rounds(bench.project) if item.strategy == "margin")
    assert (asked.metrics["learner"], asked.metrics["learner_named"]) == ("hidden", True)


def test_where_a_tile_may_have_several_classes_others_are_recommended(panel, bench, ready_project):
    opened(panel, bench, ready_project("multi", budget=0).path)
    assert panel.strategy.currentText() == "uherding (recommended)"
    assert panel.learner.currentText() == "linear (default)"


def test_it_says_that_farthest_points_need_a_first_label(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    for name, waits in (("fps", True), ("typiclust", False), ("bald", True)):
        panel.strategy.setCurrentIndex(panel.strategy.findData(name))
        panel.strategy.activated.emit(panel.strategy.currentIndex())
        panel.refresh()
        assert bool(panel.cold_start.said) == waits


def test_what_was_chosen_is_there_again_when_the_project_is_opened_again(panel, bench, ready_project):
    path = ready_project(budget=0).path
    opened(panel, bench, path)
    panel.budget.setValue(33)
    panel.seed.setValue(9)
    bench.job.close()
    bench.job.open(ready_project("multi", budget=0).path)
    panel.refresh()
    assert (panel.budget.value(), panel.seed.value()) == (64, 0)
    bench.job.open(path)
    panel.refresh()
    assert (panel.budget.value(), panel.seed.value()) == (33, 9)


def test_a_function_that_is_not_there_any_more_gives_way_to_the_recommended_one(panel, bench, ready_project):
    path = ready_project(budget=0).path
    bench.job.open(path)
    bench.workflow.remember(QuerySettings("crystal ball", budget=12))
    opened(panel, bench, path)
    assert bench.workflow.query_settings == QuerySettings(RECOMMENDED, budget=12)


def test_it_tells_of_the_cold_start_and_of_the_last_round(panel, bench, ready_project):
    ready = ready_project()
    opened(panel, bench, ready.path)
    assert "typical tiles" in panel.cold_start.said
    assert f"8 tiles by kmeans in place of {RECOMMENDED}" in panel.state.said
    assert panel.state.said.endswith("0 answered.")
    assert "8 tiles of the latest round wait" in panel.next_step()
    bench.answer(ready, open_tiles(bench.project))
    panel.refresh()
    assert panel.cold_start.isHidden()
    assert panel.state.said.endswith("8 answered.")
    assert "press Ask for tiles" in panel.next_step()


def test_the_validation_sample_is_asked_for(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    panel.budget.setValue(7)
    panel.refresh()
    assert "12 tiles of the validation sample" in panel.sample_note.said
    assert panel.sample_button.text() == "Label 7 validation tiles"
    click(panel.sample_button)
    bench.settle()
    panel.refresh()
    assert len(open_tiles(bench.project, validation=True)) == 7
    assert "7 of them were asked for" in panel.sample_note.said


def test_nothing_can_be_asked_while_the_engine_is_busy(panel, bench, ready_project):
    opened(panel, bench, ready_project(budget=0).path)
    with frozen(bench.wake()):
        click(panel.ask_button)
        panel.refresh()
        assert not panel.ask_button.isEnabled()
        assert "busy" in panel.ask_button.toolTip()
    bench.settle()
    panel.refresh()
    assert panel.ask_button.isEnabled()


def test_a_list_that_does_not_come_can_be_asked_for_again(panel, bench, ready_project, tmp_path):
    bench.job.open(ready_project(budget=0).path)
    bench.engine.use_interpreter(tmp_path / "no python")
    panel.refresh()
    wait_until(lambda: panel.list_note.said, "the reason")
    assert panel.strategy.currentText() == "recommended"
    bench.engine.use_interpreter(None)
    click(panel.list_button)
    wait_until(lambda: panel.summary.said, "the query functions")
    assert panel.strategy.currentText() == f"{RECOMMENDED} (recommended)"
    assert panel.list_note.isHidden()
    assert panel.list_button.isHidden()


def test_everything_fits_into_a_narrow_dock(panel, bench, ready_project):
    opened(panel, bench, ready_project().path)
    panel.strategy.setCurrentIndex(panel.strategy.findData("mcfps"))
    panel.strategy.activated.emit(panel.strategy.currentIndex())
    panel.advanced.setCollapsed(False)
    assert panel.minimumSizeHint().width() <= 340


def test_a_field_that_tells_its_value_after_its_project_has_gone_changes_nothing(panel, bench, ready_project, tmp_path):
    opened(panel, bench, ready_project(budget=0).path)
    bench.job.create(tmp_path / "other.gpkg", [ClassDraft("Water")], "single", 64)
    panel.budget.setValue(7)
    assert bench.workflow.query_settings.budget == 64
    bench.job.close()
    panel.budget.setValue(8)
