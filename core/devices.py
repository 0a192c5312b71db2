"""Which processor does the work."""

from __future__ import annotations

from .errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str = "auto") -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU where torch can use one.

    Raises:
        UsageError: an unknown name, or ``cuda`` where there is no usable GPU.
    """
    import torch

    if name not in DEVICES:
        raise UsageError(f"There is no device {name!r}.", hint=f"Choose one of {', '.join(DEVICES)}.")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise UsageError(
            "torch finds no GPU that it can use.",
            hint="Use --device cpu, and see what `quadrat doctor` says of the GPU.",
        )
    return "cuda" if has_gpu and name != "cpu" else "cpu"
