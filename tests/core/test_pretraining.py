"""Training an encoder from imagery to file: resuming, what is never learnt from, what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from quadrat.core.embedding import embed
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.encoders.spec import save_encoder
from quadrat.core.errors import Cancelled, EncoderError, ImageryError, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.pretraining.options import PretrainOptions
from quadrat.core.pretraining.pretrain import checkpoint_of, pretrain
from quadrat.core.pretraining.sources import SourceOptions
from quadrat.core.splits import held_out

from .encoder_files import network_state, spec_of
from .job import answer, ids, ready_project

QUICK = PretrainOptions(epochs=3, batch=8, queue=32)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twenty pictures of two classes, bright and dark."""
    folder = tmp_path_factory.mktemp("images") / "set"
    rng = np.random.default_rng(0)
    for index in range(20):
        kind = "bright" if index % 2 else "dark"
        levels = rng.integers(0, 90, (32, 32, 3)) + (120 if index % 2 else 0)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels.astype(np.uint8)).save(folder / kind / f"{kind}_{index}.png")
    return folder


def stop_after(steps):
    """A monitor that is cancelled after so many steps of training."""
    seen = []

    def report(_fraction, message):
        seen.append(message.startswith("Epoch"))

    return Monitor(report=report, is_cancelled=lambda: sum(seen) >= steps)


def same_weights(one, other):
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(bool((first[name] == second[name]).all()) for name in first)


@pytest.mark.parametrize("method", ["moco", "simclr"])
def test_a_training_that_was_stopped_twice_learns_bit_for_bit_the_same(images, tmp_path, method):
    options = replace(QUICK, method=method)
    whole = pretrain([images], tmp_path / "whole.safetensors", options)
    for steps in (3, 2):
        with pytest.raises(Cancelled):
            pretrain([images], tmp_path / "parts.safetensors", options, monitor=stop_after(steps))
        assert checkpoint_of(tmp_path / "parts.safetensors").exists()
        assert not (tmp_path / "parts.safetensors").exists()
    parts = pretrain([images], tmp_path / "parts.safetensors", options)
    assert same_weights(whole.encoder, parts.encoder)
    assert (whole.loss, whole.knn) == (parts.loss, parts.knn)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.safetensors", "whole.safetensors"]


def test_neighbours_are_kept_over_interruptions(images, tmp_path):
    """They are looked for after the first epoch and after the second; it is stopped before, between and after."""
    options = replace(QUICK, method="simclr", neighbours=2, mine_every=1)
    whole = pretrain([images], tmp_path / "whole.safetensors", options)
    for steps in (1, 2, 2):
        with pytest.raises(Cancelled):
            pretrain([images], tmp_path / "parts.safetensors", options, monitor=stop_after(steps))
    parts = pretrain([images], tmp_path / "parts.safetensors", options)
    assert same_weights(whole.encoder, parts.encoder)
    unlabelled = pretrain([images], tmp_path / "c.safetensors", options, SourceOptions(labels=False))
    assert same_weights(whole.encoder, unlabelled.encoder)


def test_neighbours_are_looked_for_once_the_network_knows_something(images, tmp_path):
    """So at once where it begins with an encoder, and else after so many epochs."""
    alone = replace(QUICK, epochs=1)
    others = replace(alone, neighbours=3)
    first = pretrain([images], tmp_path / "first.safetensors", alone)
    same = pretrain([images], tmp_path / "same.safetensors", others)
    assert same_weights(first.encoder, same.encoder)
    start = str(first.encoder)
    second = pretrain([images], tmp_path / "second.safetensors", alone, start=start)
    different = pretrain([images], tmp_path / "different.safetensors", others, start=start)
    assert not same_weights(second.encoder, different.encoder)


def test_workers_do_not_change_what_is_learnt(images, tmp_path):
    one = pretrain([images], tmp_path / "one.safetensors", QUICK, workers=1)
    three = pretrain([images], tmp_path / "three.safetensors", QUICK, workers=3)
    assert same_weights(one.encoder, three.encoder)


def test_labels_are_measured_by_but_never_learnt_from(images, tmp_path):
    known = pretrain([images], tmp_path / "known.safetensors", QUICK)
    unknown = pretrain([images], tmp_path / "unknown.safetensors", QUICK, SourceOptions(labels=False))
    assert known.knn == 1.0
    assert unknown.knn is None
    assert same_weights(known.encoder, unknown.encoder)


def test_what_is_held_out_is_never_looked_at(images, tmp_path):
    """Damage exactly the images that are held out: the training does not notice."""
    damaged = tmp_path / "damaged"
    shutil.copytree(images, damaged)
    names = sorted(path.relative_to(damaged).as_posix() for path in damaged.rglob("*.png"))
    for index in np.flatnonzero(held_out(len(names), 0.25, 7)):
        if index:  # the first image says how large all are
            (damaged / names[index]).write_bytes(b"no image")
    where = SourceOptions(holdout=0.25, seed=7)
    once = pretrain([images], tmp_path / "a.safetensors", QUICK, where)
    again = pretrain([damaged], tmp_path / "b.safetensors", QUICK, where)
    assert once.tiles == 15
    assert same_weights(once.encoder, again.encoder)


