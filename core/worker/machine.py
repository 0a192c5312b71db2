"""What the worker runs on, and how it behaves there: it must never be in the way of QGIS."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib import metadata
from typing import Any

from ..about import version

PROTOCOL = 1


def give_way() -> None:
    """Let QGIS go first. Called before any thread starts, because threads inherit it."""
    if sys.platform == "win32":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(10)


def describe() -> dict[str, Any]:
    """Versions, device and cores: what does not change while the worker runs. Imports torch, which takes a second."""
    import torch

    from ..devices import find_gpu

    gpu = find_gpu()
    return {
        "name": "quadrat",
        "version": version(),
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "executable": sys.executable,
        "pid": os.getpid(),
        "torch": torch.__version__,
        "torchvision": _version_of("torchvision"),
        "device": "cpu" if gpu.name is None else "cuda",
        "gpu": gpu.name,
        "gpu_reason": gpu.reason,
        "cores": os.cpu_count() or 1,
    }


def memory() -> dict[str, int]:
    """Bytes of memory, as they are now."""
    import psutil

    found = psutil.virtual_memory()
    return {"memory_free": found.available, "memory_total": found.total}


def release_gpu_memory() -> None:
    """Give back what torch keeps for later, after it ran out of it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def _version_of(package: str) -> str | None:
    """Without importing it: it is slow, and a broken one is the doctor's business."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
