"""A raster is looked at once: what can be used is described, what cannot is told in a sentence."""

import os
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from quadrat.core.errors import Cancelled, ImageryError
from quadrat.core.imagery.fingerprints import fingerprint, is_unchanged
from quadrat.core.imagery.grid import TileGrid
from quadrat.core.imagery.rasters import has_mask, inspect_raster
from quadrat.core.imagery.sentinel2 import BANDS, Band
from quadrat.core.imagery.survey import survey
from quadrat.core.monitor import Monitor

from .raster_factory import NORTH_UP, cut_in_half, make_mosaic, make_raster, make_vrt


def test_a_raster_is_described_completely(tmp_path):
    path = make_raster(tmp_path / "scene.tif", width=300, height=200, blocksize=64, bands=("B02", "SCL", "B8A"))
    raster = inspect_raster(path)
    assert raster.path == path
    assert raster.bands == (Band("B02", 1), Band("B8A", 3))
    assert raster.band_names == ("B02", "B8A")
    assert (raster.width, raster.height, raster.dtype, raster.block_shape) == (300, 200, "uint16", (64, 64))
    assert raster.transform == NORTH_UP
    assert rasterio.CRS.from_wkt(raster.crs).to_epsg() == 32633
    assert (raster.radiometry.scale, raster.radiometry.offset, raster.radiometry.nodata) == (1e-4, 0, 0)


@pytest.mark.parametrize("driver", ["GTiff", "COG", "PNG"])
def test_any_gdal_raster_will_do(tmp_path, driver):
    creation = {"worldfile": True} if driver == "PNG" else {}
    path = make_raster(tmp_path / "scene.img", driver=driver, **creation)
    assert inspect_raster(path).band_names == ("B02", "B03", "B04")


def test_a_vrt_and_a_mosaic_of_two_rasters_will_do(tmp_path):
    left = make_raster(tmp_path / "left.tif", width=100)
    right = make_raster(tmp_path / "right.tif", width=60)
    assert inspect_raster(make_vrt(tmp_path / "one.vrt", left)).width == 100
    mosaic = inspect_raster(make_mosaic(tmp_path / "both.vrt", left, right))
    assert (mosaic.width, mosaic.band_names, mosaic.radiometry.nodata) == (160, ("B02", "B03", "B04"), 0)


def test_rotated_south_up_and_not_square_pixels_are_georeferenced(tmp_path):
    for number, transform in enumerate(
        [NORTH_UP @ Affine.rotation(20), Affine(10, 0, 0, 0, 10, 0), Affine(10, 0, 0, 0, -20, 0)]
    ):
        assert inspect_raster(make_raster(tmp_path / f"{number}.tif", transform=transform)).transform == transform


def test_bands_without_names_need_to_be_named(tmp_path):
    path = make_raster(tmp_path / "scene.tif", bands=None)
    with pytest.raises(ImageryError, match=r"No Sentinel-2 band is recognised in scene\.tif"):
        inspect_raster(path)
    assert inspect_raster(path, bands=["B04", "-", "B02"]).bands == (Band("B04", 1), Band("B02", 3))


def test_an_alpha_band_is_no_band(tmp_path):
    path = make_raster(
        tmp_path / "scene.tif", bands=("B02", "B03", "B04", ""), nodata=None, photometric="rgb", alpha="yes"
    )
    raster = inspect_raster(path)
    assert raster.band_names == ("B02", "B03", "B04")
    assert raster.radiometry.nodata is None


def test_the_processing_baseline_is_read_from_the_metadata(tmp_path):
    path = make_raster(tmp_path / "scene.tif", tags={"PROCESSING_BASELINE": "05.09"})
    assert inspect_raster(path).radiometry.offset == -1000
    assert inspect_raster(path, offset=0).radiometry.offset == 0


def test_gdal_scaling_is_read_from_the_metadata(tmp_path):
    radiometry = inspect_raster(make_raster(tmp_path / "scene.tif", scaling=(0.0002, -0.2))).radiometry
    assert (radiometry.scale, radiometry.offset) == (0.0002, pytest.approx(-1000))


def test_the_analyst_overrides_nodata(tmp_path):
    assert inspect_raster(make_raster(tmp_path / "scene.tif"), nodata=9).radiometry.nodata == 9


def test_different_nodata_values_have_to_be_settled(tmp_path):
    make_vrt(tmp_path / "scene.vrt", make_raster(tmp_path / "scene.tif"))
    text = (tmp_path / "scene.vrt").read_text()
    (tmp_path / "scene.vrt").write_text(text.replace("<NoDataValue>0<", "<NoDataValue>7<", 1))
    with pytest.raises(ImageryError, match="different nodata values") as caught:
        inspect_raster(tmp_path / "scene.vrt")
    assert "--nodata" in caught.value.hint
    assert inspect_raster(tmp_path / "scene.vrt", nodata=0).radiometry.nodata == 0


def test_8_bit_data_need_a_scale(tmp_path):
    path = make_raster(tmp_path / "rgb.tif", dtype="uint8", bands=("red", "green", "blue"))
    with pytest.raises(ImageryError, match=r"rgb\.tif is 8-bit"):
        inspect_raster(path)
    assert inspect_raster(path, scale=0.00107).radiometry.scale == 0.00107


def test_a_missing_raster_is_told(tmp_path):
    with pytest.raises(ImageryError, match="There is no raster at"):
        inspect_raster(tmp_path / "missing.tif")


@pytest.mark.parametrize("content", [b"", b"hello, I am no raster", b"II*\0" + bytes(50)])
def test_a_file_of_another_kind_is_told(tmp_path, content):
    (tmp_path / "note.tif").write_bytes(content)
    with pytest.raises(ImageryError, match=r"note\.tif cannot be opened as a raster"):
        inspect_raster(tmp_path / "note.tif")


