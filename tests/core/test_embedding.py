"""The pool matrix: the right vector in the right row, made once, never half, never stale."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from quadrat.core.embedding import choose_encoder, embed, load_embeddings
from quadrat.core.encoders.base import Encoder, EncoderCard
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.encoders.spec import save_encoder
from quadrat.core.encoders.statistics import StatisticsEncoder
from quadrat.core.errors import Cancelled, EncoderError, ImageryError, ProjectError, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.project.store import Project
from quadrat.core.tiling import TilingOptions, tile_rasters

from .encoder_files import network_state, spec_of
from .raster_factory import make_raster
from .scene_factory import make_scene, new_project


class CountingEncoder(StatisticsEncoder):
    """The real encoder, counting its tiles."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def _forward(self, reflectance):
        self.count += len(reflectance)
        return super()._forward(reflectance)


@pytest.fixture
def project(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        yield project


@pytest.fixture
def tiled(project, tmp_path):
    scene = make_scene(tmp_path, rows=20, cols=20)
    tile_rasters(project, [scene.raster], TilingOptions(validation=0.2))
    return project


def do_embed(project, encoder: Encoder | None = None, **options):
    return embed(project, encoder or load_encoder("statistics"), "statistics", **options)


def test_each_row_is_the_vector_of_its_tile(tiled):
    made = do_embed(tiled)
    record = tiled.rasters()[0]
    with rasterio.open(record.path) as source:
        dn = source.read().astype(np.float64)
    tiles = [tile for tile in tiled.tiles() if tile.role != "excluded"]
    assert made.tile_ids.tolist() == [tile.tile_id for tile in tiles]
    for row, tile in list(enumerate(tiles))[::37]:
        pixels = dn[:, tile.row * 64 : tile.row * 64 + 64, tile.col * 64 : tile.col * 64 + 64] / 10_000
        np.testing.assert_allclose(made.matrix[row, :4], pixels.mean(axis=(1, 2)), rtol=2e-3)


def test_vectors_are_half_precision_and_mapped_from_the_file(tiled):
    made = do_embed(tiled)
    assert made.matrix.dtype == np.float16
    assert isinstance(made.matrix, np.memmap)


def test_several_rasters_follow_each_other_in_the_order_of_their_tiles(project, tmp_path):
    scenes = [make_scene(tmp_path, name=name, rows=2, cols=3, seed=seed) for seed, name in enumerate("ab")]
    tile_rasters(project, [scene.raster for scene in scenes])
    made = do_embed(project)
    assert made.tile_ids.tolist() == list(range(1, 13))
    with new_project(tmp_path / "q.gpkg") as other:
        tile_rasters(other, [scenes[1].raster])
        np.testing.assert_array_equal(do_embed(other).matrix, made.matrix[6:])


def test_only_bands_that_all_rasters_have_are_used(project, tmp_path):
    first = make_raster(tmp_path / "a.tif", bands=("B02", "B03", "B04"))
    second = make_raster(tmp_path / "b.tif", bands=("B04", "B08", "B02"), seed=1)
    tile_rasters(project, [first, second])
    made = do_embed(project)
    assert made.matrix.shape == (12, 8)
    with rasterio.open(second) as source:
        dn = source.read(1, window=((0, 64), (0, 64)))
    assert made.matrix[6, 1] == pytest.approx(dn.mean() / 10_000, rel=2e-3)


def test_rasters_without_a_common_band_are_refused(project, tmp_path):
    rasters = [make_raster(tmp_path / f"{band}.tif", bands=(band,)) for band in ("B02", "B08")]
    tile_rasters(project, rasters)
    with pytest.raises(UsageError, match="no band in common"):
        do_embed(project)


def test_scale_and_offset_of_the_project_are_applied(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", values=3000.0)
    tile_rasters(project, [raster], TilingOptions(offset=-1000.0))
    assert do_embed(project).matrix[0, 0] == pytest.approx(0.2, rel=1e-3)


def test_embedding_again_computes_nothing(tiled):
    do_embed(tiled)
    encoder = CountingEncoder()
    do_embed(tiled, encoder)
    assert encoder.count == 0


def test_a_cancelled_run_goes_on_where_it_stopped(tiled):
    seen = []
    stopping = Monitor(report=lambda fraction, text: seen.append(fraction), is_cancelled=lambda: len(seen) > 2)
    with pytest.raises(Cancelled):
        do_embed(tiled, monitor=stopping)
    assert list((tiled.folder / "embeddings").glob("*.partial.npy"))
    with pytest.raises(ProjectError):
        load_embeddings(tiled)
    encoder = CountingEncoder()
    resumed = do_embed(tiled, encoder).matrix.copy()
    assert 0 < encoder.count < 400
    shutil.rmtree(tiled.folder)
    np.testing.assert_array_equal(do_embed(tiled).matrix, resumed)


def test_a_killed_run_goes_on_with_the_chunk_after_the_last_finished_one(tiled):
    tiled.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, tiled.path], capture_output=True, text=True, check=False)
    assert killed.returncode == 9, killed.stderr
    with Project.open(tiled.path) as project:
        (progress,) = (project.folder / "embeddings").glob("*.partial.json")
        finished = json.loads(progress.read_text())["tiles"]
        encoder = CountingEncoder()
        resumed = do_embed(project, encoder).matrix.copy()
        assert encoder.count == len(resumed) - finished < len(resumed)
        shutil.rmtree(project.folder)
        np.testing.assert_array_equal(do_embed(project).matrix, resumed)


