"""What can be replayed, from real small files: what is read, what is refused, what an encoder sees."""

import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from quadrat.core.embedding import embed, load_embeddings
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.errors import AnswerError, Cancelled, ImageryError, ProjectError, UsageError
from quadrat.core.images import WHITE
from quadrat.core.monitor import Monitor
from quadrat.core.project.store import Project
from quadrat.core.simulation.sources import open_dataset
from quadrat.core.simulation.vectors import embed_dataset
from quadrat.core.tiling import tile_rasters

from .raster_factory import cut_in_half
from .scene_factory import make_scene, new_project

MULTI = "filename,trees,water,roads\n0.png,1,0,0\n1.png,1,1,0\n2.png,0,0,0\n3.png,0,1,0\n"
EUROSAT_MS = Path(__file__).parents[3] / "shared" / "data" / "eurosat_ms100.zip"
MS_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]


def save_picture(path, seed, level=60):
    """Noise of its own for each seed, about as bright as ``level``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(level - 9, level + 9, (16, 16, 3))
    Image.fromarray(levels.astype(np.uint8)).save(path)


def save_tiff(path, values, dtype="uint16", descriptions=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=dtype) as target:
        target.write(values.astype(dtype))
        if descriptions:
            target.descriptions = descriptions


def make_folder(folder, classes=("forest", "town", "water"), each=3, start=0):
    for number, name in enumerate(classes):
        for index in range(each):
            save_picture(folder / name / f"{name}_{start + index}.png", 1000 * start + 10 * number + index, 60 + number)
    return folder


def make_table(folder, table=MULTI, start=0):
    for index in range(4):
        save_picture(folder / "images" / f"{index}.png", start + index)
    (folder / "labels.csv").write_text(table)
    return folder


def pack(folder):
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return packed


def heard():
    """A monitor, and the remarks that it hears."""
    remarks = []
    return Monitor(remark=lambda level, text: remarks.append(text)), remarks


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "set")


# Images


def test_a_folder_of_classes_is_single_label(folder):
    found = open_dataset(folder)
    assert (found.name, found.mode, found.classes) == ("set", "single", ("forest", "town", "water"))
    assert found.targets.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert found.names[3] == "town/town_0.png"
    assert found.test is None
    assert found.tiles.bands == ("B04", "B03", "B02")


def test_images_are_read_in_any_order_and_size(folder):
    tiles = open_dataset(folder).tiles
    pixels = tiles.read(np.array([7, 0, 7]))
    assert (pixels.dtype, pixels.shape) == (np.float32, (3, 3, 16, 16))
    with Image.open(folder / "water" / "water_1.png") as picture:
        expected = np.asarray(picture).transpose(2, 0, 1) * WHITE / 255
    np.testing.assert_allclose(pixels[0], expected, rtol=1e-5)
    assert (pixels[0] == pixels[2]).all()
    assert tiles.read(np.array([1]), 8).shape == (1, 3, 8, 8)
    assert tiles.read(np.empty(0, np.int64)).shape == (0, 3, 16, 16)


def test_a_zip_stays_packed_and_is_the_same_dataset(folder):
    packed = pack(folder)
    plain = open_dataset(folder)
    shutil.rmtree(folder)
    zipped = open_dataset(str(packed))
    assert zipped.fingerprint == plain.fingerprint
    assert zipped.tiles.read(np.arange(9)).shape == (9, 3, 16, 16)
    assert list(packed.parent.iterdir()) == [packed]


def test_a_table_is_multi_label_and_classes_that_nothing_has_are_left_out(tmp_path):
    monitor, remarks = heard()
    found = open_dataset(make_table(tmp_path / "set"), monitor=monitor)
    assert (found.mode, found.classes) == ("multi", ("trees", "water"))
    assert found.targets.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]
    assert remarks == ["Classes that no tile has are left out: roads."]


def test_tiff_files_have_all_their_bands(tmp_path):
    for number in range(4):
        save_tiff(tmp_path / "set" / "ab"[number % 2] / f"{number}.tif", np.full((13, 16, 16), 1000 + number))
    found = open_dataset(tmp_path / "set", bands=MS_BANDS)
    assert found.tiles.bands == tuple(MS_BANDS)
    np.testing.assert_allclose(found.tiles.read(np.array([1])), 0.1002, rtol=1e-5)


def test_tiff_pictures_are_pictures(tmp_path):
    for number in range(4):
        save_tiff(tmp_path / "set" / "ab"[number % 2] / f"{number}.tif", np.full((3, 16, 16), 50 + number), "uint8")
    found = open_dataset(tmp_path / "set")
    assert found.tiles.bands == ("B04", "B03", "B02")
    np.testing.assert_allclose(found.tiles.read(np.array([1])), 52 * WHITE / 255, rtol=1e-5)


def test_a_dataset_travels_to_another_process_although_its_zip_is_open(folder):
    found = open_dataset(pack(folder))
    expected = found.tiles.read(np.arange(4))
    assert (pickle.loads(pickle.dumps(found)).tiles.read(np.arange(4)) == expected).all()


def test_the_fingerprint_changes_with_an_image_and_with_a_label(folder):
    before = open_dataset(folder).fingerprint
    assert open_dataset(folder).fingerprint == before
    save_picture(folder / "town" / "town_1.png", 99)
    changed = open_dataset(folder).fingerprint
    (folder / "town" / "town_1.png").rename(folder / "forest" / "town_1.png")
    assert len({before, changed, open_dataset(folder).fingerprint}) == 3


def test_opening_can_be_stopped(folder):
    with pytest.raises(Cancelled):
        open_dataset(folder, monitor=Monitor(is_cancelled=lambda: True))


# A test set of its own


def test_a_test_folder_is_appended_and_marked(folder, tmp_path):
    make_folder(tmp_path / "test", ("town", "water"), 2, start=7)
    found = open_dataset(folder, test=pack(tmp_path / "test"))
    assert found.test.tolist() == [False] * 9 + [True] * 4
    assert found.classes == ("forest", "town", "water")
    assert found.targets[9:].tolist() == [1, 1, 2, 2]
    assert len(set(found.names)) == 13
    assert found.names[9] == "test:test/town/town_7.png"
    alone = open_dataset(tmp_path / "test")
    assert (found.tiles.read(np.array([10, 2]))[0] == alone.tiles.read(np.array([1]))[0]).all()
    assert found.fingerprint != open_dataset(folder).fingerprint


def test_tables_are_joined_by_the_names_of_their_columns(tmp_path):
    table = "filename,trees,water,roads\n0.png,1,0,0\n1.png,1,1,0\n2.png,0,0,1\n3.png,0,1,1\n"
    turned = "filename,water,trees,roads\n0.png,1,0,0\n1.png,1,0,0\n2.png,0,1,0\n3.png,0,0,0\n"
    found = open_dataset(make_table(tmp_path / "pool", table), test=make_table(tmp_path / "test", turned, 9))
    assert found.classes == ("trees", "water", "roads")
    assert found.targets[4:].tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_a_class_that_only_the_test_set_has_is_refused(folder, tmp_path):
    test = make_folder(tmp_path / "test", ("town", "desert", "ice"), 2, start=7)
    with pytest.raises(UsageError, match="no tile of the pool has: desert, ice"):
        open_dataset(folder, test=test)


def test_a_test_table_must_know_all_classes(tmp_path):
    pool = make_table(tmp_path / "pool")
    test = make_table(tmp_path / "test", "filename,trees\n0.png,1\n1.png,1\n2.png,0\n3.png,1\n", 9)
    with pytest.raises(UsageError, match="all classes") as caught:
        open_dataset(pool, test=test)
    assert caught.value.details == "roads\nwater"


def test_an_image_in_both_sets_is_refused(folder, tmp_path):
    test = make_folder(tmp_path / "test", each=2, start=7)
    for name in ("water_0.png", "water_2.png"):
        shutil.copy(folder / "water" / name, test / "water" / name)
    with pytest.raises(UsageError, match="2 images of the test set") as caught:
        open_dataset(pack(folder), test=test)
    assert caught.value.details == "water/water_0.png\nwater/water_2.png"


def test_the_same_name_alone_or_the_same_content_alone_is_no_error(folder, tmp_path):
    test = make_folder(tmp_path / "test", each=2, start=7)
    save_picture(test / "water" / "water_0.png", 123)
    shutil.copy(folder / "water" / "water_1.png", test / "water" / "other.png")
    monitor, remarks = heard()
    assert len(open_dataset(folder, test=test, monitor=monitor)) == 9 + 6 + 2
    assert len(remarks) == 1
    assert remarks[0].startswith("1 image has the same content")


def test_a_test_set_of_another_kind_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match=r"labels\.csv"):
        open_dataset(folder, test=make_table(tmp_path / "table"))
    for number in range(4):
        place = tmp_path / "tiff" / ("forest", "town")[number % 2] / f"{number}.tif"
        save_tiff(place, np.full((2, 16, 16), 1000 + number), descriptions=("B08", "B8A"))
    with pytest.raises(UsageError, match="B08, B8A"):
        open_dataset(folder, test=tmp_path / "tiff")


# Damaged images


def damage(folder):
    (folder / "water" / "water_2.png").write_bytes(b"no image")
    cut_in_half(folder / "forest" / "forest_0.png")


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_images_are_listed_and_left_out_only_if_asked(folder, packed):
    damage(folder)
    source = pack(folder) if packed else folder
    with pytest.raises(ImageryError, match="2 images cannot be read") as caught:
        open_dataset(source)
    assert "--skip-bad" in caught.value.hint
    assert [line.partition(": ")[0].split("/")[-1] for line in caught.value.details.splitlines()] == [
        "forest_0.png",
        "water_2.png",
    ]
    monitor, remarks = heard()
    found = open_dataset(source, skip_bad=True, monitor=monitor)
    assert found.targets.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert remarks[0].startswith("2 images that cannot be read are left out")
    assert found.tiles.read(np.arange(7)).shape == (7, 3, 16, 16)


def test_of_many_damaged_images_ten_are_named(tmp_path):
    folder = make_folder(tmp_path / "set", each=6)
    for path in folder.rglob("*.png"):
        cut_in_half(path)
    with pytest.raises(ImageryError, match="18 images") as caught:
        open_dataset(folder)
    assert len(caught.value.details.splitlines()) == 11
    assert caught.value.details.endswith("... and 8 more")
    with pytest.raises(ImageryError, match="No image"):
        open_dataset(folder, skip_bad=True)


def test_damaged_tiff_files_and_pixels_that_are_no_numbers_are_found(tmp_path):
    for number in range(8):
        values = np.full((1, 64, 64), 0.1 + number / 100, np.float32)
        values[0, 5, 5] = np.nan if number == 3 else 0.1
        save_tiff(tmp_path / "set" / "ab"[number % 2] / f"{number}.tif", values, "float32", ("B04",))
    (tmp_path / "set" / "a" / "0.tif").write_bytes(b"")
    cut_in_half(tmp_path / "set" / "b" / "1.tif")
    with pytest.raises(ImageryError, match="3 images"):
        open_dataset(tmp_path / "set")
    assert len(open_dataset(tmp_path / "set", skip_bad=True)) == 5


def test_images_are_looked_at_again_only_if_a_file_is_another(folder, tmp_path):
    notes = tmp_path / "notes"
    before = open_dataset(folder, notes=notes)
    path = folder / "water" / "water_2.png"
    state = path.stat()
    path.write_bytes(b"?" * state.st_size)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert open_dataset(folder, notes=notes).fingerprint == before.fingerprint
    os.utime(path)
    with pytest.raises(ImageryError, match="1 image cannot"):
        open_dataset(folder, notes=notes)
    for note in notes.iterdir():
        note.write_text("{")
    with pytest.raises(ImageryError, match="1 image cannot"):
        open_dataset(folder, notes=notes)


# What is refused


def test_images_without_classes_are_refused(tmp_path):
    save_picture(tmp_path / "flat" / "a.png", 1)
    save_picture(tmp_path / "flat" / "b.png", 2)
    with pytest.raises(UsageError, match="two or more classes"):
        open_dataset(tmp_path / "flat")
    with pytest.raises(UsageError, match="fewer than two classes"):
        open_dataset(make_table(tmp_path / "one", "filename,a\n0.png,1\n1.png,1\n2.png,0\n3.png,1\n"))


def test_an_image_beside_the_folders_of_classes_is_no_class_of_its_own(folder):
    save_picture(folder / "overview.png", 1)
    save_picture(folder / "legend.png", 2)
    with pytest.raises(UsageError, match=r"2 images of .* beside the folders") as caught:
        open_dataset(folder)
    assert "overview.png" in caught.value.details


def test_empty_folders_and_tables_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageryError, match="no images"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(ImageryError, match="no folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(ImageryError, match="does not fit") as caught:
        open_dataset(make_table(tmp_path / "table", MULTI + "9.png,0,0,0\n"))
    assert "9.png" in caught.value.details


def test_a_class_with_a_single_image_is_refused_or_told_of(folder, tmp_path):
    save_picture(folder / "ice" / "ice.png", 77)
    with pytest.raises(UsageError, match=r"single tile.*: ice"):
        open_dataset(folder)
    monitor, remarks = heard()
    open_dataset(make_table(tmp_path / "table", MULTI.replace("3.png,0,1,0", "3.png,0,1,1")), monitor=monitor)
    assert remarks == ["Classes that a single tile has are either learnt or tested: roads."]


def test_options_of_another_kind_of_source_are_refused(folder, tmp_path):
    with pytest.raises(UsageError) as caught:
        open_dataset(folder, truth=tmp_path / "t.csv")
    assert "--truth" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        open_dataset(tmp_path / "p.gpkg", test=folder, bands=["B02"])
    assert caught.value.hint == "Leave out --test and --bands."
    with pytest.raises(UsageError, match="really show"):
        open_dataset(tmp_path / "p.gpkg")


# Projects


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path, rows=3, cols=4, seed=5)


def tiled(scene, path, mode="single"):
    with new_project(path, mode) as project:
        tile_rasters(project, [scene.raster])
    return path


def test_a_project_is_replayed_with_its_truth(scene, tmp_path):
    lines = [f"{row},{col},{label}" for (row, col), label in scene.labels.items()][:-2]
    (tmp_path / "t.csv").write_text("\n".join(["row,col,label", *lines, "2,2,unsure", "9,9,Town"]))
    monitor, remarks = heard()
    found = open_dataset(tiled(scene, tmp_path / "p.gpkg"), truth=tmp_path / "t.csv", monitor=monitor)
    assert (found.name, found.mode, found.test) == ("p", "single", None)
    assert found.names == tuple(str(number) for number in range(1, 11))
    assert [found.classes[target] for target in found.targets] == list(scene.labels.values())[:-2]
    assert any("2 of 12 tiles" in text for text in remarks)
    assert "Lines of t.csv about tiles that the project does not have: 1." in remarks
    pixels = found.tiles.read(np.array([5, 0]))
    with rasterio.open(scene.raster) as source:
        expected = source.read(window=((64, 128), (64, 128))) / 10_000
    np.testing.assert_allclose(pixels[0], expected, rtol=1e-3)
    assert found.tiles.read(np.array([1]), 32).shape == (1, 4, 32, 32)
    sent = pickle.dumps(found)
    assert len(sent) < 10_000
    assert (pickle.loads(sent).tiles.read(np.array([5, 0])) == pixels).all()


def test_a_tile_of_a_project_may_have_several_classes_or_none(scene, tmp_path):
    path = tiled(scene, tmp_path / "p.gpkg", "multi")
    (tmp_path / "t.csv").write_text("tile_id,label\n1,Water;Town\n3,none\n2,Town\n4,skip\n5,Water\n")
    found = open_dataset(path, truth=tmp_path / "t.csv")
    assert (found.mode, found.classes, found.names) == ("multi", ("Water", "Town"), ("1", "2", "3", "5"))
    assert found.targets.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]


def test_a_truth_that_answers_nothing_and_a_project_without_tiles_are_refused(scene, tmp_path):
    (tmp_path / "t.csv").write_text("tile_id,label\n1,skip\n")
    with pytest.raises(AnswerError, match="answers no tile"):
        open_dataset(tiled(scene, tmp_path / "p.gpkg"), truth=tmp_path / "t.csv")
    new_project(tmp_path / "empty.gpkg").close()
    with pytest.raises(ProjectError, match="no tiles"):
        open_dataset(tmp_path / "empty.gpkg", truth=scene.truth)


# Vectors


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


# torchgeo


def torchgeo_splits(root, prefix, ending, names):
    """The files that say which image is in which split: the n-th of each class in the n-th split."""
    for number, split in enumerate(("train", "val", "test")):
        text = "".join(f"{name}_{number}.{ending}\n" for name in names)
        (root / f"{prefix}-{split}.txt").write_text(text)


@pytest.fixture
def torchgeo():
    return pytest.importorskip("torchgeo.datasets")


@pytest.fixture
def eurosat(torchgeo, tmp_path):
    for place, name in enumerate(("Forest", "River")):
        for number in range(3):
            path = tmp_path / torchgeo.EuroSAT.base_dir / name / f"{name}_{number}.tif"
            save_tiff(path, 1000 * place + 100 * number + np.arange(13)[:, None, None] + np.zeros((13, 64, 64)))
    torchgeo_splits(tmp_path, "eurosat", "jpg", ("Forest", "River"))
    return tmp_path


def test_eurosat_of_torchgeo_has_all_splits_and_bands(eurosat):
    found = open_dataset("torchgeo:EuroSAT", root=eurosat)
    assert (found.mode, found.classes) == ("single", ("Forest", "River"))
    assert found.names == ("train/0", "train/1", "val/0", "val/1", "test/0", "test/1")
    assert found.targets.tolist() == [0, 1, 0, 1, 0, 1]
    assert found.test.tolist() == [False] * 4 + [True] * 2
    assert found.tiles.bands == tuple(MS_BANDS)
    pixels = found.tiles.read(np.array([3, 0]))
    assert pixels.shape == (2, 13, 64, 64)
    np.testing.assert_allclose(pixels[0, :, 0, 0], (1100 + np.arange(13)) / 10_000, rtol=1e-5)
    assert (pickle.loads(pickle.dumps(found)).tiles.read(np.array([3, 0])) == pixels).all()


def test_a_damaged_image_of_torchgeo_is_left_out_if_asked(eurosat):
    (eurosat / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/River/River_1.tif").write_bytes(b"")
    with pytest.raises(ImageryError, match="cannot be read"):
        open_dataset("torchgeo:EuroSAT", root=eurosat)
    # A third image of the class, in the training split.
    path = eurosat / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/River/River_7.tif"
    save_tiff(path, np.full((13, 64, 64), 500))
    with (eurosat / "eurosat-train.txt").open("a") as file:
        file.write("River_7.jpg\n")
    monitor, remarks = heard()
    found = open_dataset("torchgeo:EuroSAT", root=eurosat, skip_bad=True, monitor=monitor)
    assert found.names == ("train/0", "train/1", "train/2", "val/0", "test/0", "test/1")
    assert remarks[0].startswith("Images that cannot be read are left out, 1:")


def test_pictures_of_torchgeo_are_levels(torchgeo, tmp_path):
    for number in range(3):
        for name in ("beach", "harbor"):
            save_picture(tmp_path / torchgeo.UCMerced.base_dir / name / f"{name}_{number}.tif", number)
    torchgeo_splits(tmp_path, "uc_merced", "tif", ("beach", "harbor"))
    found = open_dataset("torchgeo:UCMerced", root=tmp_path)
    assert found.tiles.bands == ("B04", "B03", "B02")
    assert found.classes == ("beach", "harbor")
    pixels = found.tiles.read(np.arange(6))
    assert pixels.shape == (6, 3, 256, 256)
    np.testing.assert_allclose(pixels.mean(), 60 * WHITE / 255, rtol=0.05)


def test_sets_of_classes_of_torchgeo_are_multi_label(torchgeo, tmp_path):
    names = {"train": ["Sea and ocean", "Vineyards"], "val": ["Vineyards"], "test": ["Sea and ocean"]}
    bands = [name for name in sorted(MS_BANDS) if name != "B10"]
    for split, labels in names.items():
        for number in range(2):
            patch, radar = f"S2_{split}_{number}", f"S1_{split}_{number}"
            for band in bands:
                save_tiff(
                    tmp_path / "BigEarthNet-v1.0" / patch / f"{patch}_{band}.tif",
                    np.full((1, 12, 12), 100 * (1 + bands.index(band))),
                )
            labels_file = tmp_path / "BigEarthNet-v1.0" / patch / f"{patch}_labels_metadata.json"
            labels_file.write_text(json.dumps({"labels": labels}))
            with (tmp_path / f"bigearthnet-{split}.csv").open("a") as file:
                file.write(f"{patch},{radar}\n")
    found = open_dataset("torchgeo:BigEarthNet", root=tmp_path)
    assert (found.mode, found.classes) == ("multi", ("Permanent crops", "Marine waters"))
    assert found.targets.tolist() == [[1, 1], [1, 1], [1, 0], [1, 0], [0, 1], [0, 1]]
    assert found.test.tolist() == [False] * 4 + [True] * 2
    assert found.tiles.bands == ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
    pixels = found.tiles.read(np.array([0]))
    assert pixels.shape == (1, 12, 120, 120)
    assert pixels[0, found.tiles.bands.index("B02"), 0, 0] == pytest.approx(100 * (1 + bands.index("B02")) / 10_000)


def test_what_torchgeo_does_not_have_or_find_is_told(torchgeo, tmp_path):
    with pytest.raises(UsageError) as caught:
        open_dataset("torchgeo:EuroSet", root=tmp_path)
    assert "EuroSAT" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        open_dataset("torchgeo:EuroSAT")
    assert "--root" in caught.value.hint
    with pytest.raises(ImageryError, match="does not lie in") as missing:
        open_dataset("torchgeo:EuroSAT", root=tmp_path)
    assert "Dataset not found" in missing.value.details
    assert not list(tmp_path.iterdir())


def test_without_torchgeo_its_datasets_say_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchgeo", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        open_dataset("torchgeo:EuroSAT", root=tmp_path)
    assert "pip install" in caught.value.hint


@pytest.mark.real_data
@pytest.mark.skipif(not EUROSAT_MS.exists(), reason="needs the real imagery beside the repository")
def test_real_patches_of_13_bands(tmp_path):
    found = open_dataset(EUROSAT_MS, bands=MS_BANDS)
    assert (len(found), found.n_classes) == (100, 10)
    assert 0.05 < found.tiles.read(np.arange(100)).mean() < 0.4
    assert embed_dataset(found, "statistics", tmp_path).matrix.shape == (100, 52)
