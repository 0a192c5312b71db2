"""The bar that says which tiles the next answer is for, while there are several."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ..labeling.labelling import Labelling
from ..labeling.session import LabelingSession
from .widgets import Note


class SelectionBar(QFrame):
    """How many tiles are selected, whether their answers may be replaced, and a way out. Hidden without selection."""

    def __init__(self, labelling: Labelling, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = Note()
        self.replace_check = QCheckBox("Replace answers")
        self.replace_check.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.replace_check.clicked.connect(labelling.replace_answers)
        self.clear_button = QPushButton("Clear (Esc)")
        self.clear_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.clear_button.clicked.connect(lambda _checked=False: labelling.clear_selection())
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        below = QHBoxLayout()
        below.addWidget(self.replace_check)
        below.addStretch(1)
        below.addWidget(self.clear_button)
        layout.addLayout(below)

    def show_selection(self, session: LabelingSession) -> None:
        """Bring the bar up to date, or hide it."""
        selected, answered = len(session.selection), session.selected_answered
        self.setVisible(selected > 0)
        if not selected:
            return
        tiles = "1 tile is" if selected == 1 else f"{selected} tiles are"
        have = f", {answered} of them with an answer already" if answered else ""
        how = "The keys of classes and Enter answer" if session.is_multi else "The key of a class answers"
        self.text.say(f"{tiles} selected{have}. {how} all at once.")
        self.replace_check.setVisible(answered > 0)
        self.replace_check.setChecked(session.replace_answers)