KILLED = """
import os, sys
from quadrat.core.embedding import embed
from quadrat.core.encoders.statistics import StatisticsEncoder
from quadrat.core.project.store import Project
class Killed(StatisticsEncoder):
    chunks = 0
    def _forward(self, reflectance):
        self.chunks += 1
        if self.chunks > 3:
            os._exit(9)
        return super()._forward(reflectance)
with Project.open(sys.argv[1]) as project:
    embed(project, Killed(), "statistics")
"""


def test_only_the_bands_of_the_encoder_are_read_and_come_in_its_order(project, tmp_path):
    class Choosy(CountingEncoder):
        def __init__(self, bands, stand_ins):
            super().__init__()
            self.card = EncoderCard("choosy", bands, f"choosy-{bands}", stand_ins=stand_ins)
            self.given = set()

        def encode(self, reflectance, bands):
            self.given.add(bands)
            return super().encode(reflectance, bands)

    raster = make_raster(tmp_path / "r.tif", bands=("B02", "B03", "B04", "B08"))
    tile_rasters(project, [raster])
    whole = do_embed(project).matrix.copy()
    swapped = Choosy(("B04", "B02"), {})
    made = do_embed(project, swapped).matrix
    assert swapped.given == {("B04", "B02")}
    np.testing.assert_array_equal(made[:, :2], whole[:, [2, 0]])
    completed = Choosy(("B10", "B8A", "B03"), {"B10": 0.5, "B8A": "B08"})
    made = do_embed(project, completed).matrix
    assert completed.given == {("B08", "B03")}
    np.testing.assert_array_equal(made[:, 1:3], whole[:, [3, 1]])
    assert (made[:, 0] == 0.5).all()
    blind = Choosy(("B10",), {"B10": 0.25})
    assert (do_embed(project, blind).matrix[:, 0] == 0.25).all()


def test_how_a_network_computes_is_remarked_once_when_there_is_something_to_compute(tiled):
    class Remarkable(StatisticsEncoder):
        remark = "It computes in its own way."

    said = []
    monitor = Monitor(remark=lambda level, message: said.append(message))
    do_embed(tiled, Remarkable(), monitor=monitor)
    do_embed(tiled, Remarkable(), monitor=monitor)
    assert said == ["It computes in its own way."]


def test_losing_the_folder_loses_nothing_but_time(tiled):
    before = do_embed(tiled).matrix.copy()
    shutil.rmtree(tiled.folder)
    with pytest.raises(ProjectError, match="missing or out of date") as caught:
        load_embeddings(tiled)
    assert "quadrat embed" in caught.value.hint
    np.testing.assert_array_equal(do_embed(tiled).matrix, before)


def test_a_progress_file_that_is_damaged_only_costs_a_fresh_start(tiled):
    expected = do_embed(tiled).matrix.copy()
    (file,) = (tiled.folder / "embeddings").glob("*.npy")
    file.rename(file.with_suffix(".partial.npy"))
    file.with_suffix(".partial.json").write_text("{")
    np.testing.assert_array_equal(do_embed(tiled).matrix, expected)


