"""Arrays with one row a tile, made once and kept beside the project: one memory-mapped file for each raster.

The name of a file ends with a key made of everything that could change a number in it: what makes the rows, the
raster's content, bands, scale, offset and the list of tiles. :mod:`.array_files` says what it is called until it is
whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_files import ArrayFile
from .imagery.reader import read_tiles
from .monitor import Monitor
from .project.store import Project, RasterRecord, TileRecord
from .scenes import changed, grid_of, has_changed, open_scene

KEY_LENGTH = 16
"""Letters of the key in the name of a file."""
HALF_MAXIMUM = float(np.finfo(np.float16).max)

Advance = Callable[[float], None]
Convert = Callable[[NDArray[np.float32], Advance], NDArray[Any]]
"""Pixels (n, bands, H, W) to rows (n, ...); to be told what share of them is done, and stopping where it is called."""


@dataclass(frozen=True)
class Part:
    """The tiles of one raster and the file that holds, or will hold, their rows."""

    record: RasterRecord
    tiles: list[TileRecord]
    key: str
    file: Path


def plan_parts(
    project: Project, roles: Sequence[str], file_of: Callable[[int, str], Path], fingerprint: str, bands: Sequence[str]
) -> list[Part]:
    """The rasters of the project with their tiles, in the order of the tiles' numbers.

    Args:
        project: with tiles.
        roles: those of the tiles that get a row.
        file_of: where the file for a raster's number and a key belongs.
        fingerprint: changes whenever the same pixels could give another row.
        bands: those that are read.
    """
    tiles_of: dict[int, list[TileRecord]] = {}
    for tile in project.tiles(roles):
        tiles_of.setdefault(tile.raster_id, []).append(tile)
    parts = []
    for record in project.rasters():
        tiles = tiles_of.get(record.raster_id, [])
        if tiles:
            key = _key(record, tiles, fingerprint, bands)
            parts.append(Part(record, tiles, key, file_of(record.raster_id, key[:KEY_LENGTH])))
    return parts


def _key(record: RasterRecord, tiles: Sequence[TileRecord], fingerprint: str, bands: Sequence[str]) -> str:
    facts = [
        fingerprint,
        record.fingerprint,
        [(name, index) for name, index in record.bands if name in bands],
        (record.scale, record.offset, record.nodata, record.tile_size, record.stride),
    ]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(np.array([(tile.tile_id, tile.row, tile.col) for tile in tiles], np.int64).tobytes())
    return digest.hexdigest()


def make_part(
    project: Project, part: Part, bands: tuple[str, ...], convert: Convert, what: str, message: str, monitor: Monitor
) -> None:
    """Write the file of one raster, in half precision, going on where an earlier run stopped.

    Args:
        project: whose raster it is.
        part: the tiles and the file.
        bands: in the order in which ``convert`` gets them.
        convert: makes the rows of some tiles.
        what: how the rows are called, if there is no room for them.
        message: what the progress is called.
        monitor: told of every chunk; a cancelled run goes on from the last one.

    Raises:
        ProjectError: the disk is full.
        ImageryError: the raster is missing, changed or truncated.
    """
    raster = open_scene(project, part.record)
    rows = np.array([tile.row for tile in part.tiles])
    cols = np.array([tile.col for tile in part.tiles])
    array = ArrayFile(part.file, what)
    start, seen, matrix = array.resume()
    message = f"{message} {raster.path.name}"
    silent = Monitor(is_cancelled=monitor.is_cancelled)  # the progress that counts is that of the rows
    batches = read_tiles(raster, grid_of(part.record), rows, cols, bands=bands, first_chunk=start, monitor=silent)
    with ThreadPoolExecutor(1, "quadrat-writer") as writer, closing(batches):
        written = writer.submit(lambda: None)
        for batch in batches:
            count = len(batch.positions)

            def advance(share: float, done: int = seen, more: int = count) -> None:
                monitor.advance((done + more * share) / len(part.tiles), message)

            made = convert(batch.pixels, advance)
            if matrix is None:
                matrix = array.allocate((len(part.tiles), *made.shape[1:]))
            with np.errstate(over="ignore"):  # what half precision cannot hold becomes infinite
                matrix[batch.positions] = made.astype(np.float16)
            seen += count
            written.result()
            # A slow disk keeps nobody from making the next ones.
            written = writer.submit(array.save, matrix, batch.chunk + 1, seen)
            monitor.advance(seen / len(part.tiles), message)
        written.result()
    del matrix
    array.finish()


def check_unchanged(project: Project, part: Part) -> None:
    """Refuse rows of a raster that has changed; one that is away does not matter to rows that are there.

    Raises:
        ImageryError: its content is another than when it was tiled.
    """
    path = project.find_raster(part.record)
    if path is not None and has_changed(path, part.record):
        raise changed(project, path)


def remove_stale(folder: Path, parts: Sequence[Part], prefixes: tuple[str, ...]) -> None:
    """Delete the files that no longer belong to anything, if their names start with one of the prefixes."""
    keep = {part.file.name for part in parts}
    for file in folder.glob("*.npy"):
        if file.name.startswith(prefixes) and file.name not in keep:
            file.unlink(missing_ok=True)
            file.with_suffix(".json").unlink(missing_ok=True)  # the progress of a partial one
