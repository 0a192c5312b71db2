"""The keys of labelling, wherever in QGIS's main window the keyboard happens to be.

While labelling is on, an event filter sees every key first. It takes those that mean something here, and accepts Qt's
question whether a shortcut should be overridden (``ShortcutOverride``), so that QGIS's own shortcuts on the same keys
stay silent. It leaves all keys alone while a text is typed, a dialog or menu is open, or another window has the focus.

The filter sits on the widget that has the focus, and on the main window, which gets the keys where none has. It does
not sit on the application: PyQt would then wrap the receiver of every event there is, also of objects that are just
being destroyed, and that crashed QGIS 3.22.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from qgis.PyQt import sip
from qgis.PyQt.QtCore import QEvent, QObject, Qt, pyqtSignal, pyqtSlot
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QGraphicsView,
    QKeySequenceEdit,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)


class Command(Enum):
    """What a key can mean besides a class."""

    ACCEPT = "accept"
    SKIP = "skip"
    UNSURE = "unsure"
    NONE = "none"
    BACK = "back"
    NEXT = "next"
    UNDO = "undo"
    REDO = "redo"
    LEAVE = "leave"


_KEYS = {
    Qt.Key.Key_Return: Command.ACCEPT,
    Qt.Key.Key_Enter: Command.ACCEPT,
    Qt.Key.Key_Space: Command.ACCEPT,
    Qt.Key.Key_S: Command.SKIP,
    Qt.Key.Key_U: Command.UNSURE,
    Qt.Key.Key_N: Command.NONE,
    Qt.Key.Key_Backspace: Command.BACK,
    Qt.Key.Key_Left: Command.BACK,
    Qt.Key.Key_Escape: Command.LEAVE,
}
_KEYS_WITH_CONTROL = {
    Qt.Key.Key_Z: Command.UNDO,
    Qt.Key.Key_Y: Command.REDO,
    Qt.Key.Key_Right: Command.NEXT,
}
# Holding one of these down goes on; holding any other key down must not answer ten tiles.
_REPEATABLE = (Command.BACK, Command.NEXT)

_TEXT_FIELDS = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox, QKeySequenceEdit)
_KEY_EVENTS = (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride)
_LAST_CHARACTER = 0x10FFFF  # Qt numbers the keys without a character from above Unicode's range


class Keys(QObject):
    """Turns key presses into ``commanded(Command)`` and ``class_chosen(class_id)`` between start and stop."""

    commanded = pyqtSignal(object)
    class_chosen = pyqtSignal(int)

    def __init__(self, main_window: QWidget, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._main_window = main_window
        self._class_of_key: dict[str, int] = {}
        self._watched: QWidget | None = None

    def set_classes(self, class_of_key: Mapping[str, int]) -> None:
        """Say which character stands for which class."""
        self._class_of_key = {key.casefold(): class_id for key, class_id in class_of_key.items() if key}

    def start(self) -> None:
        """See every key from now on."""
        self._main_window.installEventFilter(self)
        QApplication.instance().focusChanged.connect(self._follow_focus)
        self._follow_focus()

    def stop(self) -> None:
        """See none any more."""
        QApplication.instance().focusChanged.disconnect(self._follow_focus)
        self._watch(None)
        self._main_window.removeEventFilter(self)

    # A slot without arguments, so that PyQt does not wrap the widget that loses the focus: it may be half destroyed.
    @pyqtSlot()
    def _follow_focus(self) -> None:
        self._watch(QApplication.focusWidget())

    def _watch(self, widget: QWidget | None) -> None:
        if self._watched is not None and not sip.isdeleted(self._watched):
            self._watched.removeEventFilter(self)
        self._watched = None if widget is self._main_window else widget
        if self._watched is not None:
            self._watched.installEventFilter(self)

    def eventFilter(self, receiver: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Qt asks whether the event is dealt with."""
        if event.type() not in _KEY_EVENTS:
            return False
        focused = QApplication.focusWidget()  # an empty list is false, so `or` would not do
        if not self._may_take(receiver if focused is None else focused):
            return False
        meaning = self._meaning(event)
        if meaning is None:
            return False
        if event.type() == QEvent.Type.KeyPress and (meaning in _REPEATABLE or not event.isAutoRepeat()):
            signal = self.commanded if isinstance(meaning, Command) else self.class_chosen
            signal.emit(meaning)
        event.accept()
        return True

    def _may_take(self, widget: Any) -> bool:
        """Whether keys of this widget are ours."""
        if QApplication.activeModalWidget() is not None or QApplication.activePopupWidget() is not None:
            return False
        window = widget.window()
        is_floating_dock = isinstance(window, QDockWidget) and window.parent() is self._main_window
        return (window is self._main_window or is_floating_dock) and not takes_text(widget)

    def _meaning(self, event: Any) -> Command | int | None:
        """The command or class of a key, with Shift, caps lock and the keypad taken as nothing special."""
        modifiers, key = event.modifiers(), event.key()
        if modifiers & (Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier):
            return None
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            command = _KEYS_WITH_CONTROL.get(key)
            is_redo = command is Command.UNDO and bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
            return Command.REDO if is_redo else command
        if key in _KEYS:
            return _KEYS[key]
        typed = self._class_of_key.get(event.text().casefold())
        if typed is None and key <= _LAST_CHARACTER:
            typed = self._class_of_key.get(chr(key).casefold())
        return typed


def takes_text(widget: QWidget) -> bool:
    """Whether keys write into this widget: a field, an editable list, a console, or an editor open in a table."""
    if isinstance(widget, _TEXT_FIELDS) or (isinstance(widget, QComboBox) and widget.isEditable()):
        return True
    if isinstance(widget, (QGraphicsView, QAbstractItemView)):  # they say they take text, but only their editors do
        return False
    if widget.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled):
        return True
    parent = widget.parentWidget()
    return parent is not None and isinstance(parent.parentWidget(), QAbstractItemView)
