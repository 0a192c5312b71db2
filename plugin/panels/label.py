"""The label panel: what a key would do to the tile that is outlined on the map, as buttons that do the same.

No button takes the keyboard, so that the keys go on working after a click.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...core.project.results import rounds
from .. import settings
from ..context import Context
from ..job import Stage
from ..labeling.keys import Command
from ..labeling.labelling import SHOW_REASON, SHOW_SUGGESTION
from ..labeling.session import LabelingSession
from ..labeling.worklist import Progress, answers_of, progress_of, work_list
from ..steps import reported
from ..tallies import round_name
from .base import Panel
from .class_list import ClassList
from .selection_bar import SelectionBar
from .suggestion_box import SuggestionBox
from .widgets import ElidedLabel, Note, push_button

_REASONS = {
    Stage.NO_PROJECT: "No project is open. Make or open one first (Project).",
    Stage.NO_TILES: "There are no tiles yet. Cut a raster into tiles first (Imagery).",
    Stage.NO_EMBEDDINGS: "The tiles are not prepared yet. Prepare them first (Imagery).",
    Stage.NO_ROUND: "No tile is asked yet. Ask for tiles first (Query).",
}
_ANSWERS = (
    (Command.SKIP, "Skip (S)", "Not now; a later round may ask again (S)"),
    (Command.UNSURE, "Unsure (U)", "It cannot be told; the tile is not asked again (U)"),
    (Command.NONE, "None (N)", "None of these classes (N)"),
)
_MOVES = (
    (Command.BACK, "Back", "The tile shown before (Backspace or Left)"),
    (Command.NEXT, "Next", "The next tile without an answer (Ctrl+Right)"),
    (Command.UNDO, "Undo", "Take the last answer back (Ctrl+Z)"),
    (Command.REDO, "Redo", "Restore what was undone (Ctrl+Shift+Z)"),
)
_VIEWS_IN_A_ROW = 3
_FIRST = 1000  # stretch of what takes all the height it can use, before empty space does


class LabelPanel(Panel):
    """Shows the labelling session, and does with the mouse what the keys do."""

    title = "Label"

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._labelling = context.labelling
        self.start_button = _button("Start labelling", self._start_or_stop)
        self.tool_button = _button("Click tiles again", self._labelling.take_tool)
        self.tool_button.setToolTip("Another tool has the mouse: let clicks on the map choose tiles again")
        self.progress_text = ElidedLabel()
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setMaximumHeight(6)
        self.form.addLayout(_row(self.start_button, self.tool_button))
        self.form.addWidget(self.progress_text)
        self.form.addWidget(self.progress_bar)
        self.composites: dict[str, QPushButton] = {}
        self._view_grid = QGridLayout()
        self.work = self._make_work()
        for widget in (self.work, self.tool_button):
            widget.hide()
        self.form.addLayout(self._view_grid)
        self.form.addWidget(self.work, _FIRST)
        self.suggestion_check = self._make_check("Show suggestion", SHOW_SUGGESTION)
        self.reason_check = self._make_check("Show why", SHOW_REASON)
        self.form.addLayout(_row(self.suggestion_check, self.reason_check))
        self.form.addStretch(1)
        self._signals = (
            self._labelling.active_changed,
            self._labelling.current_changed,
            self._labelling.selection_changed,
            self._labelling.tool_changed,
        )
        for signal in self._signals:
            signal.connect(self._refresh_if_seen)

    def unload(self) -> None:
        """Stop listening."""
        for signal in self._signals:
            signal.disconnect(self._refresh_if_seen)

    def blocked(self) -> str:
        """Labelling needs tiles that were asked for; embeddings may be lost once there is a round."""
        job = self.context.job
        stage = job.stage
        return "" if stage is Stage.NO_EMBEDDINGS and rounds(job.project) else _REASONS.get(stage, "")

    def next_step(self) -> str:
        """What to press next."""
        session = self._labelling.session
        if session is None:
            return "Start, then press the key of a class for the outlined tile. Every answer is saved at once."
        if self._labelling.next_round_waits:
            return "The next tiles are ready: Ctrl+Right goes there."
        if session.current is None and self.context.engine.busy:
            return "Every asked tile has an answer. The next ones come by themselves; you may correct meanwhile."
        if session.current is None:
            return "Every asked tile has an answer. Ask for the next ones (Query), or click a tile to correct it."
        if session.is_multi:
            return "Press the keys of all classes that you see, then Enter."
        return ""

    def show_state(self) -> None:
        """The session, or how far the round is."""
        session = self._labelling.session
        self.start_button.setText("Start labelling" if session is None else "Stop labelling (Esc)")
        self.tool_button.setVisible(session is not None and not self._labelling.has_tool)
        self.work.setVisible(session is not None)
        self._show_composites()
        if session is None:
            project = self.context.job.project
            tiles = work_list(project)
            self._show_progress(progress_of(tiles, answers_of(project, [tile.tile_id for tile in tiles])))
        else:
            self._show_progress(session.progress)
            self._show_session(session)

    def _show_session(self, session: LabelingSession) -> None:
        classes = self.context.job.project.classes()
        self.selection.show_selection(session)
        self.suggestion.show_suggestion(session, classes)
        tile = session.current
        reason = tile.reason if tile is not None and not session.selection else ""
        self.reason.say(f"Why this tile: {reason}" if reason and self.reason_check.isChecked() else "")
        answer = None if session.selection else session.answer
        self.classes.show_classes(classes)
        if session.is_multi:
            self.classes.mark(session.toggles)
        else:
            self.classes.mark(answer.class_ids if answer else ())
        has_target = tile is not None or bool(session.selection)
        self.classes.setEnabled(has_target)
        for command, _, _ in _ANSWERS:
            self.buttons[command].setEnabled(has_target)
            self.buttons[command].setChecked(answer is not None and answer.kind == command.value)
        self.buttons[Command.BACK].setEnabled(session.can_go_back)
        self.buttons[Command.NEXT].setEnabled(self._labelling.next_round_waits or session.has_next)
        self.buttons[Command.UNDO].setEnabled(session.can_undo)
        self.buttons[Command.REDO].setEnabled(session.can_redo)
        self.zoom_button.setEnabled(tile is not None)

    def _show_progress(self, progress: Progress) -> None:
        of_round = f", {round_name(self.context.job.project, progress.round_id)}" if progress.round_id else ""
        self.progress_text.say(f"{progress.answered:,} of {progress.asked:,} answered{of_round}")
        self.progress_bar.setMaximum(max(progress.asked, 1))
        self.progress_bar.setValue(progress.answered)

    def _show_composites(self) -> None:
        """A button for each way to show the bands."""
        names = [composite.name for composite in self.context.overlay.composites()]
        if names == list(self.composites):
            return
        for button in self.composites.values():
            self._view_grid.removeWidget(button)
            button.deleteLater()
        self.composites = {}
        for place, name in enumerate(names):
            button = _button(name, partial(self._show_composite, name))
            self._view_grid.addWidget(button, place // _VIEWS_IN_A_ROW, place % _VIEWS_IN_A_ROW)
            self.composites[name] = button

    @reported
    def _show_composite(self, name: str) -> None:
        self.context.overlay.show_composite(name)

    def _make_work(self) -> QWidget:
        """All that is there only while labelling."""
        work = QWidget()
        layout = QVBoxLayout(work)
        layout.setContentsMargins(0, 0, 0, 0)
        self.selection = SelectionBar(self._labelling)
        self.suggestion = SuggestionBox(lambda: self._labelling.do(Command.ACCEPT))
        self.reason = Note()
        self.classes = ClassList()
        self.classes.chosen.connect(self._labelling.assign)
        self.buttons = {command: self._make_command(command, *texts) for command, *texts in (*_ANSWERS, *_MOVES)}
        for command, _, _ in _ANSWERS:
            self.buttons[command].setCheckable(True)
        self.zoom_button = _button("Zoom", self._labelling.zoom_to_tile)
        self.zoom_button.setToolTip("Show the tile with its surroundings")
        for widget in (self.selection, self.suggestion):
            layout.addWidget(widget)
        layout.addWidget(self.classes, _FIRST)
        layout.addLayout(_row(*(self.buttons[command] for command, _, _ in _ANSWERS)))
        layout.addLayout(_row(*(self.buttons[command] for command, _, _ in _MOVES), self.zoom_button))
        # Below the buttons, because its height differs from tile to tile and buttons must stay where they are.
        layout.addWidget(self.reason)
        layout.addStretch(1)
        return work

    def _make_command(self, command: Command, text: str, tooltip: str) -> QPushButton:
        def press() -> None:
            self._labelling.do(command)
            self._refresh_if_seen()  # the click itself has changed a button that shows the answer

        button = _button(text, press)
        button.setToolTip(tooltip)
        return button

    def _make_check(self, text: str, setting: str) -> QCheckBox:
        check = QCheckBox(text)
        check.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        check.setChecked(settings.read_flag(setting, True))
        check.toggled.connect(lambda shown: self._remember(setting, shown))
        return check

    def _remember(self, setting: str, shown: bool) -> None:
        settings.write_flag(setting, shown)
        self._labelling.show_hints()

    def _start_or_stop(self) -> None:
        if self._labelling.active:
            self._labelling.stop()
        else:
            self._labelling.start()

    def _refresh_if_seen(self, *_news: object) -> None:
        if self.isVisible():
            self.refresh()


def _button(text: str, action: Callable[[], object]) -> QPushButton:
    """A button that gives way in width and leaves the keyboard where it is."""
    button = push_button(text, action)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setMinimumWidth(1)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button


def _row(*buttons: QAbstractButton) -> QHBoxLayout:
    """Buttons side by side, equally wide."""
    layout = QHBoxLayout()
    for button in buttons:
        layout.addWidget(button, 1)
    return layout
