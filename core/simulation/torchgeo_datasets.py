"""Datasets of torchgeo by name, as they lie in a folder; nothing is ever downloaded.

Usable are those whose samples have an ``image`` and a ``label``, a number or 0 and 1 for each class: EuroSAT, UCMerced,
RESISC45, BigEarthNet and so on. All splits that a class offers are joined, and its own "test" is the test set.

**Bands** are those that the class names (``bands``, ``all_band_names``) or the caller; three that nothing is said of
are red, green and blue. **Units**, of which torchgeo says nothing, are told from the numbers of some images: three
bands that nothing is said of are a picture's levels, up to 255 or up to 1, worth what :data:`..images.WHITE` says; of
others, numbers that reach beyond 10 are Sentinel-2's DN, reflectance x 10000, and smaller ones reflectance already.

Published datasets do not change, so the fingerprint looks at the labels and at some images only, and images are looked
at beforehand only to leave out bad ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..encoders.listing import INSTALL_TORCHGEO, torchgeo_state
from ..errors import ImageryError, UsageError, nearest
from ..imagery.sentinel2 import BANDS, QUANTIFICATION_SCALE, canonical_band, find_bands
from ..images import WHITE
from ..kernels import Floats, Indices
from ..monitor import Monitor
from ..resizing import resized
from .dataset import Dataset
from .fingerprints import fingerprint_of

_SAMPLES = 16
_LARGEST_REFLECTANCE = 10.0
_RGB = ("B04", "B03", "B02")


@dataclass(frozen=True)
class _Special:
    """What a class of torchgeo wants or does that others do not.

    options: for its constructor. bands: of its images. labels: gives a label without the image, which takes a hundred
    times as long.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    bands: tuple[str, ...] = ()
    labels: Callable[[Any, int], Any] | None = None


def _label_alone(part: Any, index: int) -> Any:
    return part._load_target(index)  # torchgeo has no public way


_BIG_EARTH_NET = _Special({"bands": "s2"}, tuple(band for band in BANDS if band != "B10"), _label_alone)
_SPECIAL = {"BigEarthNet": _BIG_EARTH_NET, "BigEarthNetV2": _BIG_EARTH_NET}


@dataclass(frozen=True)
class TorchgeoTiles:
    """The images of all splits: row ``i`` is image ``places[i, 1]`` of ``parts[places[i, 0]]``.

    ``bands`` are their names, ``indexes`` their places (0-based) in an image, ``scale`` the reflectance of 1.
    """

    parts: tuple[Any, ...]
    places: Indices
    bands: tuple[str, ...]
    indexes: tuple[int, ...]
    scale: float
    size_px: int

    def read(self, rows: Indices, size_px: int | None = None) -> Floats:
        """Reflectance (n, bands, S, S) of some rows (n,).

        Raises:
            ImageryError: an image cannot be read.
        """
        size = size_px or self.size_px
        images = np.empty((len(rows), len(self.bands), size, size), np.float32)
        for number, (part, index) in enumerate(self.places[rows]):
            image = _image(self.parts[part], int(index))[list(self.indexes)]
            images[number] = resized(image[None] * self.scale, size)[0].numpy()
        return images


def open_torchgeo_dataset(
    name: str, root: Path | None, bands: Sequence[str] | None, skip_bad: bool, monitor: Monitor
) -> Dataset:
    """The dataset that torchgeo calls ``name``; the arguments are those of :func:`.sources.open_dataset`.

    Raises:
        UsageError: torchgeo is not installed or has no such dataset, or no root is given.
        ImageryError: the dataset does not lie there, or is of another kind.
    """
    kind = _find(name)
    special = _SPECIAL.get(name, _Special())
    if root is None:
        raise UsageError(f"Where does torchgeo's {name} lie?", hint="Name the folder (--root); nothing is downloaded.")
    splits = _splits(kind)
    parts = tuple(_opened(kind, root, split, special) for split in splits)
    if not all(map(len, parts)):
        raise ImageryError(f"A split of {name} in {root} has no images.", hint="Unpack the dataset completely.")
    sizes = list(map(len, parts))
    places = np.stack([np.repeat(np.arange(len(parts)), sizes), np.concatenate(list(map(np.arange, sizes)))], axis=1)
    if skip_bad:
        places = places[_readable(parts, places, monitor.part(0.0, 0.8))]
    tiles = _tiles(name, parts, places, bands, special)
    targets = _labels(tiles, special, monitor.part(0.8, 1.0))
    classes = _class_names(parts[0], targets)
    is_test = np.array([split == "test" for split in splits])[places[:, 0]]
    looked_at = tiles.read(_some(len(places)))
    return Dataset(
        name=name,
        mode="single" if targets.ndim == 1 else "multi",
        classes=classes,
        targets=targets,
        names=tuple(f"{splits[part] or name}/{index}" for part, index in places.tolist()),
        tiles=tiles,
        fingerprint=fingerprint_of([name, splits, classes, tiles.bands, tiles.scale], targets, places, looked_at),
        test=is_test if is_test.any() else None,
    )


def _find(name: str) -> Any:
    """The class of torchgeo."""
    if torchgeo_state():
        raise UsageError("torchgeo is not installed.", hint=INSTALL_TORCHGEO)
    from torchgeo import datasets

    known = {
        item: kind
        for item in datasets.__all__
        if inspect.isclass(kind := getattr(datasets, item)) and issubclass(kind, datasets.NonGeoDataset)
    }
    if name not in known:
        raise UsageError(f"torchgeo has no dataset of images called {name!r}.", hint=nearest(name, known))
    return known[name]


