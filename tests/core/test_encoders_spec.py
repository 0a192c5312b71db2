"""Specifications: one file is a whole encoder, and what stands in for a missing band is said, never guessed."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from quadrat.core.encoders.networks import load_network
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.encoders.spec import EncoderSpec, InputSpec, has_spec, read_spec, save_encoder
from quadrat.core.errors import EncoderError
from quadrat.core.imagery.sentinel2 import BANDS

from .encoder_files import RGB, input_spec, network_state, spec_of

FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from quadrat.core.encoders.spec import read_spec, save_encoder
from quadrat.core.errors import EncoderError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
path = Path(sys.argv[1])
try:
    save_encoder(path, {"weight": torch.zeros(100_000)}, read_spec(path))
except EncoderError as error:
    print(error.message)
"""
WITH_B10 = (*RGB, "B10")


def pixels(bands, n=2, seed=0):
    return np.random.default_rng(seed).uniform(0.01, 0.4, (n, len(bands), 64, 64)).astype(np.float32)


def shipped_by_pretraining(folder, **changes):
    """What the pretraining command leaves behind."""
    path = folder / "own.safetensors"
    spec = replace(spec_of(path), dimension=512, licence="CC0-1.0", source="our mosaic", summary="ours", **changes)
    save_encoder(path, network_state(), spec)
    return path


number = st.floats(-100, 100, allow_nan=False)


@st.composite
def inputs(draw):
    bands = tuple(draw(st.lists(st.sampled_from(BANDS), min_size=1, max_size=13, unique=True)))
    missing = {
        band: draw(st.sampled_from(["zero", "mean", *(other for other in BANDS if other != band)]))
        for band in draw(st.lists(st.sampled_from(bands), unique=True))
    }
    return InputSpec(
        bands=bands,
        unit=draw(st.sampled_from(["reflectance", "dn", "byte", "fraction"])),
        mean=tuple(draw(number) for _ in bands),
        std=tuple(draw(st.floats(0.1, 100)) for _ in bands),
        size_px=draw(st.integers(32, 256)),
        white=draw(st.floats(0.1, 1)),
        clip=draw(st.sampled_from([None, (0.0, 1.0)])),
        missing=missing,
    )


@given(inputs(), st.text(max_size=20), st.one_of(st.none(), st.integers(1, 4096)))
def test_a_specification_survives_as_json(spec, words, dimension):
    encoder = EncoderSpec(
        "näme", "resnet18", spec, layers=("layer3",), dimension=dimension, licence=words, source=words
    )
    assert EncoderSpec.from_json(encoder.to_json()) == encoder


def test_one_file_is_a_whole_encoder(tmp_path):
    path = shipped_by_pretraining(tmp_path)
    spec = read_spec(path)
    assert (spec.name, spec.weights, spec.dimension, spec.licence, spec.summary) == (
        *("random", path, 512, "CC0-1.0"),
        "ours",
    )
    loaded = load_encoder(str(path))
    assert loaded.card.name == "random"
    vectors = loaded.encode(pixels(RGB), RGB)
    assert vectors.shape == (2, spec.dimension)
    beside = tmp_path / "weights.safetensors"
    save_file(network_state(), beside)
    np.testing.assert_array_equal(vectors, load_network(spec_of(beside)).encode(pixels(RGB), RGB))


def test_a_whole_encoder_is_found_by_a_path_relative_to_here(tmp_path, monkeypatch):
    file = shipped_by_pretraining(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    assert read_spec(file.relative_to(tmp_path)).weights.samefile(file)


def test_saving_keeps_every_tensor_and_leaves_nothing_else(tmp_path):
    path = shipped_by_pretraining(tmp_path)
    kept, state = load_file(path), network_state()
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[name], state[name]) for name in state)
    assert list(tmp_path.iterdir()) == [path]


def test_saving_over_an_encoder_replaces_it_or_leaves_it_whole(tmp_path):
    path = shipped_by_pretraining(tmp_path)
    save_encoder(path, network_state(seed=1), spec_of(path))
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stdout, done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EncoderError, match="cannot be written"):
        save_encoder(tmp_path / "file" / "e.safetensors", network_state(), spec_of(path))


