"""Labelling on a real canvas by keys, wherever the keyboard is."""

from __future__ import annotations

import pytest
from qgis.PyQt.QtCore import QEvent, Qt
from qgis.PyQt.QtGui import QKeyEvent, QKeySequence
from qgis.PyQt.QtTest import QSignalSpy, QTest
from qgis.PyQt.QtWidgets import (
    QAction,
    QApplication,
    QComboBox,
    QDialog,
    QDockWidget,
    QLineEdit,
    QListWidget,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from .labeling_desk import activate, bands, outlined

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_a_round_of_64_correct_suggestions_takes_64_key_presses(large):
    large.suggest_truth()
    told, done = QSignalSpy(large.job.answers_changed), QSignalSpy(large.labelling.round_done)
    for tile in large.session.tiles:
        assert large.session.current == tile
        large.press(Qt.Key.Key_Return)
    answers = large.answers()
    assert len(large.session.tiles) == len(answers) == len(told) == 64
    assert answers == {tile_id: ("classes", large.ready.truth[tile_id]) for tile_id in answers}
    assert len(done) == 1
    assert bands(large) == []


@pytest.mark.parametrize("name", ["Water", "Forest", "Town"])
def test_the_key_of_a_class_answers(desk, name):
    tile_id = desk.tile_id
    desk.type(desk.keys[name])
    assert desk.answers() == {tile_id: ("classes", (name,))}


@pytest.mark.parametrize(("key", "answer"), [(Qt.Key.Key_S, "skip"), (Qt.Key.Key_U, "unsure"), (Qt.Key.Key_N, "none")])
@pytest.mark.parametrize("modifiers", [Qt.KeyboardModifier.NoModifier, SHIFT])
def test_keys_of_other_answers(desk, key, answer, modifiers):
    tile_id = desk.tile_id
    desk.press(key, modifiers)
    assert desk.answers() == {tile_id: (answer, ())}


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space])
def test_enter_and_space_accept(desk, key):
    desk.suggest_truth()
    tile_id = desk.tile_id
    desk.press(key)
    assert desk.answers() == {tile_id: ("classes", desk.ready.truth[tile_id])}


def test_a_digit_on_the_keypad_is_a_digit(desk):
    tile_id = desk.tile_id
    desk.press(Qt.Key.Key_2, Qt.KeyboardModifier.KeypadModifier)
    assert desk.answers() == {tile_id: ("classes", ("Forest",))}


def test_letters_are_keys_of_classes_too_whatever_the_case(desk):
    with desk.project.transaction() as connection:
        connection.execute("UPDATE classes SET \"key\" = 'é' WHERE name = 'Water'")
        connection.execute("UPDATE classes SET \"key\" = 'w' WHERE name = 'Forest'")
    desk.job.classes_changed.emit()
    one, two, three = desk.session.tiles[:3]
    desk.press(Qt.Key.Key_W, SHIFT)
    desk.press(Qt.Key.Key_W)
    key = Qt.Key.Key_Eacute
    QApplication.sendEvent(desk.canvas, QKeyEvent(QEvent.Type.KeyPress, int(key), SHIFT, "É"))
    named = {one.tile_id: "Forest", two.tile_id: "Forest", three.tile_id: "Water"}
    assert desk.answers() == {tile_id: ("classes", (name,)) for tile_id, name in named.items()}


def test_undo_redo_back_and_next_by_keys(desk):
    one, two, three = desk.session.tiles[:3]
    desk.type("1")
    desk.type("2")
    desk.press(Qt.Key.Key_Z, CONTROL)
    assert desk.session.current == two
    desk.press(Qt.Key.Key_Z, CONTROL)
    assert desk.session.current == one
    assert desk.answers() == {}
    desk.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    desk.press(Qt.Key.Key_Y, CONTROL)
    assert desk.answers() == {one.tile_id: ("classes", ("Water",)), two.tile_id: ("classes", ("Forest",))}
    desk.press(Qt.Key.Key_Right, CONTROL)
    assert desk.session.current == three
    desk.press(Qt.Key.Key_Left)
    assert desk.session.current == two
    desk.press(Qt.Key.Key_Backspace)
    assert desk.session.current == one
    assert outlined(desk) == (one.row, one.col)


def test_several_classes_are_toggled_and_accepted(multi):
    tile_id = multi.tile_id
    for letter in "3122":
        multi.type(letter)
    assert multi.answers() == {}
    assert multi.tile_id == tile_id
    multi.press(Qt.Key.Key_Return)
    assert multi.answers() == {tile_id: ("classes", ("Water", "Town"))}
    empty = multi.tile_id
    multi.press(Qt.Key.Key_N)
    assert multi.answers()[empty] == ("none", ())


