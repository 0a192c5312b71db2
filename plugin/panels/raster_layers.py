"""Which of QGIS's layers are raster files that the engine can read, and why the others are not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from qgis.core import QgsMapLayer, QgsProject, QgsProviderRegistry, QgsRasterLayer

from ...core.errors import UsageError
from ...core.paths import check_name, exists
from ..product_layer import product_behind

# What QGIS calls the sources of rasters that are no files.
_SOURCES = {
    "wms": "a web map",
    "wcs": "a web coverage",
    "arcgismapserver": "a web map",
    "postgresraster": "in a database",
    "virtualraster": "a virtual layer that QGIS computes",
}
_SAVE_IT = "Save it as a GeoTIFF first (right click on the layer, Export, Save As…) with its raw data."


class LocalFile(NamedTuple):
    """The file of a layer, or the folder or zip of the product that it shows; else None and the reason."""

    path: Path | None
    reason: str = ""


def raster_layers() -> list[QgsRasterLayer]:
    """All raster layers of the QGIS project, by name."""
    layers = [layer for layer in QgsProject.instance().mapLayers().values() if isinstance(layer, QgsRasterLayer)]
    return sorted(layers, key=lambda layer: layer.name().casefold())


def local_file(layer: QgsMapLayer) -> LocalFile:
    """The file or product behind a layer, if the engine can open it by its path alone."""
    if not isinstance(layer, QgsRasterLayer):
        return LocalFile(None, "This is no raster.")
    product = product_behind(layer)
    if product is not None:
        return _checked(product)
    provider = layer.providerType()
    if provider != "gdal":
        return LocalFile(None, f"This is {_SOURCES.get(provider, 'no file')}, not a raster file. {_SAVE_IT}")
    parts = QgsProviderRegistry.instance().decodeUri(provider, layer.source())
    text = parts.get("path") or ""
    if layer.source().startswith("/vsimem/"):
        return LocalFile(None, f"This raster is in memory only. {_SAVE_IT}")
    if parts.get("vsiPrefix") or layer.source().startswith(("/vsi", "http:", "https:", "ftp:")):
        return LocalFile(None, f"This raster is in an archive or on a server. {_SAVE_IT}")
    path = Path(text)
    if parts.get("layerName") or not path.is_absolute():
        return LocalFile(None, f"This is one of several images in a file. {_SAVE_IT}")
    return _checked(path)


def _checked(path: Path) -> LocalFile:
    if not exists(path):
        return LocalFile(None, "Its file is not there any more. Put it back, or remove the layer.")
    try:
        check_name(path)
    except UsageError as error:
        return LocalFile(None, f"{error.message} {error.hint}")
    return LocalFile(path)
