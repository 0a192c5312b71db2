"""The options of tiling and embedding that few need to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qgis.gui import QgsCollapsibleGroupBox
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QComboBox, QFileDialog, QFormLayout, QSpinBox, QWidget

from ...core.project.store import Project
from ...core.project.vectors import encoder_of
from .widgets import Note, in_a_row, narrow, push_button

_KINDS = "Encoders and weights (*.toml *.pth *.pt *.safetensors)"
_STATISTICS = {"name": "statistics", "summary": "Needs no download and no GPU.", "available": True, "reason": ""}


class PrepareOptions(QgsCollapsibleGroupBox):
    """Encoder, stride, valid pixels, validation sample, seed; closed at first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Advanced", parent)
        self.setSaveCollapsedState(False)
        self.encoder_combo = narrow(QComboBox())
        self.encoder_note = Note()
        self.file_button = push_button("File…", self._ask_for_file, "An encoder file (.toml) or weights (.pth)")
        self.stride_spin = _spin(0, 8192, 0, " px", "as the tile size")
        self.stride_spin.setToolTip("From one tile to the next; less than the tile size makes tiles overlap.")
        self.min_valid_spin = _spin(1, 100, 90, " %")
        self.min_valid_spin.setToolTip("Tiles with fewer pixels with data are set aside.")
        self.validation_spin = _spin(0, 90, 10, " %", "none")
        self.seed_spin = _spin(0, 2**31 - 1, 0)
        self.seed_spin.setToolTip("Another seed draws another validation sample.")
        self._lay_out()
        self.show_encoders([_STATISTICS], "statistics")
        self.encoder_combo.currentIndexChanged.connect(self._explain_encoder)
        self.setCollapsed(True)

    @property
    def encoder(self) -> str:
        """The name or file of the encoder."""
        return str(self.encoder_combo.currentData())

    @property
    def stride(self) -> int | None:
        """Pixels from one tile to the next; None: as the tile size."""
        return self.stride_spin.value() or None

    @property
    def min_valid(self) -> float:
        """Share of pixels with data that a tile needs, 0-1."""
        return self.min_valid_spin.value() / 100

    @property
    def validation(self) -> float:
        """Share of tiles for validation, 0-1."""
        return self.validation_spin.value() / 100

    @property
    def seed(self) -> int:
        """What the validation sample is drawn with."""
        return self.seed_spin.value()

    def show_encoders(self, encoders: Sequence[Mapping[str, Any]], default: str) -> None:
        """Offer these encoders (results of the protocol's ``encoders``); what was chosen stays chosen."""
        before = self.encoder if self.encoder_combo.count() else default
        files = [
            self.encoder_combo.itemData(row)
            for row in range(self.encoder_combo.count())
            if Path(self.encoder_combo.itemData(row)).is_absolute()
        ]
        self.encoder_combo.clear()
        for encoder in encoders:
            self.encoder_combo.addItem(encoder["name"], encoder["name"])
            row = self.encoder_combo.count() - 1
            about = encoder["summary"] if encoder["available"] else f"Not available: {encoder['reason']}"
            self.encoder_combo.setItemData(row, about, Qt.ItemDataRole.ToolTipRole)
            self.encoder_combo.model().item(row).setEnabled(encoder["available"])
        for file in files:
            self._add_file(file)
        self.encoder_combo.setCurrentIndex(max(self.encoder_combo.findData(before), 0))
        self._explain_encoder()

    def show_project(self, project: Project) -> None:
        """Start with the encoder that the project has been embedded with."""
        encoder = encoder_of(project)
        if encoder:
            self.use_encoder(encoder.source)

    def use_encoder(self, source: str) -> None:
        """Choose an encoder by name or file."""
        if self.encoder_combo.findData(source) < 0:
            self._add_file(source)
        self.encoder_combo.setCurrentIndex(self.encoder_combo.findData(source))

    def _add_file(self, source: str) -> None:
        self.encoder_combo.addItem(Path(source).name, source)
        self.encoder_combo.setItemData(self.encoder_combo.count() - 1, source, Qt.ItemDataRole.ToolTipRole)

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Encoder", "", _KINDS)
        if path:
            self.use_encoder(path)

    def _explain_encoder(self, *_news: object) -> None:
        self.encoder_note.say(str(self.encoder_combo.currentData(Qt.ItemDataRole.ToolTipRole) or ""))

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Encoder", self.encoder_combo)
        form.addRow(self.encoder_note)
        form.addRow("", in_a_row(self.file_button))
        form.addRow("Validation", self.validation_spin)
        form.addRow(Note("These tiles are drawn at random and never learnt from: they say how good the map really is."))
        form.addRow("Valid pixels", self.min_valid_spin)
        form.addRow("Stride", self.stride_spin)
        form.addRow("Seed", self.seed_spin)


def _spin(low: int, high: int, value: int, suffix: str = "", at_low: str = "") -> QSpinBox:
    made = QSpinBox()
    made.setRange(low, high)
    made.setSuffix(suffix)
    made.setSpecialValueText(at_low)
    made.setValue(value)
    made.setMinimumWidth(80)  # by itself it would be as wide as its highest number
    return made
