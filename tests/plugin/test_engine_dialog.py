"""The window in which the engine's Python is chosen and tested."""

from __future__ import annotations

import pytest
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QDialogButtonBox

from quadrat.plugin import settings
from quadrat.plugin.engine.engine import SETTING, Engine
from quadrat.plugin.panels.engine_dialog import EngineDialog, Mark

from .conftest import ROOT
from .waiting import wait_until

ENGINE_PYTHON = ROOT / ".venv" / "bin" / "python"
pytestmark = pytest.mark.skipif(not ENGINE_PYTHON.exists(), reason="the engine's environment is not made")


@pytest.fixture
def engine(qgis_app):
    made = Engine(ROOT)
    yield made
    made.close()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)


@pytest.fixture
def dialog(engine):
    made = EngineDialog(engine)
    made.show()
    yield made
    made.reject()
    made.deleteLater()


def press(button) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def is_testing(dialog) -> bool:
    return dialog.test_button.text() == "Stop"


def test_the_engine_that_is_found_is_shown_and_a_test_says_what_it_can_do(dialog, engine):
    assert dialog.path.text() == str(engine.interpreter())
    press(dialog.test_button)
    assert is_testing(dialog)
    wait_until(lambda: dialog.findings)
    assert not is_testing(dialog)
    lines = {finding.name: finding for finding in dialog.findings}
    assert {"Engine", "Python", "torch", "torchvision", "GPU", "Memory", "Disk"} <= set(lines)
    assert lines["torchvision"].mark is Mark.GOOD
    assert lines["GPU"].found
    press(dialog.copy_button)
    assert f"torch: {lines['torch'].found}" in QApplication.clipboard().text()
    assert engine.pid is None  # the test had a worker of its own


def test_a_python_that_will_not_do_is_shown_with_what_to_do(dialog, tmp_path):
    dialog.path.setText(str(tmp_path / "no such é"))
    press(dialog.test_button)
    wait_until(lambda: dialog.findings)
    (problem,) = dialog.findings
    assert problem.mark is Mark.PROBLEM
    assert "There is no program" in problem.found
    assert problem.hint
    assert "PROBLEM" in dialog.as_text()


def test_what_the_engine_said_when_it_failed_can_be_read(dialog, tmp_path):
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -m ] && echo libtorch is broken >&2 && exit 3\nexec "{ENGINE_PYTHON}" "$@"\n'
    )
    program.chmod(0o755)
    dialog.path.setText(str(program))
    press(dialog.test_button)
    wait_until(lambda: dialog.findings)
    assert [finding.name for finding in dialog.findings] == ["Python", "torch", "torchvision", "Engine"]
    assert "status 3" in dialog.findings[-1].found
    assert dialog.details_button.isVisible()
    assert "libtorch is broken" in dialog.as_text()


@pytest.mark.parametrize("how", ["button", "window"])
def test_a_test_can_be_stopped(dialog, tmp_path, how):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nsleep 3600\n")
    program.chmod(0o755)
    dialog.path.setText(str(program))
    press(dialog.test_button)
    press(dialog.test_button) if how == "button" else dialog.reject()
    assert not is_testing(dialog)
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    assert dialog.findings == ()


def test_ok_stores_the_choice_and_find_goes_back_to_the_one_found(dialog, engine, tmp_path):
    other = tmp_path / "python é"
    dialog.path.setText(str(other))
    press(dialog.buttons.button(QDialogButtonBox.StandardButton.Ok))
    assert settings.read(SETTING) == str(other)
    assert engine.interpreter() == other
    dialog.show()
    press(dialog.find_button)
    assert dialog.path.text() == str(ENGINE_PYTHON)
    press(dialog.buttons.button(QDialogButtonBox.StandardButton.Ok))
    assert settings.read(SETTING) == ""


def test_cancel_changes_nothing(dialog, engine, tmp_path):
    before = engine.interpreter()
    dialog.path.setText(str(tmp_path))
    press(dialog.buttons.button(QDialogButtonBox.StandardButton.Cancel))
    assert engine.interpreter() == before
