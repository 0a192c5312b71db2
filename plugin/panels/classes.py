"""The class list of the open project: every change goes into the file at once, while labelling goes on.

Answers refer to a class by number, so names, colours, keys and the order may change at any time; a class that an
answer uses stays. What the project refuses is said below the table, and the cell goes back to what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qgis.PyQt.QtWidgets import QMenu, QPushButton, QWidget

from ...core.errors import QuadratError, UsageError
from ...core.project import class_editing
from ...core.project.classes import ClassDraft, LabelClass, match_class, read_class_list
from ..context import Context
from .base import Panel
from .class_lists import ask_for_class_file, preset_titles
from .class_table import ClassRow, ClassTable
from .widgets import Note, explained, icon_button, in_a_row

_CHANGES = {
    "name": class_editing.rename_class,
    "colour": class_editing.recolour_class,
    "key": class_editing.set_class_key,
}


class ClassesPanel(Panel):
    """Names, colours and keys of the classes."""

    title = "Classes"

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._classes: list[LabelClass] = []
        self.table = ClassTable(counts=True)
        self.table.setMinimumHeight(220)
        self.table.edited.connect(self._edit)
        self.table.itemSelectionChanged.connect(self._enable_buttons)
        self.problem = Note()
        self.add_button = icon_button("/symbologyAdd.svg", "Add a class", self.add)
        self.remove_button = icon_button("/symbologyRemove.svg", "Remove the selected class", self.remove)
        self.up_button = icon_button("/mActionArrowUp.svg", "Move the selected class up", partial(self.move, -1))
        self.down_button = icon_button("/mActionArrowDown.svg", "Move the selected class down", partial(self.move, 1))
        self.list_button = QPushButton("Add a list")
        self.list_button.setToolTip("Add the classes of a preset or a file that are not there yet")
        self.list_button.setMenu(self._list_menu())
        small = (self.add_button, self.remove_button, self.up_button, self.down_button)
        context.job.about_to_close.connect(self.table.drop_edit)
        self.form.addWidget(self.table, 1)
        self.form.addWidget(self.problem)
        self.form.addLayout(in_a_row(*small, self.list_button))

    def blocked(self) -> str:
        """Without a project there are no classes."""
        return "" if self.context.job.is_open else "Make or open a project first, in the panel Project."

    def next_step(self) -> str:
        """What can be done here, and which keys are not free."""
        return "Classes can be changed at any time, also while you label. S, U and N are taken: skip, unsure, none."

    def show_state(self) -> None:
        """Show the classes as the project has them now."""
        project = self.context.job.project
        self._classes = project.classes()
        labels = dict(
            project.read("SELECT class_id, count(*) FROM labels WHERE class_id IS NOT NULL GROUP BY class_id")
        )
        self.table.show_rows(
            [ClassRow(item.name, item.colour, item.key, labels.get(item.class_id, 0)) for item in self._classes]
        )
        self._enable_buttons()

    def unload(self) -> None:
        """Stop listening to the job."""
        self.context.job.about_to_close.disconnect(self.table.drop_edit)

    def add(self) -> None:
        """Append a class and let the analyst type its name."""
        names = {item.name for item in self._classes}
        candidates = ["New class", *(f"New class {number}" for number in range(2, len(names) + 3))]
        name = next(name for name in candidates if name not in names)
        if self._apply(lambda: class_editing.add_class(self.context.job.project, ClassDraft(name))):
            self.table.edit_name(self.table.rowCount() - 1)

    def remove(self) -> None:
        """Remove the selected class, unless answers use it."""
        row = self.table.selected_row()
        if row >= 0:
            class_id = self._classes[row].class_id
            self._apply(lambda: class_editing.remove_class(self.context.job.project, class_id))

    def move(self, step: int) -> None:
        """Exchange the selected class with the one above (-1) or below (1)."""
        row = self.table.selected_row()
        there = row + step
        if row < 0 or not 0 <= there < len(self._classes):
            return
        class_ids = [item.class_id for item in self._classes]
        class_ids[row], class_ids[there] = class_ids[there], class_ids[row]
        if self._apply(lambda: class_editing.reorder_classes(self.context.job.project, class_ids)):
            self.table.setCurrentCell(there, self.table.currentColumn())

    def add_list(self, source: str) -> None:
        """Append the classes of a preset or file that the project does not have yet."""
        added: list[str] = []

        def append() -> None:
            project = self.context.job.project
            for draft in read_class_list(source):
                classes = project.classes()
                if match_class(draft.name, classes) is None:
                    key_is_free = draft.key not in {item.key for item in classes}
                    class_editing.add_class(project, draft if key_is_free else ClassDraft(draft.name, draft.colour))
                    added.append(draft.name)

        if self._apply(append) and not added:
            self.problem.say("The project has all of these classes already.")

    def _ask_for_file(self) -> None:
        path = ask_for_class_file(self, self.context.job.project.path.parent)
        if path:
            self.add_list(path)

    def _edit(self, row: int, field: str, text: str) -> None:
        class_id = self._classes[row].class_id
        self._apply(lambda: _CHANGES[field](self.context.job.project, class_id, text))

    def _apply(self, change: Callable[[], object]) -> bool:
        """Change the project and tell the others, or say why not; either way show what is true now."""
        self.problem.say("")
        before = self._classes
        is_done = False
        try:
            change()
            is_done = True
        except UsageError as error:
            self.problem.say(explained(error))
        except QuadratError as error:
            self.context.messages.error(error)
        self._show_again()
        if self._classes != before:  # also where only a part of a list was added
            self.context.job.classes_changed.emit()
        return is_done

    def _show_again(self) -> None:
        try:
            self.show_state()
        except QuadratError as error:
            self.context.messages.error(error)

    def _enable_buttons(self) -> None:
        row = self.table.selected_row()
        self.remove_button.setEnabled(row >= 0)
        self.up_button.setEnabled(row > 0)
        self.down_button.setEnabled(0 <= row < self.table.rowCount() - 1)

    def _list_menu(self) -> QMenu:
        menu = QMenu(self)
        for title, name in preset_titles():
            menu.addAction(title).triggered.connect(lambda _checked=False, name=name: self.add_list(name))
        menu.addSeparator()
        menu.addAction("From a file…").triggered.connect(lambda _checked=False: self._ask_for_file())
        return menu
