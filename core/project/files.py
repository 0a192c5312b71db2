"""A project as a file: recognising one, and making one that is whole or absent."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ProjectError
from ..paths import exists, is_folder
from .classes import ClassDraft
from .database import translated
from .geopackage import create_container, has_table, register_attributes

_SQLITE_MAGIC = b"SQLite format 3\0"
_CHOOSE_ANOTHER = "Choose the .gpkg file of a Quadrat project, or make a new one (on the command line: quadrat init)."

_TABLES = (
    ("quadrat", "Settings of the Quadrat project"),
    ("rasters", "Rasters that were cut into tiles"),
    ("classes", "Classes to label with"),
    ("rounds", "Rounds of queries"),
    ("queries", "Tiles that were asked for in each round"),
    ("label_events", "Every answer ever given, append-only"),
    ("labels", "Current answers, a row per tile and class"),
    ("predictions", "Predictions, a row per tile"),
    ("prediction_classes", "Predicted classes, a row per tile and class"),
)


def check_is_free(path: Path) -> None:
    """Refuse a place where no new project can be made.

    Raises:
        ProjectError: something is there already, the ending is not ``.gpkg``, or there is no such folder.
    """
    if path.suffix.lower() != ".gpkg":
        raise ProjectError(
            f"{path.name} is not a name for a project.", hint="A project is a GeoPackage: let the name end in .gpkg."
        )
    if os.path.lexists(path):
        raise _exists(path)
    if not is_folder(path.parent):
        raise ProjectError(f"There is no folder {path.parent}.", hint="Make it first, or choose another.")
    if not os.access(path.parent, os.W_OK):
        raise ProjectError(
            f"No project can be made in {path.parent}, because the folder is read-only.",
            hint="Choose a folder that you may write to.",
        )


def check_is_sqlite(path: Path, *, writable: bool) -> None:
    """Look at the file from outside before SQLite opens it.

    Raises:
        ProjectError: missing, a folder, unreadable, no SQLite file, or read-only although ``writable`` is wanted.
    """
    if is_folder(path):
        raise ProjectError(f"{path.name} is a folder, not a project.", hint=_CHOOSE_ANOTHER)
    if not exists(path):
        raise ProjectError(f"There is no project {path}.", hint=_CHOOSE_ANOTHER)
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise ProjectError(
            f"{path.name} cannot be read.", hint="Check that you may read it.", details=str(error)
        ) from error
    if beginning != _SQLITE_MAGIC:
        raise ProjectError(
            f"{path.name} is not a project: it is {'not a GeoPackage' if beginning else 'empty'}.", hint=_CHOOSE_ANOTHER
        )
    if writable and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise ProjectError(
            f"{path.name} cannot be changed, because the file or its folder is read-only.",
            hint="Make both writable, or copy the project to a folder of your own.",
        )


def check_is_project(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a SQLite file or GeoPackage that Quadrat did not make.

    Raises:
        ProjectError: it has no settings table with a schema version.
    """
    columns = {row[1] for row in connection.execute("PRAGMA table_info(quadrat)")}
    if {"key", "value"} <= columns:
        row = connection.execute("SELECT value FROM quadrat WHERE \"key\" = 'schema_version'").fetchone()
        if row is not None and str(row[0]).isdigit():
            return
    kind = "a GeoPackage" if has_table(connection, "gpkg_contents") else "a SQLite database"
    raise ProjectError(f"{path.name} is {kind}, but not a Quadrat project.", hint=_CHOOSE_ANOTHER)


def write_new_project(path: Path, settings: Mapping[str, str], drafts: Sequence[ClassDraft]) -> None:
    """Write an empty project under a temporary name, then give it its own.

    Raises:
        ProjectError: it cannot be written, or something appeared at ``path`` meanwhile; nothing is left behind.
    """
    temporary = path.with_name(f".quadrat-{uuid.uuid4().hex}.new")
    try:
        with translated(path), contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            _fill(connection, settings, drafts)
        _rename_to_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _fill(connection: sqlite3.Connection, settings: Mapping[str, str], drafts: Sequence[ClassDraft]) -> None:
    create_container(connection)
    connection.executescript(Path(__file__).with_name("schema.sql").read_text(encoding="utf-8"))
    connection.execute("BEGIN")
    for table, description in _TABLES:
        register_attributes(connection, table, description)
    connection.executemany('INSERT INTO quadrat ("key", value) VALUES (?, ?)', settings.items())
    connection.executemany(
        'INSERT INTO classes (name, colour, "key", position) VALUES (?, ?, ?, ?)',
        [(draft.name, draft.colour, draft.key, position) for position, draft in enumerate(drafts)],
    )
    connection.execute("COMMIT")


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename, but never over a file that appeared meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without hard links, such as a memory card's
        if os.path.lexists(path):
            raise _exists(path) from None
        temporary.rename(path)


def _exists(path: Path) -> ProjectError:
    return ProjectError(
        f"{path.name} exists already and was left as it is.",
        hint="Open it instead of making it, or choose another name.",
    )
