"""A desktop for a person: the demo's project is opened, and the desktop is theirs."""

from __future__ import annotations

from qgis.utils import plugins


def steps(options):
    """Open the project that was named; QGIS stays open."""
    plugins["quadrat"].open_project(options["project"])
    return
    yield
