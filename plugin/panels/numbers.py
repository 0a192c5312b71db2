"""Fields for numbers that the mouse wheel leaves alone, and that have a button for their default."""

from __future__ import annotations

from typing import Any

from qgis.gui import QgsDoubleSpinBox, QgsSpinBox
from qgis.PyQt.QtCore import Qt

_LARGEST = 2**31 - 1


class WholeNumber(QgsSpinBox):
    """An integer between two limits."""

    def __init__(self, default: int, least: int = -_LARGEST, most: int = _LARGEST) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)  # a number is one change, not one a digit
        self.setRange(least, most)
        self.setClearValue(default)
        self.setValue(default)

    def wheelEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Leave the wheel to the panel, which scrolls."""
        event.ignore()


class RealNumber(QgsDoubleSpinBox):
    """Any number, with up to four decimals."""

    def __init__(self, default: float) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)
        self.setDecimals(4)
        self.setSingleStep(0.05)
        self.setRange(-1e9, 1e9)
        self.setClearValue(default)
        self.setValue(default)

    def wheelEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Leave the wheel to the panel, which scrolls."""
        event.ignore()

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Without zeros at the end."""
        return str(self.locale().toString(value, "g", 8))
