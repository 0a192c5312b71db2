"""What can be replayed, from real small files: what is read and what is refused."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from quadrat.core.errors import AnswerError, Cancelled, ImageryError, ProjectError, UsageError
from quadrat.core.images import WHITE
from quadrat.core.monitor import Monitor
from quadrat.core.simulation.sources import open_dataset
from quadrat.core.simulation.vectors import embed_dataset

from .image_folders import MS_BANDS, MULTI, heard, make_folder, make_table, pack, save_picture, save_tiff
from .raster_factory import cut_in_half
from .scene_factory import make_scene, new_project, tiled

EUROSAT_MS = Path(__file__).parents[3] / "shared" / "data" / "eurosat_ms100.zip"


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


@pytest.mark.real_data
@pytest.mark.skipif(not EUROSAT_MS.exists(), reason="needs the real imagery beside the repository")
def test_real_patches_of_13_bands(tmp_path):
    found = open_dataset(EUROSAT_MS, bands=MS_BANDS)
    assert (len(found), found.n_classes) == (100, 10)
    assert 0.05 < found.tiles.read(np.arange(100)).mean() < 0.4
    assert embed_dataset(found, "statistics", tmp_path).matrix.shape == (100, 52)
