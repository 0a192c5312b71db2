"""Tiles under cloud are set aside: by the product's own mask, or by one on any grid."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from quadrat.core.bench.safe import write_safe
from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.imagery.clouds import CloudMask, find_clouds, open_mask
from quadrat.core.imagery.grid import TileGrid
from quadrat.core.imagery.rasters import inspect_raster
from quadrat.core.imagery.survey import survey
from quadrat.core.monitor import Monitor
from quadrat.core.tiling import tile_rasters
from quadrat.core.tiling_options import TilingOptions

from .raster_factory import NORTH_UP, cut_in_half, make_raster
from .scene_factory import new_project

LIKE_SCENE = {"crs": "EPSG:32633", "transform": NORTH_UP}


@pytest.fixture
def project(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        yield project


def make_mask(path, values, *, crs="EPSG:32633", transform=NORTH_UP, nodata=None, dtype="uint8"):
    """A raster of one band."""
    values = np.asarray(values, dtype)
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=transform, nodata=nodata, dtype=dtype, **shape
    ) as f:
        f.write(values, 1)
    return path


def half_pixels(transform=NORTH_UP):
    """The grid of pixels twice as large."""
    return transform @ Affine.scale(2)


def opened(path, size=64, stride=None):
    raster = inspect_raster(path)
    return raster, TileGrid(raster.width, raster.height, raster.transform, size, stride or size, path.name)


def cloudy_shares(raster, grid, path, values=None):
    return survey(raster, grid, find_clouds(raster, path, values)).cloudy


def plain_shares(grid, valid, cloudy, known):
    """The share of cloudy pixels of each tile, worked out tile by tile on arrays (height, width) of bool."""
    shares = np.full((grid.rows, grid.cols), np.nan)
    for row in range(grid.rows):
        for col in range(grid.cols):
            top, left = row * grid.stride, col * grid.stride
            tile = slice(top, top + grid.size), slice(left, left + grid.size)
            counted = valid[tile] & known[tile]
            if counted.any():
                shares[row, col] = (cloudy[tile] & counted).sum() / counted.sum()
    return shares


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_share_of_cloud_is_that_of_the_valid_pixels(tmp_path_factory, data):
    draw, folder = data.draw, tmp_path_factory.mktemp("clouds")
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    size, stride = draw(st.integers(2, 20)), draw(st.integers(1, 24))
    height, width = (2 * (size + draw(st.integers(0, 30))) for _ in range(2))
    stored = rng.integers(1, 4000, (2, height, width))
    stored[:, rng.random((height, width)) < draw(st.sampled_from([0, 0.3, 1.0]))] = 0
    stored[:, 0, 0] = 500
    classes = rng.integers(0, 12, (height // 2, width // 2))
    nodata = draw(st.sampled_from([None, 0, 7]))
    values = draw(st.sampled_from([None, (3, 8, 9, 10), (8,)]))
    scene = make_raster(folder / "scene.tif", bands=("B02", "B03"), values=stored)
    mask = make_mask(folder / "mask.tif", classes, transform=half_pixels(), nodata=nodata)
    raster, grid = opened(scene, size, stride)

    large = classes.repeat(2, axis=0).repeat(2, axis=1)
    cloudy = large != 0 if values is None else np.isin(large, values)
    known = large != nodata if nodata else np.ones_like(cloudy)
    expected = plain_shares(grid, (stored != 0).all(axis=0), cloudy, known)
    np.testing.assert_allclose(cloudy_shares(raster, grid, mask, values), expected, rtol=1e-6)


@pytest.mark.parametrize("blocksize", [None, 128])
def test_a_mask_is_read_by_windows_as_it_is_read_whole(tmp_path, blocksize):
    scene = make_raster(tmp_path / "scene.tif", width=1300, height=1100, bands=("B04",), blocksize=blocksize)
    classes = np.random.default_rng(0).integers(0, 2, (400, 500))
    shifted = half_pixels() @ Affine.translation(7.3, -11.6)
    mask = make_mask(tmp_path / "mask.tif", classes, transform=shifted)
    raster, grid = opened(scene)
    with open_mask(find_clouds(raster, mask), raster) as whole:
        cloudy, known = whole.read(rasterio.windows.Window(0, 0, raster.width, raster.height))
    expected = plain_shares(grid, np.ones((1100, 1300), bool), cloudy, known)
    np.testing.assert_allclose(cloudy_shares(raster, grid, mask), expected, rtol=1e-6)


@pytest.mark.parametrize("transform", [NORTH_UP, NORTH_UP @ Affine.rotation(25), Affine(10, 0, 4e5, 0, 10, 5.2e6)])
def test_a_mask_of_another_crs_lies_where_it_should(tmp_path, transform):
    raster, _ = opened(make_raster(tmp_path / "scene.tif", transform=transform))
    lon, lat = np.meshgrid(np.arange(raster.width) + 0.5, np.arange(raster.height) + 0.5)
    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*(transform @ (lon, lat)))
    step = 0.0005
    west, north = lon.min() + 3.4 * step, lat.max() + 1.7 * step  # the western edge lies outside the mask
    values = np.random.default_rng(0).integers(0, 2, (60, 60))
    mask = make_mask(
        tmp_path / "mask.tif", values, crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north), nodata=None
    )
    rows, cols = np.floor((north - lat) / step).astype(int), np.floor((lon - west) / step).astype(int)
    inside = (rows >= 0) & (rows < 60) & (cols >= 0) & (cols < 60)
    expected = np.where(inside, values[rows.clip(0, 59), cols.clip(0, 59)], 0) != 0
    with open_mask(find_clouds(raster, mask), raster) as open_one:
        cloudy, known = open_one.read(rasterio.windows.Window(0, 0, raster.width, raster.height))
    # Pixels whose centre lies on an edge of the mask's pixels may fall on either side.
    assert (cloudy == expected).mean() > 0.99
    assert (known == inside).mean() > 0.99
    assert 0.1 < inside.mean() < 1


def test_of_ground_outside_the_mask_nothing_is_said(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif", width=192, height=64)
    mask = make_mask(tmp_path / "mask.tif", np.ones((64, 64)))
    raster, grid = opened(scene)
    np.testing.assert_array_equal(cloudy_shares(raster, grid, mask), [[1.0, np.nan, np.nan]])
    said = []
    monitor = Monitor(remark=lambda level, text: said.append((level, text)))
    (done,) = tile_rasters(project, [scene], TilingOptions(max_cloud=0.5, mask=mask), monitor)
    assert (done.pool, done.excluded, done.cloudy) == (2, 1, 1)
    assert ("warning", "2 tiles are kept although mask.tif does not say whether they are cloudy.") in said


def test_0_is_clear_even_if_the_mask_calls_it_nodata_and_other_nodata_numbers_say_nothing(tmp_path):
    raster, grid = opened(make_raster(tmp_path / "scene.tif", width=64, height=64))
    values = np.zeros((64, 64))
    values[:16] = 1
    assert cloudy_shares(raster, grid, make_mask(tmp_path / "a.tif", values, nodata=0)) == 0.25
    values[32:] = 255
    assert cloudy_shares(raster, grid, make_mask(tmp_path / "b.tif", values, nodata=255)) == 0.5
    values = np.where(values == 255, np.nan, values)
    assert cloudy_shares(raster, grid, make_mask(tmp_path / "c.tif", values, dtype="float32")) == 0.5


def test_cloudy_tiles_are_set_aside_and_only_they(project, tmp_path):
    stored = np.full((3, 64, 256), 1500)
    stored[:, :, 64:100] = 0  # the second tile has too little data, and would be cloudy
    scene = make_raster(tmp_path / "scene.tif", values=stored)
    cloud = np.zeros((64, 256))
    cloud[:, 110:] = 1
    cloud[:16, 192:] = 0  # the fourth tile has 75 % cloud
    cloud[:, 128:192] = 0
    cloud[:12, 128:192] = 1  # the third one less than 20 %
    mask = make_mask(tmp_path / "mask.tif", cloud)
    (done,) = tile_rasters(project, [scene], TilingOptions(max_cloud=0.2, mask=mask))
    assert [tile.role for tile in project.tiles()] == ["pool", "excluded", "pool", "excluded"]
    assert (done.pool, done.excluded, done.cloudy) == (2, 2, 1)
    assert [round(tile.valid_fraction, 2) for tile in project.tiles()] == [1.0, 0.44, 1.0, 1.0]


def test_a_share_of_exactly_what_is_allowed_is_kept(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif", width=64, height=64)
    cloud = np.zeros((64, 64))
    cloud[:16] = 1
    tile_rasters(project, [scene], TilingOptions(max_cloud=0.25, mask=make_mask(tmp_path / "mask.tif", cloud)))
    assert project.tiles()[0].role == "pool"


def test_no_validation_tile_is_drawn_under_cloud(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif", width=640, height=128)
    cloud = np.zeros((128, 640))
    cloud[:64] = 1
    mask = make_mask(tmp_path / "mask.tif", cloud)
    (done,) = tile_rasters(project, [scene], TilingOptions(validation=0.5, max_cloud=0.0, mask=mask))
    assert (done.pool, done.validation, done.excluded, done.cloudy) == (5, 5, 10, 10)
    assert {tile.row for tile in project.tiles(("validation",))} == {1}


def test_a_scene_under_cloud_altogether_is_told_and_leaves_nothing(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif")
    mask = make_mask(tmp_path / "mask.tif", np.ones((128, 192)))
    with pytest.raises(ImageryError, match=r"Every tile of scene\.tif is too cloudy; the clearest has 100% cloud") as e:
        tile_rasters(project, [scene], TilingOptions(max_cloud=0.2, mask=mask))
    assert "--max-cloud" in e.value.hint
    assert not project.has_tiles()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"transform": NORTH_UP @ Affine.translation(500, 0)}, "does not show any ground"),
        ({"crs": "EPSG:32733"}, "does not show any ground"),
        ({"crs": None}, "no coordinate reference system"),
        ({"bands": ("a", "b"), "values": np.ones((2, 64, 64))}, "has 2 bands; a mask has one"),
    ],
)
def test_a_mask_that_is_of_no_use_is_refused_before_anything_is_read(project, tmp_path, made, said):
    scene = make_raster(tmp_path / "scene.tif")
    mask = make_raster(tmp_path / "mask.tif", **{"bands": ("m",), "width": 64, "height": 64, "dtype": "uint8", **made})
    with pytest.raises(ImageryError, match=said):
        tile_rasters(project, [scene], TilingOptions(max_cloud=0.2, mask=mask))
    assert not project.has_tiles()


def test_a_mask_that_is_missing_or_broken_is_told(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif", width=512, height=512)
    with pytest.raises(ImageryError, match=r"no raster at .*none\.tif"):
        tile_rasters(project, [scene], TilingOptions(max_cloud=0.2, mask=tmp_path / "none.tif"))
    broken = cut_in_half(make_mask(tmp_path / "mask.tif", np.ones((512, 512))))
    with pytest.raises(ImageryError, match=r"mask\.tif cannot be read at row"):
        tile_rasters(project, [scene], TilingOptions(max_cloud=0.2, mask=broken))
    assert not project.has_tiles()


def test_without_any_mask_it_is_said_what_to_give(project, tmp_path):
    with pytest.raises(UsageError, match=r"Nothing says where r\.tif is cloudy") as caught:
        tile_rasters(project, [make_raster(tmp_path / "r.tif")], TilingOptions(max_cloud=0.2))
    assert "--mask" in caught.value.hint


@pytest.mark.parametrize(
    "options", [{"max_cloud": 1.5}, {"max_cloud": -0.1}, {"mask_values": (1,)}, {"max_cloud": 0.1, "mask_values": ()}]
)
def test_options_without_sense_are_refused(project, tmp_path, options):
    with pytest.raises(UsageError, match="make no sense"):
        tile_rasters(project, [make_raster(tmp_path / "r.tif")], TilingOptions(**options))


def test_a_tiled_raster_keeps_its_clouds(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif")
    cloud = np.zeros((128, 192))
    cloud[:, :64] = 1
    options = TilingOptions(max_cloud=0.2, mask=make_mask(tmp_path / "mask.tif", cloud), mask_values=(1,))
    tile_rasters(project, [scene], options)
    (tmp_path / "elsewhere").mkdir()
    moved = options.mask.rename(tmp_path / "elsewhere" / "same.tif")
    (again,) = tile_rasters(project, [scene], replace(options, mask=moved))
    assert again.state == "known"
    assert tile_rasters(project, [scene])[0].state == "known"
    now = replace(options, mask=moved)
    others = {
        "max_cloud": replace(now, max_cloud=0.3),
        "mask_values": replace(now, mask_values=(1, 2)),
        "mask": replace(now, mask=make_mask(tmp_path / "other.tif", np.roll(cloud, 64, axis=1))),
    }
    for name, other in others.items():
        with pytest.raises(UsageError, match="tiled already, in another way") as caught:
            tile_rasters(project, [scene], other)
        assert f"{name}:" in caught.value.details


def test_clouds_come_too_late_for_tiles_of_a_project_from_before_there_was_the_option(project, tmp_path):
    scene = make_raster(tmp_path / "scene.tif")
    tile_rasters(project, [scene])
    kept = json.loads(project.setting("tiling of raster 1"))
    project.set_setting("tiling of raster 1", json.dumps({k: v for k, v in kept.items() if "m" not in k[:2]}))
    mask = make_mask(tmp_path / "mask.tif", np.ones((128, 192)))
    with pytest.raises(UsageError, match="tiled already, in another way"):
        tile_rasters(project, [scene], TilingOptions(max_cloud=0.2, mask=mask))


SCL = {"no data": 0, "defective": 1, "shadow": 3, "vegetation": 4, "water": 6, "medium": 8, "high": 9, "cirrus": 10}


def classified(folder, **options):
    """A level 2A product of 6 x 6 tiles whose first tiles have each half a class of its own."""
    scl = np.full((192, 192), SCL["vegetation"], np.uint8)
    for number, value in enumerate(SCL.values()):
        top, left = 32 * (number // 6), 32 * (number % 6)
        scl[top : top + 16, left : left + 32] = value
    return write_safe(folder, size_px=384, scl=scl, copies=False, **options)


def test_the_scene_classification_of_a_product_tells_cloud_and_shadow(project, tmp_path):
    (done,) = tile_rasters(project, [classified(tmp_path)], TilingOptions(max_cloud=0.2))
    aside = [(tile.row, tile.col) for tile in project.tiles() if tile.role == "excluded"]
    assert aside == [(0, 2), (0, 5), (1, 0), (1, 1)]
    assert done.cloudy == done.excluded == 4


def test_no_data_and_defects_of_the_classification_are_neither_cloudy_nor_clear(tmp_path):
    raster, grid = opened(classified(tmp_path))
    shares = survey(raster, grid, find_clouds(raster)).cloudy
    assert shares[0].tolist() == [0, 0, 0.5, 0, 0, 0.5]
    scl = np.full((192, 192), SCL["defective"], np.uint8)
    scl[:2] = SCL["high"]
    (tmp_path / "b").mkdir()
    raster, grid = opened(write_safe(tmp_path / "b", size_px=384, scl=scl, copies=False))
    shares = survey(raster, grid, find_clouds(raster)).cloudy
    assert (shares[0] == 1).all()
    assert np.isnan(shares[1:]).all()


def test_the_classes_that_mean_cloud_can_be_chosen(project, tmp_path):
    tile_rasters(project, [classified(tmp_path)], TilingOptions(max_cloud=0.2, mask_values=(8, 9, 6)))
    assert [(tile.row, tile.col) for tile in project.tiles(("excluded",))] == [(0, 4), (0, 5), (1, 0)]


def test_a_mask_wins_over_the_classification(project, tmp_path):
    mask = make_mask(tmp_path / "mask.tif", np.zeros((384, 384)), transform=Affine(10, 0, 300_000, 0, -10, 5_100_000))
    (done,) = tile_rasters(project, [classified(tmp_path)], TilingOptions(max_cloud=0.2, mask=mask))
    assert done.cloudy == 0


def test_the_cloud_mask_of_a_level_1c_product_counts_opaque_cloud_and_cirrus_but_not_snow(tmp_path):
    marked = np.zeros((3, 64, 64), np.uint8)
    for band in range(3):
        marked[band, 32 * band // 2 : 32 * band // 2 + 16] = 1
    raster, grid = opened(write_safe(tmp_path, level="L1C", size_px=384, classi=marked))
    cloudy = np.zeros((384, 384), bool)
    cloudy[: 32 * 6] = True
    expected = plain_shares(grid, np.ones_like(cloudy), cloudy, np.ones_like(cloudy))
    np.testing.assert_allclose(survey(raster, grid, find_clouds(raster)).cloudy, expected, rtol=1e-6)


def test_a_level_1c_product_of_an_old_baseline_needs_a_mask(project, tmp_path):
    path = write_safe(tmp_path, level="L1C", baseline="02.07", size_px=384)
    with pytest.raises(UsageError, match="Nothing says where"):
        tile_rasters(project, [path], TilingOptions(max_cloud=0.2))


def test_numbers_cannot_be_chosen_of_the_cloud_mask_of_level_1c(tmp_path):
    raster, _ = opened(write_safe(tmp_path, level="L1C", size_px=384))
    assert isinstance(find_clouds(raster), CloudMask)
    with pytest.raises(UsageError, match="no numbers to choose from"):
        find_clouds(raster, values=(8, 9))
