"""A table to read and to copy from."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon, QKeySequence
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QAction,
    QApplication,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

_MOST_ROWS_IN_SIGHT = 12
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ReadTable(QTableWidget):
    """Rows of text and numbers, as high as its rows up to a dozen; Ctrl+C copies the selected cells.

    Args:
        headers: of the columns.
        stretched: the column that takes the room that is left; its text may be long and is then shortened.
        parent: as in Qt.
    """

    def __init__(self, headers: Sequence[str], stretched: int, parent: QWidget | None = None) -> None:
        super().__init__(0, len(headers), parent)
        self.setHorizontalHeaderLabels(list(headers))
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.copy_action = QAction("Copy", self)
        self.copy_action.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        self.copy_action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self.copy_action.triggered.connect(self.copy)
        self.addAction(self.copy_action)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def show_rows(self, rows: Sequence[Sequence[str]], icons: Sequence[QIcon] = ()) -> None:
        """Show these rows; ``icons`` go into the first column. Columns that hold numbers are set to the right."""
        self.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if text[:1].isdigit():
                    item.setTextAlignment(_RIGHT)
                self.setItem(row, column, item)
            if icons:
                self.item(row, 0).setIcon(icons[row])
        self._fit_height()

    def text(self) -> str:
        """The selected cells, or all with their headers, as lines of tab-separated texts."""
        chosen = self.selectedRanges()
        if chosen:
            block = chosen[0]
            rows = range(block.topRow(), block.bottomRow() + 1)
            columns = range(block.leftColumn(), block.rightColumn() + 1)
            return "\n".join(self._line(row, columns) for row in rows)
        columns = range(self.columnCount())
        headers = "\t".join(self.horizontalHeaderItem(column).text() for column in columns)
        return "\n".join([headers, *(self._line(row, columns) for row in range(self.rowCount()))])

    def copy(self) -> None:
        """Put :meth:`text` on the clipboard."""
        QApplication.clipboard().setText(self.text())

    def _line(self, row: int, columns: Sequence[int]) -> str:
        return "\t".join(self.item(row, column).text() for column in columns)

    def _fit_height(self) -> None:
        in_sight = min(self.rowCount(), _MOST_ROWS_IN_SIGHT)
        rows = sum(self.rowHeight(row) for row in range(in_sight))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth() + 2)
