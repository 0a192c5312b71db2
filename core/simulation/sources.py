"""What can be replayed, by where it lies.

* A folder or zip of images: ``FOLDER/CLASS/IMAGE`` (as EuroSAT), or images with a ``labels.csv`` (as UCMerced). A
  second one may come as the test set.
* A Quadrat project, ``NAME.gpkg``, with a CSV of the true answers.
* ``torchgeo:NAME``, a dataset of torchgeo that lies unpacked in a folder, see :mod:`.torchgeo_datasets`.

Whatever it is, what comes out are rows with a target each, all of classes that can be learnt and tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..monitor import SILENT, Monitor
from .dataset import Dataset

TORCHGEO = "torchgeo:"


def open_dataset(
    source: str | Path,
    *,
    truth: Path | None = None,
    test: Path | None = None,
    bands: Sequence[str] | None = None,
    skip_bad: bool = False,
    root: Path | None = None,
    notes: Path | None = None,
    monitor: Monitor = SILENT,
) -> Dataset:
    """Open what is to be replayed.

    Args:
        source: a folder or zip of images, a project, or ``torchgeo:NAME``.
        truth: of a project, the CSV of true answers; tiles that it does not answer are left out.
        test: of images, another folder or zip to test on, labelled in the same way.
        bands: of images, the names of a TIFF's bands by position; as described in the files if None.
        skip_bad: leave out images that cannot be read instead of refusing them.
        root: of a torchgeo dataset, the folder in which it lies.
        notes: a folder in which to note which images were looked at and found good; none if None.
        monitor: told of the progress, and of what is left out.

    Raises:
        UsageError: something is asked for that does not go with the source; fewer than two classes; a class with a
            single tile, or one that only the test set has; an image that is in the pool and in the test set.
        ImageryError: images cannot be read; they are listed.
        ProjectError, AnswerError: a project or its truth cannot be used.
        Cancelled: the caller asked to stop.
    """
    name = str(source)
    path = Path(source).expanduser()
    if name.startswith(TORCHGEO):
        _refuse({"--truth": truth, "--test": test}, "A torchgeo dataset brings its own labels and test set.")
        from .torchgeo_datasets import open_torchgeo_dataset

        dataset = open_torchgeo_dataset(name.removeprefix(TORCHGEO), root, bands, skip_bad, monitor)
    elif path.suffix.lower() == ".gpkg":
        _refuse({"--test": test, "--bands": bands, "--root": root}, "A project has bands, and is tested by a split.")
        from .project_source import open_project_dataset

        if truth is None:
            raise UsageError(
                f"What the tiles of {path.name} really show must be known to replay their labelling.",
                hint="Give a CSV with the columns tile_id (or row,col) and label (--truth).",
            )
        dataset = open_project_dataset(path, truth, monitor)
    else:
        _refuse({"--truth": truth, "--root": root}, "Images are labelled by their folders or a labels.csv.")
        from .image_sources import open_image_dataset

        dataset = open_image_dataset(path, test, bands, skip_bad, notes, monitor)
    return _checked(dataset, monitor)


def _refuse(options: dict[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(why, hint=f"Leave out {' and '.join(given)}.")


def _checked(dataset: Dataset, monitor: Monitor) -> Dataset:
    """The dataset with classes that can be learnt and tested, only."""
    member = _members(dataset)
    counts = member.sum(axis=0)
    if dataset.test is not None:
        only_test = (member[~dataset.test].sum(axis=0) == 0) & (counts > 0)
        if only_test.any():
            raise UsageError(
                f"The test set has classes that no tile of the pool has: {_listed(dataset, only_test)}.",
                hint="Add tiles of them to the pool, or take them out of the test set.",
            )
    single = counts == 1
    if single.any() and dataset.mode == "single":
        raise UsageError(
            f"Classes with a single tile cannot be both learnt and tested: {_listed(dataset, single)}.",
            hint="Add tiles of them, or leave them out.",
        )
    if single.any():
        monitor.warn(f"Classes that a single tile has are either learnt or tested: {_listed(dataset, single)}.")
    if (counts == 0).any():
        monitor.info(f"Classes that no tile has are left out: {_listed(dataset, counts == 0)}.")
    if (counts > 0).sum() < 2:
        raise UsageError(
            f"{dataset.name} has tiles of fewer than two classes.", hint="There must be something to tell apart."
        )
    return _with_classes(dataset, np.flatnonzero(counts))


def _members(dataset: Dataset) -> np.ndarray:
    """Which tile has which class, (N, C) bool."""
    if dataset.mode == "multi":
        return dataset.targets > 0
    return np.asarray(dataset.targets[:, None] == np.arange(dataset.n_classes))


def _listed(dataset: Dataset, which: np.ndarray) -> str:
    return ", ".join(dataset.classes[place] for place in np.flatnonzero(which))


def _with_classes(dataset: Dataset, kept: np.ndarray) -> Dataset:
    """The dataset with some of its classes, ``kept`` (K,) ascending, which are all that its tiles have."""
    targets = dataset.targets[:, kept] if dataset.mode == "multi" else np.searchsorted(kept, dataset.targets)
    return replace(dataset, classes=tuple(dataset.classes[place] for place in kept), targets=targets)
