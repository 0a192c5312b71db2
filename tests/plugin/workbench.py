"""The parts of the plugin that work on a project, wired as in QGIS with the real engine, and what tests ask of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qgis.core import Qgis, QgsApplication
from qgis.PyQt.QtWidgets import QPushButton

from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.store import Project
from quadrat.plugin.context import Context
from quadrat.plugin.engine.client import STOP_NOTE
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.engine.task import Call
from quadrat.plugin.job import Job
from quadrat.plugin.messages import Messages
from quadrat.plugin.workflow import Workflow

from .projects import ReadyProject
from .waiting import wait_until

RECOMMENDED = "margin+clustering"
"""What the engine asks with where a tile has one class; its own module cannot be imported here, it needs torch."""


class Workbench:
    """Job, engine and workflow, and everything that they said."""

    def __init__(self, iface: Any, engine: Engine) -> None:
        self.iface = iface
        self.engine = engine
        self.job = Job()
        self.messages = Messages(iface)
        self.workflow = Workflow(self.job, engine, self.messages)
        self.context = Context(iface, self.job, engine, self.workflow, None, None, self.messages)
        self.ready_rounds: list[int] = []
        self.finished: list[str] = []
        self.news: list[str] = []
        self.workflow.round_ready.connect(self.ready_rounds.append)
        self.workflow.finished.connect(self.finished.append)
        for name in ("tiles", "embeddings", "rounds", "predictions"):
            getattr(self.job, f"{name}_changed").connect(lambda name=name: self.news.append(name))

    @property
    def project(self) -> Project:
        return self.job.project

    def said(self, level: Any = Qgis.MessageLevel.Info) -> str:
        """All messages of a level."""
        return "\n".join(self.iface.messageBar().get_messages(level))

    def error_text(self) -> str:
        """The error that the message bar shows, empty if there is none."""
        item = self.iface.messageBar().currentItem()
        return item.text() if item is not None and item.level() == Qgis.MessageLevel.Critical else ""

    def press(self, text: str) -> None:
        """Press a button of the message that is shown."""
        buttons = self.iface.messageBar().currentItem().findChildren(QPushButton)
        next(button for button in buttons if button.text() == text).click()

    def settle(self, what: str = "the step to end") -> None:
        """Wait until the step is over and everybody has heard of it."""
        wait_until(lambda: not self.engine.busy, what, seconds=120)

    def wake(self) -> int:
        """The number of the worker's process, which runs and waits."""
        woken: list[Any] = []
        self.engine.start("hello", [Call("hello", {})], on_done=woken.append, on_failed=woken.append, quiet=True)
        wait_until(lambda: woken, "the worker")
        self.settle()
        assert self.engine.pid is not None, woken
        return self.engine.pid

    def stop(self) -> None:
        """Stop what runs, and wait until the worker has been told, or nothing was asked of it yet."""
        log = Path(QgsApplication.qgisSettingsDirPath()) / "quadrat" / "engine.log"
        before = log.read_text().count(STOP_NOTE)
        self.engine.stop()
        wait_until(lambda: not self.engine.busy or log.read_text().count(STOP_NOTE) > before, "the worker to be told")

    def answer(self, ready: ReadyProject, tile_ids: Iterable[int], kind: str = "classes") -> None:
        """Answer tiles by their truth, or with skip and the like."""
        ids = {item.name: item.class_id for item in self.project.classes()}
        answers = [
            Answer(tile_id, kind, tuple(ids[name] for name in ready.truth[tile_id]) if kind == "classes" else ())
            for tile_id in tile_ids
        ]
        record_answers(self.project, answers, annotator="test", source="test")
        self.job.answers_changed.emit([answer.tile_id for answer in answers])

    def close(self) -> None:
        self.job.close()
        self.settle()
        self.workflow.unload()
        self.iface.messageBar().clearWidgets()
        self.iface.messageBar().clear_messages()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The worker stands still, so that what is asked of it meanwhile waits."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
