"""torchvision networks as encoders, from a local weights file and an explicit specification of their input.

A weights file says nothing about what it was trained on: which bands, in which order, in which unit, how normalised,
at which size. An encoder file (TOML) says so, and names the weights::

    name = "squeezenet1_1-caffe"
    architecture = "squeezenet1_1"            # or resnet18, resnet50, densenet121
    layer = "features.10"                     # optional: pool this block instead of the last one
    weights = "squeezenet1_1_imagenet.pth"    # beside this file, or an absolute path
    sha256 = "..."                            # optional: the whole hash or its beginning

    [input]
    bands = ["B02", "B03", "B04"]             # in the order of the network's channels
    unit = "byte"                             # reflectance | dn | byte (0-255) | fraction (0-1)
    white = 0.27285                           # byte and fraction: the reflectance that becomes 255 or 1
    mean = [104.0, 117.0, 123.0]              # in that unit, one a band
    std = [1.0, 1.0, 1.0]
    size_px = 128                             # tiles are resized to this
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..architectures import backbone_weights, build_network, file_sha256, load_strictly
from ..errors import EncoderError
from .base import Encoder, EncoderCard

# Pixels that go through the network together. On a CPU few enough that the first layers' results stay in its cache:
# SqueezeNet at 128 px ran twice as fast with 32 tiles at a time as with 128. With 28 its largest result, 64 channels at
# half the size, stays below 32 MB, up to where glibc keeps memory for the next batch: another 5 %. A GPU wants to be
# filled.
TOGETHER_PX = {"cpu": 28 * 2**14, "cuda": 2**23}
# Input units per unit of reflectance; for byte and fraction the reflectance `white` becomes the unit's maximum.
UNIT_MAXIMUM = {"byte": 255.0, "fraction": 1.0}
UNIT_GAIN = {"reflectance": 1.0, "dn": 10_000.0}
UNITS = (*UNIT_GAIN, *UNIT_MAXIMUM)


@dataclass(frozen=True)
class InputSpec:
    """What a network expects at its input: ``(x - mean) / std`` with ``x`` in ``unit``, ``size_px`` square."""

    bands: tuple[str, ...]
    unit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_px: int
    white: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if not self.bands or len(set(self.bands)) != len(self.bands):
            problems.append("bands must name at least one band, each once")
        if self.unit not in UNITS:
            problems.append(f"unit must be one of {', '.join(UNITS)}, not {self.unit!r}")
        if self.unit in UNIT_MAXIMUM and not (self.white and self.white > 0):
            problems.append(f"unit {self.unit} needs `white`, the reflectance that becomes {UNIT_MAXIMUM[self.unit]:g}")
        if len(self.mean) != len(self.bands) or len(self.std) != len(self.bands):
            problems.append("mean and std need one number a band")
        if any(value <= 0 for value in self.std):
            problems.append("std must be above 0")
        if self.size_px < 32:
            problems.append("size_px must be 32 or more")
        if problems:
            raise EncoderError(
                "The encoder's input specification is not usable.",
                hint="Correct the [input] table of the encoder file.",
                details="\n".join(problems),
            )

    def prepare(self, reflectance: torch.Tensor) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance -> ``(B, bands, size_px, size_px)`` in the network's unit, normalised."""
        if self.unit in UNIT_MAXIMUM:
            assert self.white is not None
            pixels = (reflectance * (UNIT_MAXIMUM[self.unit] / self.white)).clamp_(0, UNIT_MAXIMUM[self.unit])
        else:
            pixels = reflectance * UNIT_GAIN[self.unit]
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        pixels = pixels.sub_(mean).div_(std)
        size = (self.size_px, self.size_px)
        if pixels.shape[-2:] == size:
            return pixels
        shrinks = pixels.shape[-1] > self.size_px  # antialiasing costs twice the time and enlarging needs none
        return nn.functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


@dataclass(frozen=True)
class NetworkSpec:
    """An encoder file, read: the network, its weights, its input."""

    name: str
    architecture: str
    weights: Path
    input: InputSpec
    layer: str = ""
    sha256: str = ""
    licence: str = ""
    source: str = ""


