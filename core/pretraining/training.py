"""The training itself: one batch of views after the other, and a checkpoint from which it goes on as if nothing had
happened.

What a step sees depends on the seed, the number of the step and the neighbours mined last, which the checkpoint keeps.
So a training that was killed and resumed learns bit for bit the same on a CPU (with as many threads as before), and
other threads can make the next views while the network is busy.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.amp.grad_scaler import GradScaler

from ..architectures import STAGES, build_network, load_strictly
from ..encoders.networks import Readout
from ..encoders.throughput import precision_of
from ..errors import Cancelled, EncoderError
from ..monitor import SILENT, Monitor
from ..resizing import resized
from .checkpoint import Checkpoint
from .contrast import Contrast, MoCo, SimCLR
from .options import PretrainOptions
from .positives import mine_neighbours
from .views import Views

SAVE_EVERY_S = 60.0
_WARM_UP_EPOCHS = 2
_MEASURED = 2048
_TOGETHER = 128
_ORDER, _VIEWS, _KEYS, _POSITIVES = range(4)
"""What chance is drawn for; each kind has a stream of its own."""


class Tiles(Protocol):
    """What is learnt from: reflectance by row."""

    def __len__(self) -> int:
        """How many rows there are, N."""

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Reflectance (n, bands, H, W) of some rows (n,)."""


