"""The products made for tests and measurements are laid out as ESA's, so that GDAL's own driver reads them."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.drivers import raster_driver_extensions

from quadrat.core.bench.safe import RESOLUTIONS, write_safe

needs_jp2 = pytest.mark.skipif("jp2" not in raster_driver_extensions(), reason="this GDAL writes no JPEG 2000")


def band_file(product, name, metres):
    (path,) = product.glob(f"GRANULE/*/IMG_DATA/R{metres}m/*_{name}_{metres}m.*")
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read(1).astype(int)


@needs_jp2
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("level", "bands"), [("L1C", 13), ("L2A", 12)])
def test_gdals_own_driver_finds_every_band_of_a_product(tmp_path, level, bands):
    product = write_safe(tmp_path, level=level, size_px=96, driver="JP2OpenJPEG")
    with rasterio.open(product / f"MTD_MSI{level}.xml") as file:
        parts = [name for name in file.subdatasets if ":TCI:" not in name]
    found = set()
    for part in parts:
        with rasterio.open(part) as file:
            assert file.crs.to_epsg() == 32633
            assert tuple(file.transform)[2:6:3] == (300_000, 5_100_000)
            found |= {text.split(",")[0] for text in file.descriptions if text.startswith("B")}
    assert len(found) == bands


def test_bands_have_their_own_resolution_and_cover_the_same_ground(tmp_path):
    product = write_safe(tmp_path, size_px=96)
    for band, metres in RESOLUTIONS.items():
        if band != "B10":
            with rasterio.open(band_file(product, band, metres)) as file:
                assert file.shape == (960 // metres, 960 // metres)
                assert file.bounds == (300_000, 5_099_040, 300_960, 5_100_000)


def test_the_same_seed_gives_the_same_reflectance_at_every_baseline(tmp_path):
    new = write_safe(tmp_path, size_px=96)
    old = write_safe(tmp_path, size_px=96, baseline="02.14")
    other = write_safe(tmp_path / "..", size_px=96, seed=1, tile="T33TUM")
    now, before, drawn = (read(band_file(product, "B05", 20)) for product in (new, old, other))
    np.testing.assert_array_equal(now - 1000, before)
    assert not np.array_equal(now, drawn)
    assert "ADD_OFFSET" in (new / "MTD_MSIL2A.xml").read_text()
    assert "ADD_OFFSET" not in (old / "MTD_MSIL2A.xml").read_text()


def test_given_pixels_are_stored_as_they_are_and_copied_to_coarser_resolutions(tmp_path):
    given = np.random.default_rng(0).integers(1, 10_000, (96, 96), np.uint16)
    product = write_safe(tmp_path, size_px=96, bands={"B04": given})
    np.testing.assert_array_equal(read(band_file(product, "B04", 10)), given)
    expected = given.reshape(48, 2, 48, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(read(band_file(product, "B04", 20)), expected, atol=0.5)


@needs_jp2
def test_jpeg_2000_keeps_every_number(tmp_path):
    product = write_safe(tmp_path, size_px=192, driver="JP2OpenJPEG", copies=False)
    plain = write_safe(tmp_path, size_px=192, copies=False, tile="T33TUM")
    for band in ("B02", "B11", "B09"):
        metres = RESOLUTIONS[band]
        np.testing.assert_array_equal(read(band_file(product, band, metres)), read(band_file(plain, band, metres)))


def test_a_size_into_which_pixels_of_60_m_do_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="multiple of 6"):
        write_safe(tmp_path, size_px=100)
