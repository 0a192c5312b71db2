"""Arrays with one row a tile, made once and kept beside the project: one memory-mapped file for each raster.

The name of a file ends with a key made of everything that could change a number in it: what makes the rows, the
raster's content, bands, scale, offset and the list of tiles. While it is being made it is called ``*.partial.npy`` and
a small JSON file beside it counts the finished chunks, so that a killed run goes on where it stopped and half a file
never looks whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from .errors import ProjectError
from .imagery.reader import read_tiles
from .monitor import Monitor
from .project.store import Project, RasterRecord, TileRecord
from .project.vectors import PARTIAL
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

    @property
    def partial(self) -> Path:
        """The file while it is being made."""
        return self.file.with_suffix(PARTIAL)

    @property
    def progress(self) -> Path:
        """How far it is."""
        return self.file.with_suffix(".partial.json")


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
    part.file.parent.mkdir(parents=True, exist_ok=True)
    start, seen, matrix = _resume(part)
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
                matrix = _allocate(part, (len(part.tiles), *made.shape[1:]), what)
            with np.errstate(over="ignore"):  # what half precision cannot hold becomes infinite
                matrix[batch.positions] = made.astype(np.float16)
            seen += count
            written.result()
            written = writer.submit(_save, part, matrix, batch.chunk + 1, seen)
            monitor.advance(seen / len(part.tiles), message)
        written.result()
    del matrix
    part.partial.replace(part.file)
    part.progress.unlink()


def _save(part: Part, matrix: np.memmap, chunks: int, tiles: int) -> None:
    """Put finished chunks on the disk, and only then count them; a slow disk keeps nobody from making the next."""
    try:
        matrix.flush()
        _write_json(part.progress, {"chunks": chunks, "tiles": tiles})
    except OSError as error:
        raise ProjectError(
            f"{part.partial.parent} cannot be written to any more.",
            hint="Free some space, or connect the drive again, and run the same command again: it goes on from here.",
            details=str(error),
        ) from error


def _resume(part: Part) -> tuple[int, int, np.memmap | None]:
    """Finished chunks, tiles in them, and the file to go on with, or a fresh start."""
    try:
        state = json.loads(part.progress.read_text())
        return int(state["chunks"]), int(state["tiles"]), open_memmap(part.partial, mode="r+")
    except (OSError, ValueError, KeyError):
        return 0, 0, None


def _allocate(part: Part, shape: tuple[int, ...], what: str) -> np.memmap:
    """A file of zeros of a shape, float16, written out rather than sparse.

    A memory-mapped write into a hole of a full disk kills the process; writing the zeros first gives an error instead.
    """
    size = math.prod(shape) * 2
    try:
        matrix = open_memmap(part.partial, mode="w+", dtype=np.float16, shape=shape)
        offset = matrix.offset
        del matrix
        with part.partial.open("r+b") as file:
            file.seek(offset)
            left = size
            block = bytes(1 << 20)
            while left > 0:
                left -= file.write(block[: min(left, len(block))])
            file.flush()
            os.fsync(file.fileno())
        return open_memmap(part.partial, mode="r+")
    except OSError as error:
        part.partial.unlink(missing_ok=True)
        raise ProjectError(
            f"There is no room for the {what} ({size / 2**20:.0f} MiB) in {part.partial.parent}.",
            hint="Free some space and run the same command again.",
            details=str(error),
        ) from error


def _write_json(path: Path, values: dict[str, int]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(values))
    temporary.replace(path)


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
