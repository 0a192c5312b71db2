"""A form for the parameters of a query function: a field each, of the type that its default has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QWidget

from .numbers import RealNumber, WholeNumber


class ParametersForm(QObject):
    """Typed fields with their defaults in the first rows of a form; number fields have a button for the default.

    Signals: ``edited`` when the analyst changed a value.
    """

    edited = pyqtSignal()

    def __init__(self, layout: QFormLayout, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layout = layout
        self._defaults: dict[str, Any] = {}
        self.fields: dict[str, QWidget] = {}

    def show_parameters(self, defaults: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Replace the fields by those of these parameters; one that is missing in ``values`` has its default."""
        for _ in self.fields:
            self._layout.removeRow(0)
        self._defaults = dict(defaults)
        self.fields = {}
        for row, (name, default) in enumerate(self._defaults.items()):
            value = values.get(name, default)
            field = self._field(default, value if type(value) is type(default) else default)
            field.setToolTip(f"Default: {default}")
            self.fields[name] = field
            self._layout.insertRow(row, name.replace("_", " ").capitalize(), field)

    def values(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        found = {name: _value_of(field) for name, field in self.fields.items()}
        return {name: value for name, value in found.items() if value != self._defaults[name]}

    def _field(self, default: Any, value: Any) -> QWidget:
        if isinstance(default, bool):
            field: QWidget = QCheckBox()
            field.setChecked(value)
            field.toggled.connect(self._say_edited)
        elif isinstance(default, (int, float)):
            field = WholeNumber(default) if isinstance(default, int) else RealNumber(default)
            field.setValue(value)
            field.valueChanged.connect(self._say_edited)
        else:
            field = QLineEdit(str(value))
            field.editingFinished.connect(self._say_edited)
        return field

    def _say_edited(self, *_value: object) -> None:
        self.edited.emit()


def _value_of(field: QWidget) -> Any:
    if isinstance(field, QCheckBox):
        return field.isChecked()
    return field.text().strip() if isinstance(field, QLineEdit) else field.value()
