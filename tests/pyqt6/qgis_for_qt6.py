"""As much of QGIS 4 as it takes to import the plugin: the real PyQt6, and classes on demand for everything of QGIS.

:func:`install` puts ``qgis`` and its submodules into ``sys.modules``. A class of QGIS has whatever enum or
member is asked for and can be subclassed; it cannot be used for anything else.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from PyQt6 import QtCore, QtGui

QT_MODULES = ("QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtSvg", "QtTest", "QtXml", "sip")
# Where they were in Qt 5, where QGIS keeps them.
MOVED = ("QAction", "QActionGroup", "QShortcut", "QUndoCommand", "QUndoGroup", "QUndoStack")


class _OnDemand(type(QtCore.QObject)):  # type: ignore[misc]
    """A class whose members are made when they are asked for."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _made(name)

    def __or__(cls, other: Any) -> Any:
        return cls


def _made(name: str) -> Any:
    return _OnDemand(name, (QtCore.QObject,), {})


class _Qgis(ModuleType):
    """A module of QGIS: whatever is asked for is a class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        setattr(self, name, _made(name))
        return getattr(self, name)


def qt_module(name: str) -> ModuleType:
    """``qgis.PyQt.QtX`` as QGIS 4 has it."""
    module = ModuleType(f"qgis.PyQt.{name}")
    module.__dict__.update(vars(importlib.import_module(f"PyQt6.{name}")))
    if name == "QtWidgets":
        module.__dict__.update({moved: getattr(QtGui, moved) for moved in MOVED})
    return module


def install() -> None:
    """Make ``import qgis`` work."""
    package, qt = ModuleType("qgis"), ModuleType("qgis.PyQt")
    package.__path__, qt.__path__ = [], []  # type: ignore[attr-defined]
    sys.modules.update({"qgis": package, "qgis.PyQt": qt})
    for name in ("core", "gui", "utils"):
        sys.modules[f"qgis.{name}"] = _Qgis(f"qgis.{name}")
    for name in QT_MODULES:
        sys.modules[f"qgis.PyQt.{name}"] = qt_module(name)
