"""The class lists that come with Quadrat, by the names people know, and reading one from a file."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtWidgets import QFileDialog, QWidget

from ...core.project.classes import PRESETS

_TITLES = {
    "eurosat-10": "EuroSAT, 10 classes",
    "bigearthnet-19": "BigEarthNet, 19 classes",
    "corine-level-1": "CORINE level 1, 5 classes",
    "ucmerced-17": "UC Merced (multi-label), 17 classes",
    "worldcover-11": "ESA WorldCover, 11 classes",
}


def preset_titles() -> list[tuple[str, str]]:
    """``(title, name)`` of each preset."""
    return [(_TITLES.get(name, name), name) for name in PRESETS]


def ask_for_class_file(parent: QWidget, folder: Path) -> str:
    """The path of a class list that the analyst chose, empty if none."""
    kinds = "Class lists (*.csv *.txt);;All files (*)"
    path, _ = QFileDialog.getOpenFileName(parent, "Class list", str(folder), kinds)
    return str(path)
