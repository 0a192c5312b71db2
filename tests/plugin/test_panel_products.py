"""Sentinel-2 products in the imagery panel and on the map, with the real engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsProject
from qgis.PyQt.QtWidgets import QFileDialog

from quadrat.core.project.store import Project
from quadrat.plugin.product_layer import band_files, band_numbers, product_of_text

from .imagery_desk import lines, load, prepare, tiles_in_file, wait_for_look
from .overlay_bench import layer_called, overlay_bench
from .panel_context import click
from .projects import make_product, write_raster
from .waiting import wait_until

ALL = "12 bands: B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12; 36 tiles"


@pytest.fixture(scope="session")
def product(tmp_path_factory):
    """6 x 6 tiles, of which the left 2 columns are under clouds; never changed."""
    return make_product(tmp_path_factory.mktemp("product"), cloudy_px=128)


def zipped(product: Path, folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder / product.stem), "zip", product.parent, product.name))


def subdataset(product: Path, metres: int) -> str:
    return f"SENTINEL2_L2A:{product}/MTD_MSIL2A.xml:{metres}m:EPSG_32633"


def layers_of_project() -> list:
    return list(QgsProject.instance().mapLayers().values())


def counts(panel) -> dict:
    with Project.open(panel.context.job.project.path, writable=False) as project:
        return project.counts()


def test_a_product_is_listed_once_whichever_of_its_parts_are_loaded(panel, product):
    for source in (subdataset(product, 10), subdataset(product, 20), next(product.rglob("*_B03_10m.jp2"))):
        load(source, "part")
    wait_for_look(panel)
    assert lines(panel) == {product.stem: ALL}
    assert panel.rasters.choices()[0].path == product
    panel.rasters.list.setCurrentRow(0)
    assert "level L2A" in panel.rasters.details.said


def test_what_belongs_to_a_product_is_known_by_its_source(product, folder):
    archive = zipped(product, folder)
    image = next(product.rglob("*_B03_10m.jp2"))
    inside = image.relative_to(product.parent)
    assert product_of_text(subdataset(product, 60)) == product
    assert product_of_text(str(image)) == product
    assert product_of_text(str(product / "MTD_MSIL2A.xml")) == product
    assert product_of_text(f"/vsizip/{archive}/{inside}") == archive
    assert product_of_text(f"SENTINEL2_L2A:/vsizip/{archive}/{product.name}/MTD_MSIL2A.xml:10m:EPSG_32633") == archive
    assert product_of_text(str(archive)) == archive
    for other in (str(folder / "scene.tif"), "/vsizip/a.zip/scene.tif", "type=xyz&url=https://example.org/{z}"):
        assert product_of_text(other) is None


def test_an_added_product_is_one_layer_in_true_colour_and_ticked(panel, product, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(product))
    click(panel.rasters.product_button)
    (layer,) = layers_of_project()
    assert [layer.bandName(number)[-3:] for number in (1, 2, 3)] == ["B04", "B03", "B02"]
    assert layer.renderer().usesBands() == [1, 2, 3]
    wait_for_look(panel)
    assert lines(panel) == {product.stem: ALL}
    click(panel.rasters.product_button)
    assert len(layers_of_project()) == 1
    QgsProject.instance().removeMapLayer(layer)
    assert lines(panel) == {}


def test_a_zipped_product_is_added_as_a_file(panel, product, folder):
    archive = zipped(product, folder)
    panel.rasters.add_files([str(archive)])
    wait_for_look(panel)
    assert lines(panel) == {product.stem: ALL}
    assert panel.rasters.choices()[0].path == archive
    assert len(layers_of_project()) == 1


def test_a_folder_of_band_files_is_a_product(panel, folder):
    bands = folder / "bands"
    bands.mkdir()
    for name, px in (("B04", 128), ("B03", 128), ("B02", 128), ("B11", 64)):
        where = (399960.0, 1280 / px, 0.0, 5300040.0, 0.0, -1280 / px)
        pixels = np.full((1, px, px), 900, np.uint16)
        write_raster(bands / f"T33TUL_20210615T100031_{name}.tif", pixels, bands=None, transform=where)
    panel.rasters.add_product(bands)
    (layer,) = layers_of_project()
    assert (layer.width(), list(band_numbers(layer))) == (128, ["B04", "B03", "B02", "B11"])
    wait_for_look(panel)
    assert lines(panel) == {"bands": "4 bands: B02 B03 B04 B11; 4 tiles"}


def test_a_product_that_qgis_cannot_show_is_listed_and_tiled_all_the_same(panel, product):
    driver = gdal.GetDriverByName("JP2OpenJPEG")
    driver.Deregister()
    try:
        panel.rasters.add_product(product)
    finally:
        driver.Register()
    assert layers_of_project() == []
    prepare(panel)
    assert len(tiles_in_file(panel)) == 36


def test_a_folder_without_bands_is_listed_with_what_is_wrong(panel, folder):
    (folder / "empty").mkdir()
    panel.rasters.add_product(folder / "empty")
    wait_for_look(panel)
    assert not panel.prepare_button.isEnabled()
    assert "empty" in lines(panel)
    assert "empty" in panel.rasters.details.said


def test_a_product_in_the_project_is_shown_with_every_composite(panel, product, qgis_iface):
    load(subdataset(product, 10))
    prepare(panel)
    panel.refresh()
    assert lines(panel) == {}
    path = panel.context.job.project.path
    panel.context.job.close()
    with overlay_bench(qgis_iface) as bench:
        bench.open(path)
        layer = layer_called(product.stem)
        numbers = band_numbers(layer)
        assert len(numbers) == 12
        assert [item.name for item in bench.overlay.composites()] == ["True colour", "Near infrared", "SWIR"]
        assert layer.renderer().usesBands() == [numbers["B04"], numbers["B03"], numbers["B02"]]
        bench.overlay.show_composite("SWIR")
        bench.settle()
        assert layer.renderer().usesBands() == [numbers["B12"], numbers["B8A"], numbers["B04"]]
        assert band_of(layer, "B8A") == pytest.approx(mean_of(band_files(product)["B8A"]), rel=0.01)
        assert bench.overlay.raster_layer(1) is layer


def band_of(layer, name: str) -> float:
    """The mean of a band as the map has it."""
    block = layer.dataProvider().block(band_numbers(layer)[name], layer.extent(), 192, 192)
    return float(np.mean([block.value(pixel) for pixel in range(192 * 192)]))


def mean_of(source: str) -> float:
    return float(gdal.Open(source).ReadAsArray().mean())


def test_cloudy_tiles_are_set_aside_by_what_the_product_tells(panel, product):
    panel.rasters.add_product(product)
    assert panel.options.max_cloud is None
    panel.options.cloud_spin.setValue(20)
    panel.options.validation_spin.setValue(0)
    prepare(panel)
    assert (counts(panel)["pool"], counts(panel)["excluded"]) == (24, 12)


def test_cloudy_tiles_are_set_aside_by_a_mask(panel, product, folder):
    clouds = np.zeros((1, 384, 384), np.uint16)
    clouds[:, :64] = 1
    # The mask's own zeros are ground without clouds, so it must not call them nodata.
    mask = write_raster(folder / "clouds.tif", clouds, bands=None, transform=(300000.0, 10.0, 0, 5100000.0, 0, -10.0))
    data = gdal.Open(str(mask), gdal.GA_Update)
    data.GetRasterBand(1).DeleteNoDataValue()
    data = None
    panel.rasters.add_product(product)
    panel.options.mask_file.setFilePath(str(mask))
    assert panel.options.mask is None
    panel.options.cloud_spin.setValue(0)
    panel.options.validation_spin.setValue(0)
    prepare(panel)
    assert (counts(panel)["pool"], counts(panel)["excluded"]) == (30, 6)


def test_a_product_that_has_moved_is_located(panel, product, folder, monkeypatch):
    here = folder / product.name
    shutil.copytree(product, here)
    panel.rasters.add_product(here)
    prepare(panel)
    QgsProject.instance().removeAllMapLayers()
    there = folder / "elsewhere" / product.name
    there.parent.mkdir()
    shutil.move(here, there)
    panel.refresh()
    assert panel.in_project.list.item(0).text() == f"{product.stem}: its file is not where it was"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(there))
    finished = []
    panel.context.workflow.finished.connect(finished.append)
    click(panel.in_project.locate_button)
    wait_until(lambda: finished, "the product")
    panel.refresh()
    assert panel.in_project.list.item(0).text() == f"{product.stem}: 36 tiles"
