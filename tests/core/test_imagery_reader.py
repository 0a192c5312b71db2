"""What the reader hands out is what a plain read of each tile gives, however the raster is stored."""

import threading
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from quadrat.core.errors import Cancelled, ImageryError
from quadrat.core.imagery.grid import TileGrid
from quadrat.core.imagery.rasters import inspect_raster
from quadrat.core.imagery.reader import chunk_plan, read_tiles
from quadrat.core.imagery.sentinel2 import check_reflectance
from quadrat.core.imagery.survey import survey
from quadrat.core.monitor import Monitor

from .raster_factory import cut_in_half, make_mosaic, make_raster


def opened(path, size=64, stride=None, **options):
    raster = inspect_raster(path, **options)
    return raster, TileGrid(raster.width, raster.height, raster.transform, size, stride or size, path.name)


def plain_tile(raster, grid, row, col):
    """One tile as the contract has it, read and worked out by itself: (bands, size, size) and its valid pixels."""
    window = Window(col * grid.stride, row * grid.stride, grid.size, grid.size)
    with rasterio.open(raster.path) as dataset:
        stored = dataset.read([band.index for band in raster.bands], window=window).astype(np.float64)
    valid = (np.isfinite(stored) & (stored != raster.radiometry.nodata)).all(axis=0)
    reflectance = (stored + raster.radiometry.offset) * raster.radiometry.scale
    for band in reflectance:
        band[~valid] = band[valid].mean() if valid.any() else 0
    return reflectance, valid


def assert_like_plain_reads(raster, grid, rows, cols):
    seen = np.zeros(len(rows), dtype=int)
    for batch in read_tiles(raster, grid, rows, cols):
        assert batch.pixels.dtype == np.float32
        seen[batch.positions] += 1
        for position, tile in zip(batch.positions, batch.pixels, strict=True):
            expected, _ = plain_tile(raster, grid, rows[position], cols[position])
            np.testing.assert_allclose(tile, expected, rtol=1e-5, atol=1e-6)
    assert (seen == 1).all()


def readers_alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("quadrat-reader")]


