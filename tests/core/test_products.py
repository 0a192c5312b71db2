"""Products with ESA's metadata are found by any of their paths, and described as the metadata say."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from quadrat.core.bench.safe import write_safe
from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.imagery.products import find_product, open_product, product_radiometry
from quadrat.core.imagery.sentinel2 import BANDS

from .product_factory import OLD_NAME, write_old_safe

SIZE = 96
NAME = "S2A_MSIL2A_20230615T100031_N0509_R122_T33TUL_20230615T160000"
L2A_BANDS = tuple(band for band in BANDS if band != "B10")


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    return write_safe(tmp_path_factory.mktemp("products"), size_px=SIZE)


@pytest.fixture(scope="module")
def zipped(safe, tmp_path_factory):
    target = tmp_path_factory.mktemp("zips") / safe.stem
    return Path(shutil.make_archive(str(target), "zip", safe.parent, safe.name))


@pytest.fixture
def copy(safe, tmp_path):
    return Path(shutil.copytree(safe, tmp_path / safe.name))


def pixels(product):
    with rasterio.open(open_product(product)) as dataset:
        return dataset.read()


def granule_of(safe):
    return next((safe / "GRANULE").iterdir())


def replace_in(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_l2a_product_is_described_as_its_metadata_say(safe):
    product = find_product(safe)
    assert (product.path, product.name, product.level, product.baseline) == (safe, NAME, "L2A", (5, 9))
    assert (product.tile, product.sensed) == ("T33TUL", "20230615T100031")
    assert product.band_names == L2A_BANDS
    assert (product.scale, product.nodata) == (1e-4, 0)
    assert {band.offset for band in product.bands} == {-1000}
    assert Path(product.scl).name == "T33TUL_20230615T100031_SCL_20m.tif"


def test_each_band_comes_once_as_it_was_sensed_not_from_a_copy(safe):
    product = find_product(safe)
    names = {band.name: Path(band.source).name for band in product.bands}
    assert names["B02"].endswith("_B02_10m.tif")
    assert names["B05"].endswith("_B05_20m.tif")
    # Since 04.00 there is a B01 at 20 m too, which holds no more than the one at 60 m.
    assert names["B01"].endswith("_B01_60m.tif")
    assert sorted(product.files) == sorted(Path(band.source) for band in product.bands)


def test_where_only_copies_were_kept_the_finest_of_them_is_taken(copy):
    images = granule_of(copy) / "IMG_DATA"
    shutil.rmtree(images / "R10m")
    for metadata in copy.glob("MTD_MSI*.xml"):
        lines = metadata.read_text(encoding="utf-8").splitlines()
        metadata.write_text("\n".join(line for line in lines if "/R10m/" not in line), encoding="utf-8")
    by_name = {band.name: band.resolution_m for band in find_product(copy).bands}
    assert by_name["B02"] == 20
    assert "B08" not in by_name  # B8A stands for it in the copies


def test_an_l1c_product_has_thirteen_bands_and_a_cloud_mask(tmp_path):
    product = find_product(write_safe(tmp_path, level="L1C", size_px=SIZE))
    assert (product.level, product.band_names, product.scl) == ("L1C", BANDS, None)
    assert Path(product.clouds).name == "MSK_CLASSI_B00.tif"
    assert {band.resolution_m for band in product.bands} == {10, 20, 60}


def test_no_offset_and_no_raster_of_clouds_before_baseline_4(tmp_path):
    product = find_product(write_safe(tmp_path, level="L1C", baseline="02.09", date="20190615T100031", size_px=SIZE))
    assert product.baseline == (2, 9)
    assert product.clouds is None
    assert product_radiometry(product, dtype="uint16").offset == 0


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_reflectance_is_the_same_at_every_baseline(level, tmp_path):
    reflectances = []
    for baseline, folder in (("02.09", "old"), ("05.09", "new")):
        (tmp_path / folder).mkdir()
        product = find_product(write_safe(tmp_path / folder, level=level, baseline=baseline, size_px=SIZE))
        radiometry = product_radiometry(product, dtype="uint16")
        reflectances.append((pixels(product) + radiometry.offset) * radiometry.scale)
    np.testing.assert_allclose(*reflectances, atol=1e-4)


def test_every_path_of_a_product_leads_to_the_same_pixels(safe, zipped, tmp_path):
    wrapper = tmp_path / "wrapper"
    shutil.copytree(safe, wrapper / safe.name)
    inner = Path(shutil.make_archive(str(tmp_path / "without_folder"), "zip", safe))
    granule = granule_of(safe)
    paths = [
        *(safe / "MTD_MSIL2A.xml", granule, granule / "MTD_TL.xml", granule / "IMG_DATA", zipped, inner, wrapper),
        Path(f"SENTINEL2_L2A:{safe}/MTD_MSIL2A.xml:10m:EPSG_32633"),
        Path(f"SENTINEL2_L2A:/vsizip/{zipped}/{safe.name}/MTD_MSIL2A.xml:20m:EPSG_32633"),
    ]
    expected = pixels(find_product(safe))
    for path in paths:
        product = find_product(path)
        np.testing.assert_array_equal(pixels(product), expected, str(path))
        assert (product.level, product.baseline, product.tile) == ("L2A", (5, 9), "T33TUL"), path
        assert product_radiometry(product, dtype="uint16").offset == -1000, path


def test_the_path_of_a_product_is_its_folder_or_zip(safe, zipped):
    assert find_product(safe / "MTD_MSIL2A.xml").path == safe
    product = find_product(zipped)
    assert (product.path, product.name, product.files) == (zipped, NAME, (zipped,))


def test_an_unusual_path_makes_no_difference(safe, tmp_path):
    folder = tmp_path / "R&D <old> 'ä' {1}"
    there = Path(shutil.copytree(safe, folder / safe.name))
    archive = Path(shutil.make_archive(str(folder / "a.b"), "zip", safe.parent, safe.name))
    np.testing.assert_array_equal(pixels(find_product(there)), pixels(find_product(safe)))
    np.testing.assert_array_equal(pixels(find_product(archive)), pixels(find_product(safe)))


def test_jpeg_2000_is_read_as_it_was_written(tmp_path):
    drawn = {band: np.full((SIZE // 6,) * 2, 1700, np.uint16) for band in ("B01", "B09")}
    found = [
        find_product(write_safe(tmp_path, driver=driver, size_px=SIZE, bands=drawn, tile=tile))
        for driver, tile in (("JP2OpenJPEG", "T33TUL"), ("GTiff", "T33TUM"))
    ]
    np.testing.assert_array_equal(*map(pixels, found))


def test_an_ordinary_raster_is_no_product(safe, tmp_path):
    band = Path(find_product(safe).bands[0].source)
    (tmp_path / "notes.xml").write_text("<notes/>")
    for path in (band, tmp_path, tmp_path / "notes.xml", tmp_path / "missing.SAFE"):
        assert find_product(path) is None


def test_an_old_product_of_one_granule_is_read(tmp_path):
    safe = write_old_safe(tmp_path, tiles=["T53HLA"])
    product = find_product(safe)
    assert (product.path.name, product.level, product.baseline, product.tile) == (OLD_NAME, "L1C", (2, 4), "T53HLA")
    assert (product.sensed, product.band_names) == ("20160905T005712", BANDS)
    assert product_radiometry(product, dtype="uint16").offset == 0


def test_of_an_old_product_a_granule_has_to_be_chosen(tmp_path):
    safe = write_old_safe(tmp_path)
    with pytest.raises(ImageryError, match="2 granules: T53HLA, T53HMA") as caught:
        find_product(safe)
    granules = sorted((safe / "GRANULE").iterdir())
    assert str(granules[0]) in caught.value.hint
    found = [find_product(granule) for granule in granules]
    assert [(product.tile, product.path) for product in found] == [("T53HLA", granules[0]), ("T53HMA", granules[1])]
    assert (pixels(found[0]) != pixels(found[1])).any()


def test_the_only_granule_left_of_an_old_product_needs_no_choice(tmp_path):
    safe = write_old_safe(tmp_path, bands=["B02", "B03", "B04"])
    shutil.rmtree(sorted((safe / "GRANULE").iterdir())[0])
    assert find_product(safe).tile == "T53HMA"


def test_a_missing_band_file_is_named(copy):
    next(granule_of(copy).rglob("*_B11_20m.tif")).unlink()
    with pytest.raises(ImageryError, match="lacks the file of B11") as caught:
        find_product(copy)
    assert "IMG_DATA" in caught.value.hint


def test_a_missing_copy_is_not_missed(copy):
    next(granule_of(copy).rglob("*_B02_60m.tif")).unlink()
    assert find_product(copy).band_names == L2A_BANDS


def test_a_product_without_images_is_refused(copy):
    shutil.rmtree(granule_of(copy) / "IMG_DATA")
    with pytest.raises(ImageryError, match="none of the images"):
        find_product(copy)


def test_a_safe_without_metadata_is_not_complete(copy):
    (copy / "MTD_MSIL2A.xml").unlink()
    archive = Path(shutil.make_archive(str(copy.parent / "x"), "zip", copy.parent, copy.name))
    for path in (copy, archive):
        with pytest.raises(ImageryError, match="no main metadata file"):
            find_product(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</n1:General_Info>", ""),
        ("BOA_QUANTIFICATION_VALUE", "BOA_VALUE"),
        (">10000<", ">0<"),
        (">10000<", ">many<"),
        ("05.09</PROCESSING", "V.IX</PROCESSING"),
        ('band_id="3"', 'band="3"'),
        ('band_id="3"', 'band_id="13"'),
    ],
)
def test_damaged_metadata_are_refused(old, new, copy):
    replace_in(copy / "MTD_MSIL2A.xml", old, new)
    with pytest.raises(ImageryError, match="damaged or incomplete"):
        find_product(copy)


def test_quantification_and_nodata_are_those_of_the_metadata(copy):
    replace_in(copy / "MTD_MSIL2A.xml", ">10000<", ">20000<")
    replace_in(copy / "MTD_MSIL2A.xml", "<SPECIAL_VALUE_INDEX>0<", "<SPECIAL_VALUE_INDEX>7<")
    radiometry = product_radiometry(find_product(copy), dtype="uint16")
    assert (radiometry.scale, radiometry.nodata) == (5e-5, 7)


def test_different_offsets_are_refused_unless_one_is_given(copy):
    replace_in(copy / "MTD_MSIL2A.xml", 'band_id="3">-1000', 'band_id="3">-500')
    product = find_product(copy)
    with pytest.raises(ImageryError, match=r"different offsets: .*B04 -500"):
        product_radiometry(product, dtype="uint16")
    assert product_radiometry(product, dtype="uint16", offset=-700).offset == -700


def test_metadata_of_baseline_4_without_an_offset_leave_a_doubt(copy):
    replace_in(copy / "MTD_MSIL2A.xml", "BOA_ADD_OFFSET", "OTHER")
    product = find_product(copy)
    with pytest.raises(ImageryError, match="Nothing tells") as caught:
        product_radiometry(product, dtype="uint16")
    assert "--offset -1000" in caught.value.hint
    assert product_radiometry(product, dtype="uint16", offset=0).offset == 0


def test_files_may_lie_together_in_one_folder(safe, tmp_path):
    for file in [*safe.rglob("*.tif"), safe / "MTD_MSIL2A.xml"]:
        (tmp_path / file.name).symlink_to(file)
    product = find_product(tmp_path)
    assert (product.tile, product.baseline, product.band_names) == ("T33TUL", (5, 9), L2A_BANDS)
    assert Path(product.scl).name.endswith("_SCL_20m.tif")
    np.testing.assert_array_equal(pixels(product), pixels(find_product(safe)))


def test_metadata_of_early_processors_name_things_otherwise(tmp_path):
    safe = write_safe(tmp_path, baseline="02.07", date="20180615T100031", size_px=12)
    for old, new in (
        ("BOA_QUANTIFICATION", "L2A_BOA_QUANTIFICATION"),
        ("IMAGE_FILE>", "IMAGE_FILE_2A>"),
        ("<Product_Info>", "<L2A_Product_Info>"),
        ("</Product_Info>", "</L2A_Product_Info>"),
    ):
        replace_in(safe / "MTD_MSIL2A.xml", old, new)
    product = find_product(safe)
    assert (product.band_names, product.baseline, product.scale) == (L2A_BANDS, (2, 7), 1e-4)


def test_what_the_analyst_gives_wins(safe):
    product = find_product(safe)
    radiometry = product_radiometry(product, dtype="uint16", scale=2e-4, offset=0, nodata=9)
    assert (radiometry.scale, radiometry.offset, radiometry.nodata) == (2e-4, 0, 9)
    with pytest.raises(UsageError, match="scale of 0"):
        product_radiometry(product, dtype="uint16", scale=0)


def test_a_broken_zip_is_refused(zipped, tmp_path):
    broken = tmp_path / zipped.name
    content = zipped.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageryError, match="no zip that can be read"):
        find_product(broken)


def test_metadata_that_are_damaged_within_a_zip_are_named(zipped, tmp_path):
    damaged = tmp_path / zipped.name
    content = bytearray(zipped.read_bytes())
    with zipfile.ZipFile(zipped) as archive:
        member = next(info for info in archive.infolist() if info.filename.endswith("MTD_MSIL2A.xml"))
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + member.compress_size] = b"\xff" * member.compress_size
    damaged.write_bytes(content)
    with pytest.raises(ImageryError, match=r"MTD_MSIL2A\.xml of .* cannot be read"):
        find_product(damaged)


def test_a_zip_of_anything_else_is_refused(tmp_path):
    (tmp_path / "content").mkdir()
    (tmp_path / "content/readme.txt").write_text("hello")
    archive = Path(shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path / "content"))
    with pytest.raises(ImageryError, match="no Sentinel-2 product"):
        find_product(archive)


def test_several_products_in_one_place_are_listed(tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    for tile in ("T33TUL", "T33TUM"):
        write_safe(folder, tile=tile, size_px=12)
    archive = Path(shutil.make_archive(str(tmp_path / "both"), "zip", folder))
    for path in (folder, archive):
        with pytest.raises(ImageryError, match=r"holds 2 products: .*T33TUL.*T33TUM"):
            find_product(path)


def test_what_macos_leaves_in_folders_and_zips_is_not_looked_at(copy):
    (copy / "._MTD_MSIL2A.xml").write_bytes(b"\0")
    image = next(granule_of(copy).rglob("*_B02_10m.tif"))
    (image.parent / f"._{image.name}").write_bytes(b"\0")
    (copy.parent / "__MACOSX" / copy.name).mkdir(parents=True)
    (copy.parent / "__MACOSX" / copy.name / "MTD_MSIL2A.xml").write_bytes(b"\0")
    archive = Path(shutil.make_archive(str(copy.parent.parent / "mac"), "zip", copy.parent))
    assert find_product(archive).band_names == find_product(copy).band_names == L2A_BANDS
