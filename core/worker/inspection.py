"""What an analyst wants to see of a raster before it is tiled, also of one that cannot be tiled as it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from ..errors import ImageryError, UsageError
from ..imagery.grid import TileGrid
from ..imagery.products import Product, find_product
from ..imagery.rasters import Raster, inspect_raster, open_dataset
from ..imagery.sentinel2 import baseline_name, canonical_band, recognised_bands


def look_at(
    path: Path,
    bands: Sequence[str] | None,
    tile_size: int,
    scale: float | None,
    offset: float | None,
    nodata: float | None,
) -> dict[str, Any]:
    """Facts about a raster and its bands; ``problem`` is the error that tiling would end with, or None.

    Of a Sentinel-2 product also its level and processing baseline, whether it has a scene classification, and whether
    it tells where clouds are, by that or by a cloud mask; of other rasters these are empty and false.

    Raises:
        ImageryError: there is no raster that can be opened.
    """
    product = find_product(path)
    path = product.path if product else path
    with open_dataset(path) as dataset:
        facts = _facts(dataset, path, bands, product)
    raster: Raster | None = None
    problem: dict[str, str] | None = None
    try:
        raster = inspect_raster(path, bands=bands, scale=scale, offset=offset, nodata=nodata)
        grid = TileGrid(raster.width, raster.height, raster.transform, tile_size, tile_size, path.name)
        facts["tiles"] = grid.rows * grid.cols
    except (ImageryError, UsageError) as error:
        problem = error.as_dict()
    radiometry = raster.radiometry if raster else None
    return {
        **facts,
        "scale": radiometry.scale if radiometry else None,
        "offset": radiometry.offset if radiometry else None,
        "nodata": radiometry.nodata if radiometry else None,
        "problem": problem,
    }


def _facts(dataset: DatasetReader, path: Path, bands: Sequence[str] | None, product: Product | None) -> dict[str, Any]:
    transform = dataset.transform
    descriptions = dataset.descriptions
    if product:
        chosen = product.band_names if bands is None else [canonical_band(name) for name in bands]
        names = [name if name in chosen else None for name in product.band_names]
    elif bands is not None and len(bands) == dataset.count:
        names = [canonical_band(name) for name in bands]
    else:
        names = recognised_bands(descriptions)
    return {
        "path": str(path),
        "name": path.name,
        "width": dataset.width,
        "height": dataset.height,
        "crs": dataset.crs.to_string() if dataset.crs else None,
        "geographic": bool(dataset.crs and dataset.crs.is_geographic),
        "pixel_size": [math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)],
        "dtype": dataset.dtypes[0] if dataset.count else None,
        "tiles": 0,
        "level": product.level if product else "",
        "baseline": baseline_name(product.baseline) if product else "",
        "has_scl": bool(product and product.scl),
        "has_clouds": bool(product and (product.scl or product.clouds)),
        "bands": [
            {"index": index, "description": text or "", "name": name}
            for index, (text, name) in enumerate(zip(descriptions, names, strict=True), start=1)
        ],
    }
