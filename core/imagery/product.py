"""What is known of a Sentinel-2 product on disk before a pixel of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .product_metadata import Baseline


@dataclass(frozen=True)
class BandFile:
    """A band of a product: canonical ``name``, ``source`` that GDAL opens, and the ``offset`` to add to its DN.

    ``resolution_m`` is what the file's name says, or else the band's own. ``offset`` is None where nothing tells it.
    """

    name: str
    source: str
    resolution_m: int
    offset: float | None


@dataclass(frozen=True)
class Product:
    """A Sentinel-2 product on disk; what its names and metadata do not tell is empty.

    ``path`` is the ``.SAFE`` or granule folder, the zip, or the folder of band files; ``level`` is ``L1C`` or ``L2A``,
    ``baseline`` the processing baseline as in (5, 9), ``tile`` as in ``T33TUL``, ``sensed`` as in ``20230615T100031``.
    ``bands`` holds each band once, at its best resolution, in the order of :data:`~.sentinel2.BANDS`. ``scale`` is the
    reflectance of one DN and ``nodata`` a DN; they are None where the files themselves have to be asked. ``scl`` and
    ``clouds`` are what GDAL opens: the scene classification of L2A (20 m), and the mask of clouds in L1C that both
    levels hold since baseline 04.00 (60 m; opaque cloud, cirrus, snow: one band each, 1 where it is). ``files`` are all
    files on disk with pixels of bands.
    """

    path: Path
    name: str
    level: str
    baseline: Baseline | tuple[()]
    tile: str
    sensed: str
    bands: tuple[BandFile, ...]
    scale: float | None
    nodata: float | None
    scl: str | None
    clouds: str | None
    files: tuple[Path, ...]

    @property
    def band_names(self) -> tuple[str, ...]:
        """Canonical names, in the order of the virtual raster's bands."""
        return tuple(band.name for band in self.bands)
