"""Whether the pixels of a raster are still those that were read once, wherever it lies now.

A fingerprint is the content of all files that hold pixels, without their names. Size and time are looked at first, so
the content is read again only where they leave a doubt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageryError
from ..monitor import SILENT, Monitor
from .products import find_product
from .rasters import open_dataset

_HASH_BYTES = 1 << 24

# QGIS writes statistics and overviews beside a raster that it shows; the pixels stay what they are.
_NOT_PIXELS = (".aux.xml", ".ovr")


@dataclass(frozen=True)
class Fingerprint:
    """All files of a dataset: ``size`` in bytes, newest modification time, blake2b ``digest`` of the content."""

    size: int
    modified_ns: int
    digest: str


def fingerprint(path: str | Path, monitor: Monitor = SILENT) -> Fingerprint:
    """Size, time and digest of all files that hold pixels of a dataset; for a VRT or a product, of its sources too.

    The digest does not depend on names and folders, so a project that was moved still knows its rasters.

    Raises:
        ImageryError: the dataset is missing or cannot be read.
        Cancelled: the caller asked to stop.
    """
    path = Path(path)
    files = _pixel_files(path)
    size, modified_ns = _size_and_time(files)
    digest = hashlib.blake2b(digest_size=32)
    done = 0
    try:
        for file in files:
            digest.update(f"{file.stat().st_size}\0".encode())
            for block in _blocks(file):
                digest.update(block)
                done += len(block)
                monitor.advance(done / max(size, 1), f"Checking {path.name}")
    except OSError as error:
        raise ImageryError(
            f"{path.name} cannot be read: {error.strerror}.", hint="Check the disk and the file's permissions."
        ) from error
    return Fingerprint(size, modified_ns, digest.hexdigest())


def is_unchanged(path: str | Path, stored: Fingerprint, monitor: Monitor = SILENT) -> bool:
    """Whether the pixels are those of the fingerprint; the content is read only if size or time leave a doubt.

    Raises:
        ImageryError: the dataset is missing or cannot be read.
    """
    size, modified_ns = _size_and_time(_pixel_files(Path(path)))
    if size != stored.size:
        return False
    return modified_ns == stored.modified_ns or fingerprint(path, monitor).digest == stored.digest


def dataset_size(path: Path) -> int:
    """Bytes of all files that hold pixels of a dataset.

    Raises:
        ImageryError: the dataset is missing or cannot be read.
    """
    return _size_and_time(_pixel_files(path))[0]


def _pixel_files(path: Path) -> list[Path]:
    """The dataset's own file first, then its other files and its sources, by name; a product's band files."""
    product = find_product(path)
    if product:
        return list(product.files)
    found = {path}
    to_open = [path]
    while to_open:
        with open_dataset(to_open.pop()) as dataset:
            files = {Path(file) for file in dataset.files if not file.lower().endswith(_NOT_PIXELS)}
        new = {file for file in files if file.is_file()} - found
        found |= new
        to_open += [file for file in new if file.suffix.lower() == ".vrt"]
    return [path, *sorted(found - {path})]


def _size_and_time(files: Sequence[Path]) -> tuple[int, int]:
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(_HASH_BYTES):
            yield block
