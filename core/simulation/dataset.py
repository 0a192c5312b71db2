"""Labelled tiles that an oracle can answer for, wherever they come from.

A row is an image or tile; its number is the *global index* that learners and query functions speak of. Nothing here
depends on an experiment: which rows may be asked and which test is decided in :mod:`.splits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Mode
from ..kernels import Floats, Indices, Rows


class Tiles(Protocol):
    """The images themselves."""

    @property
    def bands(self) -> Sequence[str]:
        """Canonical names of the bands, in the order in which they are read."""

    def read(self, rows: Indices, size_px: int | None = None) -> Floats:
        """Reflectance (n, bands, S, S) float32 of some rows (n,), at ``size_px`` or, if None, at the dataset's size."""


@dataclass(frozen=True)
class Dataset:
    """What can be replayed.

    name: for titles and tables. classes: names (C,). targets: class positions (N,) in single mode; 0 or 1 for each
    class (N, C) in multi mode. names: what each row is called, (N,), distinct. tiles: the images. fingerprint: changes
    with the images, their order, or their labels. test: (N,) bool, the rows of a test set that was given apart; None
    where the test set is still to be drawn.
    """

    name: str
    mode: Mode
    classes: tuple[str, ...]
    targets: NDArray[np.int64]
    names: tuple[str, ...]
    tiles: Tiles
    fingerprint: str
    test: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.classes)


@dataclass(frozen=True)
class Vectors:
    """The rows of a dataset as an encoder sees them: ``matrix`` (N, d) float16, ``key`` of everything it depends on."""

    matrix: Rows
    encoder: str
    key: str


Targets = NDArray[Any]
"""Class positions (n,) in single mode, 0 or 1 for each class (n, C) in multi mode."""
