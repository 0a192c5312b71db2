"""What all learners that train a whole network share: the network, its input, one step, and what it says of every tile.

A :class:`TileNetwork` standardises the bands, puts the tile through a convolutional network and maps its pooled
features linearly to classes. In the end these features are computed for every row, and the last layer becomes a
:class:`.head.Head` on them, so that probabilities, dropout passes and gradients are those of any other learner.

Networks compute in float32, on a GPU in mixed precision (Micikevicius et al. 2018). On the CPU the seed decides the
result for a given number of threads; float32 sums differ in the last digits with another number, or on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional

from ..architectures import SMALLEST_PX, STAGES, Stages, build_network, load_pretrained
from ..catalogue import Mode
from ..errors import LearningError
from ..kernels import Device, Floats, Indices, tile_elements
from ..monitor import Monitor
from ..resizing import resized
from .base import Fitted, Pixels, Run, Task
from .head import Head
from .loss_module import LossTeacher
from .training import count_numbers, usable_labels

NETWORKS = tuple(STAGES)
STARTS = ("warm", "cold")
_MOMENTUM = 0.9
_MEASURED = 512
_TOGETHER = 64
_TOGETHER_PX = 2**17
"""Pixels that go through the network at a time on a CPU: so few that one can stop every second."""
_NO_SPREAD = 1e-6
_HALF_MAXIMUM = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Design:
    """How a network is built: its architecture, a file of weights to begin with, the share of features to drop.

    warm: begin with what the last round learnt. size_px: enlarge or shrink the tiles; 0 for as they are, but never
    below what the networks can take.
    """

    network: str
    weights: str
    warm: bool
    dropout: float
    size_px: int


class TileNetwork(nn.Module):
    """Standardised tiles (B, bands, H, W) to logits (B, C), by way of features (B, F)."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, design: Design, n_bands: int, n_classes: int) -> None:
        super().__init__()
        self.design = design
        self.network = build_network(design.network, n_bands)
        self.output = nn.Linear(list(STAGES[design.network].values())[-1], n_classes)
        self.register_buffer("mean", torch.zeros(n_bands))
        self.register_buffer("scale", torch.ones(n_bands))

    def inputs(self, pixels: Pixels, rows: Indices) -> torch.Tensor:
        """Some rows as standardised tiles (n, bands, H, W) on the network's device."""
        tiles = torch.from_numpy(pixels(rows)).to(self.mean.device)
        return (tiles - self.mean[:, None, None]) * self.scale[:, None, None]

    def features(self, tiles: torch.Tensor) -> torch.Tensor:
        """Pooled features (B, F) float32 of standardised tiles."""
        sized = resized(tiles, max(self.design.size_px or tiles.shape[-1], SMALLEST_PX))
        with torch.autocast(tiles.device.type, enabled=tiles.device.type == "cuda"):
            features: torch.Tensor = self.network(sized.contiguous(memory_format=torch.channels_last))
        return features.float()

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (B, C); while training, a part of the features is dropped."""
        logits: torch.Tensor = self.output(functional.dropout(features, self.design.dropout, self.training))
        return logits

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits (B, C) of standardised tiles."""
        return self.logits(self.features(tiles))


@contextmanager
def seeded(run: Run) -> Iterator[None]:
    """Let the run's seed decide what torch draws inside, and leave its generators as they were."""
    gpus = [torch.cuda.current_device()] if torch.device(run.device).type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(run.seed)
        if gpus:
            torch.cuda.manual_seed(run.seed)
        yield


def usable(task: Task, monitor: Monitor) -> Task:
    """The task with those labels that can be learnt from.

    Raises:
        LearningError: no labels, labels that do not fit, or one class alone in single mode.
    """
    arguments = (task.embeddings, task.labelled, task.targets, task.n_classes, task.mode, monitor)
    labelled, targets = usable_labels(*arguments)
    return replace(task, labelled=labelled, targets=targets)


def pixels_of(task: Task) -> Pixels:
    """The tiles themselves.

    Raises:
        LearningError: they are out of reach.
    """
    if task.pixels is None:
        raise LearningError(
            "A network learns from the tiles themselves, and they are out of reach.",
            hint="Put the rasters back where they were, or use a learner on embeddings, for example linear.",
        )
    return task.pixels


