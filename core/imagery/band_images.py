"""Image files of single bands, told by their names: which band, at which resolution, and which copy is the best."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from .sentinel2 import BANDS, canonical_band

IMAGES = (".jp2", ".j2k", ".tif", ".tiff")
"""Extensions of image files."""

RESOLUTIONS = dict(zip(BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20), strict=True))
"""Metres of a pixel of each band as it is sensed."""

_METRES = re.compile(r"(?<![A-Za-z0-9])R?([126]0)m(?![A-Za-z0-9])")
_OTHER_SENSORS = re.compile(r"L[CEMOT]0?\d_|HLS[._]L30", re.IGNORECASE)


@dataclass(frozen=True)
class BandImage:
    """One image file of a band, by its name within the product."""

    band: str
    name: str
    resolution_m: int


def band_image(name: str) -> BandImage | None:
    """The band that an image file shows by its name, or None."""
    path = PurePosixPath(name)
    # Landsat's B4 is red and its B5 near infrared, so numbers lead astray there.
    if path.suffix.lower() not in IMAGES or _OTHER_SENSORS.match(path.name):
        return None
    band = canonical_band(path.stem)
    return BandImage(band, name, _resolution(name, RESOLUTIONS[band])) if band else None


def best_images(images: Iterable[BandImage]) -> dict[str, list[BandImage]]:
    """The images of each band in the order of ``BANDS``, the best first: as it was sensed, or else the finest copy."""
    by_band: dict[str, list[BandImage]] = {}
    for image in sorted(images, key=lambda image: (image.resolution_m != RESOLUTIONS[image.band], image.resolution_m)):
        by_band.setdefault(image.band, []).append(image)
    return {band: by_band[band] for band in BANDS if band in by_band}


def mask_image(names: Iterable[str], kind: str) -> str | None:
    """The image whose name says that it is ``SCL``, or another mask, at 20 m if there are several."""
    found = [
        name
        for name in names
        if name.lower().endswith(IMAGES) and kind in re.split(r"[^A-Z0-9]+", PurePosixPath(name).stem.upper())
    ]
    return min(found, key=lambda name: abs(_resolution(name, 20) - 20), default=None)


def _resolution(name: str, otherwise: int) -> int:
    """Metres as the name says, the file's before the folder's."""
    found = _METRES.findall(name.replace("_", " "))
    return int(found[-1]) if found else otherwise
