"""Asking a worker: replies, errors, cancelling, its death and its start."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from quadrat.core.errors import Cancelled, ImageryError, LearningError, ProjectError, QuadratError, UsageError
from quadrat.plugin.engine import client as client_module
from quadrat.plugin.engine.client import EngineClient
from quadrat.plugin.engine.environment import clean_environment
from quadrat.plugin.engine.errors import EngineError, how_it_ended

from .conftest import ROOT
from .engine_stand_in import write_stand_in

ENGINE_PYTHON = ROOT / ".venv" / "bin" / "python"
UNKIND = "a b é 'q' \"d\""
needs_engine = pytest.mark.skipif(not ENGINE_PYTHON.exists(), reason="the engine's environment is not made")


def make_client(folder: Path, *options: str, command=None) -> EngineClient:
    return EngineClient(
        command or [sys.executable, str(write_stand_in(folder)), *options],
        folder=folder,
        environment=clean_environment(os.environ),
        log=folder / "logs" / "engine.log",
    )


@pytest.fixture
def client(tmp_path):
    made = make_client(tmp_path / UNKIND)
    yield made
    made.close()


@pytest.fixture
def real_client(tmp_path):
    command = [str(ENGINE_PYTHON), "-m", "core", "worker"]
    made = EngineClient(
        command, folder=ROOT, environment=clean_environment(os.environ), log=tmp_path / "logs" / "engine.log"
    )
    yield made
    made.close()


class InBackground:
    """A call in another thread, its outcome, and whether it has shown a first sign of progress."""

    def __init__(self, client: EngineClient, method: str, params=None) -> None:
        self.stop = threading.Event()
        self.begun = threading.Event()
        self.outcome: object = None
        self._thread = threading.Thread(target=self._call, args=(client, method, params), daemon=True)
        self._thread.start()

    def _call(self, client: EngineClient, method: str, params) -> None:
        try:
            self.outcome = client.call(
                method, params, on_progress=lambda *_: self.begun.set(), is_cancelled=self.stop.is_set
            )
        except QuadratError as error:
            self.outcome = error
        self.begun.set()

    def wait(self) -> object:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_a_call_returns_the_result_and_tells_the_caller_in_its_own_thread_how_it_goes(client):
    heard = []
    result = client.call(
        "echo",
        {"path": "é ü 'x'", "numbers": [1, 2.5, None]},
        on_progress=lambda *news: heard.append((*news, threading.current_thread())),
        on_log=lambda *news: heard.append((*news, threading.current_thread())),
    )
    assert result == {"path": "é ü 'x'", "numbers": [1, 2.5, None]}
    here = threading.current_thread()
    assert heard == [(0.5, "on it", here), ("warning", "so so", here)]
    assert client.running
    assert client.hello["pid"] == client.pid


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("usage", UsageError),
        ("project", ProjectError),
        ("imagery", ImageryError),
        ("learning", LearningError),
        ("error", QuadratError),
        ("unforeseen", EngineError),
    ],
)
def test_an_error_of_the_engine_is_raised_as_what_it_was(client, kind, expected):
    with pytest.raises(QuadratError) as raised:
        client.call("refuse", {"kind": kind})
    assert type(raised.value) is expected
    assert raised.value.as_dict() == {
        "kind": expected.kind,
        "message": "That is not possible.",
        "hint": "Do this.",
        "details": "why",
    }


@pytest.mark.parametrize(("kind", "is_replaced"), [("unforeseen", True), ("machine", True), ("imagery", False)])
def test_a_worker_in_which_something_unforeseen_failed_is_replaced(client, kind, is_replaced):
    client.call("echo")
    first = client.pid
    waiting = InBackground(client, "work")
    assert waiting.begun.wait(30)
    with pytest.raises(QuadratError):
        client.call("refuse", {"kind": kind})
    client.call("echo")
    assert client.pid == first, "somebody still waits for it"
    waiting.stop.set()
    waiting.wait()
    assert client.call("echo", {"a": 1}) == {"a": 1}
    assert (client.pid != first) == is_replaced
    assert is_gone(first) == is_replaced


def test_what_is_no_message_is_logged_and_harms_nothing(client, tmp_path):
    remarks = []
    client.call("chatter", on_log=lambda *remark: remarks.append(remark))
    assert client.call("echo", {"a": 1}) == {"a": 1}
    assert remarks == [("info", "nobody's")]
    log = tmp_path / UNKIND / "logs" / "engine.log"
    wait_for(lambda: "to the log é" in log.read_text("utf-8"))
    assert "not a message: hello?" in log.read_text("utf-8")


def test_callers_in_several_threads_each_get_their_own_reply(client):
    calls = [InBackground(client, "echo", {"number": number}) for number in range(20)]
    assert [call.wait() for call in calls] == [{"number": number} for number in range(20)]


def test_a_worker_killed_in_the_middle_is_reported_with_its_last_words_and_started_again(client):
    calls = [InBackground(client, "work") for _ in range(3)]
    for call in calls:
        assert call.begun.wait(30)
    killed = client.pid
    os.kill(killed, signal.SIGKILL)
    for call in calls:
        error = call.wait()
        assert type(error) is EngineError
        assert "out of memory" in error.message
        assert "Start the same step again" in error.hint
        assert "last words" in error.details
    assert client.call("echo", {"a": 1}) == {"a": 1}
    assert client.pid != killed
    assert is_gone(killed)


def test_a_call_that_is_cancelled_raises_cancelled_and_the_worker_lives_on(client):
    call = InBackground(client, "work")
    assert call.begun.wait(30)
    worker = client.pid
    call.stop.set()
    assert type(call.wait()) is Cancelled
    assert client.call("echo", {"a": 1}) == {"a": 1}
    assert client.pid == worker


def test_a_call_that_was_cancelled_before_it_was_made_is_not_made(client):
    assert client.call("echo", {"a": 1}) == {"a": 1}
    with pytest.raises(Cancelled):
        client.call("echo", {"a": 1}, is_cancelled=lambda: True)


def test_a_worker_that_ignores_cancelling_and_termination_is_killed(client, monkeypatch):
    monkeypatch.setattr(client_module, "CANCEL_S", 0.3)
    monkeypatch.setattr(client_module, "TERMINATE_S", 0.3)
    call, other = InBackground(client, "deaf"), None
    assert call.begun.wait(30)
    worker = client.pid
    other = InBackground(client, "work")
    call.stop.set()
    assert type(call.wait()) is Cancelled
    assert is_gone(worker)
    bystander = other.wait()
    assert type(bystander) is EngineError
    assert "did not react" in bystander.message
    assert client.call("echo", {"a": 1}) == {"a": 1}


def test_a_frozen_worker_holds_up_nobody_however_much_is_sent(client, monkeypatch):
    monkeypatch.setattr(client_module, "CANCEL_S", 0.2)
    monkeypatch.setattr(client_module, "TERMINATE_S", 0.2)
    client.call("echo")
    os.kill(client.pid, signal.SIGSTOP)
    call = InBackground(client, "echo", {"long": "x" * 1_000_000})
    call.stop.set()
    assert type(call.wait()) is Cancelled
    assert client.call("echo", {"a": 1}) == {"a": 1}


def test_a_caller_whose_own_callback_fails_does_not_leave_the_work_running(client):
    def fail(*_):
        raise RuntimeError("the window is gone")

    with pytest.raises(RuntimeError, match="the window is gone"):
        client.call("work", on_progress=fail)
    assert client.call("echo", {"a": 1}) == {"a": 1}


def test_closing_ends_the_worker_and_whoever_waits_for_it(client):
    call = InBackground(client, "work")
    assert call.begun.wait(30)
    worker = client.pid
    client.close()
    assert type(call.wait()) is Cancelled
    assert is_gone(worker)
    assert client.pid is None
    with pytest.raises(Cancelled):
        client.call("echo")


@pytest.mark.parametrize(
    ("option", "said", "detail"),
    [
        ("broken", "ended with status 1", "No module named 'torch'"),
        ("stranger", "protocol 99", ""),
        ("mute", "did not answer", ""),
    ],
)
def test_a_worker_that_does_not_start_well_is_ended_and_the_reason_told(tmp_path, monkeypatch, option, said, detail):
    if option == "mute":
        monkeypatch.setattr(client_module, "START_S", 0.5)
    client = make_client(tmp_path, option)
    with pytest.raises(EngineError) as raised:
        client.call("echo")
    assert said in raised.value.message
    assert raised.value.hint
    assert detail in raised.value.details
    assert client.pid is None
    client.close()


@pytest.mark.parametrize("command", [["no/such/program"], ["/"]])
def test_a_program_that_cannot_be_started_is_an_engine_error(tmp_path, command):
    client = make_client(tmp_path, command=command)
    with pytest.raises(EngineError, match="cannot be started"):
        client.call("echo")
    client.close()


def test_what_a_wrapper_script_has_started_ends_with_it(tmp_path):
    script = write_stand_in(tmp_path)
    wrapper = tmp_path / UNKIND
    # Not by `exec`: the shell stays between us and Python.
    wrapper.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    client = make_client(tmp_path, command=[str(wrapper), str(script)])
    call = InBackground(client, "deaf")
    assert call.begun.wait(30)
    python = client.hello["pid"]
    assert python != client.pid
    client.close(patience_s=0.2)
    assert type(call.wait()) is Cancelled
    wait_for(lambda: is_gone(python) or Path(f"/proc/{python}/stat").read_text().split()[2] == "Z")


def test_twenty_starts_and_ends_leave_no_thread_file_or_process(tmp_path):
    def things():
        return sorted(thread.name for thread in threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))

    script = write_stand_in(tmp_path)
    before = things()
    pids = []
    for _ in range(20):
        client = make_client(tmp_path, command=[sys.executable, str(script)])
        client.call("echo")
        pids.append(client.pid)
        client.close()
    assert things() == before
    assert all(is_gone(pid) for pid in pids)


def test_each_way_to_end_has_its_words():
    assert "out of memory" in how_it_ended(-signal.SIGKILL)
    assert "segmentation fault" in how_it_ended(-signal.SIGSEGV)
    assert how_it_ended(3) == "it ended with status 3"
    assert "access violation" in how_it_ended(0xC0000005)
    assert "signal 200" in how_it_ended(-200)


@needs_engine
def test_the_real_worker_answers_refuses_and_survives_nonsense(real_client, tmp_path):
    hello = real_client.call("hello")
    assert hello["name"] == "quadrat"
    assert hello["protocol"] == client_module.PROTOCOL
    assert {"python", "torch", "torchvision", "device", "gpu", "gpu_reason", "memory_free", "cores"} <= set(hello)
    with pytest.raises(QuadratError, match="no_such_method"):
        real_client.call("no_such_method")
    with pytest.raises(ProjectError):
        real_client.call("train", {"project": str(tmp_path / "missing.gpkg")})
    assert real_client.call("strategies")["strategies"]


@needs_engine
def test_the_real_worker_killed_in_the_middle_of_a_call_starts_again(real_client):
    killed = real_client.call("hello")["pid"]
    os.kill(killed, signal.SIGSTOP)  # so that it is certainly in the middle
    call = InBackground(real_client, "doctor")
    os.kill(killed, signal.SIGKILL)
    error = call.wait()
    assert type(error) is EngineError
    assert "killed" in error.message
    assert real_client.call("doctor")["checks"]
    assert real_client.pid != killed
