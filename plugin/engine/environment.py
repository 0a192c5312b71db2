"""Where the engine's Python is, whether it will do, and what it may know of QGIS's own environment: nothing.

The engine is never run by QGIS's Python (``sys.executable``; on Windows that is QGIS itself) but by one of its own, and
with an environment from which everything that QGIS has arranged for itself is taken away.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import Cancelled
from ...core.monitor import SILENT
from ...core.paths import is_file, is_folder
from . import process
from .errors import EngineError, how_it_ended

OLDEST_PYTHON = (3, 11)
PROBE_S = 30.0
OUTPUT_BYTES = 65_536
TICK_S = 0.1
LAST_WORDS_S = 1.0
CHOOSE_HINT = (
    "Choose the engine's Python in Raster > Quadrat > Engine…; \"make setup\" in the plugin's folder makes one."
)

# Each of these makes another Python load QGIS's modules, libraries or data files, and crash or compute nonsense.
_FOREIGN = (
    # QGIS's module path; the last one is set by the launcher in the macOS bundle.
    *("PYTHON", "_PYTHON", "__PYVENV"),
    # The environment that QGIS itself was started from.
    *("VIRTUAL_ENV", "CONDA", "_CONDA", "_CE_"),
    # QGIS's libraries before the engine's, in AppImages, snaps and macOS bundles.
    *("LD_", "DYLD_"),
    # Data and drivers of another version of GDAL and PROJ.
    *("QGIS_", "GDAL_", "OGR_", "PROJ_", "GEOTIFF_", "CPL_"),
    # Window toolkits: the engine has no window.
    *("QT_", "QML", "GTK_", "GIO_", "GI_", "MPLBACKEND"),
    # The installer's own.
    *("OSGEO4W", "O4W_", "GISBASE", "GRASS_", "SNAP"),
)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for the engine: the user's (PATH, HOME, proxies, CUDA_VISIBLE_DEVICES, ...) without QGIS's.

    On Windows the folders of OSGeo4W are taken off PATH as well, for its DLLs have the names of the engine's.
    """
    kept = {name: value for name, value in environ.items() if not name.upper().startswith(_FOREIGN)}
    root = environ.get("OSGEO4W_ROOT")
    if root and "PATH" in kept:
        folders = kept["PATH"].split(os.pathsep)
        kept["PATH"] = os.pathsep.join(item for item in folders if not item.lower().startswith(root.lower()))
    kept["PYTHONUTF8"] = "1"  # what it prints goes into our log, whatever the code page of Windows
    kept["PYTHONFAULTHANDLER"] = "1"  # where it crashed, if it does
    return kept


def find_interpreter(configured: str | Path | None, plugin_folder: Path) -> Path | None:
    """The engine's Python: the configured one; else that of ``.venv`` in the plugin's folder; else the user's own.

    The configured one is returned even if it is not there, so that the analyst is told and not silently given another.
    """
    if configured:
        return Path(configured).expanduser()
    for folder in (plugin_folder / ".venv", engine_folder(os.environ)):
        for place in ("bin/python", "Scripts/python.exe"):
            # Not resolved: the link's own folder is what makes it the Python of its environment.
            if is_file(folder / place):
                return folder / place
    return None


