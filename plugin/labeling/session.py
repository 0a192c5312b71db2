"""One analyst's way through the tiles that are asked: which is shown, what is chosen for it, what was answered.

Nothing here knows Qt or the map. Each operation does one thing that an analyst can do and returns an :class:`Outcome`.
An answer is on disk before the session moves on; if it cannot be recorded the operation raises, and the session stays
where it was with everything that was chosen.

When no asked tile is left to answer, the session rests: no tile is shown, so that a key pressed once too often answers
nothing. Going back, undoing or clicking a tile ends the rest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import QuadratError
from ...core.project.answers import Answer, can_redo, can_undo, record_answers, redo, undo
from ...core.project.database import utc_now
from ...core.project.results import VALIDATION_SAMPLE
from ...core.project.store import Project
from .worklist import AskedTile, GivenAnswer, Progress, answers_of, find_tiles, progress_of, work_list

# One answer for so many tiles is on disk in well under 100 ms.
MAX_SELECTED = 500
SOURCE = "map"
POSITION = "current_tile"

Suggestions = Mapping[int, Sequence[Sequence[float]]]  # tile_id -> [(class_id, probability), ...], the best first


@dataclass(frozen=True)
class Outcome:
    """What an operation did: the tiles whose answers changed, and what the analyst should know, if anything."""

    changed: tuple[int, ...] = ()
    message: str = ""


class LabelingSession:
    """The work list of a project and the analyst's place in it.

    Attributes:
        tiles: what is asked, in the order of visiting.
        current: the tile that is shown; None at rest.
        toggles: the classes chosen for it (multi-label), not recorded yet.
        selection: tiles that the next answer is for, instead of the current one.
        shows_suggestions: whether the analyst wants to see what the model says.
        replace_answers: whether that answer also counts for selected tiles that have one already.
    """

    def __init__(
        self,
        project: Project,
        annotator: str,
        suggestions: Suggestions,
        *,
        show_suggestions: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project = project
        self._annotator = annotator
        self._suggestions = suggestions
        self.shows_suggestions = show_suggestions
        self._clock = clock
        self.is_multi = project.mode == "multi"
        self.tiles = work_list(project)
        self._places = {tile.tile_id: place for place, tile in enumerate(self.tiles)}
        self._answers = answers_of(project, self._places)
        self._class_ids = [item.class_id for item in project.classes()]
        self._visited: list[int] = []
        self._position = -1  # of the asked tile that was shown last
        self.current: AskedTile | None = None
        self.toggles: frozenset[int] = frozenset()
        self._is_touched = False  # whether the analyst changed the toggles
        self.selection: tuple[AskedTile, ...] = ()
        self.replace_answers = False
        self._enter(self._first_tile())

    # What there is to see

    @property
    def progress(self) -> Progress:
        """How many of the asked tiles have an answer."""
        return progress_of(self.tiles, self._answers)

    @property
    def is_done(self) -> bool:
        """Whether every asked tile has an answer."""
        return self._next_open_tile() is None

    @property
    def is_round_done(self) -> bool:
        """Whether every tile that the query function asked for has an answer."""
        asked = [tile for tile in self.tiles if tile.strategy != VALIDATION_SAMPLE]
        return bool(asked) and not any(self.is_open(tile) for tile in asked)

    @property
    def answer(self) -> GivenAnswer | None:
        """The present answer of the current tile."""
        return self._answers.get(self.current.tile_id) if self.current else None

    @property
    def suggestion(self) -> list[tuple[int, float]] | None:
        """What the model suggests for the current tile; None if it says nothing, or must or should not be seen."""
        if self.current is None or self.current.is_validation or not self.shows_suggestions:
            return None
        suggested = self._suggestions.get(self.current.tile_id)
        known = set(self._class_ids)
        return None if suggested is None else [(int(c), float(p)) for c, p in suggested if int(c) in known]

    @property
    def selected_answered(self) -> int:
        """How many of the selected tiles have an answer already."""
        return sum(tile.tile_id in self._answers for tile in self.selection)

    @property
    def can_undo(self) -> bool:
        """Whether :meth:`undo` would take something back."""
        return can_undo(self._project, self._annotator)

    @property
    def can_redo(self) -> bool:
        """Whether :meth:`redo` would restore something."""
        return can_redo(self._project, self._annotator)

    @property
    def can_go_back(self) -> bool:
        """Whether a tile was shown before this one."""
        return bool(self._visited)

    @property
    def has_next(self) -> bool:
        """Whether :meth:`next_open` would show another tile."""
        return self._next_open_tile() not in (None, self.current)

    def is_open(self, tile: AskedTile) -> bool:
        """Whether a tile waits for an answer."""
        return tile.is_open_with(self._answers.get(tile.tile_id))

    # What changes without the analyst

    def suggest(self, suggestions: Suggestions, *, show: bool) -> None:
        """Take new suggestions, or show or hide them; what the analyst chose already stays."""
        self._suggestions = suggestions
        self.shows_suggestions = show
        if not self._is_touched:
            self._reset_toggles()

    def reload(self, tile_ids: Collection[int] | None = None) -> None:
        """Read the classes and answers anew (of these tiles, or all), after something else changed them."""
        self._class_ids = [item.class_id for item in self._project.classes()]
        self._reread({*self._places, *self._answers} if tile_ids is None else tile_ids)
        self.toggles &= frozenset(self._class_ids)
        if not self._is_touched:
            self._reset_toggles()

    def save_position(self) -> None:
        """Remember the current tile in the project, for the next start. Raises ProjectError."""
        if self.current is not None:
            self._project.set_setting(POSITION, str(self.current.tile_id))

    # Answers

    def assign(self, class_id: int) -> Outcome:
        """Single-label: answer with the class. Multi-label: choose it, or no longer."""
        if class_id not in self._class_ids or not self._has_target:
            return self._nothing_to_answer()
        if not self.is_multi:
            return self._answer("classes", (class_id,))
        self.toggles ^= {class_id}
        self._is_touched = True
        return Outcome()

    def accept(self) -> Outcome:
        """Single-label: answer with the suggestion that is seen. Multi-label: answer with the chosen classes."""
        if not self._has_target:
            return self._nothing_to_answer()
        if self.is_multi:
            if not self.toggles:
                return Outcome(message="No class is chosen: press the keys of its classes, or N for none of these.")
            return self._answer("classes", tuple(c for c in self._class_ids if c in self.toggles))
        if self.selection:
            return Outcome(message="Press the key of a class to answer the selected tiles.")
        if not self.suggestion:
            return Outcome(message="There is no suggestion to accept here: press the key of a class.")
        return self._answer("classes", (self.suggestion[0][0],))

    def skip(self) -> Outcome:
        """Not now: a later round may ask again."""
        return self._answer("skip")

    def unsure(self) -> Outcome:
        """It cannot be told; the tile is not asked again."""
        return self._answer("unsure")

    def none(self) -> Outcome:
        """None of the classes."""
        return self._answer("none")

    def undo(self) -> Outcome:
        """Take back this analyst's last answer, or last answers if they were given at once, and go there."""
        return self._turn(undo(self._project, self._annotator), "taken back", "There is nothing to undo.")

    def redo(self) -> Outcome:
        """Restore what was undone last, and go there."""
        return self._turn(redo(self._project, self._annotator), "restored", "There is nothing to redo.")

    # Moves

    def back(self) -> Outcome:
        """The tile that was shown before this one."""
        while self._visited:
            tile = self._find(self._visited.pop())
            if tile is not None and not tile.is_set_aside:
                self._enter(tile, remember=False)
                return Outcome()
        return Outcome(message="This is the first tile that you were shown.")

    def next_open(self) -> Outcome:
        """The next asked tile without an answer, from the first one again after the last."""
        tile = self._unanswered_tile()
        if tile is None:
            return Outcome(message="Every asked tile has an answer.")
        if tile == self.current:
            return Outcome(message="This is the last asked tile without an answer.")
        self._enter(tile)
        return Outcome()

    def go_to(self, tile_id: int) -> Outcome:
        """Any tile of the project, asked or not, unless it is set aside."""
        tile = self._find(tile_id)
        if tile is None:
            return Outcome(message="There is no such tile in the project.")
        if tile.is_set_aside:
            return Outcome(message="This tile is set aside: too few of its pixels have data.")
        if tile == self.current:
            return self.clear_selection()
        self._enter(tile)
        return Outcome()

    def select(self, tile_ids: Collection[int]) -> Outcome:
        """Let the next answer be for all these tiles at once; tiles that are set aside are left out."""
        self.clear_selection()
        if len(tile_ids) > MAX_SELECTED:
            return Outcome(message=f"One answer is for {MAX_SELECTED} tiles at most: draw a smaller rectangle.")
        found = [tile for tile in find_tiles(self._project, tile_ids) if not tile.is_set_aside]
        if not found:
            return Outcome(message="There is no tile to answer in this rectangle.")
        self._reread([tile.tile_id for tile in found])
        self.selection, self.replace_answers = tuple(found), False
        self.toggles, self._is_touched = frozenset(), True
        self._shown_at = self._clock()
        return Outcome()

    def clear_selection(self) -> Outcome:
        """Let the next answer be for the current tile again."""
        if self.selection:
            self.selection = ()
            self._reset_toggles()
        return Outcome()

    # How it is done

    @property
    def _has_target(self) -> bool:
        return self.current is not None or bool(self.selection)

    def _nothing_to_answer(self) -> Outcome:
        if self._has_target:
            return Outcome(message="There is no such class in the project.")
        return Outcome(message="Every asked tile has an answer. Click a tile on the map to answer or correct it.")

    def _answer(self, kind: str, class_ids: tuple[int, ...] = ()) -> Outcome:
        if self.selection:
            return self._answer_selection(kind, class_ids)
        if self.current is None:
            return self._nothing_to_answer()
        self._record([self.current.tile_id], kind, class_ids, self.current.round_id)
        changed = (self.current.tile_id,)
        self._enter(self._unanswered_tile())
        return Outcome(changed)

    def _answer_selection(self, kind: str, class_ids: tuple[int, ...]) -> Outcome:
        chosen = [t for t in self.selection if self.replace_answers or t.tile_id not in self._answers]
        if not chosen:
            return Outcome(message="All selected tiles have an answer already; tick Replace to change them.")
        kept = len(self.selection) - len(chosen)
        rounds = {tile.round_id for tile in chosen}
        changed = tuple(tile.tile_id for tile in chosen)
        self._record(changed, kind, class_ids, rounds.pop() if len(rounds) == 1 else None)
        self.clear_selection()
        if self.current in chosen:
            self._enter(self._unanswered_tile())
        rest = f"; {_tiles(kept)} kept the answer from before" if kept else ""
        return Outcome(changed, f"{_tiles(len(changed))} answered{rest}.")

    def _record(self, tile_ids: Sequence[int], kind: str, class_ids: tuple[int, ...], round_id: int | None) -> None:
        """Answers for tiles, on disk when this returns; the time since they were shown is shared out evenly."""
        seconds = max(0.0, self._clock() - self._shown_at) / len(tile_ids)
        answers = [Answer(tile_id, kind, class_ids, round(seconds, 3)) for tile_id in tile_ids]
        record_answers(self._project, answers, annotator=self._annotator, source=SOURCE, round_id=round_id)
        given = GivenAnswer(kind, class_ids, utc_now())
        self._answers.update(dict.fromkeys(tile_ids, given))

    def _turn(self, tile_ids: Sequence[int], done: str, otherwise: str) -> Outcome:
        """Go where answers were taken back or restored."""
        if not tile_ids:
            return Outcome(message=otherwise)
        self._reread(tile_ids)
        here = self.current is not None and self.current.tile_id in tile_ids
        tile = self.current if here else self._find(tile_ids[0])
        if tile is not None and not tile.is_set_aside:
            self._enter(tile)
        message = f"The answers of {len(tile_ids)} tiles were {done}." if len(tile_ids) > 1 else ""
        return Outcome(tuple(tile_ids), message)

    def _reread(self, tile_ids: Collection[int]) -> None:
        found = answers_of(self._project, tile_ids)
        for tile_id in tile_ids:
            self._answers.pop(tile_id, None)
        self._answers.update(found)

    def _enter(self, tile: AskedTile | None, *, remember: bool = True) -> None:
        """Show a tile, or rest."""
        if tile is not None and tile.tile_id not in self._places:
            self._reread([tile.tile_id])  # may fail, when nothing has changed yet
        if remember and self.current is not None and self.current != tile:
            self._visited.append(self.current.tile_id)
        self.current = tile
        self.selection = ()
        if tile is not None:
            self._position = self._places.get(tile.tile_id, self._position)
        self._reset_toggles()
        self._shown_at = self._clock()

    def _reset_toggles(self) -> None:
        """Multi-label: the classes of the answer; of the suggestion where there is no answer."""
        self._is_touched = False
        self.toggles = frozenset()
        if self.is_multi and self.answer is not None:
            self.toggles = frozenset(self.answer.class_ids)
        elif self.is_multi:
            self.toggles = frozenset(class_id for class_id, _ in self.suggestion or ())

    def _find(self, tile_id: int) -> AskedTile | None:
        place = self._places.get(tile_id)
        if place is not None:
            return self.tiles[place]
        return next(iter(find_tiles(self._project, [tile_id])), None)

    def _first_tile(self) -> AskedTile | None:
        """Where the analyst stopped if that is still open, else the next open tile after it, else the first tile.

        The place is written when labelling stops, so after a crash it is an old one, and its tile has an answer.
        """
        stored = self._project.setting(POSITION)
        place = self._places.get(int(stored)) if stored and stored.isdigit() else None
        if place is not None:
            self._position = place - 1
        return self._next_open_tile() or (self.tiles[0] if self.tiles else None)

    def _unanswered_tile(self) -> AskedTile | None:
        """The next open tile; one that somebody else answered meanwhile, perhaps in another QGIS, is passed over."""
        while (tile := self._next_open_tile()) is not None:
            with contextlib.suppress(QuadratError):  # what was read before holds
                self._reread([tile.tile_id])
            if self.is_open(tile):
                break
        return tile

    def _next_open_tile(self) -> AskedTile | None:
        start = self._position + 1
        return next((tile for tile in (*self.tiles[start:], *self.tiles[:start]) if self.is_open(tile)), None)


def _tiles(count: int) -> str:
    return "1 tile" if count == 1 else f"{count} tiles"