class NetworkEncoder(Encoder):
    """A frozen convolutional network whose globally pooled features are the vectors."""

    def __init__(self, spec: NetworkSpec, device: str | torch.device = "cpu") -> None:
        """Build the network and load its weights.

        Raises:
            EncoderError: the file is missing, is not what its hash says, or does not fit the architecture and bands.
        """
        if not spec.weights.is_file():
            raise EncoderError(
                f"The weights of encoder {spec.name} are not here ({spec.weights.name}).",
                hint=f"Get that file{f' from {spec.source}' if spec.source else ''} and give its path as the encoder: "
                f"FOLDER/{spec.weights.name}",
            )
        digest = file_sha256(spec.weights)
        if not digest.startswith(spec.sha256.lower()):
            raise EncoderError(
                f"{spec.weights.name} is not the file that encoder {spec.name} was described for.",
                hint="Get the file again, or correct `sha256` in the encoder file.",
                details=f"expected sha256 {spec.sha256}, found {digest}",
            )
        described = json.dumps([spec.architecture, spec.layer, asdict(spec.input)], sort_keys=True)
        fingerprint = hashlib.sha256(f"{digest} {described}".encode()).hexdigest()
        super().__init__(EncoderCard(spec.name, spec.input.bands, fingerprint, spec.licence, spec.source))
        self.spec = spec
        self.device = torch.device(device)
        network = build_network(spec.architecture, len(spec.input.bands))
        load_strictly(
            network,
            backbone_weights(spec.weights),
            f"{spec.weights.name} does not fit {spec.architecture} with {len(spec.input.bands)} bands.",
        )
        network = cut_at(network, spec.layer) if spec.layer else network
        # Channels-last is the layout that both oneDNN and tensor cores compute in; it saves them a copy a layer.
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _forward(self, reflectance: np.ndarray) -> np.ndarray:
        parts = np.array_split(reflectance, -(-len(reflectance) // self.tiles_together))
        return np.concatenate([self.run(self.prepare(part)).float().cpu().numpy() for part in parts])

    @property
    def tiles_together(self) -> int:
        """As many as go through the network at a time."""
        return max(1, TOGETHER_PX[self.device.type] // self.spec.input.size_px**2)

    @torch.inference_mode()
    def prepare(self, reflectance: np.ndarray) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance as the network's input, on its device and in its layout."""
        pixels = torch.from_numpy(reflectance).to(self.device)
        return self.spec.input.prepare(pixels).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(self, prepared: torch.Tensor) -> torch.Tensor:
        """The bare network: prepared input -> pooled features ``(B, d)``."""
        return _pooled(self.network(prepared))


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """``(B, d)``: a block within the network leaves ``(B, d, H, W)``."""
    return features.flatten(2).mean(dim=2) if features.ndim == 4 else features


@torch.inference_mode()
def dimension_of(spec: NetworkSpec) -> int:
    """How many numbers the network makes of a tile, found without its weights and without computing any."""
    channels, size = len(spec.input.bands), spec.input.size_px
    with torch.device("meta"):
        network = build_network(spec.architecture, channels).eval()
        network = cut_at(network, spec.layer) if spec.layer else network
        return _pooled(network(torch.empty(1, channels, size, size))).shape[1]


def cut_at(network: nn.Module, layer: str) -> nn.Module:
    """The network up to one of its blocks, for example ``features.10`` or ``layer3``."""
    from torchvision.models.feature_extraction import create_feature_extractor

    class Cut(nn.Module):
        def __init__(self, extractor: nn.Module) -> None:
            super().__init__()
            self.extractor = extractor

        def forward(self, prepared: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.extractor(prepared)[layer]
            return features

    try:
        return Cut(create_feature_extractor(network.eval(), {layer: layer}))
    except ValueError as error:
        blocks = ", ".join(name for name, _ in network.named_modules() if name.count(".") < 2 and name)
        raise EncoderError(
            f"The network has no block called {layer!r}.", hint="Correct `layer` in the encoder file.", details=blocks
        ) from error