def test_a_folder_is_told(tmp_path):
    with pytest.raises(ImageryError, match="cannot be opened as a raster"):
        inspect_raster(tmp_path)


@pytest.mark.parametrize(
    "creation", [{}, {"blocksize": 64}, {"compress": "deflate", "blocksize": 64}, {"driver": "COG"}]
)
def test_a_truncated_raster_is_told(tmp_path, creation):
    path = cut_in_half(make_raster(tmp_path / "scene.tif", width=512, height=512, **creation))
    with pytest.raises(ImageryError, match=r"truncated or damaged|or damaged") as caught:
        inspect_raster(path)
    assert caught.value.details


def test_a_raster_without_crs_is_told(tmp_path):
    with pytest.raises(ImageryError, match="no coordinate reference system"):
        inspect_raster(make_raster(tmp_path / "scene.tif", crs=None))


@pytest.mark.filterwarnings("ignore:The given matrix")
@pytest.mark.parametrize("transform", [Affine.identity(), Affine(10, 0, 5, 0, 0, 5)])
def test_a_raster_that_lies_nowhere_is_told(tmp_path, transform):
    with pytest.raises(ImageryError, match="not georeferenced"):
        inspect_raster(make_raster(tmp_path / "scene.tif", transform=transform))


def test_complex_numbers_are_no_reflectance(tmp_path):
    path = make_raster(tmp_path / "radar.tif", dtype="complex64", values=1.0, nodata=None)
    with pytest.raises(ImageryError, match="complex"):
        inspect_raster(path)


def test_bands_of_different_types_are_told(tmp_path):
    make_vrt(tmp_path / "scene.vrt", make_raster(tmp_path / "scene.tif"))
    text = (tmp_path / "scene.vrt").read_text()
    (tmp_path / "scene.vrt").write_text(text.replace('dataType="UInt16"', 'dataType="Float32"', 1))
    with pytest.raises(ImageryError, match="different types: float32, uint16"):
        inspect_raster(tmp_path / "scene.vrt")


def test_the_fingerprint_stays_when_the_file_is_moved_or_touched(tmp_path):
    path = make_raster(tmp_path / "scene.tif")
    stored = fingerprint(path)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(path, tmp_path / "elsewhere" / "renamed.tif")
    os.utime(moved, ns=(1, 1))
    assert stored.size == moved.stat().st_size
    assert is_unchanged(moved, stored)
    assert fingerprint(moved).digest == stored.digest


def test_changed_pixels_are_noticed_even_at_the_same_size(tmp_path):
    path = make_raster(tmp_path / "scene.tif", seed=1)
    stored = fingerprint(path)
    make_raster(path, seed=2)
    os.utime(path, ns=(stored.modified_ns + 1, stored.modified_ns + 1))
    assert path.stat().st_size == stored.size
    assert not is_unchanged(path, stored)


def test_another_size_is_a_change(tmp_path):
    path = make_raster(tmp_path / "scene.tif")
    stored = fingerprint(path)
    make_raster(path, width=200)
    assert not is_unchanged(path, stored)


def test_what_qgis_writes_beside_a_raster_is_no_change(tmp_path):
    path = make_raster(tmp_path / "scene.tif", width=512, height=512)
    stored = fingerprint(path)
    (tmp_path / "scene.tif.aux.xml").write_text("<PAMDataset/>")
    shutil.copy(make_raster(tmp_path / "half.tif", width=256, height=256), tmp_path / "scene.tif.ovr")
    with rasterio.open(path) as dataset:
        assert len(dataset.files) == 3
        assert dataset.overviews(1) == [2]
    assert is_unchanged(path, stored)
    assert fingerprint(path) == stored


def test_a_change_in_the_source_of_a_nested_vrt_is_noticed(tmp_path):
    left, right = (make_raster(tmp_path / f"{name}.tif", width=64, seed=1) for name in ("left", "right"))
    nested = make_vrt(tmp_path / "nested.vrt", make_mosaic(tmp_path / "both.vrt", left, right))
    stored = fingerprint(nested)
    assert stored.size > left.stat().st_size + right.stat().st_size
    make_raster(right, width=64, seed=2)
    os.utime(right, ns=(stored.modified_ns + 1, stored.modified_ns + 1))
    assert not is_unchanged(nested, stored)


def test_a_missing_raster_has_no_fingerprint(tmp_path):
    path = make_raster(tmp_path / "scene.tif")
    stored = fingerprint(path)
    path.unlink()
    with pytest.raises(ImageryError, match="There is no raster"):
        is_unchanged(path, stored)


def test_a_fingerprint_can_be_cancelled(tmp_path):
    with pytest.raises(Cancelled):
        fingerprint(make_raster(tmp_path / "scene.tif"), Monitor(is_cancelled=lambda: True))


def test_all_13_bands_are_found(tmp_path):
    raster = inspect_raster(make_raster(tmp_path / "scene.tif", bands=BANDS, values=np.ones((13, 8, 8))))
    assert raster.band_names == BANDS


def test_an_alpha_band_beside_any_number_of_bands_tells_valid_pixels(tmp_path):
    values = np.full((4, 64, 128), 0.2)
    values[3] = 255
    values[3, :, 64:] = 0
    path = make_raster(
        tmp_path / "a.tif", bands=("B02", "B03", "B04", "alpha"), values=values, dtype="float32", nodata=None
    )
    with rasterio.open(path, "r+") as data:
        data.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined, ColorInterp.alpha]
        assert has_mask(data, [1, 2, 3])
    raster = inspect_raster(path)
    valid = survey(raster, TileGrid(128, 64, raster.transform, 64, 64)).valid
    assert valid.tolist() == [[1.0, 0.0]]
