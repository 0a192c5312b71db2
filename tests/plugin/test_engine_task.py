"""Work for the engine as a QGIS task: everything arrives in the main thread, or not at all."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QEvent, QEventLoop, QRunnable, QThreadPool

from quadrat.core.errors import Cancelled, ProjectError, QuadratError
from quadrat.plugin.engine import client as client_module
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.engine.errors import EngineError
from quadrat.plugin.engine.task import Call

from .conftest import ROOT
from .engine_stand_in import write_stand_in
from .waiting import wait_until

ENGINE_PYTHON = ROOT / ".venv" / "bin" / "python"
pytestmark = pytest.mark.skipif(not ENGINE_PYTHON.exists(), reason="the engine's environment is not made")
ECHO = Call("echo", {"a": 1})


class Heard:
    """Everything that the engine said, with a note if it came in another thread."""

    def __init__(self, engine: Engine) -> None:
        self.news: list[tuple] = []
        self.outcome: object = None
        self.ended = 0
        engine.busy_changed.connect(lambda busy: self.add("busy", busy))
        engine.said.connect(lambda *news: self.add("said", *news))
        engine.remarked.connect(lambda *news: self.add("remarked", *news))

    def add(self, *news: object) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.news.append(news)

    def end(self, outcome: object) -> None:
        self.add("end")
        self.outcome = outcome
        self.ended += 1

    @property
    def callbacks(self) -> dict:
        return {"on_step": lambda *news: self.add("step", *news), "on_done": self.end, "on_failed": self.end}


@pytest.fixture
def stand_in(qgis_app, tmp_path):
    """An engine whose worker is the stand-in; the plugin's folder has an unkind name and a link to the real Python."""
    folder = tmp_path / "plugin é 'q' \"d\""
    write_stand_in(folder)
    (folder / ".venv").symlink_to(ENGINE_PYTHON.parents[1], target_is_directory=True)
    engine = Engine(folder)
    yield engine
    engine.close()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)


@pytest.fixture
def real(qgis_app):
    engine = Engine(ROOT)
    yield engine
    engine.close()


def run(engine: Engine, *calls: Call, **options) -> Heard:
    heard = Heard(engine)
    engine.start("Testing", calls, **heard.callbacks, **options)
    wait_until(lambda: heard.ended and not engine.busy)
    return heard


def test_calls_run_one_after_another_and_share_the_progress_by_weight(stand_in):
    calls = (
        Call("echo", {"a": 1}, weight=3),
        Call("echo", lambda results: {"b": results[0]["a"] + 1}),
        Call("echo", lambda results: None),
    )
    heard = run(stand_in, *calls)
    assert heard.outcome == [{"a": 1}, {"b": 2}, {}]
    assert heard.news == [
        ("busy", True),
        ("said", pytest.approx(0.3), "on it"),
        ("remarked", "warning", "so so"),
        ("step", 0, {"a": 1}),
        ("said", pytest.approx(0.7), "on it"),
        ("remarked", "warning", "so so"),
        ("step", 1, {"b": 2}),
        ("end",),
        ("busy", False),
    ]


def test_quiet_work_makes_nobody_busy(stand_in):
    heard = run(stand_in, ECHO, quiet=True)
    assert heard.news == [("step", 0, {"a": 1}), ("end",)]


def test_work_apart_goes_on_beside_all_other_work_until_it_is_cancelled_itself(stand_in):
    heard, apart = Heard(stand_in), Heard(stand_in)
    said = []
    task = stand_in.start_apart(
        "Long", [Call("work", {})], on_said=lambda *news: said.append(news), on_done=apart.end, on_failed=apart.end
    )
    wait_until(lambda: said == [(0.25, "on it")])
    assert not stand_in.busy
    stand_in.start("Short", [ECHO], on_done=heard.end)
    wait_until(lambda: heard.ended and not stand_in.busy)
    assert heard.outcome == [{"a": 1}]
    stand_in.stop()
    stand_in.restart()
    assert run(stand_in, ECHO).outcome == [{"a": 1}]
    assert not apart.ended
    task.cancel()
    wait_until(lambda: apart.ended)
    assert type(apart.outcome) is Cancelled
    assert ("said", 0.25, "on it") not in heard.news
    assert task.connection.pid is None


