"""Folders of small images, as labelled archives come: ``FOLDER/CLASS/IMAGE``, or the same in a zip that stays packed.

An image has the class of the folder that it lies in, if there are two or more such folders; or a ``labels.csv`` has a
line for each, ``filename`` first and then a column of 0 and 1 for each class (several may be 1), as UCMerced's.

Pictures (JPEG, PNG, and TIFF with three bands of 8 bits that nothing is said of) are red, green and blue; their levels
are worth what :data:`WHITE` says, the stretch of EuroSAT's pictures, unless another is given. Other TIFF files are read
like any raster, with bands by their descriptions or as they are named.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import ImageryError, UsageError
from .imagery.rasters import open_source
from .imagery.sentinel2 import Band, find_bands, guess_radiometry
from .monitor import Monitor
from .resizing import resized

WHITE = 0.27285
"""Reflectance of the brightest level of a picture: 255 levels of 10.70 DN, as in EuroSAT."""
PICTURES = (".jpg", ".jpeg", ".png")
RASTERS = (".tif", ".tiff")
TABLE = "labels.csv"
_PICTURE_BANDS = ("B04", "B03", "B02")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF file begins, and a BigTIFF one, in either order of bytes."""


class DamagedImageError(ImageryError):
    """An image cannot be decoded, or holds numbers that are none."""


@dataclass(frozen=True)
class Inspection:
    """What a look at every image led to.

    digests: SHA-256 (N,) of the files' content, empty for one that is damaged. damaged: what is wrong, by row.
    """

    digests: tuple[str, ...]
    damaged: dict[int, str]


