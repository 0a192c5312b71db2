"""The dialog that makes a new project: where it lies, how tiles are labelled, with which classes, how large they are.

What stands in the way is said while one types, and OK waits for it. Should making the project still fail, the dialog
says why and stays as it is. Each class list (a preset, a file, one's own) keeps what was changed in it, so trying
another one loses nothing.
"""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import QuadratError
from ...core.paths import check_name, exists
from ...core.project.classes import ClassDraft, check_class_list, read_class_list
from ...core.project.files import check_is_free
from ...core.project.palette import KEYS, colours
from ..job import Job
from .class_lists import ask_for_class_file, preset_titles
from .class_table import ClassRow, ClassTable
from .raster_layers import local_file
from .widgets import Note, explained, icon_button, in_a_row, push_button

OWN = "own"
FILE = "file"
MODES = {
    "single": ("One class per tile", "One key press labels a tile: the class that covers most of it."),
    "multi": ("Several classes per tile", "Press the keys of all classes that a tile shows, then Enter."),
}
_USUAL_PIXEL_M = 10


class NewProjectDialog(QDialog):
    """Makes a project with ``job.create``; accepted once it is made and open."""

    def __init__(self, job: Job, parent: QWidget | None = None, folder: Path | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New Quadrat project")
        self.resize(520, 620)
        self._job = job
        self._folder = folder or usual_folder()
        self.path_edit = QLineEdit(str(_free_path(self._folder)))
        self.browse_button = push_button("Browse…", self._browse)
        self.mode_buttons = {mode: QRadioButton(title) for mode, (title, _) in MODES.items()}
        self._mode_group = QButtonGroup(self)
        self.list_combo = QComboBox()
        self.table = ClassTable(counts=False)
        self.size_spin = QSpinBox()
        self.size_note = Note()
        self.reason = Note()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        first = self._new_class([])
        self._drafts: dict[str, list[ClassDraft]] = {OWN: [first, self._new_class([first])]}
        self._source = ""
        self._lay_out()
        self._fill_in()
        self._connect()
        self._show_list()

    @property
    def ok_button(self) -> QWidget:
        """Makes the project; disabled while something stands in the way."""
        return self.buttons.button(QDialogButtonBox.StandardButton.Ok)

    @property
    def path(self) -> Path:
        """Where the project is going to lie: a name alone means the usual folder, and the ending may be left out."""
        path = self._folder / Path(self.path_edit.text().strip()).expanduser()
        return path if path.suffix.lower() == ".gpkg" else path.parent / f"{path.name}.gpkg"

    @property
    def mode(self) -> str:
        """``single`` or ``multi``."""
        return next(mode for mode, button in self.mode_buttons.items() if button.isChecked())

    def use_file(self, path: str) -> None:
        """Show the classes of a file, or say why it cannot be used."""
        try:
            self._drafts[FILE] = list(read_class_list(path))
        except QuadratError as error:
            self.list_combo.setCurrentIndex(self.list_combo.findData(self._source))
            self.reason.say(explained(error))
            return
        self.list_combo.setItemText(self.list_combo.findData(FILE), f"From the file {Path(path).name}")
        self._source = ""  # what the table shows is not the file's
        self.list_combo.setCurrentIndex(self.list_combo.findData(FILE))
        self._show_list()

    def accept(self) -> None:
        """Make the project and close, or say why not and stay."""
        if not self._check():
            return
        try:
            self._job.create(self.path, self.table.drafts(), self.mode, self.size_spin.value())
        except QuadratError as error:
            self.reason.say(explained(error))
        else:
            super().accept()

    def _fill_in(self) -> None:
        for mode, (_, meaning) in MODES.items():
            self.mode_buttons[mode].setToolTip(meaning)
            self._mode_group.addButton(self.mode_buttons[mode])
        self.mode_buttons["single"].setChecked(True)
        for title, name in preset_titles():
            self.list_combo.addItem(title, name)
        self.list_combo.addItem("From a file…", FILE)
        self.list_combo.addItem("My own list", OWN)
        self.size_spin.setRange(16, 1024)
        self.size_spin.setSingleStep(16)
        self.size_spin.setSuffix(" px")
        self.size_spin.setValue(64)
        self._explain_size(64)
        self.table.setMinimumHeight(160)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("File", in_a_row(self.path_edit, self.browse_button, stretch_at_end=False))
        modes = QVBoxLayout()
        for mode, (_, meaning) in MODES.items():
            modes.addWidget(self.mode_buttons[mode])
            modes.addWidget(Note(meaning))
        form.addRow("Labels", modes)
        size = in_a_row(self.size_spin, self.size_note, stretch_at_end=False)
        size.setStretch(1, 1)
        form.addRow("Tile size", size)
        form.addRow("Classes", self.list_combo)
        self.add_button = icon_button("/symbologyAdd.svg", "Add a class", self.add_class)
        self.remove_button = icon_button("/symbologyRemove.svg", "Remove the selected class", self.remove_class)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.table, 1)
        layout.addLayout(in_a_row(self.add_button, self.remove_button))
        layout.addWidget(self.reason)
        layout.addWidget(self.buttons)

    def _connect(self) -> None:
        self.path_edit.textChanged.connect(self._check)
        self.size_spin.valueChanged.connect(self._explain_size)
        self.list_combo.currentIndexChanged.connect(self._show_list)
        self.list_combo.activated.connect(self._ask_for_file_if_chosen)
        self.table.edited.connect(self._edit)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "New Quadrat project",
            str(self.path),
            "Quadrat projects (*.gpkg)",
            options=QFileDialog.Option.DontConfirmOverwrite,  # an existing file is refused anyway
        )
        if path:
            self.path_edit.setText(path)

    def _explain_size(self, size_px: int) -> None:
        self.size_note.say(f"{size_px * _USUAL_PIXEL_M:,} m at {_USUAL_PIXEL_M} m pixels")

    def _ask_for_file_if_chosen(self, _index: int) -> None:
        if self.list_combo.currentData() == FILE:
            path = ask_for_class_file(self, self._folder)
            if path:
                self.use_file(path)
            elif FILE not in self._drafts:
                self.list_combo.setCurrentIndex(self.list_combo.findData(self._source))

    def _show_list(self, _index: int = 0) -> None:
        """Keep what was changed in the list before and show the one that is chosen now."""
        chosen = self.list_combo.currentData()
        if chosen == FILE and FILE not in self._drafts:
            return
        if self._source:
            self._drafts[self._source] = self.table.drafts()
        if chosen not in self._drafts:
            self._drafts[chosen] = list(read_class_list(chosen))
        self._source = chosen
        self._show_drafts(self._drafts[chosen])

    def _show_drafts(self, drafts: list[ClassDraft]) -> None:
        self.table.show_rows([ClassRow(draft.name, draft.colour, draft.key) for draft in drafts])
        self._check()

    def add_class(self) -> None:
        """Append an empty class and let the analyst type its name."""
        drafts = self.table.drafts()
        self._show_drafts([*drafts, self._new_class(drafts)])
        self.table.edit_name(len(drafts))

    def remove_class(self) -> None:
        """Take the selected class out of the list."""
        row = self.table.selected_row()
        if row >= 0:
            drafts = self.table.drafts()
            self._show_drafts(drafts[:row] + drafts[row + 1 :])

    def _edit(self, row: int, field: str, text: str) -> None:
        drafts = self.table.drafts()
        drafts[row] = ClassDraft(**{**vars(drafts[row]), field: text})
        self._show_drafts(drafts)

    @staticmethod
    def _new_class(others: list[ClassDraft]) -> ClassDraft:
        """A class without a name, with a colour and a key that no other one has."""
        used = {value for draft in others for value in (draft.colour, draft.key)}
        colour = next(colour for colour in colours() if colour not in used)
        return ClassDraft("", colour, next((key for key in KEYS if key not in used), ""))

    def _check(self, *_news: object) -> bool:
        """Say what stands in the way and let OK wait for it."""
        reason = self._problem()
        self.reason.say(reason)
        self.ok_button.setEnabled(not reason)
        return not reason

    def _problem(self) -> str:
        if not self.path_edit.text().strip():
            return "Say where the project is to be saved."
        try:
            check_name(self.path)
            check_is_free(self.path)
            check_class_list(self.table.drafts())
        except QuadratError as error:
            return explained(error)
        return ""


def usual_folder() -> Path:
    """Beside the first raster that is loaded, else the home folder."""
    layers = sorted(QgsProject.instance().mapLayers().values(), key=lambda layer: layer.name())
    files = (local_file(layer).path for layer in layers)
    return next((file.parent for file in files if file is not None), Path.home())


def _free_path(folder: Path) -> Path:
    names = ["labels.gpkg", *(f"labels-{number}.gpkg" for number in range(2, 100))]
    return next((folder / name for name in names if not exists(folder / name)), folder / names[0])
