"""The worker's two threads: one reads, the main one works.

Requests are worked on one after another in the order in which they come. ``cancel`` and, once it is known what the
worker runs on, ``hello`` are handled by the reading thread at once, whatever runs meanwhile. Work looks at its
:class:`Ticket` at least once a second, through its monitor.

When standard input closes or the process is told to terminate, everything is cancelled and the worker ends. Work that
does not look up in time is ended with the process: every step survives being killed.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import Cancelled, nearest
from ..monitor import Monitor
from . import machine
from .channel import (
    FAILED,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Channel,
    Id,
    ProtocolError,
    Request,
    read_request,
)
from .failures import MachineError, UnforeseenError, explain
from .parameters import bind

if TYPE_CHECKING:
    from .warm import Warm

# Progress more often than this is not seen by anybody.
PROGRESS_INTERVAL_S = 0.05
PATIENCE_S = 5.0
# Imported while nobody asks for anything, because they take up to a second each and one method or another needs them.
HEAVY = (".methods", "sklearn.metrics", "torchvision", "matplotlib.backends.backend_agg")


def serve() -> NoReturn:
    """Work until standard input closes, and end the process."""
    channel = Channel.take_over()
    machine.give_way()
    server = Server(channel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal from which QGIS was started is for QGIS
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    threading.Thread(target=server.read, name="quadrat-requests", daemon=True).start()
    server.work()
    # Nothing is left to be written, and to take torch down in order would keep a closing QGIS waiting for a second.
    sys.stderr.flush()
    os._exit(0)


@dataclass
class Ticket:
    """A request that waits or runs; setting ``cancelled`` stops it."""

    id: Id
    method: str
    params: dict[str, Any]
    cancelled: bool = False


class Server:
    """Requests in, replies out."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._queue: SimpleQueue[Ticket | None] = SimpleQueue()
        # A ticket is open until it is answered, and waits until it is begun or cancelled. Whoever takes it out of
        # `_waiting`, which is atomic, is the one to answer it.
        self._open: dict[Id, Ticket] = {}
        self._waiting: dict[Id, Ticket] = {}
        self._facts: dict[str, Any] | None = None
        self._warm: Warm | None = None
        self._stopping = False

    def stop(self) -> None:
        """Cancel everything and let the main thread end. It takes no lock: signal handlers call it."""
        self._stopping = True
        self._queue.put(None)

    def read(self) -> None:
        """The reading thread, until standard input closes."""
        try:
            for line in self._channel.lines():
                try:
                    self._receive(read_request(line))
                except ProtocolError as error:
                    self._send_error(error.request_id, error)
        finally:  # also if the reading itself failed: a worker that hears nothing any more must not stay
            self.stop()
            time.sleep(PATIENCE_S)
            os._exit(1)

    def work(self) -> None:
        """The main thread, until nothing more can come."""
        with suppress(Exception):  # the one who says hello is told
            self._facts = machine.describe()
        unloaded = list(HEAVY)
        while not self._channel.closed:
            while unloaded and self._queue.empty():
                with suppress(Exception):  # the method that needs it says what is missing
                    importlib.import_module(unloaded.pop(0), __package__)
            ticket = self._queue.get()
            if ticket is None:
                return
            if self._waiting.pop(ticket.id, None):
                self._answer(ticket)

    def _receive(self, request: Request) -> None:
        if request.method == "cancel":
            self._cancel(request.params.get("id"))
        elif request.id is None:
            return  # a notification that nobody knows; JSON-RPC wants no reply to it
        elif request.id in self._open:
            raise ProtocolError(INVALID_REQUEST, f"The request {request.id!r} is there already and not answered yet.")
        elif request.method == "hello" and self._facts is not None:
            self._send_result(request.id, {**self._facts, **machine.memory()})
        else:
            ticket = Ticket(request.id, request.method, request.params)
            self._open[ticket.id] = self._waiting[ticket.id] = ticket
            self._queue.put(ticket)

    def _cancel(self, request_id: Any) -> None:
        """Stop what runs at its next look at the ticket; answer at once for what has not begun."""
        ticket = self._open.get(request_id) if isinstance(request_id, int | str) else None
        if ticket is None:
            return  # it has been answered meanwhile
        ticket.cancelled = True
        if self._waiting.pop(ticket.id, None):
            del self._open[ticket.id]
            self._send_error(ticket.id, Cancelled())

    def _answer(self, ticket: Ticket) -> None:
        progress = _Progress(self._channel, ticket.id)
        monitor = Monitor(
            report=progress,
            is_cancelled=lambda: ticket.cancelled or self._stopping or self._channel.closed,
            remark=lambda level, text: self._channel.notify("log", level=level, message=text, id=ticket.id),
        )
        result: dict[str, Any] = {}
        failure: Exception | None = None
        try:
            result = self._call(ticket, monitor)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the worker goes on
            failure = error
        progress.flush()
        del self._open[ticket.id]
        if failure is None:
            self._send_result(ticket.id, result)
        else:
            self._send_error(ticket.id, failure)

    def _call(self, ticket: Ticket, monitor: Monitor) -> dict[str, Any]:
        if monitor.is_cancelled():
            raise Cancelled
        if ticket.method == "hello":  # before it was known what the worker runs on
            self._facts = self._facts or machine.describe()
            return {**self._facts, **machine.memory()}
        from .methods import METHODS, Context
        from .warm import Warm

        if ticket.method not in METHODS:
            hint = nearest(ticket.method, ["hello", *METHODS])
            raise ProtocolError(METHOD_NOT_FOUND, f"There is no method {ticket.method!r}.", hint=hint)
        function = METHODS[ticket.method]
        arguments = bind(function, ticket.params)
        self._warm = self._warm or Warm()
        return function(Context(monitor, self._warm), **arguments)

    def _send_result(self, request_id: Id, result: dict[str, Any]) -> None:
        self._channel.send({"id": request_id, "result": result})

    def _send_error(self, request_id: Id | None, error: Exception) -> None:
        explained = explain(error)
        code = FAILED
        if isinstance(explained, ProtocolError):
            code = explained.code
        elif isinstance(explained, UnforeseenError):
            code = INTERNAL_ERROR
        elif isinstance(explained, MachineError):
            machine.release_gpu_memory()
        data = explained.as_dict()
        message = data.pop("message")
        self._channel.send({"id": request_id, "error": {"code": code, "message": message, "data": data}})


class _Progress:
    """Progress notifications, not too many, but always the last one."""

    def __init__(self, channel: Channel, request_id: Id) -> None:
        self._channel = channel
        self._id = request_id
        self._latest: tuple[float, str] | None = None
        self._quiet_until = 0.0

    def __call__(self, fraction: float, message: str) -> None:
        self._latest = (fraction, message)
        if time.monotonic() >= self._quiet_until:
            self.flush()

    def flush(self) -> None:
        """Send what was held back."""
        if self._latest is not None:
            fraction, message = self._latest
            self._channel.notify("progress", id=self._id, fraction=fraction, message=message)
            self._latest = None
            self._quiet_until = time.monotonic() + PROGRESS_INTERVAL_S