def test_a_zip_teaches_the_same_as_the_folder_in_it(images, tmp_path):
    packed = tmp_path / "set.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in images.rglob("*.png"):
            archive.write(path, path.relative_to(images))
    once = pretrain([images], tmp_path / "a.safetensors", QUICK)
    again = pretrain([packed], tmp_path / "b.safetensors", QUICK)
    assert same_weights(once.encoder, again.encoder)


def test_an_encoder_trained_on_a_project_embeds_it_and_saw_no_validation_tile(tmp_path):
    project, scene = ready_project(tmp_path)
    with project:
        answer(project, scene, ids(project, "pool")[:12])
        made = pretrain([project.path], tmp_path / "mine.safetensors", replace(QUICK, epochs=1))
        assert made.tiles == len(ids(project, "pool"))
        assert made.knn is not None
        embedded = embed(project, load_encoder(str(made.encoder)), str(made.encoder))
        assert embedded.matrix.shape == (len(project.tiles(("pool", "validation"))), made.dimension)
        assert np.isfinite(embedded.matrix).all()


def test_rasters_are_tiles_like_those_of_a_project(tmp_path):
    project, scene = ready_project(tmp_path, validation=0.0)
    project.close()
    from_raster = pretrain([scene.raster], tmp_path / "raster.safetensors", replace(QUICK, epochs=1))
    from_project = pretrain([project.path], tmp_path / "project.safetensors", replace(QUICK, epochs=1))
    assert from_raster.tiles == from_project.tiles
    assert same_weights(from_raster.encoder, from_project.encoder)


def test_a_training_with_other_options_does_not_go_on_with_a_checkpoint(images, tmp_path):
    out = tmp_path / "mine.safetensors"
    with pytest.raises(Cancelled):
        pretrain([images], out, QUICK, monitor=stop_after(2))
    with pytest.raises(UsageError, match="another training") as caught:
        pretrain([images], out, replace(QUICK, temperature=0.5))
    assert "temperature" in caught.value.details
    assert "tiles" not in caught.value.details
    with pytest.raises(UsageError, match="another training"):
        pretrain([images], out, QUICK, SourceOptions(holdout=0.2))
    assert pretrain([images], out, replace(QUICK, temperature=0.5), resume=False).epochs == 3


def test_a_damaged_checkpoint_is_said_to_be_one(images, tmp_path):
    out = tmp_path / "mine.safetensors"
    with pytest.raises(Cancelled):
        pretrain([images], out, QUICK, monitor=stop_after(2))
    checkpoint = checkpoint_of(out)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(EncoderError, match="cannot be read") as caught:
        pretrain([images], out, QUICK)
    assert "--fresh" in caught.value.hint


def test_it_stops_when_nothing_becomes_better(images, tmp_path):
    said = []
    monitor = Monitor(remark=lambda _level, message: said.append(message))
    options = replace(QUICK, epochs=50, patience=2)
    made = pretrain([images], tmp_path / "mine.safetensors", options, monitor=monitor)
    assert made.epochs < 50
    assert any("stops here" in message for message in said)


def test_the_file_says_everything_about_itself(images, tmp_path):
    made = pretrain([images], tmp_path / "mine.safetensors", QUICK)
    encoder = load_encoder(str(made.encoder))
    assert encoder.card.name == "mine"
    assert encoder.card.bands == ("B04", "B03", "B02")
    assert "20 tiles" in encoder.card.source
    json.dumps(vars(made), default=str)


def test_tiff_images_are_read_in_their_own_unit(tmp_path):
    import rasterio

    folder = tmp_path / "set"
    stored = np.random.default_rng(0).integers(500, 3000, (12, 4, 32, 32)).astype(np.uint16)
    for index, image in enumerate(stored):
        place = folder / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        with rasterio.open(place / f"{index}.tif", "w", "GTiff", 32, 32, 4, dtype="uint16") as dataset:
            dataset.write(image)
    with pytest.raises(ImageryError, match="No Sentinel-2 band"):
        pretrain([folder], tmp_path / "mine.safetensors", QUICK)
    where = SourceOptions(bands=("B02", "B03", "-", "B8A"))
    made = pretrain([folder], tmp_path / "mine.safetensors", replace(QUICK, epochs=1), where)
    assert made.bands == ("B02", "B03", "B8A")
    encoder = load_encoder(str(made.encoder))
    np.testing.assert_allclose(encoder.preparation.mean, stored[:, [0, 1, 3]].mean(axis=(0, 2, 3)) * 1e-4, rtol=1e-2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "byol"}, "method"),
        ({"epochs": 0}, "epoch"),
        ({"batch": 1}, "batch"),
        ({"temperature": 0.0}, "temperature"),
        ({"least_area": 0.0}, "area"),
        ({"network": "vgg"}, "network"),
        ({"neighbours": -1}, "neighbours"),
        ({"mine_every": 0}, "epochs"),
    ],
)
def test_options_that_make_no_sense_are_refused(images, tmp_path, options, said):
    with pytest.raises(UsageError) as caught:
        pretrain([images], tmp_path / "mine.safetensors", replace(QUICK, **options))
    assert said in caught.value.details


