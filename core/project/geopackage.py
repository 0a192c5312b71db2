"""What makes a SQLite file a GeoPackage, written with nothing but SQL (OGC 12-128r17, GeoPackage 1.3).

1. :func:`create_container` makes the tables that every GeoPackage has.
2. :func:`register_attributes` lists a table without geometry, :func:`register_spatial_view` a view that carries the
   geometry of a feature table; then any GIS shows them as layers.
3. GDAL makes and fills the feature table itself. :func:`repair_layer` and :func:`drop_layer` set it right after a
   writer was killed. Plain SQLite may delete from it (its triggers for that need no GDAL function), but not insert.

Nothing here commits: callers hold the transaction.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<2sBB")
_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}


class Extent(NamedTuple):
    """Bounds in the units of the layer's reference system."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float


def create_container(connection: sqlite3.Connection) -> None:
    """Make an empty database a GeoPackage without contents."""
    connection.executescript(Path(__file__).with_name("geopackage.sql").read_text(encoding="utf-8"))


def register_attributes(connection: sqlite3.Connection, table: str, description: str) -> None:
    """List ``table`` (with an integer primary key) among the contents."""
    connection.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description) VALUES (?, 'attributes', ?, ?)",
        (table, table, description),
    )


def register_spatial_view(connection: sqlite3.Connection, view: str, description: str, *, source: str) -> None:
    """List ``view``, whose geometry column is that of the feature table ``source``; again to refresh its extent."""
    connection.execute(
        "INSERT OR REPLACE INTO gpkg_contents"
        " (table_name, data_type, identifier, description, min_x, min_y, max_x, max_y, srs_id)"
        " SELECT ?, 'features', ?, ?, min_x, min_y, max_x, max_y, srs_id FROM gpkg_contents WHERE table_name = ?",
        (view, view, description, source),
    )
    connection.execute(
        "INSERT OR REPLACE INTO gpkg_geometry_columns"
        " SELECT ?, column_name, geometry_type_name, srs_id, z, m FROM gpkg_geometry_columns WHERE table_name = ?",
        (view, source),
    )


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether there is a table or view called ``name``."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def drop_layer(connection: sqlite3.Connection, table: str, views: Iterable[str] = ()) -> None:
    """Remove a feature table with its spatial index, its registered ``views`` and every mention of them."""
    for name in (*views, table):
        for listing in ("gpkg_extensions", "gpkg_ogr_contents", "gpkg_geometry_columns", "gpkg_contents"):
            if has_table(connection, listing):
                connection.execute(f"DELETE FROM {listing} WHERE table_name = ?", (name,))  # noqa: S608 - own names
    for name in views:
        connection.execute(f'DROP VIEW IF EXISTS "{name}"')
    connection.execute(f'DROP TABLE IF EXISTS "rtree_{table}_geom"')
    connection.execute(f'DROP TABLE IF EXISTS "{table}"')


def repair_layer(connection: sqlite3.Connection, table: str) -> None:
    """Set the listed extent and GDAL's feature count of ``table`` to what its rows say."""
    blobs = connection.execute(f'SELECT geom FROM "{table}"')  # noqa: S608 - own name
    extent = union_of(geometry_extent(blob) for (blob,) in blobs)
    connection.execute(
        "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ?,"
        " last_change = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE table_name = ?",
        (*(extent or (None, None, None, None)), table),
    )
    if has_table(connection, "gpkg_ogr_contents"):
        connection.execute(
            f'UPDATE gpkg_ogr_contents SET feature_count = (SELECT count(*) FROM "{table}")'  # noqa: S608 - own name
            " WHERE table_name = ?",
            (table,),
        )


def geometry_extent(blob: bytes | None) -> Extent | None:
    """Bounds of one GeoPackage geometry from the envelope in its header; None if it is empty or has no envelope.

    Header (clause 2.1.3): ``GP``, version, flags (bit 0 little-endian, bits 1-3 kind of envelope, bit 4 empty),
    srs_id, then min_x, max_x, min_y, max_y as doubles.
    """
    if blob is None:
        return None
    magic, _, flags = _HEADER.unpack_from(blob)
    if magic != b"GP" or flags & 0b10000 or not _ENVELOPE_BYTES.get(flags >> 1 & 0b111):
        return None
    min_x, max_x, min_y, max_y = struct.unpack_from("<4d" if flags & 1 else ">4d", blob, 8)
    return Extent(min_x, min_y, max_x, max_y)


def union_of(extents: Iterable[Extent | None]) -> Extent | None:
    """The bounds that hold all ``extents``; None if there are none."""
    known = [extent for extent in extents if extent is not None]
    if not known:
        return None
    west, south, east, north = zip(*known)
    return Extent(min(west), min(south), max(east), max(north))
