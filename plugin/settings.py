"""What Quadrat remembers of its user between sessions, in QGIS's own settings."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsSettings

from ..core.paths import is_file

_PREFIX = "quadrat/"
RECENT_PROJECTS = 8


def read(name: str, default: str = "") -> str:
    """The text stored under ``name``."""
    return str(QgsSettings().value(_PREFIX + name, default) or default)


def write(name: str, value: str) -> None:
    """Store a text under ``name``."""
    QgsSettings().setValue(_PREFIX + name, value)


def read_flag(name: str, default: bool) -> bool:
    """The yes or no stored under ``name``."""
    return read(name, "true" if default else "false") == "true"


def write_flag(name: str, value: bool) -> None:
    """Store a yes or no under ``name``."""
    write(name, "true" if value else "false")


def recent_projects() -> list[Path]:
    """Projects that were open lately and are still there, the latest first."""
    return [path for path in map(Path, filter(None, read("recent").split("\n"))) if is_file(path)]


def remember_project(path: Path) -> None:
    """Put a project first among the recent ones."""
    others = [item for item in recent_projects() if item != path]
    write("recent", "\n".join(str(item) for item in [path, *others][:RECENT_PROJECTS]))
