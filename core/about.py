"""Which Quadrat this is."""

from __future__ import annotations

import configparser
from pathlib import Path


def version() -> str:
    """As QGIS's metadata says it: the one place where it is written for the plugin and the engine."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(Path(__file__).resolve().parents[1] / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]
