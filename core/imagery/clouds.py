"""Which pixels of a raster are cloudy, told by a mask on any grid.

The mask is brought to the raster's grid by nearest neighbour, window by window as the raster is read. It is one of

- a file that the analyst gives, on any grid and in any CRS: every number but 0 is cloudy, or the numbers listed;
- the scene classification of a level 2A product (SCL, 20 m): cloud shadow (3), cloud of medium (8) and high (9)
  probability and thin cirrus (10) are cloudy. Of pixels without data (0), and of saturated or defective ones (1), the
  classification says nothing;
- the cloud mask of a level 1C product since processing baseline 04.00 (60 m): opaque cloud and cirrus, no shadow.

What a mask says nothing about is neither cloudy nor clear: ground outside of it, and its nodata number unless that is
0, which in masks means "nothing here".

Sources: Sentinel-2 Level-2A Algorithm Theoretical Basis Document, table of the scene classification; Sentinel-2
Products Specification Document (S2-PDGS-TAS-DI-PSD), MSK_CLASSI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import array_bounds
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from ..errors import ImageryError, UsageError
from .products import find_product
from .rasters import Raster, open_dataset, open_source, read_window, require_georeference

SCL_CLOUDY = (3, 8, 9, 10)
SCL_UNKNOWN = (0, 1)
_OPAQUE_AND_CIRRUS = (1, 2)  # bands of MSK_CLASSI; the third is snow


@dataclass(frozen=True)
class CloudMask:
    """``source`` is what GDAL opens, ``name`` what it is called in messages.

    A pixel is cloudy if one of the ``bands`` (1-based) has one of the ``values``, or any but 0 where they are None.
    Where a band has one of the ``unknown`` numbers, the mask says nothing.
    """

    source: str
    name: str
    bands: tuple[int, ...] = (1,)
    values: tuple[int, ...] | None = None
    unknown: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class OpenMask:
    """A mask that is being read, on the grid of a raster."""

    mask: CloudMask
    warped: WarpedVRT

    def read(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which pixels of a window are cloudy, and of which the mask says anything at all, (height, width) each.

        Raises:
            ImageryError: the mask is damaged there.
        """
        name = Path(self.mask.name)
        *stored, inside = read_window(self.warped, [*self.mask.bands, self.warped.count], window, name)
        cloudy, known = np.zeros(inside.shape, bool), inside != 0
        for band in stored:
            cloudy |= band != 0 if self.mask.values is None else np.isin(band, self.mask.values)
            known &= ~np.isin(band, self.mask.unknown) & np.isfinite(band)
        return cloudy & known, known


def find_clouds(raster: Raster, file: Path | None = None, values: Sequence[int] | None = None) -> CloudMask:
    """What says where a raster is cloudy: the file, or else the product's own mask.

    Args:
        file: a raster with one band, which is looked at.
        values: the numbers that mean cloud, instead of those that usually do.

    Raises:
        ImageryError: the file cannot be opened, lies nowhere or elsewhere, or has several bands.
        UsageError: no file was given, and the raster brings nothing that tells.
    """
    chosen = None if values is None else tuple(values)
    if file is not None:
        return _mask_of_file(raster, file, chosen)
    product = find_product(raster.path)
    if product and product.scl:
        unknown = tuple(number for number in SCL_UNKNOWN if number not in (chosen or ()))
        return CloudMask(product.scl, f"{product.name}'s scene classification", (1,), chosen or SCL_CLOUDY, unknown)
    if product and product.clouds and chosen is None:
        return CloudMask(product.clouds, f"{product.name}'s cloud mask", _OPAQUE_AND_CIRRUS)
    if product and product.clouds:
        raise UsageError(
            f"The cloud mask of {product.name} only says cloudy or not, so there are no numbers to choose from.",
            hint="Leave out --mask-values, or give a mask of your own (--mask).",
        )
    raise UsageError(
        f"Nothing says where {raster.path.name} is cloudy.",
        hint="Give a raster that does (--mask), for example the scene classification of the same scene with the values "
        f"{','.join(map(str, SCL_CLOUDY))} (--mask-values); or leave the share of cloud (--max-cloud) out.",
    )


def _mask_of_file(raster: Raster, file: Path, values: tuple[int, ...] | None) -> CloudMask:
    with open_dataset(file) as dataset:
        if dataset.count != 1:
            raise ImageryError(
                f"{file.name} has {dataset.count} bands; a mask has one.",
                hint="Extract the band that says where clouds are, for example with gdal_translate -b 1.",
            )
        require_georeference(dataset, file)
        _require_overlap(dataset, raster, file)
        nodata = dataset.nodata
    return CloudMask(str(file), file.name, (1,), values, () if nodata in (None, 0) else (nodata,))


def _require_overlap(dataset: DatasetReader, raster: Raster, file: Path) -> None:
    try:
        there = transform_bounds(dataset.crs, raster.crs, *dataset.bounds)
    except (CRSError, RasterioError) as error:
        raise _elsewhere(file, raster, str(error)) from error
    here = array_bounds(raster.height, raster.width, raster.transform)
    if not np.isfinite(there).all() or shapely.box(*here).intersection(shapely.box(*there)).area == 0:
        raise _elsewhere(file, raster, f"mask {there}, raster {here}")


def _elsewhere(file: Path, raster: Raster, details: str) -> ImageryError:
    return ImageryError(
        f"The mask {file.name} does not show any ground of {raster.path.name}.",
        hint="Check that it belongs to this scene, and that its coordinate reference system is right.",
        details=details,
    )


@contextmanager
def open_mask(mask: CloudMask, raster: Raster) -> Iterator[OpenMask]:
    """Open a mask to be read by windows of a raster, whatever grid and CRS it has.

    Raises:
        ImageryError: it cannot be opened.
    """
    grid = {"crs": raster.crs, "transform": raster.transform, "width": raster.width, "height": raster.height}
    with (
        open_source(mask.source, mask.name) as dataset,
        # The alpha band tells ground outside the mask; without a nodata number, every number of the mask comes through.
        WarpedVRT(dataset, **grid, resampling=Resampling.nearest, add_alpha=True, src_nodata=None) as warped,
    ):
        yield OpenMask(mask, warped)
