"""The dialog in which an encoder is trained on the project's imagery: what and where to, or how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qgis.gui import QgsCollapsibleGroupBox
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...core.paths import exists, is_file
from ..requests import TrainingRequest
from ..training import EncoderTraining
from .widgets import Note, in_a_row, narrow, push_button

METHODS = {
    "moco": "MoCo v2",
    "simclr": "SimCLR, for small batches",
}
_FORBIDDEN = '/\\:*?"<>|!;'
_WHAT = (
    "An encoder learns what your imagery looks like from its tiles alone, without labels. It looks at each of the "
    "{tiles:,} tiles once an epoch. {time} You can label meanwhile, close this window, or stop and go on another day."
)
_ON_CPU = "There is no GPU at hand, so expect hours."
_ON_GPU = "It runs on your GPU: expect minutes to an hour or two."
_ANYWHERE = "Expect hours without a GPU."


class TrainEncoderDialog(QDialog):
    """Name, folder and options of a training that begins when Start is pressed; of one that runs, its progress.

    Args:
        training: does the work, also when the dialog is closed.
        proposed: what is filled in at first.
        unfinished: a training that can be gone on with, or None.
        starts: names and files of the encoders to go on from.
        tiles: of the project.
        device: that the engine would use; empty if that is not known.
        parent: as in Qt.
    """

    def __init__(
        self,
        training: EncoderTraining,
        proposed: TrainingRequest,
        unfinished: TrainingRequest | None,
        starts: Sequence[str],
        tiles: int,
        device: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Train an encoder on my imagery")
        self.setMinimumWidth(480)
        self._training, self._proposed, self._unfinished = training, proposed, unfinished
        self.name = QLineEdit()
        self.folder = QLineEdit()
        self.browse_button = push_button("Browse…", self._browse)
        self.epochs = _spin(1, 10_000)
        self.epochs.setToolTip("How often each tile is looked at. More is better, more and more slowly.")
        self.batch = _spin(8, 4096)
        self.batch.setToolTip("Tiles that are looked at together. Choose fewer if memory runs out.")
        self.method = QComboBox()
        for key, text in METHODS.items():
            self.method.addItem(text, key)
        self.begin_with = narrow(QComboBox())
        self.begin_with.setToolTip("What another encoder has learnt already saves most of the epochs.")
        self.begin_with.addItem("nothing", "")
        for source in starts:
            self.begin_with.addItem(Path(source).name, source)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.state, self.note = Note(), Note()
        time = _ANYWHERE if not device else _ON_CPU if device == "cpu" else _ON_GPU
        self._lay_out(_WHAT.format(tiles=tiles, time=time))
        self._fill(unfinished or proposed)
        for edit in (self.name, self.folder):
            edit.textChanged.connect(self._show_state)
        training.changed.connect(self._show_state)
        self._show_state()

    def request(self) -> TrainingRequest:
        """What the dialog asks for."""
        return replace(
            self._proposed,
            out=Path(self.folder.text().strip()) / f"{self.name.text().strip()}.safetensors",
            method=self.method.currentData(),
            epochs=self.epochs.value(),
            batch=self.batch.value(),
            start=self.begin_with.currentData(),
        )

    def problem(self) -> str:
        """Why the training cannot begin; empty if it can be tried."""
        name, folder = self.name.text().strip(), self.folder.text().strip()
        wrong = [letter for letter in _FORBIDDEN if letter in name]
        if not name:
            return "Give the encoder a name."
        if wrong:
            return f"The name must not contain {wrong[0]}"
        if not folder or not Path(folder).is_absolute():
            return "Give the whole path of the folder, beginning with its drive or root."
        if is_file(folder):
            return "There is a file of this name. Choose a folder."
        if exists(self.request().out):
            return "There is an encoder of this name already. Choose another name."
        return ""

    def done(self, result: int) -> None:
        """Stop listening to the training, which outlives the dialog."""
        self._training.changed.disconnect(self._show_state)
        super().done(result)

    def _start(self, request: TrainingRequest, *, resume: bool) -> None:
        self.accept()
        self._training.start(request, resume=resume)

    def _lay_out(self, what: str) -> None:
        top = QFormLayout()
        top.addRow("Name", self.name)
        top.addRow("Folder", in_a_row(self.folder, self.browse_button, stretch_at_end=False))
        self.advanced = QgsCollapsibleGroupBox("Advanced")
        self.advanced.setSaveCollapsedState(False)
        form = QFormLayout(self.advanced)
        form.addRow("Epochs", self.epochs)
        form.addRow("Batch size", self.batch)
        form.addRow("Method", self.method)
        form.addRow("Begin with", self.begin_with)
        self.advanced.setCollapsed(True)
        self.advanced.collapsedStateChanged.connect(lambda _collapsed: QTimer.singleShot(0, self.adjustSize))
        self.settings = QWidget()
        inside = QVBoxLayout(self.settings)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(top)
        inside.addWidget(self.advanced)
        self.buttons = QDialogButtonBox()
        self.resume_button = self._button("Go on", lambda: self._start(self._gone_on_with(), resume=True))
        self.start_button = self._button("Start", lambda: self._start(self.request(), resume=False))
        self.stop_button = self._button("Stop training", self._training.stop)
        self.buttons.addButton(QDialogButtonBox.StandardButton.Close).clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (Note(what), self.settings, self.state, self.progress, self.note, self.buttons):
            layout.addWidget(widget)

    def _button(self, text: str, action: Callable[[], None]) -> QPushButton:
        made = push_button(text, action)
        self.buttons.addButton(made, QDialogButtonBox.ButtonRole.ActionRole)
        return made

    def _gone_on_with(self) -> TrainingRequest:
        """A training goes on only as it began, whatever is written in the fields now."""
        assert self._unfinished is not None
        return self._unfinished

    def _fill(self, request: TrainingRequest) -> None:
        self.name.setText(request.name)
        self.folder.setText(str(request.out.parent))
        self.epochs.setValue(request.epochs)
        self.batch.setValue(request.batch)
        self.method.setCurrentIndex(max(self.method.findData(request.method), 0))
        self.begin_with.setCurrentIndex(max(self.begin_with.findData(request.start), 0))

    def _browse(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder for the encoder", self.folder.text())
        if found:
            self.folder.setText(str(Path(found)))

    def _show_state(self, *_news: object) -> None:
        running, problem = self._training.running, self.problem()
        self.settings.setVisible(not running)
        self.progress.setVisible(running)
        self.stop_button.setVisible(running)
        self.start_button.setVisible(not running)
        self.resume_button.setVisible(not running and self._unfinished is not None)
        self.progress.setValue(round(1000 * self._training.progress))
        self.state.say(self._training.state)
        self.start_button.setText("Start anew" if self._unfinished else "Start")
        self.start_button.setEnabled(not problem)
        unfinished = f"The training of {self._unfinished.name} is not finished." if self._unfinished else ""
        self.note.say("" if running else problem or unfinished)


def _spin(low: int, high: int) -> QSpinBox:
    made = QSpinBox()
    made.setRange(low, high)
    return made
