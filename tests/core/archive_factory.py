"""Labelled archives made of numbers alone: rows in clusters that overlap, images as bright as their class says."""

from dataclasses import dataclass

import numpy as np

from quadrat.core.simulation.dataset import Dataset, Vectors
from quadrat.core.simulation.splits import Split

CLASSES = ("crop", "forest", "town", "water")


@dataclass(frozen=True)
class ArrayTiles:
    """Images that are kept in memory."""

    images: np.ndarray
    bands: tuple[str, ...] = ("B04", "B03", "B02")

    def read(self, rows, size_px=None):
        return self.images[rows]


def make_archive(count=240, mode="single", seed=0, width=12):
    """A dataset and its vectors."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(CLASSES), count)
    rows = rng.normal(0, 1.2, (len(CLASSES), width))[truth] + rng.normal(0, 1, (count, width))
    targets = truth
    if mode == "multi":
        targets = np.eye(len(CLASSES), dtype=np.int64)[truth]
        targets[truth % 2 == 0, 1] = 1
    images = (truth[:, None, None, None] + rng.random((count, 3, 32, 32))).astype(np.float32) / 8
    names = tuple(f"{row}.png" for row in range(count))
    dataset = Dataset("made", mode, CLASSES, targets, names, ArrayTiles(images), f"made-{count}-{mode}-{seed}")
    return dataset, Vectors(rows.astype(np.float16), "clusters", f"clusters-{count}-{seed}")


def make_split(count=240, test=60, seed=1):
    """A random split of that many rows."""
    order = np.random.default_rng(seed).permutation(count)
    return Split(np.sort(order[test:]), np.sort(order[:test]))
