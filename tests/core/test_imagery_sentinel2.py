"""Bands are found by their usual names, and units are known or asked for, never guessed in silence."""

import numpy as np
import pytest

from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.imagery.sentinel2 import BANDS, Band, canonical_band, check_reflectance, find_bands, guess_radiometry


@pytest.mark.parametrize(
    ("description", "band"),
    [
        *((name, name) for name in BANDS),
        *((name.lower(), name) for name in BANDS),
        ("B2", "B02"),
        ("b8", "B08"),
        ("B08A", "B8A"),
        ("B 4", "B04"),
        ("Band 2 - Blue", "B02"),
        ("Band 8A", "B8A"),
        ("band_11", "B11"),
        ("Band 1 - Blue", "B02"),
        ("Band 4: NIR", "B08"),
        ("S2 B02 reflectance", "B02"),
        ("Sentinel-2A B12", "B12"),
        ("T33TUL_20190416T100031_B02_10m", "B02"),
        ("T33TUL_20190416T100031_B8A_20m.jp2", "B8A"),
        ("0_B3", "B03"),
        ("B5_median", "B05"),
        ("B4, central wavelength 665 nm", "B04"),
        ("Blue (490 nm)", "B02"),
        ("blue", "B02"),
        ("GREEN", "B03"),
        ("Red", "B04"),
        ("red surface reflectance", "B04"),
        ("coastal aerosol", "B01"),
        ("rededge1", "B05"),
        ("Red Edge 2", "B06"),
        ("Vegetation red edge 3", "B07"),
        ("nir", "B08"),
        ("near-infrared", "B08"),
        ("nir08", "B8A"),
        ("Narrow NIR", "B8A"),
        ("B8A - NIR", "B8A"),
        ("B8 nir", "B08"),
        ("water vapour", "B09"),
        ("cirrus", "B10"),
        ("swir16", "B11"),
        ("SWIR 2", "B12"),
        ("swir22", "B12"),
    ],
)
def test_usual_descriptions_are_recognised(description, band):
    assert canonical_band(description) == band


@pytest.mark.parametrize(
    "description",
    [
        *("", None, "SCL", "mask", "alpha", "Cloud mask B02", "B02_std", "QA60", "AOT", "WVP", "TCI", "NDVI"),
        *("(B08-B04)/(B08+B04)", "B00", "B13", "B99", "Band 14", "S2B", "VV"),
        *("swir", "red edge", "gray", "elevation"),
    ],
)
def test_what_is_no_band_or_two_bands_is_not_recognised(description):
    assert canonical_band(description) is None


def test_unrecognised_bands_are_left_out_and_indexes_count_from_one():
    assert find_bands(["SCL", "B02", None, "nir", "alpha"]) == (Band("B02", 2), Band("B08", 4))


def test_names_by_position_override_descriptions():
    assert find_bands(["B02", None, "B04"], ["-", "b8", "swir16"]) == (Band("B08", 2), Band("B11", 3))


def test_bands_that_are_only_counted_are_not_taken_for_sentinel2_numbers():
    with pytest.raises(ImageryError, match="No Sentinel-2 band") as caught:
        find_bands(["Band 1", "Band 2", "Band 3", "Band 4"], source="stack.img")
    assert "B02,B03,B04,B08 (--bands)" in caught.value.hint


def test_numbered_bands_in_another_order_than_their_position_are_sentinel2_numbers():
    assert [band.name for band in find_bands(["Band 2", "Band 3", "Band 4"])] == ["B02", "B03", "B04"]


@pytest.mark.parametrize("count", [1, 3, 4, 6, 12, 13, 15])
def test_without_any_name_the_message_shows_what_to_write(count):
    with pytest.raises(ImageryError, match=r"scene\.tif.*1: no name") as caught:
        find_bands([None] * count, source="scene.tif")
    example = caught.value.hint.split("for example: ")[1].split(" (--bands)")[0].split(",")
    assert len(find_bands([None] * count, example)) == min(count, 13 if count == 13 else 12 if count == 12 else 6)


def test_a_wrong_number_of_names_is_refused_with_the_bands_found():
    with pytest.raises(ImageryError, match=r"has 3 bands, but 2 names.*1: B02, 2: B03, 3: SCL") as caught:
        find_bands(["B02", "B03", "SCL"], ["B02", "B03"])
    assert "B02,B03,-" in caught.value.hint


def test_unknown_names_are_refused_by_name():
    with pytest.raises(ImageryError, match="'B77', 'pink'"):
        find_bands([None] * 3, ["B77", "B02", "pink"])


@pytest.mark.parametrize("chosen", [None, ["B02", "blue", "B03"]])
def test_two_bands_of_one_name_are_refused(chosen):
    with pytest.raises(ImageryError, match=r"More than one band of .* is called B02"):
        find_bands(["B02", "blue", "B03"], chosen)


def test_choosing_no_band_at_all_is_refused():
    with pytest.raises(ImageryError, match="No Sentinel-2 band"):
        find_bands(["B02", "B03"], ["-", "-"])


