"""Choose the Python that runs the engine, and see whether it will do.

The test starts a worker of its own with the Python that is written in the field, so it can be tried out before it is
chosen; the worker that is running is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import QuadratError
from ..engine.connection import Connection
from ..engine.engine import Engine
from ..engine.environment import CHOOSE_HINT
from ..engine.task import Examination
from ..messages import DetailsDialog
from .widgets import push_button

INTRODUCTION = (
    "Quadrat learns in a Python of its own, with PyTorch, beside QGIS and not inside it. Choose that Python here and "
    "test it. An empty field means: the one that Quadrat finds by itself."
)
GIB = 2**30


class Mark(Enum):
    """How a line of the outcome is meant: its word when copied, and its icon in QGIS's theme."""

    GOOD = ("ok", "/mIconSuccess.svg")
    NOTE = ("note", "/mIconInfo.svg")
    PROBLEM = ("PROBLEM", "/mIconWarning.svg")


@dataclass(frozen=True)
class Finding:
    """One line of the test's outcome; ``hint`` says what to do where it is not good."""

    mark: Mark
    name: str
    found: str
    hint: str = ""

    def as_text(self) -> str:
        """The line as it is copied."""
        return f"{self.mark.value[0]:7}  {self.name}: {self.found} {self.hint}".rstrip()


