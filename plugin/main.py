"""What QGIS loads: makes every part of the plugin once, ties them together, and takes them away without a trace.

The parts know each other only as far as :class:`.context.Context` says. What has to happen when something else
happened in another part is written here, in :meth:`QuadratPlugin._connect`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.PyQt.QtCore import QCoreApplication, QObject, Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from ..core.errors import QuadratError
from .context import Context
from .dock import Dock
from .engine.engine import Engine
from .job import Job
from .labeling.labelling import Labelling
from .labeling.overlay import Overlay
from .messages import Messages
from .panels.engine_dialog import EngineDialog
from .panels.imagery import ImageryPanel
from .panels.label import LabelPanel
from .panels.query import QueryPanel
from .persistence import Persistence
from .workflow import Workflow

MENU = "&Quadrat"
FOLDER = Path(__file__).resolve().parents[1]


class QuadratPlugin:
    """The object that ``classFactory`` gives to QGIS."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.context: Context | None = None

    def initGui(self) -> None:  # noqa: N802 - QGIS calls it by this name
        """Make and show everything."""
        self._owner = QObject()  # parent of what is no widget, so that nothing outlives the plugin
        messages = Messages(self.iface)
        job = Job(self._owner)
        engine = Engine(FOLDER, self._owner)
        workflow = Workflow(job, engine, messages, self._owner)
        overlay = Overlay(self.iface, job, self._owner)
        labelling = Labelling(self.iface, job, workflow, messages, self._owner)
        self.context = Context(self.iface, job, engine, workflow, overlay, labelling, messages)
        self.persistence = Persistence(job, messages, self._owner)
        self.dock = Dock(self.context, self.iface.mainWindow())
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self._add_actions()
        self._connect()
        self.persistence.open_remembered()

    def unload(self) -> None:
        """Stop all work, close the project and remove every trace from QGIS. May be called twice."""
        if self.context is None:
            return
        context, self.context = self.context, None
        QCoreApplication.instance().aboutToQuit.disconnect(self.unload)
        self.persistence.unload()
        context.labelling.unload()
        context.engine.close()
        context.job.close()
        context.overlay.unload()
        context.workflow.unload()
        self.dock.unload()
        context.messages.unload()
        for action in self.actions:
            self.iface.removePluginRasterMenu(MENU, action)
        self.iface.removeRasterToolBarIcon(self.actions[0])
        self.iface.removeDockWidget(self.dock)
        self.dock.deleteLater()
        self._owner.deleteLater()
        del self.dock, self.actions, self.persistence, self._owner

    def open_project(self, path: str | Path) -> None:
        """Open a Quadrat project and show the dock; errors go to the message bar."""
        assert self.context is not None
        self.dock.show()
        self.dock.raise_()
        try:
            self.context.job.open(path)
        except QuadratError as error:
            self.context.messages.error(error)

    def _add_actions(self) -> None:
        toggle = self.dock.toggleViewAction()
        toggle.setIcon(QIcon(str(FOLDER / "resources" / "icon.svg")))
        toggle.setText("Quadrat: label tiles")
        engine = QAction("Engine…", self.dock)
        engine.triggered.connect(self._show_engine)
        self.actions = [toggle, engine]
        for action in self.actions:
            self.iface.addPluginToRasterMenu(MENU, action)
        self.iface.addRasterToolBarIcon(toggle)

    def _connect(self) -> None:
        assert self.context is not None
        self.context.labelling.active_changed.connect(self.context.overlay.make_way)
        self.context.labelling.round_done.connect(self.context.workflow.next_round)
        self.context.workflow.round_ready.connect(self._begin_labelling)
        self.context.engine.remarked.connect(self.context.messages.remark)
        QCoreApplication.instance().aboutToQuit.connect(self.unload)

    def _begin_labelling(self, _round_id: int) -> None:
        """The analyst who waits for the first tiles sees them; one who does something else is not torn away."""
        assert self.context is not None
        if isinstance(self.dock.shown, (ImageryPanel, QueryPanel)) and not self.context.labelling.active:
            self.dock.show_panel(LabelPanel)
            self.context.labelling.start()

    def _show_engine(self) -> None:
        assert self.context is not None
        dialog = EngineDialog(self.context.engine, self.iface.mainWindow())
        dialog.exec()
        dialog.deleteLater()
