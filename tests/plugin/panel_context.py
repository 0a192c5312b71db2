"""The surroundings of a panel: a window with a map and a real message bar, the job, the engine, the workflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qgis.gui import QgsMapCanvas, QgsMessageBar
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QLineEdit, QMainWindow, QVBoxLayout, QWidget

from quadrat.core.project.classes import ClassDraft
from quadrat.plugin.context import Context
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.job import Job
from quadrat.plugin.labeling.labelling import Labelling
from quadrat.plugin.messages import Messages
from quadrat.plugin.workflow import Workflow

from .projects import ROOT

CLASSES = [ClassDraft("Water"), ClassDraft("Forest"), ClassDraft("Town")]


class Window(QMainWindow):
    """What of QGIS's interface the panels use."""

    def __init__(self) -> None:
        super().__init__()
        self._bar, self._canvas = QgsMessageBar(), QgsMapCanvas()
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addWidget(self._bar)
        layout.addWidget(self._canvas)
        self.setCentralWidget(content)
        self.resize(600, 500)

    def messageBar(self) -> QgsMessageBar:  # noqa: N802
        return self._bar

    def mapCanvas(self) -> QgsMapCanvas:  # noqa: N802
        return self._canvas

    def mainWindow(self) -> QMainWindow:  # noqa: N802
        return self

    def said(self) -> str:
        """The message that is shown now."""
        item = self._bar.currentItem()
        return item.text() if item is not None else ""


@contextmanager
def surroundings(engine: Engine | None = None) -> Iterator[Context]:
    """A context without layers on the map, taken down in the order in which the plugin does it.

    An ``engine`` that is given stays as it is, for its worker takes seconds to start.
    """
    window = Window()
    window.show()
    job = Job()
    own = None if engine else Engine(ROOT)
    engine = engine or own
    messages = Messages(window)
    workflow = Workflow(job, engine, messages)
    labelling = Labelling(window, job, workflow, messages)
    try:
        yield Context(window, job, engine, workflow, None, labelling, messages)
    finally:
        labelling.unload()
        if own is not None:
            own.close()
        job.close()
        workflow.unload()
        window.close()


def follow(panel, job) -> None:
    """Let a panel hear of the job's news, as the dock does."""
    for news in (job.project_changed, job.classes_changed, job.tiles_changed, job.embeddings_changed):
        news.connect(lambda *_news: panel.refresh())
    panel.resize(360, 700)
    panel.show()
    panel.refresh()


def retype(edit: QLineEdit, text: str) -> None:
    """Replace the text of a field, key by key where QTest has the key."""
    edit.selectAll()
    QTest.keyClick(edit, Qt.Key.Key_Delete)
    for letter in text:
        if letter.isascii():
            QTest.keyClicks(edit, letter)
        else:
            edit.insert(letter)


def open_editor(table: QWidget) -> QLineEdit:
    """The editor that a table has open; those before may not be deleted yet."""
    (editor,) = (editor for editor in table.findChildren(QLineEdit) if editor.isVisible())
    return editor


def type_into_open_editor(table: QWidget, text: str) -> None:
    """Type into the editor that a table has open, and press Enter."""
    editor = open_editor(table)
    retype(editor, text)
    press_enter(editor)


def press_enter(editor: QLineEdit) -> None:
    """Qt takes the text over when it is back in its event loop."""
    QTest.keyClick(editor, Qt.Key.Key_Return)
    QApplication.processEvents()


def click(button: QWidget) -> None:
    """One click with the left button."""
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
