"""Plain records that go into and come out of a project's tables of rasters and tiles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypedDict


@dataclass(frozen=True)
class RasterRecord:
    """One raster of the project, as it was when it was cut into tiles.

    ``bands`` are ``(name, 1-based index in the file)``; ``transform`` holds ``a, b, c, d, e, f`` of
    ``x = a col + b row + c``, ``y = d col + e row + f``; ``crs`` is WKT; ``fingerprint`` tells whether the pixels
    changed. ``raster_id`` is the one its tiles carry. ``name`` (the file's, without ending), ``path_relative`` and
    ``added_at`` are filled in when the record is added, if empty.
    """

    raster_id: int
    path: str
    bands: tuple[tuple[str, int], ...]
    scale: float
    offset: float
    nodata: float | None
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    tile_size: int
    stride: int
    fingerprint: str
    file_size: int
    modified_ns: int
    dtype: str
    name: str = ""
    path_relative: str | None = None
    added_at: str = ""


RASTER_FIELDS = tuple(field.name for field in fields(RasterRecord))
_JSON_FIELDS = ("bands", "transform")


def raster_to_row(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Fields of a raster as its table stores them, in the order given."""
    return tuple(json.dumps(value) if name in _JSON_FIELDS else value for name, value in values.items())


def raster_from_row(row: Sequence[Any]) -> RasterRecord:
    """The record of a row of all ``RASTER_FIELDS``."""
    values = dict(zip(RASTER_FIELDS, row))
    values["bands"] = tuple((str(name), int(index)) for name, index in json.loads(values["bands"]))
    values["transform"] = tuple(float(number) for number in json.loads(values["transform"]))
    return RasterRecord(**values)


class TileRecord(NamedTuple):
    """One tile: ``row`` and ``col`` count tiles of its raster, ``role`` is pool, validation or excluded."""

    tile_id: int
    raster_id: int
    row: int
    col: int
    valid_fraction: float
    role: str


class Counts(TypedDict):
    """Numbers of tiles by role, by current answer, and by class (``class_id`` -> tiles that have it).

    ``labelled`` counts the tiles with at least one class; ``none``, ``skipped`` and ``unsure`` come on top of it.
    """

    pool: int
    validation: int
    excluded: int
    labelled: int
    none: int
    skipped: int
    unsure: int
    classes: dict[int, int]
