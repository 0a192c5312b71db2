"""Questions about files that cannot be answered."""

from pathlib import Path

import pytest

from quadrat.core.paths import exists, is_file, is_folder, product_of_source


def test_a_name_that_no_file_can_have_is_no_file(tmp_path):
    name = tmp_path / ("x" * 5000)
    assert (is_file(name), is_folder(name), exists(name)) == (False, False, False)


def test_what_is_there_is_told(tmp_path):
    file = tmp_path / "a"
    file.write_text("")
    assert (is_file(file), is_folder(tmp_path), exists(file), is_file(tmp_path)) == (True, True, True, False)


@pytest.mark.parametrize(
    ("source", "product"),
    [
        ("SENTINEL2_L2A:/data/X.SAFE/MTD_MSIL2A.xml:10m:EPSG_32633", "/data/X.SAFE"),
        ("SENTINEL2_L2A:/data/X.SAFE/MTD_MSIL2A.xml:TCI:EPSG_32633|option:ALPHA=YES", "/data/X.SAFE"),
        ('SENTINEL2_L1C:"C:/my data/X.SAFE/MTD_MSIL1C.xml":60m:EPSG_32633', "C:/my data/X.SAFE"),
        ("SENTINEL2_L1C:/data/Y.SAFE/S2A_OPER_MTD_SAFL1C_PDMC_20160905.xml:10m:EPSG_32753", "/data/Y.SAFE"),
        ("SENTINEL2_L1C_TILE:/data/Y.SAFE/GRANULE/T/S2A_OPER_MTD_L1C_TL_SGS.xml:10m", "/data/Y.SAFE/GRANULE/T"),
        ("SENTINEL2_L1C:/vsizip//data/x.zip/X.SAFE/MTD_MSIL1C.xml:10m:EPSG_32633", "/data/x.zip"),
        ("SENTINEL2_L1C:/vsizip/{/data/x}/X.SAFE/MTD_MSIL1C.xml:10m:EPSG_32633", "/data/x"),
        ("SENTINEL2_L2A:/vsizip/data/X.SAFE.zip/X.SAFE/MTD_MSIL2A.xml:10m:EPSG_32633", "data/X.SAFE.zip"),
        ("sentinel2_l2a:X.SAFE/MTD_MSIL2A.xml", "X.SAFE"),
    ],
)
def test_a_layer_of_a_product_leads_to_the_product(source, product):
    assert product_of_source(source) == Path(product)


@pytest.mark.parametrize(
    "source",
    ["", "/data/X.SAFE", "/data/X.SAFE/MTD_MSIL2A.xml", "/data/scene.tif", "NETCDF:/data/a.nc:band", "SENTINEL2_L2A:"],
)
def test_other_sources_lead_to_no_product(source):
    assert product_of_source(source) is None


def test_an_absolute_path_that_lost_a_slash_is_found_again(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"")
    source = Path(f"SENTINEL2_L2A:/vsizip/{tmp_path}/x.zip/X.SAFE/MTD_MSIL2A.xml:10m:EPSG_32633")
    assert product_of_source(str(source)) == tmp_path / "x.zip"
