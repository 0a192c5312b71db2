"""Answers of analysts: an append-only history, and what it currently says about each tile.

1. :func:`record_answers` appends one event for each answer; the answers of one call are a batch.
2. :func:`undo` and :func:`redo` append events too: they take the newest batch back, or restore it.
3. What a tile's answer is now follows from the history: its latest event in a batch that is not taken back. The table
   ``labels`` holds just that and is kept up to date in the same transaction.

So nothing is ever changed or deleted, a crash between two steps is impossible, and every answer can be traced.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import AnswerError, UsageError
from .database import utc_now

if TYPE_CHECKING:
    from .store import Project

KINDS = ("classes", "none", "skip", "unsure", "clear")


@dataclass(frozen=True)
class Answer:
    """What is said about one tile.

    ``kind``: ``classes`` (it has ``class_ids``), ``none`` (none of the classes), ``skip`` (not now), ``unsure``
    (cannot be told), ``clear`` (back to unanswered). ``seconds`` is the time the analyst took.
    """

    tile_id: int
    kind: str
    class_ids: tuple[int, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class CurrentAnswer:
    """A tile's answer as it stands; ``class_ids`` in the order of the class list."""

    kind: str
    class_ids: tuple[int, ...]
    annotator: str
    answered_at: str
    source: str


@dataclass(frozen=True)
class EventRecord:
    """One line of the history. Events ``undo`` and ``redo`` concern a whole ``batch`` and have no tile or kind."""

    event_id: int
    action: str
    batch: int
    tile_id: int | None
    kind: str | None
    class_ids: tuple[int, ...]
    annotator: str
    answered_at: str
    seconds: float | None
    round_id: int | None
    source: str


def record_answers(
    project: Project, answers: Sequence[Answer], *, annotator: str, source: str, round_id: int | None = None
) -> int:
    """Append answers to the history, all or none, in one transaction that is on disk when this returns.

    Args:
        project: open for writing.
        answers: at most one for each tile.
        annotator: who answers.
        source: where the answers come from, for example ``"map"`` or a file's name.
        round_id: the round that asked for them.

    Returns:
        The number of the batch, 0 if there are no answers.

    Raises:
        AnswerError: an answer is not acceptable; ``details`` has a line for each. None was recorded.
        UsageError: no annotator, or no such round.
    """
    if not annotator.strip():
        raise UsageError("Answers need an annotator.", hint="Say who answers.")
    if not answers:
        return 0
    with project.transaction() as connection:
        if round_id is not None and not project.read("SELECT 1 FROM rounds WHERE round_id = ?", (round_id,)):
            raise UsageError(f"The project has no round {round_id}.")
        _refuse_problems(answers, find_problems(project, answers))
        (batch,) = connection.execute("SELECT coalesce(max(batch), 0) + 1 FROM label_events").fetchone()
        now = utc_now()
        for answer in answers:
            class_ids = sorted({int(class_id) for class_id in answer.class_ids})
            cursor = connection.execute(
                "INSERT INTO label_events (action, batch, tile_id, answer, class_ids, annotator, answered_at, seconds,"
                " round_id, source) VALUES ('answer', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (batch, int(answer.tile_id), answer.kind, json.dumps(class_ids), annotator, now, answer.seconds,
                 round_id, source),
            )  # fmt: skip
            _set_label(connection, int(answer.tile_id), answer.kind, class_ids, cursor.lastrowid)
    return int(batch)


def find_problems(project: Project, answers: Sequence[Answer]) -> list[tuple[int, str]]:
    """``(index, problem)`` of every answer that :func:`record_answers` would refuse, by index."""
    class_ids = {label_class.class_id for label_class in project.classes()}
    roles = _roles_of(project, answers)
    first_index: dict[int, int] = {}
    problems: list[tuple[int, str]] = []
    for index, answer in enumerate(answers):
        tile_problem = _tile_problem(answer, roles, first_index.get(answer.tile_id))
        first_index.setdefault(answer.tile_id, index)
        found = (tile_problem, _kind_problem(answer, project.mode), _class_problem(answer, class_ids))
        problems.extend((index, problem) for problem in found if problem)
    return problems


def undo(project: Project, annotator: str | None = None) -> list[int]:
    """Take back the newest batch (of ``annotator``, if given) that is not taken back yet.

    Returns:
        The tiles of the batch; [] if there is nothing to take back.
    """
    with project.transaction() as connection:
        return _turn(connection, "undo", _newest_standing_batch(connection, annotator))


