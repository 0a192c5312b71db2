"""The plugin's source is good for Qt 6 (QGIS 4) as well, although the QGIS of these tests may have Qt 5."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from ..source_names import PLUGIN, sources, unresolved

HERE = Path(__file__).parent
# What QGIS 3.22's Python 3.9 has not.
TOO_NEW = {"tomllib"}
OF_QGIS = (
    "qgis.core",
    "qgis.gui",
    "qgis.PyQt",
    "qgis.PyQt.QtCore",
    "qgis.PyQt.QtGui",
    "qgis.PyQt.QtWidgets",
    "qgis.PyQt.sip",
)
REMOVED_METHODS = {"exec_", "globalPos", "globalX", "globalY"}

qt6 = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import PyQt6.QtWidgets"], capture_output=True, check=False).returncode != 0,
    reason="PyQt6 cannot be loaded here: a system library such as libEGL is missing (QGIS brings them)",
)


@cache
def _pyqt6(module):
    sys.path.insert(0, str(HERE))
    try:
        from qgis_for_qt6 import qt_module
    finally:
        sys.path.remove(str(HERE))
    return qt_module(module.removeprefix("qgis.PyQt."))


@qt6
def test_every_module_of_the_plugin_can_be_imported_with_qt6():
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, str(HERE / "import_plugin.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Qt 6." in done.stdout


@qt6
def test_every_name_of_qt_that_the_plugin_uses_exists_in_qt6():
    assert unresolved(("qgis.PyQt.",), _pyqt6) == []


def test_no_method_is_called_that_qt6_has_not():
    found = [
        f"{path.relative_to(PLUGIN)}:{node.lineno}: .{node.attr}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in REMOVED_METHODS
    ]
    assert found == []


def test_the_plugin_imports_nothing_but_the_standard_library_and_qgis():
    allowed = sys.stdlib_module_names - TOO_NEW
    found = [
        f"{path.relative_to(PLUGIN)}: {name}"
        for path in sources()
        for name in _absolute_imports(ast.parse(path.read_text(encoding="utf-8")))
        if name not in OF_QGIS and name.partition(".")[0] not in allowed
    ]
    assert found == []


def _absolute_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