def test_a_transposed_tensor_can_be_saved(tmp_path):
    path = tmp_path / "t.safetensors"
    save_encoder(path, {"weight": torch.arange(6.0).reshape(2, 3).T}, spec_of(path))
    assert load_file(path)["weight"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_reading_specifications_needs_no_torch(tmp_path):
    path = shipped_by_pretraining(tmp_path)
    code = (
        "import sys; from pathlib import Path; from quadrat.core.encoders.spec import read_spec;"
        "from quadrat.core.encoders.listing import list_encoders;"
        "assert read_spec(Path(sys.argv[1])).dimension == 512 and list_encoders();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_weights_without_a_specification_are_told_apart(tmp_path):
    bare = tmp_path / "bare.safetensors"
    save_file(network_state(), bare)
    assert not has_spec(bare)
    assert has_spec(shipped_by_pretraining(tmp_path))
    with pytest.raises(EncoderError, match="no word about the input"):
        read_spec(bare)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"architecture": "resnet18", "input": 3}'])
def test_a_damaged_specification_is_refused(tmp_path, text):
    path = tmp_path / "own.safetensors"
    save_file(network_state(), path, {"quadrat": text})
    with pytest.raises(EncoderError):
        read_spec(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("clip", [1.0], "clip"),
        ("clip", [1.0, 0.0], "rising"),
        ("missing", {"B10": "zero"}, "missing.B10 is none of the bands"),
        ("missing", {"B04": "half"}, "zero, mean, or another band"),
        ("missing", {"B04": "B04"}, "another band"),
        ("missing", ["B04"], "items"),
        ("bands", ["B04", "B04", "B02"], "each band once"),
        ("mean", ["a", 1, 1], "float"),
        ("std", [0, 1, 1], "std must be above 0"),
        ("size_px", 8, "32 or more"),
    ],
)
def test_a_wrong_input_says_what_is_wrong(key, value, said):
    table = json.loads(spec_of("x").to_json())
    table["input"][key] = value
    with pytest.raises(EncoderError) as caught:
        EncoderSpec.from_json(json.dumps(table))
    assert said in f"{caught.value.message} {caught.value.details}"


def test_reflectance_is_clipped_before_anything_else():
    spec = input_spec(("B02",), clip=(0.0, 1.0), mean=(0.5,), std=(2.0,))
    given_pixels = torch.tensor([-0.5, 0.25, 1.5]).view(1, 1, 1, 3).expand(1, 1, 64, 3)
    got = replace(spec, size_px=64).prepare(given_pixels.repeat(1, 1, 1, 22)[..., :64])
    assert got[0, 0, 0, :3].tolist() == pytest.approx([-0.25, -0.125, 0.25])
    assert given_pixels.min() == -0.5


@pytest.mark.parametrize("unit", ["reflectance", "dn", "byte", "fraction"])
def test_the_mean_in_place_of_a_band_is_nothing_to_the_network(unit):
    means = {"reflectance": 0.1, "dn": 1000.0, "byte": 80.0, "fraction": 0.3}
    spec = input_spec(("B10",), unit=unit, white=0.25, mean=(means[unit],), missing={"B10": "mean"})
    stand_in = spec.stand_ins()["B10"]
    assert spec.prepare(torch.full((1, 1, 64, 64), stand_in)).abs().max().item() < 1e-3 * means[unit]


@pytest.mark.parametrize(
    ("policy", "put_there"), [("zero", lambda x: 0 * x[:, 0]), ("B02", lambda x: x[:, 2]), ("mean", None)]
)
def test_what_stands_in_for_a_missing_band_is_what_the_specification_says(tmp_path, policy, put_there):
    path = tmp_path / "own.safetensors"
    save_encoder(path, network_state(n_bands=4), spec_of(path, bands=WITH_B10, missing={"B10": policy}))
    encoder = load_encoder(str(path))
    seen = pixels(RGB)
    fourth = np.full_like(seen[:, 0], 1.0) if put_there is None else put_there(seen)
    complete = np.concatenate([seen, fourth[:, None]], axis=1)
    np.testing.assert_array_equal(encoder.encode(seen, RGB), encoder.encode(complete, WITH_B10))


def test_a_band_that_is_there_is_used_whatever_the_policy(tmp_path):
    path = tmp_path / "own.safetensors"
    state = network_state(n_bands=4)
    save_encoder(path, state, spec_of(path, bands=WITH_B10, missing={"B10": "zero"}))
    seen = pixels(WITH_B10)
    with_policy = load_encoder(str(path)).encode(seen, WITH_B10)
    save_encoder(path, state, spec_of(path, bands=WITH_B10))
    np.testing.assert_array_equal(with_policy, load_encoder(str(path)).encode(seen, WITH_B10))


def test_a_missing_band_without_policy_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "own.safetensors"
    save_encoder(path, network_state(n_bands=4), spec_of(path, bands=WITH_B10, missing={"B02": "B10"}))
    with pytest.raises(EncoderError, match="needs B10, but the project has only B04, B03, B02") as caught:
        load_encoder(str(path)).encode(pixels(RGB), RGB)
    assert "input.missing" in caught.value.hint
    with pytest.raises(EncoderError, match="needs B02, B10"):
        load_encoder(str(path)).missing_bands(("B03", "B04"))


def test_another_policy_is_another_fingerprint(tmp_path):
    path = tmp_path / "own.safetensors"
    found = set()
    for policy in ("zero", "mean", "B09"):
        save_encoder(path, network_state(n_bands=4), spec_of(path, bands=WITH_B10, missing={"B10": policy}))
        found.add(load_encoder(str(path)).card.fingerprint)
    assert len(found) == 3
