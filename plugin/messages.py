"""Say something to the analyst: QGIS's message bar, with details that can be read and copied.

Everything also goes to the log panel, tab Quadrat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import Qgis, QgsMessageLog
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)

from ..core.errors import Cancelled, QuadratError

TAG = "Quadrat"
SECONDS = 8


class Messages:
    """The voice of the plugin. An error stays until it is closed, but is there once however often it happens."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface

    def unload(self) -> None:
        """Take away what is still shown: its buttons would call a plugin that is gone."""
        for item in self._shown():
            self._iface.messageBar().popWidget(item)

    def info(self, text: str) -> None:
        """Something the analyst may want to know."""
        self._show(text, Qgis.MessageLevel.Info, SECONDS)

    def success(self, text: str) -> None:
        """Something is done."""
        self._show(text, Qgis.MessageLevel.Success, SECONDS)

    def warn(self, text: str) -> None:
        """Something the analyst should know, although the work goes on."""
        self._show(text, Qgis.MessageLevel.Warning, 2 * SECONDS)

    def remark(self, level: str, text: str) -> None:
        """What the engine remarks while it works: a warning is shown, the rest is for the log panel."""
        if level == "warning":
            self.warn(text)
        else:
            QgsMessageLog.logMessage(text, TAG, Qgis.MessageLevel.Info)

    def error(self, error: QuadratError, button: tuple[str, Callable[[], None]] | None = None) -> None:
        """What happened and what to do, a button with the details, and perhaps one that does it.

        A cancelled step is only confirmed, because the analyst asked for it.
        """
        if isinstance(error, Cancelled):
            self.info(error.message)
            return
        text = f"{error.message} {error.hint}".strip()
        QgsMessageLog.logMessage("\n".join(filter(None, (text, error.details))), TAG, Qgis.MessageLevel.Critical)
        bar = self._iface.messageBar()
        for earlier in self._shown():
            if earlier.text() == text:
                bar.popWidget(earlier)
        item = bar.createMessage(TAG, text)
        if button is not None:
            name, act = button
            _add_button(item, name, lambda: (bar.popWidget(item), act()))
        if error.details:
            _add_button(item, "Details", lambda: self.show_details(error))
        bar.pushWidget(item, Qgis.MessageLevel.Critical, 0)

    def show_details(self, error: QuadratError) -> None:
        """The details in a window of their own, to be read and copied."""
        dialog = DetailsDialog(error, self._iface.mainWindow())
        dialog.exec()
        dialog.deleteLater()

    def _shown(self) -> list[Any]:
        """Our messages that have not been closed yet."""
        return [item for item in self._iface.messageBar().items() if item.title() == TAG]

    def _show(self, text: str, level: Any, seconds: int) -> None:
        QgsMessageLog.logMessage(text, TAG, level)
        self._iface.messageBar().pushMessage(TAG, text, level, seconds)


class DetailsDialog(QDialog):
    """Message, hint and details of one error."""

    def __init__(self, error: QuadratError, parent: Any = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Quadrat: details")
        self.resize(640, 360)
        layout = QVBoxLayout(self)
        for text in filter(None, (error.message, error.hint)):
            label = QLabel(text, wordWrap=True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            layout.addWidget(label)
        self.text = QPlainTextEdit("\n".join(filter(None, (error.message, error.hint, error.details))))
        self.text.setReadOnly(True)
        layout.addWidget(self.text)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.copy_button = buttons.addButton("Copy", QDialogButtonBox.ButtonRole.ActionRole)
        self.copy_button.clicked.connect(lambda: QApplication.clipboard().setText(self.text.toPlainText()))
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)


def _add_button(item: Any, text: str, action: Callable[[], object]) -> None:
    button = QPushButton(text, item)
    button.clicked.connect(lambda _checked=False: action())
    item.layout().addWidget(button)
