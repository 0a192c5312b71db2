"""One running worker: its process, the threads at its three pipes, and who waits for which reply.

Four small threads live as long as the process. One writes requests, so that a worker which does not read holds up
nobody; one hands each message from its standard output to the inbox of the request it belongs to; one drains its
standard error into the log; one waits for its end, and then tells everybody who still waits. All callers only ever wait
at their own inbox.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import process
from .errors import GO_ON_HINT, EngineError, how_it_ended
from .log import RotatingLog

TAIL_LINES = 40
LINE_BYTES = 65_536  # a progress bar that never ends its line is cut here
LAST_WORDS_S = 1.0  # how long the pipes are read after the end, and how long a process may outlive its pipe
KILLED_S = 3.0
ENDED: dict[str, Any] = {"method": "ended"}  # what everybody who still waits finds when the process is gone


class Request:
    """One question on its way. As a context manager it is taken back if its reply did not come by the end."""

    def __init__(self, worker: Worker, number: int) -> None:
        self.number = number
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.answered = False
        self._worker = worker

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.forget(self)
        if not self.answered:
            self.cancel()

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """What came for this request: a notification, the reply, ENDED; None if nothing came in time."""
        try:
            message = self.inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self.answered = message is ENDED or "method" not in message
        return message

    def cancel(self) -> None:
        """Tell the worker that nobody wants the reply any more."""
        self._worker.send({"jsonrpc": "2.0", "method": "cancel", "params": {"id": self.number}})


class Worker:
    """A process that speaks the protocol. Raises OSError if it cannot be started."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: RotatingLog) -> None:
        self._log = log
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._requests: dict[int, Request] = {}
        self._numbers = itertools.count(1)
        self._exited = threading.Event()  # the process is gone
        self._ended = threading.Event()  # and everything it said has been read
        self._end_reason = ""
        self.is_worn = False  # something in it failed that was not foreseen, so the next step had better have another
        pipe = subprocess.PIPE
        self._process = process.start(command, folder, environment, stdin=pipe, stdout=pipe, stderr=pipe)
        self._readers = [self._thread(self._read_messages), self._thread(self._drain_errors)]
        self._threads = [*self._readers, self._thread(self._write), self._thread(self._await_end)]

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return not self._ended.is_set() and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for a reply."""
        with self._lock:
            return not self._requests

    def request(self, method: str, params: Mapping[str, Any]) -> Request:
        """Send a question; what comes back arrives in its inbox, and ENDED when the worker is gone."""
        request = Request(self, next(self._numbers))
        with self._lock:
            if self._ended.is_set():
                request.inbox.put(ENDED)
            self._requests[request.number] = request
        self.send({"jsonrpc": "2.0", "id": request.number, "method": method, "params": dict(params)})
        return request

    def forget(self, request: Request) -> None:
        """Drop whatever still comes for a request."""
        with self._lock:
            self._requests.pop(request.number, None)

    def send(self, message: Mapping[str, Any]) -> None:
        """Put a message on its way; never waits, and never fails if the worker is gone."""
        self._outbox.put(json.dumps(message).encode() + b"\n")

    def end(self, patience_s: float, terminate_s: float, reason: str = "") -> None:
        """Close its input and wait, terminate it and wait, kill it. Afterwards process, threads and pipes are gone.

        ``reason`` completes "The engine stopped: " for those who still wait for a reply.
        """
        self._end_reason = self._end_reason or reason
        self._outbox.put(None)
        if not self._ended.wait(patience_s):
            process.end(self._process, by_force=False)
            if not self._ended.wait(terminate_s):
                process.end(self._process, by_force=True)
                self._ended.wait(KILLED_S)
        for thread in self._threads:
            thread.join(LAST_WORDS_S)

    def last_words(self) -> str:
        """What it printed lately to its standard error."""
        return "\n".join(self._tail)

    def death(self) -> EngineError:
        """The end of the worker as an error: why, what it said last, and that nothing is lost."""
        reason = self._end_reason or how_it_ended(self._process.wait())
        return EngineError(f"The engine stopped: {reason}.", hint=GO_ON_HINT, details=self.last_words())

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"quadrat-{self._process.pid}-{work.__name__}", daemon=True)
        thread.start()
        return thread

    def _write(self) -> None:
        assert self._process.stdin is not None
        # A pipe whose reader is gone fails here as well as on closing; the end of the worker is told elsewhere.
        with contextlib.suppress(OSError), self._process.stdin as stream:
            for line in iter(self._outbox.get, None):
                stream.write(line)
                stream.flush()

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._receive(line)
        if not self._exited.wait(LAST_WORDS_S):  # without its pipe it is of no use to anybody
            process.end(self._process, by_force=True)

    def _receive(self, line: bytes) -> None:
        """Hand a message to whoever asked; anything else that stands there is only remembered."""
        try:
            message = json.loads(line)
            content = message["params"] if "method" in message else message
            number = content.get("id")
        except (ValueError, TypeError, KeyError, AttributeError):  # not JSON, or not an object
            self._log.write(b"not a message: " + line[:LINE_BYTES])
            return
        with self._lock:
            if number is None:  # a remark that names no request is about what is worked on now: the oldest
                number = next(iter(self._requests), None)
            request = self._requests.get(number) if isinstance(number, int) else None
            if request is not None:
                request.inbox.put(message)

    def _drain_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in iter(lambda: stream.readline(LINE_BYTES), b""):
                self._tail.append(line.decode("utf-8", "replace").rstrip())
                self._log.write(line)

    def _await_end(self) -> None:
        self._process.wait()
        self._exited.set()
        process.end(self._process, by_force=True)  # what it has started and left behind, which holds the pipes open
        for thread in self._readers:  # the last reply and the last words
            thread.join(LAST_WORDS_S)
        with self._lock:
            self._ended.set()
            for request in self._requests.values():
                request.inbox.put(ENDED)
        self._outbox.put(None)
