"""The rows of a dataset as an encoder sees them, computed once and kept in a file.

The name of the file is a key of the dataset's content and the encoder's, so that a change of either makes another. A
killed run goes on with the block after the last one kept. A project that was embedded with the same encoder has the
vectors already.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..array_files import ArrayFile
from ..embedding import Embeddings, encoded
from ..encoders.base import Encoder, say_stand_ins
from ..encoders.registry import AUTO, best_available, load_encoder
from ..kernels import finite_rows
from ..monitor import SILENT, Monitor
from .dataset import Dataset, Vectors
from .fingerprints import fingerprint_of
from .project_source import ProjectTiles


def _accept(_encoder: str, _key: str) -> None:
    """Whatever it is."""


def embed_dataset(
    dataset: Dataset,
    encoder: str,
    folder: Path,
    device: str = "cpu",
    monitor: Monitor = SILENT,
    *,
    accept: Callable[[str, str], None] = _accept,
) -> Vectors:
    """The vectors of all rows.

    Args:
        dataset: whose images are encoded.
        encoder: a name or file, see :mod:`..encoders.registry`. ``auto`` or nothing is a project's own encoder, or the
            best that is at hand for the bands.
        folder: where vectors are kept, as ``KEY.npy``.
        device: where the encoder computes.
        monitor: told of every block, of stand-ins for missing bands, and of vectors that are not finite.
        accept: handed the encoder's name and the key of vectors that are not there yet; it may refuse by raising,
            before they are computed.

    Raises:
        EncoderError: there is no such encoder, or it does not suit the images.
        ImageryError: an image cannot be read.
        ProjectError: there is no room, or the project's own vectors are out of date.
        Cancelled: the caller asked to stop; the same call goes on from there.
    """
    tiles = dataset.tiles
    own = tiles.encoder() if isinstance(tiles, ProjectTiles) else None
    if encoder in ("", AUTO):
        if isinstance(tiles, ProjectTiles) and own is not None:
            return _of_project(dataset, tiles.embeddings(), monitor)
        encoder = best_available(tiles.bands)
        monitor.info(f"The encoder is {encoder}, the best that is at hand.")
    loaded = load_encoder(encoder, device, monitor)
    if isinstance(tiles, ProjectTiles) and own is not None and own.fingerprint == loaded.card.fingerprint:
        return _of_project(dataset, tiles.embeddings(), monitor)
    key = fingerprint_of([dataset.fingerprint, loaded.card.fingerprint])
    file = ArrayFile(folder / f"{key}.npy", f"vectors of {dataset.name}")
    if not file.file.exists():
        accept(loaded.card.name, key)
        _make(dataset, loaded, file, monitor)
    return _checked(dataset, Vectors(np.load(file.file, mmap_mode="r"), loaded.card.name, key), monitor)


def _of_project(dataset: Dataset, own: Embeddings, monitor: Monitor) -> Vectors:
    key = fingerprint_of([dataset.fingerprint, own.key])
    return _checked(dataset, Vectors(own.matrix, own.encoder, key), monitor)


def _make(dataset: Dataset, encoder: Encoder, file: ArrayFile, monitor: Monitor) -> None:
    """Compute and keep the vectors that are not there yet."""
    stand_ins = say_stand_ins(encoder.card.name, encoder.missing_bands(dataset.tiles.bands))
    for remark in filter(None, (stand_ins, encoder.remark)):
        monitor.info(remark)
    if isinstance(dataset.tiles, ProjectTiles):
        dataset.tiles.cut(monitor.part(0.0, 0.3))
        monitor = monitor.part(0.3, 1.0)
    message = f"Embedding {dataset.name} with {encoder.card.name}"
    blocks, done, matrix = file.resume()
    monitor.advance(done / len(dataset), message)
    rows = np.arange(done, len(dataset))
    for block in encoded(encoder, dataset.tiles.read, dataset.tiles.bands, rows):
        if matrix is None:
            matrix = file.allocate((len(dataset), block.shape[1]))
        matrix[done : done + len(block)] = block
        done += len(block)
        blocks += 1
        file.save(matrix, blocks, done)
        monitor.advance(done / len(dataset), message)
    del matrix
    file.finish()


def _checked(dataset: Dataset, vectors: Vectors, monitor: Monitor) -> Vectors:
    lost = np.flatnonzero(~finite_rows(vectors.matrix, Monitor(is_cancelled=monitor.is_cancelled)))
    if len(lost):
        names = ", ".join([*(dataset.names[row] for row in lost[:3].tolist()), *(["..."] if len(lost) > 3 else [])])
        monitor.warn(f"Tiles whose vectors are not finite are never asked: {len(lost)} ({names}).")
    return vectors