def _splits(kind: Any) -> tuple[str | None, ...]:
    """The names of all splits of a class, which it keeps in one of several places; None for one that has none."""
    if "split" not in inspect.signature(kind).parameters:
        return (None,)
    for attribute in ("splits", "valid_splits", "splits_metadata"):
        if hasattr(kind, attribute):
            return tuple(getattr(kind, attribute))
    return ("train", "val", "test")


def _opened(kind: Any, root: Path, split: str | None, special: _Special) -> Any:
    options = {**special.options, **({} if split is None else {"split": split})}
    try:
        return kind(root=str(root), **options)
    except Exception as error:  # those of torchgeo, and of whatever it reads with
        raise ImageryError(
            f"torchgeo's {kind.__name__} does not lie in {root} as torchgeo wants it.",
            hint="Get it once by torchgeo itself (download=True), then name the folder that it was given.",
            details=str(error) or type(error).__name__,
        ) from error


def _tiles(
    name: str, parts: tuple[Any, ...], places: Indices, bands: Sequence[str] | None, special: _Special
) -> TorchgeoTiles:
    """The images, with names for their bands and a unit, from a look at some of them."""
    if not len(places):
        raise ImageryError(f"No image of {name} can be read.", hint="Get the dataset again.")
    images = [_image(parts[part], int(index)) for part, index in places[_some(len(places))]]
    count = len(images[0])
    said = tuple(bands or special.bands or _named_bands(parts[0], count))
    largest = max(float(image.max()) for image in images)
    if not said and count == len(_RGB):
        said, scale = _RGB, WHITE / (255.0 if largest > 1.0 else 1.0)
    else:
        scale = QUANTIFICATION_SCALE if largest > _LARGEST_REFLECTANCE else 1.0
    found = find_bands([None] * count, said or None, source=f"an image of {name}")
    return TorchgeoTiles(
        parts=parts,
        places=places,
        bands=tuple(band.name for band in found),
        indexes=tuple(band.index - 1 for band in found),
        scale=scale,
        size_px=max(images[0].shape[1:]),
    )


def _named_bands(part: Any, count: int) -> tuple[str, ...]:
    """What the class calls its bands, if that is one Sentinel-2 name for each."""
    for attribute in ("bands", "all_band_names"):
        names = getattr(part, attribute, None)
        if isinstance(names, (list, tuple)) and len(names) == count and all(map(canonical_band, map(str, names))):
            return tuple(map(str, names))
    return ()


def _image(part: Any, index: int) -> torch.Tensor:
    """An image (bands, H, W) as torchgeo gives it, float32."""
    image = _sample(part, index).get("image")
    if not isinstance(image, torch.Tensor) or image.ndim != 3:
        raise ImageryError(
            f"The samples of torchgeo's {type(part).__name__} have no image of bands, rows and columns.",
            hint="Choose a dataset of single images, for example EuroSAT, UCMerced or BigEarthNet.",
        )
    return image.float()


def _sample(part: Any, index: int) -> Mapping[str, Any]:
    try:
        sample: Mapping[str, Any] = part[index]
    except Exception as error:  # those of torchgeo, and of whatever it reads with
        raise ImageryError(
            f"Image {index} of torchgeo's {type(part).__name__} cannot be read.",
            hint="Put back a good copy, or leave it out (--skip-bad).",
            details=str(error) or type(error).__name__,
        ) from error
    return sample


def _readable(parts: tuple[Any, ...], places: Indices, monitor: Monitor) -> Indices:
    """The rows of images that can be read."""
    good, problems = [], []
    for row, (part, index) in enumerate(places.tolist()):
        if row % 16 == 0:
            monitor.advance(row / len(places), "Looking at the images")
        try:
            _image(parts[part], index)
            good.append(row)
        except ImageryError as error:
            problems.append(f"{error.message} {error.details}".strip())
    if problems:
        monitor.warn(f"Images that cannot be read are left out, {len(problems)}:\n" + "\n".join(problems[:10]))
    return np.array(good, np.int64)


def _labels(tiles: TorchgeoTiles, special: _Special, monitor: Monitor) -> NDArray[np.int64]:
    """The targets of all rows, without reading an image where there is a way to."""
    labels = []
    for row, (part, index) in enumerate(tiles.places.tolist()):
        if row % 16 == 0:
            monitor.advance(row / len(tiles.places), "Reading the labels")
        label = np.asarray(_label(tiles.parts[part], index, special))
        is_set = label.ndim == 1 and set(label.tolist()) <= {0, 1}
        if label.dtype.kind not in "iufb" or (label.ndim and not is_set):
            raise ImageryError(
                f"The labels of torchgeo's {type(tiles.parts[part]).__name__} are neither a class nor a set of them.",
                hint="Choose a dataset of classified images, for example EuroSAT, UCMerced or BigEarthNet.",
            )
        labels.append(label.astype(np.int64))
    return np.stack(labels)


def _label(part: Any, index: int, special: _Special) -> Any:
    if special.labels is not None:
        return special.labels(part, index)
    if hasattr(part, "targets"):  # torchvision's folders of classes
        return part.targets[index]
    return _sample(part, index).get("label")


def _class_names(part: Any, targets: NDArray[np.int64]) -> tuple[str, ...]:
    count = targets.shape[1] if targets.ndim > 1 else int(targets.max()) + 1
    sets = getattr(part, "class_sets", {})
    for names in (getattr(part, "classes", None), getattr(part, "class_set", None), sets.get(count)):
        if names is not None and len(names) >= count:
            return tuple(map(str, names))
    return tuple(f"class {place}" for place in range(count))


def _some(count: int) -> Indices:
    """Up to 16 rows of ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).astype(np.int64))
