"""Is a file a valid GeoPackage? Checked with nothing but sqlite3, after OGC 12-128r17 (clauses 1.1, 2.1, F.3)."""

import re
import sqlite3
import struct
from contextlib import closing

REQUIRED_COLUMNS = {
    "gpkg_spatial_ref_sys": {"srs_name", "srs_id", "organization", "organization_coordsys_id", "definition"},
    "gpkg_contents": {"table_name", "data_type", "identifier", "last_change", "min_x", "min_y", "max_x", "max_y"},
    "gpkg_geometry_columns": {"table_name", "column_name", "geometry_type_name", "srs_id", "z", "m"},
}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
COLUMN_TYPE = re.compile(
    r"(BOOLEAN|TINYINT|SMALLINT|MEDIUMINT|INT|INTEGER|FLOAT|DOUBLE|REAL|TEXT(\(\d+\))?|BLOB(\(\d+\))?|DATE|DATETIME"
    r"|POLYGON|)"
)


def problems(path):
    """One line for each rule that the file at ``path`` breaks; [] for a valid GeoPackage."""
    with closing(sqlite3.connect(path)) as db:
        found = [*_file(db), *_required_tables(db)]
        if found:
            return found
        return [*_contents(db), *_features(db), *_integrity(db)]


def _one(db, sql, *parameters):
    return db.execute(sql, parameters).fetchone()[0]


def _columns(db, table):
    return {row[1]: row for row in db.execute(f'PRAGMA table_info("{table}")')}


def _file(db):
    if _one(db, "PRAGMA application_id") != int.from_bytes(b"GPKG", "big"):
        yield "the application id is not GPKG"
    if _one(db, "PRAGMA user_version") not in (10200, 10300, 10400):
        yield "the user version is no GeoPackage version"


def _required_tables(db):
    for table, columns in REQUIRED_COLUMNS.items():
        missing = columns - set(_columns(db, table))
        if missing:
            yield f"{table} lacks {sorted(missing)}"


def _contents(db):
    srs_ids = {row[0] for row in db.execute("SELECT srs_id FROM gpkg_spatial_ref_sys")}
    if not {-1, 0, 4326} <= srs_ids:
        yield "one of the three required reference systems is missing"
    relations = dict(db.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"))
    for table, kind, changed, srs_id in db.execute(
        "SELECT table_name, data_type, last_change, srs_id FROM gpkg_contents"
    ):
        if table not in relations:
            yield f"{table} is listed but does not exist"
            continue
        if kind not in ("features", "attributes"):
            yield f"{table} has the unknown data type {kind}"
        if not TIMESTAMP.fullmatch(changed):
            yield f"{table} was last changed at {changed!r}"
        if srs_id is not None and srs_id not in srs_ids:
            yield f"{table} has the unknown reference system {srs_id}"
        yield from _columns_of(db, table, relations[table])


def _columns_of(db, table, relation):
    columns = _columns(db, table).values()
    if relation == "table" and [row[2].upper() for row in columns if row[5]] != ["INTEGER"]:
        yield f"{table} has no integer primary key"
    for row in columns:
        if relation == "table" and not COLUMN_TYPE.fullmatch(row[2].upper()):
            yield f"{table}.{row[1]} has the type {row[2]}"


def _features(db):
    listed = {row[0] for row in db.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'")}
    geometry = {row[0]: row for row in db.execute("SELECT * FROM gpkg_geometry_columns")}
    if listed != set(geometry):
        yield f"feature tables {listed} but geometry columns of {set(geometry)}"
    indexed = set(db.execute("SELECT table_name FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index'"))
    for table in listed & set(geometry):
        _, column, geometry_type, srs_id, _, _ = geometry[table]
        if column not in _columns(db, table):
            yield f"{table} has no column {column}"
            continue
        if geometry_type != "POLYGON":
            yield f"{table} has geometries of type {geometry_type}"
        if srs_id != _one(db, "SELECT srs_id FROM gpkg_contents WHERE table_name = ?", table):
            yield f"{table} has two reference systems"
        boxes = list(_boxes(db, table, column))
        yield from _extent(db, table, boxes)
        is_table = _one(db, "SELECT type FROM sqlite_master WHERE name = ?", table) == "table"
        if is_table and (table,) not in indexed:
            yield f"{table} has no registered r-tree"
        if (table,) in indexed and _one(db, f'SELECT count(*) FROM "rtree_{table}_{column}"') != len(boxes):
            yield f"the r-tree of {table} does not have {len(boxes)} entries"


def _boxes(db, table, column):
    """(min_x, max_x, min_y, max_y) of each geometry that is not empty, from the envelopes in the headers."""
    for (blob,) in db.execute(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'):
        assert blob[:2] == b"GP"
        flags = blob[3]
        if not flags & 0b10000:
            assert flags >> 1 & 0b111 == 1, "an envelope is expected"
            yield struct.unpack_from("<4d" if flags & 1 else ">4d", blob, 8)


def _extent(db, table, boxes):
    stated = db.execute(
        "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?", (table,)
    ).fetchone()
    if not boxes:
        return
    west, east, south, north = zip(*boxes, strict=True)
    real = min(west), min(south), max(east), max(north)
    is_view = _one(db, "SELECT type FROM sqlite_master WHERE name = ?", table) == "view"
    holds = None not in stated and stated[0] <= real[0] and stated[1] <= real[1]
    holds = holds and stated[2] >= real[2] and stated[3] >= real[3]
    if not (holds if is_view else stated == real):
        yield f"{table} states the extent {stated}, its geometries have {real}"


def _integrity(db):
    if _one(db, "PRAGMA integrity_check") != "ok":
        yield "the integrity check fails"
    broken = db.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        yield f"foreign keys are broken: {broken[:3]}"
    if _columns(db, "gpkg_ogr_contents"):
        for table, stated in db.execute("SELECT table_name, feature_count FROM gpkg_ogr_contents"):
            real = _one(db, f'SELECT count(*) FROM "{table}"')
            if stated is not None and stated != real:
                yield f"GDAL counts {stated} features in {table}, there are {real}"
