"""The truth about every tile, from the land classes of its pixels.

*Single*: the class with the largest weighted share of the tile. Roads and rivers are narrow, yet a tile through which
a motorway or a wide river runs is about that; so their shares weigh more (``LandClass.weight``). *Several*: every
class whose share is at least its threshold (``LandClass.threshold``), and always the single one. Clouds change
nothing: under them lies what lies there, and such tiles are just hard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .spectra import CLASSES

MIN_VALID = 0.9


@dataclass(frozen=True)
class TileTruth:
    """Row and column of a tile in the grid, its one class and all its classes, largest weighted share first."""

    row: int
    column: int
    label: str
    labels: tuple[str, ...]


def judge_tiles(land: NDArray[np.uint8], valid: NDArray[np.bool_], tile_px: int) -> list[TileTruth]:
    """The truth of every tile with at least 90 % valid pixels, row by row; incomplete tiles at the end have none."""
    n = len(land) // tile_px
    share = _shares(land, valid, tile_px)
    weighted = share * np.array([known.weight for known in CLASSES])
    present = share >= np.array([known.threshold for known in CLASSES])
    seen = valid[: n * tile_px, : n * tile_px].reshape(n, tile_px, n, tile_px).mean((1, 3))
    truths = []
    for row, column in np.argwhere(seen >= MIN_VALID):
        order = np.argsort(-weighted[row, column], kind="stable")
        labels = tuple(CLASSES[i].name for rank, i in enumerate(order) if rank == 0 or present[row, column, i])
        truths.append(TileTruth(int(row), int(column), labels[0], labels))
    return truths


def _shares(land: NDArray[np.uint8], valid: NDArray[np.bool_], tile_px: int) -> NDArray[np.float64]:
    """Share of each class among the valid pixels of each tile (n, n, classes)."""
    n = len(land) // tile_px
    line = np.arange(n * tile_px) // tile_px
    tile = line[:, None] * n + line[None, :]
    inner = np.s_[: n * tile_px, : n * tile_px]
    seen = valid[inner]
    counts = np.bincount((tile * len(CLASSES) + land[inner])[seen], minlength=n * n * len(CLASSES)).reshape(
        n, n, len(CLASSES)
    )
    return np.asarray(counts / np.maximum(counts.sum(axis=2, keepdims=True), 1))
