"""Bands of 10, 20 and 60 m on one grid: the right values at the right places, whatever window is read."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from quadrat.core.bench.safe import write_safe
from quadrat.core.errors import ImageryError
from quadrat.core.imagery.products import find_product, open_product

from .product_factory import write_band

SIZE = 384


def bilinear(coarse: np.ndarray, factor: int, nodata: float = 0) -> np.ndarray:
    """Every fine pixel's centre between the coarse centres around it, along rows and then along columns.

    Where one of the two has no data, the other one counts alone.
    """
    values = np.where(coarse == nodata, np.nan, coarse.astype(np.float64))
    for _ in range(2):
        values = np.array([stretched(line, factor) for line in values]).T
    return np.where(np.isnan(values), nodata, values)


def stretched(line: np.ndarray, factor: int) -> list[float]:
    fine = []
    for position in range(len(line) * factor):
        centre = (position + 0.5) / factor - 0.5
        before = int(np.floor(centre))
        near = [(line[i], 1 - abs(centre - i)) for i in (before, before + 1) if 0 <= i < len(line)]
        near = [(value, weight) for value, weight in near if weight > 0 and not np.isnan(value)]
        weights = sum(weight for _, weight in near)
        fine.append(sum(value * weight for value, weight in near) / weights if near else np.nan)
    return fine


def read(folder):
    with rasterio.open(open_product(find_product(folder))) as dataset:
        return dict(zip(dataset.descriptions, dataset.read(), strict=True))


def write_fine(folder, side, name="B02"):
    return write_band(folder / f"{name}.tif", np.full((side, side), 1500, np.uint16))


@pytest.mark.parametrize(("band", "factor"), [("B05", 2), ("B09", 6)])
def test_a_plane_is_reproduced_at_the_centres_of_fine_pixels(band, factor, tmp_path):
    side = 40
    y, x = (np.mgrid[:side, :side] + 0.5) * factor
    write_fine(tmp_path, side * factor)
    write_band(tmp_path / f"{band}.tif", (1000 + 3 * x + 5 * y).astype(np.float32), 10 * factor)
    inner = slice(factor, -factor)
    fine_y, fine_x = np.mgrid[: side * factor, : side * factor] + 0.5
    with rasterio.open(open_product(find_product(tmp_path))) as dataset:
        np.testing.assert_allclose(
            dataset.read(2)[inner, inner], (1000 + 3 * fine_x + 5 * fine_y)[inner, inner], atol=1e-2
        )


@settings(max_examples=25, deadline=None)
@given(
    factor=st.sampled_from([2, 3, 6]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 1000),
    gaps=st.sampled_from([0, 0.2, 0.9]),
)
def test_coarse_bands_are_interpolated_as_by_hand(tmp_path_factory, factor, shape, seed, gaps):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 30_000, shape).astype(np.uint16) * (rng.random(shape) >= gaps)
    folder = tmp_path_factory.mktemp("bands")
    fine = rng.integers(1, 30_000, (shape[0] * factor, shape[1] * factor)).astype(np.uint16)
    write_band(folder / "B02.tif", fine)
    write_band(folder / "B05.tif", coarse.astype(np.uint16), 10 * factor)
    bands = read(folder)
    expected = bilinear(coarse, factor)
    np.testing.assert_array_equal(bands["B02"], fine)
    np.testing.assert_array_equal(bands["B05"] == 0, expected == 0)
    np.testing.assert_allclose(bands["B05"], expected, atol=0.51)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    gaps = rng.integers(0, 3000, (SIZE // 2,) * 2).astype(np.uint16)
    gaps[gaps < 500] = 0
    with rasterio.open(open_product(find_product(write_safe(folder, size_px=SIZE, bands={"B05": gaps})))) as dataset:
        yield dataset, dataset.read()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_pixel_is_the_same_in_every_window_of_several(opened, data):
    dataset, whole = opened
    top, left = data.draw(st.integers(0, SIZE - 1)), data.draw(st.integers(0, SIZE - 1))
    height, width = data.draw(st.integers(1, SIZE - top)), data.draw(st.integers(1, SIZE - left))
    assume(height * width > 1)
    part = dataset.read(window=Window(left, top, width, height))
    np.testing.assert_array_equal(part, whole[:, top : top + height, left : left + width])


def test_the_virtual_raster_lies_where_the_finest_band_lies(opened, tmp_path):
    dataset, _ = opened
    assert (dataset.width, dataset.height, dataset.crs.to_epsg()) == (SIZE, SIZE, 32633)
    assert tuple(dataset.transform)[:6] == (10, 0, 300_000, 0, -10, 5_100_000)
    assert dataset.nodatavals == (0,) * 12


def test_blocks_are_those_of_the_finest_band(tmp_path):
    write_band(tmp_path / "B01.tif", np.full((50, 50), 1500, np.uint16), 60, blockysize=10)
    write_band(tmp_path / "B02.tif", np.full((300, 300), 1500, np.uint16), tiled=True, blockxsize=128, blockysize=256)
    with rasterio.open(open_product(find_product(tmp_path))) as dataset:
        assert dataset.block_shapes == [(256, 128)] * 2


def test_without_bands_of_10_m_the_grid_is_that_of_20_m(tmp_path):
    write_band(tmp_path / "B05.tif", np.full((30, 30), 2000, np.uint16), 20)
    write_band(tmp_path / "B09.tif", np.full((10, 10), 3000, np.uint16), 60)
    bands = read(tmp_path)
    assert bands["B09"].shape == (30, 30)
    assert (bands["B09"] == 3000).all()


def test_gaps_of_floating_point_bands_stay_gaps(tmp_path):
    coarse = np.full((4, 4), 0.25, np.float32)
    coarse[:2] = np.nan
    write_band(tmp_path / "B02.tif", np.full((8, 8), 0.5, np.float32), nodata=np.nan)
    write_band(tmp_path / "B05.tif", coarse, 20, nodata=np.nan)
    filled = read(tmp_path)["B05"]
    assert np.isnan(filled[:3]).all()
    assert (filled[4:] == np.float32(0.25)).all()


@pytest.mark.parametrize(("side", "coarse"), [(101, 51), (101, 50), (101, 17), (100, 17)])
def test_cut_outs_may_end_within_a_coarse_pixel(side, coarse, tmp_path):
    metres = 60 if coarse < 20 else 20
    write_fine(tmp_path, side)
    write_band(tmp_path / "B05.tif", np.arange(1, coarse**2 + 1, dtype=np.uint16).reshape(coarse, coarse), metres)
    factor = metres // 10
    band = read(tmp_path)["B05"]
    covered = min(side, coarse * factor)
    expected = bilinear(np.arange(1, coarse**2 + 1).reshape(coarse, coarse), factor)[:covered, :covered]
    np.testing.assert_allclose(band[:covered, :covered], expected, atol=0.51)
    assert not band[covered:].any()
    assert not band[:, covered:].any()


@pytest.mark.parametrize(
    "where",
    [
        {"crs": "EPSG:32634"},
        {"origin": (300_020, 5_100_000)},
        {"origin": (300_000, 5_200_000)},
        {"metres": 60},
    ],
)
def test_bands_of_other_ground_are_refused(where, tmp_path):
    write_fine(tmp_path, 60)
    write_band(tmp_path / "B05.tif", np.full((30, 30), 2000, np.uint16), **({"metres": 20} | where))
    with pytest.raises(ImageryError, match=r"B05 of .* lies on other ground than B02"):
        open_product(find_product(tmp_path))


def test_a_band_without_a_coordinate_system_is_refused(tmp_path):
    write_fine(tmp_path, 10)
    write_band(tmp_path / "B03.tif", np.full((10, 10), 2000, np.uint16), crs=None)
    with pytest.raises(ImageryError, match=r"B03 of .* has no coordinate reference system"):
        open_product(find_product(tmp_path))


def test_a_file_of_several_bands_is_no_band_file(tmp_path):
    write_fine(tmp_path, 10)
    write_band(tmp_path / "B03.tif", np.full((3, 10, 10), 2000, np.uint16))
    with pytest.raises(ImageryError, match="has 3 bands"):
        open_product(find_product(tmp_path))


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    product = find_product(write_safe(tmp_path, size_px=96, level="L1C", driver="JP2OpenJPEG"))
    next(tmp_path.rglob("*_B08.jp2")).write_text("no image")
    with pytest.raises(ImageryError, match="B08 in S2A_MSIL1C"):
        open_product(product)


def test_gdal_without_jpeg_2000_is_told_apart_from_damage(tmp_path):
    safe = write_safe(tmp_path, size_px=96, driver="JP2OpenJPEG")
    program = (
        "import sys; from pathlib import Path; from quadrat.core.errors import ImageryError\n"
        "from quadrat.core.imagery.products import find_product, open_product\n"
        "try:\n    open_product(find_product(Path(sys.argv[1])))\n"
        "except ImageryError as error:\n    sys.stdout.write(f'{error.message} | {error.hint}')"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(safe)],
        env=os.environ | {"GDAL_SKIP": "JP2OpenJPEG"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "JPEG 2000 files, which this installation of GDAL cannot read" in said
    assert "pip" in said
