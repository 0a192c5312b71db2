"""Attenuated whitening: the read-out of a network, with directions that vary much turned down a little.

Many of a network's numbers say nearly the same, such as how bright a tile is. Together they drown in every distance
what few numbers say. Whitening makes all directions count the same (Jegou and Chum 2012), those of noise as well;
dividing each by a small power of its spread is the mean between the two. Measured on 2,000 training patches of EuroSAT,
with the encoder that comes with Quadrat, for powers of 0, 0.25, 0.5 and 0.7: k-NN 0.934, 0.933, 0.940 and 0.944, the
linear learner on 64 random labels 0.833, 0.827, 0.800 and 0.734, on 512 labels 0.920, 0.922, 0.924 and 0.920. The less
is known of the classes, the more noise costs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

POWER = 0.25
"""Of a direction's spread, by which it is divided: 0 leaves it as it is, 1 makes all alike."""
_NO_SPREAD = 1e-6


class Whitening(NamedTuple):
    """``(vectors - mean) @ matrix``: mean (d,), matrix (d, d), both float32."""

    mean: torch.Tensor
    matrix: torch.Tensor

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (n, d), whitened."""
        return (vectors - self.mean) @ self.matrix


def measure_whitening(vectors: torch.Tensor, power: float = POWER) -> Whitening:
    """What makes vectors like these (n, d) have mean 0 and spread 1 in each number, and less in common.

    The covariance is estimated with shrinkage (Ledoit and Wolf 2004), so that few vectors do for many numbers. A number
    that never changes stays as it is.
    """
    from sklearn.covariance import ledoit_wolf

    values = vectors.double().cpu()
    spread, mean = torch.std_mean(values, dim=0)
    scale = torch.where(spread > _NO_SPREAD, spread, 1.0)
    correlation = torch.from_numpy(ledoit_wolf(((values - mean) / scale).numpy(), assume_centered=True)[0])
    variances, directions = torch.linalg.eigh(correlation)
    variances = variances.clamp(min=_NO_SPREAD)
    turned = (directions * variances ** (-power / 2)) @ directions.T
    # The spread of each number after that: the diagonal of turned' x correlation x turned.
    after = ((directions**2) @ variances ** (1 - power)).sqrt()
    return Whitening(mean.float(), (turned / after / scale[:, None]).float())