def patchy(shape, dtype, seed=0):
    """Numbers with holes: nodata 0 in one band here and there, in all bands in a corner."""
    rng = np.random.default_rng(seed)
    values = rng.integers(200, 4000, shape).astype(dtype)
    values[0][rng.random(shape[1:]) < 0.02] = 0
    values[:, : shape[1] // 3, : shape[2] // 3] = 0
    return values


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_tiles_are_what_plain_reads_give(tmp_path_factory, data):
    draw = data.draw
    size, stride = draw(st.integers(1, 24)), draw(st.integers(1, 32))
    height, width = (size + draw(st.integers(0, 90)) for _ in range(2))
    blocksize = draw(st.sampled_from([None, 16, 32]))
    creation = {
        "interleave": draw(st.sampled_from(["pixel", "band"])),
        "compress": draw(st.sampled_from(["none", "lzw"])),
    }
    dtype = draw(st.sampled_from(["uint16", "int16", "float32"]))
    values = patchy((2, height, width), dtype, draw(st.integers(0, 99)))
    path = make_raster(
        tmp_path_factory.mktemp("raster") / "scene.tif",
        bands=("B02", "B8A"), dtype=dtype, values=values, blocksize=blocksize, **creation,
    )  # fmt: skip
    raster, grid = opened(path, size, stride, scale=1e-4, offset=-1000)
    rows, cols = grid.all_tiles()
    some = draw(st.lists(st.integers(0, len(rows) - 1), max_size=30))
    assert_like_plain_reads(raster, grid, rows[some], cols[some])


@pytest.mark.parametrize(
    "creation",
    [{"blocksize": 128}, {}, {"interleave": "pixel", "compress": "deflate"}, {"driver": "COG", "blocksize": 128}],
)
@pytest.mark.parametrize("stride", [64, 40, 100])
def test_a_raster_of_several_chunks_is_read_whole(tmp_path, creation, stride):
    path = make_raster(tmp_path / "scene.tif", width=1300, height=1100, bands=("B04",), **creation)
    raster, grid = opened(path, 64, stride)
    rows, cols = grid.all_tiles()
    assert len(chunk_plan(raster, grid, rows, cols)) > 1
    with rasterio.open(path) as dataset:
        reflectance = dataset.read(1) * np.float32(1e-4)
    for batch in read_tiles(raster, grid, rows, cols):
        for position, tile in zip(batch.positions, batch.pixels, strict=True):
            top, left = rows[position] * stride, cols[position] * stride
            np.testing.assert_allclose(tile[0], reflectance[top : top + 64, left : left + 64], rtol=1e-6)


def test_a_mosaic_of_two_rasters_is_read_across_the_seam(tmp_path):
    left = make_raster(tmp_path / "left.tif", width=100, seed=1)
    right = make_raster(tmp_path / "right.tif", width=60, seed=2)
    raster, grid = opened(make_mosaic(tmp_path / "both.vrt", left, right), 32, 32)
    assert_like_plain_reads(raster, grid, *grid.all_tiles())
    assert survey(raster, grid).valid.min() == 1


def test_the_plan_holds_every_tile_once_inside_its_window_and_stays_in_bounds(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", width=1500, height=1200, blocksize=256), 64, 40)
    rows, cols = (np.random.default_rng(0).permutation(tiles) for tiles in grid.all_tiles())
    plan = chunk_plan(raster, grid, rows, cols)
    assert sorted(np.concatenate([chunk.positions for chunk in plan])) == list(range(len(rows)))
    for chunk in plan:
        window, tops, lefts = chunk.window, rows[chunk.positions] * 40, cols[chunk.positions] * 40
        assert (window.row_off, window.col_off) == (tops.min(), lefts.min())
        assert (window.row_off + window.height, window.col_off + window.width) == (tops.max() + 64, lefts.max() + 64)
        assert window.row_off + window.height <= 1200
        assert window.col_off + window.width <= 1500


def test_windows_follow_the_blocks_and_strips(tmp_path):
    tiled, grid = opened(make_raster(tmp_path / "tiled.tif", width=2048, height=2048, bands=("B02",), blocksize=256))
    windows = [chunk.window for chunk in chunk_plan(tiled, grid, *grid.all_tiles())]
    assert [(w.row_off, w.col_off, w.height, w.width) for w in windows] == [
        (top, left, 1024, 1024) for top in (0, 1024) for left in (0, 1024)
    ]
    strips, grid = opened(make_raster(tmp_path / "strips.tif", width=2048, height=2048, bands=("B02",), blockysize=16))
    assert {chunk.window.width for chunk in chunk_plan(strips, grid, *grid.all_tiles())} == {2048}


def test_a_batch_stays_small_however_much_the_tiles_overlap(tmp_path):
    path = make_raster(tmp_path / "scene.tif", width=1024, height=1024, bands=("B02", "B03"), blocksize=64)
    raster, grid = opened(path, 64, 8)
    rows, cols = grid.all_tiles()
    largest = max(len(chunk.positions) for chunk in chunk_plan(raster, grid, rows, cols))
    assert largest * 2 * 64 * 64 * 4 <= 1 << 26


def test_blocks_as_large_as_the_raster_do_not_make_one_huge_chunk(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", width=640, height=640, bands=("B02",)))
    whole = replace(raster, width=20000, height=20000, block_shape=(20000, 20000))
    plan = chunk_plan(whole, TileGrid(20000, 20000, raster.transform, 64, 64), *grid.all_tiles())
    assert max(chunk.window.height for chunk in plan) <= 128


def test_no_tiles_make_no_chunks(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif"))
    nothing = np.array([], dtype=np.int64)
    assert list(read_tiles(raster, grid, nothing, nothing)) == []


def test_bands_come_in_the_order_asked_for(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", bands=("B02", "B03", "B04")))
    tile = np.array([0])
    (every,) = read_tiles(raster, grid, tile, tile)
    (some,) = read_tiles(raster, grid, tile, tile, bands=["B04", "B02"])
    np.testing.assert_array_equal(some.pixels, every.pixels[:, [2, 0]])


def test_a_band_that_is_not_there_is_told_before_anything_is_read(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", bands=("B02", "B03", "B04")))
    with pytest.raises(ImageryError, match="has no B08, B11; it has B02, B03, B04"):
        read_tiles(raster, grid, *grid.all_tiles(), bands=["B02", "B08", "B11"])


@pytest.fixture
def many_chunks(tmp_path):
    """A raster of several chunks, with one tile of each."""
    path = make_raster(tmp_path / "scene.tif", width=1024, height=1024, blocksize=128, bands=("B02",), compress="lzw")
    raster, grid = opened(path, 64, 4)
    rows, cols = grid.all_tiles()
    plan = chunk_plan(raster, grid, rows, cols)
    first_of_each = np.array([chunk.positions[0] for chunk in plan])
    assert len(plan) > 4
    return raster, grid, rows[first_of_each], cols[first_of_each]


def test_a_run_goes_on_exactly_where_it_stopped(many_chunks):
    whole = list(read_tiles(*many_chunks))
    rest = list(read_tiles(*many_chunks, first_chunk=3))
    assert [batch.chunk for batch in whole] == list(range(len(whole)))
    assert [batch.chunk for batch in rest] == list(range(3, len(whole)))
    for before, after in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(before.positions, after.positions)
        np.testing.assert_array_equal(before.pixels, after.pixels)
    assert list(read_tiles(*many_chunks, first_chunk=len(whole))) == []


def test_no_thread_is_left_at_the_end(many_chunks):
    batches = read_tiles(*many_chunks)
    next(batches)
    assert readers_alive()
    assert list(batches)
    assert not readers_alive()


def test_no_thread_is_left_when_the_consumer_stops_early(many_chunks):
    batches = read_tiles(*many_chunks)
    next(batches)
    batches.close()
    assert not readers_alive()


def test_no_thread_is_left_when_the_consumer_fails(many_chunks):
    def consume():
        for _ in read_tiles(*many_chunks):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert not readers_alive()


def test_progress_rises_to_one_and_cancelling_stops(many_chunks):
    fractions = []
    list(read_tiles(*many_chunks, monitor=Monitor(report=lambda fraction, _: fractions.append(fraction))))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    with pytest.raises(Cancelled):
        list(read_tiles(*many_chunks, monitor=Monitor(is_cancelled=lambda: len(fractions) > 0)))
    assert not readers_alive()


@pytest.mark.parametrize("creation", [{}, {"blocksize": 128}, {"blocksize": 128, "compress": "deflate"}])
def test_damage_in_the_middle_reaches_the_consumer_after_the_whole_part(tmp_path, creation):
    path = make_raster(tmp_path / "scene.tif", width=1300, height=2600, bands=("B02",), **creation)
    raster, grid = opened(path)
    cut_in_half(path)
    received = []
    with pytest.raises(ImageryError, match=r"scene\.tif cannot be read at row \d+, column \d+: it is truncated"):
        # Map and extend, so that what came before the error is kept.
        received.extend(map(attrgetter("chunk"), read_tiles(raster, grid, *grid.all_tiles())))
    assert received
    assert received == list(range(len(received)))
    assert not readers_alive()
    with pytest.raises(ImageryError, match="truncated"):
        survey(raster, grid)


def test_a_missing_source_of_a_mosaic_reaches_the_consumer(tmp_path):
    left, right = (make_raster(tmp_path / f"{name}.tif", width=64) for name in ("left", "right"))
    raster, grid = opened(make_mosaic(tmp_path / "both.vrt", left, right))
    left.unlink()
    with pytest.raises(ImageryError, match=r"left\.tif|truncated"):
        list(read_tiles(raster, grid, *grid.all_tiles()))


def test_a_raster_replaced_by_one_of_another_size_is_told(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", width=192))
    make_raster(tmp_path / "scene.tif", width=256)
    with pytest.raises(ImageryError, match="has changed: it is 256 x 128 px now, and was 192 x 128 px"):
        list(read_tiles(raster, grid, *grid.all_tiles()))


@pytest.mark.parametrize("stride", [64, 48, 70])
@pytest.mark.parametrize("creation", [{}, {"blocksize": 64}])
def test_valid_fractions_count_pixels_that_are_valid_in_every_band(tmp_path, stride, creation):
    path = make_raster(tmp_path / "scene.tif", values=patchy((3, 300, 400), "uint16"), **creation)
    raster, grid = opened(path, 64, stride)
    fractions = survey(raster, grid).valid
    expected = [plain_tile(raster, grid, row, col)[1].mean() for row, col in zip(*grid.all_tiles(), strict=True)]
    assert fractions.dtype == np.float32
    np.testing.assert_allclose(fractions.ravel(), expected, rtol=1e-6)


def test_the_sample_is_reflectance_of_valid_pixels(tmp_path):
    path = make_raster(tmp_path / "scene.tif", values=patchy((3, 300, 400), "uint16"))
    sample = survey(*opened(path)).sample
    assert sample.dtype == np.float32
    assert sample.shape[1] == 3
    assert 0.02 <= sample.min() <= sample.max() <= 0.4
    check_reflectance(sample)


@pytest.mark.parametrize("nodata", [None, float("nan"), -9999.0])
def test_pixels_that_are_not_finite_are_not_valid(tmp_path, nodata):
    values = np.random.default_rng(0).uniform(0.1, 0.3, (3, 64, 128)).astype("float32")
    values[0, :32, :64] = np.nan if nodata is None else nodata
    values[1, 40, 3], values[2, 50, 100] = np.inf, -np.inf
    raster, grid = opened(make_raster(tmp_path / "scene.tif", dtype="float32", values=values, nodata=nodata))
    found = survey(raster, grid)
    np.testing.assert_allclose(found.valid, [[0.5 - 1 / 4096, 1 - 1 / 4096]], rtol=1e-6)
    assert np.isfinite(found.sample).all()
    (batch,) = read_tiles(raster, grid, *grid.all_tiles())
    assert np.isfinite(batch.pixels).all()
    np.testing.assert_allclose(
        batch.pixels[0, 1, 0, 0], np.delete(values[1, 32:, :64].ravel(), 8 * 64 + 3).mean(), rtol=1e-5
    )


def test_a_nodata_number_that_the_type_cannot_hold_is_not_in_the_data(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", nodata=None, values=55537), nodata=-9999)
    assert survey(raster, grid).valid.min() == 1
    zeros, grid = opened(make_raster(tmp_path / "zeros.tif", nodata=None, values=0), nodata=float("nan"))
    assert survey(zeros, grid).valid.min() == 1


def test_integers_without_any_declared_nodata_have_0_as_nodata(tmp_path):
    values = np.full((3, 64, 64), 500)
    values[:, :16] = 0
    fractions = survey(*opened(make_raster(tmp_path / "scene.tif", nodata=None, values=values))).valid
    assert fractions[0, 0] == 0.75


def test_the_mask_of_a_dataset_says_what_is_valid(tmp_path):
    mask = np.ones((64, 64), dtype=bool)
    mask[:8] = False
    raster, grid = opened(make_raster(tmp_path / "scene.tif", width=64, height=64, nodata=None, mask=mask))
    assert survey(raster, grid).valid[0, 0] == 0.875
    (batch,) = read_tiles(raster, grid, *grid.all_tiles())
    assert np.ptp(batch.pixels[0, 0, :8]) == 0
    np.testing.assert_allclose(batch.pixels[0, 0, 0, 0], batch.pixels[0, 0, 8:].mean(), rtol=1e-5)


def test_an_alpha_band_says_what_is_valid(tmp_path):
    values = np.full((4, 64, 64), 500)
    values[3] = 65535
    values[3, :, :16] = 0
    path = make_raster(
        tmp_path / "scene.tif",
        bands=("B04", "B03", "B02", ""),
        values=values,
        nodata=None,
        photometric="rgb",
        alpha="yes",
    )
    assert survey(*opened(path)).valid[0, 0] == 0.75


def test_a_raster_without_any_valid_pixel_is_told(tmp_path):
    with pytest.raises(ImageryError, match=r"empty\.tif has no valid pixel"):
        survey(*opened(make_raster(tmp_path / "empty.tif", values=0)))


def test_a_tile_without_any_valid_pixel_is_zero(tmp_path):
    values = np.full((3, 64, 128), 500)
    values[:, :, :64] = 0
    raster, grid = opened(make_raster(tmp_path / "scene.tif", values=values))
    (batch,) = read_tiles(raster, grid, *grid.all_tiles(), bands=["B03"])
    assert (batch.pixels[0] == 0).all()
    np.testing.assert_allclose(batch.pixels[1], 0.05, rtol=1e-6)


def test_dn_and_reflectance_that_are_mixed_up_are_noticed_on_a_whole_raster(tmp_path):
    dn = make_raster(
        tmp_path / "dn.tif", dtype="float32", values=np.random.default_rng(0).uniform(200, 4000, (3, 64, 64))
    )
    with pytest.raises(ImageryError, match="looks like DN"):
        check_reflectance(survey(*opened(dn)).sample, "dn.tif")
    reflectance = make_raster(tmp_path / "reflectance.tif", dtype="float32")
    with pytest.raises(ImageryError, match="looks like reflectance"):
        check_reflectance(survey(*opened(reflectance, scale=1e-4)).sample, "reflectance.tif")


def test_numbers_become_reflectance_with_offset_and_scale(tmp_path):
    path = make_raster(
        tmp_path / "S2A_MSIL2A_20230101_N0509_R122.tif", values=3000, transform=Affine(10, 0, 0, 0, 10, 0)
    )
    (batch,) = read_tiles(*opened(path), np.array([0]), np.array([0]))
    np.testing.assert_allclose(batch.pixels, 0.2, rtol=1e-6)
