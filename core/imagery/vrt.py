"""Single-band files of different pixel sizes as one virtual raster (GDAL's VRT) on the grid of the finest of them.

Nothing is written: the VRT is a text, and GDAL reads from the files whatever a window needs. A band of the same grid is
read as it is. A coarser one is resampled bilinearly: it is wrapped in a VRT of its own, which says what is no data, and
the outer VRT stretches that wrapper over the fine grid. GDAL then interpolates along rows and after that along columns,
each time among the pixels that have data, and reads as many pixels beyond a window as that takes. So a pixel's value
does not depend on the window, unless that is a single pixel beside a gap, where GDAL takes the gap for a number.

Measured on one core: 70 megapixels a second when 2048 x 2048 px are read at once and 150 in windows, where a warped VRT
gives 16, and other values along the edges of windows. Twelve bands of JPEG 2000 in chunks of 1024 x 1024 px take 10 to
14 % longer than the files alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioError

from ..errors import ImageryError
from .sentinel2 import SENTINEL2_NODATA

_JP2_DRIVERS = {"JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JP2Lura", "JP2Grok", "JPEG2000"}
_GDAL_TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32"}
_GDAL_TYPES |= {"int32": "Int32", "float32": "Float32", "float64": "Float64"}
_SAME = 1e-3
"""Shares of a fine pixel by which a grid may be off."""


@dataclass(frozen=True)
class _Source:
    """A band file as GDAL sees it; ``transform`` leads from (column, row) to coordinates of ``crs``, which is WKT."""

    name: str
    path: str
    width: int
    height: int
    transform: Affine
    crs: str
    dtype: str
    block_shape: tuple[int, int]
    nodata: float | None
    scaling: tuple[float, float]

    @property
    def pixel_size(self) -> float:
        """Length of a pixel, in units of the coordinate system."""
        return math.sqrt(abs(self.transform.determinant))


def bands_on_one_grid(bands: Sequence[tuple[str, str]], nodata: float | None, title: str) -> str:
    """The VRT, as XML text, of bands given by name and by what GDAL opens; in their order, described by their names.

    Args:
        nodata: the stored number that means so in every band. By default what a file declares, or 0 for integers.
        title: what the bands belong to, for messages.

    Raises:
        ImageryError: a file cannot be opened or has several bands, bands in different coordinate reference systems or
            on different ground, GDAL without JPEG 2000.
    """
    sources = [_look_at(name, path, nodata, title) for name, path in bands]
    finest = min(sources, key=lambda source: source.pixel_size)
    rasters = [_raster_band(index, source, finest, title) for index, source in enumerate(sources, start=1)]
    return _dataset(finest, "".join(rasters))


def _look_at(name: str, path: str, nodata: float | None, title: str) -> _Source:
    try:
        with rasterio.open(path) as dataset:
            if dataset.count != 1:
                raise ImageryError(
                    f"{path} has {dataset.count} bands, where a file of {title} for {name} alone is expected.",
                    hint="Give a raster of several bands by its own path, not by its folder.",
                )
            if dataset.crs is None or dataset.dtypes[0] not in _GDAL_TYPES:
                what = "has no coordinate reference system" if dataset.crs is None else f"holds {dataset.dtypes[0]}"
                raise ImageryError(
                    f"{name} of {title} {what}.",
                    hint="Use the file as it was delivered, or assign the right one in QGIS.",
                    details=path,
                )
            return _Source(
                name=name,
                path=path,
                width=dataset.width,
                height=dataset.height,
                transform=dataset.transform,
                crs=dataset.crs.to_wkt(),
                dtype=dataset.dtypes[0],
                block_shape=dataset.block_shapes[0],
                nodata=_nodata(nodata, dataset.nodata, dataset.dtypes[0]),
                scaling=(dataset.scales[0], dataset.offsets[0]),
            )
    except (RasterioError, OSError) as error:
        raise _not_opened(name, path, title, error) from error


def _nodata(given: float | None, declared: float | None, dtype: str) -> float | None:
    if given is not None:
        return given
    if declared is not None or np.dtype(dtype).kind == "f":
        return declared
    return SENTINEL2_NODATA


def _not_opened(name: str, path: str, title: str, error: Exception) -> ImageryError:
    if path.lower().endswith((".jp2", ".j2k")):
        with rasterio.Env() as env:
            can_read = _JP2_DRIVERS & set(env.drivers())
        if not can_read:
            return ImageryError(
                f"The bands of {title} are JPEG 2000 files, which this installation of GDAL cannot read.",
                hint="Install rasterio by pip, whose GDAL can; with conda, add libgdal-jp2openjpeg.",
                details=str(error),
            )
    return ImageryError(
        f"The file of {name} in {title} cannot be opened: it is damaged, or no image.",
        hint="Copy or download the product again.",
        details=f"{path}\n{error}",
    )


def _raster_band(index: int, source: _Source, finest: _Source, title: str) -> str:
    """A band of the outer VRT."""
    left, top, right, bottom = _place(source, finest, title)
    same_grid = np.allclose((left, top, right, bottom), (0, 0, finest.width, finest.height), rtol=0, atol=_SAME)
    same_grid &= (source.width, source.height) == (finest.width, finest.height)
    scale, offset = source.scaling
    scaling = "" if source.scaling == (1.0, 0.0) else f"<Offset>{offset!r}</Offset><Scale>{scale!r}</Scale>"
    path = source.path if same_grid else _wrapper(source)
    target = f'xOff="{left!r}" yOff="{top!r}" xSize="{right - left!r}" ySize="{bottom - top!r}"'
    rectangles = f'<SrcRect xOff="0" yOff="0" xSize="{source.width}" ySize="{source.height}"/><DstRect {target}/>'
    return _band(
        index,
        source,
        finest.block_shape,
        f"<Description>{source.name}</Description>{scaling}",
        _simple_source(path, "" if same_grid else ' resampling="bilinear"', "" if same_grid else rectangles),
    )


def _place(source: _Source, finest: _Source, title: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a band in pixels of the finest.

    Cut-outs may end within a coarse pixel, so a band may be shorter or longer than the finest by less than one of its
    own pixels.
    """
    to_fine = ~finest.transform * source.transform
    left, top = to_fine.c, to_fine.f
    right, bottom = to_fine * (source.width, source.height)
    reach_x, reach_y = abs(to_fine.a) - _SAME, abs(to_fine.e) - _SAME
    same_ground = (
        rasterio.crs.CRS.from_wkt(source.crs) == rasterio.crs.CRS.from_wkt(finest.crs)
        and abs(to_fine.b) * source.height < _SAME
        and abs(to_fine.d) * source.width < _SAME
        and max(abs(left), abs(right - finest.width)) < reach_x
        and max(abs(top), abs(bottom - finest.height)) < reach_y
    )
    if not same_ground:
        raise ImageryError(
            f"{source.name} of {title} lies on other ground than {finest.name}, or in another coordinate system.",
            hint="Keep the files of one product in a folder of their own, cut to the same extent.",
            details="\n".join(
                f"{band.name}: {band.width} x {band.height} px, {tuple(band.transform)[:6]}, {band.path}"
                for band in (finest, source)
            ),
        )
    return left, top, right, bottom