def test_a_raster_changed_since_is_told_and_then_embedded_anew(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif", seed=1)
    tile_rasters(project, [raster])
    before = do_embed(project).matrix.copy()
    make_raster(raster, seed=2)
    with pytest.raises(ImageryError, match="changed since") as caught:
        load_embeddings(project)
    assert "quadrat tile" in caught.value.hint
    with pytest.raises(ImageryError, match="changed since"):
        do_embed(project)
    tile_rasters(project, [raster])
    assert not np.array_equal(do_embed(project).matrix, before)
    assert len(list((project.folder / "embeddings").glob("*.npy"))) == 1


def test_a_raster_only_touched_is_not_changed(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    tile_rasters(project, [raster])
    do_embed(project)
    os.utime(raster, ns=(1, 1))
    assert len(load_embeddings(project).tile_ids) == 6


def test_a_raster_that_is_away_matters_to_embed_but_not_to_what_comes_after(project, tmp_path):
    raster = make_raster(tmp_path / "r.tif")
    tile_rasters(project, [raster])
    do_embed(project)
    raster.rename(tmp_path / "elsewhere.tif")
    assert len(load_embeddings(project).tile_ids) == 6
    shutil.rmtree(project.folder)
    with pytest.raises(ImageryError, match="not where it was") as caught:
        do_embed(project)
    assert str(raster) in caught.value.details


def test_too_few_bands_for_the_encoder_are_told_before_anything_is_read(project, tmp_path):
    class NearInfrared(StatisticsEncoder):
        def __init__(self):
            super().__init__()
            self.card = type(self.card)("nir", ("B08",), "nir-1")

    tile_rasters(project, [make_raster(tmp_path / "r.tif")])
    with pytest.raises(EncoderError, match="needs B08"):
        do_embed(project, NearInfrared())
    assert project.setting("encoder") is None


def test_two_encoders_live_side_by_side(tiled):
    class Other(StatisticsEncoder):
        def __init__(self):
            super().__init__()
            self.card = type(self.card)("other", None, "other-1")

    do_embed(tiled)
    assert do_embed(tiled, Other()).encoder == "other"
    assert json.loads(tiled.setting("encoder"))["name"] == "other"
    encoder = CountingEncoder()
    do_embed(tiled, encoder)
    assert encoder.count == 0


def test_nodata_pixels_do_not_pull_the_statistics_down(project, tmp_path):
    values = np.full((1, 64, 64), 2000)
    values[:, :6, :] = 0
    raster = make_raster(tmp_path / "r.tif", bands=("B02",), values=values)
    tile_rasters(project, [raster])
    np.testing.assert_allclose(do_embed(project).matrix[0], [0.2, 0.0, 0.2, 0.2], atol=1e-4)


def test_nothing_to_embed_is_told(project):
    with pytest.raises(ProjectError, match="no tiles yet"):
        do_embed(project)


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from quadrat.core.embedding import embed
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.errors import ProjectError
from quadrat.core.project.store import Project
with Project.open(sys.argv[1]) as project:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    try:
        embed(project, load_encoder("statistics"), "statistics")
    except ProjectError as error:
        print(error.message, "|", error.hint)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit")
def test_a_full_disk_is_an_error_and_not_a_crash(tiled):
    tiled.close()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tiled.path], capture_output=True, text=True, check=False)
    assert "no room for the embeddings" in done.stdout, done.stderr
    assert "Free some space" in done.stdout


def test_an_encoder_file_beside_the_project_is_found_after_both_were_moved(tmp_path):
    folder = tmp_path / "before"
    folder.mkdir()
    raster = make_scene(folder).raster
    project = new_project(folder / "p.gpkg")
    tile_rasters(project, [raster])
    spec = spec_of(folder / "p.quadrat" / "encoders" / "mine.safetensors", bands=("B02", "B03", "B04"))
    save_encoder(spec.weights, network_state(), spec)
    with project:
        name = choose_encoder(project, str(spec.weights))
        embed(project, load_encoder(name), name)
        path = project.path.name
    folder.rename(tmp_path / "after")
    with Project.open(tmp_path / "after" / path) as moved:
        name = choose_encoder(moved, "auto")
        assert Path(name) == tmp_path / "after" / "p.quadrat" / "encoders" / "mine.safetensors"
        assert load_encoder(name).card.name == "random"
