"""The classes as a list of buttons: colour, name and the key to press; pressed down where a class is chosen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from qgis.PyQt.QtCore import QRect, QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QPainter, QPalette, QPixmap
from qgis.PyQt.QtWidgets import QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from ...core.project.classes import LabelClass

SWATCH_PX = 14
_MARGIN_PX = 5
_HOVER_ALPHA = 50
_DISABLED_OPACITY = 0.4
# Without scrolling so many are seen at least; more where there is room.
_ROWS_SEEN = 6


class ClassList(QScrollArea):
    """One button a class; ``chosen(class_id)`` when it is clicked."""

    chosen = pyqtSignal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._classes: list[LabelClass] = []
        self.buttons: dict[int, ClassButton] = {}

    def show_classes(self, classes: Sequence[LabelClass]) -> None:
        """Make the buttons, unless they are the same."""
        if list(classes) == self._classes:
            return
        self._classes = list(classes)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.buttons = {}
        for label_class in classes:
            button = ClassButton(label_class)
            button.clicked.connect(lambda _checked=False, number=label_class.class_id: self.chosen.emit(number))
            self.buttons[label_class.class_id] = button
            layout.addWidget(button)
        layout.addStretch(1)
        self.setWidget(content)
        heights = [button.sizeHint().height() for button in self.buttons.values()]
        frame = 2 * self.frameWidth()
        self.setMinimumHeight(sum(heights[:_ROWS_SEEN]) + frame)
        self.setMaximumHeight(sum(heights) + frame)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As little as will do, so that a dock need not scroll because the list could fill it."""
        return QSize(200, self.minimumHeight())

    def mark(self, class_ids: Collection[int]) -> None:
        """Press these buttons down, and no others; the first of them is brought into sight."""
        for class_id, button in self.buttons.items():
            button.setChecked(class_id in class_ids)
        first = next((self.buttons[class_id] for class_id in class_ids if class_id in self.buttons), None)
        if first is not None:
            self.ensureWidgetVisible(first, 0, 0)


class ClassButton(QPushButton):
    """A line with a swatch, the name (shortened where it does not fit) and the key in a cap.

    A push button, because QGIS's themes give colours to those and not to every kind of button.
    """

    def __init__(self, label_class: LabelClass, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText(label_class.name)
        self.setToolTip(f"{label_class.name}: key {label_class.key.upper()}" if label_class.key else label_class.name)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCheckable(True)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._swatch = swatch(label_class.colour)
        self._key = label_class.key.upper()

    def nextCheckState(self) -> None:  # noqa: N802 - Qt's name
        """Whether it is pressed down follows from the answer, not from the click."""

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """One line of text with some air."""
        return QSize(200, max(self.fontMetrics().height(), SWATCH_PX) + 2 * _MARGIN_PX)

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the line in the colours of the theme."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, area, role = self.palette(), self.rect(), QPalette.ColorRole
        painter.setOpacity(1.0 if self.isEnabled() else _DISABLED_OPACITY)
        marked = palette.color(role.Highlight)
        if self.isChecked():
            painter.fillRect(area, marked)
        elif self.underMouse() and self.isEnabled():
            marked.setAlpha(_HOVER_ALPHA)
            painter.fillRect(area, marked)
        text_colour = palette.color(role.HighlightedText if self.isChecked() else role.ButtonText)
        left = _MARGIN_PX + SWATCH_PX
        painter.drawPixmap(_MARGIN_PX, (area.height() - SWATCH_PX) // 2, self._swatch)
        right = self._draw_key(painter, text_colour)
        name = QRect(left + _MARGIN_PX, 0, right - left - 2 * _MARGIN_PX, area.height())
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, name.width())
        painter.setPen(text_colour)
        painter.drawText(name, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)

    def _draw_key(self, painter: QPainter, colour: QColor) -> int:
        """A key cap at the right; where it begins."""
        height = self.fontMetrics().height() + 4
        width = max(height, self.fontMetrics().horizontalAdvance(self._key) + 10)
        cap = QRect(self.width() - _MARGIN_PX - width, (self.height() - height) // 2, width, height)
        if self._key:
            rim = QColor(colour)
            rim.setAlpha(120)
            painter.setPen(rim)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(cap, 3, 3)
            painter.setPen(colour)
            painter.drawText(cap, Qt.AlignmentFlag.AlignCenter, self._key)
        return cap.left()


def swatch(colour: str) -> QPixmap:
    """A small square of a class's colour, with a rim that is seen on every background."""
    pixmap = QPixmap(SWATCH_PX, SWATCH_PX)
    pixmap.fill(QColor(colour))
    painter = QPainter(pixmap)
    painter.setPen(QColor(128, 128, 128))
    painter.drawRect(0, 0, SWATCH_PX - 1, SWATCH_PX - 1)
    painter.end()
    return pixmap
