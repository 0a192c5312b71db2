"""Small real rasters for tests, written with rasterio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.shutil import copy as gdal_copy

NORTH_UP = Affine(10, 0, 399960, 0, -10, 5300040)


def make_raster(
    path: Path,
    *,
    bands: Sequence[str] | None = ("B02", "B03", "B04"),
    width: int = 192,
    height: int = 128,
    dtype: str = "uint16",
    crs: str | None = "EPSG:32633",
    transform: Affine | None = None,
    nodata: float | None = 0,
    values: np.ndarray | float | None = None,
    seed: int = 0,
    blocksize: int | None = None,
    driver: str = "GTiff",
    mask: np.ndarray | None = None,
    tags: Mapping[str, str] | None = None,
    scaling: tuple[float, float] | None = None,
    **creation: object,
) -> Path:
    """Write a raster and return its path.

    Args:
        bands: descriptions, one for each band; None for bands without any (as many as ``values`` has, else 3).
        values: (bands, height, width), or one number for all pixels; by default random land-like numbers, DN for
            integers and reflectance for floats, none of which is 0.
        transform: north-up UTM pixels of 10 m by default; ``Affine.identity()`` for no georeference.
        blocksize: edge of square blocks; by default the driver's own, for GTiff strips.
        driver: ``GTiff`` or ``COG``, or another one that can be written.
        mask: (height, width) bool, written as the dataset's mask.
        tags: metadata of the dataset.
        scaling: GDAL's (scale, offset) of every band.
        creation: more creation options (``compress="deflate"``, ``interleave="pixel"``, ...).
    """
    path = Path(path)
    pixels = _pixels(bands, width, height, dtype, values, seed)
    if blocksize:
        creation |= {"tiled": True, "blockxsize": blocksize, "blockysize": blocksize} if driver == "GTiff" else {}
        creation |= {"blocksize": blocksize} if driver == "COG" else {}
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": dtype}
    profile |= {"crs": crs, "transform": NORTH_UP if transform is None else transform, "nodata": nodata}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver=driver, **profile, **creation) as out,
    ):
        # Pixels after the metadata, so that the header lies before them, as in any finished file.
        for index, description in enumerate(bands or (), start=1):
            out.set_band_description(index, description)
        if scaling:
            out.scales, out.offsets = [scaling[0]] * len(pixels), [scaling[1]] * len(pixels)
        out.update_tags(**(tags or {}))
        out.write(pixels)
        if mask is not None:
            out.write_mask(mask)
    return path


def _pixels(
    bands: Sequence[str] | None, width: int, height: int, dtype: str, values: np.ndarray | float | None, seed: int
) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(dtype)
    shape = (3 if bands is None else len(bands), height, width)
    if values is not None:
        return np.full(shape, values, dtype=dtype)
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.uniform(0.02, 0.4, shape).astype(dtype)
    high = min(4000, np.iinfo(dtype).max)
    return rng.integers(min(200, high // 2), high, shape, dtype=dtype)


def make_vrt(path: Path, source: Path) -> Path:
    """A VRT of one raster, as ``gdal_translate -of VRT`` makes it."""
    gdal_copy(source, path, driver="VRT")
    return path


def make_mosaic(path: Path, left: Path, right: Path) -> Path:
    """A VRT with two rasters of the same kind side by side, as ``gdalbuildvrt`` makes it."""
    with rasterio.open(left) as first, rasterio.open(right) as second:
        widths, height = (first.width, second.width), first.height
        names, dtype = first.descriptions, {"uint16": "UInt16", "float32": "Float32"}[first.dtypes[0]]
        geotransform = ", ".join(map(str, first.transform.to_gdal()))
        head = f"<SRS>{first.crs.to_wkt()}</SRS><GeoTransform>{geotransform}</GeoTransform>"
    bands = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{index}">'
        f"<Description>{name}</Description><NoDataValue>0</NoDataValue>"
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{source.name}</SourceFilename>'
            f'<SourceBand>{index}</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
            f'<DstRect xOff="{offset}" yOff="0" xSize="{width}" ySize="{height}"/></SimpleSource>'
            for source, width, offset in ((left, widths[0], 0), (right, widths[1], widths[0]))
        )
        + "</VRTRasterBand>"
        for index, name in enumerate(names, start=1)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{sum(widths)}" rasterYSize="{height}">{head}{bands}</VRTDataset>', encoding="utf-8"
    )
    return path


def cut_in_half(path: Path) -> Path:
    """Lose the second half of a file, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path
