"""The demo scene is a raster like Sentinel-2's, and its truth is the truth about that raster."""

import csv

import numpy as np
import pytest
import rasterio

from quadrat.core.demo.scene import make_scene
from quadrat.core.demo.spectra import land_class
from quadrat.core.demo.truth import judge_tiles
from quadrat.core.errors import Cancelled, ImageryError, UsageError
from quadrat.core.monitor import Monitor

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
SIZE, TILE = 640, 32


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("demo"), size_px=SIZE, tile_px=TILE, seed=0)


@pytest.fixture(scope="module")
def pixels(scene):
    with rasterio.open(scene.raster) as raster:
        return raster.read()


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels_of(scene, pixels, label, band):
    """All values of a band in the tiles of a class."""
    tiles = [(int(r["row"]), int(r["col"])) for r in rows_of(scene.truth_single) if r["label"] == label]
    assert tiles, f"no tile of {label}"
    values = pixels[BANDS.index(band)]
    return np.concatenate([values[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE].ravel() for r, c in tiles])


def test_the_raster_is_georeferenced_like_a_granule(scene):
    with rasterio.open(scene.raster) as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.res == (10.0, 10.0)
        assert raster.transform.b == raster.transform.d == 0
        assert 166000 < raster.bounds.left < raster.bounds.right < 834000
        assert 5_000_000 < raster.bounds.bottom < raster.bounds.top < 6_000_000


def test_the_raster_has_the_13_bands_on_one_grid_as_tiled_uint16(scene):
    with rasterio.open(scene.raster) as raster:
        assert raster.descriptions == BANDS
        assert (raster.height, raster.width) == (SIZE, SIZE)
        assert set(raster.dtypes) == {"uint16"}
        assert raster.nodata == 0
        assert set(raster.scales) == {1.0}
        assert set(raster.offsets) == {0.0}
        assert raster.block_shapes == [(256, 256)] * 13
        assert raster.compression.name == "deflate"


def test_one_edge_has_a_wedge_without_data_in_all_bands_alike(pixels):
    empty = pixels == 0
    assert (empty == empty[0]).all()
    widths = empty[0].sum(axis=1)
    assert widths[0] > 20
    assert widths[-1] == 0
    assert (np.diff(widths) <= 0).all()
    assert (empty[0] == (np.arange(SIZE)[None, :] < widths[:, None])).all()


