"""A Sentinel-2 product on the map, as one layer of all its bands.

QGIS shows a product as GDAL divides it: one layer for each resolution, none with all bands, and none at all for a
folder of single-band files. So a virtual raster (VRT) is written beside the Quadrat project, which enlarges the coarser
bands as they are drawn. Its first three bands are those of true colour; the descriptions of all are their names.

It is for the eye only: the engine reads the product itself, and knows more of what a product may be. Where this module
finds no bands, or QGIS cannot read them, there is no layer, and the product can be tiled nevertheless.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from qgis.core import QgsMapLayer, QgsRasterLayer

from ..core.paths import exists, is_folder, product_of_source

# What QGIS shows of a raster that was just loaded are its first three bands.
_BANDS = ("B04", "B03", "B02", "B01", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
# What the SpatioTemporal Asset Catalogs (STAC) of Earth Search and others call the bands.
_COMMON_NAMES = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
_IMAGE = re.compile(
    rf"(?:^|[_-])(?P<band>B0?(?:[1-9]|8A|1[0-2])|{'|'.join(_COMMON_NAMES)})(?:_(?P<metres>[126]0)m)?\.(?:jp2|tiff?)$",
    re.IGNORECASE,
)
_FOLDER_OF_METRES = re.compile(r"R([126]0)m")
_MASK = "MSK_"
_IN_ZIP = re.compile(r"/vsizip/\{?(?P<zip>.+?\.zip)\}?/.+\.SAFE/", re.IGNORECASE)
_METADATA = re.compile(r"MTD_MSI\w+\.xml|S2\w_OPER_MTD_SAFL\w+\.xml", re.IGNORECASE)
_PRODUCT = "quadrat/product"
_FOLDER = "imagery"
_MOST_FILES = 5_000  # a product has about 100: whatever has more was chosen by mistake


@dataclass(frozen=True)
class _Image:
    """A band's file as QGIS sees it."""

    band: str
    source: str
    layer: QgsRasterLayer

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.layer.width(), self.layer.height()


def product_behind(layer: QgsMapLayer) -> Path | None:
    """The folder or zip of the product that a layer shows, in part or as a whole; None if it shows something else."""
    ours = layer.customProperty(_PRODUCT)
    return Path(str(ours)) if ours else product_of_text(layer.source())


def product_of_text(text: str) -> Path | None:
    """The product that a layer's source or a file belongs to: one of its images or its metadata, zipped or not."""
    zipped = _IN_ZIP.match(text)
    if zipped:
        return Path(zipped["zip"])
    path = Path(text)
    if path.suffix.lower() == ".zip" and not text.startswith("/vsi"):
        return path
    if _METADATA.fullmatch(path.name):
        return path.parent
    inside = (folder for folder in path.parents if folder.suffix.upper() == ".SAFE")
    return product_of_source(text) or next(inside, None)


def is_product(path: Path) -> bool:
    """Whether what is at ``path`` is shown, if at all, as a product; a file that is no archive is a raster."""
    return is_folder(path) or path.suffix.lower() == ".zip"


def layer_file(product: Path, project_folder: Path) -> Path:
    """Where the virtual raster of a product belongs; products of one name in several places have one each."""
    place = hashlib.sha256(str(product).encode()).hexdigest()[:8]
    return project_folder / _FOLDER / f"{product.stem}-{place}.vrt"


def make_product_layer(product: Path, project_folder: Path) -> QgsRasterLayer | None:
    """A layer of all bands of a product, not yet in the QGIS project; None if QGIS cannot show it."""
    try:
        images = [_open(band, source) for band, source in band_files(product).items()]
        if not images or not all(image.layer.isValid() for image in images):
            return None
        file = layer_file(product, project_folder)
        _write(file, _virtual_raster(images))
    except (OSError, zipfile.BadZipFile):
        return None
    # Without QGIS's default style, which would measure the raster in the main thread.
    layer = QgsRasterLayer(str(file), product.stem, "gdal", QgsRasterLayer.LayerOptions(loadDefaultStyle=False))
    layer.setCustomProperty(_PRODUCT, str(product))
    return layer if layer.isValid() else None


