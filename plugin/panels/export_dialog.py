"""What to export, in which format, and where to."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from ...core.paths import exists, is_folder
from .widgets import Note, in_a_row, push_button

LAYERS = {
    "labels": "Tiles with your answers",
    "predictions": "Tiles with predicted classes",
    "tiles": "All tiles, without answers",
}
CHIPS = ""
# By the ending that tells the engine which one is meant.
FORMATS = {
    ".gpkg": "GeoPackage (.gpkg)",
    ".geojson": "GeoJSON (.geojson), in longitude and latitude",
    ".parquet": "GeoParquet (.parquet)",
    CHIPS: "Folder of image chips with a table",
}


class ExportDialog(QDialog):
    """A layer, a format and a path; Export can be pressed when they fit together.

    Args:
        folder: where exports go unless the analyst says otherwise.
        name: of the project, with which the proposed file name begins.
        missing: for layers that are empty still, what to do first.
        parent: as in Qt.
    """

    def __init__(self, folder: Path, name: str, missing: dict[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Quadrat: export")
        self.resize(520, 0)
        self._folder, self._missing = folder, missing
        self._name = name.replace(".", "_")  # a dot would look like an ending
        self._path_is_proposed = True
        self.layer = _choice(LAYERS)
        self.format = _choice(FORMATS)
        self.path = QLineEdit()
        self.browse_button = push_button("Browse…", self._browse)
        self.note = Note()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.export_button = self.buttons.addButton("Export", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = QFormLayout()
        form.addRow("Layer", self.layer)
        form.addRow("Format", self.format)
        place = in_a_row(self.path, self.browse_button, stretch_at_end=False)
        form.addRow("Save as", place)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.note)
        layout.addWidget(self.buttons)
        self.layer.currentIndexChanged.connect(self._propose)
        self.format.currentIndexChanged.connect(self._change_format)
        self.path.textEdited.connect(self._type_path)
        self.layer.setCurrentIndex(max(0, next((i for i, key in enumerate(LAYERS) if key not in missing), 0)))
        self._propose()

    def chosen(self) -> tuple[Path, str]:
        """Where to, and which layer."""
        return self._target(), self.layer.currentData()

    def problem(self) -> str:
        """Why this cannot be exported; empty if it can be tried."""
        layer, ending = self.layer.currentData(), self.format.currentData()
        target = self._target()
        if layer in self._missing:
            return self._missing[layer]
        if not self.path.text().strip():
            return "Say where to save it." if ending else "Choose a folder."
        if not target.is_absolute():
            return "Give the whole path, beginning with its folder or drive."
        if ending and target.suffix.lower() != ending:
            return f"The name must end in {ending}."
        if not ending and target.suffix:
            return "The name of a folder of chips must have no dot."
        if ending and is_folder(target):
            return "There is a folder of this name. Choose another name."
        return ""

    def _target(self) -> Path:
        return Path(self.path.text().strip())

    def _propose(self, _index: int = 0) -> None:
        """A name that says what it is, until the analyst gives another."""
        if self._path_is_proposed:
            layer, ending = self.layer.currentData(), self.format.currentData()
            self.path.setText(str(self._folder / f"{self._name}_{layer if ending else f'{layer}_chips'}{ending}"))
        self._show_state()

    def _change_format(self, _index: int) -> None:
        """A name that was typed keeps all but its ending."""
        if not self._path_is_proposed and self._target().suffix.lower() in FORMATS:
            self.path.setText(str(self._target().with_suffix(self.format.currentData())))
        self._propose()

    def _type_path(self, _text: str) -> None:
        self._path_is_proposed = False
        self._show_state()

    def _browse(self) -> None:
        ending = self.format.currentData()
        start = str(self._target())
        if ending:
            option = QFileDialog.Option.DontConfirmOverwrite  # the dialog itself says so
            label = f"{FORMATS[ending].partition(' ')[0]} (*{ending})"
            found, _ = QFileDialog.getSaveFileName(self, "Export to", start, label, options=option)
            found = found if not found or Path(found).suffix else found + ending
        else:
            found = QFileDialog.getExistingDirectory(self, "New or empty folder for the chips", str(Path(start).parent))
        if found:
            self.path.setText(str(Path(found)))
            self._type_path(found)

    def _show_state(self) -> None:
        problem = self.problem()
        replaces = not problem and exists(self._target())
        self.note.say(problem or ("An earlier export of this name is replaced." if replaces else ""))
        self.export_button.setText("Replace" if replaces else "Export")
        self.export_button.setEnabled(not problem)


def _choice(texts: dict[str, str]) -> QComboBox:
    combo = QComboBox()
    for key, text in texts.items():
        combo.addItem(text, key)
    return combo