def open_network(task: Task, run: Run, design: Design) -> TileNetwork:
    """The network before training, on the run's device: as the last round left it, else from its file, else new.

    Its input is standardised by the mean and spread of each band over labelled tiles and a sample of all. Where classes
    were added since the last round, the last layer starts anew.

    Raises:
        EncoderError: the weights cannot be read, or belong to another network.
    """
    pixels = pixels_of(task)
    mean, scale = _band_moments(task, pixels, run)
    net = TileNetwork(design, len(mean), task.n_classes)
    if not (design.warm and run.start and _take_over(net, run.start, run.monitor)):
        if design.weights:
            load_pretrained(net.network, design.network, len(mean), Path(design.weights).expanduser(), task.bands)
        net.mean.copy_(mean)
        net.scale.copy_(scale)
    return net.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _take_over(net: TileNetwork, state: Mapping[str, torch.Tensor], monitor: Monitor) -> bool:
    """Start from the state of an earlier round, if that was of the same network with the same bands."""
    own = net.state_dict()
    fits = {name for name, tensor in own.items() if name in state and state[name].shape == tensor.shape}
    last_layer = {name for name in own if name.startswith("output.")}
    if own.keys() - last_layer - fits:
        monitor.info("What the last round learnt belongs to another network or other bands, so it starts anew.")
        return False
    if last_layer - fits:
        monitor.info("The classes have changed since the last round, so the last layer starts anew.")
        fits -= last_layer
    net.load_state_dict({**own, **{name: state[name] for name in fits}})
    return True


def _band_moments(task: Task, pixels: Pixels, run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and 1 / spread of each band (bands,), over some labelled tiles and some of all; a flat band counts as 0."""
    rows = _sample(task, run.seed)
    means, squares = [], []
    for start in range(0, len(rows), _TOGETHER):
        run.monitor.advance(0.0, "Measuring the bands")
        block = pixels(rows[start : start + _TOGETHER]).astype(np.float64)
        means.append(block.mean(axis=(2, 3)))
        squares.append((block**2).mean(axis=(2, 3)))
    mean = np.concatenate(means).mean(axis=0)
    spread = np.sqrt(np.maximum(np.concatenate(squares).mean(axis=0) - mean**2, 0.0))
    scale = np.where(spread > _NO_SPREAD, 1.0 / np.maximum(spread, _NO_SPREAD), 0.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(scale).float()


def _sample(task: Task, seed: int) -> Indices:
    """Some labelled rows and some of all: two at least, and what was labelled counts for more."""
    rng = np.random.default_rng(seed)
    some = [rng.permutation(rows)[:_MEASURED] for rows in (task.labelled, np.arange(len(task.embeddings)))]
    return np.concatenate(some)


def as_targets(targets: NDArray[np.generic], mode: Mode, device: Device) -> torch.Tensor:
    """Targets (L,) int64 or (L, C) float32."""
    return torch.from_numpy(np.asarray(targets, np.int64 if mode == "single" else np.float32)).to(device)


def losses_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss (B,) of each tile: cross-entropy, or the mean binary cross-entropy of its classes."""
    if targets.ndim == 1:
        return functional.cross_entropy(logits, targets, reduction="none")
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)


