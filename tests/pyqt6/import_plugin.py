"""Imports every module of the plugin with PyQt6; exit status 1 and a line for each that cannot be."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path

import qgis_for_qt6
from PyQt6.QtCore import QT_VERSION_STR
from PyQt6.QtWidgets import QApplication

import quadrat

PLUGIN = Path(quadrat.__file__).parent / "plugin"


def _name(path: Path) -> str:
    return ".".join(("quadrat", *path.relative_to(PLUGIN.parent).with_suffix("").parts)).removesuffix(".__init__")


def main() -> int:
    """Try all, so that one run shows everything."""
    qgis_for_qt6.install()
    application = QApplication([])  # fonts and icons need one
    failed = 0
    for name in map(_name, sorted(PLUGIN.rglob("*.py"))):
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - whatever a module raises is told
            failed += 1
            sys.stderr.write(f"{name}:\n{traceback.format_exc()}\n")
    sys.stdout.write(f"{type(application).__name__} of Qt {QT_VERSION_STR}\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
