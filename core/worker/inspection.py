"""What an analyst wants to see of a raster before it is tiled, also of one that cannot be tiled as it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from ..errors import ImageryError, UsageError
from ..imagery.grid import TileGrid
from ..imagery.rasters import Raster, inspect_raster, open_dataset
from ..imagery.sentinel2 import canonical_band, recognised_bands


def look_at(
    path: Path,
    bands: Sequence[str] | None,
    tile_size: int,
    scale: float | None,
    offset: float | None,
    nodata: float | None,
) -> dict[str, Any]:
    """Facts about a raster and its bands; ``problem`` is the error that tiling would end with, or None.

    Raises:
        ImageryError: there is no raster that can be opened.
    """
    with open_dataset(path) as dataset:
        facts = _facts(dataset, path, bands)
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


def _facts(dataset: DatasetReader, path: Path, bands: Sequence[str] | None) -> dict[str, Any]:
    transform = dataset.transform
    descriptions = dataset.descriptions
    if bands is not None and len(bands) == dataset.count:
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
        "bands": [
            {"index": index, "description": text or "", "name": name}
            for index, (text, name) in enumerate(zip(descriptions, names, strict=True), start=1)
        ],
    }