def redo(project: Project, annotator: str | None = None) -> list[int]:
    """Restore the batch taken back last (of ``annotator``, if given), unless there was a new answer since.

    Returns:
        The tiles of the batch; [] if there is nothing to restore.
    """
    with project.transaction() as connection:
        return _turn(connection, "redo", _last_undone_batch(connection, annotator))


def can_undo(project: Project, annotator: str | None = None) -> bool:
    """Whether :func:`undo` would take something back."""
    return bool(project.read(_NEWEST_STANDING, (annotator, annotator)))


def can_redo(project: Project, annotator: str | None = None) -> bool:
    """Whether :func:`redo` would restore something."""
    return bool(_undone_stack(project.read(_TURNS_SINCE_LAST_ANSWER, (annotator,) * 4)))


def current_answers(project: Project) -> dict[int, CurrentAnswer]:
    """The answers as they stand, by ``tile_id``; tiles that were never answered or were cleared are absent."""
    rows = project.read(
        "SELECT l.tile_id, l.answer, l.class_id, e.annotator, e.answered_at, e.source"
        " FROM labels l JOIN label_events e ON e.event_id = l.event_id"
        " LEFT JOIN classes c ON c.class_id = l.class_id ORDER BY l.tile_id, c.position"
    )
    answers: dict[int, CurrentAnswer] = {}
    for tile_id, kind, class_id, annotator, answered_at, source in rows:
        before = answers[tile_id].class_ids if tile_id in answers else ()
        class_ids = before if class_id is None else (*before, class_id)
        answers[tile_id] = CurrentAnswer(kind, class_ids, annotator, answered_at, source)
    return answers


def history(project: Project, tile_id: int | None = None) -> list[EventRecord]:
    """All events in order, or those that concern one tile, including what took its batches back or restored them."""
    rows = project.read(
        "SELECT event_id, action, batch, tile_id, answer, class_ids, annotator, answered_at, seconds, round_id, source"
        " FROM label_events WHERE ? IS NULL OR tile_id = ?"
        " OR (tile_id IS NULL AND batch IN (SELECT batch FROM label_events WHERE tile_id = ?)) ORDER BY event_id",
        (tile_id, tile_id, tile_id),
    )
    return [
        EventRecord(event_id, action, batch, tile, kind, tuple(json.loads(class_ids or "[]")), *rest)
        for event_id, action, batch, tile, kind, class_ids, *rest in rows
    ]


# The last event of a batch tells whether it stands: `undo` took it back, `answer` or `redo` let it stand.
_STANDS = "(SELECT s.action FROM label_events s WHERE s.batch = e.batch ORDER BY s.event_id DESC LIMIT 1) <> 'undo'"

_NEWEST_STANDING = (
    "SELECT e.batch, e.annotator FROM label_events e WHERE e.action = 'answer' AND (? IS NULL OR e.annotator = ?)"  # noqa: S608
    f" AND {_STANDS} ORDER BY e.batch DESC LIMIT 1"
)

_TURNS_SINCE_LAST_ANSWER = (
    "SELECT action, batch, annotator FROM label_events WHERE action <> 'answer' AND (? IS NULL OR annotator = ?)"
    " AND event_id > (SELECT event_id FROM label_events WHERE action = 'answer' AND (? IS NULL OR annotator = ?)"
    " ORDER BY event_id DESC LIMIT 1) ORDER BY event_id"
)

_EFFECTIVE_EVENT = (
    "SELECT e.answer, e.class_ids, e.event_id FROM label_events e"  # noqa: S608
    f" WHERE e.tile_id = ? AND {_STANDS} ORDER BY e.event_id DESC LIMIT 1"
)


def _newest_standing_batch(connection: sqlite3.Connection, annotator: str | None) -> tuple[int, str] | None:
    row = connection.execute(_NEWEST_STANDING, (annotator, annotator)).fetchone()
    return (int(row[0]), str(row[1])) if row else None


def _last_undone_batch(connection: sqlite3.Connection, annotator: str | None) -> tuple[int, str] | None:
    stack = _undone_stack(connection.execute(_TURNS_SINCE_LAST_ANSWER, (annotator,) * 4))
    return stack[-1] if stack else None


