"""One file by HTTP into a part file, which a later try goes on from.

1. What is there of the part is hashed, and the rest asked for (``Range``), on condition that the file is still the one
   that was begun (``If-Range`` with its ``ETag`` or date, kept in a small JSON file beside the part). A server that
   sends the whole file, or another range than asked for, makes it start anew.
2. Blocks are hashed as they come, so that a finished file needs no second reading.
3. A connection that drops is taken up again, after pauses that grow as long as nothing more arrives. Where nothing
   arrived at all there is no network, and the analyst is told at once.

Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``) or the system's settings, as `requests` finds them.
Waiting for the network happens in a thread, so that a stop is noticed even if nothing arrives.

Source: RFC 9110, sections 13.1.5 (If-Range), 14.2 (Range), 14.4 (Content-Range) and 15.5.17 (416).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from .about import version
from .errors import Cancelled, EncoderError
from .monitor import Monitor

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try."""

_CONNECT_S, _READ_S = 10, 20
_BLOCK = 1 << 16
_MB = 1e6
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_HERE = {"localhost", "127.0.0.1", "::1"}

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """A file: its ``name``, where it is, what its hash begins with, and how to get it without a network here."""

    name: str
    url: str
    sha256: str
    by_hand: str


def check_url(url: str) -> None:
    """Refuse what is not encrypted; this machine itself is trusted.

    Raises:
        EncoderError: another scheme than https.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise EncoderError(f"{url} is no https address.", hint="Give the address of the weights with https://.")


def fetch(wanted: Wanted, part: Path, monitor: Monitor) -> str:
    """Bring ``part`` to the whole file and give its SHA-256 in hexadecimal; whether it is the right one is not judged.

    Raises:
        EncoderError: no network, refused by the server, or no room; what arrived stays in ``part``.
        Cancelled: the caller asked to stop; what arrived stays too.
    """
    pool = ThreadPoolExecutor(1, "quadrat-download")
    try:
        with _Session() as session:
            return _Transfer(wanted, part, monitor, pool, session).run()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a thread that waits for the network ends by its timeout


class _Session(requests.Session):
    """Follows redirections, but only to where one may download from."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target:
            check_url(urljoin(resp.url, target))
        return target


class _Dropped(Exception):
    """The connection ended too early, or the server was busy: worth another try."""


