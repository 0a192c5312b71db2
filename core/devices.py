"""Which processor does the work."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

from .errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Gpu:
    """The GPU that torch can use: its ``name``, or None and a sentence on the ``reason``."""

    name: str | None
    reason: str = ""


@functools.cache
def find_gpu() -> Gpu:
    """Look for a GPU and try it once: some are found, but are too old for this torch to compute on."""
    import torch

    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        found = torch.cuda.is_available()
    if found:
        try:
            torch.zeros(1, device="cuda").add_(1).cpu()
            return Gpu(str(torch.cuda.get_device_name(0)))
        except RuntimeError as error:
            return Gpu(None, f"There is a GPU, but torch cannot compute on it: {str(error).strip().splitlines()[0]}")
    if torch.version.cuda is None and torch.version.hip is None:
        return Gpu(None, f"This torch ({torch.__version__}) is built for the CPU only.")
    said = f" It says: {remarks[0].message}" if remarks else ""
    return Gpu(None, f"torch finds no GPU, or no driver for it.{said}")


def choose_device(name: str = "auto") -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU where torch can use one.

    Raises:
        UsageError: an unknown name, or ``cuda`` where there is no usable GPU.
    """
    if name not in DEVICES:
        raise UsageError(f"There is no device {name!r}.", hint=f"Choose one of {', '.join(DEVICES)}.")
    gpu = find_gpu()
    if name == "cuda" and gpu.name is None:
        raise UsageError(
            f"No GPU can be used. {gpu.reason}",
            hint="Choose the device cpu or auto; `quadrat doctor` says what the engine finds.",
        )
    return "cuda" if gpu.name is not None and name != "cpu" else "cpu"