@dataclass(frozen=True)
class ImageFolder:
    """Images by name: ``names`` (N,) sorted, relative to ``path``, a folder or a zip, all of one kind.

    ``bands`` are the canonical names of an image's bands, ``indexes`` their 1-based places in a file, ``white`` the
    reflectance of a picture's brightest level. ``targets`` are places (N,) in ``classes``, or 0 and 1 for each class
    (N, C) where an image may have several; None, and no classes, where nothing is said.
    """

    path: Path
    names: tuple[str, ...]
    bands: tuple[str, ...]
    indexes: tuple[int, ...]
    white: float
    classes: tuple[str, ...]
    targets: NDArray[np.int64] | None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: an open zip stays here."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def size_px(self) -> int:
        """The side of the square in which images are read that must have one size: the longer one of the first."""
        return int(max(self.read(0).shape[1:]))

    @cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        return zipfile.ZipFile(self.path) if self.path.is_file() else None

    def read(self, row: int, size_px: int | None = None) -> NDArray[np.float32]:
        """The reflectance (bands, H, W) of an image, as it is or as a square of ``size_px``.

        Raises:
            DamagedImageError: it is damaged.
            ImageryError: what its levels are worth cannot be known.
        """
        name = self.names[row]
        image = self._decoded(name, self._bytes(name))
        return image if size_px is None else np.asarray(resized(torch.from_numpy(image)[None], size_px)[0].numpy())

    def read_some(self, rows: NDArray[np.int64], size_px: int | None = None) -> NDArray[np.float32]:
        """Some images (n,) at one size, :attr:`size_px` by default: reflectance (n, bands, S, S).

        Raises:
            ImageryError: as :meth:`read`.
        """
        size = size_px or self.size_px
        images = np.empty((len(rows), len(self.bands), size, size), np.float32)
        for place, row in enumerate(rows):
            images[place] = self.read(int(row), size)
        return images

    def inspect(self, monitor: Monitor) -> Inspection:
        """Decode every image once, to learn which are damaged and which content they have.

        Raises:
            ImageryError: what the levels of an image are worth cannot be known.
        """
        digests, damaged = [], {}
        for row, name in enumerate(self.names):
            if row % 64 == 0:
                monitor.advance(row / len(self.names), f"Looking at the images of {self.path.name}")
            try:
                content = self._bytes(name)
                self._decoded(name, content)
                digests.append(hashlib.sha256(content).hexdigest())
            except DamagedImageError as error:
                damaged[row] = error.details
                digests.append("")
        return Inspection(tuple(digests), damaged)

    def read_all(self, rows: NDArray[np.int64], size_px: int, place: Path, monitor: Monitor) -> NDArray[np.float16]:
        """Some images at one size, (n, bands, size_px, size_px) half precision, in a memory-mapped file at ``place``.

        Raises:
            ImageryError: an image is damaged, or there is no room.
        """
        shape = (len(rows), len(self.bands), size_px, size_px)
        try:
            array = np.lib.format.open_memmap(place, mode="w+", dtype=np.float16, shape=shape)
        except OSError as error:
            raise ImageryError(
                f"There is no room for the images of {self.path.name} in {place.parent}.",
                hint=f"Free {np.prod(shape) * 2 / 2**20:.0f} MiB there.",
                details=str(error),
            ) from error
        for place_in_array, row in enumerate(rows):
            if place_in_array % 256 == 0:
                monitor.advance(place_in_array / len(rows), f"Reading {self.path.name}")
            array[place_in_array] = self.read(int(row), size_px)
        return array

    def _bytes(self, name: str) -> bytes:
        try:
            return self._archive.read(name) if self._archive else (self.path / name).read_bytes()
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(name, error) from error

    def _decoded(self, name: str, content: bytes) -> NDArray[np.float32]:
        if not content:
            raise _damaged(name, ValueError("it is empty"))
        is_picture = PurePosixPath(name).suffix.lower() in PICTURES
        return self._picture(name, content) if is_picture else self._raster(name, content)

    def _picture(self, name: str, content: bytes) -> NDArray[np.float32]:
        try:
            with Image.open(io.BytesIO(content)) as picture:
                levels = np.asarray(picture.convert("RGB"), np.float32)
        except UnidentifiedImageError as error:  # which names an object in memory, not the file
            raise _damaged(name, ValueError("it is no JPEG or PNG image")) from error
        except Exception as error:  # decoders raise whatever they like
            raise _damaged(name, error) from error
        return np.ascontiguousarray(levels.transpose(2, 0, 1)) * np.float32(self.white / 255)

    def _raster(self, name: str, content: bytes) -> NDArray[np.float32]:
        from rasterio.errors import RasterioError
        from rasterio.io import MemoryFile

        try:
            with MemoryFile(content) as memory, memory.open() as dataset:
                stored = dataset.read(list(self.indexes))
                scaling = [(dataset.scales[index - 1], dataset.offsets[index - 1]) for index in self.indexes]
                tags = dataset.tags()
        except (RasterioError, IndexError, ValueError) as error:
            # Of a file of another kind GDAL names only its place in memory.
            reason = error if content.startswith(_TIFF) else ValueError("it is no TIFF image")
            raise _damaged(name, reason) from error
        if not np.isfinite(stored).all():
            raise _damaged(name, ValueError("it has pixels that are not finite"))
        is_picture = stored.dtype == np.uint8 and self.bands == _PICTURE_BANDS and set(scaling) == {(1.0, 0.0)}
        scale = self.white / 255 if is_picture else None
        found = guess_radiometry(
            str(stored.dtype), gdal_scaling=scaling, tags=tags, names=[name], scale=scale, source=name
        )
        return np.asarray((stored.astype(np.float32) + np.float32(found.offset)) * np.float32(found.scale))


def open_images(path: Path, bands: Sequence[str] | None = None, white: float = WHITE) -> ImageFolder:
    """Look through a folder or zip of images.

    Args:
        path: it.
        bands: the names of a TIFF's bands by position, ``-`` for one not to use; as described in the first one if None.
        white: the reflectance of a picture's brightest level.

    Raises:
        ImageryError: no such folder, no image in it, a broken zip, or bands that are not known.
        UsageError: pictures and TIFF files together, or band names for pictures.
    """
    names = _image_names(path)
    kinds = {PurePosixPath(name).suffix.lower() in RASTERS for name in names}
    if len(kinds) > 1:
        raise UsageError(
            f"{path.name} holds pictures (JPEG, PNG) and TIFF files together.",
            hint="Keep them in two folders, and give one.",
        )
    if kinds == {False}:
        if bands:
            raise UsageError(
                "The bands of a picture are red, green and blue; no others can be named.", hint="Leave out --bands."
            )
        return ImageFolder(path, names, _PICTURE_BANDS, (1, 2, 3), white, *_labels(path, names))
    found = _raster_bands(path, names, bands)
    places = tuple(band.index for band in found)
    return ImageFolder(path, names, tuple(band.name for band in found), places, white, *_labels(path, names))


