"""A worker in a process of its own and the other end of its pipes."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import quadrat
from quadrat.core.project.store import Project

from ..core.job import answer, ids
from ..core.scene_factory import CLASSES, make_scene

ROOT = Path(quadrat.__file__).parent
GENEROUS_S = 60.0


class WorkerClient:
    """Speaks the protocol by hand; every line that comes is kept in ``seen``."""

    def __init__(self, *, cwd: Path | None = None, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "core", "worker"],
            cwd=cwd or ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.seen: list[dict[str, Any]] = []
        self.errors = b""
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._next_id = 0
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_out, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def send(self, method: str, **params: Any) -> int:
        """Send a request and go on; its id."""
        self._next_id += 1
        self.write({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params})
        return self._next_id

    def cancel(self, request_id: int) -> None:
        self.write({"jsonrpc": "2.0", "method": "cancel", "params": {"id": request_id}})

    def write(self, message: Any) -> None:
        """Send JSON, or bytes as they are."""
        line = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False, default=str).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next message; whatever is no JSON-RPC message fails the test."""
        message = json.loads(self._lines.get(timeout=GENEROUS_S))
        assert message["jsonrpc"] == "2.0"
        self.seen.append(message)
        return message

    def reply(self, request_id: int | str | None) -> dict[str, Any]:
        """The reply to a request, after all that comes before it."""
        while True:
            message = self.receive()
            if "method" not in message and message["id"] == request_id:
                return message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a request."""
        message = self.reply(self.send(method, **params))
        assert "result" in message, message
        return message["result"]

    def refuse(self, method: str, **params: Any) -> dict[str, Any]:
        """The error of a request."""
        message = self.reply(self.send(method, **params))
        assert "error" in message, message
        return message["error"]

    def until_progress(self, request_id: int, fraction: float = 0.0) -> None:
        """Wait until a request has reported as much."""
        while True:
            message = self.receive()
            assert message.get("id") != request_id, f"it ended before it was {fraction:.0%} done: {message}"
            about = message["params"] if message.get("method") == "progress" else {}
            if about.get("id") == request_id and about["fraction"] >= fraction:
                return

    def close(self) -> int:
        """Close its standard input; its exit status."""
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        status = self.process.wait(timeout=GENEROUS_S)
        for thread in self._threads:
            thread.join(timeout=GENEROUS_S)
        return status

    def kill(self) -> None:
        self.process.kill()
        self.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def _read_out(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)

    def _read_errors(self) -> None:
        for line in self.process.stderr:
            self.errors += line


def new_project(folder, mode="single", **scene):
    """A project file without tiles, and its scene."""
    made = make_scene(folder, **scene)
    path = folder / "p.gpkg"
    Project.create(path, CLASSES, mode).close()
    return path, made


def ready(worker, folder, **scene):
    """A project with embeddings, made by the worker, with 12 labels and a validation sample that is answered."""
    path, made = new_project(folder, **scene)
    worker.call("tile", project=path, rasters=[made.raster], validation=0.25)
    worker.call("embed", project=path, encoder="statistics")
    with Project.open(path) as project:
        answer(project, made, ids(project, "pool")[:12] + ids(project, "validation"))
    return path, made
