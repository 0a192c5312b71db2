"""Networks as encoders: a specification (see :mod:`.spec`), its weights, and pooled features as vectors."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

import numpy as np
import torch
from torch import nn

from ..architectures import backbone_weights, bands_of, build_network, file_sha256, load_strictly
from ..errors import EncoderError
from ..kernels.memory import is_out_of_memory
from .base import Encoder, EncoderCard
from .registry import how_to_get_weights
from .spec import POOLING, EncoderSpec
from .throughput import BatchSize, pool_in_float32, precision_of
from .whitening import Whitening

WHITENING = ("readout.mean", "readout.matrix")
"""Under which names a weights file keeps the whitening of a :class:`Readout`."""


class Preparation(Protocol):
    """How reflectance becomes what a network expects; :class:`.spec.InputSpec` is one."""

    @property
    def size_px(self) -> int:
        """The size of the network's input."""

    def prepare(self, reflectance: torch.Tensor) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance, which is left alone -> ``(B, bands, size_px, size_px)``."""


class NetworkEncoder(Encoder):
    """A frozen network whose globally pooled features are the vectors."""

    def __init__(
        self, card: EncoderCard, network: nn.Module, preparation: Preparation, device: str | torch.device
    ) -> None:
        """Freeze a network.

        Args:
            card: what the encoder says of itself.
            network: prepared input (B, bands, S, S) -> features (B, d) or (B, d, H, W).
            preparation: how reflectance becomes that input.
            device: where the network computes.
        """
        super().__init__(card)
        self.preparation = preparation
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        for weights in self.network.parameters():
            if weights.ndim == 4:
                # The layout that both oneDNN and tensor cores compute in; it saves them a copy a layer.
                weights.data = weights.data.contiguous(memory_format=torch.channels_last)
        pool_in_float32(self.network)
        self.precision = precision_of(self.device)
        self._batch = BatchSize(self.device, preparation.size_px)

    @property
    def tiles_together(self) -> int:
        """As many as go through the network at a time."""
        return self._batch.size

    @property
    def remark(self) -> str:
        """In which precision the network computes, if that is not the usual one."""
        if self.precision == torch.float32:
            return ""
        name = str(self.precision).removeprefix("torch.")
        return f"{self.card.name} computes in {name} on this machine's {self.device.type.upper()}, which is faster."

    def _forward(self, reflectance: np.ndarray) -> np.ndarray:
        vectors: list[np.ndarray] = []
        done = 0
        while done < len(reflectance):
            piece = reflectance[done : done + self.tiles_together]
            started = time.perf_counter()
            features = self._features(piece)
            if features is None:
                self._batch.halve(len(piece))
                continue
            self._batch.ran(len(piece), time.perf_counter() - started)
            vectors.append(features)
            done += len(piece)
        return np.concatenate(vectors)

    def _features(self, reflectance: np.ndarray) -> np.ndarray | None:
        """``(B, d)`` float32, or None where memory does not suffice for as many tiles.

        Raises:
            EncoderError: memory does not suffice for a single one.
        """
        try:
            prepared = self.prepare(reflectance)
            features: np.ndarray = self.run(prepared).cpu().numpy()
            if self.precision == torch.float16 and not np.isfinite(features).all():
                # float16 ends at 65,504, which a network that was trained without it may exceed.
                features = self.run(prepared, torch.float32).cpu().numpy()
            return features
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(reflectance) == 1:
                raise EncoderError(
                    f"There is not enough memory to run {self.card.name} on a single tile.",
                    hint="Close other programs, compute on the other device (--device), or take an encoder with a "
                    "smaller network.",
                    details=str(error),
                ) from error
        # Only here, where the error and with it the frames that hold the tensors are gone, can memory be given back.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    @torch.inference_mode()
    def prepare(self, reflectance: np.ndarray) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance as the network's input, on its device and in its layout."""
        pixels = torch.from_numpy(reflectance).to(self.device)
        return self.preparation.prepare(pixels).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(self, prepared: torch.Tensor, precision: torch.dtype | None = None) -> torch.Tensor:
        """The bare network: prepared input -> pooled features ``(B, d)`` float32.

        It computes in ``precision``, the encoder's own by default.
        """
        precision = precision or self.precision
        with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
            features = self.network(prepared)
        return _pooled(features.float())


def load_network(spec: EncoderSpec, device: str | torch.device = "cpu") -> NetworkEncoder:
    """Build the network of a specification and load its weights.

    Raises:
        EncoderError: the file is missing, is not what its hash says, or does not fit the architecture and bands.
    """
    card = _card(spec)
    network = build_network(spec.architecture, len(spec.input.bands))
    state, whitening = split_whitening(_weights(spec))
    load_strictly(network, state, f"{spec.weights.name} does not fit the network {spec.architecture}.")
    return NetworkEncoder(
        card, Readout(network, spec.layers, spec.pooling, whitening) if spec.layers else network, spec.input, device
    )