def _wrapper(source: _Source) -> str:
    """A VRT of a single file on its own grid, in which no data is declared."""
    return _dataset(source, _band(1, source, source.block_shape, "", _simple_source(source.path)))


def _simple_source(path: str, attributes: str = "", rectangles: str = "") -> str:
    file = f'<SourceFilename relativeToVRT="0">{escape(path)}</SourceFilename><SourceBand>1</SourceBand>'
    return f"<SimpleSource{attributes}>{file}{rectangles}</SimpleSource>"


def _band(index: int, source: _Source, block_shape: tuple[int, int], described: str, content: str) -> str:
    rows, columns = block_shape
    nodata = "" if source.nodata is None else f"<NoDataValue>{source.nodata!r}</NoDataValue>"
    return (
        f'<VRTRasterBand dataType="{_GDAL_TYPES[source.dtype]}" band="{index}" '
        f'blockXSize="{columns}" blockYSize="{rows}">{described}{nodata}{content}</VRTRasterBand>'
    )


def _dataset(grid: _Source, bands: str) -> str:
    geotransform = ", ".join(repr(number) for number in grid.transform.to_gdal())
    return (
        f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}"><SRS>{escape(grid.crs)}</SRS>'
        f"<GeoTransform>{geotransform}</GeoTransform>{bands}</VRTDataset>"
    )
