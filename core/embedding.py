"""Tiles to vectors, once: the cached pool matrix.

Each raster has one file of half-precision vectors per encoder, ``NAME.quadrat/embeddings/*.npy``, memory-mapped when
read. Its name ends with a key made of everything that could change a vector: the encoder's weights and input, the
raster's content, bands, scale, offset and the list of tiles. While it is being made it is called ``*.partial.npy`` and
a small JSON file beside it counts the finished chunks, so that a killed run goes on where it stopped and half a file
never looks whole.

Row ``i`` of the pool matrix is the tile ``tile_ids[i]``: the **global index** that learners and query functions speak
of. Excluded tiles have no row.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from .encoders.base import Encoder
from .errors import ProjectError, UsageError
from .imagery.reader import read_tiles
from .imagery.sentinel2 import BANDS
from .kernels import column_moments
from .monitor import SILENT, Monitor
from .project.store import Project, RasterRecord, TileRecord
from .project.vectors import FOLDER, PARTIAL, ProjectEncoder, encoder_of, remember_encoder, vectors_file
from .scenes import changed, grid_of, has_changed, open_scene

ENCODED_ROLES = ("pool", "validation")


@dataclass(frozen=True)
class Embeddings:
    """The pool matrix: ``matrix (N, d)`` float16, row ``i`` being tile ``tile_ids[i]`` (``(N,)`` int64, ascending)."""

    matrix: np.ndarray
    tile_ids: np.ndarray
    encoder: str
    key: str

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each column of the matrix, ``(d,)`` each."""
        return column_moments(self.matrix)

    def rows_of(self, tile_ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Global indices ``(n,)`` of tiles. All of them must have a row."""
        wanted = np.asarray(tile_ids, np.int64)
        rows = np.searchsorted(self.tile_ids, wanted)
        assert np.array_equal(self.tile_ids[np.minimum(rows, self.tile_ids.size - 1)], wanted), "tiles without a row"
        return rows


@dataclass(frozen=True)
class _Part:
    """The tiles of one raster and the file that holds, or will hold, their vectors."""

    record: RasterRecord
    tiles: list[TileRecord]
    key: str
    file: Path

    @property
    def partial(self) -> Path:
        return self.file.with_suffix(PARTIAL)

    @property
    def progress(self) -> Path:
        return self.file.with_suffix(".partial.json")


def embed(project: Project, encoder: Encoder, source: str, monitor: Monitor = SILENT) -> Embeddings:
    """Make the vectors that are not there yet, and remember the encoder as the project's.

    Args:
        project: with tiles.
        encoder: what turns a tile into a vector.
        source: how the analyst named the encoder; kept so that the same can be loaded again.
        monitor: told of every chunk; a cancelled run goes on from the last one.

    Raises:
        ProjectError: there are no tiles, or the disk is full.
        ImageryError: a raster is missing, changed or truncated.
        EncoderError: a band is missing or the values are no reflectance.
    """
    bands = project_bands(project)
    encoder.band_order(bands)
    unused = sorted({name for record in project.rasters() for name, _ in record.bands} - set(bands))
    if unused:
        monitor.info(f"Not every raster has {', '.join(unused)}, so {'they are' if unused[1:] else 'it is'} not used.")
    parts = _parts(project, encoder.card.fingerprint, encoder.card.name)
    total = sum(len(part.tiles) for part in parts)
    done = 0
    for part in parts:
        share = monitor.part(done / total, (done + len(part.tiles)) / total)
        if not part.file.exists():
            _embed_part(project, part, encoder, bands, share)
        done += len(part.tiles)
    remember_encoder(project, ProjectEncoder(encoder.card.name, encoder.card.fingerprint, source))
    _remove_stale(project, parts)
    return load_embeddings(project)


def load_embeddings(project: Project, kept: Embeddings | None = None) -> Embeddings:
    """The pool matrix of the project's encoder.

    One raster is memory-mapped; several are joined in memory, half a GiB for 131,072 tiles of 2,048 numbers. ``kept``,
    from an earlier call, is given back if it is still what would be loaded: its files are not read again.

    Raises:
        ProjectError: there is none, or it no longer belongs to the tiles or to the imagery.
    """
    card = encoder_of(project)
    if card is None:
        raise ProjectError("The tiles have no embeddings yet.", hint=f"Make them first{_again(project)}.")
    parts = _parts(project, card.fingerprint, card.name)
    for part in parts:
        _check_part(project, part)
    key = hashlib.sha256("".join(part.key for part in parts).encode()).hexdigest()
    if kept is not None and kept.key == key:
        return kept
    matrices = [np.load(part.file, mmap_mode="r") for part in parts]
    return Embeddings(
        matrix=matrices[0] if len(matrices) == 1 else np.concatenate(matrices),
        tile_ids=np.array([tile.tile_id for part in parts for tile in part.tiles], np.int64),
        encoder=card.name,
        key=key,
    )


def project_bands(project: Project) -> tuple[str, ...]:
    """The bands that all rasters of the project have, in Sentinel-2's order."""
    records = project.rasters()
    if not records or not project.has_tiles():
        raise ProjectError(
            "The project has no tiles yet.",
            hint=f"Cut a raster into tiles first: quadrat tile {project.path.name} RASTER, or Prepare in QGIS.",
        )
    shared = set.intersection(*({name for name, _ in record.bands} for record in records))
    if not shared:
        listed = "\n".join(f"{Path(record.path).name}: {', '.join(n for n, _ in record.bands)}" for record in records)
        raise UsageError(
            "The rasters of this project have no band in common.",
            hint="Make one project for each kind of raster.",
            details=listed,
        )
    return tuple(band for band in BANDS if band in shared)


def _parts(project: Project, fingerprint: str, encoder_name: str) -> list[_Part]:
    """The rasters of the project with their tiles, in the order of the tiles' numbers."""
    bands = project_bands(project)
    tiles_of: dict[int, list[TileRecord]] = {}
    for tile in project.tiles(ENCODED_ROLES):
        tiles_of.setdefault(tile.raster_id, []).append(tile)
    folder = project.folder / FOLDER
    parts = []
    for record in project.rasters():
        tiles = tiles_of.get(record.raster_id, [])
        if tiles:
            key = _key(record, tiles, fingerprint, bands)
            file = folder / vectors_file(record.raster_id, encoder_name, key[:16])
            parts.append(_Part(record, tiles, key, file))
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


def _embed_part(project: Project, part: _Part, encoder: Encoder, bands: tuple[str, ...], monitor: Monitor) -> None:
    raster = open_scene(project, part.record)
    rows = np.array([tile.row for tile in part.tiles])
    cols = np.array([tile.col for tile in part.tiles])
    part.file.parent.mkdir(parents=True, exist_ok=True)
    start, seen, matrix = _resume(part)
    message = f"Embedding {raster.path.name}"
    silent = Monitor(is_cancelled=monitor.is_cancelled)  # the progress that counts is that of the vectors
    batches = read_tiles(raster, grid_of(part.record), rows, cols, bands=bands, first_chunk=start, monitor=silent)
    for batch in batches:
        # A large network takes seconds for a chunk, so it is encoded in pieces between which one can stop.
        pieces = np.array_split(batch.pixels, -(-len(batch.pixels) // encoder.tiles_together))
        encoded: list[np.ndarray] = []
        for piece in pieces:
            monitor.advance((seen + len(batch.positions) * len(encoded) / len(pieces)) / len(part.tiles), message)
            encoded.append(encoder.encode(piece, bands))
        vectors = np.concatenate(encoded)
        if matrix is None:
            matrix = _allocate(part, len(part.tiles), vectors.shape[1])
        matrix[batch.positions] = vectors.astype(np.float16)
        seen += len(batch.positions)
        matrix.flush()
        _write_json(part.progress, {"chunks": batch.chunk + 1, "tiles": seen})
        monitor.advance(seen / len(part.tiles), message)
    del matrix
    part.partial.replace(part.file)
    part.progress.unlink()


def _resume(part: _Part) -> tuple[int, int, np.memmap | None]:
    """Finished chunks, tiles in them, and the file to go on with, or a fresh start."""
    try:
        state = json.loads(part.progress.read_text())
        return int(state["chunks"]), int(state["tiles"]), open_memmap(part.partial, mode="r+")
    except (OSError, ValueError, KeyError):
        return 0, 0, None


def _allocate(part: _Part, n_tiles: int, dimension: int) -> np.memmap:
    """A file of zeros for ``(n_tiles, dimension)`` float16, written out rather than sparse.

    A memory-mapped write into a hole of a full disk kills the process; writing the zeros first gives an error instead.
    """
    try:
        matrix = open_memmap(part.partial, mode="w+", dtype=np.float16, shape=(n_tiles, dimension))
        offset = matrix.offset
        del matrix
        with part.partial.open("r+b") as file:
            file.seek(offset)
            left = n_tiles * dimension * 2
            block = bytes(1 << 20)
            while left > 0:
                left -= file.write(block[: min(left, len(block))])
            file.flush()
            os.fsync(file.fileno())
        return open_memmap(part.partial, mode="r+")
    except OSError as error:
        part.partial.unlink(missing_ok=True)
        need = n_tiles * dimension * 2 / 2**20
        raise ProjectError(
            f"There is no room for the embeddings ({need:.0f} MiB) in {part.partial.parent}.",
            hint="Free some space and run the same command again.",
            details=str(error),
        ) from error


def _write_json(path: Path, values: dict[str, int]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(values))
    temporary.replace(path)


def _check_part(project: Project, part: _Part) -> None:
    if not part.file.exists():
        raise ProjectError(
            f"The embeddings of {Path(part.record.path).name} are missing or out of date.",
            hint=f"Make them again{_again(project)}.",
        )
    path = project.find_raster(part.record)
    # A raster that is away does not matter here: the vectors are enough to learn, query and predict.
    if path is not None and has_changed(path, part.record):
        raise changed(project, path)


def _again(project: Project) -> str:
    """How to embed, on the command line and in QGIS."""
    return f": quadrat embed {project.path.name}, or Prepare in QGIS"


def _remove_stale(project: Project, parts: Sequence[_Part]) -> None:
    """Delete vectors that no longer belong to anything: another version of a raster, another list of tiles.

    Those of other encoders stay, so that changing back costs nothing.
    """
    keep = {part.file.name for part in parts}
    prefixes = tuple(part.file.name[: -len(".npy") - 16] for part in parts)
    for file in (project.folder / FOLDER).glob("*.npy"):
        if file.name.startswith(prefixes) and file.name not in keep:
            file.unlink(missing_ok=True)
