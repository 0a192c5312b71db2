"""The tiles for learners: the right pixels for every row, cut once, never half, never stale."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio

from quadrat.core.embedding import embed, load_embeddings
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.errors import Cancelled, ImageryError, ProjectError
from quadrat.core.monitor import Monitor
from quadrat.core.pixels import open_pixels
from quadrat.core.tiling import tile_rasters

from .raster_factory import make_raster
from .scene_factory import make_scene, new_project


@pytest.fixture
def project(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        yield project


def embedded(project, *rasters):
    tile_rasters(project, rasters)
    return embed(project, load_encoder("statistics"), "statistics")


def files(project):
    return sorted(file.name for file in (project.folder / "pixels").iterdir())


def test_each_row_has_the_pixels_of_its_tile_in_any_order(project, tmp_path):
    scenes = [make_scene(tmp_path, name=name, rows=2, cols=3, seed=seed) for seed, name in enumerate("ab")]
    embeddings = embedded(project, *(scene.raster for scene in scenes))
    pixels = open_pixels(project, embeddings)
    assert (len(pixels), pixels.bands) == (12, ("B02", "B03", "B04", "B08"))
    rows = np.array([11, 0, 7, 3, 7])
    found = pixels(rows)
    assert (found.dtype, found.shape) == (np.float32, (5, 4, 64, 64))
    tiles = {tile.tile_id: tile for tile in project.tiles()}
    for row, block in zip(rows, found, strict=True):
        tile = tiles[embeddings.tile_ids[row]]
        with rasterio.open(scenes[tile.raster_id - 1].raster) as source:
            window = ((tile.row * 64, tile.row * 64 + 64), (tile.col * 64, tile.col * 64 + 64))
            expected = source.read(window=window) / 10_000
        np.testing.assert_allclose(block, expected, rtol=1e-3)


def test_no_rows_are_no_pixels(project, tmp_path):
    embeddings = embedded(project, make_raster(tmp_path / "r.tif", bands=("B02", "B08")))
    assert open_pixels(project, embeddings)(np.empty(0, np.int64)).shape == (0, 2, 64, 64)


def test_rows_are_those_of_the_embeddings_and_excluded_tiles_have_none(project, tmp_path):
    values = np.full((1, 128, 192), 2000)
    values[:, 64:, 64:128] = 0
    embeddings = embedded(project, make_raster(tmp_path / "r.tif", bands=("B02",), values=values, nodata=0))
    pixels = open_pixels(project, embeddings)
    assert len(pixels) == len(embeddings.tile_ids) == 5
    np.testing.assert_allclose(pixels(np.arange(5)), 0.2, atol=1e-4)


def test_only_bands_that_all_rasters_have_are_read_in_sentinels_order(project, tmp_path):
    first = make_raster(tmp_path / "a.tif", bands=("B02", "B03", "B04"))
    second = make_raster(tmp_path / "b.tif", bands=("B04", "B08", "B02"), seed=1)
    pixels = open_pixels(project, embedded(project, first, second))
    assert pixels.bands == ("B02", "B04")
    with rasterio.open(second) as source:
        dn = source.read((3, 1), window=((0, 64), (0, 64)))
    np.testing.assert_allclose(pixels(np.array([6]))[0], dn / 10_000, rtol=1e-3)


def test_a_second_time_nothing_is_read(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    embeddings = embedded(project, raster)
    before = open_pixels(project, embeddings)(np.arange(6))
    raster.rename(tmp_path / "elsewhere.tif")
    np.testing.assert_array_equal(open_pixels(project, embeddings)(np.arange(6)), before)


def test_a_raster_that_is_away_or_changed_is_told(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", seed=1)
    embeddings = embedded(project, raster)
    raster.rename(tmp_path / "elsewhere.tif")
    with pytest.raises(ImageryError, match="not where it was"):
        open_pixels(project, embeddings)
    (tmp_path / "elsewhere.tif").rename(raster)
    open_pixels(project, embeddings)
    make_raster(raster, seed=2)
    with pytest.raises(ImageryError, match="changed since"):
        open_pixels(project, embeddings)


def test_files_of_an_earlier_version_are_removed(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", seed=1)
    open_pixels(project, embedded(project, raster))
    (before,) = files(project)
    make_raster(raster, seed=2)
    open_pixels(project, embedded(project, raster))
    (after,) = files(project)
    assert after != before


def test_embeddings_of_other_tiles_are_refused(project, tmp_path):
    embeddings = embedded(project, make_raster(tmp_path / "a.tif"))
    tile_rasters(project, [make_raster(tmp_path / "b.tif", seed=1)])
    with pytest.raises(ProjectError, match="no longer belong"):
        open_pixels(project, embeddings)


def test_a_cancelled_run_goes_on_where_it_stopped(project, tmp_path):
    embeddings = embedded(project, make_scene(tmp_path, rows=20, cols=20).raster)
    seen = []
    with pytest.raises(Cancelled):
        open_pixels(project, embeddings, Monitor(lambda fraction, text: seen.append(1), lambda: len(seen) > 2))
    assert any(name.endswith(".partial.npy") for name in files(project))
    reported = []
    resumed = open_pixels(project, embeddings, Monitor(report=lambda fraction, text: reported.append(fraction)))
    assert reported[0] > 0.1
    assert len(files(project)) == 1
    some = np.arange(0, 400, 37)
    before = resumed(some)
    shutil.rmtree(project.folder / "pixels")
    np.testing.assert_array_equal(open_pixels(project, embeddings)(some), before)


def test_numbers_beyond_half_precision_stay_finite(project, tmp_path):
    values = np.full((1, 64, 64), 0.1, np.float32)
    values[0, 0, 0] = 1e9
    raster = make_raster(tmp_path / "r.tif", bands=("B02",), values=values, dtype="float32")
    pixels = open_pixels(project, embedded(project, raster))
    assert np.isfinite(pixels(np.array([0]))).all()


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from quadrat.core.embedding import load_embeddings
from quadrat.core.errors import ProjectError
from quadrat.core.pixels import open_pixels
from quadrat.core.project.store import Project
with Project.open(sys.argv[1]) as project:
    embeddings = load_embeddings(project)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    try:
        open_pixels(project, embeddings)
    except ProjectError as error:
        print(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit")
def test_a_full_disk_is_an_error_and_not_a_crash(project, tmp_path):
    embedded(project, make_raster(tmp_path / "r.tif"))
    assert len(load_embeddings(project).tile_ids) == 6
    project.close()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, project.path], capture_output=True, text=True, check=False)
    assert "no room for the pixels" in done.stdout, done.stderr