def test_work_that_follows_at_once_is_not_said_to_be_a_pause(stand_in):
    heard = Heard(stand_in)
    stand_in.start("First", [ECHO], on_done=lambda _: stand_in.start("Second", [ECHO], on_done=heard.end))
    assert stand_in.title == "First"
    wait_until(lambda: heard.ended and not stand_in.busy)
    assert [item for item in heard.news if item[0] == "busy"] == [("busy", True), ("busy", False)]
    assert stand_in.title == ""


def test_an_error_of_the_engine_ends_the_work_and_arrives_as_it_is(stand_in):
    heard = run(stand_in, Call("refuse", {"kind": "project"}), ECHO)
    assert type(heard.outcome) is ProjectError
    assert heard.outcome.hint == "Do this."
    assert not [item for item in heard.news if item[0] == "step"]


def test_an_error_that_nobody_foresaw_arrives_with_its_traceback(stand_in):
    heard = run(stand_in, Call("echo", lambda results: {"x": results[7]}))
    assert type(heard.outcome) is QuadratError
    assert "did not foresee: IndexError" in heard.outcome.message
    assert "Traceback" in heard.outcome.details


def test_a_project_that_cannot_be_read_afterwards_is_a_failure_like_any_other(stand_in):
    def refuse(_results):
        raise ProjectError("The file is gone.")

    heard = Heard(stand_in)
    stand_in.start("Testing", [ECHO], on_done=refuse, on_failed=heard.end)
    wait_until(lambda: heard.ended)
    assert heard.outcome.message == "The file is gone."


@pytest.mark.parametrize("how", ["button", "task bar"])
def test_work_can_be_stopped_and_the_worker_lives_on(stand_in, how):
    heard = Heard(stand_in)
    task = stand_in.start("Testing", [Call("work", {}), ECHO], **heard.callbacks)
    wait_until(lambda: ("said", 0.125, "on it") in heard.news)
    worker = stand_in.pid
    stand_in.stop() if how == "button" else task.cancel()
    wait_until(lambda: heard.ended)
    assert type(heard.outcome) is Cancelled
    assert run(stand_in, ECHO).outcome == [{"a": 1}]
    assert stand_in.pid == worker


def test_work_that_is_stopped_before_it_began_ends_too(stand_in):
    heard = Heard(stand_in)
    for _ in range(30):  # more than there are threads
        stand_in.start("Testing", [ECHO], on_done=heard.end, on_failed=heard.end)
    stand_in.stop()
    wait_until(lambda: heard.ended == 30)
    assert not stand_in.busy


def test_a_worker_killed_in_the_middle_is_an_error_and_the_next_work_starts_another(stand_in):
    heard = Heard(stand_in)
    stand_in.start("Testing", [Call("work", {})], **heard.callbacks)
    wait_until(lambda: any(item[0] == "said" for item in heard.news))
    os.kill(stand_in.pid, signal.SIGKILL)
    wait_until(lambda: heard.ended)
    assert type(heard.outcome) is EngineError
    assert "last words" in heard.outcome.details
    assert run(stand_in, ECHO).outcome == [{"a": 1}]


@pytest.mark.parametrize("method", ["work", "deaf"])
def test_after_closing_nothing_is_heard_and_nothing_is_left(stand_in, method):
    heard = Heard(stand_in)
    for _ in range(10):  # some run, some wait for a thread
        stand_in.start("Testing", [Call(method, {})], **heard.callbacks)
    wait_until(lambda: any(item[0] == "said" for item in heard.news))
    worker = stand_in.pid
    stand_in.close()
    so_far = list(heard.news)
    assert not Path(f"/proc/{worker}").exists()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    QgsApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
    assert heard.news == so_far


def test_an_engine_may_be_deleted_while_its_work_ends(stand_in):
    engine = Engine(ROOT / "nowhere")
    engine.start("Testing", [ECHO])
    engine.close()
    engine.deleteLater()
    QgsApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)


