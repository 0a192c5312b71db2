"""Drives the desktop as hands would, one step after another, between the events of QGIS's own event loop.

A script is a generator, ``steps(options)``. It acts through :class:`Hands`, whose actions happen a moment later in the
event loop, and yields what it waits for: :class:`Until`. So a dialog that a click opens does not hold up the script,
and nothing of QGIS is slowed by being driven. What the script returns becomes the answer; an exception anywhere in
QGIS's Python makes the run fail.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path

from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from qgis.PyQt.QtGui import QKeyEvent
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication
from qgis.utils import iface

STEP_MS = 20
LEFT, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


class Until:
    """What a script waits for: ``condition()`` to be true, for at most ``seconds``."""

    def __init__(self, condition, what, seconds=120.0):
        self.condition, self.what, self.seconds = condition, what, seconds


class Pause(Until):
    """Wait until everything that is going to be painted soon has been painted."""

    def __init__(self, seconds=0.5):
        end = time.monotonic() + seconds
        super().__init__(lambda: time.monotonic() >= end, "a pause", seconds + 60)


class Conductor(QObject):
    """Takes the next step of a script whenever what it waits for has come true."""

    def __init__(self, script, on_end, parent=None):
        super().__init__(parent)
        self._script, self._on_end = script, on_end
        self._waiting, self._since = None, 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(STEP_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _look(self):
        try:
            if self._waiting is not None and not self._waiting.condition():
                if time.monotonic() - self._since > self._waiting.seconds:
                    self._script.throw(TimeoutError(f"waited {self._waiting.seconds:.0f} s for {self._waiting.what}"))
                return
            self._waiting = next(self._script)
            self._since = time.monotonic()
        except StopIteration as end:
            self._finish(end.value, "")
        except BaseException:  # noqa: BLE001 - whatever a script raises is its answer
            self._finish(None, traceback.format_exc())

    def fail(self, error):
        """End the run: something went wrong that the script does not see."""
        self._finish(None, error)

    def _finish(self, result, error):
        self._timer.stop()
        on_end, self._on_end = self._on_end, lambda _result, _error: None  # only once
        on_end(result, error)


_running = None  # the only reference to the conductor at work


def perform(steps, options):
    """Run a script; where an answer is asked for (``out``), write it and close QGIS."""
    global _running

    def end(result, error):
        if "out" not in options:
            return
        out = Path(options["out"])
        if error:
            iface.mainWindow().screen().grabWindow(0).save(str(out / "failed.png"))
        answer = {"result": result or {}, "error": error}
        (out / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
        QTimer.singleShot(0, _quit)

    _running = Conductor(steps(options), end)
    if "out" in options:  # a person would see QGIS's own report
        sys.excepthook = lambda *error: _running.fail("".join(traceback.format_exception(*error)))


def _quit():
    """Leave QGIS as its menu does, once no dialog is open and no task runs, about which QGIS would ask."""
    dialog = QApplication.activeModalWidget()
    if dialog is not None:
        dialog.close()
    QgsApplication.taskManager().cancelAll()
    if dialog is not None or QgsApplication.taskManager().activeTasks():
        QTimer.singleShot(STEP_MS, _quit)
        return
    QgsProject.instance().removeAllMapLayers()  # or QGIS asks what is to become of those in the temporary folder
    QgsProject.instance().setDirty(False)
    iface.actionExit().trigger()


class Hands:
    """Mouse and keyboard. Each action happens in the event loop after those before it."""

    def click(self, widget, at=None, modifiers=NO_KEY):
        """A click on the middle of a widget, or on a point of it."""
        self._soon(lambda: QTest.mouseClick(widget, LEFT, modifiers, at or widget.rect().center()))

    def double_click(self, widget, at):
        """A double click as a mouse makes it: two presses."""
        self._soon(lambda: (QTest.mouseClick(widget, LEFT, NO_KEY, at), QTest.mouseDClick(widget, LEFT, NO_KEY, at)))

    def drag(self, widget, start, end):
        """Press, move and let go."""
        middle = QPoint((start.x() + end.x()) // 2, (start.y() + end.y()) // 2)
        self._soon(lambda: QTest.mousePress(widget, LEFT, NO_KEY, start))
        self._soon(lambda: QTest.mouseMove(widget, middle))
        self._soon(lambda: QTest.mouseMove(widget, end))
        self._soon(lambda: QTest.mouseRelease(widget, LEFT, NO_KEY, end))

    def key(self, key, modifiers=NO_KEY, widget=None):
        """One key, to the widget that has the focus unless another is given."""
        self._soon(lambda: QTest.keyClick(widget or focused(), key, modifiers))

    def write(self, widget, text):
        """Replace what stands in a field."""
        self._soon(lambda: (widget.setFocus(), widget.selectAll()))
        for letter in text:  # QTest writes ASCII only
            self._soon(lambda letter=letter: QApplication.sendEvent(widget, _typed(letter)))

    @staticmethod
    def _soon(action):
        QTimer.singleShot(0, action)


def _typed(letter):
    return QKeyEvent(QEvent.Type.KeyPress, 0, NO_KEY, letter)


def focused():
    """The widget that a key press goes to."""
    return QApplication.focusWidget() or iface.mapCanvas()


def picture(widget, path):
    """A picture of a widget or window as it is now."""
    widget.grab().save(str(path))
