"""What to do when a GPU runs out of memory: the same work in smaller tiles, and on the processor if need be.

Other programs share a GPU, so how much is free can only be found out by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from ..monitor import Monitor
from .arrays import Device, tiles_of

T = TypeVar("T")

# What CUDA, cuBLAS, and the CPU's allocator on POSIX and on Windows say.
_NO_MEMORY = ("out of memory", "ALLOC_FAILED", "can't allocate memory", "not enough memory")
_GPU_TILES = (2**24, 2**22, 2**20)
"""Numbers in a tile, one try each: 128 MB of float64 keep a large GPU busy, and 8 MB are still worth the trip."""


def sparing(action: Callable[[Device], T], device: Device, monitor: Monitor) -> T:
    """Do something on a device; where a GPU's memory is too small, in smaller tiles, then on the CPU.

    Args:
        action: is given the device to compute on. It may be called again from its beginning, so all that is random in
            it must start there, too.
        device: where to compute if there is room.
        monitor: each step down is remarked upon.

    Returns:
        What ``action`` returns.
    """
    if torch.device(device).type == "cpu":
        return action(device)
    for elements in _GPU_TILES:
        try:
            with tiles_of(elements):
                return action(device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            last = elements == _GPU_TILES[-1]
            monitor.info(
                "The GPU is out of memory. "
                + ("The processor takes over." if last else "Trying again with smaller tiles.")
            )
        # Only here, where the error and with it the frames that hold the tensors are gone, can memory be given back.
        torch.cuda.empty_cache()
    return action("cpu")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch's own allocator failed, or that of CUDA, cuBLAS or the CPU, which have no error class for it."""
    said = str(error)
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in said for words in _NO_MEMORY)
