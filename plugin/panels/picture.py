"""A picture that fills the width it is given, sharp on every screen."""

from __future__ import annotations

from typing import Any

from qgis.PyQt.QtCore import QPoint, QSize, Qt
from qgis.PyQt.QtGui import QPainter, QPixmap
from qgis.PyQt.QtWidgets import QSizePolicy, QWidget


class Picture(QWidget):
    """Keeps the picture's proportions and never shows it larger than it is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pixmap = QPixmap()
        self._scaled = QPixmap()
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def show_file(self, path: str) -> bool:
        """Show a picture file; False if it cannot be read."""
        self.pixmap = QPixmap(path)
        self._scaled = QPixmap()
        self.updateGeometry()
        self.update()
        return not self.pixmap.isNull()

    def hasHeightForWidth(self) -> bool:  # noqa: N802 - Qt's name
        """The height follows from the width."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        """The height that keeps the proportions."""
        return self._fitted(width).height()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as a narrow dock."""
        return self._fitted(320)

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the picture, scaled once for this size and this screen."""
        if self.pixmap.isNull():
            return
        ratio = self.devicePixelRatioF()
        size = self._fitted(self.width())
        if self._scaled.size() != size * ratio:
            aspect, smooth = Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
            self._scaled = self.pixmap.scaled(size * ratio, aspect, smooth)
            self._scaled.setDevicePixelRatio(ratio)
        painter = QPainter(self)
        painter.drawPixmap(QPoint((self.width() - size.width()) // 2, 0), self._scaled)
        painter.end()

    def _fitted(self, width: int) -> QSize:
        if self.pixmap.isNull():
            return QSize(width, 0)
        largest = round(self.pixmap.width() / self.devicePixelRatioF())
        shown = min(width, largest)
        return QSize(shown, round(shown * self.pixmap.height() / self.pixmap.width()))
