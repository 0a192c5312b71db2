"""Changing the class list of a project that is in use.

Each function is one transaction and checks the whole list as it would become, with the rules of
:func:`~.classes.check_class_list`. Answers refer to ``class_id``, so a class may be renamed, recoloured and moved at
any time; it may be removed only if no answer in the history ever named it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from .classes import ClassDraft, LabelClass, check_class_list

if TYPE_CHECKING:
    from .store import Project


def add_class(project: Project, draft: ClassDraft) -> LabelClass:
    """Append a class to the list; a missing colour or key is filled in.

    Raises:
        UsageError: the list would not be acceptable.
    """
    with project.transaction() as connection:
        classes = project.classes()
        added = check_class_list([*map(_draft_of, classes), draft])[-1]
        position = len(classes)
        cursor = connection.execute(
            'INSERT INTO classes (name, colour, "key", position) VALUES (?, ?, ?, ?)',
            (added.name, added.colour, added.key, position),
        )
        return LabelClass(int(cursor.lastrowid or 0), added.name, added.colour, added.key, position)


def rename_class(project: Project, class_id: int, name: str) -> LabelClass:
    """Give a class another name; its answers keep it. Raises UsageError as :func:`add_class`."""
    return _change(project, class_id, name=name)


def recolour_class(project: Project, class_id: int, colour: str) -> LabelClass:
    """Give a class another colour ``#RRGGBB``. Raises UsageError as :func:`add_class`."""
    return _change(project, class_id, colour=colour)


def set_class_key(project: Project, class_id: int, key: str) -> LabelClass:
    """Give a class another key to press; empty for the next free one. Raises UsageError as :func:`add_class`."""
    return _change(project, class_id, key=key)


def remove_class(project: Project, class_id: int) -> None:
    """Take a class out of the list.

    Raises:
        UsageError: there is no such class, it is the last one, or answers use it (the sentence says how many).
    """
    with project.transaction() as connection:
        classes = project.classes()
        removed = _class_with(classes, class_id)
        n_answers = _count_answers_with(connection, class_id)
        if n_answers:
            answers = "1 answer uses" if n_answers == 1 else f"{n_answers} answers use"
            raise UsageError(
                f"The class {removed.name!r} cannot be removed, because {answers} it.",
                hint="Rename it instead. Answers that were taken back count too, because they can be restored.",
            )
        if len(classes) == 1:
            raise UsageError("The last class cannot be removed.", hint="Add another class first.")
        connection.execute("DELETE FROM classes WHERE class_id = ?", (class_id,))
        _place(connection, [label_class.class_id for label_class in classes if label_class is not removed])


def reorder_classes(project: Project, class_ids: Sequence[int]) -> None:
    """Put the classes into the order of ``class_ids``.

    Raises:
        UsageError: ``class_ids`` does not name each class once.
    """
    with project.transaction() as connection:
        if sorted(class_ids) != sorted(label_class.class_id for label_class in project.classes()):
            raise UsageError("The new order of the classes does not name each class once.")
        _place(connection, class_ids)


def _change(project: Project, class_id: int, **changes: str) -> LabelClass:
    with project.transaction() as connection:
        classes = project.classes()
        changed = _class_with(classes, class_id)
        index = classes.index(changed)
        drafts = [_draft_of(label_class) for label_class in classes]
        drafts[index] = ClassDraft(**{**vars(drafts[index]), **changes})
        draft = check_class_list(drafts)[index]
        connection.execute(
            'UPDATE classes SET name = ?, colour = ?, "key" = ? WHERE class_id = ?',
            (draft.name, draft.colour, draft.key, class_id),
        )
        return LabelClass(class_id, draft.name, draft.colour, draft.key, changed.position)


def _draft_of(label_class: LabelClass) -> ClassDraft:
    return ClassDraft(label_class.name, label_class.colour, label_class.key)


def _class_with(classes: Sequence[LabelClass], class_id: int) -> LabelClass:
    for label_class in classes:
        if label_class.class_id == class_id:
            return label_class
    raise UsageError(f"The project has no class with the number {class_id}.")


def _count_answers_with(connection: sqlite3.Connection, class_id: int) -> int:
    rows = connection.execute("SELECT class_ids FROM label_events WHERE answer = 'classes'")
    return sum(class_id in json.loads(text) for (text,) in rows)


def _place(connection: sqlite3.Connection, class_ids: Sequence[int]) -> None:
    connection.executemany(
        "UPDATE classes SET position = ? WHERE class_id = ?",
        [(position, class_id) for position, class_id in enumerate(class_ids)],
    )
