"""A raster on disk: can it be used, and what is needed to read it again?

``inspect_raster`` looks at a file once, says in a sentence why it cannot be used, or returns a :class:`Raster`, which
holds everything that reading takes.

A Sentinel-2 product (a ``.SAFE`` folder, a zip of one, a folder of band files) is a raster like any other: wherever a
path is asked for, it may be a product's, and its bands are read on one grid.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..errors import ImageryError
from .products import Product, find_product, open_product, product_radiometry
from .sentinel2 import Band, Radiometry, choose_bands, find_bands, guess_radiometry

# Blocks of one read are decoded in parallel, where the driver can (GeoTIFF, JPEG 2000).
_DECODERS = str(min(4, os.cpu_count() or 1))

# GDAL keeps 5 % of the machine's memory as block cache, gigabytes on a server. Of one file, blocks are read about once
# here, so a small cache is as fast (24,300 tiles: 16 MB and 128 MB alike). But a block of a product's 20 m band lies
# under two rows of chunks: to decode it once, the cache has to hold all bands across a granule, some 250 MB (processor
# time of a pass over 12 JPEG 2000 bands: 109 s with 128 MB, 87 s with 384 MB). GDAL looks at this when it first reads.
os.environ.setdefault("GDAL_CACHEMAX", "384")


@dataclass(frozen=True)
class Raster:
    """Everything that is needed to read a raster again.

    ``crs`` is WKT, ``transform`` leads from (column, row) pixel corners to coordinates, ``dtype`` is the numpy name
    of the stored type, ``block_shape`` (rows, columns) is what the file decodes at once. A product's ``path`` is that
    of its folder or zip, also if it was found by its metadata file.
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
        path: any raster that GDAL reads from a file: GeoTIFF, COG, VRT, JPEG 2000, ..., or a Sentinel-2 product, see
            :func:`~.products.find_product`.
        bands: names by position, see :func:`~.sentinel2.find_bands`; of a product, the names to use.
        scale, offset, nodata: override what the file says, see :func:`~.sentinel2.guess_radiometry`.

    Raises:
        ImageryError: missing, no raster, damaged, without georeference, of a type that cannot be reflectance,
            without Sentinel-2 bands, of unknown unit; an incomplete product.
        UsageError: a scale or offset that makes no sense.
    """
    path = Path(path)
    product = find_product(path)
    path = product.path if product else path
    said = _Said(scale, offset, nodata)
    with _open(path, product) as dataset:
        _require_bands(dataset, path)
        require_georeference(dataset, path)
        if product:
            found = choose_bands(product.band_names, bands, source=path.name)
        else:
            found = find_bands(dataset.descriptions, bands, source=path.name)
        indexes = [band.index for band in found]
        dtype = _common_dtype(dataset, indexes, path)
        if product:
            used = replace(product, bands=tuple(product.bands[index - 1] for index in indexes))
            radiometry = _radiometry_of_product(used, dataset, indexes, dtype, said)
        else:
            radiometry = _radiometry_of_file(path, dataset, indexes, dtype, said)
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


@dataclass(frozen=True)
class _Said:
    """What the analyst says of the stored numbers; None leaves it to the file."""

    scale: float | None
    offset: float | None
    nodata: float | None


def _radiometry_of_file(
    path: Path, dataset: DatasetReader, indexes: Sequence[int], dtype: str, said: _Said
) -> Radiometry:
    return guess_radiometry(
        dtype,
        nodata=_declared_nodata(dataset, indexes, path) if said.nodata is None else said.nodata,
        gdal_scaling=_gdal_scaling(dataset, indexes),
        tags={key: value for index in (0, *indexes) for key, value in dataset.tags(index).items()},
        names=[path.name, *(part for part in path.parts if part.upper().endswith(".SAFE"))],
        has_mask=has_mask(dataset, indexes),
        scale=said.scale,
        offset=said.offset,
        source=path.name,
    )


def _radiometry_of_product(
    product: Product, dataset: DatasetReader, indexes: Sequence[int], dtype: str, said: _Said
) -> Radiometry:
    return product_radiometry(
        product,
        dtype=dtype,
        gdal_scaling=_gdal_scaling(dataset, indexes),
        declared_nodata=_declared_nodata(dataset, indexes, product.path) if said.nodata is None else None,
        scale=said.scale,
        offset=said.offset,
        nodata=said.nodata,
    )


def _gdal_scaling(dataset: DatasetReader, indexes: Sequence[int]) -> list[tuple[float, float]]:
    return [(dataset.scales[index - 1], dataset.offsets[index - 1]) for index in indexes]


def open_dataset(path: Path) -> DatasetReader:
    """Open a file or a product for reading, in the thread that is going to read.

    Raises:
        ImageryError: missing, or nothing that GDAL can open.
    """
    return _open(path, find_product(path))


def _open(path: Path, product: Product | None) -> DatasetReader:
    if product:
        return open_source(open_product(product), path.name)
    if not path.exists():
        raise ImageryError(f"There is no raster at {path}.", hint="Check the path, or whether the file was moved.")
    return open_source(path, path.name)


def open_source(source: str | Path, name: str) -> DatasetReader:
    """Open what GDAL takes for a dataset: a file, a path inside an archive, the text of a VRT.

    Raises:
        ImageryError: it cannot be opened; ``name`` is what it is called in the message.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.Env(GDAL_NUM_THREADS=_DECODERS):
                return rasterio.open(source)
    except (RasterioError, OSError) as error:
        raise ImageryError(
            f"{name} cannot be opened as a raster: it is of another kind, or damaged.",
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


def require_georeference(dataset: DatasetReader, path: Path) -> None:
    """Refuse a dataset that lies nowhere; ``path`` names it in the message.

    Raises:
        ImageryError: without coordinate reference system or position.
    """
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
