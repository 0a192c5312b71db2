"""Composites of the project's rasters: which there are, and how they look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsSingleBandGrayRenderer,
)
from qgis.PyQt.QtGui import QPainter

from quadrat.core.project.records import RasterRecord
from quadrat.plugin.labeling.composites import Composite, CompositeView, composites_for, measure_stretch

from .overlay_bench import drawn, layer_called, overlay_bench
from .projects import ORIGIN, write_raster
from .waiting import wait_until

BANDS = ("B02", "B03", "B04", "B08", "B8A", "B12")
TRUE_COLOUR = Composite("True colour", ("B04", "B03", "B02"))


def record_of(path: Path, bands: tuple[str, ...] = BANDS, **changes) -> RasterRecord:
    """A raster of 100 x 100 pixels as a project knows it."""
    record = RasterRecord(
        raster_id=1,
        path=str(path),
        bands=tuple((name, number) for number, name in enumerate(bands, start=1)),
        scale=1e-4,
        offset=0.0,
        nodata=0.0,
        crs="",
        transform=(10.0, 0.0, ORIGIN[0], 0.0, -10.0, ORIGIN[1]),
        width=100,
        height=100,
        tile_size=64,
        stride=64,
        fingerprint="",
        file_size=0,
        modified_ns=0,
        dtype="uint16",
    )
    return replace(record, **changes)


@pytest.fixture
def pixels():
    """Six bands of noise; band n lies around 500 n."""
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(500 * band, 50 * band, (100, 100)) for band in range(1, 7)]).astype(np.uint16)


@pytest.fixture
def image(tmp_path, pixels, qgis_new_project):
    """A loaded layer and its record."""
    path = write_raster(tmp_path / "image é.tif", pixels, bands=BANDS)
    layer = QgsRasterLayer(str(path), "image")
    QgsProject.instance().addMapLayer(layer)
    return record_of(path), layer


@pytest.fixture
def view():
    made = CompositeView()
    yield made
    made.close()
    wait_until(lambda: not made._tasks, "the tasks to stop")


def stretches(layer: QgsRasterLayer) -> list[tuple[float, float]]:
    shown = layer.renderer()
    parts = (shown.redContrastEnhancement(), shown.greenContrastEnhancement(), shown.blueContrastEnhancement())
    return [(part.minimumValue(), part.maximumValue()) for part in parts]


def bands_shown(layer: QgsRasterLayer) -> tuple[int, ...]:
    shown = layer.renderer()
    return (shown.redBand(), shown.greenBand(), shown.blueBand())


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (BANDS, {"True colour": "B04 B03 B02", "Near infrared": "B08 B04 B03", "SWIR": "B12 B8A B04"}),
        (("B02", "B03", "B04", "B08", "B12"), {"SWIR": "B12 B08 B04"}),
        (("B03", "B04", "B8A"), {"Near infrared": "B8A B04 B03"}),
        (("B02", "B03", "B04"), {"True colour": "B04 B03 B02"}),
        (("B08",), {"Grey": "B08"}),
        (("B11", "B05"), {"Grey": "B11"}),
    ],
)
def test_a_composite_needs_its_bands(bands, expected):
    found = {item.name: " ".join(item.bands) for item in composites_for([record_of(Path("a.tif"), bands)])}
    assert expected.items() <= found.items()
    assert ("Grey" in found) == ("Grey" in expected)
    assert ("True colour" in found) == {"B02", "B03", "B04"}.issubset(bands)


def test_all_rasters_must_have_the_bands():
    rasters = [record_of(Path("a.tif")), record_of(Path("b.tif"), ("B04", "B03", "B02"))]
    assert [item.name for item in composites_for(rasters)] == ["True colour"]
    apart = [record_of(Path("a.tif"), ("B02",)), record_of(Path("b.tif"), ("B11",))]
    assert composites_for(apart) == [Composite("Grey", ())]
    assert composites_for([]) == []


def test_the_stretch_is_measured_from_two_to_ninety_eight_percent_of_the_valid_pixels(tmp_path, pixels):
    pixels[0, :, :30] = 0  # no data
    layer = QgsRasterLayer(str(write_raster(tmp_path / "a.tif", pixels, bands=BANDS)), "a")
    for band in (1, 6):
        valid = pixels[band - 1][pixels[band - 1] > 0]
        low, high = measure_stretch(layer.dataProvider(), band)
        spread = 50 * band
        assert low == pytest.approx(np.percentile(valid, 2), abs=0.1 * spread)
        assert high == pytest.approx(np.percentile(valid, 98), abs=0.1 * spread)


def test_a_band_without_valid_pixels_or_contrast_is_no_trouble(tmp_path):
    pixels = np.zeros((2, 20, 9), dtype=np.uint16)
    pixels[1] = 700
    layer = QgsRasterLayer(str(write_raster(tmp_path / "a.tif", pixels, bands=("B02", "B03"))), "a")
    assert measure_stretch(layer.dataProvider(), 1) is None
    assert measure_stretch(layer.dataProvider(), 2) == (700, 701)
    assert measure_stretch(layer.dataProvider(), 2, lambda: True) is None


def test_a_composite_is_shown_at_once_and_with_the_measured_contrast_soon_after(view, image, pixels):
    record, layer = image
    view.show(TRUE_COLOUR, [(record, layer)])
    assert bands_shown(layer) == (3, 2, 1)
    assert stretches(layer) == [pytest.approx((0, 3000))] * 3, "usual reflectance"
    wait_until(lambda: not view._tasks, "the contrast")
    for band, (low, high) in zip((3, 2, 1), stretches(layer)):
        assert low == pytest.approx(np.percentile(pixels[band - 1], 2), abs=5 * band)
        assert high == pytest.approx(np.percentile(pixels[band - 1], 98), abs=5 * band)


def test_the_second_time_the_contrast_is_known(view, image):
    record, layer = image
    view.show(TRUE_COLOUR, [(record, layer)])
    wait_until(lambda: not view._tasks, "the contrast")
    measured = stretches(layer)
    view.show(Composite("Near infrared", ("B08", "B04", "B03")), [(record, layer)])
    wait_until(lambda: not view._tasks, "the contrast")
    assert stretches(layer)[1:] == measured[:2]
    view.show(TRUE_COLOUR, [(record, layer)])
    assert stretches(layer) == measured
    assert not view._tasks


def test_of_composites_that_follow_each_other_quickly_the_last_is_shown(view, image):
    record, layer = image
    view.show(TRUE_COLOUR, [(record, layer)])
    view.show(Composite("SWIR", ("B12", "B8A", "B04")), [(record, layer)])
    wait_until(lambda: not view._tasks, "the contrast")
    assert bands_shown(layer) == (6, 5, 3)
    assert all(low > 100 for low, _ in stretches(layer)), "measured"


def test_a_layer_that_is_removed_meanwhile_is_no_trouble(view, image):
    record, layer = image
    view.show(TRUE_COLOUR, [(record, layer)])
    QgsProject.instance().removeMapLayer(layer.id())
    wait_until(lambda: not view._tasks, "the contrast")


def test_opacity_and_blending_stay(view, image):
    record, layer = image
    layer.renderer().setOpacity(0.4)
    layer.setBlendMode(QPainter.CompositionMode.CompositionMode_Multiply)
    view.show(TRUE_COLOUR, [(record, layer)])
    wait_until(lambda: not view._tasks, "the contrast")
    assert isinstance(layer.renderer(), QgsMultiBandColorRenderer)
    assert layer.renderer().opacity() == pytest.approx(0.4)
    assert layer.blendMode() == QPainter.CompositionMode.CompositionMode_Multiply


def test_pixels_without_data_are_transparent_also_where_the_file_does_not_say_so(
    view, tmp_path, pixels, qgis_new_project
):
    pixels[:, :, :50] = 7
    path = write_raster(tmp_path / "a.tif", pixels, bands=BANDS)
    data = gdal.Open(str(path), gdal.GA_Update)
    for number in range(1, 7):
        data.GetRasterBand(number).DeleteNoDataValue()
    del data
    layer = QgsRasterLayer(str(path), "a")
    QgsProject.instance().addMapLayer(layer)
    view.show(TRUE_COLOUR, [(record_of(path, nodata=7.0), layer)])
    wait_until(lambda: not view._tasks, "the contrast")
    image = drawn([layer], layer.extent(), 100)
    assert image.pixelColor(20, 50).name() == "#ffffff"
    assert image.pixelColor(80, 50).name() != "#ffffff"
    assert all(low > 100 for low, _ in stretches(layer)), "they do not count for the contrast"


def test_a_single_band_is_grey(view, tmp_path, pixels, qgis_new_project):
    path = write_raster(tmp_path / "a.tif", pixels[:1], bands=("B08",))
    layer = QgsRasterLayer(str(path), "a")
    QgsProject.instance().addMapLayer(layer)
    record = record_of(path, ("B08",))
    view.show(composites_for([record])[0], [(record, layer)])
    wait_until(lambda: not view._tasks, "the contrast")
    assert isinstance(layer.renderer(), QgsSingleBandGrayRenderer)
    assert layer.renderer().contrastEnhancement().minimumValue() == pytest.approx(400, abs=20)
    whole = QgsRectangle(layer.extent())
    assert drawn([layer], whole, 50).pixelColor(25, 25).hslSaturation() == 0


def test_the_overlay_shows_composites_on_its_own_and_on_the_analysts_layers(
    qgis_iface, qgis_new_project, ready_project
):
    ready = ready_project(budget=0)
    with overlay_bench(qgis_iface) as bench:
        assert bench.overlay.composites() == []
        bench.open(ready.path)
        assert [item.name for item in bench.overlay.composites()] == ["True colour", "Near infrared"]
        assert bands_shown(layer_called("scene")) == (3, 2, 1), "as it comes"
        bench.overlay.show_composite("Near infrared")
        assert bands_shown(layer_called("scene")) == (4, 3, 2)
        QgsProject.instance().removeMapLayer(layer_called("scene").id())
        own = QgsRasterLayer(str(ready.scene.raster), "my image")
        QgsProject.instance().addMapLayer(own)
        bench.overlay.show_composite("True colour")
        bench.settle()
        assert bands_shown(own) == (3, 2, 1)
        assert own.dataProvider().dataType(1) == Qgis.DataType.UInt16
    assert layer_called("my image") == own


def test_pixels_that_are_no_numbers_do_not_disturb_the_stretch(qgis_app, tmp_path, pixels):
    path = str(tmp_path / "nan.tif")
    data = gdal.GetDriverByName("GTiff").Create(path, 100, 100, 1, gdal.GDT_Float32)
    band = pixels[0].astype(np.float32)
    band[::3] = np.nan
    data.GetRasterBand(1).WriteArray(band)
    data.FlushCache()
    del data
    layer = QgsRasterLayer(path)
    low, high = measure_stretch(layer.dataProvider(), 1)
    assert (low, high) == pytest.approx(np.nanpercentile(band, (2, 98)), rel=0.1)