def test_sources_that_cannot_be_learnt_from_are_refused(images, tmp_path):
    out = tmp_path / "mine.safetensors"
    with pytest.raises(UsageError, match="nothing to learn"):
        pretrain([], out, QUICK)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageryError, match="no images"):
        pretrain([tmp_path / "empty"], out, QUICK)
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    with pytest.raises(ImageryError, match="zip"):
        pretrain([tmp_path / "broken.zip"], out, QUICK)
    with pytest.raises(ImageryError, match="There is no"):
        pretrain([tmp_path / "away.tif"], out, QUICK)
    with pytest.raises(UsageError, match="too few"):
        pretrain([images], out, QUICK, SourceOptions(holdout=0.97))
    with pytest.raises(UsageError, match="safetensors"):
        pretrain([images], tmp_path / "mine.pth", QUICK)
    out.write_bytes(b"something")
    with pytest.raises(UsageError, match="exists"):
        pretrain([images], out, QUICK)
    assert out.read_bytes() == b"something"


def test_going_on_from_an_encoder_begins_with_its_weights_bands_and_scaling(images, tmp_path):
    """Four bands to learn from, of which the encoder knows three; with steps of next to nothing it stays as it was."""
    first = pretrain([images], tmp_path / "first.safetensors", QUICK)
    project, _ = ready_project(tmp_path)
    project.close()
    options = replace(QUICK, epochs=1, lr=1e-12, network="resnet50")
    made = pretrain([project.path], tmp_path / "second.safetensors", options, start=str(first.encoder))
    assert made.bands == ("B04", "B03", "B02")
    before, after = load_file(first.encoder), load_file(made.encoder)
    assert before.keys() == after.keys()
    learnt = [name for name in before if name.endswith(("weight", ".bias"))]
    assert all(bool((before[name] == after[name]).all()) for name in learnt)
    old, new = (load_encoder(str(path)).preparation for path in (first.encoder, made.encoder))
    np.testing.assert_allclose(old.mean, new.mean, atol=1e-6)
    np.testing.assert_allclose(old.std, new.std, atol=1e-6)


def test_another_start_is_another_training(images, tmp_path):
    first = pretrain([images], tmp_path / "first.safetensors", replace(QUICK, epochs=1))
    out = tmp_path / "second.safetensors"
    with pytest.raises(Cancelled):
        pretrain([images], out, QUICK, start=str(first.encoder), monitor=stop_after(2))
    with pytest.raises(UsageError, match="another training") as caught:
        pretrain([images], out, QUICK)
    assert "start" in caught.value.details


def test_a_start_that_does_not_suit_is_refused(images, tmp_path):
    spec = spec_of(tmp_path / "nir.safetensors", "resnet18_half", bands=("B04", "B08"))
    save_encoder(spec.weights, network_state("resnet18_half", 2), spec)
    squeeze = spec_of(tmp_path / "squeeze.safetensors")
    save_encoder(squeeze.weights, network_state(), squeeze)
    out = tmp_path / "mine.safetensors"
    with pytest.raises(UsageError, match="B08"):
        pretrain([images], out, QUICK, start=str(spec.weights))
    with pytest.raises(UsageError, match="trained further"):
        pretrain([images], out, QUICK, start=str(squeeze.weights))
    with pytest.raises(EncoderError):
        pretrain([images], out, QUICK, start="no such encoder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nir.safetensors", "squeeze.safetensors"]


def test_ctrl_c_stops_a_training_in_good_order(images, tmp_path):
    """10,000 epochs are not over before the signal arrives. It is taken for a cancellation, not for a crash."""
    command = [
        sys.executable,
        "-m",
        "quadrat.core",
        "pretrain",
        str(images),
        "--out",
        str(tmp_path / "mine.safetensors"),
    ]
    process = subprocess.Popen(
        [*command, "--batch", "8", "--epochs", "10000"], stderr=subprocess.PIPE, cwd=tmp_path, text=True
    )
    while not (tmp_path / "mine.tiles" / "images.npy").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Stopped as asked" in said


def test_one_folder_of_images_is_the_only_source(images, tmp_path):
    with pytest.raises(UsageError, match="Only one folder"):
        pretrain([images, tmp_path], tmp_path / "mine.safetensors", QUICK)


def test_the_encoder_can_be_read_by_whoever_may_read_the_folder(images, tmp_path):
    before = os.umask(0o022)
    try:
        made = pretrain([images], tmp_path / "mine.safetensors", replace(QUICK, epochs=1))
    finally:
        os.umask(before)
    assert made.encoder.stat().st_mode & 0o777 == 0o644
