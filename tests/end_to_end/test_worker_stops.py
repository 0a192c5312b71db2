"""The worker is stopped: a request that is cancelled, and every way in which the process comes to its end."""

import itertools
import os
import signal
import subprocess
import sys

import pytest

from quadrat.core.project.store import Project
from quadrat.core.worker.failures import explain

from ..core import geopackage_check
from .worker_client import ROOT, new_project, ready

SEEDS = itertools.count(100)

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def stop_midway(worker, request):
    """Cancel a request as soon as it reports progress; its reply must be that it was cancelled."""
    worker.until_progress(request)
    worker.cancel(request)
    error = worker.reply(request)["error"]
    assert (error["code"], error["data"]["kind"]) == (-32000, "cancelled")


def test_tiling_and_embedding_can_be_cancelled_and_go_on(worker, folder, large_raster):
    path, _ = new_project(folder)
    stop_midway(worker, worker.send("tile", project=path, rasters=[large_raster]))
    with Project.open(path) as project:
        assert not project.has_tiles()
    assert worker.call("tile", project=path, rasters=[large_raster])["rasters"][0]["pool"] == 2304
    stop_midway(worker, worker.send("embed", project=path, encoder="statistics"))
    assert "embed" in worker.refuse("query", project=path)["data"]["hint"]
    assert worker.call("embed", project=path, encoder="statistics")["tiles"] == 2304


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("query", {"strategy": "mcfps", "parameters": {"passes": 400}}),
        ("query", {"strategy": "kmeans", "budget": 100}),
        ("suggest", {"tiles": [1]}),
        ("train", {}),
        ("predict", {}),
        ("export", {"layer": "tiles"}),
    ],
)
def test_each_step_can_be_cancelled(worker, large_project, tmp_path, method, params):
    with Project.open(large_project) as project:
        before = project.read("SELECT count(*) FROM rounds")
    # Another seed, so that no head is found ready.
    more = {"out": tmp_path / "chips"} if method == "export" else {"seed": next(SEEDS)}
    stop_midway(worker, worker.send(method, project=large_project, **params, **more))
    with Project.open(large_project) as project:
        assert project.read("SELECT count(*) FROM rounds") == before
        assert not project.read("SELECT 1 FROM predicted_tiles LIMIT 1")
    assert not (tmp_path / "chips").exists()


def test_what_waits_is_cancelled_at_once(worker, folder, large_raster):
    path, _ = new_project(folder)
    running = worker.send("tile", project=path, rasters=[large_raster])
    waiting = [worker.send("curve", project=path, out=folder / "c.png"), worker.send("train", project=path)]
    for request in waiting:
        worker.cancel(request)
        assert worker.reply(request)["error"]["data"]["kind"] == "cancelled"
    assert "result" in worker.reply(running)
    assert not (folder / "c.png").exists()


def test_a_whole_batch_of_requests_can_be_cancelled(worker, large_project):
    requests = [worker.send("train", project=large_project, seed=1000 + number) for number in range(20)]
    for request in requests:
        worker.cancel(request)
    kinds = []
    while len(kinds) < len(requests):
        message = worker.receive()
        if "method" not in message:
            kinds.append(message["error"]["data"]["kind"])
    assert set(kinds) == {"cancelled"}


NOISY = """
import ctypes, os, sys

class Noise:
    def find_spec(self, name, path=None, target=None):
        if name in ("rasterio", "sklearn", "pyogrio"):
            os.write(1, b"noise of a system call\\n")
            print("noise of Python", flush=True)
            if os.name == "posix":
                ctypes.CDLL(None).puts(b"noise of C")
                ctypes.CDLL(None).fflush(None)
            assert sys.stdin.read() == ""

sys.meta_path.insert(0, Noise())
"""


def test_libraries_that_print_and_read_do_not_disturb_the_messages(own_worker, tmp_path, folder):
    (tmp_path / "sitecustomize.py").write_text(NOISY)
    client = own_worker(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    path, _ = ready(client, folder)
    assert client.call("query", project=path, budget=4)["tiles"]
    assert client.close() == 0
    for source in (b"a system call", b"Python", b"C")[: 3 if os.name == "posix" else 2]:
        assert b"noise of " + source in client.errors


def test_closed_standard_input_stops_work_which_then_goes_on(own_worker, worker, folder, large_raster):
    path, _ = new_project(folder)
    worker.call("tile", project=path, rasters=[large_raster])
    client = own_worker()
    request = client.send("embed", project=path, encoder="statistics")
    client.until_progress(request, 0.1)
    assert client.close() == 0
    assert client.reply(request)["error"]["data"]["kind"] == "cancelled"
    assert list((path.with_suffix(".quadrat") / "embeddings").glob("*.partial.npy"))
    assert worker.call("embed", project=path, encoder="statistics")["tiles"] == 2304
    assert not geopackage_check.problems(path)


def test_an_unfinished_last_line_is_not_worked_on(own_worker):
    client = own_worker()
    client.process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "hello"}')
    assert client.close() == 0
    assert client._lines.empty()


@posix
def test_a_request_to_terminate_stops_work_in_order(own_worker, worker, folder, large_raster):
    path, _ = new_project(folder)
    client = own_worker()
    request = client.send("tile", project=path, rasters=[large_raster])
    waiting = client.send("train", project=path)
    client.until_progress(request)
    client.process.send_signal(signal.SIGTERM)
    assert client.wait() == 0
    for number in (request, waiting):
        assert client.reply(number)["error"]["data"]["kind"] == "cancelled"
    assert not geopackage_check.problems(path)
    assert worker.call("tile", project=path, rasters=[large_raster])["rasters"][0]["state"] == "new"


@posix
def test_ctrl_c_in_the_terminal_of_qgis_is_not_for_the_worker(own_worker):
    client = own_worker()
    client.call("hello")
    client.process.send_signal(signal.SIGINT)
    assert client.call("strategies")
    assert client.close() == 0


@posix
def test_a_worker_goes_when_its_parent_is_killed():
    code = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-m', 'core', 'worker'], stdin=-1, stdout=-1)\n"
        'worker.stdin.write(b\'{"jsonrpc": "2.0", "id": 1, "method": "hello"}\\n\')\n'
        "worker.stdin.flush()\n"
        "print(worker.stdout.readline(), file=sys.stderr, flush=True)\n"
        "worker.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) as parent:
        assert b"quadrat" in parent.stderr.readline()
        parent.kill()
        parent.stderr.read()  # ends when the last process that holds the pipe has ended: the worker


@posix
def test_the_worker_lets_others_go_first(worker):
    worker.call("hello")  # it has started
    assert os.getpriority(os.PRIO_PROCESS, worker.process.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


@pytest.mark.parametrize(
    ("raised", "kind", "hint"),
    [
        (MemoryError(), "machine", "Close other programs"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"), "machine", "device cpu"),
        (RuntimeError("CUDA error: device-side assert triggered"), "machine", "Restart the engine"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "machine", "Close other programs"),
        (FileNotFoundError(2, "No such file or directory", "area.gpkg"), "machine", "Check the path"),
        (OSError(28, "No space left on device"), "machine", "Free some space"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "installation", "make setup"),
        (ZeroDivisionError("division by zero"), "unforeseen", "report it"),
    ],
)
def test_failures_of_libraries_are_explained(raised, kind, hint):
    explained = explain(raised)
    assert (explained.kind, explained.message[-1]) == (kind, "." if kind != "unforeseen" else "o")
    assert hint in explained.hint
    assert type(raised).__name__ in explained.details
