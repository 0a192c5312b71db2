"""The head: the small classifier on embeddings that is trained again every round.

A head standardises an embedding, optionally puts it through one hidden layer, and maps these features linearly to one
logit a class. Softmax (one class a tile) or sigmoid (any number of classes) makes probabilities of them.

Monte Carlo dropout (Gal and Ghahramani 2016) is *consistent*: in one pass every tile loses the same features, so the
passes are t different heads that can be compared tile by tile. Dropping features is scaling the weights, so all
passes together are one product of the features (n, F) with weights (F, t C), and the network runs once.

All sums are made in float64 and rounded to float32, so the numbers do not depend on threads, tiles or device.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import LearningError
from ..kernels import Device, Floats, Indices, Rows, gather, probabilities_of, tiles
from ..monitor import SILENT, Monitor

Mode = Literal["single", "multi"]
_FORMAT = "quadrat head 1"


@dataclass(frozen=True)
class Head:
    """A trained head; make one with :func:`.training.fit_head`.

    mean, scale (d,): an embedding z enters as (z - mean) * scale. output_weight (C, F) and output_bias (C,), where
    F is d without and H with a hidden layer; hidden_weight (H, d), hidden_bias (H,) or both None. All are float32 on
    the CPU. ``key`` is kept in the file for whoever wants to know again what the head was trained from.
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

    @property
    def width(self) -> int:
        """Numbers in an embedding, d."""
        return len(self.mean)

    @property
    def n_classes(self) -> int:
        """Number of classes, C."""
        return len(self.output_bias)

    def predict(self, embeddings: Rows, rows: Indices | None = None, *, monitor: Monitor = SILENT) -> Floats:
        """Probabilities (n, C) float32 of the given rows, of all by default; NaN where an embedding is not finite.

        With ``mode`` "single" each row sums to 1; with "multi" each number stands for itself.

        Raises:
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        logits = self._logits(embeddings, rows, self.output_weight, self.output_bias, monitor)
        return probabilities_of(logits, self.mode)

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

        The parts depend only on ``seed`` and ``passes``, so a large pool may be asked for piece by piece. Rows whose
        embedding is not finite are NaN.

        Raises:
            LearningError: the embeddings do not have the width that the head was trained on.
            Cancelled: the caller asked to stop.
        """
        masks = self.dropout_masks(passes, seed)
        weight = (self.output_weight.double() * masks[:, None, :]).flatten(0, 1)
        logits = self._logits(embeddings, rows, weight, self.output_bias.repeat(passes), monitor)
        return np.ascontiguousarray(logits.reshape(len(rows), passes, self.n_classes).transpose(1, 0, 2))

    def dropout_masks(self, passes: int, seed: int) -> torch.Tensor:
        """The factors (passes, F) of the features: 0 where dropped, 1 / (1 - dropout) where kept."""
        dropped = draw_dropped((passes, self.output_weight.shape[1]), self.dropout, np.random.default_rng(seed))
        return (~dropped).double() / (1.0 - self.dropout)

    def save(self, path: Path) -> None:
        """Write a safetensors file: all of it or nothing, by way of a temporary name."""
        tensors = {name: tensor.contiguous() for name in _TENSORS if (tensor := getattr(self, name)) is not None}
        about = {"mode": self.mode, "dropout": self.dropout, "key": self.key}
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

    def _logits(
        self, embeddings: Rows, rows: Indices | None, weight: torch.Tensor, bias: torch.Tensor, monitor: Monitor
    ) -> Floats:
        """features(rows) @ weight.T + bias, tiled: (n, outputs) float32."""
        if embeddings.shape[1] != self.width:
            raise LearningError(
                f"The head was trained on embeddings of {self.width} numbers; these have {embeddings.shape[1]}.",
                hint="Train again: the encoder has changed since.",
            )
        layers = self._folded(weight, bias)
        total = len(embeddings) if rows is None else len(rows)
        logits = np.empty((total, len(bias)), dtype=np.float32)
        for part in tiles(total, max(self.width, len(bias))):
            monitor.advance(part.start / total, "Predicting")
            block = gather(embeddings, part if rows is None else rows[part], self.device)
            scores = block
            for number, (matrix, offset) in enumerate(layers):
                scores = torch.addmm(offset, scores.relu() if number else scores, matrix.T)
            # A NaN or an infinity anywhere in a row reaches its sum, which is cheaper to test than the row.
            scores[~torch.isfinite(block.sum(dim=1))] = torch.nan
            logits[part] = scores.to(torch.float32).cpu().numpy()
        return logits

    def _folded(self, weight: torch.Tensor, bias: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The layers in float64 on the device, ending in the given one, the first of them with the standardisation."""
        layers = [(weight, bias)]
        if self.hidden_weight is not None and self.hidden_bias is not None:
            layers.insert(0, (self.hidden_weight, self.hidden_bias))
        (first, offset), *rest = [(matrix.double(), offset.double()) for matrix, offset in layers]
        scaled = first * self.scale.double()
        shifted = (scaled, offset - scaled @ self.mean.double())
        return [(matrix.to(self.device), offset.to(self.device)) for matrix, offset in (shifted, *rest)]


_TENSORS = ("mean", "scale", "output_weight", "output_bias", "hidden_weight", "hidden_bias")


def draw_dropped(shape: tuple[int, int], dropout: float, rng: np.random.Generator) -> torch.Tensor:
    """True where a feature is dropped; drawn by numpy, so that every device and version of torch sees the same."""
    return torch.from_numpy(rng.random(shape, dtype=np.float32) < dropout)
