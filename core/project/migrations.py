"""Schema versions: which one this Quadrat reads, and how older projects are brought up to it.

To change the schema: raise :data:`SCHEMA_VERSION` and :data:`NEEDS_QUADRAT`, change ``schema.sql``, and append the
:class:`Step` that does the same to an existing file. A project is copied before its first step, and each step is one
transaction, so a step that fails or is killed leaves a project of the version before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError
from .database import store_setting, translated

SCHEMA_VERSION = 1
NEEDS_QUADRAT = "0.1.0"  # the oldest Quadrat that reads SCHEMA_VERSION; written into every project


@dataclass(frozen=True)
class Step:
    """Brings a project from schema ``from_version`` to the next; ``apply`` neither commits nor rolls back."""

    from_version: int
    apply: Callable[[sqlite3.Connection], None]


STEPS: tuple[Step, ...] = ()


def schema_version(connection: sqlite3.Connection) -> int:
    """The schema version that the project states."""
    row = connection.execute("SELECT value FROM quadrat WHERE \"key\" = 'schema_version'").fetchone()
    return int(row[0])


def check_schema(connection: sqlite3.Connection, path: Path, *, writable: bool) -> None:
    """Refuse a project of a newer schema, and one of an older schema that may not be upgraded now.

    Raises:
        ProjectError: the schema is newer (the sentence names the Quadrat it needs), or older and the project is
            opened for reading only.
    """
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        row = connection.execute("SELECT value FROM quadrat WHERE \"key\" = 'needs_quadrat'").fetchone()
        needed = f"Quadrat {row[0]} or later" if row else "a newer Quadrat"
        raise ProjectError(
            f"{path.name} needs {needed}: its schema is version {version}, this Quadrat reads up to {SCHEMA_VERSION}.",
            hint=f"Install {needed} and open the project with it. Nothing was changed.",
        )
    if version < SCHEMA_VERSION and not writable:
        raise ProjectError(
            f"{path.name} was made by an older Quadrat and has to be upgraded before it can be read.",
            hint="Open it once for writing; a copy of it is made first.",
        )


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    steps: Sequence[Step] = STEPS,
    target: int = SCHEMA_VERSION,
    needs_quadrat: str = NEEDS_QUADRAT,
) -> Path | None:
    """Bring the project at ``path`` up to schema ``target``.

    Args:
        connection: writable, with explicit transactions (``isolation_level=None``).
        path: the project's file; the copy goes beside it.
        steps: what to do from each version on.
        target: the version to reach.
        needs_quadrat: the oldest Quadrat that reads ``target``.

    Returns:
        The copy of the project as it was, ``NAME.schema-1-backup.gpkg``; None if nothing had to be done.

    Raises:
        ProjectError: there is no way to ``target``, the copy cannot be made, or a step failed. The project then has
            the last version that was reached.
    """
    version = schema_version(connection)
    if version >= target:
        return None
    by_version = {step.from_version: step for step in steps}
    if not all(v in by_version for v in range(version, target)):
        raise ProjectError(
            f"{path.name} has schema version {version}, from which this Quadrat cannot upgrade it to {target}.",
            hint="Open it once with an earlier Quadrat. Nothing was changed.",
        )
    copy = _back_up(connection, path, version)
    for v in range(version, target):
        _take(connection, by_version[v], needs_quadrat, path, copy)
    return copy


def _take(connection: sqlite3.Connection, step: Step, needs_quadrat: str, path: Path, copy: Path) -> None:
    version = step.from_version
    try:
        connection.execute("BEGIN IMMEDIATE")
        # Another program may have taken the step while this one waited for the lock.
        if schema_version(connection) == version:
            step.apply(connection)
            store_setting(connection, "schema_version", str(version + 1))
            store_setting(connection, "needs_quadrat", needs_quadrat)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            raise
        raise ProjectError(
            f"Upgrading {path.name} from schema version {version} to {version + 1} failed.",
            hint=f"The project stays at version {version}; a copy from before is {copy.name}.",
            details=str(error),
        ) from error


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """A copy of the project beside it, never over an existing file."""
    copy = path.with_name(f"{path.stem}.schema-{version}-backup.gpkg")
    number = 2
    while copy.exists():
        copy = path.with_name(f"{path.stem}.schema-{version}-backup-{number}.gpkg")
        number += 1
    with translated(copy):
        target = sqlite3.connect(copy)
        try:
            connection.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            target.close()
            copy.unlink(missing_ok=True)
            raise
        target.close()
    return copy