@dataclass(frozen=True)
class Scaling:
    """How reflectance is standardised: mean and standard deviation of each band, ``(bands,)`` float32."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __call__(self, reflectance: torch.Tensor) -> torch.Tensor:
        """Tiles (B, bands, H, W), standardised, in the layout that convolutions compute in."""
        mean, std = (torch.from_numpy(v).to(reflectance.device)[:, None, None] for v in (self.mean, self.std))
        return ((reflectance - mean) / std).contiguous(memory_format=torch.channels_last)


def measure_scaling(tiles: Tiles, seed: int) -> Scaling:
    """Mean and standard deviation of each band over some thousands of tiles; the deviation of a flat band is 1."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(tiles))[:_MEASURED])
    blocks = [tiles(part).astype(np.float64) for part in np.array_split(rows, -(-len(rows) // 128))]
    weights = np.array([len(block) for block in blocks]) / len(rows)
    mean = weights @ np.stack([block.mean(axis=(0, 2, 3)) for block in blocks])
    square = weights @ np.stack([(block**2).mean(axis=(0, 2, 3)) for block in blocks])
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return Scaling(mean.astype(np.float32), np.where(std > 1e-6, std, 1.0).astype(np.float32))


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    ``steps`` are finished; ``losses`` and ``accuracies`` hold the mean loss and the k-NN accuracy of each finished
    epoch (accuracies are missing where there are no labels), ``running`` the losses of the epoch's steps so far.
    """

    steps: int = 0
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()
    running: tuple[float, ...] = ()

    def is_stuck(self, patience: int) -> bool:
        """Whether nothing became better for ``patience`` epochs (never, if that is 0)."""
        history = self.accuracies or tuple(-loss for loss in self.losses)
        return 0 < patience < len(history) and max(history[-patience:]) <= max(history[:-patience])


class Pretraining:
    """A network in training on the rows of some tiles; :attr:`network` is what it has learnt so far.

    Args:
        tiles: two or more.
        n_bands: how many bands they have.
        options: how it is trained.
        scaling: of the bands.
        checkpoint: where it is kept.
        device: ``cpu`` or ``cuda``.
        weights: the network's at the beginning; random ones if None.

    Raises:
        EncoderError: the checkpoint cannot be read, or the weights do not fit the network.
        UsageError: it is of another training.
    """

    def __init__(
        self,
        tiles: Tiles,
        n_bands: int,
        options: PretrainOptions,
        scaling: Scaling,
        checkpoint: Checkpoint,
        device: str,
        weights: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.tiles, self.options, self.scaling, self.checkpoint = tiles, options, scaling, checkpoint
        self.device = torch.device(device)
        self.precision = training_precision(self.device)
        self.batch = min(options.batch, len(tiles))
        self.steps_per_epoch = len(tiles) // self.batch
        self.views = Views(
            options.view_px or tiles(np.zeros(1, np.int64)).shape[-1],
            options.least_area,
            options.most_area,
            options.brightness,
            options.contrast,
            options.tint,
        )
        with _seeded(options.seed):
            contrast = _build(options, n_bands, weights)
        self.contrast = contrast.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.contrast.learnt(), lr=options.lr, weight_decay=options.weight_decay)
        self.scaler = GradScaler(self.device.type, enabled=self.precision == torch.float16)
        # Views are made ahead, so two epochs may be looked into at a time.
        self._order = lru_cache(maxsize=2)(lambda epoch: self._chance(_ORDER, epoch).permutation(len(tiles)))
        self.progress = Progress()
        self._knows_something = weights is not None
        self._neighbours: NDArray[np.int64] | None = None
        self._saved = time.monotonic()
        self._resume()

    @property
    def network(self) -> nn.Module:
        """(B, bands, H, W) standardised tiles -> (B, F) features."""
        network: nn.Module = self.contrast.network
        return network

    def features(self, reflectance: torch.Tensor, network: nn.Module | None = None) -> torch.Tensor:
        """Features (n, F) float32 of whole tiles (n, bands, H, W), at the scale of the views.

        They are those of :attr:`network`, or of another that is made of it.
        """
        tiles = reflectance.to(self.device)
        tiles = resized(tiles, self.views.whole_px(tiles.shape[-1]))
        return self._forward(network or self.network, self.scaling(tiles))

    def run(self, check: Callable[[], float] | None, workers: int, monitor: Monitor) -> Progress:
        """Train to the end, or until nothing becomes better any more.

        Args:
            check: the k-NN accuracy of the network as it is, asked after each epoch.
            workers: threads that make views ahead.
            monitor: told of every step. A cancelled training is saved before it stops.

        Raises:
            EncoderError: the checkpoint cannot be written, or the loss is no number any more.
        """
        total = self.options.epochs * self.steps_per_epoch
        self.contrast.train()
        try:
            while self.progress.steps < total and not self.progress.is_stuck(self.options.patience):
                if self._mining_is_due():
                    here = self.progress.steps / total
                    self._mine(monitor.part(here, here))
                self._learn_until(min(self._next_mining(), total), total, check, workers, monitor)
        except Cancelled:
            self.save()
            raise
        self.save()
        return self.progress

    def _learn_until(
        self, end: int, total: int, check: Callable[[], float] | None, workers: int, monitor: Monitor
    ) -> None:
        """Go on to the step ``end``, or until nothing becomes better any more."""
        with closing(self._pairs_ahead(self.progress.steps, end, workers)) as pairs:
            for first, second in pairs:
                monitor.advance(self.progress.steps / total, self.message)
                loss = self._step(first, second, total)
                self.progress = replace(
                    self.progress, steps=self.progress.steps + 1, running=(*self.progress.running, loss)
                )
                if self.progress.steps % self.steps_per_epoch == 0:
                    self._finish_epoch(check)
                    if self.progress.is_stuck(self.options.patience):
                        monitor.info(f"Nothing became better for {self.options.patience} epochs, so it stops here.")
                        break
                if time.monotonic() - self._saved > SAVE_EVERY_S:
                    self.save()
                    self._saved = time.monotonic()

    def _mining_is_due(self) -> bool:
        """At the first step of every ``mine_every`` epochs, but not while the network knows nothing yet."""
        at_start = self.progress.steps == 0
        is_time = self.progress.steps % (self.options.mine_every * self.steps_per_epoch) == 0
        return self.options.neighbours > 0 and is_time and (self._knows_something or not at_start)

    def _next_mining(self) -> int:
        """The first step, after the one that comes next, at which neighbours may be due."""
        span = self.options.mine_every * self.steps_per_epoch
        return (self.progress.steps // span + 1) * span

    def _mine(self, monitor: Monitor) -> None:
        """Look for the neighbours of all tiles as the network sees them now."""
        readout = Readout(self.network, tuple(STAGES[self.options.network]))
        features = self.read(readout, np.arange(len(self.tiles)), monitor)
        self._neighbours = mine_neighbours(features, self.options.neighbours, self.options.seed)
        self.contrast.train()

    @torch.inference_mode()
    def read(self, readout: nn.Module, rows: NDArray[np.int64], monitor: Monitor = SILENT) -> torch.Tensor:
        """What a network that is made of :attr:`network` says of some tiles: features (n, F) float32."""
        blocks: list[torch.Tensor] = []
        for part in np.array_split(rows, -(-len(rows) // _TOGETHER)):
            monitor.advance(len(blocks) * _TOGETHER / len(rows), "Looking at all tiles")
            blocks.append(self.features(torch.from_numpy(self.tiles(part)), readout))
        return torch.cat(blocks)

    @property
    def message(self) -> str:
        """How far it is, in words."""
        done = self.progress
        latest = f": loss {done.losses[-1]:.2f}" if done.losses else ""
        accuracy = f", k-NN {done.accuracies[-1]:.3f}" if done.accuracies else ""
        return f"Epoch {done.steps // self.steps_per_epoch + 1} of {self.options.epochs}{latest}{accuracy}"

    def save(self) -> None:
        """Write the checkpoint.

        Raises:
            EncoderError: it cannot be written.
        """
        self.checkpoint.save(
            {
                "contrast": self.contrast.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "progress": asdict(self.progress),
                "neighbours": None if self._neighbours is None else torch.from_numpy(self._neighbours),
            }
        )

    def _resume(self) -> None:
        saved = self.checkpoint.load(self.device)
        if saved is None:
            return
        self.contrast.load_state_dict(saved["contrast"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.progress = Progress(**saved["progress"])
        neighbours = saved["neighbours"]
        self._neighbours = None if neighbours is None else neighbours.cpu().numpy()

    def _pairs_ahead(
        self, start: int, end: int, workers: int
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """The views of each step in its turn, made by other threads while earlier ones are learnt from."""
        waiting: deque[Future[tuple[torch.Tensor, torch.Tensor]]] = deque()
        steps = iter(range(start, end))
        with ThreadPoolExecutor(workers, "quadrat-views") as makers:
            try:
                waiting.extend(makers.submit(self._pair, step) for step in islice(steps, workers + 1))
                while waiting:
                    pair = waiting.popleft().result()
                    waiting.extend(makers.submit(self._pair, step) for step in islice(steps, 1))
                    yield pair
            finally:
                makers.shutdown(cancel_futures=True)

    @torch.no_grad()
    def _pair(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two standardised views (B, bands, S, S) of the tiles of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._order(epoch)[place * self.batch : (place + 1) * self.batch]
        rng = self._chance(_VIEWS, step)
        first, second = (self._views_of(chosen, rng) for chosen in (rows, self._partners(rows, step)))
        return first, second

    def _partners(self, rows: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """The tile of each row's second view: itself, or any of its neighbours where there are some."""
        if self._neighbours is None:
            return rows
        which = self._chance(_POSITIVES, step).integers(0, self._neighbours.shape[1], len(rows))
        partners: NDArray[np.int64] = self._neighbours[rows, which]
        return partners

    def _views_of(self, rows: NDArray[np.int64], rng: np.random.Generator) -> torch.Tensor:
        tiles = torch.from_numpy(self.tiles(rows)).to(self.device)
        return self.scaling(self.views.draw(tiles, rng))

    def _chance(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, kind, number])

    def _step(self, first: torch.Tensor, second: torch.Tensor, total: int) -> float:
        """Learn from two views; returns the loss."""
        step = self.progress.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * _share_of_rate(step, total, _WARM_UP_EPOCHS * self.steps_per_epoch)
        loss = self.contrast.loss(first, second, self._forward, self._chance(_KEYS, step))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise EncoderError(
                "The training went astray: its loss is no number any more.",
                hint="Start anew (--fresh) with a lower learning rate (--lr) or a higher temperature.",
            )
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.contrast.after_step()
        return value

    def _forward(self, network: nn.Module, views: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            features: torch.Tensor = network(views)
        return features.float()

    def _finish_epoch(self, check: Callable[[], float] | None) -> None:
        done = self.progress
        losses = (*done.losses, float(np.mean(done.running)))
        accuracies = done.accuracies
        if check is not None:
            self.contrast.eval()
            accuracies = (*accuracies, check())
            self.contrast.train()
        self.progress = Progress(done.steps, losses, accuracies)


def training_precision(device: torch.device) -> torch.dtype:
    """In what convolutions compute while a network is trained there.

    As while it is used, but for bfloat16 on GPUs that have it: gradients need its range more than digits.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return precision_of(device)


def _share_of_rate(step: int, total: int, warm_up: int) -> float:
    """The share of the learning rate at a step: rising linearly at first, then falling along a cosine."""
    return min(1.0, (step + 1) / max(1, warm_up)) * 0.5 * (1.0 + math.cos(math.pi * step / total))


def _build(options: PretrainOptions, n_bands: int, weights: dict[str, torch.Tensor] | None) -> Contrast:
    network = build_network(options.network, n_bands)
    if weights is not None:
        load_strictly(network, weights, f"What to start from does not fit the network {options.network}.")
    features = list(STAGES[options.network].values())[-1]
    if options.method == "simclr":
        return SimCLR(network, features, options.temperature)
    return MoCo(network, features, options.temperature, options.queue, options.momentum, options.seed)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let a seed decide what torch draws inside, and leave its generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
