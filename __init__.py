"""Quadrat: label satellite imagery by active learning.

This folder is both a QGIS plugin (QGIS calls :func:`classFactory`) and the Python package ``quadrat``, whose
headless engine lives in ``core``. Importing it needs neither QGIS nor torch.
"""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:  # noqa: N802 - QGIS looks for this very name
    """Make the plugin object. Called once by QGIS with its ``QgisInterface``."""
    from .plugin.main import QuadratPlugin

    return QuadratPlugin(iface)
