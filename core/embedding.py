"""Tiles to vectors, once: the cached pool matrix.

Each raster has one file of half-precision vectors per encoder, ``NAME.quadrat/embeddings/*.npy``, memory-mapped when
read; :mod:`.tile_arrays` says how such files are made, resumed and told apart.

Row ``i`` of the pool matrix is the tile ``tile_ids[i]``: the **global index** that learners and query functions speak
of. Excluded tiles have no row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .encoders.base import Encoder, say_stand_ins
from .encoders.registry import AUTO, absolute, best_available, names_file
from .errors import ProjectError, UsageError
from .imagery.sentinel2 import BANDS
from .kernels import Floats, Indices, Rows, column_moments
from .monitor import SILENT, Monitor
from .project.store import Project
from .project.vectors import FOLDER, ProjectEncoder, encoder_of, remember_encoder, source_now, vectors_file
from .tile_arrays import KEY_LENGTH, Advance, Convert, Part, check_unchanged, make_part, plan_parts, remove_stale

ENCODED_ROLES = ("pool", "validation")
_TOGETHER = 128
"""Tiles that are read at a time where nobody knows how large they are."""


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
    stand_ins = say_stand_ins(encoder.card.name, encoder.missing_bands(bands))
    if stand_ins:
        monitor.info(stand_ins)
    unused = sorted({name for record in project.rasters() for name, _ in record.bands} - set(bands))
    if unused:
        monitor.info(f"Not every raster has {', '.join(unused)}, so {'they are' if unused[1:] else 'it is'} not used.")
    parts = _parts(project, encoder.card.fingerprint, encoder.card.name)
    total = sum(len(part.tiles) for part in parts)
    done = 0
    if encoder.remark and not all(part.file.exists() for part in parts):
        monitor.info(encoder.remark)
    read = bands_to_read(encoder, bands)
    for part in parts:
        share = monitor.part(done / total, (done + len(part.tiles)) / total)
        if not part.file.exists():
            make_part(project, part, read, _in_pieces(encoder, read), "embeddings", "Embedding", share)
        done += len(part.tiles)
    kept = ProjectEncoder(encoder.card.name, encoder.card.fingerprint, source, _relative(project, source))
    remember_encoder(project, kept)
    _remove_stale(project, parts)
    return load_embeddings(project)


def choose_encoder(project: Project, name: str, monitor: Monitor = SILENT) -> str:
    """The encoder to load for ``name``; ``auto`` is the one the project has, else the best that is at hand.

    The path of a file is made absolute, as the project remembers it.

    Raises:
        ProjectError: ``auto`` without tiles, whose bands decide.
    """
    if name != AUTO:
        return absolute(name)
    known = encoder_of(project)
    chosen = source_now(project, known) if known is not None else best_available(project_bands(project))
    monitor.info(f"The encoder is {chosen}, {'as before' if known is not None else 'the best that is at hand'}.")
    return chosen


def _relative(project: Project, source: str) -> str:
    """The path of an encoder's file from the project's folder, if it lies below it and so moves with the project."""
    folder = project.path.absolute().parent
    path = Path(source)
    return path.relative_to(folder).as_posix() if names_file(source) and path.is_relative_to(folder) else ""


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


def _parts(project: Project, fingerprint: str, encoder_name: str) -> list[Part]:
    """The rasters of the project and the files of their vectors by an encoder."""
    folder = project.folder / FOLDER

    def file_of(raster_id: int, key: str) -> Path:
        return folder / vectors_file(raster_id, encoder_name, key)

    return plan_parts(project, ENCODED_ROLES, file_of, fingerprint, project_bands(project))


def bands_to_read(encoder: Encoder, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``bands`` that the encoder looks at or copies, in its order, so that it need not sort the pixels.

    Raises:
        EncoderError: a band is missing, and nothing may stand in for it.
    """
    sources = encoder.missing_bands(bands)
    wanted = encoder.card.bands or bands
    looked_at = dict.fromkeys(source for band in wanted if isinstance(source := sources.get(band, band), str))
    return tuple(looked_at) or bands[:1]  # one that sees nothing but stand-ins must still be told how many tiles


def encoded(encoder: Encoder, read: Callable[[Indices], Floats], bands: Sequence[str], rows: Indices) -> Iterator[Rows]:
    """The vectors (n, d) of tiles that come from anywhere, some rows at a time, in the precision that is kept.

    Args:
        encoder: what turns a tile into a vector.
        read: reflectance (n, bands, H, W) of some rows (n,).
        bands: names, in the order of axis 1.
        rows: (N,), taken in this order.

    Raises:
        EncoderError: a band is missing or the values are no reflectance.
    """
    start = 0
    while start < len(rows):
        some = rows[start : start + min(encoder.tiles_together, _TOGETHER)]
        with np.errstate(over="ignore"):  # what half precision cannot hold becomes infinite
            yield encoder.encode(read(some), bands).astype(np.float16)
        start += len(some)


def _in_pieces(encoder: Encoder, bands: tuple[str, ...]) -> Convert:
    """A large network takes seconds for a chunk, so it is encoded in pieces between which one can stop."""

    def convert(pixels: NDArray[np.float32], advance: Advance) -> NDArray[np.float32]:
        pieces = np.array_split(pixels, -(-len(pixels) // encoder.tiles_together))
        encoded = []
        for number, piece in enumerate(pieces):
            advance(number / len(pieces))
            encoded.append(encoder.encode(piece, bands))
        return np.concatenate(encoded)

    return convert


def _check_part(project: Project, part: Part) -> None:
    if not part.file.exists():
        raise ProjectError(
            f"The embeddings of {Path(part.record.path).name} are missing or out of date.",
            hint=f"Make them again{_again(project)}.",
        )
    check_unchanged(project, part)


def _again(project: Project) -> str:
    """How to embed, on the command line and in QGIS."""
    return f": quadrat embed {project.path.name}, or Prepare in QGIS"


def _remove_stale(project: Project, parts: Sequence[Part]) -> None:
    """Delete vectors that no longer belong to anything: another version of a raster, another list of tiles.

    Those of other encoders stay, so that changing back costs nothing.
    """
    prefixes = tuple(part.file.name[: -len(".npy") - KEY_LENGTH] for part in parts)
    remove_stale(project.folder / FOLDER, parts, prefixes)
