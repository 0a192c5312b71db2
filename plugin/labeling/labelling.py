"""Labelling on the map: the keys, the mouse, the map and the session tied together.

1. :meth:`Labelling.start` makes a :class:`.session.LabelingSession` of what is asked and takes keys and mouse.
2. Every key, click or button becomes one operation of the session. When it returns, the answer is on disk; then the
   map moves, and then everybody else is told.
3. When the last tile that a query asked for has its answer, ``round_done`` says so, and labelling waits for
   ``round_ready`` of the workflow, while the analyst may go on correcting.
4. :meth:`Labelling.stop` gives everything back.

An operation that fails changes nothing: the message says what to do, and the same key does it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from qgis.core import QgsPointXY
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ...core.errors import QuadratError
from .. import settings
from ..job import Job
from ..messages import Messages
from ..workflow import Workflow
from .keys import Command, Keys
from .map_tool import LabelMapTool
from .session import MAX_SELECTED, LabelingSession, Outcome
from .view import TileView

SHOW_SUGGESTION = "show_suggestion"
SHOW_REASON = "show_reason"

_OPERATIONS = {
    Command.ACCEPT: LabelingSession.accept,
    Command.SKIP: LabelingSession.skip,
    Command.UNSURE: LabelingSession.unsure,
    Command.NONE: LabelingSession.none,
    Command.BACK: LabelingSession.back,
    Command.NEXT: LabelingSession.next_open,
    Command.UNDO: LabelingSession.undo,
    Command.REDO: LabelingSession.redo,
}


class Labelling(QObject):
    """Labelling of the open project; ``session`` is there while it is active.

    Signals: ``active_changed(bool)``; ``current_changed`` whenever the tile, its answer, what is chosen for it or what
    is suggested may differ; ``selection_changed``; ``tool_changed(bool)`` when the mouse becomes ours or no longer is;
    ``round_done`` once for a round, when its last tile has an answer.
    """

    active_changed = pyqtSignal(bool)
    current_changed = pyqtSignal()
    selection_changed = pyqtSignal()
    tool_changed = pyqtSignal(bool)
    round_done = pyqtSignal()

    def __init__(self, iface: Any, job: Job, workflow: Workflow, messages: Messages, parent: QObject | None = None):
        super().__init__(parent)
        self._iface = iface
        self._job = job
        self._workflow = workflow
        self._messages = messages
        self._keys = Keys(iface.mainWindow(), self)
        self._keys.commanded.connect(self.do)
        self._keys.class_chosen.connect(self.assign)
        self._view: TileView | None = None
        self._tool: LabelMapTool | None = None
        self._is_telling = False
        self._rounds_done: set[int | None] = set()
        self.session: LabelingSession | None = None
        self.next_round_waits = False
        self._news = (
            (job.about_to_close, self.stop),
            (job.project_changed, self._forget_rounds),
            (job.tiles_changed, self._on_tiles_changed),
            (job.classes_changed, self._on_classes_changed),
            (job.answers_changed, self._on_answers_changed),
            (workflow.round_ready, self._on_round_ready),
            (workflow.suggestions_changed, self.show_hints),
        )
        for signal, slot in self._news:
            signal.connect(slot)

    def unload(self) -> None:
        """Stop, and listen to nobody any more."""
        self.stop()
        for signal, slot in self._news:
            signal.disconnect(slot)

    @property
    def active(self) -> bool:
        """Whether keys and clicks label."""
        return self.session is not None

    @property
    def has_tool(self) -> bool:
        """Whether clicks on the map are ours."""
        return self._tool is not None and self._tool.is_taken

    def start(self) -> None:
        """Begin to label, or take the mouse again."""
        if self.session is None and not self._open_session():
            return
        self.take_tool()
        self._iface.mapCanvas().setFocus()

    def stop(self) -> None:
        """Give back keys, mouse and map, and remember the tile."""
        if self.session is None or self._view is None or self._tool is None:
            return
        session, self.session = self.session, None
        # Where the analyst was is a convenience; whatever keeps the project from being written will be told elsewhere.
        with contextlib.suppress(QuadratError):
            session.save_position()
        self._keys.stop()
        self._tool.close()
        self._view.close()
        self._tool = self._view = None
        self.next_round_waits = False
        self.tool_changed.emit(False)
        self.active_changed.emit(False)

    def take_tool(self) -> None:
        """Let clicks on the map be ours again."""
        if self._tool is not None:
            self._tool.take()

    def do(self, command: Command) -> None:
        """Do what a key or button says."""
        if self.session is None:
            return
        if command is Command.LEAVE:
            self._leave()
        elif command is Command.NEXT and self.next_round_waits:
            self._enter_round()
        else:
            self._perform(_OPERATIONS[command])

    def assign(self, class_id: int) -> None:
        """Answer with a class, or choose it where there may be several."""
        self._perform(lambda session: session.assign(class_id))

    def go_to(self, tile_id: int) -> None:
        """Show a tile."""
        self._perform(lambda session: session.go_to(tile_id))

    def select(self, tile_ids: Sequence[int]) -> None:
        """Let the next answer be for these tiles."""
        self._perform(lambda session: session.select(tile_ids))

    def clear_selection(self) -> None:
        """Let the next answer be for the current tile again."""
        self._perform(LabelingSession.clear_selection)

    def replace_answers(self, replace: bool) -> None:
        """Say whether the next answer is also for selected tiles that have one already."""
        if self.session is not None:
            self.session.replace_answers = replace
            self.selection_changed.emit()

    def zoom_to_tile(self) -> None:
        """Show the current tile with its surroundings."""
        if self.session is not None and self._view is not None:
            self._view.show(self.session.current, zoom=True)

    def show_hints(self) -> None:
        """Show or hide the suggestion as the settings say, and take the newest ones."""
        if self.session is not None:
            shown = settings.read_flag(SHOW_SUGGESTION, True)
            self.session.suggest(self._workflow.suggestions, show=shown)
            self.current_changed.emit()

    def _open_session(self) -> bool:
        """Make a session and show its first tile; whether there is anything to label."""
        session = self._new_session()
        if session is None:
            return False
        canvas = self._iface.mapCanvas()
        try:
            self._view = TileView(canvas, self._job.project)
        except QuadratError as error:
            self._messages.error(error)
            return False
        self._tool = LabelMapTool(canvas)
        self._tool.clicked.connect(self._on_click)
        self._tool.dragged.connect(self._on_drag)
        self._tool.taken.connect(self.tool_changed)
        self._keys.start()
        self._show_session(session, zoom=True)
        self._perform(self._read_classes)
        self.active_changed.emit(True)
        return True

    def _new_session(self) -> LabelingSession | None:
        try:
            project, shown = self._job.project, settings.read_flag(SHOW_SUGGESTION, True)
            session = LabelingSession(project, self._job.annotator, self._workflow.suggestions, show_suggestions=shown)
        except QuadratError as error:
            self._messages.error(error)
            return None
        if not session.tiles:
            self._messages.info("There is nothing to label yet. Ask for tiles first, in the panel Query.")
            return None
        if session.is_done:
            self._messages.info("Every asked tile has an answer. You may correct them, or ask for more in Query.")
        return session

    def _show_session(self, session: LabelingSession, *, zoom: bool) -> None:
        assert self._view is not None
        self.session = session
        self.next_round_waits = False
        if session.is_round_done:
            self._rounds_done.add(session.progress.round_id)
        self._view.show(session.current, zoom=zoom)
        self._view.show_selection(())
        self.selection_changed.emit()
        self.current_changed.emit()

    def _perform(self, operation: Callable[[LabelingSession], Outcome | None]) -> None:
        """One operation of the session, if there is one, and what follows from it."""
        session, view = self.session, self._view
        if session is None or view is None:
            return
        before = session.current, session.selection
        try:
            outcome = operation(session) or Outcome()
        except QuadratError as error:
            self._messages.error(error)
            return
        if session.current != before[0]:
            view.show(session.current)
        if session.selection != before[1]:
            view.show_selection(session.selection)
            self.selection_changed.emit()
        if outcome.message:
            self._messages.info(outcome.message)
        if outcome.changed:
            self._tell(outcome.changed)
        if self.next_round_waits and self.session is session and session.current is None:
            self._enter_round()  # the last validation tile of the round before has its answer
        self.current_changed.emit()

    def _tell(self, tile_ids: Sequence[int]) -> None:
        """Announce answers, and the end of a round if these were the last."""
        self._is_telling = True
        try:
            self._job.answers_changed.emit(list(tile_ids))
        finally:
            self._is_telling = False
        session = self.session
        if session is not None and session.is_round_done:
            round_id = session.progress.round_id
            if round_id not in self._rounds_done:
                self._rounds_done.add(round_id)
                self.round_done.emit()

    def _leave(self) -> None:
        """Leave what was entered last: a rectangle being drawn, a selection, labelling."""
        assert self.session is not None
        assert self._tool is not None
        if self._tool.cancel_drag():
            return
        if self.session.selection:
            self.clear_selection()
        else:
            self.stop()

    def _enter_round(self) -> None:
        """Go on with the tiles that are asked now."""
        session = self._new_session()
        if session is not None:
            self._show_session(session, zoom=False)

    def _on_click(self, point: QgsPointXY) -> None:
        tile_id = self._find(lambda view, first: view.tile_at(point, first))
        if tile_id is not None:
            self.go_to(tile_id)

    def _on_drag(self, corners: list[QgsPointXY]) -> None:
        found = self._find(lambda view, first: view.tiles_in(corners, first, MAX_SELECTED))
        if found is not None:
            self.select(found)

    def _find(self, look: Callable[[TileView, int | None], Any]) -> Any:
        """What is on the map, looking at the raster of the current tile first; None if it cannot be read."""
        assert self.session is not None
        assert self._view is not None
        current = self.session.current
        try:
            return look(self._view, current.raster_id if current else None)
        except QuadratError as error:
            self._messages.error(error)
            return None

    def _on_round_ready(self, _round_id: int) -> None:
        """Show the new tiles to an analyst who waits for them; tell one who is still at work on others."""
        if self.session is None:
            return
        if self.session.current is None:
            self._enter_round()
        else:
            self.next_round_waits = True
            self._messages.info("The next tiles are ready: Ctrl+Right goes there.")
            self.current_changed.emit()

    def _on_tiles_changed(self) -> None:
        if self._view is not None:
            view = self._view
            self._perform(lambda _session: view.read_rasters())

    def _on_classes_changed(self) -> None:
        self._perform(self._read_classes)

    def _on_answers_changed(self, tile_ids: list[int]) -> None:
        if not self._is_telling:
            self._perform(lambda session: session.reload(tile_ids))

    def _read_classes(self, session: LabelingSession) -> None:
        self._keys.set_classes({item.key: item.class_id for item in self._job.project.classes()})
        session.reload()

    def _forget_rounds(self) -> None:
        """Another project has other rounds under the same numbers."""
        self._rounds_done.clear()