def _raster_bands(path: Path, names: Sequence[str], bands: Sequence[str] | None) -> tuple[Band, ...]:
    """The bands of the first TIFF that can be opened; a damaged one is told of when it is read."""
    errors: list[ImageryError] = []
    for name in names:
        try:
            dataset = open_source(f"/vsizip/{path}/{name}" if path.is_file() else str(path / name), name)
        except ImageryError as error:
            errors.append(error)
            continue
        with dataset:
            if bands is None and dataset.dtypes == ("uint8",) * 3 and not any(dataset.descriptions):
                bands = _PICTURE_BANDS
            return find_bands(dataset.descriptions, bands, source=name)
    raise errors[0]


def _image_names(path: Path) -> tuple[str, ...]:
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    elif path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise ImageryError(
                f"{path.name} is no zip that can be read; it may be cut short.",
                hint="Download or copy it again.",
                details=str(error),
            ) from error
    else:
        raise ImageryError(f"There is no folder of images at {path}.", hint="Check the path.")
    known = sorted(name for name in names if PurePosixPath(name).suffix.lower() in PICTURES + RASTERS)
    images = tuple(
        name for name in known if not any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)
    )
    if not images:
        raise ImageryError(
            f"{path.name} holds no images.",
            hint="Images lie in a folder for each class: FOLDER/CLASS/IMAGE.jpg or .tif.",
        )
    return images


def _labels(path: Path, names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """Classes and targets, from a table if there is one, else from the folders."""
    table = _table(path)
    if table is not None:
        return _labels_of_table(path, names, table)
    folders = [PurePosixPath(name).parent.name for name in names]
    classes = tuple(sorted(set(folders)))
    if len(classes) < 2:
        return (), None
    places = {name: place for place, name in enumerate(classes)}
    return classes, np.array([places[folder] for folder in folders], np.int64)


def _table(path: Path) -> str | None:
    """The text of the only ``labels.csv``, wherever in the folder or zip it lies."""
    try:
        if path.is_dir():
            files = sorted(path.rglob(TABLE))
            return files[0].read_text(encoding="utf-8-sig") if files else None
        with zipfile.ZipFile(path) as archive:
            members = sorted(name for name in archive.namelist() if PurePosixPath(name).name == TABLE)
            return archive.read(members[0]).decode("utf-8-sig") if members else None
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error) as error:
        raise ImageryError(
            f"The table {TABLE} of {path.name} cannot be read.",
            hint="Save it as UTF-8, with commas between the columns.",
            details=str(error),
        ) from error


def _labels_of_table(path: Path, names: Sequence[str], table: str) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    header, *lines = [line for line in csv.reader(io.StringIO(table)) if line] or [[]]
    classes = tuple(header[1:])
    rows = {line[0]: line[1:] for line in lines}
    files = [PurePosixPath(name).name for name in names]
    wrong = (name for name, values in rows.items() if len(values) != len(classes) or set(values) - {"0", "1"})
    problems = [
        f"{what}: {len(some)} ({', '.join(some[:3])}{', ...' if len(some) > 3 else ''})"
        for what, found in (
            ("images without a line", set(files) - rows.keys()),
            ("lines without an image", rows.keys() - set(files)),
            ("lines that are not 0 and 1 for each class", wrong),
            ("files with more than one line", _repeated(line[0] for line in lines)),
            ("names that several images have", _repeated(files)),
            ("classes with more than one column", _repeated(classes)),
        )
        if (some := sorted(found))
    ]
    if not classes:
        problems.append("The first line names no class; columns are separated by commas.")
    if problems:
        raise ImageryError(
            f"The table {TABLE} of {path.name} does not fit its images.",
            hint="It has a line for each image: the file's name, then 0 or 1 for each class of the first line.",
            details="\n".join(problems),
        )
    return classes, np.array([rows[file] for file in files], np.int64)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _damaged(name: str, error: Exception) -> DamagedImageError:
    return DamagedImageError(
        f"The image {name} cannot be read: it is damaged or of another kind.",
        hint="Put back a good copy, or take it away.",
        details=str(error) or type(error).__name__,
    )
