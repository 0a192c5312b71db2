"""The head: the small classifier on embeddings that is trained again every round.

A head standardises an embedding, optionally puts it through one hidden layer, and maps these features linearly to one
logit a class. Softmax (one class a tile) or sigmoid (any number of classes) makes probabilities of them.

Monte Carlo dropout (Gal and Ghahramani 2016) is *consistent*: in one pass every tile loses the same features, so the
passes are t different heads that can be compared tile by tile. Dropping features is scaling the weights, so all
passes together are one product of the features (n, F) with weights (F, t C), and the network runs once. Dropping
numbers of the input scales the first layer in the same way.

All sums are made in float64 and rounded to float32, so the numbers do not depend on threads, tiles or device.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..catalogue import Mode
from ..errors import LearningError, UsageError
from ..kernels import Device, Floats, Indices, Rows, gather, probabilities_of, tiles
from ..monitor import SILENT, Monitor

_FORMAT = "quadrat head 1"
_Layer = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Head:
    """A trained head; make one with :func:`.training.fit_head`.

    mean, scale (d,): an embedding z enters as (z - mean) * scale. output_weight (C, F) and output_bias (C,), where
    F is d without and H with a hidden layer; hidden_weight (H, d), hidden_bias (H,) or both None. All are float32 on
    the CPU. ``key`` is kept in the file for whoever wants to know again what the head was trained from. temperature:
    what :meth:`predict` divides the logits by, so that a probability is as often right as it says; see
    :mod:`.calibration`.
    """

    mode: Mode
    dropout: float
    mean: torch.Tensor
    scale: torch.Tensor
    output_weight: torch.Tensor
    output_bias: torch.Tensor
    hidden_weight: torch.Tensor | None = None
    hidden_bias: torch.Tensor | None = None
    device: Device = "cpu"
    key: str = ""
    temperature: float = 1.0

    @property
    def width(self) -> int:
        """Numbers in an embedding, d."""
        return len(self.mean)

    @property
    def n_classes(self) -> int:
        """Number of classes, C."""
        return len(self.output_bias)

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """What was trained, by name."""
        return {name: tensor for name in _TRAINED if (tensor := getattr(self, name)) is not None}

    def predict(self, embeddings: Rows, rows: Indices | None = None, *, monitor: Monitor = SILENT) -> Floats:
        """Probabilities (n, C) float32 of the given rows, of all by default; NaN where an embedding is not finite.

        With ``mode`` "single" each row sums to 1; with "multi" each number stands for itself.

        Raises:
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        logits = self.logits(embeddings, rows, monitor=monitor)
        return probabilities_of(logits / np.float32(self.temperature), self.mode)

    def logits(self, embeddings: Rows, rows: Indices | None = None, *, monitor: Monitor = SILENT) -> Floats:
        """What :meth:`predict` makes probabilities of: logits (n, C) float32, before the temperature.

        Raises:
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        layers = self._folded([*self._hidden(), (self.output_weight, self.output_bias)])
        return self.tiled(lambda block: _through(layers, block), self.n_classes, embeddings, rows, monitor=monitor)

    def features(self, embeddings: Rows, rows: Indices | None = None, *, monitor: Monitor = SILENT) -> Floats:
        """The input (n, F) float32 of the last layer for some rows, or all: standardised embeddings or hidden units.

        Rows whose embedding is not finite are NaN.

        Raises:
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        count = self.output_weight.shape[1]
        return self.tiled(lambda block: self.activations(block)[-1], count, embeddings, rows, monitor=monitor)

    def activations(self, block: torch.Tensor) -> list[torch.Tensor]:
        """All that is computed before the last layer from embeddings (n, d): standardised ones, hidden units if any."""
        standardised = (block - self.mean.to(block)) * self.scale.to(block)
        return [standardised, *((standardised @ w.to(block).T + b.to(block)).relu() for w, b in self._hidden())]

    def tiled(
        self,
        compute: Callable[[torch.Tensor], torch.Tensor],
        outputs: int,
        embeddings: Rows,
        rows: Indices | None = None,
        *,
        monitor: Monitor = SILENT,
    ) -> Floats:
        """Compute something from some rows, or all, a tile (m, d) float64 on the device at a time.

        Args:
            compute: a tile (m, d) to values (m, outputs).
            outputs: numbers in the answer to a row.
            embeddings: (N, d).
            rows: (n,), all by default.
            monitor: progress and cancellation.

        Returns:
            (n, outputs) float32; NaN where the embedding is not finite.

        Raises:
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        if embeddings.shape[1] != self.width:
            raise LearningError(
                f"The head was trained on embeddings of {self.width} numbers; these have {embeddings.shape[1]}.",
                hint="Train again: the encoder has changed since.",
            )
        total = len(embeddings) if rows is None else len(rows)
        computed = np.empty((total, outputs), dtype=np.float32)
        for part in tiles(total, max(self.width, outputs)):
            monitor.advance(part.start / total, "Predicting")
            block = gather(embeddings, part if rows is None else rows[part], self.device)
            values = compute(block)
            # A NaN or an infinity anywhere in a row reaches its sum, which is cheaper to test than the row.
            values[~torch.isfinite(block.sum(dim=1))] = torch.nan
            computed[part] = values.to(torch.float32).cpu().numpy()
        return computed

    def mc_dropout(
        self,
        embeddings: Rows,
        rows: Indices,
        passes: int,
        seed: int,
        input_dropout: float | None = None,
        *,
        monitor: Monitor = SILENT,
    ) -> Floats:
        """Logits (passes, n, C) float32 of ``passes`` heads, each without a random part of the features.

        With ``input_dropout`` it is that share of the standardised input that is dropped, and nothing after it. The
        parts depend only on ``seed`` and ``passes``, so a large pool may be asked for piece by piece. The temperature
        has no part in it. Rows whose embedding is not finite are NaN.

        Raises:
            UsageError: ``input_dropout`` is not at least 0 and below 1.
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        layers = self._folded(self._random_layers(passes, seed, input_dropout))
        logits = self.tiled(
            lambda block: _through(layers, block), passes * self.n_classes, embeddings, rows, monitor=monitor
        )
        return np.ascontiguousarray(logits.reshape(len(rows), passes, self.n_classes).transpose(1, 0, 2))

    def dropout_masks(self, passes: int, seed: int, input_dropout: float | None = None) -> torch.Tensor:
        """The factors (passes, F) of the features, or (passes, d) of the input: 0 where dropped, 1 / (1 - share) else.

        Raises:
            UsageError: ``input_dropout`` is not at least 0 and below 1.
        """
        share = self.dropout if input_dropout is None else input_dropout
        if not 0.0 <= share < 1.0:
            raise UsageError(f"{share} of the input cannot be dropped.", hint="Give a share from 0 to below 1.")
        count = self.output_weight.shape[1] if input_dropout is None else self.width
        return (~draw_dropped((passes, count), share, np.random.default_rng(seed))).double() / (1.0 - share)

    def save(self, path: Path) -> None:
        """Write a safetensors file: all of it or nothing, by way of a temporary name."""
        tensors = {name: tensor.contiguous() for name in _TENSORS if (tensor := getattr(self, name)) is not None}
        about = {"mode": self.mode, "dropout": self.dropout, "key": self.key, "temperature": self.temperature}
        unfinished = path.with_name(path.name + ".part")
        save_file(tensors, unfinished, metadata={"format": _FORMAT, "head": json.dumps(about)})
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path, device: Device = "cpu") -> Head:
        """Read what :meth:`save` wrote; predictions are the same to the last bit.

        Raises:
            LearningError: there is no such file, or it is not a head.
        """
        if not path.is_file():
            raise LearningError(f"There is no trained head at {path}.", hint="Train first.")
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["head"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(device=device, **about, **tensors)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
            raise LearningError(
                f"{path} is not a trained head, or it is damaged.",
                hint="Delete it and train again; the labels are in the project.",
                details=repr(problem),
            ) from problem

    def _hidden(self) -> list[_Layer]:
        """The hidden layer, if there is one."""
        if self.hidden_weight is None or self.hidden_bias is None:
            return []
        return [(self.hidden_weight, self.hidden_bias)]

    def _random_layers(self, passes: int, seed: int, input_dropout: float | None) -> list[_Layer]:
        """The layers of all passes side by side: (passes * C) outputs."""
        masks = self.dropout_masks(passes, seed, input_dropout)[:, None, :]
        biases = self.output_bias.repeat(passes)
        hidden = self._hidden()
        if input_dropout is None or not hidden:
            return [*hidden, ((self.output_weight * masks).flatten(0, 1), biases)]
        # Each pass has hidden units of its own, of which its outputs alone may know.
        ((weight, bias),) = hidden
        first = ((weight * masks).flatten(0, 1), bias.repeat(passes))
        return [first, (torch.kron(torch.eye(passes), self.output_weight), biases)]

    def _folded(self, layers: list[_Layer]) -> list[_Layer]:
        """Layers in float64 on the device, the first of them with the standardisation."""
        (first, offset), *rest = [(matrix.double(), offset.double()) for matrix, offset in layers]
        scaled = first * self.scale.double()
        shifted = (scaled, offset - scaled @ self.mean.double())
        return [(matrix.to(self.device), offset.to(self.device)) for matrix, offset in (shifted, *rest)]


_TRAINED = ("output_weight", "output_bias", "hidden_weight", "hidden_bias")
_TENSORS = ("mean", "scale", *_TRAINED)


def draw_dropped(shape: tuple[int, int], dropout: float, rng: np.random.Generator) -> torch.Tensor:
    """True where a feature is dropped; drawn by numpy, so that every device and version of torch sees the same."""
    return torch.from_numpy(rng.random(shape, dtype=np.float32) < dropout)


def _through(layers: list[_Layer], block: torch.Tensor) -> torch.Tensor:
    """Put rows (n, d) through layers with a rectifier between any two."""
    values = block
    for number, (matrix, offset) in enumerate(layers):
        values = torch.addmm(offset, values.relu() if number else values, matrix.T)
    return values
