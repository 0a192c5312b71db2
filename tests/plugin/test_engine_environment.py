"""Finding the engine's Python, and telling what is wrong with another."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from quadrat.core.errors import Cancelled
from quadrat.plugin.engine import environment
from quadrat.plugin.engine.environment import check_interpreter, clean_environment, engine_folder, find_interpreter
from quadrat.plugin.engine.errors import EngineError

from .conftest import ROOT
from .waiting import wait_until

ENGINE_PYTHON = ROOT / ".venv" / "bin" / "python"
PROBE = ROOT / "plugin" / "engine" / "probe.py"
UNKIND = "a b é 'q' \"d\""
needs_engine = pytest.mark.skipif(not ENGINE_PYTHON.exists(), reason="the engine's environment is not made")


def write_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_engine_gets_the_users_environment_and_nothing_of_qgis():
    users = {"PATH": "/usr/bin", "HOME": "/h", "https_proxy": "p", "CUDA_VISIBLE_DEVICES": "1", "LANG": "C", "TMP": "t"}
    qgis = (
        *("PYTHONPATH", "PYTHONHOME", "PythonHome", "__PYVENV_LAUNCHER__", "QGIS_PREFIX_PATH", "GDAL_DATA"),
        *("GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
        *("VIRTUAL_ENV", "CONDA_PREFIX", "QT_PLUGIN_PATH", "OSGEO4W_ROOT", "SNAP", "MPLBACKEND"),
    )
    cleaned = clean_environment({**users, **dict.fromkeys(qgis, "/qgis")})
    assert {name: cleaned.pop(name) for name in users} == users
    assert cleaned == {"PYTHONUTF8": "1", "PYTHONFAULTHANDLER": "1"}


def test_osgeo4ws_libraries_are_taken_off_the_path():
    folders = ["/OSGeo4W/bin", "/windows", "/osgeo4w/apps/qgis/bin", "/cuda/bin"]
    cleaned = clean_environment({"OSGEO4W_ROOT": "/OSGeo4W", "PATH": os.pathsep.join(folders)})
    assert cleaned["PATH"] == os.pathsep.join(["/windows", "/cuda/bin"])


def test_the_configured_python_comes_first_then_the_plugins_then_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    plugin = tmp_path / UNKIND
    plugin.mkdir()
    assert find_interpreter("", plugin) is None
    users = write_program(tmp_path / "data" / "quadrat" / "engine" / "bin" / "python", "")
    assert find_interpreter("", plugin) == users
    plugins = write_program(plugin / ".venv" / "bin" / "python", "")
    assert find_interpreter("", plugin) == plugins
    assert find_interpreter("/not/there", plugin) == Path("/not/there")


def test_the_python_in_a_linked_plugin_folder_is_found_through_the_link(tmp_path):
    real = write_program(tmp_path / "clone" / ".venv" / "bin" / "python", "")
    (tmp_path / "quadrat").symlink_to(tmp_path / "clone", target_is_directory=True)
    assert find_interpreter(None, tmp_path / "quadrat").samefile(real)


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, ".local/share/quadrat/engine"),
        ("darwin", {}, "Library/Application Support/quadrat/engine"),
        ("win32", {}, "AppData/Local/quadrat/engine"),
    ],
)
def test_each_system_has_its_place_for_an_engine(platform, environ, expected):
    assert engine_folder(environ, platform) == Path.home() / expected


@needs_engine
def test_the_engines_own_python_will_do():
    report = check_interpreter(ENGINE_PYTHON)
    assert report.python.startswith("3.")
    assert report.versions["torch"].split(".")[0].isdigit()


@needs_engine
def test_a_python_in_a_folder_with_an_unkind_name_will_do(tmp_path):
    # An environment's own link needs its pyvenv.cfg beside it, so the whole folder is linked.
    (tmp_path / UNKIND).symlink_to(ROOT / ".venv", target_is_directory=True)
    report = check_interpreter(tmp_path / UNKIND / "bin" / "python")
    assert report.path.parent.parent.name == UNKIND
    wrapper = write_program(tmp_path / f"{UNKIND}.sh", f'#!/bin/sh\nexec "{ENGINE_PYTHON}" "$@"\n')
    assert check_interpreter(wrapper).versions == report.versions


def test_a_python_without_the_packages_is_refused_and_they_are_named(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / UNKIND], check=True)
    with pytest.raises(EngineError, match=r"lacks what the engine needs: .*torch, torchvision") as raised:
        check_interpreter(tmp_path / UNKIND / "bin" / "python")
    assert "make setup" in raised.value.hint
    assert "-m pip install" in raised.value.hint


@pytest.mark.parametrize("place", ["missing", "folder", "environment", "plain", "nothing"])
def test_what_is_no_program_is_refused(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("no program")
    write_program(tmp_path / "environment" / "bin" / "python", "")
    write_program(tmp_path / "nothing", "")
    words = {
        "missing": "There is no program",
        "folder": "is a folder",
        "environment": "is a folder",
        "plain": "is not a program",
        "nothing": "cannot be started",
    }
    with pytest.raises(EngineError, match=words[place]) as raised:
        check_interpreter(tmp_path / place)
    assert raised.value.hint
    if place == "environment":
        assert str(tmp_path / "environment" / "bin" / "python") in raised.value.hint


@pytest.mark.parametrize(
    ("script", "words", "details"),
    [
        ("echo Ruby 3.11", "is not Python", "Ruby"),
        ("echo Python 3.9.2", "is Python 3.9.2, but the engine needs Python 3.11", "3.9.2"),
        ("echo Python 2.7.18 >&2", "is Python 2.7.18, but", ""),
        ("kill -SEGV $$", "is not Python", "segmentation fault"),
        ('[ "$1" = --version ] && echo Python 3.12.1 || echo nonsense; exit 3', "does not work as", "status 3"),
        ("yes Python", "is not Python", "Python"),  # prints for ever
    ],
)
def test_what_is_not_a_new_enough_python_is_refused(tmp_path, script, words, details):
    with pytest.raises(EngineError, match=words) as raised:
        check_interpreter(write_program(tmp_path / "python", f"#!/bin/sh\n{script}\n"))
    assert details in raised.value.details
    assert len(raised.value.details) < 100_000


def _is_dead(process: int) -> bool:
    """Gone, or only its exit status is left; a signal takes a moment to arrive."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_a_program_that_never_answers_is_given_up_with_all_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "PROBE_S", 0.5)
    program = write_program(tmp_path / "python", f"#!/bin/sh\nsleep 3600 &\necho $! > '{tmp_path}/child'\nsleep 3600\n")
    with pytest.raises(EngineError, match="does not answer"):
        check_interpreter(program)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: _is_dead(child), "the end of what it started")


def test_a_check_can_be_stopped(tmp_path):
    with pytest.raises(Cancelled):
        check_interpreter(write_program(tmp_path / "python", "#!/bin/sh\nsleep 3600\n"), lambda: True)


def test_a_pair_of_torch_and_torchvision_that_do_not_match_is_refused(tmp_path):
    found = '{"probe": "quadrat", "python": [3, 11, 2], "torchvision_wants": "2.5.0", '
    found += '"versions": {"torch": "2.4.1", "torchvision": "0.20.0"}}'
    script = f"#!/bin/sh\n[ \"$1\" = --version ] && echo Python 3.11.2 || echo '{found}'\n"
    with pytest.raises(EngineError, match=r"torchvision 0\.20\.0 was made for torch 2\.5\.0"):
        check_interpreter(write_program(tmp_path / "python", script))


def test_the_probe_asks_for_what_the_engine_depends_on():
    wanted = (ROOT / "pyproject.toml").read_text().split("\ndependencies = [")[1].split("]")[0]
    names = {line.split('"')[1].split(">=")[0] for line in wanted.strip().splitlines()}
    lines = PROBE.read_text().split("PACKAGES = [")[1].split("]")[0].strip().splitlines()
    assert {line.split('"')[3] for line in lines} == names
