"""The options of tiling and embedding that few need to change."""

from __future__ import annotations

from pathlib import Path

from qgis.gui import QgsCollapsibleGroupBox, QgsFileWidget
from qgis.PyQt.QtWidgets import QFormLayout, QSpinBox, QVBoxLayout, QWidget

from ...core.project.store import Project
from .encoder_choice import EncoderChoice
from .widgets import Note


class PrepareOptions(QgsCollapsibleGroupBox):
    """Encoder, clouds, stride, valid pixels, validation sample, seed; closed at first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Advanced", parent)
        self.setSaveCollapsedState(False)
        self.encoders = EncoderChoice()
        self.cloud_spin = _spin(-1, 100, -1, " % clouds", "keep all")
        self.cloud_spin.setPrefix("up to ")
        self.cloud_spin.setToolTip("Tiles of which more is covered by clouds or their shadows are set aside.")
        self.mask_file = QgsFileWidget()
        self.mask_file.setFilter("Rasters (*.tif *.tiff *.vrt *.img *.jp2);;All files (*)")
        self.mask_file.setDialogTitle("Cloud mask")
        self.mask_file.setToolTip("A raster that is not 0 where there are clouds, for imagery that does not tell.")
        self.mask_file.lineEdit().setPlaceholderText("the product's own")
        self.stride_spin = _spin(0, 8192, 0, " px", "as the tile size")
        self.stride_spin.setToolTip("From one tile to the next; less than the tile size makes tiles overlap.")
        self.min_valid_spin = _spin(1, 100, 90, " %")
        self.min_valid_spin.setToolTip("Tiles with fewer pixels with data are set aside.")
        self.validation_spin = _spin(0, 90, 10, " %", "none")
        self.seed_spin = _spin(0, 2**31 - 1, 0)
        self.seed_spin.setToolTip("Another seed draws another validation sample.")
        self._lay_out()
        self.cloud_spin.valueChanged.connect(self._enable_mask)
        self._enable_mask()
        self.setCollapsed(True)

    @property
    def max_cloud(self) -> float | None:
        """Share of a tile that clouds may cover, 0-1; None: clouds are not looked at."""
        return None if self.cloud_spin.value() < 0 else self.cloud_spin.value() / 100

    @property
    def mask(self) -> Path | None:
        """A raster that says where clouds are; None: what the product says."""
        text = self.mask_file.filePath().strip()
        return Path(text) if text and self.max_cloud is not None else None

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

    def show_project(self, project: Project) -> None:
        """Start with the encoder of the project."""
        self.encoders.show_project(project)

    def _enable_mask(self, *_news: object) -> None:
        self.mask_file.setEnabled(self.max_cloud is not None)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(self.encoders)
        form = QFormLayout()
        layout.addLayout(form)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Cloudy tiles", self.cloud_spin)
        form.addRow("Cloud mask", self.mask_file)
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