def band_numbers(layer: QgsRasterLayer) -> dict[str, int]:
    """Number of each band in a layer that :func:`make_product_layer` made, by name; {} for any other layer."""
    if not layer.customProperty(_PRODUCT):
        return {}
    names = [layer.bandName(number).rpartition(": ")[2] for number in range(1, layer.bandCount() + 1)]
    return {name: number for number, name in enumerate(names, start=1)}


def band_files(product: Path) -> dict[str, str]:
    """What GDAL opens for each band, at its finest resolution and those of true colour first.

    {} where there is no band, or two files that could be the same one: several granules or dates.

    Raises:
        OSError, zipfile.BadZipFile: it cannot be read.
    """
    found: dict[str, dict[int, list[str]]] = {}
    for name, source in _files(product):
        match = _IMAGE.search(name.rpartition("/")[2])
        if match and _MASK not in name:
            in_metres = _FOLDER_OF_METRES.search(name)
            metres = int(match["metres"] or (in_metres[1] if in_metres else 0))
            found.setdefault(_canonical(match["band"]), {}).setdefault(metres, []).append(source)
    finest = {band: found[band][min(found[band])] for band in _BANDS if band in found}
    if any(len(sources) > 1 for sources in finest.values()):
        return {}
    return {band: sources[0] for band, sources in finest.items()}


def _canonical(name: str) -> str:
    """``B4``, ``b04`` and ``red`` are B04."""
    number = name.upper().lstrip("B").lstrip("0")
    return _COMMON_NAMES.get(name.lower()) or f"B{number.zfill(2)}"


def _files(product: Path) -> Iterator[tuple[str, str]]:
    """Name within the product, with forward slashes, and what GDAL opens, of each file."""
    if not exists(product):
        raise FileNotFoundError(product)
    if is_folder(product):
        walked = ((Path(folder) / name) for folder, _, names in os.walk(product) for name in names)
        for path in itertools.islice(walked, _MOST_FILES):
            yield path.relative_to(product).as_posix(), str(path)
    else:
        with zipfile.ZipFile(product) as archive:
            for name in archive.namelist()[:_MOST_FILES]:
                yield name, f"/vsizip/{product.as_posix()}/{name}"


def _open(band: str, source: str) -> _Image:
    return _Image(band, source, QgsRasterLayer(source, band, "gdal", QgsRasterLayer.LayerOptions(False)))


def _virtual_raster(images: list[_Image]) -> str:
    """The XML of GDAL's virtual format: every band on the grid of the finest, in which the others are enlarged."""
    finest = max(images, key=lambda image: image.size[0]).layer
    width, height, extent = finest.width(), finest.height(), finest.extent()
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    ElementTree.SubElement(root, "SRS").text = finest.crs().toWkt()
    corner = (extent.xMinimum(), extent.width() / width, 0.0, extent.yMaximum(), 0.0, -extent.height() / height)
    ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, corner))
    for number, image in enumerate(images, start=1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType="UInt16", band=str(number))
        ElementTree.SubElement(band, "Description").text = image.band
        ElementTree.SubElement(band, "NoDataValue").text = "0"
        source = ElementTree.SubElement(band, "SimpleSource", resampling="bilinear")
        ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = image.source
        ElementTree.SubElement(source, "SourceBand").text = "1"
        own_width, own_height = image.size
        ElementTree.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=str(own_width), ySize=str(own_height))
        ElementTree.SubElement(source, "DstRect", xOff="0", yOff="0", xSize=str(width), ySize=str(height))
    return ElementTree.tostring(root, encoding="unicode")


def _write(file: Path, text: str) -> None:
    """Put the text into a file, unless it is there: a layer may have it open."""
    with contextlib.suppress(FileNotFoundError):
        if file.read_text(encoding="utf-8") == text:
            return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