def test_another_python_takes_over_and_the_old_worker_ends(stand_in, tmp_path):
    changes = []
    stand_in.state_changed.connect(lambda: changes.append(stand_in.hello))
    run(stand_in, ECHO)
    worker = stand_in.pid
    assert changes[-1]["pid"] == worker
    (tmp_path / "engine é").symlink_to(ENGINE_PYTHON.parents[1], target_is_directory=True)
    other = tmp_path / "engine é" / "bin" / "python"
    stand_in.use_interpreter(other)
    assert changes[-1] is None
    assert stand_in.interpreter() == other
    assert run(stand_in, ECHO).outcome == [{"a": 1}]
    assert stand_in.pid != worker
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_work_that_runs_when_the_engine_is_restarted_is_cancelled(stand_in):
    heard = Heard(stand_in)
    stand_in.start("Testing", [Call("work", {})], **heard.callbacks)
    wait_until(lambda: any(item[0] == "said" for item in heard.news))
    stand_in.restart()
    wait_until(lambda: heard.ended)
    assert type(heard.outcome) is Cancelled


def test_without_a_python_the_work_fails_with_what_to_do(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "plugin é 'q' \"d\"" / ".venv").unlink()
    heard = run(stand_in, ECHO)
    assert type(heard.outcome) is EngineError
    assert "Choose the engine's Python" in heard.outcome.hint
    assert stand_in.interpreter() is None


def test_a_python_that_will_not_do_is_told_and_looked_at_again_next_time(stand_in, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho Python 3.6.1\n")
    program.chmod(0o755)
    stand_in.use_interpreter(program)
    assert "3.6.1" in run(stand_in, ECHO).outcome.message
    program.write_text(f'#!/bin/sh\nexec "{ENGINE_PYTHON}" "$@"\n')
    assert run(stand_in, ECHO).outcome == [{"a": 1}]


def test_a_worker_that_hangs_can_be_stopped(stand_in, monkeypatch):
    monkeypatch.setattr(client_module, "CANCEL_S", 0.2)
    monkeypatch.setattr(client_module, "TERMINATE_S", 0.2)
    heard = Heard(stand_in)
    stand_in.start("Testing", [Call("deaf", {})], **heard.callbacks)
    wait_until(lambda: any(item[0] == "said" for item in heard.news))
    stand_in.stop()
    wait_until(lambda: heard.ended)
    assert type(heard.outcome) is Cancelled


def test_the_real_engine_cuts_embeds_and_queries_a_project_in_a_linked_plugin_folder(qgis_app, ready_project, tmp_path):
    ready = ready_project(budget=0)
    (tmp_path / "plugins é").mkdir()
    (tmp_path / "plugins é" / "quadrat").symlink_to(ROOT, target_is_directory=True)
    engine = Engine(tmp_path / "plugins é" / "quadrat")
    project = {"project": str(ready.path)}
    heard = run(engine, Call("embed", project), Call("query", {**project, "budget": 4}))
    embedded, queried = heard.outcome
    assert embedded["tiles"] == 48
    assert len(queried["tiles"]) == 4
    assert engine.hello["version"]
    engine.close()


def test_the_log_lies_in_qgiss_profile_and_names_the_program_that_was_started(stand_in):
    run(stand_in, ECHO)
    log = Path(QgsApplication.qgisSettingsDirPath()) / "quadrat" / "engine.log"
    assert f"start: {stand_in.interpreter()} -m core worker" in log.read_text("utf-8")


def test_work_that_waits_for_the_engine_leaves_its_threads_to_the_map(stand_in):
    for _ in range(QThreadPool.globalInstance().maxThreadCount() + 1):
        stand_in.start("Waiting", [Call("work", {})], quiet=True)
    wait_until(lambda: stand_in.pid is not None)
    drawn = threading.Event()
    QThreadPool.globalInstance().start(_Drawing(drawn))
    wait_until(drawn.is_set, "a thread of the pool")


class _Drawing(QRunnable):
    """What the map does in the same pool."""

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self._done = done

    def run(self) -> None:
        self._done.set()
