"""Is everything here that the engine needs? One line a check, with what to do where the answer is no."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True)
class Check:
    """The outcome of one check; ``hint`` is empty where all is well."""

    name: str
    ok: bool
    found: str
    hint: str = ""


def examine(folder: Path) -> list[Check]:
    """Run every check. ``folder`` is where projects will be kept: its free space is looked at."""
    return [
        _python(),
        _attempt("torch", _torch, "Install the pinned pair: make setup."),
        _attempt(
            "torchvision", _torchvision, "torch and torchvision do not match. Install the pinned pair: make setup."
        ),
        _attempt("GPU", _gpu, "The engine runs on the CPU."),
        _attempt("GDAL", _gdal, "Install rasterio and pyogrio: make setup."),
        _sqlite(),
        _memory(),
        _disk(folder),
    ]


def _attempt(name: str, look: Callable[[], str], hint: str) -> Check:
    """A check that fails by raising: a broken installation can raise anything at import."""
    try:
        return Check(name, True, look())
    except Exception as error:  # noqa: BLE001
        return Check(name, False, f"{type(error).__name__}: {error}", hint)


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} at {sys.executable}"
    return Check("Python", ok, found, "" if ok else "The engine needs Python 3.11 or newer.")


def _torch() -> str:
    import torch

    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def _torchvision() -> str:
    import torch
    import torchvision

    # A pair that does not match imports and then fails at the first operator of its own, so one is called.
    torchvision.ops.nms(torch.zeros((1, 4)), torch.zeros(1), 0.5)
    return str(torchvision.__version__)


def _gpu() -> str:
    import torch

    from .devices import find_gpu

    gpu = find_gpu()
    if gpu.name is None:
        return f"none; the engine runs on the CPU. {gpu.reason}"
    device = torch.cuda.get_device_properties(0)
    return f"{device.name}, {device.total_memory / GIB:.1f} GiB, CUDA {torch.version.cuda}"


def _gdal() -> str:
    import pyogrio
    import rasterio

    pyogrio_gdal = ".".join(str(part) for part in pyogrio.__gdal_version__)
    with rasterio.Env() as env:
        jpeg2000 = any(name.startswith(("JP2", "JPEG2000")) for name in env.drivers())
    return (
        f"{rasterio.__gdal_version__} (rasterio {rasterio.__version__}, JPEG 2000 {'yes' if jpeg2000 else 'no'}), "
        f"{pyogrio_gdal} (pyogrio {pyogrio.__version__})"
    )


def _sqlite() -> Check:
    options = {row[0] for row in sqlite3.connect(":memory:").execute("PRAGMA compile_options")}
    ok = "ENABLE_RTREE" in options and sqlite3.sqlite_version_info >= (3, 24)
    hint = "" if ok else "Python needs an SQLite of 3.24 or newer with its r-tree module."
    return Check("SQLite", ok, f"{sqlite3.sqlite_version}, r-tree {'yes' if ok else 'no'}", hint)


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    ok = memory.available > 2 * GIB
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free, {os.cpu_count()} cores"
    return Check("Memory", ok, found, "" if ok else "Close other programs: a whole granule needs about 2 GiB.")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / GIB
    ok = free > 1
    return Check("Disk", ok, f"{free:.1f} GiB free", "" if ok else "Free some space: embeddings need about 0.1 GiB.")