def _card(spec: EncoderSpec) -> EncoderCard:
    """What the encoder says of itself; its fingerprint is made of the weights and of all that they are fed."""
    if not spec.weights.is_file():
        raise EncoderError(
            f"The weights of encoder {spec.name} are not here ({spec.weights.name}).",
            hint=how_to_get_weights(spec),
        )
    digest = file_sha256(spec.weights)
    if not digest.startswith(spec.sha256.lower()):
        raise EncoderError(
            f"{spec.weights.name} is not the file that encoder {spec.name} was described for.",
            hint="Get the file again, or correct `sha256` in the encoder file.",
            details=f"expected sha256 {spec.sha256}, found {digest}",
        )
    facts = [spec.architecture, spec.layers, asdict(spec.input)]
    if spec.pooling != POOLING[:1]:
        facts.append(spec.pooling)
    described = json.dumps(facts, sort_keys=True)
    fingerprint = hashlib.sha256(f"{digest} {described}".encode()).hexdigest()
    return EncoderCard(
        spec.name, spec.input.bands, fingerprint, spec.licence, spec.source, stand_ins=spec.input.stand_ins()
    )


def _weights(spec: EncoderSpec) -> dict[str, torch.Tensor]:
    """The weights, if they are for as many bands as the specification names."""
    state = backbone_weights(spec.weights)
    described, trained = len(spec.input.bands), bands_of(state, spec.architecture)
    if trained not in (None, described):
        raise EncoderError(
            f"{spec.weights.name} was trained with {trained} bands, but encoder {spec.name} names {described}.",
            hint="List the bands of the training in [input] bands, in its order.",
        )
    return state


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """``(B, d)``: a block within the network leaves ``(B, d, H, W)``."""
    return features.flatten(2).mean(dim=2) if features.ndim == 4 else features


def _varied(features: torch.Tensor) -> torch.Tensor:
    """``(B, d)``: how much each channel varies over the tile; not at all where there are no places."""
    return features.flatten(2).std(dim=2, correction=0) if features.ndim == 4 else torch.zeros_like(features)


_POOLED = dict(zip(POOLING, (_pooled, _varied), strict=True))


@torch.inference_mode()
def dimension_of(spec: EncoderSpec) -> int:
    """How many numbers the network makes of a tile, found without its weights and without computing any."""
    channels, size = len(spec.input.bands), spec.input.size_px
    with torch.device("meta"):
        network = build_network(spec.architecture, channels).eval()
        network = Readout(network, spec.layers, spec.pooling) if spec.layers else network
        return _pooled(network(torch.empty(1, channels, size, size))).shape[1]


class Readout(nn.Module):
    """A network read at some of its blocks, for example ``layer3`` and ``layer4``: their averages, side by side.

    ``pooling`` says what is made of each channel of a block: its ``mean`` over the tile, its ``std``, or both. How much
    a channel varies tells of things that are small beside the tile.

    Blocks differ in how large their numbers are, and many numbers say the same. ``whitening``, measured on the imagery
    that the network was trained on, makes all count alike in the distances between vectors.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        pooling: Sequence[str] = POOLING[:1],
        whitening: Whitening | None = None,
    ) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        try:
            self.blocks = create_feature_extractor(network.eval(), {layer: layer for layer in layers})
        except ValueError as error:
            known = ", ".join(name for name, _ in network.named_modules() if name.count(".") < 2 and name)
            raise EncoderError(
                f"The network has no block called {' or '.join(map(repr, layers))}.",
                hint="Correct `layers` in the encoder file.",
                details=known,
            ) from error
        self.pooling = tuple(pooling)
        self.mean: torch.Tensor | None
        self.matrix: torch.Tensor | None
        for name, values in zip(Whitening._fields, whitening or (None, None), strict=True):
            self.register_buffer(name, values)

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        """``(B, bands, S, S)`` -> ``(B, d)`` float32."""
        blocks = [block.float() for block in self.blocks(prepared).values()]
        features = torch.cat([_POOLED[how](block) for how in self.pooling for block in blocks], dim=1)
        if self.mean is None or self.matrix is None:
            return features
        with torch.autocast(features.device.type, enabled=False):  # a product, which it would take in half precision
            return Whitening(self.mean, self.matrix)(features)


def split_whitening(state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], Whitening | None]:
    """A network's own weights, and the whitening of a :class:`Readout` if the file has one."""
    weights = {name: tensor for name, tensor in state.items() if name not in WHITENING}
    mean, matrix = (state.get(name) for name in WHITENING)
    return weights, None if mean is None or matrix is None else Whitening(mean.float(), matrix.float())
