"""Encoders: the right numbers from the right bands, in the right unit, from the right file, or a clear refusal."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from quadrat.core.architectures import ARCHITECTURES, build_network
from quadrat.core.encoders.networks import dimension_of
from quadrat.core.encoders.registry import load_encoder, shipped_files
from quadrat.core.encoders.spec import InputSpec, read_spec, save_encoder
from quadrat.core.errors import EncoderError

from .encoder_files import exact, network_state, spec_of

RGB = ("B04", "B03", "B02")
SPEC = """
architecture = "{architecture}"
weights = "{weights}"
{extra}

[input]
bands = {bands}
unit = "{unit}"
white = 0.25
mean = {mean}
std = {std}
size_px = 64
"""


def reflectance(n=3, bands=3, size=64, seed=0):
    return np.random.default_rng(seed).uniform(0.01, 0.4, (n, bands, size, size)).astype(np.float32)


def write_encoder(folder, architecture="squeezenet1_1", bands=RGB, unit="fraction", extra="", suffix=".pth"):
    """A real encoder file with random weights of the architecture, as training would leave them."""
    torch.manual_seed(0)
    network = build_network(architecture, len(bands))
    weights = folder / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), weights)
    path = folder / "encoder.toml"
    ones = [1.0] * len(bands)
    text = SPEC.format(
        architecture=architecture, weights=weights.name, bands=list(bands), unit=unit, mean=ones, std=ones, extra=extra
    )
    path.write_text(text.replace("'", '"'), encoding="utf-8")
    return path


def test_statistics_are_mean_deviation_minimum_and_maximum_of_each_band():
    pixels = reflectance(n=40, bands=2)
    vectors = load_encoder("statistics").encode(pixels, ("B02", "B8A"))
    expected = np.concatenate([f(pixels, axis=(2, 3)) for f in (np.mean, np.std, np.min, np.max)], axis=1)
    np.testing.assert_allclose(vectors, expected, rtol=1e-5)


def test_statistics_keep_a_small_spread_on_a_bright_tile():
    pixels = np.full((1, 1, 64, 64), 0.9, np.float32)
    pixels[..., ::2] += 1e-4
    spread = load_encoder("statistics").encode(pixels, ("B02",))[0, 1]
    assert spread == pytest.approx(5e-5, rel=0.01)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name in torchvision.models.list_models()])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_network_encoder_computes_the_pooled_features_of_torchvisions_network(tmp_path, architecture, suffix):
    path = write_encoder(tmp_path, architecture, suffix=suffix)
    pixels = reflectance()
    encoder = load_encoder(str(path))
    encoder.precision = torch.float32
    vectors = encoder.encode(pixels, ("B02", "B03", "B04"))

    reference = torchvision.models.get_model(architecture, weights=None).eval()
    state = encoder.network.state_dict()
    missing = reference.load_state_dict(state, strict=False).missing_keys
    assert all(key.startswith(("fc.", "classifier.")) for key in missing)
    inputs = torch.from_numpy(np.clip(pixels[:, ::-1] / 0.25, 0, 1) - 1.0)
    last = "fc" if architecture.startswith("resnet") else "classifier"
    setattr(reference, last, nn.AdaptiveAvgPool2d(1) if architecture == "squeezenet1_1" else nn.Identity())
    with torch.no_grad():
        expected = reference(inputs).numpy()
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-4)


def test_half_a_resnet_is_a_resnet_with_half_the_channels():
    half, whole = (build_network(name, 3).state_dict() for name in ("resnet18_half", "resnet18"))
    assert half.keys() == whole.keys()
    for name, tensor in half.items():
        outputs = whole[name].shape[0] // 2 if whole[name].ndim else None
        assert tensor.ndim == 0 or tensor.shape[0] == outputs
    assert sum(tensor.numel() for tensor in half.values()) < 2.9e6


def test_blocks_are_read_side_by_side_and_whitened(tmp_path):
    """Against forward hooks on the network, and the whitening by hand."""
    state = network_state("resnet18_half")
    rng = np.random.default_rng(0)
    mean, matrix = (torch.from_numpy(rng.uniform(0.5, 2.0, shape)).float() for shape in (320, (320, 320)))
    path = tmp_path / "mine.safetensors"
    spec = replace(spec_of(path, "resnet18_half"), layers=("layer2", "layer4"))
    save_encoder(path, {**state, "readout.mean": mean, "readout.matrix": matrix}, spec)
    pixels = reflectance()
    vectors = exact(load_encoder(str(path))).encode(pixels, RGB)
    network, found = build_network("resnet18_half", 3).eval(), []
    network.load_state_dict(state)
    for block in (network.layer2, network.layer4):
        block.register_forward_hook(lambda _m, _i, output: found.append(output.mean(dim=(2, 3))))
    with torch.no_grad():
        network(torch.from_numpy(pixels) - 1.0)
    expected = (torch.cat(found, dim=1) - mean) @ matrix
    np.testing.assert_allclose(vectors, expected.numpy(), rtol=1e-3, atol=1e-4)
    assert dimension_of(spec) == 320


def test_blocks_may_say_how_much_their_channels_vary(tmp_path):
    """First the averages of all blocks, then the spreads; against the network cut off after each block."""
    path = tmp_path / "mine.safetensors"
    spec = replace(spec_of(path), layers=("features.3", "features.8"), pooling=("mean", "std"))
    state = network_state()
    save_encoder(path, state, spec)
    pixels = reflectance()
    vectors = exact(load_encoder(str(path))).encode(pixels, RGB)
    network, maps = build_network("squeezenet1_1", 3).eval(), []
    network.load_state_dict(state)
    for block in (network.features[3], network.features[8]):
        block.register_forward_hook(lambda _m, _i, output: maps.append(output))
    with torch.no_grad():
        network(torch.from_numpy(pixels) - 1.0)
    parts = [f.mean(dim=(2, 3)) for f in maps] + [f.flatten(2).numpy().std(axis=2) for f in maps]
    np.testing.assert_allclose(vectors, np.concatenate(parts, axis=1), rtol=1e-3, atol=1e-4)
    assert dimension_of(spec) == vectors.shape[1] == 2 * dimension_of(replace(spec, pooling=("mean",)))


@pytest.mark.parametrize(
    ("layers", "pooling"), [(("layer4",), ("max",)), (("layer4",), ()), (("layer4",), ("std", "std")), ((), ("std",))]
)
def test_pooling_that_cannot_be_is_refused(tmp_path, layers, pooling):
    with pytest.raises(EncoderError) as refusal:
        replace(spec_of(tmp_path / "mine.safetensors", "resnet18"), layers=layers, pooling=pooling)
    assert "pooling" in refusal.value.details


def test_any_number_of_bands_is_possible(tmp_path):
    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    path = write_encoder(tmp_path, "resnet18", bands=bands)
    assert load_encoder(str(path)).encode(reflectance(bands=6), bands).shape == (3, 512)


def test_bands_are_put_into_the_encoders_order(tmp_path):
    encoder = load_encoder(str(write_encoder(tmp_path)))
    pixels = reflectance()
    straight = encoder.encode(pixels, RGB)
    turned = encoder.encode(np.ascontiguousarray(pixels[:, ::-1]), RGB[::-1])
    np.testing.assert_allclose(straight, turned, rtol=1e-5)


def test_tiles_of_another_size_are_resized_to_the_networks():
    spec = InputSpec(("B02",), "reflectance", (0.0,), (1.0,), 64)
    assert spec.prepare(torch.full((1, 1, 96, 96), 0.3)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("unit", "expected"), [("reflectance", 0.2), ("dn", 2000.0), ("byte", 204.0), ("fraction", 0.8)]
)
def test_units_are_what_they_say(unit, expected):
    spec = InputSpec(("B02",), unit, (0.0,), (1.0,), 64, white=0.25)
    assert spec.prepare(torch.full((1, 1, 64, 64), 0.2)).mean().item() == pytest.approx(expected)


def test_preparing_leaves_the_given_pixels_alone():
    pixels = torch.full((1, 1, 64, 64), 0.2)
    InputSpec(("B02",), "reflectance", (0.5,), (2.0,), 64).prepare(pixels)
    assert (pixels == 0.2).all()


def test_a_missing_band_is_named(tmp_path):
    encoder = load_encoder(str(write_encoder(tmp_path)))
    with pytest.raises(EncoderError, match="needs B04"):
        encoder.encode(reflectance(bands=2), ("B02", "B03"))


def test_digital_numbers_are_refused():
    with pytest.raises(EncoderError, match="expects reflectance") as caught:
        load_encoder("statistics").encode(reflectance() * 10_000, RGB)
    assert "--scale" in caught.value.hint


def test_the_hash_pins_the_file(tmp_path):
    path = write_encoder(tmp_path, extra='sha256 = "00ff"')
    with pytest.raises(EncoderError, match="not the file"):
        load_encoder(str(path))
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    path.write_text(path.read_text().replace("00ff", digest[:10]))
    assert load_encoder(str(path)).card.bands == RGB


def test_weights_find_the_encoder_file_beside_them(tmp_path):
    write_encoder(tmp_path).rename(tmp_path / "weights.toml")
    assert load_encoder(str(tmp_path / "weights.pth")).card.name == "weights"


def test_weights_that_nothing_describes_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "mystery.pth")
    with pytest.raises(EncoderError, match="does not know what input") as caught:
        load_encoder(str(tmp_path / "mystery.pth"))
    assert "mystery.toml" in caught.value.hint


def test_another_input_is_another_fingerprint(tmp_path):
    path = write_encoder(tmp_path)
    before = load_encoder(str(path)).card.fingerprint
    path.write_text(path.read_text().replace("white = 0.25", "white = 0.3"))
    assert load_encoder(str(path)).card.fingerprint != before


def test_a_pickled_object_is_never_loaded(tmp_path):
    path = write_encoder(tmp_path)
    torch.save(build_network("squeezenet1_1", 3), tmp_path / "weights.pth")
    with pytest.raises(EncoderError, match="read safely"):
        load_encoder(str(path))


def test_weights_for_other_bands_do_not_fit(tmp_path):
    path = write_encoder(tmp_path)
    text = path.read_text()
    for old, new in (('["B04", "B03", "B02"]', '["B04", "B03"]'), ("[1.0, 1.0, 1.0]", "[1.0, 1.0]")):
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(EncoderError, match="trained with 3 bands, but encoder encoder names 2"):
        load_encoder(str(path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size_px = 64", "", "`input.size_px` is missing"),
        ('unit = "fraction"', 'unit = "percent"', "unit must be one of"),
        ("white = 0.25", "", "needs `white`"),
        ("mean = [1.0, 1.0, 1.0]", "mean = [1.0]", "one number a band"),
        ('architecture = "squeezenet1_1"', 'architecture = "vgg11"', "network 'vgg11'"),
        ("[input]", "speed = 3\n[input]", "`speed` is not known"),
        ("[input]", "[input", "cannot be read"),
        ("size_px = 64", "size_px = 64\nsize = 3", "`input.size` is not known"),
    ],
)
def test_an_encoder_file_with_a_mistake_says_which(tmp_path, old, new, said):
    path = write_encoder(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(EncoderError) as caught:
        load_encoder(str(path))
    assert said in f"{caught.value.message} {caught.value.hint} {caught.value.details}"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(EncoderError) as caught:
        load_encoder("dinosaur")
    assert caught.value.exit_status == 2  # used wrongly, as with an unknown learner
    assert "statistics" in caught.value.hint
    assert "resnet50-imagenet" in caught.value.hint


def test_every_shipped_encoder_file_is_complete():
    specs = [read_spec(path) for path in shipped_files()]
    assert {spec.architecture for spec in specs} <= set(ARCHITECTURES)
    assert all(spec.dimension and spec.licence and spec.source and spec.summary for spec in specs)
    assert all(spec.sha256 or spec.weights.suffix == ".safetensors" for spec in specs)
    assert {spec.name for spec in specs} == {path.stem for path in shipped_files()}


@pytest.mark.parametrize("path", list(shipped_files()), ids=lambda path: path.stem)
def test_the_dimension_of_every_shipped_encoder_is_the_networks(path):
    spec = read_spec(path)
    assert spec.dimension == dimension_of(spec)


def test_a_shipped_address_is_pinned_by_the_hash_in_the_files_name():
    for spec in map(read_spec, shipped_files()):
        if spec.url:
            assert spec.url.startswith("https://")
            assert spec.url.endswith(f"/{spec.weights.name}")
            assert spec.sha256[:8] in spec.weights.name
            if "hf.co" in spec.url:
                assert re.search(r"/resolve/[0-9a-f]{40}/", spec.url)


def test_an_earlier_block_may_be_pooled_instead_of_the_last(tmp_path):
    path = write_encoder(tmp_path, extra='layers = ["features.10"]')
    encoder = load_encoder(str(path))
    encoder.precision = torch.float32
    pixels = reflectance()
    reference = torchvision.models.squeezenet1_1(weights=None).eval()
    state = torch.load(tmp_path / "weights.pth", weights_only=True)
    reference.load_state_dict(state, strict=False)
    inputs = torch.from_numpy(np.clip(pixels[:, ::-1] / 0.25, 0, 1) - 1.0)
    with torch.no_grad():
        expected = reference.features[:11](inputs).mean(dim=(2, 3)).numpy()
    vectors = encoder.encode(pixels, ("B02", "B03", "B04"))
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-4)
    path.write_text(path.read_text().replace("features.10", "features.99"))
    with pytest.raises(EncoderError, match=r"features\.99") as caught:
        load_encoder(str(path))
    assert "features.10" in caught.value.details
