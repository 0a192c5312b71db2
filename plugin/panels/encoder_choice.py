"""Which encoder turns the tiles into vectors: one by name, one from a file, or one trained on the project's imagery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox, QFileDialog, QLabel, QVBoxLayout, QWidget

from ...core.project.store import Project
from ...core.project.vectors import encoder_of, source_now
from ..requests import AUTO, trained_encoders
from .widgets import Note, in_a_row, narrow, push_button

_KINDS = "Encoders and weights (*.toml *.pth *.pt *.safetensors)"
_BEST = "What suits the bands best of what is here: a network that was trained on satellite imagery where there is one."
_TRAIN = "Train an encoder on my imagery…"
_TRAIN_TIP = "Learns from the project's tiles, without labels. It takes long, and labelling goes on meanwhile."


class EncoderChoice(QWidget):
    """Signals: ``training_wanted`` when the button to train an encoder was pressed."""

    training_wanted = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = narrow(QComboBox())
        self.note = Note()
        self.file_button = push_button("File…", self._ask_for_file, "An encoder file (.toml) or weights (.pth)")
        self.train_button = push_button(_TRAIN, self.training_wanted.emit)
        self.training_note = Note()
        self._trainable: set[str] = set()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(in_a_row(QLabel("Encoder"), self.combo, self.file_button, stretch_at_end=False))
        layout.addWidget(self.note)
        layout.addLayout(in_a_row(self.train_button))
        layout.addWidget(self.training_note)
        self.show_encoders([])
        self.combo.currentIndexChanged.connect(self._explain)

    @property
    def source(self) -> str:
        """Name or file of the encoder, or ``auto``."""
        return str(self.combo.currentData())

    @property
    def starts(self) -> list[str]:
        """The encoders from which a training can go on: networks by name, and those in files."""
        sources = [str(self.combo.itemData(row)) for row in range(self.combo.count())]
        return [source for source in sources if source in self._trainable or Path(source).is_absolute()]

    def show_encoders(self, encoders: Sequence[Mapping[str, Any]], best: str = "") -> None:
        """Offer these encoders, and say which is ``best`` (results of the protocol's ``encoders``).

        What was chosen stays chosen.
        """
        self._trainable = {encoder["name"] for encoder in encoders if encoder.get("trainable") and _is_usable(encoder)}
        rows = range(self.combo.count())
        sources = [str(self.combo.itemData(row)) for row in rows]
        before = self.source if sources else AUTO
        self.combo.clear()
        self._add(f"Best available ({best})" if best else "Best available", AUTO, _BEST)
        for encoder in encoders:
            self._add(encoder["name"], encoder["name"], _about(encoder))
            self.combo.model().item(self.combo.count() - 1).setEnabled(_is_usable(encoder))
        for source in sources:
            if Path(source).is_absolute():
                self._add_file(source)
        self.combo.setCurrentIndex(max(self.combo.findData(before), 0))
        self._explain()

    def show_project(self, project: Project) -> None:
        """Start with the encoder that the project has been embedded with, and offer those trained for it."""
        for file in trained_encoders(project.path):
            if self.combo.findData(str(file)) < 0:
                self._add_file(str(file))
        encoder = encoder_of(project)
        self.choose(source_now(project, encoder) if encoder else AUTO)

    def choose(self, source: str) -> None:
        """Choose an encoder by name or file."""
        if self.combo.findData(source) < 0:
            self._add_file(source)
        self.combo.setCurrentIndex(self.combo.findData(source))

    def show_training(self, state: str, reason: str) -> None:
        """Show how far a training is, and whether another could begin; ``reason`` is why not."""
        self.train_button.setText("Training…" if state else _TRAIN)
        self.train_button.setEnabled(bool(state) or not reason)
        self.train_button.setToolTip(reason or _TRAIN_TIP)
        self.training_note.say(state)

    def _add(self, text: str, source: str, about: str) -> None:
        self.combo.addItem(text, source)
        self.combo.setItemData(self.combo.count() - 1, about, Qt.ItemDataRole.ToolTipRole)

    def _add_file(self, source: str) -> None:
        self._add(Path(source).name, source, source)

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Encoder", "", _KINDS)
        if path:
            self.choose(path)

    def _explain(self, *_news: object) -> None:
        self.note.say(str(self.combo.currentData(Qt.ItemDataRole.ToolTipRole) or ""))


def _is_usable(encoder: Mapping[str, Any]) -> bool:
    return bool(encoder["available"] or encoder.get("downloadable"))


def _about(encoder: Mapping[str, Any]) -> str:
    """An encoder in some lines: what it is, and why it cannot be used or what comes first."""
    facts = [f"{encoder['dimension']:,} numbers a tile" if encoder["dimension"] else "", encoder.get("licence") or ""]
    lines = [encoder["summary"], "; ".join(filter(None, facts))]
    if not _is_usable(encoder):
        lines.insert(0, f"Not available: {encoder['reason']}")
    elif not encoder["available"]:
        lines.append("Its weights are downloaded when it is first used.")
    return "\n".join(filter(None, lines))
