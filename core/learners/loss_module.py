"""Learned loss: a small network that says how large the loss of a tile would be, if its label were known.

It looks at what the classifier computes on its way (hidden features), and is trained beside it on the labelled tiles.
Losses shrink as training goes on, so it is not taught their size but their order: of two tiles, which is the harder
one (Yoo and Kweon 2019; in the second paper's notation, with its hinge on random pairs of the batch). The query
function ``ll`` asks for the tiles with the largest answers.

The same module serves heads, in float64 so that a run repeats itself on any number of threads, and networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import UsageError
from ..kernels import Device, Indices

LOSS_WEIGHT = 0.1
"""Lambda: what the ranking loss counts beside the classifier's own."""
MARGIN = 1.0
"""Xi: by how much the predictions of a pair should differ."""
DETACH_AFTER = 0.6
"""From this share of the epochs on, the module no longer changes the features that it looks at."""
_WIDTH = 128


class LossModule(nn.Module):
    """Hidden features of a classifier to the loss that it would have: FC 128 and ReLU for each, then all to one number.

    Example:
        >>> module = LossModule(sizes=(512, 256), seed=0)
        >>> module((torch.zeros(4, 512), torch.zeros(4, 256))).shape
        torch.Size([4])
    """

    def __init__(self, sizes: Sequence[int], seed: int = 0) -> None:
        """Make a module for features of these ``sizes``, with weights (float32) that ``seed`` alone decides."""
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise UsageError(
                "The loss module needs at least one hidden feature to look at.", hint="Give it the sizes of the layers."
            )
        # Numpy draws the weights: torch's own generator would be shared with whatever else draws from it.
        rng = np.random.default_rng(seed)
        self.branches = nn.ModuleList(_layer(size, _WIDTH, rng) for size in sizes)
        self.output = _layer(_WIDTH * len(sizes), 1, rng)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Expected losses (n,), on a scale of their own, from one matrix (n, F_i) for each of ``sizes``."""
        seen = [branch(matrix).relu() for branch, matrix in zip(self.branches, features, strict=True)]
        losses: torch.Tensor = self.output(torch.cat(seen, dim=1))[:, 0]
        return losses


class LossTeacher:
    """Trains a :class:`LossModule` beside a classifier: its share of the loss goes in, its own optimiser steps.

    Args:
        sizes: of the hidden features.
        seed: decides the first weights and the pairs.
        lr: Adam's learning rate.
        dtype: float64 for heads, float32 for networks.
        device: where the features are.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int,
        *,
        lr: float = 0.001,
        dtype: torch.dtype = torch.float64,
        device: Device = "cpu",
    ) -> None:
        self.module = LossModule(sizes, seed).to(device=device, dtype=dtype)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=lr)
        self.rng = np.random.default_rng(seed)

    def share(self, features: Sequence[torch.Tensor], losses: torch.Tensor, progress: float) -> torch.Tensor:
        """What to add to the classifier's mean loss: lambda times the ranking loss of a batch.

        Args:
            features: (B, F_i) for each of the sizes.
            losses: the classifier's loss (B,) on each row; no gradient flows back through them.
            progress: share of the epochs done, 0-1.
        """
        seen = [matrix.detach() for matrix in features] if progress >= DETACH_AFTER else features
        pairs = random_pairs(len(losses), self.rng)
        return LOSS_WEIGHT * ranking_loss(self.module(seen), losses, pairs)

    def step(self) -> None:
        """Take a step along the gradients of the last backward pass, and forget them."""
        self.optimizer.step()
        self.optimizer.zero_grad()


def random_pairs(count: int, rng: np.random.Generator) -> Indices:
    """Distinct places of a batch of ``count`` in random pairs (count // 2, 2); of an odd batch one stays out."""
    return rng.permutation(count)[: count // 2 * 2].reshape(-1, 2)


def ranking_loss(
    predicted: torch.Tensor, true: torch.Tensor, pairs: NDArray[np.int64], margin: float = MARGIN
) -> torch.Tensor:
    """(2/B) sum over pairs (j, k) of max(0, -sign(l_j - l_k) (lhat_j - lhat_k) + margin), a scalar.

    Args:
        predicted: lhat (B,).
        true: l (B,); taken as given, so that the classifier is not made worse to be easier to predict.
        pairs: places in the batch (P, 2); B/2 of them, or the mean over them is taken all the same. None gives 0.
        margin: xi.
    """
    first, second = torch.from_numpy(pairs).to(predicted.device).unbind(dim=1)
    order = (true.detach()[first] - true.detach()[second]).sign()
    hinges = (margin - order * (predicted[first] - predicted[second])).relu()
    return hinges.sum() / max(len(pairs), 1)


def _layer(inputs: int, outputs: int, rng: np.random.Generator) -> nn.Linear:
    """A linear layer with uniform weights and biases within 1 / sqrt(inputs), as torch draws them by default."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            drawn = rng.uniform(-1.0, 1.0, tuple(parameter.shape)) * inputs**-0.5
            parameter.copy_(torch.from_numpy(drawn))
    return layer