def engine_folder(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where a Python environment for the engine belongs that is not inside the plugin's folder."""
    home = Path(environ.get("SNAP_REAL_HOME") or Path.home())
    if platform == "win32":
        base = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "quadrat" / "engine"


@dataclass(frozen=True)
class InterpreterReport:
    """A Python that will do: its version, and the version of each package that the engine needs."""

    path: Path
    python: str
    versions: Mapping[str, str]


def check_interpreter(path: str | Path, is_cancelled: Callable[[], bool] = SILENT.is_cancelled) -> InterpreterReport:
    """Ask a program whether it can run the engine. Takes a tenth of a second; torch is not imported.

    The program is asked for its version first, which harms nothing whatever was chosen by mistake.

    Raises:
        EngineError: it cannot, with the reason and what to do.
        Cancelled: ``is_cancelled`` said so.
    """
    path = Path(path).expanduser()
    _check_file(path)
    deadline = time.monotonic() + PROBE_S
    said = _run([str(path), "--version"], deadline, is_cancelled)
    match = re.search(r"^Python (\d+)\.(\d+)\S*", said, re.MULTILINE)
    if match is None:
        raise EngineError(f"{path} is not Python.", hint=CHOOSE_HINT, details=said)
    if (int(match[1]), int(match[2])) < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        raise EngineError(
            f"{path} is {match[0]}, but the engine needs Python {needed} or newer.", hint=CHOOSE_HINT, details=said
        )
    return _judge(path, _look_up(path, deadline, is_cancelled))


def _check_file(path: Path) -> None:
    if is_folder(path):
        inside = next((item for item in ("bin/python", "Scripts/python.exe") if is_file(path / item)), None)
        hint = f"Choose the program in it: {path / inside}" if inside else CHOOSE_HINT
        raise EngineError(f"{path} is a folder, not a program.", hint=hint)
    if not is_file(path):
        raise EngineError(f"There is no program {path}.", hint=_sandbox_hint() or CHOOSE_HINT)
    if not os.access(path, os.X_OK):
        raise EngineError(f"{path} is not a program, or you may not run it.", hint=CHOOSE_HINT)


def _sandbox_hint() -> str:
    """A QGIS from a Flatpak or a snap sees other folders than its user does."""
    boxed = "Flatpak" if "FLATPAK_ID" in os.environ else "snap" if "SNAP" in os.environ else ""
    return f"This QGIS is a {boxed} and sees only some folders: put the engine into your home folder." if boxed else ""


def _look_up(path: Path, deadline: float, is_cancelled: Callable[[], bool]) -> dict[str, Any]:
    """What probe.py finds when this Python runs it."""
    said = _run([str(path), str(Path(__file__).with_name("probe.py"))], deadline, is_cancelled)
    for line in said.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("probe") == "quadrat":
            return found
    raise EngineError(f"{path} does not work as a Python.", hint=CHOOSE_HINT, details=said)


def _judge(path: Path, found: Mapping[str, Any]) -> InterpreterReport:
    """Whether all packages are there, and torch and torchvision belong together."""
    versions: dict[str, str | None] = found["versions"]
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        raise EngineError(
            f"{path} lacks what the engine needs: {', '.join(missing)}.",
            hint=f'Run "make setup" in the plugin\'s folder and choose its Python, or install them here: '
            f'"{path}" -m pip install {" ".join(missing)}',
        )
    (torch, torch_build), (vision, vision_build) = (
        (versions[package] or "").partition("+")[::2] for package in ("torch", "torchvision")
    )
    wanted = found["torchvision_wants"].partition("+")[0]
    if (wanted and torch and wanted != torch) or (torch_build and vision_build and torch_build != vision_build):
        raise EngineError(
            f"torch {versions['torch']} and torchvision {versions['torchvision']} do not belong together"
            + (f": torchvision {vision} was made for torch {wanted}." if wanted != torch else "."),
            hint='Install the pair that Quadrat is tested with: "make setup" in the plugin\'s folder.',
        )
    python = ".".join(map(str, found["python"]))
    return InterpreterReport(path, python, {package: version or "" for package, version in versions.items()})


def _run(command: Sequence[str], deadline: float, is_cancelled: Callable[[], bool]) -> str:
    """What a program prints until it ends: at most 64 KB, and not for ever, for it may be anything."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        running = process.start(command, Path(__file__).parent, clean_environment(os.environ), **pipes)
    except OSError as error:
        raise EngineError(f"{command[0]} cannot be started: {error.strerror or error}.", hint=CHOOSE_HINT) from error
    output: list[bytes] = []
    reader = threading.Thread(target=_read_some, args=(running, output), daemon=True)
    reader.start()
    try:
        while running.poll() is None and reader.is_alive():
            if is_cancelled():
                raise Cancelled()
            if time.monotonic() > deadline:
                raise EngineError(f"{command[0]} does not answer; it is not Python.", hint=CHOOSE_HINT)
            reader.join(TICK_S)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it prints more than anybody wants to read
            running.wait(LAST_WORDS_S)
    finally:
        process.end(running, by_force=True)
        running.wait()
        reader.join(LAST_WORDS_S)
    said = b"".join(output).decode("utf-8", "replace")
    return said if running.returncode == 0 else f"{said}\n({how_it_ended(running.returncode)})"


def _read_some(running: subprocess.Popen[bytes], output: list[bytes]) -> None:
    assert running.stdout is not None
    with running.stdout as stream:
        output.append(stream.read(OUTPUT_BYTES))
