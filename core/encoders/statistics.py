"""The floor that every other encoder must beat: four numbers a band, no weights, any bands."""

from __future__ import annotations

import numpy as np

from .base import Encoder, EncoderCard

# Tiles looked at together: few enough that all four passes find them in the processor's cache.
TOGETHER = 16


class StatisticsEncoder(Encoder):
    """Mean, standard deviation, minimum and maximum of reflectance in each band: ``d = 4 * bands``.

    The vector is ordered by statistic, then by band.
    """

    def __init__(self) -> None:
        super().__init__(EncoderCard(name="statistics", bands=None, fingerprint="statistics-1", licence="none needed"))

    def _forward(self, reflectance: np.ndarray) -> np.ndarray:
        n_tiles, n_bands = reflectance.shape[:2]
        vectors = np.empty((n_tiles, 4 * n_bands), np.float32)
        for first in range(0, n_tiles, TOGETHER):
            some = slice(first, first + TOGETHER)
            vectors[some] = _statistics(reflectance[some].reshape(-1, n_bands, reflectance[0, 0].size))
        return vectors


def _statistics(pixels: np.ndarray) -> np.ndarray:
    """``(n, bands, pixels)`` -> ``(n, 4 * bands)``. Four plain passes: faster than torch's fused reductions."""
    mean = pixels.mean(axis=2)
    apart = pixels - mean[..., None]
    std = np.sqrt(np.einsum("nbp,nbp->nb", apart, apart) / pixels.shape[2])
    return np.concatenate([mean, std, pixels.min(axis=2), pixels.max(axis=2)], axis=1)
