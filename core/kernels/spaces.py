"""Where greedy selections measure: the embeddings themselves, embeddings of length 1, or gradient embeddings.

A space turns row numbers into points, each a row of ``width`` numbers, and knows the squared distances between points.
What lies on top (farthest points, D2 sampling, coverage) asks for nothing else, so that it works in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from ..monitor import SILENT, Monitor
from .arrays import SAME, Device, Floats, Indices, Rows, gather, tiles
from .distances import References


class Space(Protocol):
    """Points and the squared distances between them: float64 inside, float32 out, zero where points are the same."""

    @property
    def width(self) -> int:
        """How many numbers a point is made of."""

    @property
    def device(self) -> Device:
        """Where the points are."""

    def points(self, rows: Indices) -> torch.Tensor:
        """The points (n, width), float64 on the device, of some rows (n,)."""

    def squared_norms(self, points: torch.Tensor) -> torch.Tensor:
        """Squared distance (n,) of points (n, width) from the origin."""

    def squared_distances(self, block: torch.Tensor, points: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Squared distances (n, m), float32, of a block (n, width) to points (m, width) with their squared norms."""


class EmbeddingSpace:
    """Embeddings (N, d) as they are, or, with ``unit``, brought to length 1; a row of zeros stays what it is."""

    def __init__(self, embeddings: Rows, device: Device = "cpu", *, unit: bool = False) -> None:
        self.embeddings, self.device, self.unit = embeddings, device, unit
        self.width: int = embeddings.shape[1]

    def points(self, rows: Indices) -> torch.Tensor:
        """The rows (n, d)."""
        block = gather(self.embeddings, rows, self.device)
        if self.unit:
            lengths = torch.linalg.vector_norm(block, dim=1, keepdim=True)
            block /= lengths.masked_fill_(lengths == 0.0, 1.0)
        return block

    def squared_norms(self, points: torch.Tensor) -> torch.Tensor:
        """Squared length (n,) of each point."""
        return _squared_lengths(points)

    def squared_distances(self, block: torch.Tensor, points: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Squared Euclidean distances (n, m)."""
        return References(points, norms).squared_distances(block)

    def least_squared_distances(self, block: torch.Tensor, points: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Lower bounds (n, m), float32, of the squared distances, at about half the price.

        A sum of d products in float32 is wrong by at most d 2**-24 |a||b|, however it is ordered, and |a||b| is at
        most half of |a|2 + |b|2. A few units more pay for the rounding of everything else.
        """
        slack = (self.width + 16) * 2.0**-24
        sums = (self.squared_norms(block)[:, None] + norms).mul_(1.0 - slack).to(torch.float32)
        return sums.addmm_(block.to(torch.float32), points.to(torch.float32).T, alpha=-2.0).clamp_(min=0.0)


class GradientSpace:
    """Gradients of the loss on a learner's last layer, one matrix a row, without ever making one of them.

    The gradient of the cross-entropy is the outer product of the layer's input z (F,) and the error D (C,), so that
    the squared distance of two is |z_i|2 |D_i|2 + |z_j|2 |D_j|2 - 2 (z_i.z_j) (D_i.D_j). A point is z followed by D.

    Args:
        features: gives the layer's input (n, F) for some rows (n,).
        errors: D of every row (N, C).
        device: where to compute.
    """

    def __init__(self, features: Callable[[Indices], Rows], errors: Floats, device: Device = "cpu") -> None:
        self.features, self.errors, self.device = features, errors, device
        self.inputs: int = features(np.zeros(1, dtype=np.int64)).shape[1]
        self.width: int = self.inputs + errors.shape[1]

    def points(self, rows: Indices) -> torch.Tensor:
        """z and D of each row (n, F + C)."""
        both = torch.empty((len(rows), self.width), dtype=torch.float64, device=self.device)
        inputs = np.require(self.features(rows), requirements=["C", "W"])
        both[:, : self.inputs] = torch.from_numpy(inputs).to(self.device)
        both[:, self.inputs :] = torch.from_numpy(self.errors[rows]).to(self.device)
        return both

    def squared_norms(self, points: torch.Tensor) -> torch.Tensor:
        """Squared Frobenius norm (n,) of each gradient."""
        return _squared_lengths(points[:, : self.inputs]) * _squared_lengths(points[:, self.inputs :])

    def squared_distances(self, block: torch.Tensor, points: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Squared Frobenius distances (n, m)."""
        sums = self.squared_norms(block)[:, None] + norms
        products = block[:, : self.inputs] @ points[:, : self.inputs].T
        products *= block[:, self.inputs :] @ points[:, self.inputs :].T
        distances = sums - 2.0 * products
        return distances.masked_fill_(distances <= SAME * sums, 0.0).to(torch.float32)


def nearest_squared_distances(space: Space, rows: Indices, references: Indices, *, monitor: Monitor = SILENT) -> Floats:
    """Squared distance (n,), float32, from each of ``rows`` to the nearest of ``references``; infinite if none.

    Args:
        space: where to measure.
        rows: (n,) row numbers.
        references: (m,) row numbers.
        monitor: progress and cancellation.
    """
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    for some in tiles(len(references), space.width):
        points = space.points(references[some])
        norms = space.squared_norms(points)
        for part in tiles(len(rows), max(space.width, len(points))):
            done = (some.start + part.start / len(rows) * len(points)) / len(references)
            monitor.advance(done, "Measuring distances")
            found = space.squared_distances(space.points(rows[part]), points, norms).amin(dim=1)
            nearest[part] = np.minimum(nearest[part], found.cpu().numpy())
    return nearest


def most_nearest_squared_distances(
    space: EmbeddingSpace, rows: Indices, references: Indices, *, monitor: Monitor = SILENT
) -> Floats:
    """Upper bounds (n,), float32, of :func:`nearest_squared_distances`, at a third of the price.

    Everything is computed in float32. A sum of d products is then wrong by at most d 2**-24 |a||b|, however it is
    ordered, twice that by at most d 2**-24 (|a|2 + |b|2), and a squared length by d 2**-24 of itself.

    Args:
        space: embeddings as they are, not of unit length.
        rows: (n,) row numbers.
        references: (m,) row numbers, at least one, all of which are held in memory.
        monitor: progress and cancellation.
    """
    points = gather(space.embeddings, references, space.device, torch.float32)
    norms = _squared_lengths(points)
    slack = 1.0 + (2 * space.width + 64) * 2.0**-24
    most = np.empty(len(rows), dtype=np.float32)
    for part in tiles(len(rows), max(space.width, len(points))):
        monitor.advance(part.start / len(rows), "Measuring distances")
        block = gather(space.embeddings, rows[part], space.device, torch.float32)
        sums = (_squared_lengths(block)[:, None] + norms).mul_(slack)
        most[part] = sums.addmm_(block, points.T, alpha=-2.0).amin(dim=1).clamp_(min=0.0).cpu().numpy()
    return most


def squared_norms(space: Space, rows: Indices, *, monitor: Monitor = SILENT) -> Floats:
    """Squared distance (n,), float32, of each of ``rows`` (n,) from the origin of the space."""
    norms = np.empty(len(rows), dtype=np.float32)
    for part in tiles(len(rows), space.width):
        monitor.advance(part.start / len(rows), "Measuring the tiles")
        norms[part] = space.squared_norms(space.points(rows[part])).to(torch.float32).cpu().numpy()
    return norms


def _squared_lengths(block: torch.Tensor) -> torch.Tensor:
    """Squared length (n,) of each row (n, d)."""
    lengths: torch.Tensor = torch.linalg.vector_norm(block, dim=1)
    return lengths.square()
