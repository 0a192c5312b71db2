"""Folders of single-band files are products: what names and files beside the bands tell is used, doubt is an error."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from quadrat.core.errors import ImageryError
from quadrat.core.imagery.products import find_product, open_product, product_radiometry
from quadrat.core.imagery.sentinel2 import BANDS

from .product_factory import write_band, write_bands

FOUR = ("B02", "B03", "B04", "B08")
COMMON_NAMES = ("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09")
EARTH_SEARCH = {band: f"{name}.tif" for band, name in zip(BANDS[:10], COMMON_NAMES, strict=True)}
EARTH_SEARCH |= {"B11": "swir16.tif", "B12": "swir22.tif"}
AWS = {"B02": "R10m/B02.tif", "B05": "R20m/B05.tif", "B09": "R60m/B09.tif"}
NAMES = {
    "short": {band: f"{band}.tif" for band in FOUR},
    "compact": {band: f"T33TUL_20190615T100031_{band}_10m.tif" for band in FOUR},
    "compact, level 1C": {band: f"T33TUL_20190615T100031_{band}.tif" for band in FOUR},
    "old": {band: f"S2A_OPER_MSI_L1C_TL_SGS__20160905T073438_A006291_T53HLA_{band}.TIF" for band in FOUR},
    "Earth Search": EARTH_SEARCH,
    "AWS": AWS,
    "granule": {band: f"IMG_DATA/{name}" for band, name in AWS.items()},
    "Copernicus Browser": {
        band: f"2019-06-15-00_00_2019-06-15-23_59_Sentinel-2_L2A_{band}_(Raw).tiff" for band in FOUR
    },
}


def offset(product):
    return product_radiometry(product, dtype="uint16").offset


def write_item(folder, **properties):
    (folder / "item.json").write_text(json.dumps({"type": "Feature", "properties": properties}))


def doubtful(folder):
    """Four bands of a day when products had an offset already."""
    return write_bands(folder / "S2A_33TUL_20230615_0_L2A", NAMES["short"])


@pytest.mark.parametrize("kind", NAMES)
def test_bands_are_known_by_the_usual_names(kind, tmp_path):
    names = NAMES[kind]
    product = find_product(write_bands(tmp_path / "bands", names))
    assert {band.name: band.source for band in product.bands} == {
        band: str(tmp_path / "bands" / name) for band, name in names.items()
    }
    with rasterio.open(open_product(product)) as dataset:
        assert dataset.descriptions == product.band_names
        for index, band in enumerate(product.bands, start=1):
            if band.resolution_m == 10:
                with rasterio.open(band.source) as file:
                    np.testing.assert_array_equal(dataset.read(index), file.read(1))


def test_other_files_are_left_alone(tmp_path):
    folder = write_bands(tmp_path, NAMES["short"] | {"SCL": "SCL.tif", "": "AOT.tif", "TCI": "TCI_10m.tif"})
    write_bands(folder / "qi", {"B02": "MSK_B02.tif"})
    (folder / "B05.txt").write_text("no image")
    product = find_product(folder)
    assert product.band_names == FOUR
    assert product.scl == str(folder / "SCL.tif")
    assert len(product.files) == len(FOUR)


def test_names_tell_tile_date_and_level(tmp_path):
    by_file = find_product(write_bands(tmp_path / "x", NAMES["compact"]))
    by_folder = find_product(write_bands(tmp_path / "S2A_33TUL_20190615_0_L2A", NAMES["short"]))
    assert (by_file.tile, by_file.sensed) == ("T33TUL", "20190615T100031")
    assert (by_folder.tile, by_folder.sensed, by_folder.level) == ("T33TUL", "20190615", "L2A")


def test_the_own_resolution_is_taken_where_there_are_copies(tmp_path):
    names = {"B02": "R10m/B02.tif", "B05": "R20m/B05.tif"}
    write_bands(tmp_path, names)
    write_band(tmp_path / "R60m/B02.tif", np.full((4, 4), 2000, np.uint16), 60)
    write_band(tmp_path / "R60m/B05.tif", np.full((4, 4), 2000, np.uint16), 60)
    assert [band.source for band in find_product(tmp_path).bands] == [str(tmp_path / name) for name in names.values()]


def test_a_zip_of_bands_is_the_folder(tmp_path):
    folder = write_bands(tmp_path / "bands", AWS)
    archive = find_product(Path(shutil.make_archive(str(tmp_path / "bands"), "zip", folder)))
    with rasterio.open(open_product(archive)) as left, rasterio.open(open_product(find_product(folder))) as right:
        np.testing.assert_array_equal(left.read(), right.read())


def test_a_relative_path_works_from_elsewhere(tmp_path, monkeypatch):
    write_bands(tmp_path / "bands", NAMES["short"])
    monkeypatch.chdir(tmp_path / "bands")
    product = find_product(Path())
    monkeypatch.chdir("/")
    with rasterio.open(open_product(product)) as dataset:
        assert dataset.count == 4
    assert product.name == "bands"


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"B02": "T33TUL_B02.tif", "B03": "T33TUM_B03.tif"}, "2 tiles: T33TUL, T33TUM"),
        ({"B02": "20230615_B02.tif", "B03": "20230616_B03.tif"}, "2 dates: 20230615, 20230616"),
    ],
)
def test_bands_of_different_tiles_or_days_are_refused(names, what, tmp_path):
    with pytest.raises(ImageryError, match=what):
        find_product(write_bands(tmp_path, names))


def test_two_files_for_a_band_are_refused(tmp_path):
    write_bands(tmp_path, {"B02": "B02.tif", "B03": "B03.tif"})
    write_bands(tmp_path, {"B02": "blue.tif"})
    with pytest.raises(ImageryError, match=r"two files for B02: B02\.tif and blue\.tif"):
        find_product(tmp_path)


def test_numbers_of_landsat_are_no_bands_of_sentinel(tmp_path):
    folder = write_bands(tmp_path, {band: f"LC08_L2SP_190027_20190615_SR_{band}.TIF" for band in ("B02", "B04")})
    assert find_product(folder) is None


def test_before_baseline_4_there_is_no_offset(tmp_path):
    assert offset(find_product(write_bands(tmp_path / "dated", NAMES["compact"]))) == 0


def test_without_a_date_the_offset_has_to_be_told(tmp_path):
    with pytest.raises(ImageryError, match="Nothing tells"):
        offset(find_product(write_bands(tmp_path / "bands", NAMES["short"])))


def test_after_january_2022_the_offset_has_to_be_told(tmp_path):
    product = find_product(doubtful(tmp_path))
    with pytest.raises(ImageryError, match="Nothing tells") as caught:
        offset(product)
    assert "--offset -1000" in caught.value.hint
    assert "--offset 0" in caught.value.hint
    assert product_radiometry(product, dtype="uint16", offset=-1000).offset == -1000


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}, 0),
        ({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.09"}, -1000),
        ({"s2:processing_baseline": "05.09"}, -1000),
        ({"s2:processing_baseline": "03.01"}, 0),
        ({"s2:product_uri": "S2A_MSIL2A_20230615T100031_N0509_R122_T33TUL_20230615T160000.SAFE"}, -1000),
    ],
)
def test_a_stac_item_beside_the_bands_tells_the_offset(properties, expected, tmp_path):
    folder = doubtful(tmp_path)
    write_item(folder, datetime="2023-06-15T10:07:21Z", **properties)
    assert offset(find_product(folder)) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tileInfo.json", '{"productName": "S2A_MSIL2A_20230615T100031_N0509_R122_T33TUL_20230615T160000"}'),
        ("metadata.xml", "<TILE_ID>S2A_OPER_MSI_L2A_TL_2APS_20230615T160000_A041676_T33TUL_N05.09</TILE_ID>"),
    ],
)
def test_files_of_aws_beside_the_bands_tell_the_baseline(name, content, tmp_path):
    folder = write_bands(tmp_path / "0", AWS)
    (folder / name).write_text(content)
    product = find_product(folder)
    assert (product.level, product.baseline, product.tile) == ("L2A", (5, 9), "T33TUL")
    assert offset(product) == -1000


def test_a_sidecar_that_says_nothing_does_no_harm(tmp_path):
    folder = write_bands(tmp_path, NAMES["compact"])
    for name, content in (
        ("a.json", b"[1, 2]"),
        ("b.json", b"\xff{"),
        ("c.json", b'{"properties": 1}'),
        ("d.xml", b""),
    ):
        (folder / name).write_bytes(content)
    assert offset(find_product(folder)) == 0


def test_the_name_of_the_product_may_stand_in_the_path(tmp_path):
    folder = tmp_path / "S2A_MSIL2A_20230615T100031_N0509_R122_T33TUL_20230615T160000" / "bands"
    product = find_product(write_bands(folder, NAMES["short"]))
    assert (product.baseline, product.tile, offset(product)) == ((5, 9), "T33TUL", -1000)


def test_floating_point_bands_are_reflectance(tmp_path):
    folder = tmp_path / "S2A_33TUL_20230615_0_L2A"
    for band in FOUR:
        write_band(folder / f"{band}.tif", np.full((8, 8), 0.2, np.float32), nodata=-9999)
    product = find_product(folder)
    with rasterio.open(open_product(product)) as dataset:
        assert dataset.nodatavals == (-9999,) * 4
        radiometry = product_radiometry(product, dtype="float32", declared_nodata=dataset.nodata)
    assert (radiometry.scale, radiometry.offset, radiometry.nodata) == (1, 0, -9999)


def test_bands_that_say_what_they_are_worth_are_believed(tmp_path):
    folder = tmp_path / "S2A_33TUL_20230615_0_L2A"
    for band in FOUR:
        write_band(folder / f"{band}.tif", np.full((8, 8), 3000, np.uint16), scaling=(1e-4, -0.1))
    product = find_product(folder)
    with rasterio.open(open_product(product)) as dataset:
        scaling = list(zip(dataset.scales, dataset.offsets, strict=True))
    radiometry = product_radiometry(product, dtype="uint16", gdal_scaling=scaling)
    assert (radiometry.scale, round(radiometry.offset)) == (1e-4, -1000)


def test_levels_of_8_bit_need_a_scale(tmp_path):
    folder = write_bands(tmp_path, NAMES["short"])
    with pytest.raises(ImageryError, match="8-bit"):
        product_radiometry(find_product(folder), dtype="uint8")
