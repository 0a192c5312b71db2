"""The made pool on which kernels and query functions are measured: embeddings on disk, labels, a trained head.

Embeddings look like those of a network: clusters of unequal size in a few dimensions, spread over many columns, none
below 0, some noise, in float16 in a file. A class is several clusters; in multi-label mode it is a direction, and a
tile has every class that it lies far out in. The head is trained as in a round, on the labelled part, and the round
before it on half of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import MODES, Mode
from ..errors import UsageError, nearest
from ..kernels import Floats, Indices, Rows
from ..learners import calibration
from ..learners.base import Run, Task
from ..learners.head import Head
from ..learners.registry import LEARNERS, fit
from ..monitor import SILENT, Monitor
from ..strategies.base import Pool, Predictions

_LEARNER = "linear"
_HIDDEN_DIMENSIONS = 16
_CLUSTERS_A_CLASS = 4
_BLOCK_ROWS = 8192
_PRESENT = 1.0
"""A multi-label class is there beyond so many standard deviations: in about a sixth of the tiles."""


@dataclass(frozen=True)
class Setting:
    """The size of the problem: N rows of ``dim`` numbers, C classes, L labelled, b wanted, and what decides it.

    Raises:
        UsageError: no choice is left.
    """

    size: int = 21_600
    dim: int = 512
    budget: int = 64
    classes: int = 10
    labelled: int = 64
    mode: Mode = "single"
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labelled + self.budget >= self.size:
            raise UsageError(
                f"With {self.labelled} of {self.size} tiles labelled and {self.budget} asked for, there is no choice.",
                hint="Measure with a larger --size, or a smaller --budget.",
            )


@dataclass(frozen=True)
class Ground:
    """A made pool in memory, apart from its embeddings. ``head`` made ``pool.predictions``."""

    setting: Setting
    pool: Pool
    head: Head

    @cached_property
    def dense(self) -> Floats:
        """The embeddings (N, d) in memory as float32: what other versions than ours are given."""
        return np.array(self.pool.embeddings, dtype=np.float32)

    @property
    def told(self) -> Predictions:
        """The predictions, which a made pool always has."""
        assert self.pool.predictions is not None
        return self.pool.predictions


def label_mode(name: str) -> Mode:
    """The label mode of that name.

    Raises:
        UsageError: there is none.
    """
    for mode in MODES:
        if mode == name:
            return mode
    raise UsageError(f"There is no label mode called {name!r}.", hint=nearest(name, MODES))


def make_ground(folder: Path, setting: Setting, monitor: Monitor = SILENT) -> None:
    """Write a pool of that setting into a folder, for both label modes.

    Raises:
        LearningError: the labelled part is too small to learn from.
        Cancelled: the caller asked to stop.
    """
    rng = np.random.default_rng(setting.seed)
    folder.mkdir(parents=True, exist_ok=True)
    targets = _write_embeddings(folder / "embeddings.npy", setting, rng, monitor.part(0.0, 0.6))
    labelled = _in_turns(targets["single"], rng)[: setting.labelled]
    for mode in MODES:
        one = replace(setting, mode=mode)
        _teach(folder, one, labelled, targets[mode][labelled], monitor.part(0.6, 1.0))


def open_ground(folder: Path, setting: Setting) -> Ground:
    """What :func:`make_ground` wrote, in the setting's label mode."""
    kept = np.load(folder / f"{setting.mode}.npz")
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    head = Head.load(folder / f"{setting.mode}.safetensors", setting.device)
    labelled, targets = kept["labelled"], kept["targets"]

    def sample(rows: Indices, passes: int, seed: int, input_dropout: float | None = None) -> Floats:
        return head.mc_dropout(embeddings, rows, passes, seed, input_dropout)

    predictions = Predictions(
        setting.mode,
        kept["probabilities"],
        sample,
        features=lambda rows: head.features(embeddings, rows),
        calibrated=_calibrated(embeddings, setting, labelled, targets, head),
        previous=kept["previous"],
        losses=kept["losses"] if len(kept["losses"]) else None,
    )
    eligible = np.setdiff1d(np.arange(len(embeddings)), labelled)
    return Ground(setting, Pool(embeddings, predictions, labelled, eligible, targets=targets), head)


