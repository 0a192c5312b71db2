"""Datasets of torchgeo's by name, in their own layout on the disk."""

import json
import pickle
import sys

import numpy as np
import pytest

from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.images import WHITE
from quadrat.core.simulation.sources import open_dataset

from .image_folders import MS_BANDS, heard, save_picture, save_tiff


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
