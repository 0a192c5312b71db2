"""The contract of learners: what they are given and what they give back.

A learner is a function ``(task, run, **parameters) -> Fitted``. Whatever it trains, a head on fixed embeddings or a
whole network, the result has one form: a matrix of features, one row a tile, and a linear :class:`.head.Head` on them
(a head with a hidden layer computes that one from the embeddings itself). So predicting, dropout passes, gradients and
calibration are written once, and a query function never knows which learner it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..catalogue import Entry, Mode
from ..kernels import Device, Floats, Indices, Rows
from ..monitor import SILENT, Monitor
from .head import Head

Arrays = dict[str, NDArray[Any]]


class Pixels(Protocol):
    """The tiles themselves: reflectance (n, bands, H, W) float32 of some rows (n,), any of them in any order."""

    def __call__(self, rows: Indices) -> Floats:
        """Return the reflectance."""


class Keep(Protocol):
    """Give back what ``make`` once returned for ``name``: for what depends on the embeddings alone and takes long."""

    def __call__(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays, kept or new."""


def make_anew(name: str, make: Callable[[], Arrays]) -> Arrays:  # noqa: ARG001
    """A :class:`Keep` that keeps nothing."""
    return make()


@dataclass(frozen=True)
class Task:
    """What there is to learn from.

    embeddings: (N, d). labelled: global indices (L,). targets: class positions (L,) in single mode; 0 or 1 for each
    class (L, C) in multi mode. n_classes: C, including classes that nobody has used yet. unlabelled: rows (M,) without
    a label that a semi-supervised learner may look at; never those of the validation sample. moments: mean (d,) and
    standard deviation (d,) of the whole pool, where they are known. pixels: None where the imagery is out of reach;
    there for learners that are registered as needing it. bands: the names of theirs in order, where they are known.
    losses: whether somebody wants ``Fitted.losses``.
    """

    embeddings: Rows
    labelled: Indices
    targets: NDArray[Any]
    n_classes: int
    mode: Mode
    unlabelled: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    moments: tuple[Floats, Floats] | None = None
    pixels: Pixels | None = None
    bands: tuple[str, ...] = ()
    losses: bool = False
    keep: Keep = make_anew


@dataclass(frozen=True)
class Run:
    """With what randomness, from where, on what, reported to whom.

    start: ``Fitted.state`` of the round before, for learners that can start warm; None for a start from nothing.
    """

    seed: int = 0
    start: Mapping[str, torch.Tensor] | None = None
    device: Device = "cpu"
    monitor: Monitor = SILENT

    def part(self, start: float, end: float) -> Run:
        """The same run, of which only a part of the progress is reported, see :meth:`..monitor.Monitor.part`."""
        return replace(self, monitor=self.monitor.part(start, end))


@dataclass(frozen=True)
class Fitted:
    """A trained learner.

    head: maps ``features`` to classes. features: (N, F), or None if they are the embeddings themselves. losses: the
    loss (N,) that the learner expects to have on each row, if the task asked for it. state: parameters by name, on the
    CPU, to start from in the next round; empty for learners that start anew. encode: reflectance (n, bands, H, W) of
    tiles that were not in the task to features (n, F); None if those are the embeddings. trained: how many numbers were
    learnt, those of a loss module among them. Neither of the last two is known of a learner that comes from a file.
    """

    head: Head
    features: Rows | None = None
    losses: Floats | None = None
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)
    encode: Callable[[Floats], Floats] | None = None
    trained: int = 0


@dataclass(frozen=True)
class Learner(Entry):
    """A learner and what there is to know about it.

    needs_pixels: it looks at the tiles, not only at their embeddings.
    uses_unlabelled: it learns from ``Task.unlabelled`` too. folds: into how many parts the labels are cut to calibrate
    it; 0 where that would take too long, and it stays as it is, or where it does so itself.
    """

    needs_pixels: bool = False
    uses_unlabelled: bool = False
    folds: int = 5
