"""Sentinel-2 products as they come: which file is which band, and what its numbers mean.

A product is a ``.SAFE`` folder or a zip of one, a granule of an old product, or a folder of single-band files, as AWS,
Earth Search or the Copernicus Browser hand them out. ``find_product`` says what is at a path, from names and metadata
alone; ``open_product`` opens the band files and describes them as one virtual raster, which GDAL reads by windows;
``product_radiometry`` says how its numbers become reflectance.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import ImageryError
from ..paths import is_file, is_folder, product_of_source
from .band_folders import BAND_FOLDERS, band_folder_product
from .band_images import RESOLUTIONS
from .product import BandFile, Product
from .product_files import files_in_folder, files_in_zip
from .product_metadata import PRODUCT_NAME
from .safe_products import is_main_metadata, safe_product
from .sentinel2 import BASELINE_4_OFFSET, QUANTIFICATION_SCALE, Radiometry, guess_radiometry
from .vrt import bands_on_one_grid

__all__ = [
    "BandFile",
    "Product",
    "coarser_than_sensed",
    "find_product",
    "is_product",
    "open_product",
    "product_radiometry",
]

_GRANULE_METADATA = "MTD_TL.xml"
_SAFE_DEPTH = 4  # GRANULE/L2A_T33TUL_A041676_20230615T100350/IMG_DATA/R10m
_BANDS_DEPTH = 2  # IMG_DATA/R10m


def find_product(path: Path) -> Product | None:
    """The product at a path, or None if there is no product but an ordinary raster, or nothing.

    Args:
        path: a ``.SAFE`` folder, the main metadata file in it, a granule folder, a zip, a folder of band files, a
            folder with one ``.SAFE`` in it, or a source as GDAL names it:
            ``SENTINEL2_L2A:/data/X.SAFE/MTD_MSIL2A.xml:10m:EPSG_32633``.

    Raises:
        ImageryError: a product without its metadata or a band file, several products, tiles or dates in one place, a
            zip that is broken or holds no product.
    """
    path = product_of_source(str(path)) or path
    if _is_zip(path):
        product = _in_zip(path)
        if product is None:
            raise ImageryError(
                f"{path.name} holds no Sentinel-2 product.",
                hint="Give a zip of a .SAFE folder or of the files of its bands; unpack any other and give what is in "
                "it.",
            )
        return product
    if is_main_metadata(path.name) or path.name == _GRANULE_METADATA:
        path = path.parent
    if not is_folder(path):
        return None
    return _in_safe_folder(path) or _in_band_folder(path) or _inside(path)


def is_product(path: Path) -> bool:
    """Whether there is, or was meant to be, a product at a path: False for a zip or folder of anything else.

    Raises:
        ImageryError: as :func:`find_product`, but for a zip without a product.
    """
    return (_in_zip(path) if _is_zip(path) else find_product(path)) is not None


def coarser_than_sensed(product: Product) -> list[str]:
    """The bands, as in ``B04 (20 m)``, whose image is coarser than it was sensed, and coarser than that of others.

    So there is none in a folder R20m, whose bands were meant to be of 20 m.
    """
    finest = min(band.resolution_m for band in product.bands)
    return [
        f"{band.name} ({band.resolution_m} m)"
        for band in product.bands
        if band.resolution_m > max(finest, RESOLUTIONS[band.name])
    ]


def open_product(product: Product) -> str:
    """A virtual raster (VRT, as XML text) of all bands on the grid of the finest one; ``rasterio.open`` takes it.

    Raises:
        ImageryError: a band cannot be opened, or lies on other ground; GDAL without JPEG 2000.
    """
    return bands_on_one_grid([(band.name, band.source) for band in product.bands], product.nodata, product.name)


def product_radiometry(
    product: Product,
    *,
    dtype: str,
    gdal_scaling: Iterable[tuple[float, float]] = (),
    declared_nodata: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Radiometry:
    """How the product's stored numbers become reflectance; what the analyst gives (the last three) wins.

    Args:
        dtype, gdal_scaling, declared_nodata: of the virtual raster's bands, as in :func:`~.sentinel2.guess_radiometry`.

    Raises:
        ImageryError: the bands have different offsets, or nothing tells the offset.
        UsageError: a scale or offset that cannot be.
    """
    gdal_scaling = set(gdal_scaling)
    if nodata is None:
        nodata = declared_nodata if product.nodata is None else product.nodata
    # Band files that are floating point or 8-bit, or say what they are worth, are not as ESA made them.
    as_delivered = product.scale is not None or (
        np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize > 1 and gdal_scaling <= {(1.0, 0.0)}
    )
    if as_delivered:
        scale = scale if scale is not None else product.scale or QUANTIFICATION_SCALE
        offset = offset if offset is not None else _offset(product)
    return guess_radiometry(
        dtype, nodata=nodata, gdal_scaling=gdal_scaling, scale=scale, offset=offset, source=product.name
    )


def _offset(product: Product) -> float:
    """DN to add to every band."""
    offsets = {band.name: band.offset for band in product.bands}
    known = {offset for offset in offsets.values() if offset is not None}
    if len(known) > 1:
        raise ImageryError(
            f"The bands of {product.name} have different offsets: "
            f"{', '.join(f'{name} {offset:g}' for name, offset in offsets.items() if offset is not None)}.",
            hint="Leave out bands (--bands), or give one offset for all of them, in DN (--offset).",
        )
    if None in offsets.values():
        raise ImageryError(
            f"Nothing tells whether the DN of {product.name} are {-BASELINE_4_OFFSET:g} too high, as they are since "
            "processing baseline 04.00 (January 2022) unless somebody took it off.",
            hint="Give --offset -1000 for files as ESA made them, --offset 0 if that is done already (Earth Search); "
            "or put the product's metadata, or the STAC item, beside the bands.",
        )
    return known.pop()


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and is_file(path)


def _in_zip(path: Path) -> Product | None:
    files = files_in_zip(path)
    roots = {PurePosixPath(name).parent.as_posix() for name in files.names if is_main_metadata(name)}
    if len(roots) > 1:
        raise _several(path, roots)
    if roots:
        return safe_product(path, files.below(roots.pop()))
    if any(".SAFE/" in name.upper() for name in files.names):
        raise _no_metadata(path)
    return band_folder_product(path, files)


def _in_safe_folder(path: Path) -> Product | None:
    """The product whose ``.SAFE`` folder this is, or one of whose granules."""
    root, granule = (path.parent.parent, path.name) if path.parent.name == "GRANULE" else (path, "")
    files = files_in_folder(root, depth=0)
    if any(is_main_metadata(name) for name in files.names):
        return safe_product(path, files_in_folder(root, depth=_SAFE_DEPTH), granule)
    if not granule and (path.suffix.upper() == ".SAFE" or is_folder(path / "GRANULE")):
        raise _no_metadata(path)
    return None


def _in_band_folder(path: Path) -> Product | None:
    return band_folder_product(path, files_in_folder(path, depth=_BANDS_DEPTH, only=BAND_FOLDERS))


def _inside(path: Path) -> Product | None:
    """The only product in a folder: some programs unpack a zip into a folder of the zip's name."""
    inside = [entry for entry in sorted(path.iterdir()) if _looks_like_product(entry)]
    if len(inside) > 1:
        raise _several(path, {entry.name for entry in inside})
    return find_product(inside[0]) if inside else None


def _looks_like_product(entry: Path) -> bool:
    if entry.suffix.upper() == ".SAFE":
        return is_folder(entry)
    return entry.suffix.lower() == ".zip" and PRODUCT_NAME.match(entry.name) is not None


def _several(path: Path, found: Iterable[str]) -> ImageryError:
    names = sorted(found)
    return ImageryError(
        f"{path.name} holds {len(names)} products: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}.",
        hint="Give each by its own path; unpack a zip of several first.",
    )


def _no_metadata(path: Path) -> ImageryError:
    return ImageryError(
        f"{path.name} has no main metadata file (MTD_MSIL1C.xml or MTD_MSIL2A.xml): it is not complete.",
        hint="Copy or download the product again; or give the folder that holds the files of its bands (IMG_DATA).",
    )