def paired_batches(count: int, size: int, rng: np.random.Generator) -> list[Indices]:
    """Places 0..count-1 in random order, in batches of about ``size`` and of even length.

    So the loss module can pair them, and batch normalisation never sees one tile alone. One place comes twice if the
    count is odd.
    """
    order = rng.permutation(count)
    if count % 2:
        order = np.append(order, order[0])
    return [pairs.ravel() for pairs in np.array_split(order.reshape(-1, 2), -(-count // size))]


class Trainer:
    """One step of SGD after another for a network and, if losses are asked for, for the module that predicts them."""

    def __init__(
        self, net: TileNetwork, lr: float, weight_decay: float, *, nesterov: bool, losses: bool, seed: int
    ) -> None:
        self.net = net
        self.lr = lr
        self.optimizer = torch.optim.SGD(
            net.parameters(), lr=lr, momentum=_MOMENTUM, weight_decay=weight_decay, nesterov=nesterov
        )
        device = net.mean.device
        self.scaler = GradScaler(device.type, enabled=device.type == "cuda")
        self.stages: Stages | None = None
        self.teacher: LossTeacher | None = None
        if losses:
            sizes = tuple(STAGES[net.design.network].values())
            self.stages = Stages(net.network, net.design.network)
            self.teacher = LossTeacher(sizes, seed, dtype=torch.float32, device=device)

    def ranking(self, losses: torch.Tensor, progress: float) -> torch.Tensor | float:
        """The loss module's share, for the first rows (B,) of the latest pass, whose losses these are."""
        if self.teacher is None or self.stages is None:
            return 0.0
        return self.teacher.share([matrix[: len(losses)] for matrix in self.stages.features], losses, progress)

    def step(self, loss: torch.Tensor, share: float) -> None:
        """Go one step down, at a share of the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * share
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.optimizer.zero_grad()
        if self.teacher is not None:
            self.scaler.step(self.teacher.optimizer)
            self.teacher.optimizer.zero_grad()
        self.scaler.update()

    @torch.no_grad()
    def finish(self, task: Task, run: Run, monitor: Monitor) -> Fitted:
        """The trained network as a head on the features of all rows, these in half precision."""
        pixels = pixels_of(task)
        together = _tiles_together(self.net, pixels)
        _settle(self.net, pixels, _sample(task, run.seed), together, monitor)
        total = len(task.embeddings)
        features = np.empty((total, self.net.output.in_features), np.float16)
        losses = None if self.teacher is None else np.empty(total, np.float32)
        for start in range(0, total, together):
            monitor.advance(start / total, "Looking at every tile")
            rows = np.arange(start, min(start + together, total))
            computed = self.net.features(self.net.inputs(pixels, rows))
            features[rows] = computed.clamp(max=_HALF_MAXIMUM).cpu().numpy()
            if self.teacher is not None and self.stages is not None and losses is not None:
                losses[rows] = self.teacher.module(self.stages.features).float().cpu().numpy()

        def encode(tiles: Floats) -> Floats:
            return _encoded(self.net, tiles, together)

        trained = count_numbers(self.net.parameters())
        trained += 0 if self.teacher is None else count_numbers(self.teacher.module.parameters())
        return Fitted(_as_head(self.net, task.mode, run.device), features, losses, state_of(self.net), encode, trained)


@torch.no_grad()
def _encoded(net: TileNetwork, tiles: Floats, together: int) -> Floats:
    """Features (n, F), at the precision of those of the task, of reflectance (n, bands, H, W)."""
    features = np.empty((len(tiles), net.output.in_features), np.float16)
    for start in range(0, len(tiles), together):
        some = slice(start, start + together)
        computed = net.features(net.inputs(lambda rows: tiles[rows], np.arange(len(tiles))[some]))
        features[some] = computed.clamp(max=_HALF_MAXIMUM).cpu().numpy()
    return features.astype(np.float32)


def _tiles_together(net: TileNetwork, pixels: Pixels) -> int:
    """How many tiles go through the network at a time; two at least, or batch normalisation has nothing to compare."""
    size = max(net.design.size_px or pixels(np.zeros(1, np.int64)).shape[-1], SMALLEST_PX)
    # On a GPU that ran out of memory the tiles of all kernels are smaller, and so are these.
    together = _TOGETHER_PX if net.mean.device.type == "cpu" else tile_elements() // 2
    return max(2, together // size**2)


def _settle(net: TileNetwork, pixels: Pixels, rows: Indices, together: int, monitor: Monitor) -> None:
    """Measure what batch normalisation divides by anew, on some rows, and stop training.

    The running averages lag behind the parameters: after few steps on few tiles they are so far off that features
    overflow. The parameters stay as they are now, so a plain mean can be taken (Wu and Johnson 2021).
    """
    layers = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    net.train()
    for part in np.array_split(rows, max(1, len(rows) // together)):
        monitor.advance(0.0, "Measuring the network")
        net.features(net.inputs(pixels, part))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    net.eval()


def _as_head(net: TileNetwork, mode: Mode, device: Device) -> Head:
    """The last layer."""
    width = net.output.in_features
    weight, bias = (parameter.detach().float().cpu().clone() for parameter in (net.output.weight, net.output.bias))
    return Head(mode, net.design.dropout, torch.zeros(width), torch.ones(width), weight, bias, device=device)


def state_of(net: TileNetwork) -> dict[str, torch.Tensor]:
    """Copies of all parameters and statistics on the CPU, by name."""
    copies = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in copies.items()}
