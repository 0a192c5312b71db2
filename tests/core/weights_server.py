"""A small web server that publishes one file and misbehaves as told, and a small proxy, each in threads."""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Publisher:
    """What is published at ``/weights.bin`` and how; ``asked`` are the Range headers of the requests so far."""

    def __init__(self, content: bytes = b""):
        self.content = content
        self.etag = '"first"'
        self.understands_ranges = True
        self.range_shift = 0  # answers with another range than the one asked for
        self.cuts: list[int] = []  # after so many bytes of an answer the connection ends, one for each request
        self.statuses: list[int] = []  # given instead of an answer, one for each request
        self.redirect = ""
        self.stall: threading.Event | None = None  # before the last byte of an answer
        self.asked: list[str | None] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    publisher: Publisher

    def do_GET(self):
        told = self.publisher
        if self.path == "/moved" or told.redirect:
            self.send_response(302)
            self.send_header("Location", told.redirect or told.url)
            self.send_header("Content-Length", "0")
            self.end_headers()
            told.redirect = ""
            return
        asked = self.headers["Range"]
        told.asked.append(asked)
        if told.statuses:
            self.send_error(told.statuses.pop(0))
            return
        if self.path != "/weights.bin":
            self.send_error(404)
            return
        self._answer(told, self._start(told, asked))

    def _start(self, told, asked):
        """Where the answer starts; None for the whole file."""
        condition = self.headers["If-Range"]
        if not asked or not told.understands_ranges or (condition and condition != told.etag):
            return None
        return max(0, int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + told.range_shift)

    def _answer(self, told, start):
        if start is not None and start >= len(told.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(told.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = told.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(told.content) - 1}/{len(told.content)}")
        if told.etag:
            self.send_header("ETag", told.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if told.cuts:
            body = body[: told.cuts.pop(0)]
        if told.stall is not None:
            self.wfile.write(body[:-1])
            self.wfile.flush()
            told.stall.wait(60)
            body = body[-1:]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


class _Proxy(BaseHTTPRequestHandler):
    forwarded: list[str]

    def do_GET(self):
        parts = urlsplit(self.path)
        self.forwarded.append(parts.path)
        connection = http.client.HTTPConnection(parts.hostname, parts.port)
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, *_):
        pass


@contextmanager
def _serving(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # a client that goes away is part of the tests
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def publishing(content: bytes = b""):
    """A publisher while the block lasts."""
    publisher = Publisher(content)
    with _serving(type("Handler", (_Handler,), {"publisher": publisher})) as address:
        publisher.url = f"{address}/weights.bin"
        try:
            yield publisher
        finally:
            if publisher.stall is not None:
                publisher.stall.set()


@contextmanager
def proxying():
    """The address of a proxy, and the paths that it forwarded."""
    forwarded: list[str] = []
    with _serving(type("Proxy", (_Proxy,), {"forwarded": forwarded})) as address:
        yield address, forwarded
