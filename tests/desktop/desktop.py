"""Start the whole QGIS desktop with the plugin, let a script drive it, and read what the script found out.

QGIS gets a profile of its own in a temporary folder, in which the plugin is this very clone under the name that QGIS
expects. The script (a module of ``driven``, named without ending) runs inside QGIS; what it is told and what it
answers are JSON. A desktop that hangs is ended with everything it started, and the end of its log is shown.

    python tests/desktop/desktop.py responsiveness --out DIR scene=/data/eurosat.tif
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DRIVEN = Path(__file__).with_name("driven")
# Variables of another Python or GDAL would lead QGIS to the wrong modules.
FOREIGN = ("PYTHON", "VIRTUAL_ENV", "QGIS_", "GDAL_", "PROJ_", "QT_")
WINDOW = "1600x1000"


class DesktopError(Exception):
    """The desktop did not start, hung, crashed, or its script failed."""


def run_in_desktop(
    script: str,
    options: Mapping[str, Any] | None = None,
    *,
    out: Path,
    timeout_s: float = 600.0,
    theme: str = "default",
) -> dict[str, Any]:
    """Let a script drive a desktop that nobody sees (Xvfb); what it answered. Pictures and logs are left in ``out``.

    Raises:
        DesktopError: it did not work out; with the script's traceback or the end of QGIS's log.
    """
    out.mkdir(parents=True, exist_ok=True)
    answer, log = out / "answer.json", out / "qgis.log"
    answer.unlink(missing_ok=True)
    display = [_program("xvfb-run", "xvfb xauth"), "-a", "-s", f"-screen 0 {WINDOW}x24"]
    with tempfile.TemporaryDirectory(prefix="quadrat-desktop-") as folder, log.open("wb") as sink:
        command, environment = _qgis(Path(folder), script, {**(options or {}), "out": str(out)}, theme)
        environment["PYQGIS_STARTUP"] = str(DRIVEN / "startup.py")
        process = subprocess.Popen(
            [*display, *command], env=environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end_all(process)
    return _judge(answer, log, status, timeout_s)


def open_desktop(options: Mapping[str, Any]) -> int:
    """Open a desktop for a person, with a project loaded; returns when it is closed.

    Raises:
        DesktopError: there is no display or no QGIS.
    """
    check_desktop()
    with tempfile.TemporaryDirectory(prefix="quadrat-desktop-") as folder:
        command, environment = _qgis(Path(folder), "open_project", options, "default", keep_qt=True)
        return subprocess.call(command, env=environment)


def check_desktop() -> None:
    """See whether a desktop could be opened for a person.

    Raises:
        DesktopError: there is no display or no QGIS.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DesktopError("There is no display here. Run it in a graphical session, or `make screenshots` without.")
    _program("qgis", "qgis python3-qgis qgis-providers")


def _qgis(
    folder: Path, script: str, options: Mapping[str, Any], theme: str, *, keep_qt: bool = False
) -> tuple[list[str], dict[str, str]]:
    """The command and environment that start QGIS with a profile in ``folder``."""
    profile = folder / "profiles" / "default"
    plugins = profile / "python" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "quadrat").symlink_to(ROOT, target_is_directory=True)
    for version in (3, 4):
        settings = profile / "QGIS" / f"QGIS{version}.ini"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(
            "[PythonPlugins]\nquadrat=true\n\n"
            "[UI]\n" + ("" if theme == "default" else f"UITheme={theme}\n") + "\n"
            "[qgis]\ncheckVersion=false\nshowTips=false\nenableMacros=SessionOnly\nnews-feed/disabled=true\n\n"
            "[core]\nNewsFeed\\disabled=true\n\n"
            "[locale]\noverrideFlag=true\nuserLocale=en_US\n",
            encoding="utf-8",
        )
    # QGIS pastes the path into a line of Python, so it must lie where no quote can be in it.
    boot = folder / "boot.py"
    shutil.copyfile(DRIVEN / "boot.py", boot)
    foreign = tuple(prefix for prefix in FOREIGN if not (keep_qt and prefix == "QT_"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["QUADRAT_DESKTOP"] = json.dumps({"folder": str(DRIVEN), "script": script, "options": dict(options)})
    qgis = _program("qgis", "qgis python3-qgis qgis-providers")
    return [qgis, "--profiles-path", str(folder), "--nologo", "--noversioncheck", "--code", str(boot)], environment


def _program(name: str, packages: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise DesktopError(f"The program {name} is missing. On Debian or Ubuntu: sudo apt-get install {packages}")
    return found


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """End the display, QGIS and the engine if any of them still runs; they are a process group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judge(answer: Path, log: Path, status: int | None, timeout_s: float) -> dict[str, Any]:
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
    said = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if said.get("error"):
        raise DesktopError(f"The script failed in QGIS:\n{said['error']}\nLog of QGIS:\n{tail}")
    if status is None:
        raise DesktopError(f"QGIS did not come to an end within {timeout_s:.0f} s. Its log:\n{tail}")
    if status != 0 or not said:
        raise DesktopError(f"QGIS ended with status {status} without an answer. Its log:\n{tail}")
    return dict(said["result"])


def main() -> int:
    """Drive a desktop from the shell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "script",
        help="a module of tests/desktop/driven, `open` for a desktop to use by hand, or `check` whether that could be",
    )
    parser.add_argument("options", nargs="*", metavar="NAME=VALUE", help="what the script is told")
    parser.add_argument("--out", type=Path, default=Path("build") / "desktop", help="where pictures and logs go")
    parser.add_argument("--theme", default="default", help='QGIS\'s theme, such as "Night Mapping"')
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds")
    chosen = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that QGIS is ended as well
    options = dict(option.split("=", 1) for option in chosen.options)
    try:
        if chosen.script == "check":
            check_desktop()
            return 0
        if chosen.script == "open":
            return open_desktop(options)
        out = chosen.out.resolve()
        found = run_in_desktop(chosen.script, options, out=out, theme=chosen.theme, timeout_s=chosen.timeout)
    except DesktopError as error:
        print(error, file=sys.stderr)
        return 1
    print(found.pop("report", ""))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
