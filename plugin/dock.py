"""The dock: the steps as tabs, and below them what the engine is doing, with a Stop button."""

from __future__ import annotations

from typing import Any

from qgis.PyQt.QtCore import QSize, Qt, QTimer
from qgis.PyQt.QtWidgets import (
    QApplication,
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTabBar,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import QuadratError
from .context import Context
from .engine.engine import Engine
from .job import Job, Stage
from .panels.base import Panel
from .panels.classes import ClassesPanel
from .panels.imagery import ImageryPanel
from .panels.label import LabelPanel
from .panels.project import ProjectPanel
from .panels.query import QueryPanel
from .panels.results import ResultsPanel

PANELS = (ProjectPanel, ImageryPanel, ClassesPanel, QueryPanel, LabelPanel, ResultsPanel)
# Where to go on in a project that was just opened.
PANEL_OF_STAGE = {
    Stage.NO_PROJECT: ProjectPanel,
    Stage.NO_TILES: ImageryPanel,
    Stage.NO_EMBEDDINGS: ImageryPanel,
    Stage.NO_ROUND: QueryPanel,
    Stage.ROUND: LabelPanel,
}
MIN_WIDTH_PX = 360


class Dock(QDockWidget):
    """All panels; the visible one is brought up to date whenever the job changes."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__("Quadrat", parent)
        self.setObjectName("QuadratDock")
        self._context = context
        self.panels: list[Panel] = [panel(context) for panel in PANELS]
        self.tabs = QTabWidget()
        self.tabs.setTabBar(EvenTabBar())
        self.tabs.setDocumentMode(True)
        for panel in self.panels:
            self.tabs.addTab(_scrolled(panel), panel.title)
        self.status = EngineStatus(context.engine)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.status)
        self.setWidget(content)
        self.setMinimumWidth(MIN_WIDTH_PX)
        # Several signals of one change lead to one refresh, after all of them were delivered.
        self._refresh_soon = QTimer(self)
        self._refresh_soon.setSingleShot(True)
        self._refresh_soon.setInterval(0)
        self._refresh_soon.timeout.connect(self.refresh)
        self.tabs.currentChanged.connect(lambda _index: self._refresh_soon.start())
        for signal in _news(context.job, context.engine):
            signal.connect(self._refresh_later)
        context.job.project_changed.connect(self.show_stage)
        self.show_stage()
        self._refresh_soon.start()

    @property
    def shown(self) -> Panel:
        """The panel in front."""
        return self.panels[self.tabs.currentIndex()]

    def show_panel(self, kind: type[Panel]) -> None:
        """Bring a panel to the front."""
        self.tabs.setCurrentIndex(PANELS.index(kind))

    def show_stage(self) -> None:
        """Bring the panel to the front in which the open project goes on."""
        try:
            self.show_panel(PANEL_OF_STAGE[self._context.job.stage])
        except QuadratError as error:
            self._context.messages.error(error)

    def refresh(self) -> None:
        """Bring the panel in front up to date."""
        self.shown.refresh()

    def unload(self) -> None:
        """Let go of everything that would call back after the dock is gone."""
        self._refresh_soon.stop()
        focused = self.focusWidget()
        if focused is not None:
            focused.clearFocus()  # QGIS crashes if a number is destroyed while it is being typed
        for signal in _news(self._context.job, self._context.engine):
            signal.disconnect(self._refresh_later)
        self._context.job.project_changed.disconnect(self.show_stage)
        self.status.unload()
        for panel in self.panels:
            panel.unload()

    def _refresh_later(self, *_news: object) -> None:
        self._refresh_soon.start()


class EvenTabBar(QTabBar):
    """Tabs that share the width among them, so that all steps are always in sight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setUsesScrollButtons(False)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        # Styles pad tabs so generously that the names of six of them would be cut off beside a map. QGIS's dark themes
        # say how high tabs are.
        is_themed = "QTabBar" in QApplication.instance().styleSheet()
        height = "" if is_themed else "padding-top: 5px; padding-bottom: 5px;"
        self.setStyleSheet(f"QTabBar::tab {{ padding-left: 0; padding-right: 0; {height} }}")

    def tabSizeHint(self, index: int) -> QSize:  # noqa: N802 - Qt's name
        """As wide as the text and its share of the room that is left."""
        room = self.parentWidget().width() - sum(self._text_width(tab) for tab in range(self.count()))
        return QSize(self._text_width(index) + max(room, 0) // self.count(), super().tabSizeHint(index).height())

    def minimumTabSizeHint(self, index: int) -> QSize:  # noqa: N802 - Qt's name
        """As wide as the text."""
        return QSize(self._text_width(index), super().tabSizeHint(index).height())

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """What the texts need: the room that the tabs share is not asked for, or the dock would never shrink."""
        return QSize(sum(self._text_width(tab) for tab in range(self.count())), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """The same."""
        return self.sizeHint()

    def _text_width(self, index: int) -> int:
        return self.fontMetrics().horizontalAdvance(self.tabText(index)) + 4


class EngineStatus(QFrame):
    """One line on the work in progress: what, how far, and a way to stop it. Hidden while there is none."""

    def __init__(self, engine: Engine, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self.text = QLabel()
        # Its text must never widen the dock.
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.stop_button.clicked.connect(self._stop)
        left = QVBoxLayout()
        left.addWidget(self.text)
        left.addWidget(self.bar)
        layout = QHBoxLayout(self)
        layout.addLayout(left, 1)
        layout.addWidget(self.stop_button)
        engine.busy_changed.connect(self._show_busy)
        engine.said.connect(self._show_progress)
        self._show_busy(engine.busy)

    def unload(self) -> None:
        """Stop listening."""
        self._engine.busy_changed.disconnect(self._show_busy)
        self._engine.said.disconnect(self._show_progress)

    def _show_busy(self, busy: bool) -> None:
        self.setVisible(busy)
        self.stop_button.setEnabled(busy)
        if busy:
            self._show_progress(0.0, self._engine.title)

    def _show_progress(self, fraction: float, message: str) -> None:
        self.bar.setValue(round(fraction * 1000))
        text = message or self._engine.title
        self.text.setText(text)
        self.text.setToolTip(text)

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.text.setText("Stopping")
        self._engine.stop()


def _news(job: Job, engine: Engine) -> tuple[Any, ...]:
    """All signals after which a panel may look different."""
    return (
        job.project_changed,
        job.classes_changed,
        job.tiles_changed,
        job.embeddings_changed,
        job.rounds_changed,
        job.answers_changed,
        job.predictions_changed,
        engine.busy_changed,
        engine.state_changed,
    )


def _scrolled(panel: Panel) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(panel)
    return area