def _undone_stack(turns: Iterable[tuple[str, int, str]]) -> list[tuple[int, str]]:
    """``(batch, annotator)`` of the batches that can be restored, the next one last."""
    stack: list[tuple[int, str]] = []
    for action, batch, annotator in turns:
        if action == "undo":
            stack.append((batch, annotator))
        elif (batch, annotator) in stack:  # else it was taken back before that last answer, by someone else's count
            stack.remove((batch, annotator))
    return stack


def _turn(connection: sqlite3.Connection, action: str, target: tuple[int, str] | None) -> list[int]:
    """Append an ``undo`` or ``redo`` event and bring the labels of the batch's tiles up to date."""
    if target is None:
        return []
    batch, annotator = target
    # The event carries the annotator whose answers it concerns, so that each annotator has a stack of their own.
    connection.execute(
        "INSERT INTO label_events (action, batch, annotator, answered_at, source) VALUES (?, ?, ?, ?, ?)",
        (action, batch, annotator, utc_now(), action),
    )
    rows = connection.execute("SELECT tile_id FROM label_events WHERE batch = ? AND action = 'answer'", (batch,))
    tile_ids = [tile_id for (tile_id,) in rows]
    for tile_id in tile_ids:
        event = connection.execute(_EFFECTIVE_EVENT, (tile_id,)).fetchone()
        if event is None:
            _set_label(connection, tile_id, "clear", (), None)
        else:
            _set_label(connection, tile_id, event[0], json.loads(event[1]), event[2])
    return tile_ids


def _set_label(
    connection: sqlite3.Connection, tile_id: int, kind: str, class_ids: Sequence[int], event_id: int | None
) -> None:
    """Make the rows of ``labels`` say what the event said."""
    connection.execute("DELETE FROM labels WHERE tile_id = ?", (tile_id,))
    if kind != "clear":
        connection.executemany(
            "INSERT INTO labels (tile_id, class_id, answer, n_classes, event_id) VALUES (?, ?, ?, ?, ?)",
            [(tile_id, class_id, kind, len(class_ids), event_id) for class_id in class_ids or (None,)],
        )


def _roles_of(project: Project, answers: Sequence[Answer]) -> dict[int, str]:
    """Role of every tile that is answered and exists."""
    if not project.has_tiles():
        return {}
    sql = "SELECT role FROM tiles JOIN rasters USING (raster_id) WHERE tile_id = ?"
    roles = {}
    for answer in answers:
        for (role,) in project.read(sql, (int(answer.tile_id),)):
            roles[answer.tile_id] = role
    return roles


def _tile_problem(answer: Answer, roles: dict[int, str], first_index: int | None) -> str | None:
    role = roles.get(answer.tile_id)
    if role is None:
        return "there is no such tile"
    if first_index is not None:
        return f"the tile is answered twice (first by answer {first_index + 1})"
    if role == "excluded" and answer.kind != "clear":
        return "the tile is set aside (too few of its pixels have data)"
    return None


def _kind_problem(answer: Answer, mode: str) -> str | None:
    if answer.kind not in KINDS:
        return f"there is no answer called {answer.kind!r}; there are {', '.join(KINDS)}"
    if answer.seconds is not None and not (math.isfinite(answer.seconds) and answer.seconds >= 0):
        return f"an answer cannot take {answer.seconds} seconds"
    n_classes = len(set(answer.class_ids))
    if answer.kind != "classes" and n_classes:
        return f"the answer {answer.kind!r} cannot have classes"
    if answer.kind == "classes" and not n_classes:
        return "no class is given"
    if mode == "single" and n_classes > 1:
        return f"{n_classes} classes are given, but this project allows one for each tile"
    return None


def _class_problem(answer: Answer, known: set[int]) -> str | None:
    unknown = sorted(set(answer.class_ids) - known)
    return f"there is no class with the number {', '.join(map(str, unknown))}" if unknown else None


def _refuse_problems(answers: Sequence[Answer], problems: Sequence[tuple[int, str]]) -> None:
    if problems:
        n_bad = len({index for index, _ in problems})
        raise AnswerError(
            f"{n_bad} of {len(answers)} answers cannot be recorded, so none was.",
            hint="Correct or leave out the answers named below.",
            details="\n".join(f"answer {i + 1} (tile {answers[i].tile_id}): {problem}" for i, problem in problems),
        )
