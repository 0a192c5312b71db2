"""Tiles at another size."""

from __future__ import annotations

import torch
from torch.nn import functional


def resized(tiles: torch.Tensor, size_px: int) -> torch.Tensor:
    """Tiles (B, bands, H, W) as squares of ``size_px``, bilinear; those that have that size already are given back.

    Antialiasing is for shrinking: it costs twice the time, and enlarging needs none.
    """
    size = (size_px, size_px)
    if tiles.shape[-2:] == size:
        return tiles
    shrinks = max(tiles.shape[-2:]) > size_px
    return functional.interpolate(tiles, size, mode="bilinear", align_corners=False, antialias=shrinks)
