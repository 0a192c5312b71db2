"""The plugin's source is good for the QGIS that runs these tests."""

from __future__ import annotations

import importlib

from ..source_names import unresolved


def test_every_name_of_qgis_and_qt_that_the_plugin_uses_exists():
    assert unresolved(("qgis.",), importlib.import_module) == []
