"""The QGIS project remembers the Quadrat project: saved with it, opened with it, closed with it."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QObject

from ..core.errors import ProjectError, QuadratError
from ..core.paths import is_file
from . import settings
from .job import Job
from .messages import Messages

SCOPE, KEY = "Quadrat", "project"


class Persistence(QObject):
    """Ties the job to ``QgsProject.instance()``."""

    def __init__(self, job: Job, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job = job
        self._messages = messages
        self._qgis_project = QgsProject.instance()
        self._is_reading = False
        job.project_changed.connect(self._remember)
        self._qgis_project.writeProject.connect(self._write_path)
        self._qgis_project.readProject.connect(self.open_remembered)
        self._qgis_project.cleared.connect(self._forget)

    def unload(self) -> None:
        """Stop listening."""
        self._job.project_changed.disconnect(self._remember)
        self._qgis_project.writeProject.disconnect(self._write_path)
        self._qgis_project.readProject.disconnect(self.open_remembered)
        self._qgis_project.cleared.disconnect(self._forget)

    def open_remembered(self, *_document: object) -> None:
        """Open the Quadrat project that the QGIS project names, if it names one."""
        stored, _ = self._qgis_project.readEntry(SCOPE, KEY)
        if not stored:
            return
        path = Path(self._qgis_project.readPath(stored))
        if self._job.is_open and self._job.project.path == path:
            return
        was_dirty = self._qgis_project.isDirty()
        self._is_reading = True
        try:
            self._open(path)
        finally:
            self._is_reading = False
            self._qgis_project.setDirty(was_dirty)

    def _open(self, path: Path) -> None:
        try:
            if not is_file(path):
                raise ProjectError(
                    f"The Quadrat project {path.name} of this QGIS project is not at its place any more.",
                    hint="Open it from where it is now in Quadrat's project panel.",
                    details=str(path),
                )
            self._job.open(path)
        except QuadratError as error:
            self._messages.error(error)

    def _remember(self) -> None:
        if self._job.is_open:
            path = self._job.project.path
            settings.remember_project(path)
            if not self._is_reading:
                self._qgis_project.writeEntry(SCOPE, KEY, self._qgis_project.writePath(str(path)))
        elif not self._is_reading:
            self._qgis_project.removeEntry(SCOPE, KEY)

    def _write_path(self, *_document: object) -> None:
        """The QGIS project is being saved, perhaps to another folder, so the way to ours may be another."""
        if self._job.is_open:
            path = str(self._job.project.path)
            self._qgis_project.writeEntry(SCOPE, KEY, self._qgis_project.writePath(path))

    def _forget(self) -> None:
        """QGIS made a new project or is about to read another one."""
        self._is_reading = True
        try:
            self._job.close()
        finally:
            self._is_reading = False
