"""The wire: one JSON object a line in, one out, and nothing else.

Libraries print, also from C, and some read. So the worker keeps the real standard input and output for itself and
gives everybody else the null device to read and standard error to write.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
FAILED = -32000

_BLOCK_BYTES = 1 << 16

Id = int | str


class ProtocolError(UsageError):
    """A message that cannot be worked on; ``code`` is JSON-RPC's."""

    def __init__(self, code: int, message: str, *, hint: str = "", request_id: Id | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.request_id = request_id


@dataclass(frozen=True)
class Request:
    """A message to the worker; a notification has no ``id`` and gets no reply."""

    id: Id | None
    method: str
    params: dict[str, Any] = field(default_factory=dict)


class Channel:
    """Lines in and messages out; :meth:`send` may be called from any thread."""

    def __init__(self, reading: int, writing: int) -> None:
        """Use file descriptors that nobody else uses."""
        self.closed = False
        self._reading = reading
        self._out = os.fdopen(writing, "wb", buffering=0)
        self._lock = threading.Lock()

    @classmethod
    def take_over(cls) -> Channel:
        """The process's standard input and output, kept from everybody else."""
        reading, writing = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(reading, writing)

    def lines(self) -> Iterator[bytes]:
        """What comes in, line by line, until the other side closes; an unfinished last line is no message."""
        rest = b""
        while block := os.read(self._reading, _BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            yield from (line for line in lines if line.strip())

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message; when nobody reads any more, ``closed`` becomes true and nothing happens."""
        line = json.dumps(_plain({"jsonrpc": "2.0", **message}), separators=(",", ":"), allow_nan=False)
        left = memoryview(line.encode() + b"\n")
        with self._lock:
            try:
                while left:
                    left = left[self._out.write(left) :]
            except OSError:
                self.closed = True

    def notify(self, method: str, **params: Any) -> None:
        """Send a message that wants no reply."""
        self.send({"method": method, "params": params})


def read_request(line: bytes) -> Request:
    """The request in a line.

    Raises:
        ProtocolError: it is no JSON, or no request.
    """
    try:
        message = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(PARSE_ERROR, f"A line is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "A request is a JSON object.")
    request_id, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if "id" in message and (isinstance(request_id, bool) or not isinstance(request_id, int | str)):
        raise ProtocolError(INVALID_REQUEST, "The id of a request is an integer or a text.")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        hint = 'It has "jsonrpc": "2.0" and names its "method".'
        raise ProtocolError(INVALID_REQUEST, "This is no JSON-RPC 2.0 request.", hint=hint, request_id=request_id)
    if not isinstance(params, dict):
        raise ProtocolError(
            INVALID_PARAMS, 'The "params" of a request are an object: {"name": value}.', request_id=request_id
        )
    return Request(request_id, method, params)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _plain(value: Any) -> Any:
    """The same in JSON's types: numbers of NumPy become Python's, those that are not finite null, paths texts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
