"""Embeddings a tile of rows at a time: reading, checking, column statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..monitor import SILENT, Monitor

Rows = NDArray[Any]
"""Embeddings (N, d), float16 or float32 (float64 works too), possibly a read-only memory map."""
Indices = NDArray[np.int64]
Floats = NDArray[np.float32]
Device = str | torch.device

SAME = 1e-12
"""Rows closer than a millionth of their length count as one and the same."""

_tile_elements = ContextVar("tile_elements", default=2**21)
"""16 MB of float64: larger tiles fall out of the processor's cache, and the whole pass takes twice as long."""


@contextmanager
def tiles_of(elements: int) -> Iterator[None]:
    """Within this context, in this thread, tiles hold ``elements`` numbers."""
    before = _tile_elements.set(elements)
    try:
        yield
    finally:
        _tile_elements.reset(before)


def tile_elements() -> int:
    """How many numbers a tile holds here."""
    return _tile_elements.get()


def tiles(count: int, width: int, most: int = 8192) -> Iterator[slice]:
    """Slices that cut ``count`` rows of ``width`` numbers into tiles of at most ``most`` rows, and at least 64."""
    step = max(64, min(most, tile_elements() // max(width, 1)))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def gather(
    embeddings: Rows, rows: slice | Indices, device: Device = "cpu", dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Some rows as a tensor (n, d) on ``device``; they travel in the type in which they are stored."""
    # Picking rows by number copies them already; a slice may be a view of a read-only memory map, which torch refuses.
    block = np.array(embeddings[rows]) if isinstance(rows, slice) else np.ascontiguousarray(embeddings[rows])
    return torch.from_numpy(block).to(device).to(dtype)


def finite_rows(embeddings: Rows, monitor: Monitor = SILENT) -> NDArray[np.bool_]:
    """True (N,) for each row without a NaN or an infinity."""
    finite = np.empty(len(embeddings), dtype=bool)
    for part in tiles(len(embeddings), embeddings.shape[1]):
        monitor.advance(part.start / len(embeddings), "Checking the embeddings")
        finite[part] = _are_finite(embeddings[part])
    return finite


def _are_finite(block: Rows) -> NDArray[np.bool_]:
    """True (n,) for each row (n, d) without a NaN or an infinity."""
    if block.dtype != np.float16 or not block.shape[1]:
        return np.asarray(np.isfinite(block).all(axis=1))
    # numpy turns half precision into single to look at it, which takes three times as long as to look at the exponents.
    exponents = np.ascontiguousarray(block).view(np.uint16) & np.uint16(0x7C00)
    return np.asarray(exponents.max(axis=1) < 0x7C00)


def column_moments(
    embeddings: Rows, rows: Indices | None = None, *, device: Device = "cpu", monitor: Monitor = SILENT
) -> tuple[Floats, Floats]:
    """Mean and (population) standard deviation of every column, over finite rows only.

    Tiles are merged by the pairwise update of Chan, Golub and LeVeque (1979), so a large mean does not drown a
    small spread. A column that does not vary has a spread of exactly 0; so have all when there is no finite row.

    Args:
        embeddings: (N, d).
        rows: the rows to look at (n,), all by default.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        mean (d,) and standard deviation (d,), float32.
    """
    width = embeddings.shape[1]
    total = len(embeddings) if rows is None else len(rows)
    mean = torch.zeros(width, dtype=torch.float64, device=device)
    squares = torch.zeros_like(mean)
    count = 0
    for part in tiles(total, width):
        monitor.advance(part.start / total, "Measuring the embeddings")
        block = gather(embeddings, part if rows is None else rows[part], device)
        block = block[torch.isfinite(block).all(dim=1)]
        if not len(block):
            continue
        variance, block_mean = torch.var_mean(block, dim=0, correction=0)
        shift = block_mean - mean
        count += len(block)
        mean += shift * (len(block) / count)
        squares += variance * len(block) + shift**2 * ((count - len(block)) * len(block) / count)
    spread = (squares / max(count, 1)).sqrt()
    spread[spread <= mean.abs() * SAME**0.5] = 0.0
    return floats(mean), floats(spread)


def probabilities_of(logits: Floats, mode: str) -> Floats:
    """Softmax over the last axis ("single"), or the sigmoid of every number ("multi"), float32."""
    scores = torch.from_numpy(logits).double()
    result = scores.softmax(dim=-1) if mode == "single" else scores.sigmoid()
    return floats(result)


def floats(values: torch.Tensor) -> Floats:
    """As float32 in numpy."""
    return np.asarray(values.to(torch.float32).cpu().numpy())
