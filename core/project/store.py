"""The project file: created, opened, read, and changed one transaction at a time.

A project is one GeoPackage, ``NAME.gpkg``. The folder ``NAME.quadrat`` beside it holds what can be computed again
(embeddings, models, logs): losing it loses time, never labels.

- :meth:`Project.create` writes under a temporary name and renames, so a project is whole or absent.
- :meth:`Project.transaction` is the only way to change one; what was committed survives a crash of the program, the
  system or the power (``synchronous=FULL``).
- Only the ``tiles`` layer is written by GDAL. A raster's row is the commit marker of its tiles: add it last.
- A project belongs to the thread that opened it; another thread opens its own.

Answers, classes, rounds and predictions have their functions in the modules beside this one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import ProjectError, UsageError
from ..paths import check_name, exists
from .classes import ClassDraft, LabelClass, check_class_list
from .database import Connector, open_connection, store_setting, translated, utc_now
from .files import check_is_free, check_is_project, check_is_sqlite, write_new_project
from .migrations import NEEDS_QUADRAT, SCHEMA_VERSION, check_schema, migrate
from .records import RASTER_FIELDS, Counts, RasterRecord, TileRecord, raster_from_row, raster_to_row

__all__ = ["MODES", "Counts", "Project", "RasterRecord", "TileRecord"]

MODES = ("single", "multi")


def check_tile_size(size_px: int) -> None:
    """Refuse tiles that nothing could be seen on, or that a raster would hardly hold.

    Raises:
        UsageError: not 16 to 1024 px.
    """
    if not 16 <= size_px <= 1024:
        raise UsageError(
            f"A tile cannot be {size_px} pixels wide.", hint="Choose 16 to 1024; the methods are made for 64."
        )


class Project:
    """An open project; use it as a context manager, or call :meth:`close`."""

    def __init__(self, path: Path, connector: Connector, *, writable: bool) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.path = path
        self.writable = writable
        self._connector = connector
        self.mode = self.setting("mode") or MODES[0]

    @classmethod
    def create(cls, path: str | Path, classes: Sequence[ClassDraft], mode: str, *, tile_size: int = 64) -> Project:
        """Make a new project and open it for writing.

        Args:
            path: where to, ending in ``.gpkg``; nothing may be there yet.
            classes: what to label with; missing colours and keys are filled in.
            mode: ``"single"`` (one class a tile) or ``"multi"`` (any number, including none).
            tile_size: side of a tile in pixels.

        Raises:
            UsageError: bad class list, mode or tile size.
            ProjectError: the path exists, ends otherwise, or cannot be written.
        """
        path = Path(path).absolute()
        check_name(path)
        drafts = check_class_list(classes)
        if mode not in MODES:
            raise UsageError(f"There is no label mode called {mode!r}.", hint="Choose single or multi.")
        check_tile_size(tile_size)
        check_is_free(path)
        settings = {
            "schema_version": str(SCHEMA_VERSION),
            "needs_quadrat": NEEDS_QUADRAT,
            "mode": mode,
            "tile_size": str(tile_size),
            "prediction_generation": "0",
        }
        write_new_project(path, settings, drafts)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = True, busy_timeout_s: float = 5.0) -> Project:
        """Open an existing project; one of an older schema is copied, then upgraded.

        Args:
            path: the ``.gpkg`` file.
            writable: False to only read, also from a read-only file or folder.
            busy_timeout_s: how long to wait for another program's transaction before giving up.

        Raises:
            ProjectError: missing, not a project, damaged, read-only, in use, or of a newer schema.
        """
        path = Path(path).absolute()
        check_name(path)
        check_is_sqlite(path, writable=writable)
        with translated(path):
            # Looked at without changing anything, because it may be someone else's file.
            first = open_connection(path, writable=writable, busy_timeout_s=busy_timeout_s)
            with contextlib.closing(first):
                check_is_project(first, path)
                check_schema(first, path, writable=writable)
            connector = Connector(path, writable=writable, busy_timeout_s=busy_timeout_s)
            try:
                if writable:
                    migrate(connector.get(), path)
                    connector.get().executescript("BEGIN IMMEDIATE; ROLLBACK")  # says now if it is in use
                return cls(path, connector, writable=writable)
            except BaseException:
                connector.close()
                raise

    def close(self) -> None:
        """Close the file; afterwards it is a single file again, unless another program has it open."""
        self._connector.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """``NAME.quadrat`` beside the project, for what can be computed again; made if the project is writable.

        Raises:
            ProjectError: it cannot be made.
        """
        folder = self.path.with_suffix(".quadrat")
        if self.writable:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise ProjectError(
                    f"The folder {folder.name} beside the project cannot be made.",
                    hint="Check that nothing else has this name, that the folder is writable and the disk not full.",
                    details=str(error),
                ) from error
        return folder

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All changes made in the block, or none if it raises: ``with project.transaction() as connection``.

        Raises:
            ProjectError: read-only, locked, disk full, damaged. Nothing of the block was kept.
        """
        if not self.writable:
            raise ProjectError(f"{self.path.name} was opened for reading only.", hint="Open it for writing.")
        with translated(self.path):
            connection = self._connector.get()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def lent(self) -> Iterator[Path]:
        """The file, for GDAL to read or write; our own connection is closed meanwhile and back afterwards.

        GDAL brings its own copy of SQLite, and two copies in one process do not see each other's locks. Always use
        this where GDAL touches an open project in the same process, outside any transaction.
        """
        self._connector.close()
        try:
            yield self.path
        finally:
            with translated(self.path):
                self._connector.reopen()

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of one query.

        Raises:
            ProjectError: the file is locked or damaged.
        """
        with translated(self.path):
            return self._connector.get().execute(sql, parameters).fetchall()

    def setting(self, key: str, default: str | None = None) -> str | None:
        """The text stored under ``key``."""
        rows = self.read('SELECT value FROM quadrat WHERE "key" = ?', (key,))
        return rows[0][0] if rows else default

    def set_setting(self, key: str, value: str) -> None:
        """Store a text under ``key``. One transaction."""
        with self.transaction() as connection:
            store_setting(connection, key, value)

    @property
    def tile_size(self) -> int:
        """Side of a tile in pixels, as chosen when the project was created."""
        return int(self.setting("tile_size") or 64)

    def classes(self) -> list[LabelClass]:
        """The class list, in its order."""
        return [
            LabelClass(*row)
            for row in self.read('SELECT class_id, name, colour, "key", position FROM classes ORDER BY position')
        ]

    def rasters(self) -> list[RasterRecord]:
        """The rasters whose tiles are complete, by ``raster_id``."""
        columns = ", ".join(f'"{name}"' for name in RASTER_FIELDS)
        return [raster_from_row(row) for row in self.read(f"SELECT {columns} FROM rasters ORDER BY raster_id")]  # noqa: S608

    def next_raster_id(self) -> int:
        """A number that no raster and no tile has yet: what to write into the tiles before :meth:`add_raster`."""
        tables = ["rasters", "tiles"] if self._is_tiled() else ["rasters"]
        return 1 + max(int(self.read(f"SELECT coalesce(max(raster_id), 0) FROM {table}")[0][0]) for table in tables)  # noqa: S608

    def add_raster(self, record: RasterRecord) -> int:
        """Record a raster whose tiles are written, which makes them count; returns its ``raster_id``."""
        record = replace(
            record,
            name=record.name or Path(record.path).stem,
            path_relative=record.path_relative or self.relative_path(record.path),
            added_at=record.added_at or utc_now(),
        )
        columns = ", ".join(f'"{name}"' for name in RASTER_FIELDS)
        places = ", ".join("?" for _ in RASTER_FIELDS)
        with self.transaction() as connection:
            connection.execute(f"INSERT INTO rasters ({columns}) VALUES ({places})", raster_to_row(asdict(record)))  # noqa: S608
        return record.raster_id

    def update_raster(self, raster_id: int, /, **changes: Any) -> None:
        """Change fields of a raster's record, for example ``path`` after it moved. One transaction.

        Raises:
            UsageError: there is no such raster or field.
        """
        unknown = set(changes) - (set(RASTER_FIELDS) - {"raster_id"})
        if unknown or not changes:
            raise UsageError(f"A raster has no field to change called {', '.join(sorted(unknown)) or 'nothing'}.")
        columns = ", ".join(f'"{name}" = ?' for name in changes)
        with self.transaction() as connection:
            row = (*raster_to_row(changes), raster_id)
            if not connection.execute(f"UPDATE rasters SET {columns} WHERE raster_id = ?", row).rowcount:  # noqa: S608
                raise UsageError(f"The project has no raster {raster_id}.")

    def relative_path(self, path: str | Path) -> str | None:
        """``path`` as seen from the project's folder, with forward slashes; None on another drive."""
        try:
            return Path(os.path.relpath(path, self.path.parent)).as_posix()
        except ValueError:
            return None

    def find_raster(self, record: RasterRecord) -> Path | None:
        """Where the raster is now: relative to the project first (it may have moved along), else where it was."""
        candidates = [Path(record.path)]
        if record.path_relative:
            candidates.insert(0, self.path.parent / record.path_relative)
        return next((Path(os.path.normpath(path)) for path in candidates if exists(path)), None)

    def tiles(self, roles: Sequence[str] | None = None) -> list[TileRecord]:
        """The tiles of all recorded rasters, or those with one of ``roles``, by ``tile_id``; [] before tiling."""
        if not self._is_tiled():
            return []
        rows = self.read(
            'SELECT tile_id, raster_id, "row", "col", valid_fraction, role FROM tiles'
            " WHERE raster_id IN (SELECT raster_id FROM rasters) ORDER BY tile_id"
        )
        tiles = map(TileRecord._make, rows)
        return list(tiles) if roles is None else [tile for tile in tiles if tile.role in roles]

    def has_tiles(self) -> bool:
        """Whether there is at least one tile of a recorded raster."""
        sql = "SELECT 1 FROM tiles WHERE raster_id IN (SELECT raster_id FROM rasters) LIMIT 1"
        return self._is_tiled() and bool(self.read(sql))

    def counts(self) -> Counts:
        """How many tiles there are of each role, with each answer, and with each class."""
        by_role: dict[str, int] = {}
        if self._is_tiled():
            sql = "SELECT role, count(*) FROM tiles WHERE raster_id IN (SELECT raster_id FROM rasters) GROUP BY role"
            by_role = dict(self.read(sql))
        answers = dict(self.read("SELECT answer, count(DISTINCT tile_id) FROM labels GROUP BY answer"))
        of_class = dict(self.read("SELECT class_id, count(*) FROM labels WHERE class_id IS NOT NULL GROUP BY class_id"))
        return Counts(
            pool=by_role.get("pool", 0),
            validation=by_role.get("validation", 0),
            excluded=by_role.get("excluded", 0),
            labelled=answers.get("classes", 0),
            none=answers.get("none", 0),
            skipped=answers.get("skip", 0),
            unsure=answers.get("unsure", 0),
            classes={label_class.class_id: of_class.get(label_class.class_id, 0) for label_class in self.classes()},
        )

    def _is_tiled(self) -> bool:
        return bool(self.read("SELECT 1 FROM sqlite_master WHERE name = 'tiles'"))
