"""Makes real encoder files and weights with random numbers, in the formats that are published."""

import torch
from safetensors.torch import save_file

from quadrat.core.architectures import build_network
from quadrat.core.encoders.spec import EncoderSpec, InputSpec

RGB = ("B04", "B03", "B02")


def input_spec(bands=RGB, **changes) -> InputSpec:
    ones = tuple(1.0 for _ in bands)
    return InputSpec(**{"bands": bands, "unit": "reflectance", "mean": ones, "std": ones, "size_px": 64, **changes})


def network_state(architecture="squeezenet1_1", n_bands=3, seed=0):
    """The state of an untrained network, without the classifier."""
    torch.manual_seed(seed)
    return build_network(architecture, n_bands).state_dict()


def spec_of(weights, architecture="squeezenet1_1", bands=RGB, **changes) -> EncoderSpec:
    return EncoderSpec("random", architecture, input_spec(bands, **changes), weights=weights)


def exact(encoder):
    """The encoder computing in float32 wherever the test runs, as the reference does."""
    encoder.precision = torch.float32
    return encoder


def write_weights(path, state) -> None:
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