class _Transfer:
    """The state of one download: ``done`` of ``total`` bytes, their hash, and what identifies the file's version."""

    def __init__(
        self, wanted: Wanted, part: Path, monitor: Monitor, pool: ThreadPoolExecutor, session: requests.Session
    ) -> None:
        self.wanted, self.part, self.monitor, self.pool, self.session = wanted, part, monitor, pool, session
        self.notes = part.with_name(part.name + ".json")
        self.reached = False
        self.start_anew()

    def start_anew(self) -> None:
        self.done = self.total = 0
        self.validator = ""
        self.digest = hashlib.sha256()

    def run(self) -> str:
        self.take_up()
        if self.done and self.digest.hexdigest().startswith(self.wanted.sha256.lower()):
            return self.digest.hexdigest()  # stopped between the last byte and the file's proper name
        failures = 0
        while True:
            had = self.done
            try:
                self.receive()
                return self.digest.hexdigest()
            except (_Dropped, requests.RequestException) as error:
                failures = 1 if self.done > had else failures + 1
                if failures > len(PAUSES_S) or not self.reached:
                    raise self.unreachable(error) from error
            self.pause(PAUSES_S[failures - 1])

    def take_up(self) -> None:
        """Hash what an earlier run left, if it came from the same address."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            if notes["url"] != self.wanted.url:
                return
            with self.part.open("rb") as file:
                while block := file.read(1 << 23):
                    self.digest.update(block)
                    self.done += len(block)
                    self.tell()
            self.validator = str(notes["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            self.start_anew()

    def receive(self) -> None:
        """Ask for what is missing and write it."""
        with self.waiting_for(self.ask) as response:
            self.reached = True
            fits = not self.out_of_step(response)
            if fits:
                self.accept(response)
        if not fits:
            self.start_anew()
            self.receive()

    def accept(self, response: requests.Response) -> None:
        if response.status_code in _BUSY:
            raise _Dropped(f"{response.status_code} {response.reason}")
        if response.status_code not in (200, 206):
            raise self.refused(response)
        if response.status_code == 200:
            self.start_anew()
        self.expect(response)
        try:
            self.write(response.iter_content(_BLOCK))
        except Cancelled:
            # This wakes the thread that waits for the next block; closing would wait for that thread.
            with suppress(RuntimeError):  # everything has arrived
                response.raw.shutdown()
            raise

    def ask(self) -> requests.Response:
        # Compressed on the way, ranges would count other bytes than those of the file.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"quadrat/{version()}"}
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            if self.validator:
                headers["If-Range"] = self.validator
        return self.session.get(self.wanted.url, headers=headers, stream=True, timeout=(_CONNECT_S, _READ_S))

    def out_of_step(self, response: requests.Response) -> bool:
        """Whether the part does not fit the file on the server."""
        if not self.done:
            return False
        begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        elsewhere = begins is None or int(begins[1]) != self.done
        return response.status_code == 416 or (response.status_code == 206 and elsewhere)

    def expect(self, response: requests.Response) -> None:
        """Note how much there will be and which version it is, and check that there is room."""
        length = response.headers.get("Content-Length", "")
        self.total = self.done + int(length) if length.isdigit() else 0
        etag = response.headers.get("ETag", "")
        # A weak ETag stays the same over small changes, so it is no condition for a range.
        self.validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        try:
            room = shutil.disk_usage(self.part.parent).free
            notes = {"url": self.wanted.url, "validator": self.validator}
            self.notes.write_text(json.dumps(notes), encoding="utf-8")
        except OSError as error:
            raise no_room(self.part.parent, error) from error
        if room < self.total - self.done:
            raise no_room(self.part.parent, f"{(self.total - self.done) / _MB:.1f} MB needed, {room / _MB:.1f} MB free")

    def write(self, blocks: Iterator[bytes]) -> None:
        try:
            file = self.part.open("ab" if self.done else "wb", buffering=0)
        except OSError as error:
            raise no_room(self.part.parent, error) from error
        with file:
            while block := self.waiting_for(lambda: next(blocks, b"")):
                self.append(file, block)
                self.tell()
        if self.done < self.total:
            raise _Dropped(f"{self.done} of {self.total} bytes arrived")

    def append(self, file: RawIOBase, block: bytes) -> None:
        left = memoryview(block)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise no_room(self.part.parent, error) from error
        self.digest.update(block)
        self.done += len(block)

    def waiting_for(self, call: Callable[[], T]) -> T:
        """What a call that waits for the network gives, while the caller can stop."""
        future = self.pool.submit(call)
        while not wait([future], timeout=0.5).done:
            self.tell()
        return future.result()

    def tell(self) -> None:
        share = self.done / self.total if self.total else 0.0
        of = f" of {self.total / _MB:.1f}" if self.total else ""
        self.monitor.advance(share, f"Downloading {self.wanted.name}: {self.done / _MB:.1f}{of} MB")

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.tell()
            time.sleep(min(left, 0.2))

    def unreachable(self, error: Exception) -> EncoderError:
        host = urlsplit(self.wanted.url).hostname
        if self.reached and self.done:
            of = f" of {self.total / _MB:.1f}" if self.total else ""
            message = f"The download of {self.wanted.name} broke off after {self.done / _MB:.1f}{of} MB."
            hint = f"Run the same again and it goes on from there, or {self.wanted.by_hand}"
        elif isinstance(error, requests.exceptions.ProxyError):
            message = f"The proxy did not let the download of {self.wanted.name} from {host} through."
            hint = f"Check the proxy in the environment (HTTPS_PROXY, NO_PROXY), or {self.wanted.by_hand}"
        elif isinstance(error, requests.exceptions.SSLError):
            message = f"The connection to {host} is not trusted, so {self.wanted.name} was not downloaded."
            hint = f"Give the certificates of your network (REQUESTS_CA_BUNDLE), or {self.wanted.by_hand}"
        else:
            message = f"{self.wanted.name} could not be downloaded: {host} cannot be reached or does not answer."
            hint = f"Connect to the network and run the same again, or {self.wanted.by_hand}"
        return EncoderError(message, hint=hint, details=str(error))

    def refused(self, response: requests.Response) -> EncoderError:
        answer = f"{response.status_code} {response.reason}"
        host = urlsplit(response.url).hostname
        return EncoderError(
            f"{host} does not give {self.wanted.name} ({answer}).",
            hint=f"Check the address in the encoder file, or {self.wanted.by_hand}",
            details=response.url,
        )


def no_room(folder: Path, reason: object) -> EncoderError:
    """The error of a folder that cannot be written to."""
    return EncoderError(
        f"The weights cannot be written to {folder}.",
        hint="Free some space or allow writing there, or choose another folder with the environment variable "
        "QUADRAT_WEIGHTS; then run the same again.",
        details=str(reason),
    )