def test_integers_are_dn_and_zero_is_nodata():
    guessed = guess_radiometry("uint16")
    assert (guessed.scale, guessed.offset, guessed.nodata) == (1e-4, 0, 0)


def test_declared_nodata_and_masks_leave_zero_alone():
    assert guess_radiometry("uint16", nodata=65535).nodata == 65535
    assert guess_radiometry("uint16", has_mask=True).nodata is None
    assert guess_radiometry("float32").nodata is None


def test_floats_are_reflectance_even_of_new_baselines():
    guessed = guess_radiometry("float32", tags={"PROCESSING_BASELINE": "05.09"})
    assert (guessed.scale, guessed.offset) == (1, 0)


@pytest.mark.parametrize(
    ("tags", "name", "offset"),
    [
        ({"PROCESSING_BASELINE": "04.00"}, "", -1000),
        ({"PROCESSING_BASELINE": "05.11"}, "", -1000),
        ({"processing_baseline": "N0510"}, "", -1000),
        ({"PROCESSING_BASELINE": "03.01"}, "", 0),
        ({"PROCESSING_BASELINE": "unknown"}, "", 0),
        ({"PRODUCT_URI": "S2A_MSIL2A_20220401T100031_N0400_R122_T33TUL_20220401T135802.SAFE"}, "", -1000),
        ({}, "S2B_MSIL2A_20230401T100031_N0509_R122_T33TUL_20230401T135802.tif", -1000),
        ({}, "S2B_MSIL1C_20190416T100031_N0207_R122_T33TUL_20190416T121113.tif", 0),
        ({}, "stack_N0500.tif", -1000),
        ({}, "scene.tif", 0),
    ],
)
def test_the_offset_of_baseline_4_is_read_from_tags_and_names(tags, name, offset):
    assert guess_radiometry("uint16", tags=tags, names=[name]).offset == offset


def test_gdal_scale_and_offset_are_used_where_they_say_something():
    guessed = guess_radiometry("uint16", gdal_scaling=[(0.0001, -0.1)] * 3, tags={"PROCESSING_BASELINE": "05.00"})
    assert guessed.scale == 0.0001
    assert guessed.offset == pytest.approx(-1000)
    assert guess_radiometry("uint16", gdal_scaling=[(1.0, 0.0)]).scale == 1e-4


def test_bands_scaled_differently_are_refused_unless_the_analyst_decides():
    scaling = [(0.0001, 0.0), (0.0002, 0.0)]
    with pytest.raises(ImageryError, match="scaled differently"):
        guess_radiometry("uint16", gdal_scaling=scaling)
    assert guess_radiometry("uint16", gdal_scaling=scaling, scale=0.001, offset=0).scale == 0.001


def test_a_declared_scale_of_zero_is_refused():
    with pytest.raises(ImageryError, match="make no sense"):
        guess_radiometry("uint16", gdal_scaling=[(0.0, 0.0)])


def test_8_bit_needs_a_scale():
    with pytest.raises(ImageryError, match="8-bit") as caught:
        guess_radiometry("uint8", source="rgb.tif")
    assert "--scale" in caught.value.hint
    assert guess_radiometry("uint8", scale=0.00107).scale == 0.00107


def test_explicit_values_always_win():
    guessed = guess_radiometry(
        "uint16", nodata=7, gdal_scaling=[(0.5, 1.0)], tags={"PROCESSING_BASELINE": "04.00"}, scale=2e-4, offset=-10
    )
    assert (guessed.scale, guessed.offset, guessed.nodata) == (2e-4, -10, 7)


@pytest.mark.parametrize("values", [{"scale": 0}, {"scale": -1}, {"scale": float("nan")}, {"offset": float("inf")}])
def test_scales_and_offsets_that_cannot_be_are_wrong_use(values):
    with pytest.raises(UsageError):
        guess_radiometry("uint16", **values)


RNG = np.random.default_rng(0)
LAND = RNG.uniform(0.02, 0.4, (5000, 3))


@pytest.mark.parametrize(
    "reflectance",
    [LAND, LAND * 0 + 1.2, RNG.normal(0.012, 0.004, (5000, 3)), LAND - 0.02, np.full((9, 2), np.nan), np.empty((0, 3))],
    ids=["land", "cloud", "dark water", "overcorrected", "nothing finite", "nothing"],
)
def test_whatever_the_land_shows_is_reflectance(reflectance):
    check_reflectance(reflectance)


def test_dn_read_as_reflectance_is_told_with_the_scale_to_give():
    with pytest.raises(ImageryError, match=r"scene\.tif looks like DN") as caught:
        check_reflectance(LAND * 10000, "scene.tif")
    assert "0.0001" in caught.value.hint


def test_reflectance_read_as_dn_is_told_with_the_scale_to_give():
    with pytest.raises(ImageryError, match="looks like reflectance") as caught:
        check_reflectance(LAND / 10000)
    assert "scale 1 " in caught.value.hint


def test_an_offset_taken_off_twice_is_told():
    with pytest.raises(ImageryError, match="offset") as caught:
        check_reflectance(RNG.uniform(0.01, 0.06, (5000, 3)) - 0.1)
    assert "offset 0" in caught.value.hint
