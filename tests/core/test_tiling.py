"""Rasters into tiles of a project: all of them, exact, in the right role; bad rasters leave nothing behind."""

import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from quadrat.core.embedding import embed
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.project.answers import Answer, current_answers, record_answers
from quadrat.core.project.store import Project
from quadrat.core.tiling import TilingOptions, tile_rasters

from .geopackage_check import problems
from .raster_factory import NORTH_UP, make_raster
from .scene_factory import make_scene, new_project, read_layer


@pytest.fixture
def project(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        yield project


def layer(project, name="tiles"):
    return read_layer(project, layer=name, fid_as_index=True)


def test_every_whole_tile_is_there_and_exact(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", width=200, height=130)
    (done,) = tile_rasters(project, [raster])
    tiles = layer(project)
    assert (done.state, done.pool, len(tiles)) == ("new", 6, 6)
    for tile in tiles.itertuples():
        west, north = NORTH_UP.c + tile.col * 640, NORTH_UP.f - tile.row * 640
        assert tile.geometry.equals(shapely.box(west, north - 640, west + 640, north))
    assert tiles.crs.to_epsg() == 32633
    assert problems(project.path) == []


def test_overlapping_tiles_have_the_stride_between_them(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", width=128, height=64)
    tile_rasters(project, [raster], TilingOptions(stride_px=16))
    assert [tile.col for tile in project.tiles()] == [0, 1, 2, 3, 4]
    assert np.diff(layer(project).bounds["minx"]).tolist() == [160.0] * 4


def test_tiles_with_too_little_data_are_set_aside(project, tmp_path):
    values = np.full((3, 64, 192), 1500)
    values[:, :, 64:96] = 0
    raster = make_raster(tmp_path / "r.tif", values=values)
    tile_rasters(project, [raster], TilingOptions(min_valid=0.6))
    assert [(tile.role, tile.valid_fraction) for tile in project.tiles()] == [
        ("pool", 1.0),
        ("excluded", 0.5),
        ("pool", 1.0),
    ]


def test_the_validation_sample_is_a_random_share_and_the_same_for_a_seed(tmp_path):
    scene = make_scene(tmp_path, rows=10, cols=10)
    roles = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with new_project(tmp_path / f"{name}.gpkg") as project:
            tile_rasters(project, [scene.raster], TilingOptions(validation=0.2, seed=seed))
            roles.append([tile.role for tile in project.tiles()])
    assert roles[0].count("validation") == 20
    assert roles[0] == roles[1] != roles[2]


def test_no_pool_tile_shares_a_pixel_with_a_validation_tile(project, tmp_path):
    scene = make_scene(tmp_path, rows=5, cols=5)
    tile_rasters(project, [scene.raster], TilingOptions(stride_px=32, validation=0.05))
    tiles = layer(project)
    validation = tiles[tiles["role"] == "validation"].union_all()
    shared = tiles[tiles["role"] == "pool"].intersection(validation).area
    assert not validation.is_empty
    assert shared.max() == 0


def test_rasters_of_two_utm_zones_share_a_project(project, tmp_path):
    west = make_raster(tmp_path / "w.tif", width=64, height=64)
    # The same ground seen from the neighbouring zone.
    east = make_raster(tmp_path / "e.tif", width=64, height=64, crs="EPSG:32634", transform=NORTH_UP)
    tile_rasters(project, [west, east])
    tiles = layer(project)
    expected = gpd.GeoSeries([shapely.box(*rasterio.open(east).bounds)], crs="EPSG:32634").to_crs(tiles.crs).iloc[0]
    assert tiles.geometry.iloc[1].symmetric_difference(expected).area < 1.0
    assert problems(project.path) == []


def test_a_raster_on_the_other_side_of_the_earth_needs_another_crs(tmp_path):
    here = make_raster(tmp_path / "h.tif", width=64, height=64)
    there = make_raster(tmp_path / "t.tif", width=64, height=64, crs="EPSG:32750")
    with new_project(tmp_path / "utm.gpkg") as project:
        with pytest.raises(ImageryError, match="too far outside") as caught:
            tile_rasters(project, [here, there])
        assert "EPSG:4326" in caught.value.hint
        assert len(project.tiles()) == len(layer(project)) == 1
    with new_project(tmp_path / "world.gpkg") as project:
        tile_rasters(project, [here, there], TilingOptions(crs="EPSG:4326"))
        south = layer(project).bounds["miny"]
        assert south.iloc[0] > 0 > south.iloc[1]


def test_only_tiles_that_touch_the_area_are_made(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", width=256, height=256)
    west, north = NORTH_UP.c + 700, NORTH_UP.f - 700
    area = gpd.GeoSeries([shapely.box(west, north - 300, west + 300, north)], crs="EPSG:32633").to_crs("EPSG:4326")
    area.to_file(tmp_path / "area.geojson")
    tile_rasters(project, [raster], TilingOptions(area=tmp_path / "area.geojson"))
    assert [(tile.row, tile.col) for tile in project.tiles()] == [(1, 1)]


def test_an_area_elsewhere_is_told_and_nothing_is_written(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    gpd.GeoSeries([shapely.box(0, 0, 1, 1)], crs="EPSG:4326").to_file(tmp_path / "area.gpkg")
    with pytest.raises(ImageryError, match="No tile of r"):
        tile_rasters(project, [raster], TilingOptions(area=tmp_path / "area.gpkg"))
    assert not project.has_tiles()


def test_tiling_again_changes_nothing(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    tile_rasters(project, [raster])
    before = project.tiles()
    (again,) = tile_rasters(project, [raster])
    assert again.state == "known"
    assert project.tiles() == before


def test_another_raster_is_added_behind_the_first(project, tmp_path):
    first, second = (make_scene(tmp_path, name=name, rows=1, cols=3, seed=s) for s, name in enumerate("ab"))
    tile_rasters(project, [first.raster])
    tile_rasters(project, [second.raster])
    assert [tile.raster_id for tile in project.tiles()] == [1, 1, 1, 2, 2, 2]
    assert problems(project.path) == []


def test_a_raster_that_moved_is_recognised_by_its_content(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    tile_rasters(project, [raster])
    (tmp_path / "archive").mkdir()
    moved = shutil.move(raster, tmp_path / "archive" / "renamed.tif")
    (again,) = tile_rasters(project, [moved])
    assert again.state == "moved"
    assert project.find_raster(project.rasters()[0]) == moved
    assert len(project.rasters()) == 1


def test_project_and_raster_may_move_together(tmp_path):
    home = tmp_path / "here"
    home.mkdir()
    raster = make_raster(home / "r.tif")
    with new_project(home / "p.gpkg") as project:
        tile_rasters(project, [raster])
    home.rename(tmp_path / "thère with space")
    with Project.open(tmp_path / "thère with space" / "p.gpkg") as project:
        made = embed(project, load_encoder("statistics"), "statistics")
        assert made.matrix.shape == (6, 12)


def test_a_changed_raster_keeps_its_tiles_and_answers(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", seed=1)
    tile_rasters(project, [raster])
    record_answers(project, [Answer(2, "classes", (1,))], annotator="me", source="test")
    make_raster(raster, seed=2)
    (again,) = tile_rasters(project, [raster])
    assert again.state == "changed"
    assert current_answers(project)[2].class_ids == (1,)


def test_another_raster_under_the_same_name_is_refused(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    tile_rasters(project, [raster])
    make_raster(raster, width=256)
    with pytest.raises(ImageryError, match="not the raster that was tiled"):
        tile_rasters(project, [raster])


def test_one_bad_raster_among_good_ones_is_found_before_any_is_cut(project, tmp_path):
    good = make_raster(tmp_path / "good.tif")
    with pytest.raises(ImageryError, match=r"missing\.tif"):
        tile_rasters(project, [good, tmp_path / "missing.tif"])
    assert not project.has_tiles()


@pytest.mark.parametrize(
    ("made", "said", "hint"),
    [
        ({"width": 40, "height": 40}, "40", ""),
        ({"values": 0.0}, "no valid pixel", ""),
        ({"bands": ("one", "two", "three")}, "", "--bands"),
        ({"dtype": "float32", "values": 1500.0}, "", "--scale"),
    ],
)
def test_a_raster_that_cannot_be_used_says_why_and_leaves_nothing(project, tmp_path, made, said, hint):
    raster = make_raster(tmp_path / "r.tif", **made)
    with pytest.raises(ImageryError) as caught:
        tile_rasters(project, [raster])
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert not project.has_tiles()
    assert project.rasters() == []


def test_reflectance_read_as_digital_numbers_is_refused(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", dtype="float32")
    with pytest.raises(ImageryError) as caught:
        tile_rasters(project, [raster], TilingOptions(scale=0.0001))
    assert "--scale" in caught.value.hint
    assert not project.has_tiles()


def test_a_truncated_raster_leaves_nothing(project, tmp_path):
    scene = make_scene(tmp_path, rows=4, cols=4)
    content = scene.raster.read_bytes()
    scene.raster.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageryError):
        tile_rasters(project, [scene.raster])
    assert not project.has_tiles()


@pytest.mark.parametrize("options", [{"stride_px": 0}, {"min_valid": 0.0}, {"validation": 1.0}, {"scale": -1.0}])
def test_options_without_sense_are_refused(project, tmp_path, options):
    with pytest.raises(UsageError):
        tile_rasters(project, [make_raster(tmp_path / "r.tif")], TilingOptions(**options))


def test_the_tile_size_is_fixed_with_the_first_raster(project, tmp_path):
    first, second = make_raster(tmp_path / "a.tif"), make_raster(tmp_path / "b.tif", seed=1)
    tile_rasters(project, [first], TilingOptions(size_px=32))
    assert len(project.tiles()) == 24
    with pytest.raises(UsageError, match="32 px"):
        tile_rasters(project, [second], TilingOptions(size_px=64))


def test_a_cancelled_run_leaves_no_tile(project, tmp_path):
    scene = make_scene(tmp_path)
    with pytest.raises(Exception, match="Stopped"):
        tile_rasters(project, [scene.raster], monitor=Monitor(is_cancelled=lambda: True))
    assert not project.has_tiles()


def test_the_same_image_under_another_name_is_not_cut_twice(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    copy = shutil.copy(raster, tmp_path / "copy.tif")
    said = []
    tile_rasters(project, [raster])
    (again,) = tile_rasters(project, [copy], monitor=Monitor(remark=lambda level, text: said.append(text)))
    assert again.state == "known"
    assert "same image" in said[0]
    assert len(project.rasters()) == 1


def test_ground_of_a_validation_tile_is_in_no_pool_whatever_raster_shows_it(project, tmp_path):
    first, second = (make_scene(tmp_path, name=name, seed=seed).raster for seed, name in enumerate("ab"))
    said = []
    monitor = Monitor(remark=lambda level, text: said.append(text))
    tile_rasters(project, [first, second], TilingOptions(validation=0.3), monitor)
    tiles = layer(project)
    validation = tiles[tiles["role"] == "validation"].union_all()
    assert 0.25 < validation.area / (48 * 640**2) < 0.35
    assert tiles[tiles["role"] == "pool"].intersection(validation).area.max() == 0
    assert any("another raster's validation tiles" in text for text in said)


def test_many_small_rasters_have_a_validation_sample_together(project, tmp_path):
    rasters = [
        make_raster(
            tmp_path / f"{i}.tif", width=64, height=64, seed=i, transform=Affine.translation(i * 640, 0) @ NORTH_UP
        )
        for i in range(40)
    ]
    tile_rasters(project, rasters, TilingOptions(validation=0.3))
    assert 4 <= sum(tile.role == "validation" for tile in project.tiles()) <= 20


def test_a_raster_too_small_is_found_before_another_is_cut(project, tmp_path):
    rasters = [make_raster(tmp_path / "good.tif"), make_raster(tmp_path / "small.tif", width=40, height=40)]
    with pytest.raises(ImageryError, match=r"small\.tif"):
        tile_rasters(project, rasters)
    assert not project.has_tiles()


def test_options_that_come_too_late_are_refused_and_a_new_scale_is_taken(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    tile_rasters(project, [raster])
    with pytest.raises(UsageError, match="tiled already") as caught:
        tile_rasters(project, [raster], TilingOptions(validation=0.3))
    assert "validation: 0.0 when it was tiled, now 0.3" in caught.value.details
    (again,) = tile_rasters(project, [raster], TilingOptions(offset=-1000.0))
    assert again.state == "changed"
    assert project.rasters()[0].offset == -1000.0


def test_numbers_far_too_dark_for_their_scale_are_pointed_out(project, tmp_path):
    values = np.random.default_rng(0).integers(30, 101, (3, 128, 192))
    said = []
    tile_rasters(
        project,
        [make_raster(tmp_path / "percent.tif", values=values)],
        monitor=Monitor(remark=lambda level, text: said.append(text)),
    )
    assert any("--scale" in text for text in said)


def test_project_raster_and_area_may_move_together_and_be_tiled_again(tmp_path):
    home = tmp_path / "here"
    home.mkdir()
    raster = make_raster(home / "r.tif", bands=None)
    gpd.GeoSeries([shapely.box(*rasterio.open(raster).bounds)], crs="EPSG:32633").to_file(home / "area.gpkg")
    with new_project(home / "p.gpkg") as project:
        options = TilingOptions(area=home / "area.gpkg", bands=("B02", "B03", "B04"))
        tile_rasters(project, [raster], options)
    there = home.rename(tmp_path / "there")
    with Project.open(there / "p.gpkg") as project:
        (again,) = tile_rasters(project, [there / "r.tif"], TilingOptions(area=there / "area.gpkg", stride_px=64))
        assert again.state == "known"
