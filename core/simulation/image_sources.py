"""Folders and zips of labelled images as a dataset, perhaps with another folder to test on.

Every image is decoded once when the dataset is opened, because one damaged image among thousands would otherwise end an
experiment hours later. What was found is noted in a file, if there is a place for it, and believed as long as no image
has another size or date.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageryError, UsageError
from ..images import ImageFolder, Inspection, open_images
from ..kernels import Floats, Indices
from ..monitor import Monitor
from .dataset import Dataset
from .fingerprints import fingerprint_of

_LISTED = 10
TEST_PREFIX = "test:"
"""Before the names of images that came as a test set of their own: those of the pool may be called the same."""


@dataclass(frozen=True)
class ImageTiles:
    """The images of one folder or zip, or of several, one after the other; ``size_px`` is the side at which they are
    read where none is asked for.
    """

    folders: tuple[ImageFolder, ...]
    size_px: int

    @property
    def bands(self) -> tuple[str, ...]:
        """Canonical names; those of all folders are the same."""
        return self.folders[0].bands

    def read(self, rows: Indices, size_px: int | None = None) -> Floats:
        """Reflectance (n, bands, S, S) of some rows (n,).

        Raises:
            ImageryError: an image was damaged or taken away since.
        """
        starts = np.cumsum([0, *(len(folder.names) for folder in self.folders)])
        number = np.searchsorted(starts, rows, side="right") - 1
        size = size_px or self.size_px
        images = np.empty((len(rows), len(self.bands), size, size), np.float32)
        for index in np.unique(number):
            mine = number == index
            images[mine] = self.folders[index].read_some(rows[mine] - starts[index], size)
        return images


def open_image_dataset(
    path: Path, test: Path | None, bands: Sequence[str] | None, skip_bad: bool, notes: Path | None, monitor: Monitor
) -> Dataset:
    """The images of ``path``, then those of ``test``; see :func:`.sources.open_dataset` for the arguments.

    Raises:
        ImageryError: a folder cannot be read or holds damaged images.
        UsageError: images without classes, or two folders that do not belong together.
    """
    folders = [_labelled(place, bands) for place in ([path] if test is None else [path, test])]
    if test is not None:
        _check_alike(*folders)
    found = [
        _inspected(folder, notes, monitor.part(number / len(folders), (number + 1) / len(folders)))
        for number, folder in enumerate(folders)
    ]
    folders, digests = _without_damaged(folders, found, skip_bad, monitor)
    _check_copies(folders, digests, monitor)
    classes = tuple(dict.fromkeys(name for folder in folders for name in folder.classes))
    targets = np.concatenate([_aligned(folder, classes) for folder in folders])
    tiles = ImageTiles(tuple(folders), folders[0].size_px)
    is_test = np.repeat([False, True][: len(folders)], [len(folder.names) for folder in folders])
    facts = [digests, classes, folders[0].indexes, tiles.bands, folders[0].white, tiles.size_px]
    return Dataset(
        name=path.stem,
        mode="single" if targets.ndim == 1 else "multi",
        classes=classes,
        targets=targets,
        names=(*folders[0].names, *(f"{TEST_PREFIX}{name}" for folder in folders[1:] for name in folder.names)),
        tiles=tiles,
        fingerprint=fingerprint_of(facts, targets, is_test),
        test=None if test is None else is_test,
    )


def _labelled(path: Path, bands: Sequence[str] | None) -> ImageFolder:
    images = open_images(path, bands)
    if images.targets is None:
        raise UsageError(
            f"{path.name} does not have images of two or more classes.",
            hint="Put each class into a folder of its own, FOLDER/CLASS/IMAGE, or a labels.csv beside the images.",
        )
    if "" in images.classes:
        stray = [name for name in images.names if "/" not in name]
        raise UsageError(
            f"{_images(len(stray))} of {path.name} {'lies' if len(stray) == 1 else 'lie'} beside the folders of its "
            "classes, in none of them.",
            hint="Put each class into a folder of its own, FOLDER/CLASS/IMAGE, and other images elsewhere.",
            details="\n".join(stray[:_LISTED]),
        )
    return images


def _targets(folder: ImageFolder) -> NDArray[np.int64]:
    assert folder.targets is not None, "only labelled folders get here"
    return folder.targets


def _check_alike(pool: ImageFolder, test: ImageFolder) -> None:
    """A test set must be read and labelled as the pool is; classes that only it has are looked at later."""
    if test.bands != pool.bands:
        raise UsageError(
            f"{test.path.name} has the bands {', '.join(test.bands)}, and {pool.path.name} {', '.join(pool.bands)}.",
            hint="Test on images of the same kind, with the same bands in the same order.",
        )
    if _targets(test).ndim != _targets(pool).ndim:
        raise UsageError(
            f"Of {test.path.name} and {pool.path.name}, one has a class for each image, the other a labels.csv.",
            hint="Label the test set in the same way as the pool.",
        )
    lacking = sorted(set(pool.classes) - set(test.classes))
    if _targets(test).ndim > 1 and lacking:
        raise UsageError(
            f"The labels.csv of {test.path.name} does not have all classes of {pool.path.name}.",
            hint="Add a column for each, with 0 where an image does not have the class.",
            details="\n".join(lacking),
        )


def _inspected(images: ImageFolder, notes: Path | None, monitor: Monitor) -> Inspection:
    """What is in the images, looked up where it is noted."""
    if notes is None:
        return images.inspect(monitor)
    place = notes / f"images-{_stamp(images)[:16]}.json"
    try:
        noted = json.loads(place.read_text())
        return Inspection(tuple(noted["digests"]), {int(row): text for row, text in noted["damaged"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or not what was written
        found = images.inspect(monitor)
    with contextlib.suppress(OSError):  # without the note, they are looked at again
        notes.mkdir(parents=True, exist_ok=True)
        temporary = place.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(found)))
        temporary.replace(place)
    return found


def _stamp(images: ImageFolder) -> str:
    files = [images.path] if images.path.is_file() else [images.path / name for name in images.names]
    sizes = [(state.st_size, state.st_mtime_ns) for state in (file.stat() for file in files)]
    return fingerprint_of([str(images.path.absolute()), images.names, images.indexes, sizes])


def _without_damaged(
    folders: Sequence[ImageFolder], found: Sequence[Inspection], skip_bad: bool, monitor: Monitor
) -> tuple[list[ImageFolder], list[tuple[str, ...]]]:
    """The folders, and the digests of their images, without those that cannot be read."""
    bad = [
        f"{folder.names[row]}: {text}"
        for folder, inspection in zip(folders, found, strict=True)
        for row, text in inspection.damaged.items()
    ]
    listed = "\n".join([*bad[:_LISTED], *([f"... and {len(bad) - _LISTED} more"] if len(bad) > _LISTED else [])])
    if bad and not skip_bad:
        raise ImageryError(
            f"{_images(len(bad))} cannot be read: damaged, or of another kind.",
            hint="Put back good copies, or leave them out (--skip-bad).",
            details=listed,
        )
    if bad:
        monitor.warn(f"{_images(len(bad))} that cannot be read {'is' if len(bad) == 1 else 'are'} left out:\n{listed}")
    kept, digests = [], []
    for folder, inspection in zip(folders, found, strict=True):
        good = [row for row in range(len(folder.names)) if row not in inspection.damaged]
        if not good:
            raise ImageryError(f"No image of {folder.path.name} can be read.", hint="Put back good copies.")
        names = tuple(folder.names[row] for row in good)
        kept.append(replace(folder, names=names, targets=_targets(folder)[good]))
        digests.append(tuple(inspection.digests[row] for row in good))
    return kept, digests


def _check_copies(folders: Sequence[ImageFolder], digests: Sequence[tuple[str, ...]], monitor: Monitor) -> None:
    """An image must not test what it taught: refuse those in both folders, and tell of copies under other names."""
    pool = {(_file(name), digest) for name, digest in zip(folders[0].names, digests[0], strict=True)}
    for folder, theirs in zip(folders[1:], digests[1:], strict=True):
        both = [name for name, digest in zip(folder.names, theirs, strict=True) if (_file(name), digest) in pool]
        if both:
            more = f"\n... and {len(both) - _LISTED} more" if len(both) > _LISTED else ""
            raise UsageError(
                f"{_images(len(both))} of the test set {folder.path.name} {'is' if len(both) == 1 else 'are'} in the "
                f"pool {folders[0].path.name}, too.",
                hint="Take them out of one of the two: what was learnt from must not test.",
                details="\n".join(both[:_LISTED]) + more,
            )
    counts = Counter(digest for each in digests for digest in each)
    copies = sum(count - 1 for count in counts.values())
    if copies:
        monitor.warn(
            f"{_images(copies)} {'has' if copies == 1 else 'have'} the same content as another under another name, so "
            "that one may be learnt from and the other test."
        )


def _file(name: str) -> str:
    return PurePosixPath(name).name


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _aligned(folder: ImageFolder, classes: Sequence[str]) -> NDArray[np.int64]:
    """The targets of a folder, by places in ``classes`` rather than its own."""
    targets = _targets(folder)
    places = np.array([classes.index(name) for name in folder.classes], np.int64)
    if targets.ndim == 1:
        return places[targets]
    aligned = np.zeros((len(targets), len(classes)), np.int64)
    aligned[:, places] = targets
    return aligned
