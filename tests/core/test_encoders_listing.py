"""Choosing an encoder: what there is, what can be used now and why not, and what `auto` means."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from quadrat.core.architectures import STAGES
from quadrat.core.config import read_config
from quadrat.core.embedding import choose_encoder, embed
from quadrat.core.encoders import registry
from quadrat.core.encoders.listing import TRAINABLE, list_encoders
from quadrat.core.encoders.registry import AUTO, absolute, best_available, load_encoder
from quadrat.core.encoders.spec import save_encoder
from quadrat.core.errors import EncoderError, ProjectError
from quadrat.core.monitor import Monitor
from quadrat.core.tiling import tile_rasters
from quadrat.core.worker.methods import Context, encoders
from quadrat.core.worker.warm import Warm

from .encoder_files import network_state, spec_of, write_weights
from .scene_factory import make_scene, new_project


@pytest.fixture(autouse=True)
def _own_folder_of_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(tmp_path / "weights"))


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of what is shipped, to add to."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for file in registry.SHIPPED.glob("*.toml"):
        shutil.copy(file, folder)
    monkeypatch.setattr(registry, "SHIPPED", folder)
    return folder


@pytest.fixture
def tiled(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        tile_rasters(project, [make_scene(tmp_path, rows=3, cols=3).raster])
        yield project


def ship(folder, name="quadrat-rgb", bands=("B04", "B03", "B02"), **changes):
    path = folder / f"{name}.safetensors"
    spec = spec_of(path, bands=bands, **changes)
    save_encoder(path, network_state(n_bands=len(bands)), spec.__class__(**{**vars(spec), "name": name}))
    return path


def by_name(bands=None):
    return {info.name: info for info in list_encoders(bands)}


def test_each_encoder_says_whether_it_can_be_used_now_and_why_not(tmp_path):
    found = by_name()
    assert found["statistics"].available
    assert found["statistics"].dimension is None
    moco = found["resnet50-sentinel2-rgb-moco"]
    assert (moco.available, moco.downloadable, moco.dimension, moco.licence) == (False, True, 2048, "CC-BY-4.0")
    assert "fetched" in moco.reason
    caffe = found["squeezenet1_1-caffe"]
    assert (caffe.available, caffe.downloadable) == (False, False)
    assert "squeezenet1_1_imagenet.pth" in caffe.reason


def test_with_the_bands_of_some_imagery_unsuitable_encoders_say_which_bands_they_lack():
    found = by_name(("B02", "B03", "B08"))
    assert found["statistics"].dimension == 12
    lacking = found["resnet50-sentinel2-rgb-moco"]
    assert (lacking.available, lacking.downloadable) == (False, False)
    assert "needs B04" in lacking.reason
    l2a = tuple(band for band in found["resnet50-sentinel2-all-moco"].bands if band != "B10")
    assert by_name(l2a)["resnet50-sentinel2-all-moco"].downloadable


def test_weights_in_their_folder_make_an_encoder_available(shipped, tmp_path):
    (tmp_path / "weights").mkdir()
    weights = tmp_path / "weights" / "w.pth"
    write_weights(weights, network_state())
    text = (shipped / "squeezenet1_1-caffe.toml").read_text(encoding="utf-8")
    pinned = hashlib.sha256(weights.read_bytes()).hexdigest()
    known = "9cb8caba438661c50a4aa63df8711da845a64400120cf874aad8cac2fb5f74b0"
    (shipped / "squeezenet1_1-caffe.toml").write_text(
        text.replace(known, pinned).replace("squeezenet1_1_imagenet.pth", "w.pth"), encoding="utf-8"
    )
    info = by_name()["squeezenet1_1-caffe"]
    assert (info.available, info.reason) == (True, "")
    assert load_encoder("squeezenet1_1-caffe").card.name == "squeezenet1_1-caffe"


def test_what_is_said_of_missing_weights_works_also_where_two_encoders_share_them(shipped, tmp_path):
    made = tmp_path / "made.pth"
    write_weights(made, network_state())
    for file in shipped.glob("squeezenet1_1-caffe*.toml"):
        text = file.read_text(encoding="utf-8")
        pinned = hashlib.sha256(made.read_bytes()).hexdigest()
        file.write_text(text.replace(text.partition('sha256 = "')[2][:64], pinned), encoding="utf-8")
    with pytest.raises(EncoderError) as caught:
        load_encoder("squeezenet1_1-caffe-256")
    assert caught.value.hint in by_name()["squeezenet1_1-caffe-256"].reason
    assert f"folder of weights, {tmp_path / 'weights'}" in caught.value.hint
    (tmp_path / "weights").mkdir()
    made.rename(tmp_path / "weights" / "squeezenet1_1_imagenet.pth")
    tile, bands = np.zeros((1, 3, 64, 64), np.float32), ("B02", "B03", "B04")
    sizes = [load_encoder(f"squeezenet1_1-caffe{more}").encode(tile, bands).shape for more in ("", "-256")]
    assert sizes == [(1, 384), (1, 2304)]


def test_an_encoder_that_is_one_file_is_listed_and_found_by_name(shipped):
    ship(shipped, "quadrat-own")
    write_weights(shipped / "bare.safetensors", network_state())
    assert by_name()["quadrat-own"].available
    assert "bare" not in by_name()
    assert load_encoder("quadrat-own").card.name == "quadrat-own"


def test_the_best_at_hand_is_the_shipped_one_if_its_bands_are_there(shipped):
    rgb = ("B02", "B03", "B04")
    assert best_available(rgb) == "statistics"
    ship(shipped)
    assert best_available(rgb) == "quadrat-rgb"
    assert best_available(("B02", "B08")) == "statistics"


def test_auto_is_the_projects_encoder_once_it_has_one(shipped, tiled):
    remarks = []
    monitor = Monitor(remark=lambda level, message: remarks.append(message))
    assert choose_encoder(tiled, AUTO, monitor) == "statistics"
    embed(tiled, load_encoder("statistics"), "statistics")
    ship(shipped)
    assert choose_encoder(tiled, AUTO, monitor) == "statistics"
    assert choose_encoder(tiled, "quadrat-rgb", monitor) == "quadrat-rgb"
    assert remarks == [
        "The encoder is statistics, the best that is at hand.",
        "The encoder is statistics, as before.",
    ]


def test_auto_takes_the_shipped_encoder_for_a_new_project(shipped, tiled):
    ship(shipped)
    name = choose_encoder(tiled, AUTO)
    made = embed(tiled, load_encoder(name), name)
    assert (made.encoder, made.matrix.shape[1]) == ("quadrat-rgb", 512)


def test_auto_needs_tiles(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project, pytest.raises(ProjectError, match="no tiles"):
        choose_encoder(project, AUTO)


def test_a_file_is_remembered_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("sub/own.safetensors") == str(tmp_path / "sub" / "own.safetensors")
    assert absolute("resnet50-imagenet") == "resnet50-imagenet"
    assert absolute("torchgeo:ResNet50_Weights.SENTINEL2_RGB_MOCO") == "torchgeo:ResNet50_Weights.SENTINEL2_RGB_MOCO"
    assert absolute("torchgeo:A.B[B04,B03]@w.pth") == f"torchgeo:A.B[B04,B03]@{tmp_path / 'w.pth'}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("statistics", "statistics"), ("torchgeo:A.B_C", "torchgeo:A.B_C"), ("squeezenet1_1-caffe",) * 2],
)
def test_a_configuration_may_name_any_encoder(tmp_path, written, meant):
    file = tmp_path / "batch.toml"
    head = 'project = "p.gpkg"\nrasters = ["a.tif"]\nclasses = "eurosat-10"\n'
    file.write_text(f'{head}[embed]\nencoder = "{written}"\n', encoding="utf-8")
    assert read_config(file).encoder == meant
    file.write_text(f'{head}[embed]\nencoder = "own.safetensors"\n', encoding="utf-8")
    assert read_config(file).encoder == str(tmp_path / "own.safetensors")
    file.write_text(head, encoding="utf-8")
    assert read_config(file).encoder == AUTO


def test_what_stands_in_for_a_band_is_said_when_tiles_are_embedded(shipped, tiled):
    ship(shipped, "with-b10", ("B04", "B03", "B02", "B10"), missing={"B10": "zero"})
    remarks = []
    monitor = Monitor(remark=lambda level, message: remarks.append(message))
    embed(tiled, load_encoder("with-b10"), "with-b10", monitor)
    assert any("lacks" in said and "B10 is 0 everywhere" in said for said in remarks)


def test_the_worker_says_what_suits_a_project(shipped, tiled):
    ship(shipped)
    context = Context(Monitor(), Warm())
    everything = encoders(context)
    assert (everything["default"], everything["best"]) == (AUTO, "")
    for_project = encoders(context, project=tiled.path)
    assert for_project["best"] == "quadrat-rgb"
    found = {item["name"]: item for item in for_project["encoders"]}
    assert found["quadrat-rgb"]["available"]
    assert "needs" in found["resnet50-sentinel2-all-moco"]["reason"]
    json.dumps(for_project)


def run(*arguments):
    command = [sys.executable, "-m", "quadrat.core", "encoders", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_lists_encoders_and_explains_one(tiled):
    listed = run()
    assert listed.returncode == 0, listed.stderr
    assert "resnet18-sentinel2-all-moco" in listed.stdout
    explained = run("resnet18-sentinel2-all-moco", "--project", str(tiled.path), "--json")
    (info,) = json.loads(explained.stdout.splitlines()[-1])["encoders"]
    assert not info["available"]
    assert "reflectance 0 if the imagery lacks it" in explained.stderr
    unknown = run("dinosaur")
    assert unknown.returncode == 2
    assert "Known names" in unknown.stderr


def test_torchgeo_that_is_not_installed_says_how_to_install_it():
    code = (
        "import sys; sys.modules['torchgeo'] = None\n"
        "from quadrat.core.encoders.registry import load_encoder\n"
        "from quadrat.core.errors import EncoderError\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torchgeo' else find(name, *rest)\n"
        "try:\n    load_encoder('torchgeo:ResNet50_Weights.SENTINEL2_RGB_MOCO')\n"
        "except EncoderError as error:\n    print(error.message, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torchgeo is not installed" in done.stdout
    assert "quadrat[torchgeo]" in done.stdout


def test_a_broken_shipped_file_is_named(shipped):
    (shipped / "broken.toml").write_text("name = 3\n", encoding="utf-8")
    with pytest.raises(EncoderError, match=r"broken\.toml"):
        list_encoders()


def test_encoders_say_whether_a_training_can_go_on_from_them():
    assert set(TRAINABLE) == set(STAGES)
    by_name = {info.name: info for info in list_encoders()}
    assert by_name["quadrat-rgb"].trainable
    assert not by_name["statistics"].trainable
    assert not by_name["squeezenet1_1-caffe"].trainable
