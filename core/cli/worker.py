"""The command that QGIS starts: ``worker``."""

from __future__ import annotations


def worker() -> None:
    """Serve QGIS over standard input and output."""
    from ..worker.server import serve

    serve()


COMMANDS = {"worker": worker}
