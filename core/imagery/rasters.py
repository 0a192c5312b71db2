"""A raster on disk: can it be used, what is needed to read it again, and is it still the same?

``inspect_raster`` looks at a file once, says in a sentence why it cannot be used, or returns a :class:`Raster`, which
holds everything that reading takes. ``fingerprint`` tells later whether the pixels may have changed since.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..errors import ImageryError
from ..monitor import SILENT, Monitor
from .sentinel2 import Band, Radiometry, find_bands, guess_radiometry

_HASH_BYTES = 1 << 24

# Blocks of one read are decoded in parallel, where the driver can (GeoTIFF, JPEG 2000).
_DECODERS = str(min(4, os.cpu_count() or 1))

# GDAL keeps 5 % of the machine's memory as block cache, gigabytes on a server. Blocks are read about once here, so a
# small cache is as fast (measured on 24,300 tiles: 16 MB and 128 MB alike). GDAL looks at this when it first reads.
os.environ.setdefault("GDAL_CACHEMAX", "128")

# QGIS writes statistics and overviews beside a raster that it shows; the pixels stay what they are.
_NOT_PIXELS = (".aux.xml", ".ovr")


@dataclass(frozen=True)
class Raster:
    """Everything that is needed to read a raster again.

    ``crs`` is WKT, ``transform`` leads from (column, row) pixel corners to coordinates, ``dtype`` is the numpy name
    of the stored type, ``block_shape`` (rows, columns) is what the file decodes at once.
    """

    path: Path
    bands: tuple[Band, ...]
    radiometry: Radiometry
    crs: str
    transform: Affine
    width: int
    height: int
    dtype: str
    block_shape: tuple[int, int]

    @property
    def band_names(self) -> tuple[str, ...]:
        """Canonical names, in the order in which tiles are read."""
        return tuple(band.name for band in self.bands)


@dataclass(frozen=True)
class Fingerprint:
    """All files of a dataset: ``size`` in bytes, newest modification time, blake2b ``digest`` of the content."""

    size: int
    modified_ns: int
    digest: str


def inspect_raster(
    path: str | Path,
    *,
    bands: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Raster:
    """Find out how to read a raster; no more than a few of its pixels are read.

    Args:
        path: any raster that GDAL reads from a file: GeoTIFF, COG, VRT, JPEG 2000, ...
        bands: names by position, see :func:`~.sentinel2.find_bands`.
        scale, offset, nodata: override what the file says, see :func:`~.sentinel2.guess_radiometry`.

    Raises:
        ImageryError: missing, no raster, damaged, without georeference, of a type that cannot be reflectance,
            without Sentinel-2 bands, of unknown unit.
        UsageError: a scale or offset that makes no sense.
    """
    path = Path(path)
    with open_dataset(path) as dataset:
        _require_bands(dataset, path)
        _require_georeference(dataset, path)
        found = find_bands(dataset.descriptions, bands, source=path.name)
        indexes = [band.index for band in found]
        dtype = _common_dtype(dataset, indexes, path)
        radiometry = guess_radiometry(
            dtype,
            nodata=_declared_nodata(dataset, indexes, path) if nodata is None else nodata,
            gdal_scaling=[(dataset.scales[index - 1], dataset.offsets[index - 1]) for index in indexes],
            tags={key: value for index in (0, *indexes) for key, value in dataset.tags(index).items()},
            names=[path.name, *(part for part in path.parts if part.upper().endswith(".SAFE"))],
            has_mask=has_mask(dataset, indexes),
            scale=scale,
            offset=offset,
            source=path.name,
        )
        # A download that was cut short lacks its last block, while its header is often whole.
        read_window(dataset, indexes, Window(dataset.width - 1, dataset.height - 1, 1, 1), path)
        return Raster(
            path=path,
            bands=found,
            radiometry=radiometry,
            crs=dataset.crs.to_wkt(),
            transform=dataset.transform,
            width=dataset.width,
            height=dataset.height,
            dtype=dtype,
            block_shape=tuple(dataset.block_shapes[indexes[0] - 1]),
        )


def open_dataset(path: Path) -> DatasetReader:
    """Open for reading, in the thread that is going to read.

    Raises:
        ImageryError: missing, or nothing that GDAL can open.
    """
    if not path.exists():
        raise ImageryError(f"There is no raster at {path}.", hint="Check the path, or whether the file was moved.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.Env(GDAL_NUM_THREADS=_DECODERS):
                return rasterio.open(path)
    except (RasterioError, OSError) as error:
        raise ImageryError(
            f"{path.name} cannot be opened as a raster: it is of another kind, or damaged.",
            hint="Open it in QGIS to see whether it works there; if it was downloaded or copied, do that again.",
            details=str(error),
        ) from error


def read_window(dataset: DatasetReader, indexes: Sequence[int], window: Window, path: Path) -> np.ndarray:
    """Stored numbers (bands, rows, columns) of a window.

    Raises:
        ImageryError: the file is damaged there, or a source of a VRT is missing.
    """
    try:
        return np.asarray(dataset.read(indexes, window=window))
    except RasterioError as error:
        raise _damaged(path, window, error) from error


def read_mask(dataset: DatasetReader, indexes: Sequence[int], window: Window, path: Path) -> np.ndarray:
    """(rows, columns) bool, True where the dataset's mask or alpha band says that the pixel is valid."""
    # One mask for the dataset is the same for every band; only masks by band have to be read for each.
    shared = MaskFlags.per_dataset in dataset.mask_flag_enums[indexes[0] - 1]
    alpha = _alpha_bands(dataset)
    try:
        masks = dataset.read_masks(indexes[:1] if shared else indexes, window=window)
        valid = (masks != 0).all(axis=0)
        if alpha:
            valid &= (dataset.read(alpha, window=window) != 0).all(axis=0)
    except RasterioError as error:
        raise _damaged(path, window, error) from error
    return np.asarray(valid)


