"""Where a training begins: with nothing, or with what another encoder has learnt already.

To go on from an encoder takes far fewer epochs than to begin anew. Its network, its bands and the scaling of its input
are then those of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..architectures import STAGES, backbone_weights, file_sha256
from ..encoders.networks import split_whitening
from ..encoders.registry import find_network_with_weights
from ..errors import UsageError
from ..monitor import Monitor
from .options import PretrainOptions
from .sources import Source
from .training import Scaling, Tiles, measure_scaling


@dataclass(frozen=True)
class Start:
    """What a training is given: tiles with the right bands, options with the right network, the input's scaling.

    ``weights`` are the network's, None for random ones; ``identity`` tells one beginning from another.
    """

    source: Source
    options: PretrainOptions
    scaling: Scaling
    weights: dict[str, torch.Tensor] | None
    identity: str


@dataclass(frozen=True)
class _Picked:
    """Some bands of tiles, by their places."""

    tiles: Tiles
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tiles)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.tiles(rows)[:, list(self.places)]


def begin(source: Source, options: PretrainOptions, name: str, monitor: Monitor) -> Start:
    """Begin with the encoder called ``name`` (as for ``embed``), or with nothing if that is empty.

    Raises:
        EncoderError: there is no such encoder, or its weights cannot be read or fetched.
        UsageError: it is no network that can be trained, or the tiles lack its bands.
    """
    if not name:
        return Start(source, options, measure_scaling(source.tiles, options.seed), None, "")
    spec = find_network_with_weights(name, monitor)
    if spec.architecture not in STAGES:
        raise UsageError(
            f"Encoder {spec.name} is a {spec.architecture}, which cannot be trained further.",
            hint=f"Start from a {', '.join(STAGES)}, or from nothing.",
        )
    missing = [band for band in spec.input.bands if band not in source.bands]
    if missing:
        raise UsageError(
            f"Encoder {spec.name} sees {', '.join(missing)}, which {source.name} lacks.",
            hint="Start from an encoder of the bands that there are, or from nothing.",
        )
    weights, _ = split_whitening(backbone_weights(spec.weights))
    gain = spec.input.gain
    scaling = Scaling(
        np.asarray(spec.input.mean, np.float32) / np.float32(gain),
        np.asarray(spec.input.std, np.float32) / np.float32(gain),
    )
    picked = _Picked(source.tiles, tuple(source.bands.index(band) for band in spec.input.bands))
    return Start(
        replace(source, tiles=picked, bands=spec.input.bands),
        replace(options, network=spec.architecture),
        scaling,
        weights,
        f"{spec.name} {file_sha256(spec.weights)[:16]}",
    )
