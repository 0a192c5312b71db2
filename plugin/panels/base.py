"""What all panels have in common: a title, one line on what to do next, and a reason when they cannot be used."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from ..context import Context
from ..messages import Messages
from ..steps import reported


class Panel(QWidget):
    """One step in the dock.

    A subclass sets :attr:`title`, builds its widgets into ``self.body`` (with the layout ``self.form``) in its own
    ``__init__`` after ``super().__init__``, and overrides :meth:`blocked`, :meth:`next_step` and :meth:`show_state`.
    The dock calls :meth:`refresh` for every signal of the job and when the panel becomes visible, so a panel need not
    listen to the job itself.
    """

    title = ""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self._advice = QLabel(wordWrap=True)
        self._advice.setTextFormat(Qt.TextFormat.PlainText)
        self._reason = QLabel(wordWrap=True)
        self._reason.setTextFormat(Qt.TextFormat.PlainText)
        self._reason.setFrameShape(QFrame.Shape.StyledPanel)
        self._reason.setMargin(8)
        self.body = QWidget()
        self.form = QVBoxLayout(self.body)
        self.form.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.addWidget(self._advice)
        layout.addWidget(self._reason)
        layout.addWidget(self.body, 1)

    def blocked(self) -> str:
        """Why the panel cannot be used now and what to do first; empty if it can."""
        return ""

    def next_step(self) -> str:
        """One sentence on what to do here."""
        return ""

    def show_state(self) -> None:
        """Bring the widgets up to date with the job. Called only while the panel can be used."""

    def unload(self) -> None:
        """Stop listening to whatever outlives the panel."""

    @property
    def messages(self) -> Messages:
        """Where to say what went wrong."""
        return self.context.messages

    @reported
    def refresh(self) -> None:
        """Show what to do, or why nothing can be done; a project that cannot be read just now is told, not raised."""
        reason = self.blocked()
        self._reason.setText(reason)
        self._reason.setVisible(bool(reason))
        self._advice.setText(self.next_step())
        self._advice.setVisible(not reason and bool(self._advice.text()))
        self.body.setEnabled(not reason)
        if not reason:
            self.show_state()
