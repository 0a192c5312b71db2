"""Two views of a tile that show the same place: what an encoder is taught to find alike.

What matters most is the crop: a part of the tile, enlarged to the whole, in one of the eight ways in which a square can
lie. Light changes too, mostly for all bands alike, and each band by a few per cent for itself: without that, views are
told apart by their exact colour, and nothing else is learnt. There is no hue and no grey: colour is what land cover is
told by, and the strong changes that are usual for photographs cost 10 points of k-NN accuracy on EuroSAT.

All chance is numpy's, so that a step can be repeated on every device and after every interruption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_ASPECT = 4 / 3
"""The longest side of a crop over its shortest, at most."""


@dataclass(frozen=True)
class Views:
    """How views differ from their tile.

    A crop has a share of the tile's area between ``least_area`` and ``most_area``; ``brightness`` and ``contrast`` are
    factors of up to 1 +/- so much for the whole view, ``tint`` one for each band; ``size_px`` is the side of a view.
    """

    size_px: int
    least_area: float
    most_area: float
    brightness: float
    contrast: float
    tint: float

    def whole_px(self, tile_px: int) -> int:
        """The side at which a whole tile of ``tile_px`` shows things as large as views do on average.

        A network that was trained on enlarged crops knows the world at that scale (Touvron et al. 2019). On EuroSAT,
        80 px instead of 64 for crops of 8 to 60 % is worth one point. A multiple of 16, and never below the tile's
        own side.
        """
        low, high = math.sqrt(self.least_area), math.sqrt(self.most_area)
        # The mean of the square root of a number drawn evenly between the two areas.
        side = low if low == high else 2 / 3 * (high**3 - low**3) / (high**2 - low**2)
        return max(round(self.size_px / side / 16) * 16, tile_px)

    def draw(self, tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """A view (B, bands, size_px, size_px) of each of the tiles (B, bands, H, W) of reflectance."""
        count, bands = tiles.shape[:2]
        where = functional.affine_grid(
            torch.from_numpy(self._crops(count, rng)).to(tiles.device, tiles.dtype),
            [count, bands, self.size_px, self.size_px],
            align_corners=False,
        )
        views = functional.grid_sample(tiles, where, mode="bilinear", padding_mode="reflection", align_corners=False)
        light = 1.0 + rng.uniform(-self.brightness, self.brightness, (count, 1))
        light = light * (1.0 + rng.uniform(-self.tint, self.tint, (count, bands)))
        contrast = light * (1.0 + rng.uniform(-self.contrast, self.contrast, (count, 1)))
        mean = views.mean(dim=(2, 3), keepdim=True)
        return (views - mean) * _beside(contrast, tiles) + mean * _beside(light, tiles)

    def _crops(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Affine maps (B, 2, 3) from view to tile, both from -1 to 1: a place, a size, a turn and perhaps a flip."""
        area = rng.uniform(self.least_area, self.most_area, count)
        aspect = np.exp(rng.uniform(-np.log(_ASPECT), np.log(_ASPECT), count))
        sides = np.minimum(np.sqrt(np.stack([area * aspect, area / aspect])), 1.0)
        middle = rng.uniform(-1.0, 1.0, (2, count)) * (1.0 - sides)
        quarter = rng.integers(0, 4, count)
        cosine, sine = np.array([1.0, 0.0, -1.0, 0.0])[quarter], np.array([0.0, 1.0, 0.0, -1.0])[quarter]
        flip = rng.choice([-1.0, 1.0], count)
        rows = [[cosine * flip, -sine], [sine * flip, cosine]]
        maps = np.empty((count, 2, 3))
        for axis in range(2):
            maps[:, axis, 0], maps[:, axis, 1] = sides[axis] * rows[axis][0], sides[axis] * rows[axis][1]
            maps[:, axis, 2] = middle[axis]
        return maps


def _beside(factors: NDArray[np.float64], tiles: torch.Tensor) -> torch.Tensor:
    """Factors (B, 1) or (B, bands) as (B, ..., 1, 1), to be multiplied with tiles."""
    return torch.from_numpy(factors).to(tiles.device, tiles.dtype)[:, :, None, None]
