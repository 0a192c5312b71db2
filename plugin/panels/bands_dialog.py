"""The dialog that says what the bands of a raster are, and how its stored numbers become reflectance.

It starts with what the engine found. What is left as found is not handed on, so that the engine goes on deciding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..requests import RasterChoice
from .widgets import Note, SteadyComboBox, in_a_row, push_button

BANDS = {
    "B01": "coastal aerosol",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "red edge 1",
    "B06": "red edge 2",
    "B07": "red edge 3",
    "B08": "near infrared",
    "B8A": "narrow near infrared",
    "B09": "water vapour",
    "B10": "cirrus",
    "B11": "SWIR 1",
    "B12": "SWIR 2",
}
UNUSED = "-"
NUMBERS = {"scale": "Scale", "offset": "Offset", "nodata": "No data"}


class BandsDialog(QDialog):
    """Edits a :class:`RasterChoice`; ``seen`` is what the engine's ``inspect`` found without it."""

    def __init__(self, seen: Mapping[str, Any], choice: RasterChoice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Bands of {choice.path.name}")
        self.resize(480, 660)
        self._seen = seen
        self._path = choice.path
        self._found = tuple(band["name"] or UNUSED for band in seen["bands"])
        self.combos = [SteadyComboBox() for _ in seen["bands"]]
        self.table = self._make_table()
        self.number_edits = {name: QLineEdit() for name in NUMBERS}
        self.reason = Note()
        self.reset_button = push_button("As found", self.reset, "Forget what was changed here")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._lay_out()
        self._show(choice)
        for combo in self.combos:
            combo.currentIndexChanged.connect(self._check)
        for edit in self.number_edits.values():
            edit.textChanged.connect(self._check)
        self._check()

    @property
    def ok_button(self) -> QWidget:
        """Disabled while something stands in the way."""
        return self.buttons.button(QDialogButtonBox.StandardButton.Ok)

    def choice(self) -> RasterChoice:
        """What the dialog says; None where it is as found."""
        names = self._names()
        return RasterChoice(
            self._path,
            bands=None if names == self._found else names,
            **{name: _number(edit.text()) for name, edit in self.number_edits.items()},
        )

    def reset(self) -> None:
        """Go back to what the engine found."""
        self._show(RasterChoice(self._path))

    def _names(self) -> tuple[str, ...]:
        return tuple(combo.currentData() for combo in self.combos)

    def _show(self, choice: RasterChoice) -> None:
        for combo, name in zip(self.combos, choice.bands or self._found):
            combo.setCurrentIndex(combo.findData(name))
        for name, edit in self.number_edits.items():
            value = getattr(choice, name)
            edit.setText("" if value is None else repr(value))

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(len(self.combos), 2)
        table.setHorizontalHeaderLabels(["In the file", "Sentinel-2 band"])
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for row, (combo, band) in enumerate(zip(self.combos, self._seen["bands"])):
            description = band["description"] or "no name"
            item = QTableWidgetItem(description)
            item.setToolTip(f"Band {band['index']}: {description}")
            table.setItem(row, 0, item)
            table.setVerticalHeaderItem(row, QTableWidgetItem(str(band["index"])))
            combo.addItem("not used", UNUSED)
            for name, meaning in BANDS.items():
                combo.addItem(f"{name}  {meaning}", name)
            table.setCellWidget(row, 1, combo)
        return table

    def _lay_out(self) -> None:
        numbers = QFormLayout()
        numbers.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, edit in self.number_edits.items():
            found = self._seen[name]
            nothing = "as found: none" if name == "nodata" else "not known"
            edit.setPlaceholderText(nothing if found is None else f"as found: {found!r}")
            numbers.addRow(NUMBERS[name], edit)
        layout = QVBoxLayout(self)
        layout.addWidget(Note("Which Sentinel-2 band is each band of the file? Wrong bands make wrong maps."))
        layout.addWidget(self.table, 1)
        layout.addWidget(Note("Reflectance = (stored number + offset) × scale. Left empty, each is as found."))
        layout.addLayout(numbers)
        layout.addLayout(in_a_row(self.reset_button))
        layout.addWidget(self.reason)
        layout.addWidget(self.buttons)

    def _check(self, *_news: object) -> None:
        reason = self._problem()
        self.reason.say(reason)
        self.ok_button.setEnabled(not reason)

    def _problem(self) -> str:
        used = [name for name in self._names() if name != UNUSED]
        twice = sorted({name for name in used if used.count(name) > 1})
        if not used:
            return "Say at least of one band which it is."
        if twice:
            return f'Only one band can be {twice[0]}. Choose another, or "not used".'
        for name, edit in self.number_edits.items():
            try:
                value = _number(edit.text())
            except ValueError:
                return f"{NUMBERS[name]} is not a number: {edit.text()}"
            if name == "scale" and value is not None and value <= 0:
                return "The scale must be above 0, for example 0.0001."
        return ""


def _number(text: str) -> float | None:
    """A number as people write it, with a point or a comma; None for an empty text. NaN may stand for no data."""
    text = text.strip().replace(",", ".")
    if not text:
        return None
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value
