"""What the model suggests for the current tile, how sure it is, and the button that Enter presses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ...core.project.classes import LabelClass
from ..labeling.session import LabelingSession
from .class_list import swatch
from .widgets import Note


class SuggestionBox(QWidget):
    """Single-label: the likeliest class beside the button that accepts it, and the next ones below.

    Multi-label: the button that saves the choice, and all likely classes below.
    """

    def __init__(self, accept: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._swatch = QLabel()
        self.likeliest = Note()
        self.text = Note()
        self.accept_button = QPushButton("Accept (Enter)")
        self.accept_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.accept_button.clicked.connect(lambda _checked=False: accept())
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self._swatch)
        line.addWidget(self.likeliest, 1)
        line.addWidget(self.accept_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(line)
        layout.addWidget(self.text)

    def show_suggestion(self, session: LabelingSession, classes: Sequence[LabelClass]) -> None:
        """Show what is suggested, or why nothing is; nothing while the next answer is for a selection."""
        by_id = {item.class_id: item for item in classes}
        suggested = [] if session.selection else [(by_id[c], p) for c, p in session.suggestion or () if c in by_id]
        in_words = [f"{item.name} {share:.0%}" for item, share in suggested]
        is_one = bool(suggested) and not session.is_multi
        self.likeliest.say(f"Suggested: {in_words[0]}" if is_one else "")
        self._swatch.setVisible(is_one)
        if is_one:
            self._swatch.setPixmap(swatch(suggested[0][0].colour))
        self.text.say(_words(session, in_words))
        if session.is_multi:
            self.accept_button.setText("Save choice (Enter)")
            self.accept_button.setEnabled(bool(session.toggles))
        else:
            self.accept_button.setEnabled(is_one)
            self.accept_button.setVisible(not session.selection)


def _words(session: LabelingSession, suggested: Sequence[str]) -> str:
    """The line of text: what is likely besides what the button accepts, or why no class is suggested."""
    if session.current is None or session.selection:
        return ""
    if suggested and session.is_multi:
        return "Suggested: " + ", ".join(suggested)
    if suggested:
        return "or " + ", ".join(suggested[1:]) if suggested[1:] else ""
    if session.current.is_validation:
        return "No suggestion: this tile checks the model."
    if not session.shows_suggestions:
        return "The suggestion is hidden."
    return "No class is likely (N)." if session.suggestion == [] else "No suggestion yet."
