"""A dataset as an encoder sees it: computed once, gone on with, or a project's own."""

import shutil

import numpy as np
import pytest

from quadrat.core.embedding import embed, load_embeddings
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.errors import Cancelled
from quadrat.core.monitor import Monitor
from quadrat.core.project.store import Project
from quadrat.core.simulation.sources import open_dataset
from quadrat.core.simulation.vectors import embed_dataset

from .image_folders import heard, make_folder, save_picture, save_tiff
from .scene_factory import make_scene, tiled


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "set")


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path, rows=3, cols=4, seed=5)


def test_vectors_are_those_of_the_encoder_row_by_row(folder, tmp_path):
    found = open_dataset(folder)
    vectors = embed_dataset(found, "statistics", tmp_path / "work")
    encoder = load_encoder("statistics")
    expected = encoder.encode(found.tiles.read(np.arange(9)), found.tiles.bands).astype(np.float16)
    np.testing.assert_array_equal(vectors.matrix, expected)
    assert (vectors.matrix.dtype, vectors.encoder) == (np.float16, "statistics")


def test_vectors_that_are_there_are_not_computed_again(folder, tmp_path):
    found = open_dataset(folder)
    before = embed_dataset(found, "statistics", tmp_path / "work")
    shutil.rmtree(folder)
    again = embed_dataset(found, "statistics", tmp_path / "work")
    assert again.key == before.key
    np.testing.assert_array_equal(again.matrix, before.matrix)
    assert [file.name for file in (tmp_path / "work").iterdir()] == [f"{before.key}.npy"]


def test_other_images_have_other_vectors(folder, tmp_path):
    before = embed_dataset(open_dataset(folder), "statistics", tmp_path / "work")
    save_picture(folder / "town" / "town_1.png", 99)
    after = embed_dataset(open_dataset(folder), "statistics", tmp_path / "work")
    assert after.key != before.key
    assert np.flatnonzero((after.matrix != before.matrix).any(axis=1)).tolist() == [4]


def test_a_stopped_embedding_goes_on_after_the_last_block(tmp_path):
    found = open_dataset(make_folder(tmp_path / "set", each=100))
    told = []
    stopping = Monitor(report=lambda fraction, text: told.append(fraction), is_cancelled=lambda: len(told) > 1)
    with pytest.raises(Cancelled):
        embed_dataset(found, "statistics", tmp_path / "work", monitor=stopping)
    assert {file.suffix for file in (tmp_path / "work").iterdir()} == {".npy", ".json"}
    for index in range(100):  # their vectors are kept, so nobody looks at them again
        (tmp_path / "set" / "forest" / f"forest_{index}.png").unlink()
    resumed = embed_dataset(found, "statistics", tmp_path / "work")
    make_folder(tmp_path / "set", each=100)
    np.testing.assert_array_equal(resumed.matrix, embed_dataset(found, "statistics", tmp_path / "anew").matrix)


def test_the_best_encoder_at_hand_is_taken_and_told(folder, tmp_path):
    monitor, remarks = heard()
    vectors = embed_dataset(open_dataset(folder), "", tmp_path / "work", monitor=monitor)
    assert f"The encoder is {vectors.encoder}, the best that is at hand." in remarks


def test_vectors_that_are_not_finite_are_told_of(tmp_path):
    for number in range(6):
        values = np.full((1, 16, 16), 0.1 + number / 100, np.float32)
        values[0, 5, 5] = 1e6 if number == 4 else 0.1
        save_tiff(tmp_path / "set" / "ab"[number % 2] / f"{number}.tif", values, "float32", ("B04",))
    monitor, remarks = heard()
    vectors = embed_dataset(open_dataset(tmp_path / "set"), "statistics", tmp_path / "work", monitor=monitor)
    assert np.flatnonzero(~np.isfinite(vectors.matrix).all(axis=1)).tolist() == [2]
    assert remarks == ["Tiles whose vectors are not finite are never asked: 1 (a/4.tif)."]


@pytest.mark.parametrize("name", ["", "auto", "statistics"])
def test_a_project_has_its_own_vectors(scene, tmp_path, name):
    path = tiled(scene, tmp_path / "p.gpkg")
    with Project.open(path) as project:
        embed(project, load_encoder("statistics"), "statistics")
        own = load_embeddings(project).matrix.copy()
    scene.raster.unlink()
    found = open_dataset(path, truth=scene.truth)
    vectors = embed_dataset(found, name, tmp_path / "work")
    np.testing.assert_array_equal(vectors.matrix, own)
    assert not (tmp_path / "work").exists()


def test_other_vectors_of_a_project_are_made_of_its_tiles(scene, tmp_path):
    path = tiled(scene, tmp_path / "p.gpkg")
    found = open_dataset(path, truth=scene.truth)
    vectors = embed_dataset(found, "statistics", tmp_path / "work")
    with Project.open(path) as project:
        own = embed(project, load_encoder("statistics"), "statistics").matrix
    np.testing.assert_allclose(vectors.matrix, own, atol=2e-3)
