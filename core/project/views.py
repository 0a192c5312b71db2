"""The three layers that people open: tiles with their answers, with the query that asked for them, with predictions.

Each is a SQL view on GDAL's ``tiles`` table, listed in the GeoPackage as a layer of polygons. Its key column is named
``OGC_FID``, which is how GDAL and QGIS recognise the key of a view. No view groups rows: the row of a tile is found
through an index, so that a map that asks for one tile or for a rectangle does not read them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ProjectError
from .geopackage import drop_layer, has_table, register_spatial_view, repair_layer

if TYPE_CHECKING:
    from .store import Project

# The names of a tile's classes in the order of the class list, and the first one's colour. The inner ORDER BY is
# honoured: SQLite leaves it out only under aggregates that do not depend on order.
_LABELLED = """
CREATE VIEW IF NOT EXISTS labelled_tiles AS
SELECT t.tile_id AS OGC_FID, t.geom AS geom, t.tile_id AS tile_id, r.name AS raster, t."row" AS "row", t."col" AS "col",
    t.role AS role, l.answer AS answer,
    (SELECT group_concat(name, '; ') FROM (
        SELECT c.name FROM labels k JOIN classes c ON c.class_id = k.class_id
        WHERE k.tile_id = l.tile_id ORDER BY c.position)) AS label,
    l.n_classes AS n_classes,
    (SELECT c.colour FROM labels k JOIN classes c ON c.class_id = k.class_id
        WHERE k.tile_id = l.tile_id ORDER BY c.position LIMIT 1) AS colour,
    e.annotator AS annotator, e.answered_at AS answered_at
FROM labels l
JOIN label_events e ON e.event_id = l.event_id
JOIN tiles t ON t.tile_id = l.tile_id
JOIN rasters r ON r.raster_id = t.raster_id
WHERE l.id = (SELECT min(k.id) FROM labels k WHERE k.tile_id = l.tile_id)
"""

_QUERIED = """
CREATE VIEW IF NOT EXISTS queried_tiles AS
SELECT t.tile_id AS OGC_FID, t.geom AS geom, t.tile_id AS tile_id, r.name AS raster, t."row" AS "row", t."col" AS "col",
    q.round_id AS round_id, q.rank AS rank, q.score AS score, q.reason AS reason, n.strategy AS strategy,
    coalesce((SELECT k.answer FROM labels k WHERE k.tile_id = q.tile_id LIMIT 1), 'open') AS answer
FROM queries q
JOIN rounds n ON n.round_id = q.round_id
JOIN tiles t ON t.tile_id = q.tile_id
JOIN rasters r ON r.raster_id = t.raster_id
WHERE q.query_id = (SELECT max(k.query_id) FROM queries k WHERE k.tile_id = q.tile_id)
"""

_PREDICTED = """
CREATE VIEW IF NOT EXISTS predicted_tiles AS
SELECT t.tile_id AS OGC_FID, t.geom AS geom, t.tile_id AS tile_id, r.name AS raster, t."row" AS "row", t."col" AS "col",
    t.role AS role,
    (SELECT group_concat(name, '; ') FROM (
        SELECT c.name FROM prediction_classes k JOIN classes c ON c.class_id = k.class_id
        WHERE k.prediction_id = p.prediction_id ORDER BY c.position)) AS label,
    p.n_classes AS n_classes, p.probability AS probability, p.uncertainty AS uncertainty,
    (SELECT c.colour FROM prediction_classes k JOIN classes c ON c.class_id = k.class_id
        WHERE k.prediction_id = p.prediction_id ORDER BY c.position LIMIT 1) AS colour
FROM predictions p
JOIN tiles t ON t.tile_id = p.tile_id
JOIN rasters r ON r.raster_id = t.raster_id
WHERE p.generation = (SELECT CAST(value AS INTEGER) FROM quadrat WHERE "key" = 'prediction_generation')
"""

_VIEWS = (
    ("labelled_tiles", _LABELLED, "Tiles that were answered, with their labels"),
    ("queried_tiles", _QUERIED, "Tiles that a query function asked for, in their latest round"),
    ("predicted_tiles", _PREDICTED, "Tiles with the classes that the model predicts"),
)


def register_views(project: Project) -> None:
    """Make the three layers, or refresh their extents after more tiles were added. One transaction.

    Raises:
        ProjectError: there are no tiles yet, or the project cannot be written.
    """
    with project.transaction() as connection:
        if not has_table(connection, "tiles"):
            raise ProjectError(
                f"{project.path.name} has no tiles yet.",
                hint="Cut a raster into tiles first (on the command line: quadrat tile).",
            )
        for name, sql, description in _VIEWS:
            connection.execute(sql)
            register_spatial_view(connection, name, description, source="tiles")


def remove_orphan_tiles(project: Project) -> int:
    """Delete the tiles of rasters without a row in ``rasters``: the rest of a run that was killed. One transaction.

    With no raster at all the whole layer goes, because its reference system was the killed run's choice. Call it
    before tiles are written; it costs a millisecond if there is nothing to do.

    Returns:
        How many tiles were deleted.
    """
    with project.transaction() as connection:
        if not has_table(connection, "tiles"):
            return 0
        (n_orphans,) = connection.execute(
            "SELECT count(*) FROM tiles WHERE raster_id NOT IN (SELECT raster_id FROM rasters)"
        ).fetchone()
        if not connection.execute("SELECT 1 FROM rasters LIMIT 1").fetchone():
            drop_layer(connection, "tiles", [name for name, _, _ in _VIEWS])
        elif n_orphans:
            connection.execute("DELETE FROM tiles WHERE raster_id NOT IN (SELECT raster_id FROM rasters)")
            repair_layer(connection, "tiles")
            # No answer refers to the deleted tiles, so the next ones may have their numbers.
            connection.execute(
                "UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(tile_id), 0) FROM tiles) WHERE name = 'tiles'"
            )
    return int(n_orphans)
