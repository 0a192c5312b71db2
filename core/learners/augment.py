"""Views of a tile that leave its land cover as it is: weak ones to learn from, strong ones to be challenged by.

A tile seen from above has no up: turned and flipped it is the same place (:func:`weak`). The strong view is that of
FixMatch, RandAugment and then Cutout (Cubuk et al. 2020; DeVries and Taylor 2017), with what may be done to any bands
(:func:`strong`). Its usual changes of hue and its greying are left out: colour is what land cover is told by.

Tiles are standardised here: in each band 0 is the mean and 1 the spread. All chance is numpy's, so that every device
sees the same views.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_CONTRAST = 0.3
_BRIGHTNESS = 0.3
_OF_ONE_BAND = 0.1
"""Factors and shifts of a whole tile, and those of single bands besides; of the spread of a band, at most."""
_LEAST_AREA = 0.4
_CUTOUT = 0.5


def weak(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each of the tiles (B, bands, H, H) in one of the eight ways in which a square can lie."""
    way = rng.integers(0, 8, len(tiles))
    turned = torch.empty_like(tiles)
    for number in np.unique(way):
        mine = torch.from_numpy(np.flatnonzero(way == number)).to(tiles.device)
        view = torch.rot90(tiles[mine], int(number) % 4, (2, 3))
        turned[mine] = view.flip(3) if number >= 4 else view
    return turned


def strong(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each of the tiles (B, bands, H, H) after two of three changes, drawn for it, and with a square cut out.

    The changes: contrast and brightness, sharpness or its contrary, a part of the tile enlarged to all of it.
    """
    left_out = rng.integers(0, len(_CHANGES), len(tiles))
    changed = tiles.clone()
    for number, change in enumerate(_CHANGES):
        places = np.flatnonzero(left_out != number)
        if len(places):
            mine = torch.from_numpy(places).to(tiles.device)
            changed[mine] = change(changed[mine], rng)
    return _cut_out(changed, rng)


def _tone(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """More or less light and haze: the same for all bands, and a little for each."""
    shape, whole = tiles.shape[:2], (len(tiles), 1)
    gain = 1.0 + rng.uniform(-_CONTRAST, _CONTRAST, whole) + rng.uniform(-_OF_ONE_BAND, _OF_ONE_BAND, shape)
    shift = rng.uniform(-_BRIGHTNESS, _BRIGHTNESS, whole) + rng.uniform(-_OF_ONE_BAND, _OF_ONE_BAND, shape)
    return tiles * _beside(gain, tiles) + _beside(shift, tiles)


def _sharpness(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """From twice as sharp to the mean of 3 x 3 pixels."""
    smooth = functional.avg_pool2d(tiles, 3, stride=1, padding=1, count_include_pad=False)
    amount = rng.uniform(-1.0, 1.0, (len(tiles), 1))
    return tiles + (smooth - tiles) * _beside(amount, tiles)


def _closer(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A square of 40 to 100 % of the area, anywhere within the tile, enlarged to the whole."""
    side = np.sqrt(rng.uniform(_LEAST_AREA, 1.0, len(tiles)))
    middle = rng.uniform(-1.0, 1.0, (2, len(tiles))) * (1.0 - side)
    lines = np.zeros((len(tiles), 2, 3))
    lines[:, 0, 0] = lines[:, 1, 1] = side
    lines[:, :, 2] = middle.T
    where = functional.affine_grid(
        torch.from_numpy(lines).to(tiles.device, tiles.dtype), list(tiles.shape), align_corners=False
    )
    return functional.grid_sample(tiles, where, mode="bilinear", padding_mode="border", align_corners=False)


_CHANGES: tuple[Callable[[torch.Tensor, np.random.Generator], torch.Tensor], ...] = (_tone, _sharpness, _closer)


def _cut_out(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A square of up to half the side, anywhere and partly outside, replaced by the mean of the bands."""
    size = tiles.shape[-1]
    half = rng.uniform(0.0, _CUTOUT, (len(tiles), 1)) * size / 2.0
    middle = rng.uniform(0.0, size, (2, len(tiles), 1))
    near = np.abs(np.arange(size) + 0.5 - middle) < half
    inside = torch.from_numpy(near[0][:, :, None] & near[1][:, None, :]).to(tiles.device)
    return tiles.masked_fill(inside[:, None], 0.0)


def _beside(values: NDArray[np.float64], tiles: torch.Tensor) -> torch.Tensor:
    """Values (B, 1) or (B, bands) as (B, ..., 1, 1), to be combined with tiles."""
    return torch.from_numpy(values).to(tiles.device, tiles.dtype)[:, :, None, None]
