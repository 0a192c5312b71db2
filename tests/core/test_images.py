"""Folders and zips of labelled images: what is in them, what is refused."""

import zipfile

import numpy as np
import pytest
import rasterio
from PIL import Image

from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.images import WHITE, open_images
from quadrat.core.monitor import SILENT

MULTI = "filename,trees,water\n0.jpg,1,0\n1.jpg,1,1\n2.jpg,0,0\n"


def save_picture(path, levels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40, 3), levels, np.uint8)).save(path)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "set"
    for kind, level in (("forest", 40), ("water", 10)):
        for index in range(3):
            save_picture(folder / kind / f"{kind}_{index}.png", level + index)
    return folder


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "multi"
    for index in range(3):
        save_picture(folder / "images" / f"{index}.jpg", 50)
    (folder / "labels.csv").write_text(MULTI)
    return folder


def pack(folder):
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder.parent))
    return packed


def test_folders_are_classes_and_levels_are_reflectance(pictures):
    images = open_images(pictures)
    assert images.classes == ("forest", "water")
    assert images.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.bands == ("B04", "B03", "B02")
    assert images.read(1).shape == (3, 40, 40)
    np.testing.assert_allclose(images.read(1), 41 * WHITE / 255, rtol=1e-6)


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_a_zip_is_the_folder_in_it(request, kind):
    folder = request.getfixturevalue(kind)
    plain, packed = open_images(folder), open_images(pack(folder))
    assert packed.classes == plain.classes
    assert (packed.targets == plain.targets).all()
    for row in range(len(plain.names)):
        assert (packed.read(row) == plain.read(row)).all()


def test_a_table_may_give_several_classes_or_none(table):
    images = open_images(table)
    assert images.classes == ("trees", "water")
    assert images.targets.tolist() == [[1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MULTI + "3.jpg,1,1\n", "without an image: 1 (3.jpg)"),
        (MULTI.replace("2.jpg,0,0\n", ""), "without a line: 1 (2.jpg)"),
        (MULTI + "2.jpg,1,1\n", "more than one line: 1 (2.jpg)"),
        (MULTI.replace("trees,water", "water,water"), "more than one column: 1 (water)"),
        (MULTI.replace(",", ";"), "names no class"),
        ("", "names no class"),
        (MULTI.replace("1.jpg,1,1", "1.jpg,1,yes"), "1.jpg"),
        (MULTI.replace("1.jpg,1,1", "1.jpg,1"), "1.jpg"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, text, said):
    (table / "labels.csv").write_text(text)
    with pytest.raises(ImageryError, match="does not fit") as caught:
        open_images(table)
    assert said in caught.value.details


def test_a_table_cannot_tell_images_of_one_name_apart(table):
    save_picture(table / "again" / "1.jpg", 1)
    with pytest.raises(ImageryError, match="does not fit") as caught:
        open_images(table)
    assert "several images have: 1 (1.jpg)" in caught.value.details


def test_a_table_in_another_encoding_is_refused(table):
    (table / "labels.csv").write_bytes(MULTI.replace("trees", "Bäume").encode("latin-1"))
    with pytest.raises(ImageryError, match="cannot be read") as caught:
        open_images(table)
    assert "UTF-8" in caught.value.hint


def test_images_in_one_folder_have_no_classes(tmp_path):
    save_picture(tmp_path / "a.png", 3)
    save_picture(tmp_path / "b.png", 4)
    images = open_images(tmp_path)
    assert (images.classes, images.targets) == ((), None)


def test_images_of_other_sizes_become_one_array(pictures, tmp_path):
    Image.fromarray(np.full((20, 30, 3), 41, np.uint8)).save(pictures / "forest" / "forest_1.png")
    images = open_images(pictures)
    array = images.read_all(np.array([1, 5]), 32, tmp_path / "all.npy", SILENT)
    assert array.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(array[0], 41 * WHITE / 255, rtol=1e-3)


@pytest.mark.parametrize("packed", [False, True])
def test_tiff_files_are_read_by_their_descriptions(tmp_path, packed):
    folder = tmp_path / "set"
    for index, kind in enumerate("ab"):
        (folder / kind).mkdir(parents=True)
        with rasterio.open(folder / kind / f"{index}.tif", "w", "GTiff", 32, 32, 2, dtype="uint16") as dataset:
            dataset.write(np.full((2, 32, 32), 2000 + index, np.uint16))
            dataset.descriptions = ("B08", "B8A")
    images = open_images(pack(folder) if packed else folder)
    assert images.bands == ("B08", "B8A")
    np.testing.assert_allclose(images.read(1), 0.2001, rtol=1e-5)


def what_is_wrong(folder):
    images = open_images(folder)
    return {images.names[row]: text for row, text in images.inspect(SILENT).damaged.items()}


def test_what_is_wrong_with_an_image_is_said_in_words(pictures, tmp_path):
    (pictures / "water" / "water_1.png").write_bytes(b"")
    (pictures / "water" / "water_2.png").write_bytes(b"no image")
    empty, other = "it is empty", "it is no JPEG or PNG image"
    assert what_is_wrong(pictures) == {"water/water_1.png": empty, "water/water_2.png": other}
    rasters = tmp_path / "rasters"
    rasters.mkdir()
    with rasterio.open(rasters / "a.tif", "w", "GTiff", 8, 8, 1, dtype="uint16") as dataset:
        dataset.descriptions = ("B08",)
    (rasters / "b.tif").write_bytes(b"")
    (rasters / "c.tif").write_bytes(b"no image")
    assert what_is_wrong(rasters) == {"b.tif": empty, "c.tif": "it is no TIFF image"}


def test_damaged_and_mixed_images_are_named(pictures):
    (pictures / "water" / "water_2.png").write_bytes(b"no image")
    with pytest.raises(ImageryError, match="water_2"):
        open_images(pictures).read(5)
    (pictures / "water" / "water_3.tif").write_bytes(b"")
    with pytest.raises(UsageError, match="together"):
        open_images(pictures)


def test_bands_of_pictures_cannot_be_named(pictures):
    with pytest.raises(UsageError, match="red, green and blue"):
        open_images(pictures, ["B02", "B03", "B04"])
