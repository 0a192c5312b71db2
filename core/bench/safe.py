"""Write a Sentinel-2 product of any size in the layout in which ESA delivers it, to read and to measure with.

The folders, the names of the files and the elements of the metadata are those of real products since the compact
naming of December 2016; what a reader of pixels does not need (angles, cloud percentages, footprints) is left out. The
pixels are smooth hills of reflectance with a little noise, drawn from a seed, strip by strip, so that a whole granule
costs no more memory than its largest band. The same seed gives the same reflectance at every processing baseline.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issue 14.9, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from ..monitor import SILENT, Monitor
from .safe_metadata import SafeNames, product_xml, tile_xml

RESOLUTIONS = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
"""Metres of a pixel of each band as it is sensed."""

_REFLECTANCE = dict(
    zip(RESOLUTIONS, (0.06, 0.09, 0.08, 0.31, 0.13, 0.25, 0.30, 0.33, 0.22, 0.14, 0.05, 0.32, 0.01), strict=True)
)
_HILL_M = 640
_NOISE_DN = 30
_STRIP = 1024
_JP2_BLOCK = {10: 1024, 20: 640, 60: 192}  # as in real products
_EXTENSION = {"GTiff": ".tif", "JP2OpenJPEG": ".jp2"}
_VEGETATION = 4  # class of the scene classification

Strips = Iterator[NDArray[np.generic]]


@dataclass(frozen=True)
class _Image:
    """One image file: where, of how many metres, and its strips of rows ``(bands, rows, columns)``."""

    path: Path
    resolution: int
    strips: Strips
    dtype: str = "uint16"
    count: int = 1


def write_safe(
    folder: Path,
    *,
    level: str = "L2A",
    baseline: str = "05.09",
    tile: str = "T33TUL",
    date: str = "20230615T100031",
    size_px: int = 1152,
    bands: Mapping[str, NDArray[np.uint16]] | None = None,
    scl: NDArray[np.uint8] | None = None,
    classi: NDArray[np.uint8] | None = None,
    driver: str = "GTiff",
    crs: str = "EPSG:32633",
    origin: tuple[float, float] = (300_000, 5_100_000),
    compress: str | None = None,
    copies: bool = True,
    seed: int = 0,
    monitor: Monitor = SILENT,
) -> Path:
    """Write a product into ``folder`` and give the path of its ``.SAFE`` folder.

    Args:
        folder: existing.
        level: ``L1C`` (13 bands) or ``L2A`` (12 bands, without B10, and the scene classification).
        baseline: processing baseline; since ``04.00`` 1,000 is added to every DN and the metadata list the offsets.
        tile: with its T.
        date: start of sensing.
        size_px: pixels of 10 m a side, a multiple of 6 so that pixels of 60 m fit.
        bands: stored DN of some bands, each ``(size_px * 10 / metres,) * 2``; the others are drawn.
        scl: scene classification, 20 m; vegetation everywhere by default.
        classi: opaque cloud, cirrus and snow, ``(3, size_px / 6, size_px / 6)``, the quality mask that products have
            since 04.00; none by default.
        driver: ``GTiff``, quick to write, or ``JP2OpenJPEG``, lossless, as real products are.
        origin: easting and northing of the upper left corner.
        compress: of GeoTIFFs, for example ``deflate``.
        copies: L2A bands also at the coarser resolutions, as real products hold them.
        seed: of the pixels.
        monitor: told of every file.

    Raises:
        Cancelled: the caller asked to stop; what was written stays.
    """
    if size_px % 6:
        raise ValueError(f"size_px must be a multiple of 6, not {size_px}")
    names = SafeNames(level, baseline, tile, date)
    extension = _EXTENSION[driver]
    drawn = _Drawn(size_px, 1000 if names.has_offset else 0, seed, dict(bands or {}))
    stems = _band_files(names, copies)
    images = [_Image(Path(f"{stem}{extension}"), metres, drawn.strips(band, metres)) for stem, band, metres in stems]
    listed = [stem for stem, _, _ in stems]
    if level == "L2A":
        stem = names.image("SCL", 20)
        pixels = np.full((size_px // 2,) * 2, _VEGETATION, np.uint8) if scl is None else scl
        images.append(_Image(Path(f"{stem}{extension}"), 20, iter([pixels[None]]), "uint8"))
        listed.append(stem)
    if names.has_offset:
        pixels = np.zeros((3, size_px // 6, size_px // 6), np.uint8) if classi is None else classi
        path = Path(f"{names.granule_folder}/QI_DATA/MSK_CLASSI_B00{extension}")
        images.append(_Image(path, 60, iter([pixels]), "uint8", 3))
    root = folder / names.product
    for number, image in enumerate(images):
        monitor.advance(number / len(images), f"Making {image.path.name}")
        _write_image(root, image, size_px, driver, crs, origin, compress)
    (root / f"MTD_MSI{level}.xml").write_text(product_xml(names, listed), encoding="utf-8")
    tile_metadata = tile_xml(names, crs, origin, size_px)
    (root / names.granule_folder / "MTD_TL.xml").write_text(tile_metadata, encoding="utf-8")
    return root


def _band_files(names: SafeNames, copies: bool) -> list[tuple[str, str, int]]:
    """Path without extension, band and metres of every band's files."""
    if names.level == "L1C":
        return [(names.image(band), band, metres) for band, metres in RESOLUTIONS.items()]
    files = []
    for metres in (10, 20, 60):
        for band, own in RESOLUTIONS.items():
            # B8A stands for B08 in coarser copies; since 04.00 there is a B01 of 20 m, made from that of 60 m.
            coarser = own < metres and band != "B08"
            finer = names.has_offset and (band, metres) == ("B01", 20)
            if band != "B10" and (own == metres or (copies and (coarser or finer))):
                files.append((names.image(band, metres), band, metres))
    return files