class EngineDialog(QDialog):
    """Path of the engine's Python, a test of it, and OK to use it from now on."""

    def __init__(self, engine: Engine, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._test: Examination | None = None
        self._error: QuadratError | None = None
        self.findings: tuple[Finding, ...] = ()
        self.setWindowTitle("Quadrat: engine")
        self.resize(600, 480)
        introduction = QLabel(INTRODUCTION)
        introduction.setWordWrap(True)
        self._make_buttons()
        layout = QVBoxLayout(self)
        layout.addWidget(introduction)
        layout.addLayout(_row(self.path, self.browse_button, self.find_button))
        layout.addLayout(_row(self.test_button, self.progress, stretch_at=1))
        layout.addWidget(self._make_outcome(), 1)
        layout.addWidget(self.note)
        layout.addWidget(self.buttons)
        self.path.setText(str(engine.interpreter() or ""))
        self._show_outcome((), "Press Test to see what this Python can do.")
        self._show_note()

    def accept(self) -> None:
        """Use this Python from now on. If it is the same one, its worker and what that keeps in memory stay."""
        chosen = self._chosen()
        if chosen != self._engine.interpreter():
            self._engine.use_interpreter(None if chosen == self._engine.found_interpreter() else chosen)
        super().accept()

    def done(self, result: int) -> None:
        """Close the window; a test that is running is stopped."""
        self._stop_test()
        super().done(result)

    def test(self) -> None:
        """Try out the Python in the field, or stop trying."""
        if self._test is not None:
            self._stop_test()
            self._show_outcome((), "The test was stopped.")
            return
        self._error = None
        self._show_outcome((), "Testing. The first start can take a minute.")
        self._test = self._engine.examine(self._chosen(), self._on_good, self._on_bad)
        self._show_testing(True)

    def find(self) -> None:
        """Write into the field what Quadrat finds by itself."""
        found = self._engine.found_interpreter()
        self.path.setText(str(found or ""))
        if found is None:
            self._show_outcome((), f"No Python for the engine was found. {CHOOSE_HINT}")

    def browse(self) -> None:
        """Choose a program."""
        # Not resolved: the link in an environment's folder is what makes it the Python of that environment.
        path, _ = QFileDialog.getOpenFileName(
            self, "The engine's Python", self.path.text(), options=QFileDialog.Option.DontResolveSymlinks
        )
        if path:
            self.path.setText(path)

    def show_details(self) -> None:
        """What the engine said when it failed, in a window of its own."""
        if self._error is not None:
            DetailsDialog(self._error, self).exec()

    def as_text(self) -> str:
        """The outcome of the test, to be copied into a message."""
        lines = [f"Python: {self.path.text()}", *(finding.as_text() for finding in self.findings)]
        return "\n".join([*lines, self._error.details if self._error else ""]).rstrip()

    def _make_buttons(self) -> None:
        self.path = QLineEdit()
        self.path.setPlaceholderText("found by itself")
        self.path.setClearButtonEnabled(True)
        self.browse_button = push_button("Browse…", self.browse)
        self.find_button = push_button("Find", self.find)
        self.test_button = push_button("Test", self.test)
        self.copy_button = push_button("Copy", lambda: QApplication.clipboard().setText(self.as_text()))
        self.details_button = push_button("Details…", self.show_details)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        kept = self.progress.sizePolicy()
        kept.setRetainSizeWhenHidden(True)  # the button beside it stays as it is
        self.progress.setSizePolicy(kept)
        self.progress.hide()
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.addButton(self.copy_button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.addButton(self.details_button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._engine.busy_changed.connect(self._show_note)

    def _make_outcome(self) -> QScrollArea:
        self._outcome = QScrollArea()
        self._outcome.setWidgetResizable(True)
        self._outcome.setFrameShape(QFrame.Shape.StyledPanel)
        return self._outcome

    def _chosen(self) -> Path | None:
        text = self.path.text().strip()
        return Path(text).expanduser() if text else self._engine.found_interpreter()

    def _stop_test(self) -> None:
        test, self._test = self._test, None
        if test is not None:
            test.cancel()
            self._show_testing(False)

    def _on_good(self, task: Examination, results: list[dict[str, Any]]) -> None:
        if task is self._test:
            self._test = None
            self._show_testing(False)
            self._show_outcome(findings_of(*results))

    def _on_bad(self, task: Examination, error: QuadratError) -> None:
        if task is self._test:
            self._test = None
            self._error = error
            self._show_testing(False)
            problem = Finding(Mark.PROBLEM, "Engine", error.message, error.hint)
            self._show_outcome((*known_of(task.connection), problem))

    def _show_testing(self, testing: bool) -> None:
        self.test_button.setText("Stop" if testing else "Test")
        self.progress.setVisible(testing)

    def _show_outcome(self, findings: tuple[Finding, ...], text: str = "") -> None:
        self.findings = findings
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setColumnStretch(2, 1)
        if text:
            grid.addWidget(_label(text), 0, 0, 1, 3)
        for row, finding in enumerate(findings):
            grid.addWidget(_icon(finding.mark), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(_label(finding.name, wrap=False), row, 1, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(_label("\n".join(filter(None, (finding.found, finding.hint)))), row, 2)
        grid.setRowStretch(len(findings) + 1, 1)
        self._outcome.setWidget(inside)
        self.copy_button.setEnabled(bool(findings))
        self.details_button.setVisible(bool(findings and self._error and self._error.details))

    def _show_note(self, *_news: object) -> None:
        self.note.setText("The engine is working. Choosing another Python stops that work.")
        self.note.setVisible(self._engine.busy)


def findings_of(hello: dict[str, Any], doctor: dict[str, Any]) -> tuple[Finding, ...]:
    """What a worker said of itself and of what it needs."""
    lines = [
        Finding(_mark_of(check, hello), check["name"], check["found"], check["hint"]) for check in doctor["checks"]
    ]
    return (Finding(Mark.GOOD, "Engine", f"version {hello['version']}, ready"), *lines)


def known_of(connection: Connection) -> tuple[Finding, ...]:
    """What is known of a Python whose worker does not run."""
    report = connection.report
    if report is None:
        return ()
    packages = (Finding(Mark.GOOD, name, report.versions[name]) for name in ("torch", "torchvision"))
    return (Finding(Mark.GOOD, "Python", f"{report.python} at {report.path}"), *packages)


def _mark_of(check: dict[str, Any], hello: dict[str, Any]) -> Mark:
    """A GPU that is not used is no failure, but worth a look: the line says why."""
    if not check["ok"]:
        return Mark.PROBLEM
    return Mark.NOTE if check["name"] == "GPU" and hello["device"] == "cpu" else Mark.GOOD


def _row(*widgets: QWidget, stretch_at: int = 0) -> QHBoxLayout:
    row = QHBoxLayout()
    for index, widget in enumerate(widgets):
        row.addWidget(widget, int(index == stretch_at))
    return row


def _label(text: str, wrap: bool = True) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setWordWrap(wrap)
    return label


def _icon(mark: Mark) -> QLabel:
    label = QLabel()
    size = label.fontMetrics().height()
    label.setPixmap(QgsApplication.getThemeIcon(mark.value[1]).pixmap(size, size))
    label.setToolTip(mark.value[0])
    return label
