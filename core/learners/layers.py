"""A head's layers while they are trained: float64 tensors with gradients, their features and their losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..catalogue import Mode
from ..kernels import Device
from .head import draw_dropped


@dataclass(frozen=True)
class Layers:
    """One output layer, on a hidden one or on the inputs themselves.

    parameters: output_weight (C, F), output_bias (C,) and perhaps hidden_weight (H, d), hidden_bias (H,). dropout:
    share of the features that a loss does without, drawn from ``rng``.
    """

    parameters: dict[str, torch.Tensor]
    mode: Mode
    dropout: float
    rng: np.random.Generator

    @classmethod
    def untrained(
        cls,
        width: int,
        hidden: int | None,
        n_classes: int,
        mode: Mode,
        dropout: float,
        init_std: float,
        rng: np.random.Generator,
        device: Device,
    ) -> Layers:
        """Normal weights, of spread ``init_std`` (as He et al. 2015 in the hidden layer), and zero biases."""

        def weights(rows: int, columns: int, spread: float) -> torch.Tensor:
            return torch.from_numpy(rng.normal(0.0, spread, (rows, columns))).to(device).requires_grad_()

        def biases(count: int) -> torch.Tensor:
            return torch.zeros(count, dtype=torch.float64, device=device, requires_grad=True)

        parameters = {}
        if hidden is not None:
            parameters["hidden_weight"] = weights(hidden, width, (2.0 / width) ** 0.5)
            parameters["hidden_bias"] = biases(hidden)
        parameters["output_weight"] = weights(n_classes, hidden or width, init_std)
        parameters["output_bias"] = biases(n_classes)
        return cls(parameters, mode, dropout, rng)

    def features(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """What is computed on the way: the inputs (n, d), and the hidden units (n, H) where there are any."""
        if "hidden_weight" not in self.parameters:
            return [inputs]
        hidden = functional.linear(inputs, self.parameters["hidden_weight"], self.parameters["hidden_bias"])
        return [inputs, hidden.relu()]

    def losses(self, features: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """The loss (n,) of each row of the last features (n, F), with a dropout mask of its own.

        Args:
            features: the last of :meth:`features`.
            wanted: class positions (n,) or probabilities (n, C) in single mode, probabilities (n, C) in multi mode.
            weights: what counts for how much, (n,) in single mode and (n, C) in multi mode; all for 1 by default.
        """
        weight = self.parameters["output_weight"]
        if self.dropout > 0.0:
            # What is kept counts for more; scaling the few weights instead of the features saves a pass over these.
            dropped = draw_dropped((len(features), features.shape[1]), self.dropout, self.rng).to(features.device)
            features, weight = features.masked_fill(dropped, 0.0), weight / (1.0 - self.dropout)
        logits = functional.linear(features, weight, self.parameters["output_bias"])
        if self.mode == "single":
            losses = functional.cross_entropy(logits, wanted, reduction="none")
        else:
            losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if weights is not None:
            losses = losses * weights
        return losses if self.mode == "single" else losses.sum(dim=1)