@dataclass(frozen=True)
class _Drawn:
    """The pixels of a product: those given, and hills drawn from a seed for the other bands."""

    size_px: int
    added: int
    seed: int
    given: dict[str, NDArray[np.uint16]]

    def strips(self, band: str, metres: int) -> Strips:
        """Rows of a band at a resolution, top down."""
        own = RESOLUTIONS[band]
        if metres == own:
            yield from (strip[None] for strip in self._own(band))
        else:
            whole = np.concatenate(list(self._own(band)))
            yield (_enlarged(whole, own // metres) if metres < own else _reduced(whole, metres // own))[None]

    def _own(self, band: str) -> Strips:
        if band in self.given:
            yield self.given[band]
            return
        metres = RESOLUTIONS[band]
        side = self.size_px * 10 // metres
        rng = np.random.default_rng([self.seed, list(RESOLUTIONS).index(band)])
        nodes = self.size_px * 10 // _HILL_M + 2
        hills = rng.uniform(0.5, 1.5, (nodes, nodes)) * _REFLECTANCE[band] * 10_000
        places = (np.arange(side) + 0.5) * metres / _HILL_M
        before = places.astype(int)
        share = (places - before).astype(np.float32)
        across = (hills[:, before] * (1 - share) + hills[:, before + 1] * share).astype(np.float32)
        for top in range(0, side, _STRIP):
            upper, down = before[top : top + _STRIP], share[top : top + _STRIP, None]
            strip = across[upper] * (1 - down) + across[upper + 1] * down
            strip += rng.integers(-_NOISE_DN, _NOISE_DN, strip.shape, np.int16, endpoint=True)
            yield strip.clip(1, 30_000).astype(np.uint16) + np.uint16(self.added)


def _enlarged(pixels: NDArray[np.generic], factor: int) -> NDArray[np.generic]:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _reduced(pixels: NDArray[np.generic], factor: int) -> NDArray[np.generic]:
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    means: NDArray[np.float32] = pixels.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float32)
    return means.round().astype(pixels.dtype)


def _write_image(
    root: Path, image: _Image, size_px: int, driver: str, crs: str, origin: tuple[float, float], compress: str | None
) -> None:
    path = root / image.path
    path.parent.mkdir(parents=True, exist_ok=True)
    side = size_px * 10 // image.resolution
    if driver == "JP2OpenJPEG":
        block = _JP2_BLOCK[image.resolution]
        options = {"blockxsize": block, "blockysize": block, "quality": "100", "reversible": "YES"}
    else:
        options = {"tiled": True, "blockxsize": 512, "blockysize": 512}
        options |= {"compress": compress} if compress else {}
    transform = Affine(image.resolution, 0, origin[0], 0, -image.resolution, origin[1])
    shape = {"width": side, "height": side, "count": image.count, "dtype": image.dtype}
    with rasterio.open(path, "w", driver=driver, crs=crs, transform=transform, **shape, **options) as file:
        top = 0
        for strip in image.strips:
            file.write(strip, window=Window(0, top, side, strip.shape[1]))
            top += strip.shape[1]