def _alpha_bands(dataset: DatasetReader) -> list[int]:
    """The alpha band, if there is one: GDAL itself takes it for a mask only beside one or three other bands."""
    return [index for index, meaning in enumerate(dataset.colorinterp, 1) if meaning is ColorInterp.alpha]


def has_mask(dataset: DatasetReader, indexes: Sequence[int]) -> bool:
    """Whether valid pixels are told by a mask or an alpha band, rather than by a nodata number or not at all."""
    by_value = {MaskFlags.all_valid, MaskFlags.nodata}
    return bool(_alpha_bands(dataset)) or any(
        not by_value & set(dataset.mask_flag_enums[index - 1]) for index in indexes
    )


def _damaged(path: Path, window: Window, error: Exception) -> ImageryError:
    return ImageryError(
        f"{path.name} cannot be read at row {int(window.row_off)}, column {int(window.col_off)}: "
        "it is truncated or damaged.",
        hint="Copy or download it again; for a VRT, check that all of its sources are there.",
        details=str(error.__cause__ or error),
    )


def _require_bands(dataset: DatasetReader, path: Path) -> None:
    if dataset.count == 0:
        raise ImageryError(
            f"{path.name} has no bands of its own, but {len(dataset.subdatasets)} datasets inside.",
            hint="Export the one you mean as a GeoTIFF, or make a VRT of it.",
            details="\n".join(dataset.subdatasets),
        )


def _require_georeference(dataset: DatasetReader, path: Path) -> None:
    if dataset.crs is None:
        raise ImageryError(
            f"{path.name} has no coordinate reference system.",
            hint="Assign the right one, for example in QGIS: Raster > Projections > Assign Projection.",
        )
    if dataset.transform == Affine.identity() or dataset.transform.is_degenerate:
        raise ImageryError(
            f"{path.name} is not georeferenced: nothing says where its pixels lie.",
            hint="Georeference it first, for example in QGIS: Layer > Georeferencer; "
            "an image with ground control points has to be warped (gdalwarp).",
        )


def _common_dtype(dataset: DatasetReader, indexes: Sequence[int], path: Path) -> str:
    dtypes = sorted({dataset.dtypes[index - 1] for index in indexes})
    if len(dtypes) > 1:
        raise ImageryError(
            f"The bands of {path.name} are stored in different types: {', '.join(dtypes)}.",
            hint="Write them to one file of one type, for example with gdal_translate -ot UInt16.",
        )
    if dtypes[0].startswith("complex"):
        raise ImageryError(
            f"{path.name} holds complex numbers, which are no reflectance.",
            hint="Quadrat needs optical imagery; this looks like radar.",
        )
    return str(dtypes[0])


def _declared_nodata(dataset: DatasetReader, indexes: Sequence[int], path: Path) -> float | None:
    declared = {str(dataset.nodatavals[index - 1]): dataset.nodatavals[index - 1] for index in indexes}
    declared.pop("None", None)
    if len(declared) > 1:
        raise ImageryError(
            f"The bands of {path.name} have different nodata values: {', '.join(declared)}.",
            hint="Say which one counts (--nodata).",
        )
    return next(iter(declared.values()), None)


def fingerprint(path: str | Path, monitor: Monitor = SILENT) -> Fingerprint:
    """Size, time and digest of all files that hold pixels of a dataset; for a VRT, of its sources too.

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


def _pixel_files(path: Path) -> list[Path]:
    """The dataset's own file first, then its other files and its sources, by name."""
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
