"""The Quadrat project that is open in QGIS, and the news about it.

Everything that shows or changes the project holds the one :class:`Job` and listens to its signals; nothing else keeps a
connection to the file. The connection belongs to the main thread. What is written through it (answers, classes,
settings) takes milliseconds; everything longer is done by the engine, which has its own connection, and then announced
here with one of the ``*_changed`` signals.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.errors import ProjectError
from ..core.project.classes import ClassDraft
from ..core.project.results import rounds
from ..core.project.store import Project
from ..core.project.vectors import has_vectors

# A key press waits this long at most for another program's transaction; the engine's own take a tenth of it.
BUSY_TIMEOUT_S = 1.0


class Stage(IntEnum):
    """How far a project has come; each stage includes those before it."""

    NO_PROJECT = 0
    NO_TILES = 1
    NO_EMBEDDINGS = 2
    NO_ROUND = 3
    ROUND = 4


class Job(QObject):
    """The open project, or none.

    Signals (all emitted in the main thread): ``project_changed`` another project, or none, is open now;
    ``classes_changed``, ``tiles_changed``, ``embeddings_changed``, ``rounds_changed``, ``predictions_changed``;
    ``answers_changed(tile_ids)`` for every answer, undo and redo.
    """

    project_changed = pyqtSignal()
    classes_changed = pyqtSignal()
    tiles_changed = pyqtSignal()
    embeddings_changed = pyqtSignal()
    rounds_changed = pyqtSignal()
    answers_changed = pyqtSignal(list)
    predictions_changed = pyqtSignal()
    about_to_close = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project: Project | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a project."""
        return self._project is not None

    @property
    def project(self) -> Project:
        """The open project.

        Raises:
            ProjectError: none is open.
        """
        if self._project is None:
            raise ProjectError("No Quadrat project is open.", hint="Make or open one in the first panel.")
        return self._project

    @property
    def stage(self) -> Stage:
        """How far the project has come."""
        if self._project is None:
            return Stage.NO_PROJECT
        if not self._project.has_tiles():
            return Stage.NO_TILES
        if not has_vectors(self._project):
            return Stage.NO_EMBEDDINGS
        return Stage.ROUND if rounds(self._project) else Stage.NO_ROUND

    @property
    def annotator(self) -> str:
        """Who answers: the name of the account."""
        try:
            return getpass.getuser()
        except (KeyError, OSError, ImportError):  # an account without a name, as in some containers
            return "unknown"

    def create(self, path: str | Path, classes: Sequence[ClassDraft], mode: str, tile_size_px: int) -> None:
        """Make a new project and open it in place of the present one. Raises as :meth:`Project.create`."""
        made = Project.create(path, classes, mode, tile_size=tile_size_px)
        made.close()
        self.open(path)

    def open(self, path: str | Path) -> None:
        """Open a project in place of the present one, which stays open if that fails. Raises as Project.open."""
        opened = Project.open(path, busy_timeout_s=BUSY_TIMEOUT_S)
        self._let_go()
        self._project = opened
        self.project_changed.emit()

    def close(self) -> None:
        """Close the project, if there is one."""
        if self._project is not None:
            self._let_go()
            self.project_changed.emit()

    def _let_go(self) -> None:
        if self._project is not None:
            self.about_to_close.emit()
            self._project.close()
            self._project = None
