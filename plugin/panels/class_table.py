"""The table in which a class list is shown and edited in place: colour, name, key, and perhaps a number of labels.

It only shows and asks: what becomes of an edit is decided by whoever listens to :attr:`ClassTable.edited`, who then
calls :meth:`ClassTable.show_rows` with what is true now. Cells are updated in place, so that an editor that is open in
another cell, or on its way to the next one, stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qgis.gui import QgsColorDialog
from qgis.PyQt.QtCore import QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QIcon, QPainter, QPixmap
from qgis.PyQt.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from ...core.project.classes import ClassDraft

COLOUR, NAME, KEY, LABELS = range(4)
FIELDS = {COLOUR: "colour", NAME: "name", KEY: "key"}
_SWATCH_PX = 16


@dataclass(frozen=True)
class ClassRow:
    """One line of the table; ``labels`` is shown only where the table counts."""

    name: str
    colour: str
    key: str
    labels: int = 0


class ClassTable(QTableWidget):
    """Classes, one a row.

    Signals: ``edited(row, field, text)`` when the analyst gave a cell another value; ``field`` is ``"name"``,
    ``"colour"`` or ``"key"``.
    """

    edited = pyqtSignal(int, str, str)

    def __init__(self, *, counts: bool, parent: QWidget | None = None) -> None:
        headers = ["", "Class", "Key", "Labels"]
        super().__init__(0, 4 if counts else 3, parent)
        self.setHorizontalHeaderLabels(headers[: self.columnCount()])
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(28)
        self.setIconSize(QSize(_SWATCH_PX, _SWATCH_PX))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        trigger = QAbstractItemView.EditTrigger
        self.setEditTriggers(trigger.DoubleClicked | trigger.SelectedClicked | trigger.EditKeyPressed)
        self.setToolTip("Double-click a name or a key to change it; click a colour to choose another.")
        self._key_delegate = _KeyDelegate(self)
        self.setItemDelegateForColumn(KEY, self._key_delegate)
        self.cellClicked.connect(self._clicked)
        self.itemChanged.connect(self._changed)

    def show_rows(self, rows: Sequence[ClassRow]) -> None:
        """Show these classes; only cells that differ are touched."""
        self.blockSignals(True)
        try:
            self.setRowCount(len(rows))
            for index, row in enumerate(rows):
                self._show_row(index, row)
        finally:
            self.blockSignals(False)

    def rows(self) -> list[ClassRow]:
        """What the table shows, without the numbers of labels."""
        return [
            ClassRow(self.item(row, NAME).text(), self._colour(row), self.item(row, KEY).text())
            for row in range(self.rowCount())
        ]

    def drafts(self) -> list[ClassDraft]:
        """What the table shows, as a class list."""
        return [ClassDraft(row.name, row.colour, row.key) for row in self.rows()]

    def selected_row(self) -> int:
        """The selected row, -1 if there is none."""
        return self.currentRow() if self.selectionModel().hasSelection() else -1

    def edit_name(self, row: int) -> None:
        """Select a row and open the editor of its name."""
        self.setCurrentCell(row, NAME)
        self.setFocus()
        self.editItem(self.item(row, NAME))

    def drop_edit(self) -> None:
        """Close an open editor without its text, which is meant for what the table shows now."""
        for editor in self.viewport().findChildren(QLineEdit):
            if editor.isVisible():  # one that was closed before may not be deleted yet
                self.closeEditor(editor, QAbstractItemDelegate.EndEditHint.RevertModelCache)

    def choose_colour(self, row: int) -> None:
        """Ask for another colour."""
        before = QColor(self._colour(row))
        colour = QgsColorDialog.getColor(before, self, f"Colour of {self.item(row, NAME).text()}")
        if colour.isValid() and colour != before:
            self.edited.emit(row, FIELDS[COLOUR], colour.name().upper())

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Space and Enter in a colour's cell ask for another colour."""
        opens = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2)
        if self.currentColumn() == COLOUR and event.key() in opens:
            self.choose_colour(self.currentRow())
        else:
            super().keyPressEvent(event)

    def _clicked(self, row: int, column: int) -> None:
        if column == COLOUR:
            self.choose_colour(row)

    def _changed(self, item: QTableWidgetItem) -> None:
        if item.column() in (NAME, KEY):
            self.edited.emit(item.row(), FIELDS[item.column()], item.text())

    def _colour(self, row: int) -> str:
        return str(self.item(row, COLOUR).data(Qt.ItemDataRole.UserRole))

    def _show_row(self, index: int, row: ClassRow) -> None:
        if self.item(index, NAME) is None:
            self._add_items(index)
        self.item(index, NAME).setText(row.name)
        self.item(index, NAME).setToolTip(row.name)
        self.item(index, KEY).setText(row.key)
        colour = self.item(index, COLOUR)
        if colour.data(Qt.ItemDataRole.UserRole) != row.colour:
            colour.setData(Qt.ItemDataRole.UserRole, row.colour)
            colour.setIcon(swatch(row.colour))
            colour.setToolTip(f"{row.colour}: click to choose another colour")
        if self.columnCount() > LABELS:
            self.item(index, LABELS).setText(f"{row.labels:,}")

    def _add_items(self, index: int) -> None:
        can_edit = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEditable
        for column in range(self.columnCount()):
            item = QTableWidgetItem()
            if column in (COLOUR, LABELS):
                item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            else:
                item.setFlags(can_edit)
            if column == KEY:
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            if column == LABELS:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(index, column, item)


class _KeyDelegate(QStyledItemDelegate):
    """An editor that takes a single character."""

    def createEditor(self, parent: Any, option: Any, index: Any) -> Any:  # noqa: N802 - Qt's name
        editor = super().createEditor(parent, option, index)
        if isinstance(editor, QLineEdit):
            editor.setMaxLength(1)
        return editor


def swatch(colour: str) -> QIcon:
    """A square of a colour with a thin edge, the same whether its row is selected or not."""
    pixmap = QPixmap(_SWATCH_PX, _SWATCH_PX)
    pixmap.fill(QColor(colour))
    painter = QPainter(pixmap)
    painter.setPen(QColor(colour).darker(160))
    painter.drawRect(0, 0, _SWATCH_PX - 1, _SWATCH_PX - 1)
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
