"""Convolutional networks for any number of bands, and the safe reading of their weights.

The networks are torchvision's, with its parameter names, but for two things: the first convolution takes as many bands
as there are, and in the place of the classifier they end with their pooled features. Encoders use them frozen,
learners train them.

Weights files hold named tensors and nothing else: they are read as safetensors or with ``weights_only=True``, never by
unpickling objects.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .errors import EncoderError

SMALLEST_PX = 32
"""The networks halve the image five times."""

HEAD_PREFIXES = ("fc.", "classifier.", "head.", "projector.", "projection_head.")
"""The parameters of the classifier or projection, which is taken off: they may be in a file or not."""

# Under which name a training checkpoint keeps the network among momentum copy, queue and heads: MoCo v1 and v2, v3,
# frameworks that call it the backbone; `module.` is left by training on several GPUs.
NETWORK_PREFIXES = (
    "module.encoder_q.",
    "module.base_encoder.",
    "module.backbone.",
    "encoder_q.",
    "base_encoder.",
    "backbone.",
    "module.",
)


def _resnet(name: str, n_bands: int) -> nn.Module:
    """A ResNet that ends with its globally pooled features."""
    network = _torchvision(name)
    network.conv1 = nn.Conv2d(n_bands, 64, kernel_size=7, stride=2, padding=3, bias=False)
    network.fc = nn.Identity()
    return network


def _half_resnet(_name: str, n_bands: int) -> nn.Module:
    """ResNet-18 with half the channels everywhere: 2.8 million parameters, a quarter of the work, 256 features."""
    from torchvision.models.resnet import BasicBlock

    network: Any = _torchvision("resnet18")
    network.conv1 = nn.Conv2d(n_bands, 32, kernel_size=7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(32)
    before = 32
    for number, channels in enumerate(STAGES["resnet18_half"].values(), start=1):
        stride = 1 if number == 1 else 2
        shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        first = BasicBlock(before, channels, stride, shortcut if stride > 1 else None)
        setattr(network, f"layer{number}", nn.Sequential(first, BasicBlock(channels, channels)))
        before = channels
    network.fc = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision begins its ResNets
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    result: nn.Module = network
    return result


def _densenet(name: str, n_bands: int) -> nn.Module:
    """A DenseNet that ends with its globally pooled features."""
    network: Any = _torchvision(name)
    network.features.conv0 = nn.Conv2d(n_bands, 64, kernel_size=7, stride=2, padding=3, bias=False)
    network.classifier = nn.Identity()
    result: nn.Module = network
    return result


def _squeezenet(name: str, n_bands: int) -> nn.Module:
    """SqueezeNet without its classifier: the 512 features of the last fire module, globally pooled."""
    network: Any = _torchvision(name)
    network.features[0] = nn.Conv2d(n_bands, 64, kernel_size=3, stride=2)
    network.classifier = nn.AdaptiveAvgPool2d(1)
    result: nn.Module = network
    return result


def _torchvision(name: str) -> nn.Module:
    # torchvision takes a second to import; who only lists what there is need not wait for it.
    import torchvision

    network: nn.Module = torchvision.models.get_model(name, weights=None)
    return network


ARCHITECTURES: dict[str, Callable[[str, int], nn.Module]] = {
    "densenet121": _densenet,
    "resnet18": _resnet,
    "resnet18_half": _half_resnet,
    "resnet50": _resnet,
    "squeezenet1_1": _squeezenet,
}
_RESNET = ("layer1", "layer2", "layer3", "layer4")
STAGES: dict[str, dict[str, int]] = {
    "densenet121": {f"features.denseblock{n}": size for n, size in enumerate((256, 512, 1024, 1024), start=1)},
    "resnet18": dict(zip(_RESNET, (64, 128, 256, 512), strict=True)),
    "resnet18_half": dict(zip(_RESNET, (32, 64, 128, 256), strict=True)),
    "resnet50": dict(zip(_RESNET, (256, 512, 1024, 2048), strict=True)),
}
"""The four blocks of the networks that learners train, with their channels; F is as large as the last."""
_FIRST = {
    "densenet121": "features.conv0",
    "resnet18": "conv1",
    "resnet18_half": "conv1",
    "resnet50": "conv1",
    "squeezenet1_1": "features.0",
}


_PHOTOGRAPH = ("B04", "B03", "B02")
"""The channels of a photograph, in their order: red, green, blue."""

# torchvision's own file for DenseNet has names such as `denselayer1.norm.1.weight`, from before 2018.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def build_network(architecture: str, n_bands: int) -> nn.Module:
    """An untrained network (B, n_bands, H, W) -> (B, F), its weights drawn by torch's global generator.

    Raises:
        EncoderError: no such network.
    """
    if architecture not in ARCHITECTURES:
        raise EncoderError(
            f"The network {architecture!r} is not known.", hint=f"Choose one of {', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[architecture](architecture, n_bands)


class Stages:
    """What a network computes on its way: during each pass, the global averages (B, F_i) of its four blocks."""

    def __init__(self, network: nn.Module, architecture: str) -> None:
        self.features: list[torch.Tensor] = []
        network.register_forward_pre_hook(self._begin)
        for name in STAGES[architecture]:
            network.get_submodule(name).register_forward_hook(self._keep)

    def _begin(self, network: nn.Module, inputs: Any) -> None:  # noqa: ARG002
        self.features = []

    def _keep(self, block: nn.Module, inputs: Any, output: torch.Tensor) -> None:  # noqa: ARG002
        self.features.append(output.float().mean(dim=(2, 3)))


def load_pretrained(
    network: nn.Module, architecture: str, n_bands: int, weights: Path, bands: Sequence[str] = ()
) -> None:
    """Give a network the weights of one that was trained on photographs (torchvision's ImageNet files).

    All but the classifier's must be there. Red, green and blue get the filters of these channels, in whatever order
    ``bands`` names them. Three others, or three without names, are taken to run from the shortest waves to the longest
    as Sentinel-2's do, and the channels of photographs run the other way, so these get the filters in reverse. For any
    other number each band gets the mean filter, scaled by 3 / n_bands so that the sum over the bands is as large as it
    was.

    Raises:
        EncoderError: the file is missing, cannot be read safely, or holds the weights of another network.
    """
    if not weights.is_file():
        raise EncoderError(f"There is no weights file at {weights}.", hint="Check the path, or train without weights.")
    state = backbone_weights(weights)
    first = f"{_FIRST[architecture]}.weight"
    filters = state.get(first)
    if filters is not None and filters.ndim == 4 and filters.shape[1] == 3:
        mean = filters.mean(dim=1, keepdim=True) * (3.0 / n_bands)
        state[first] = filters[:, _channels_for(bands)] if n_bands == 3 else mean.repeat(1, n_bands, 1, 1)
    load_strictly(network, state, f"{weights.name} does not hold the weights of a {architecture} for photographs.")


def _channels_for(bands: Sequence[str]) -> list[int]:
    """Which channel of a photograph each of three bands is."""
    if sorted(bands) == sorted(_PHOTOGRAPH):
        return [_PHOTOGRAPH.index(band) for band in bands]
    return [2, 1, 0]


def load_strictly(network: nn.Module, state: dict[str, torch.Tensor], complaint: str) -> None:
    """Load weights of which none may be missing, left over or of another shape; ``complaint`` is said otherwise.

    Raises:
        EncoderError: they do not fit; the details name some of them.
    """
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EncoderError(
            complaint,
            hint="Check which network the weights were trained for, and with which bands.",
            details="\n".join(_misfits(network.state_dict(), state)),
        ) from error


def _misfits(wanted: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> list[str]:
    """What is missing, left over or of another shape, a line each."""
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted.keys() & state.keys()
        if state[name].shape != wanted[name].shape
    ]
    found = (
        ("missing", wanted.keys() - state.keys()),
        ("left over", state.keys() - wanted.keys()),
        ("of another shape", shapes),
    )
    return [
        f"{len(names)} {what}: {', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}"
        for what, names in found
        if names
    ]


def bands_of(state: dict[str, torch.Tensor], architecture: str) -> int | None:
    """How many bands the first convolution in some weights takes; None if there is no such convolution."""
    filters = state.get(f"{_FIRST[architecture]}.weight")
    return filters.shape[1] if filters is not None and filters.ndim == 4 else None


def backbone_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file but those of its head, under the names that torchvision uses today.

    The file may be a training checkpoint; see :func:`read_state_dict`.

    Raises:
        EncoderError: it is something else, or cannot be read.
    """
    state = read_state_dict(path)
    prefix = next((prefix for prefix in NETWORK_PREFIXES if any(name.startswith(prefix) for name in state)), "")
    network = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {
        _OLD_DENSENET.sub(r"\1\2", name): tensor
        for name, tensor in network.items()
        if not name.startswith(HEAD_PREFIXES)
    }


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a ``.safetensors`` file or of a PyTorch file.

    A training checkpoint keeps them under ``state_dict`` or ``model``, beside optimiser and epoch.

    Raises:
        EncoderError: it is something else, or cannot be read without running code that is in it.
    """
    state = _read_safely(path)
    if isinstance(state, dict):
        state = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state)
    if not isinstance(state, dict) or not state or not all(map(torch.is_tensor, state.values())):
        raise EncoderError(
            f"{path.name} holds something other than named tensors.",
            hint="Save the network's state_dict, alone or as `state_dict` of a training checkpoint.",
        )
    return state


def _read_safely(path: Path) -> Any:
    """What a weights file holds; no code in it is run."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EncoderError(
            f"{path.name} cannot be read safely: it is no weights file, or holds more than numbers and names.",
            hint="Use a .safetensors file or a state_dict saved by torch.save; whole pickled models, which can run any "
            "program, are refused.",
            details=str(error).strip().splitlines()[0][:200],
        ) from error
    except Exception as error:  # the readers of zip and safetensors share no other base class
        raise EncoderError(
            f"{path.name} cannot be read: it is damaged, cut short, or no weights file.",
            hint="Get the file again.",
            details=f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}",
        ) from error


def file_sha256(path: Path) -> str:
    """The hash of a weights file, in hexadecimal.

    Raises:
        EncoderError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EncoderError(
            f"The weights file {path} cannot be read.",
            hint="Check the path; a name without a folder is looked for beside the encoder file.",
            details=str(error),
        ) from error