def test_escape_leaves_a_selection_first_and_then_labelling(desk):
    desk.show_all()
    desk.drag((0.2, 0.2), (1.8, 2.8))
    assert len(desk.session.selection) == 6
    desk.press(Qt.Key.Key_Escape)
    assert desk.session.selection == ()
    desk.press(Qt.Key.Key_Escape)
    assert not desk.labelling.active
    desk.type("1")
    assert desk.answers() == {}


def test_a_key_that_is_held_down_answers_once(desk):
    desk.type("1")
    for _ in range(5):
        held = QKeyEvent(QEvent.Type.KeyPress, int(Qt.Key.Key_1), Qt.KeyboardModifier.NoModifier, "1", True)
        QApplication.sendEvent(desk.canvas, held)
    assert len(desk.answers()) == 1


def test_shortcuts_of_qgis_on_the_same_keys_stay_silent_while_labelling(desk):
    fired = []
    for keys in ("S", "Ctrl+Z", "1", "Ctrl+K"):
        action = QAction(keys, desk.window)
        action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda _checked=False, keys=keys: fired.append(keys))
        desk.window.addAction(action)

    def press_all():
        for key, modifiers in ((Qt.Key.Key_S, None), (Qt.Key.Key_Z, CONTROL), (Qt.Key.Key_1, None)):
            desk.press(key, modifiers or Qt.KeyboardModifier.NoModifier)

    press_all()
    assert fired == []
    assert len(desk.answers()) == 1
    desk.press(Qt.Key.Key_K, CONTROL)
    assert fired == ["Ctrl+K"]
    desk.labelling.stop()
    press_all()
    assert fired == ["Ctrl+K", "S", "Ctrl+Z", "1"]


def test_keys_with_alt_are_not_ours(desk):
    desk.press(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    desk.press(Qt.Key.Key_S, CONTROL)
    assert desk.answers() == {}


@pytest.mark.parametrize("kind", [QLineEdit, QPlainTextEdit, QSpinBox, QComboBox, "cell"])
def test_keys_write_where_text_is_written(desk, kind):
    if kind == "cell":
        field = QTableWidget(1, 1, desk.window)
        field.setItem(0, 0, QTableWidgetItem(""))
        field.show()
        field.editItem(field.item(0, 0))
        receiver = field.findChild(QLineEdit)
    else:
        field = receiver = kind(desk.window)
        field.show()
        if kind is QComboBox:
            field.setEditable(True)
            receiver = field.lineEdit()
    receiver.setFocus()
    if kind is QSpinBox:
        field.selectAll()
    for letter in "12":
        QTest.keyClick(receiver, letter)
    desk.press(Qt.Key.Key_Backspace, where=receiver)
    assert desk.answers() == {}
    text = receiver.toPlainText() if kind is QPlainTextEdit else receiver.text()
    assert text == "1"
    field.deleteLater()


@pytest.mark.parametrize("kind", [QPushButton, QListWidget, QWidget, QComboBox])
def test_keys_label_wherever_else_in_the_window_the_keyboard_is(desk, kind):
    widget = kind(desk.window)
    widget.show()
    desk.press("1", where=widget)
    assert len(desk.answers()) == 1
    widget.deleteLater()


def test_keys_label_in_a_floating_dock_but_not_in_another_window(desk):
    dock = QDockWidget("dock", desk.window)
    inside = QListWidget()
    dock.setWidget(inside)
    desk.window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    dock.setFloating(True)
    dock.show()
    assert inside.window() is dock
    activate(dock)
    desk.press("1", where=inside)
    assert len(desk.answers()) == 1
    other = QListWidget()
    other.show()
    activate(other)
    desk.press("1", where=other)
    assert len(desk.answers()) == 1
    other.deleteLater()
    dock.deleteLater()


def test_keys_do_not_label_while_a_dialog_or_menu_is_open(desk):
    dialog = QDialog(desk.window)
    dialog.setModal(True)
    dialog.show()
    desk.type("1")
    assert desk.answers() == {}
    dialog.close()
    menu = QMenu(desk.window)
    menu.addAction("item")
    menu.popup(desk.window.pos())
    desk.type("1")
    assert desk.answers() == {}
    menu.close()
    activate(desk.window)
    desk.type("1")
    assert len(desk.answers()) == 1
