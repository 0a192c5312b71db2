"""Small widgets that several panels share; each takes as little width as it is given, so that a dock can be narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from ...core.errors import QuadratError

# A line may break after these, which Qt does not know of file names.
_BREAKS = "_/\\."
_ZERO_WIDTH_SPACE = "\u200b"
_LINES_OF_DETAILS = 3


class Note(QLabel):
    """Wrapped plain text that hides while it has nothing to say. Long file names break instead of widening the dock."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setMinimumWidth(1)
        self.said = ""
        self.say(text)

    def say(self, text: str) -> None:
        """Show a text, or nothing if it is empty."""
        self.said = text
        shown = text
        for letter in _BREAKS:
            shown = shown.replace(letter, letter + _ZERO_WIDTH_SPACE)
        self.setText(shown)
        if not text or self.parentWidget() is not None:  # shown without a parent it would be a window of its own
            self.setVisible(bool(text))


class ElidedLabel(QLabel):
    """One line of text that is shortened in its middle where it does not fit; the tooltip has all of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.full_text = ""

    def say(self, text: str) -> None:
        """Show a text."""
        self.full_text = text
        self.setToolTip(text)
        self._elide()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Shorten again for the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        self.setText(self.fontMetrics().elidedText(self.full_text, Qt.TextElideMode.ElideMiddle, self.width()))


class SteadyComboBox(QComboBox):
    """A choice that the mouse wheel does not change: whoever scrolls a table must not swap bands unawares."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumContentsLength(8)

    def wheelEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Leave the wheel to whatever scrolls."""
        event.ignore()


def narrow(combo: QComboBox, letters: int = 6) -> QComboBox:
    """Let a choice take the width there is, instead of that of its longest text."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(letters)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def push_button(text: str, action: Callable[[], object], tooltip: str = "") -> QPushButton:
    """A button with a text."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setAutoDefault(False)  # Enter in a dialog's field must not press it
    made.clicked.connect(lambda _checked=False: action())
    return made


def icon_button(icon: str, tooltip: str, action: Callable[[], object]) -> QToolButton:
    """A small button with one of QGIS's own icons, which fit every theme."""
    made = QToolButton()
    made.setIcon(QgsApplication.getThemeIcon(icon))
    made.setIconSize(QSize(16, 16))
    made.setToolTip(tooltip)
    made.setAccessibleName(tooltip)
    made.clicked.connect(lambda _checked=False: action())
    return made


def in_a_row(*widgets: QWidget, stretch_at_end: bool = True) -> QHBoxLayout:
    """Widgets side by side, at the left."""
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    if stretch_at_end:
        layout.addStretch(1)
    return layout


def explained(error: QuadratError) -> str:
    """What is wrong and what to do; of a class list just the first of what is wrong with its classes."""
    details = error.details.split("\n")[:_LINES_OF_DETAILS] if error.kind == "usage" else []
    if details[0:1] and details[0].startswith("class "):
        return "\n".join(f"C{line[1:]}." for line in details)
    return "\n".join(filter(None, (f"{error.message} {error.hint}".strip(), *details)))
