"""Published weights in their published formats: torchgeo's files, MoCo checkpoints, safetensors; and damaged ones."""

import hashlib
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from quadrat.core.encoders.networks import load_network
from quadrat.core.encoders.registry import SHIPPED, load_encoder
from quadrat.core.encoders.spec import read_spec
from quadrat.core.errors import EncoderError
from quadrat.core.monitor import Monitor

from .encoder_files import RGB, exact, network_state, spec_of, write_weights
from .weights_server import publishing

ALL = read_spec(SHIPPED / "resnet18-sentinel2-all-moco.toml").input.bands
L2A = tuple(band for band in ALL if band != "B10")


def pixels(n_bands=3, size=64):
    return np.random.default_rng(0).uniform(0.01, 1.3, (2, n_bands, size, size)).astype(np.float32)


def moco_checkpoint(state, prefix):
    """As MoCo's training program saves it: query encoder, key encoder, queue, optimiser and epoch."""
    names = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    head = {f"{prefix}fc.0.weight": torch.zeros(512, 512), f"{prefix}fc.2.bias": torch.zeros(128)}
    other = prefix.replace("encoder_q", "encoder_k").replace("base", "momentum")
    momentum = {f"{other}{name}": torch.zeros_like(tensor) for name, tensor in state.items()}
    queue = {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    extra = momentum | queue if other != prefix else {}
    optimiser = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.03}]}
    return {"epoch": 200, "arch": "resnet18", "state_dict": names | head | extra, "optimizer": optimiser}


@pytest.fixture(scope="module")
def resnet18():
    return network_state("resnet18")


@pytest.fixture(scope="module")
def expected(resnet18):
    reference = torchvision.models.resnet18()
    reference.fc = nn.Identity()
    reference.load_state_dict(resnet18)
    with torch.no_grad():
        return reference.eval()(torch.from_numpy(pixels() - 1.0)).numpy()


def encode(path):
    return exact(load_network(spec_of(path, "resnet18"))).encode(pixels(), RGB)


@pytest.mark.parametrize(
    "prefix", ["module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder.", "backbone.", "module.", ""]
)
def test_a_training_checkpoint_gives_its_network(tmp_path, resnet18, expected, prefix):
    torch.save(moco_checkpoint(resnet18, prefix), tmp_path / "checkpoint.pth.tar")
    np.testing.assert_allclose(encode(tmp_path / "checkpoint.pth.tar"), expected, rtol=1e-3, atol=1e-4)


def test_plain_files_with_and_without_a_classifier_are_the_same(tmp_path, resnet18, expected):
    with_head = resnet18 | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    for name, state in (("a.pth", resnet18), ("b.pth", with_head), ("c.safetensors", resnet18)):
        write_weights(tmp_path / name, state)
        np.testing.assert_allclose(encode(tmp_path / name), expected, rtol=1e-3, atol=1e-4)


def test_the_old_torch_format_without_counters_is_read(tmp_path, resnet18, expected):
    old = {name: tensor for name, tensor in resnet18.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    np.testing.assert_allclose(encode(tmp_path / "old.pth"), expected, rtol=1e-3, atol=1e-4)


def test_published_sentinel2_weights_see_clipped_reflectance_in_the_order_of_their_bands(tmp_path):
    """The shipped encoder file with weights in torchgeo's format, against torchvision's network."""
    spec = read_spec(SHIPPED / "resnet18-sentinel2-all-moco.toml")
    state = network_state("resnet18", 13)
    write_weights(tmp_path / spec.weights.name, state)
    text = (SHIPPED / "resnet18-sentinel2-all-moco.toml").read_text(encoding="utf-8")
    digest = hashlib.sha256((tmp_path / spec.weights.name).read_bytes()).hexdigest()
    (tmp_path / "own.toml").write_text(text.replace(spec.sha256, digest), encoding="utf-8")
    seen = pixels(12, 224)
    encoder = exact(load_encoder(str(tmp_path / "own.toml")))
    vectors = encoder.encode(np.ascontiguousarray(seen[:, ::-1]), L2A[::-1])

    reference = torchvision.models.resnet18()
    reference.conv1, reference.fc = nn.Conv2d(13, 64, 7, 2, 3, bias=False), nn.Identity()
    reference.load_state_dict(state)
    complete = np.insert(seen, ALL.index("B10"), 0.0, axis=1)
    with torch.no_grad():
        wanted = reference.eval()(torch.from_numpy(complete).clamp(0, 1)).numpy()
    np.testing.assert_allclose(vectors, wanted, rtol=1e-3, atol=1e-4)


def test_weights_in_the_folder_of_weights_are_found_by_the_encoders_name(tmp_path, monkeypatch):
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(tmp_path / "folder"))
    (tmp_path / "folder").mkdir()
    write_weights(tmp_path / "folder" / "w.pth", network_state())
    digest = hashlib.sha256((tmp_path / "folder" / "w.pth").read_bytes()).hexdigest()
    text = (SHIPPED / "squeezenet1_1-imagenet.toml").read_text(encoding="utf-8")
    text = text.replace("squeezenet1_1-b8a52dc0.pth", "w.pth").replace('"b8a52dc0"', f'"{digest[:12]}"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    assert load_encoder(str(tmp_path / "own.toml")).encode(pixels() / 4, RGB).shape == (2, 512)


def test_weights_are_fetched_from_the_address_of_the_encoder_file(tmp_path, monkeypatch):
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(tmp_path / "folder"))
    write_weights(tmp_path / "w.pth", network_state())
    content = (tmp_path / "w.pth").read_bytes()
    text = (SHIPPED / "squeezenet1_1-imagenet.toml").read_text(encoding="utf-8")
    spec = read_spec(SHIPPED / "squeezenet1_1-imagenet.toml")
    messages = []
    with publishing(content) as publisher:
        text = text.replace(spec.url, publisher.url).replace(
            f'sha256 = "{spec.sha256}"', f'sha256 = "{sha256(content)}"'
        )
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        monitor = Monitor(report=lambda fraction, message: messages.append(message))
        encoder = load_encoder(str(tmp_path / "own.toml"), monitor=monitor)
    assert encoder.encode(pixels() / 4, RGB).shape == (2, 512)
    assert messages
    assert load_encoder(str(tmp_path / "own.toml")).card.fingerprint == encoder.card.fingerprint


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def refusal(path: Path, spec=None) -> EncoderError:
    with pytest.raises(EncoderError) as caught:
        load_network(spec or spec_of(path))
    assert caught.value.hint
    return caught.value