def _write_embeddings(
    path: Path, setting: Setting, rng: np.random.Generator, monitor: Monitor
) -> dict[Mode, NDArray[Any]]:
    """Write the rows and return their classes: positions (N,) and 0 or 1 (N, C)."""
    clusters = setting.classes * _CLUSTERS_A_CLASS
    centres = rng.normal(0.0, 1.0, (clusters, _HIDDEN_DIMENSIONS))
    shares = rng.dirichlet(np.full(clusters, 2.0))
    spread = rng.normal(0.0, 1.0, (_HIDDEN_DIMENSIONS, setting.dim)).astype(np.float32)
    axes = rng.normal(0.0, 1.0, (_HIDDEN_DIMENSIONS, setting.classes))
    axes /= np.linalg.norm(axes, axis=0)
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (setting.size, setting.dim))
    single = np.empty(setting.size, dtype=np.int64)
    multi = np.empty((setting.size, setting.classes), dtype=np.float32)
    for part in _blocks(setting.size):
        monitor.advance(part.start / setting.size, "Making a pool")
        cluster = rng.choice(clusters, part.stop - part.start, p=shares)
        hidden = centres[cluster] + rng.normal(0.0, 0.6, (len(cluster), _HIDDEN_DIMENSIONS))
        noise = 0.5 * rng.standard_normal((len(cluster), setting.dim), dtype=np.float32)
        rows[part] = np.maximum(hidden.astype(np.float32) @ spread + noise, 0.0)
        single[part] = cluster % setting.classes
        multi[part] = hidden @ axes > _PRESENT
    rows.flush()
    return {"single": single, "multi": multi}


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, count))


def _in_turns(classes: Indices, rng: np.random.Generator) -> Indices:
    """All rows in random order, but one of each class after the other, so that few labels know every class."""
    order = rng.permutation(len(classes))
    by_class = np.argsort(classes[order], kind="stable")
    ranks = np.empty(len(classes), dtype=np.int64)
    sizes = np.bincount(classes)
    ranks[by_class] = np.concatenate([np.arange(size) for size in sizes])
    return order[np.lexsort((classes[order], ranks))]


def _teach(folder: Path, setting: Setting, labelled: Indices, targets: NDArray[Any], monitor: Monitor) -> None:
    """Train the head of the round before and that of this round, and keep what they think of every row."""
    embeddings: Rows = np.load(folder / "embeddings.npy", mmap_mode="r")
    task = Task(embeddings, labelled, targets, setting.classes, setting.mode, losses=True)
    half = max(2, len(labelled) // 2)
    earlier = replace(task, labelled=labelled[:half], targets=targets[:half], losses=False)
    run = Run(setting.seed, None, setting.device, monitor)
    before, now = fit(_LEARNER, earlier, run), fit(_LEARNER, task, run)
    now.head.save(folder / f"{setting.mode}.safetensors")
    np.savez(
        folder / f"{setting.mode}.npz",
        labelled=labelled,
        targets=targets,
        probabilities=now.head.predict(embeddings),
        previous=before.head.predict(embeddings),
        losses=np.empty(0) if now.losses is None else now.losses,
    )


def _calibrated(
    embeddings: Rows, setting: Setting, labelled: Indices, targets: NDArray[Any], head: Head
) -> Callable[[], Floats]:
    """As in a round: cross-validated when it is asked for."""

    def honest() -> Floats:
        learner = LEARNERS.find(_LEARNER)
        task = Task(embeddings, labelled, targets, setting.classes, setting.mode)
        run = Run(setting.seed, None, setting.device)
        temperature = calibration.temperature(partial(fit, _LEARNER), task, run, learner.folds)
        return replace(head, temperature=temperature).predict(embeddings)

    return honest
