"""What the two views of a batch have to say about each other: MoCo v2 and SimCLR.

Both end in the same question: among many vectors, which is the other view of the same tile? SimCLR asks it within the
batch, MoCo of a queue of earlier batches, seen by a slowly moving copy of the network, which allows for many more
vectors to choose from than fit into a batch.

* MoCo: He et al. 2020, eq. 1 (InfoNCE) and 2 (momentum); MoCo v2: Chen, Fan et al. 2020 (the projection with a hidden
  layer). Both views ask, as in MoCo v3 (Chen, Xie and He 2021): a step costs more and teaches more.
* SimCLR: Chen, Kornblith et al. 2020, eq. 1 (NT-Xent).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

PROJECTED = 128
"""Numbers of the vectors that are compared."""
_KEYS_TOGETHER = 64
"""Keys that share one batch normalisation."""

Forward = Callable[[nn.Module, torch.Tensor], torch.Tensor]
"""How a network is run: with which precision and layout. ``(B, bands, H, W)`` views -> ``(B, F)`` float32."""


def nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """The normalised temperature-scaled cross-entropy of vectors (B, d) of the first and second views.

    Each of the 2B vectors is asked which of the others is the view of the same tile (Chen et al. 2020, eq. 1).
    """
    vectors = functional.normalize(torch.cat([first, second]), dim=1)
    likeness = vectors @ vectors.T / temperature
    likeness.fill_diagonal_(-torch.inf)
    count = len(first)
    partner = torch.arange(2 * count, device=first.device).roll(count)
    return functional.cross_entropy(likeness, partner)


def info_nce(queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE of unit queries (B, d) and their keys (B, d) among a queue of keys (K, d) (He et al. 2020, eq. 1)."""
    likeness = torch.cat([(queries * keys).sum(dim=1, keepdim=True), queries @ queue.T], dim=1) / temperature
    return functional.cross_entropy(likeness, torch.zeros(len(queries), dtype=torch.int64, device=queries.device))


class Contrast(nn.Module, ABC):
    """A network, its projection, and the loss of two views."""

    def __init__(self, network: nn.Module, features: int, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.projection = nn.Sequential(
            nn.Linear(features, features), nn.BatchNorm1d(features), nn.ReLU(), nn.Linear(features, PROJECTED)
        )
        self.temperature = temperature

    def learnt(self) -> list[nn.Parameter]:
        """What the optimiser changes."""
        return [*self.network.parameters(), *self.projection.parameters()]

    @abstractmethod
    def loss(
        self, first: torch.Tensor, second: torch.Tensor, forward: Forward, rng: np.random.Generator
    ) -> torch.Tensor:
        """The mean loss of the two views (B, bands, H, W) of some tiles."""

    def after_step(self) -> None:
        """What follows a step of the optimiser."""


class SimCLR(Contrast):
    """NT-Xent within the batch: simple, and good already with batches that fit into little memory."""

    def loss(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        forward: Forward,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> torch.Tensor:
        """As the base class says; chance plays no part in it."""
        vectors = self.projection(forward(self.network, torch.cat([first, second])))
        half = len(first)
        return nt_xent(vectors[:half], vectors[half:], self.temperature)


class MoCo(Contrast):
    """InfoNCE against a queue of keys from a momentum copy of the network."""

    queue: torch.Tensor
    place: torch.Tensor

    def __init__(
        self, network: nn.Module, features: int, temperature: float, queue: int, momentum: float, seed: int
    ) -> None:
        super().__init__(network, features, temperature)
        self.momentum = momentum
        self.key_network = copy.deepcopy(self.network).requires_grad_(False)
        self.key_projection = copy.deepcopy(self.projection).requires_grad_(False)
        noise = np.random.default_rng([seed, queue]).standard_normal((queue, PROJECTED))
        self.register_buffer("queue", functional.normalize(torch.from_numpy(noise).float(), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def loss(
        self, first: torch.Tensor, second: torch.Tensor, forward: Forward, rng: np.random.Generator
    ) -> torch.Tensor:
        """As the base class says; both views ask for the other's key, and the keys join the queue."""
        queries = functional.normalize(self.projection(forward(self.network, torch.cat([first, second]))), dim=1)
        keys = [self._keys(view, forward, rng) for view in (second, first)]
        losses = [
            info_nce(mine, keys_of_other, self.queue, self.temperature)
            for mine, keys_of_other in zip(queries.chunk(2), keys, strict=True)
        ]
        self._waiting = torch.cat(keys)
        return (losses[0] + losses[1]) / 2

    @torch.no_grad()
    def _keys(self, views: torch.Tensor, forward: Forward, rng: np.random.Generator) -> torch.Tensor:
        """Unit keys (B, d), computed in shuffled parts.

        Batch normalisation mixes what is normalised together. If queries and keys of a tile were mixed with the same
        others, they could be told by that (He et al. 2020, section 3.3, shuffle several GPUs' batches for it).
        """
        order = torch.from_numpy(rng.permutation(len(views))).to(views.device)
        parts = order.chunk(max(1, len(order) // _KEYS_TOGETHER))
        projected = torch.cat([self.key_projection(forward(self.key_network, views[part])) for part in parts])
        keys = torch.empty_like(projected)
        keys[order] = functional.normalize(projected, dim=1)
        return keys

    @torch.no_grad()
    def after_step(self) -> None:
        """The copy follows the network (He et al. 2020, eq. 2), and the keys replace the oldest of the queue."""
        for follower, leader in (
            (self.key_network, self.network),
            (self.key_projection, self.projection),
        ):
            for kept, learnt in zip(follower.parameters(), leader.parameters(), strict=True):
                kept.lerp_(learnt, 1.0 - self.momentum)
        keys = self._waiting[-len(self.queue) :]
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.place.copy_((self.place + len(keys)) % len(self.queue))