def test_missing_extra_and_misshapen_layers_are_named(tmp_path):
    state = network_state()
    state["features.0.weight"] = torch.zeros(64, 3, 5, 5)
    state["extra.weight"] = state.pop("features.3.squeeze.weight")
    write_weights(tmp_path / "w.pth", state)
    details = refusal(tmp_path / "w.pth").details
    assert "1 missing: features.3.squeeze.weight" in details
    assert "1 left over: extra.weight" in details
    assert "features.0.weight (64, 3, 5, 5) instead of (64, 3, 3, 3)" in details


def test_weights_of_another_network_are_refused(tmp_path, resnet18):
    write_weights(tmp_path / "w.pth", resnet18)
    assert "does not fit the network squeezenet1_1" in refusal(tmp_path / "w.pth").message


def test_weights_for_more_bands_than_described_are_refused(tmp_path):
    write_weights(tmp_path / "w.pth", network_state(n_bands=13))
    said = refusal(tmp_path / "w.pth")
    assert "trained with 13 bands, but encoder random names 3" in said.message


def test_weights_for_red_green_blue_refuse_imagery_without_red(tmp_path):
    write_weights(tmp_path / "w.pth", network_state())
    with pytest.raises(EncoderError, match="needs B04"):
        load_network(spec_of(tmp_path / "w.pth")).encode(pixels(), ("B02", "B03", "B08"))


class Harmful:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"state_dict": network_state(), "args": bad}])
def test_code_in_a_pickle_is_never_run(tmp_path, wrap):
    torch.save(wrap(Harmful(tmp_path / "made")), tmp_path / "w.pth")
    said = refusal(tmp_path / "w.pth")
    assert "cannot be read safely" in said.message
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_with_objects_of_the_program_is_refused(tmp_path):
    torch.save({"state_dict": network_state(), "args": Namespace(lr=0.03)}, tmp_path / "w.pth")
    assert "cannot be read safely" in refusal(tmp_path / "w.pth").message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"w{suffix}"
    write_weights(path, network_state())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refusal(path)


def test_a_truncated_safetensors_file_says_so_when_it_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(network_state(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EncoderError, match=r"not a whole \.safetensors file"):
        load_encoder(str(path))


@pytest.mark.parametrize("content", [b"<html>Not found</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_web_page_saved_as_weights_is_refused(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("held", [[torch.zeros(3)], {"weight": 3}, {}, torch.zeros(3)])
def test_a_file_that_holds_no_named_tensors_is_refused(tmp_path, held):
    torch.save(held, tmp_path / "w.pth")
    assert "other than named tensors" in refusal(tmp_path / "w.pth").message


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(EncoderError) as caught:
        load_network(spec_of(tmp_path / "nowhere.pth"))
    assert "nowhere.pth" in caught.value.hint
    with pytest.raises(EncoderError, match="cannot be read"):
        load_encoder(str(tmp_path / "nowhere.safetensors"))