def test_coarse_bands_are_constant_on_their_true_pixels_and_fine_ones_are_not(pixels):
    valid = pixels[0] > 0
    for name, block in (("B05", 2), ("B06", 2), ("B07", 2), ("B8A", 2), ("B11", 2), ("B12", 2), ("B01", 6), ("B09", 6)):
        n = SIZE // block * block
        cells = pixels[BANDS.index(name), :n, :n].reshape(n // block, block, n // block, block)
        whole = valid[:n, :n].reshape(cells.shape).all((1, 3))
        assert (cells.max((1, 3)) == cells.min((1, 3)))[whole].all(), name
    fine = pixels[BANDS.index("B04")].reshape(SIZE // 2, 2, SIZE // 2, 2)
    assert (fine.max((1, 3)) > fine.min((1, 3))).mean() > 0.9


def test_the_same_seed_gives_the_same_files_and_another_seed_another_land(tmp_path):
    first, again, other = (
        make_scene(tmp_path / name, size_px=256, tile_px=32, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.raster.read_bytes() == again.raster.read_bytes()
    assert first.truth_single.read_bytes() == again.truth_single.read_bytes()
    assert first.truth_multi.read_bytes() == again.truth_multi.read_bytes()
    with rasterio.open(first.raster) as one, rasterio.open(other.raster) as two:
        assert (one.read(4) != two.read(4)).mean() > 0.8


def test_every_tile_with_enough_data_has_a_truth_from_the_class_list(scene, pixels):
    names = [row["name"] for row in rows_of(scene.classes)]
    n = SIZE // TILE
    valid = (pixels[0] > 0).reshape(n, TILE, n, TILE).mean((1, 3)) >= 0.9
    expected = {(int(r), int(c)) for r, c in np.argwhere(valid)}
    for path in (scene.truth_single, scene.truth_multi):
        rows = rows_of(path)
        assert {(int(row["row"]), int(row["col"])) for row in rows} == expected
        assert len(rows) == len(expected)
        assert {label for row in rows for label in row["label"].split(";")} <= set(names)


def test_the_class_list_has_distinct_names_colours_and_keys(scene):
    classes = rows_of(scene.classes)
    assert 10 <= len(classes) <= 12
    for column in ("name", "colour", "key"):
        assert len({row[column] for row in classes}) == len(classes)


def test_several_labels_contain_the_one_label_and_are_distinct(scene):
    several = {(row["row"], row["col"]): row["label"].split(";") for row in rows_of(scene.truth_multi)}
    for row in rows_of(scene.truth_single):
        labels = several[row["row"], row["col"]]
        assert row["label"] == labels[0]
        assert len(set(labels)) == len(labels)
    assert 1.2 < np.mean([len(labels) for labels in several.values()]) < 4


def test_a_small_scene_already_has_nearly_all_classes(scene):
    assert len({row["label"] for row in rows_of(scene.truth_single)}) >= 10


def test_a_road_defines_a_tile_that_it_crosses_but_not_one_that_it_touches():
    land = np.zeros((64, 128), np.uint8).repeat(2, axis=0)
    land[:64, 30:34] = land_class("Road")
    land[:8, 64:66] = land_class("Road")
    tiles = {(t.row, t.column): t for t in judge_tiles(land, np.ones_like(land, np.bool_), 64)}
    assert tiles[0, 0].label == "Road"
    assert tiles[0, 0].labels == ("Road", "Annual crop")
    assert tiles[0, 1].labels == ("Annual crop",)


def test_water_is_dark_in_the_near_infrared_and_forest_is_not(scene, pixels):
    lake = np.median(pixels_of(scene, pixels, "Lake", "B08"))
    forests = [np.median(pixels_of(scene, pixels, f"{kind} forest", "B08")) for kind in ("Conifer", "Broadleaf")]
    assert lake < 0.3 * forests[0]
    assert forests[0] < forests[1]


@pytest.mark.parametrize("label", ["Broadleaf forest", "Conifer forest", "Annual crop", "Pasture"])
def test_vegetation_rises_steeply_from_red_to_near_infrared(scene, pixels, label):
    red, infrared = (np.median(pixels_of(scene, pixels, label, band)) for band in ("B04", "B08"))
    assert infrared > 2.5 * red


def test_bare_soil_is_brighter_in_short_wave_infrared_than_crops(scene, pixels):
    soil, crop = (np.median(pixels_of(scene, pixels, label, "B12")) for label in ("Bare soil", "Annual crop"))
    assert soil > 1.3 * crop


def test_reflectances_stay_within_what_the_satellite_measures(pixels):
    seen = pixels[:, pixels[0] > 0]
    assert seen.min() >= 1
    assert np.quantile(seen, 0.999) < 12000
    assert np.median(seen[BANDS.index("B10")]) < 40
    assert np.median(seen[BANDS.index("B01")]) > np.median(seen[BANDS.index("B04")])


def test_progress_reaches_the_end_and_never_goes_back(tmp_path):
    seen = []
    make_scene(tmp_path, size_px=256, monitor=Monitor(report=lambda fraction, message: seen.append(fraction)))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_cancelled_scene_leaves_no_raster_behind(tmp_path):
    reports = []
    monitor = Monitor(
        report=lambda fraction, message: reports.append(message), is_cancelled=lambda: "Observing B03" in reports
    )
    with pytest.raises(Cancelled):
        make_scene(tmp_path, size_px=256, monitor=monitor)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sizes", [(128, 64), (320, 128), (256, 4), (20000, 64)])
def test_impossible_sizes_are_refused(tmp_path, sizes):
    with pytest.raises(UsageError):
        make_scene(tmp_path, size_px=sizes[0], tile_px=sizes[1])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_imagery_error(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(ImageryError, match="could not be written"):
        make_scene(taken, size_px=256)
    assert taken.read_text() == "mine"


def test_sizes_that_no_tile_or_block_divides_work(tmp_path):
    scene = make_scene(tmp_path, size_px=333, tile_px=50, seed=5)
    with rasterio.open(scene.raster) as raster:
        assert raster.shape == (333, 333)
        assert (raster.read()[:, -1, -1] > 0).all()
    assert max(int(row["row"]) for row in rows_of(scene.truth_single)) == 5
