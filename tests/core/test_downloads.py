"""Published weights come from a folder or over the network, whatever the network does on the way."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core import transfer
from quadrat.core.downloads import find_weights, weights_file, weights_folder
from quadrat.core.errors import Cancelled, EncoderError
from quadrat.core.monitor import Monitor

from .weights_server import proxying, publishing

CONTENT = np.random.default_rng(0).bytes(1_000_000)
NAME = "weights.bin"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Listener:
    """Collects what a monitor is told and stops at a message that contains ``stop_at``."""

    stop_at: str = "never"
    messages: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def monitor(self) -> Monitor:
        return Monitor(
            lambda _, message: self.messages.append(message),
            lambda: any(self.stop_at in message for message in self.messages),
            lambda level, message: self.remarks.append(f"{level}: {message}"),
        )


@pytest.fixture(autouse=True)
def _no_pauses_and_no_proxy(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0, 0.0, 0.0))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(path))
    return path


@pytest.fixture
def publisher():
    with publishing(CONTENT) as published:
        yield published


def get(publisher, listener: Listener | None = None, content: bytes = CONTENT):
    return weights_file(NAME, publisher.url, sha256(content), (listener or Listener()).monitor)


def interrupted_download(publisher, listener=None):
    """Some of the file is there and the caller has stopped."""
    with pytest.raises(Cancelled):
        get(publisher, listener or Listener(stop_at="0.3 of 1.0 MB"))


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_file_is_downloaded_once_and_only_it_is_left(publisher, folder):
    listener = Listener()
    path = get(publisher, listener)
    assert path == folder / NAME
    assert path.read_bytes() == CONTENT
    assert visible(folder) == [NAME]
    assert listener.messages[-1] == "Downloading weights.bin: 1.0 of 1.0 MB"
    assert get(publisher) == path
    assert publisher.asked == [None]


def test_the_beginning_of_the_hash_is_enough_in_capitals_too(publisher, folder):
    assert weights_file(NAME, publisher.url, sha256(CONTENT)[:8].upper(), Listener().monitor).is_file()
    assert find_weights(NAME, sha256(CONTENT)[:10]) == folder / NAME


def test_a_file_put_there_by_hand_needs_no_network(folder):
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    assert weights_file(NAME, "https://not.reached.invalid/x", sha256(CONTENT)) == folder / NAME
    assert find_weights(NAME, sha256(CONTENT)) == folder / NAME


def test_a_wrong_file_put_there_by_hand_is_kept_aside_with_a_warning(publisher, folder):
    folder.mkdir()
    (folder / NAME).write_bytes(b"something else")
    assert find_weights(NAME, sha256(CONTENT)) is None
    listener = Listener()
    assert get(publisher, listener).read_bytes() == CONTENT
    assert (folder / "weights.bin.wrong").read_bytes() == b"something else"
    assert listener.remarks == [
        "warning: weights.bin was not the file expected (another hash); it is now called weights.bin.wrong."
    ]


def test_a_file_that_changes_in_the_folder_is_noticed(publisher, folder):
    get(publisher).write_bytes(b"spoilt")
    assert find_weights(NAME, sha256(CONTENT)) is None


def test_a_stopped_download_goes_on_where_it_stopped(publisher, folder):
    interrupted_download(publisher)
    assert find_weights(NAME, sha256(CONTENT)) is None
    there = (folder / "weights.bin.part").stat().st_size
    assert 0 < there < len(CONTENT)
    assert get(publisher).read_bytes() == CONTENT
    assert publisher.asked == [None, f"bytes={there}-"]
    assert visible(folder) == [NAME]


def test_a_download_stopped_after_its_last_byte_asks_for_nothing_more(publisher, folder):
    interrupted_download(publisher, Listener(stop_at="1.0 of 1.0 MB"))
    with (folder / "weights.bin.part").open("ab") as part:  # what the monitor calls 1.0 MB may lack some bytes
        part.write(CONTENT[part.tell() :])
    assert get(publisher).read_bytes() == CONTENT
    assert len(publisher.asked) == 1


def test_dropped_connections_are_taken_up_again(publisher, folder):
    publisher.cuts = [300_000, 0, 0, 300_000, 0]
    assert get(publisher).read_bytes() == CONTENT
    assert len(publisher.asked) == 6
    assert publisher.asked[-1] != publisher.asked[1]


def test_a_busy_server_is_asked_again(publisher, folder):
    publisher.statuses = [503, 429]
    assert get(publisher).read_bytes() == CONTENT


@settings(max_examples=25, deadline=None)
@given(size=st.integers(0, 300_000), cuts=st.lists(st.integers(1, 200_000), max_size=3), ranges=st.booleans())
def test_the_content_is_right_wherever_the_connection_is_cut(tmp_path_factory, size, cuts, ranges):
    content = CONTENT[:size]
    with publishing(content) as publisher, pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUADRAT_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        publisher.cuts, publisher.understands_ranges = cuts, ranges
        assert get(publisher, content=content).read_bytes() == content


def test_a_server_that_ignores_ranges_sends_everything_anew(publisher, folder):
    interrupted_download(publisher)
    publisher.understands_ranges = False
    assert get(publisher).read_bytes() == CONTENT


def test_a_server_that_sends_another_range_is_asked_for_everything(publisher, folder):
    interrupted_download(publisher)
    publisher.range_shift = -1000
    assert get(publisher).read_bytes() == CONTENT
    assert publisher.asked[-1] is None


def test_a_file_that_was_replaced_meanwhile_is_begun_anew(publisher, folder):
    publisher.content = CONTENT[::-1]
    with pytest.raises(Cancelled):
        get(publisher, Listener(stop_at="0.3 of 1.0 MB"))
    publisher.content, publisher.etag = CONTENT, '"second"'
    assert get(publisher).read_bytes() == CONTENT
    assert len(publisher.asked) == 2


def test_a_part_from_another_address_is_not_gone_on_with(publisher, folder):
    interrupted_download(publisher)
    with publishing(CONTENT) as other:
        assert get(other).read_bytes() == CONTENT
        assert other.asked == [None]


def test_a_part_longer_than_the_file_is_begun_anew(publisher, folder):
    interrupted_download(publisher)
    with (folder / "weights.bin.part").open("ab") as part:
        part.write(CONTENT)
    assert get(publisher).read_bytes() == CONTENT
    assert publisher.asked[2] is None


def test_damaged_notes_beside_the_part_mean_to_begin_anew(publisher, folder):
    interrupted_download(publisher)
    (folder / "weights.bin.part.json").write_text("[")
    assert get(publisher).read_bytes() == CONTENT
    assert publisher.asked == [None, None]


def test_a_network_that_goes_down_in_the_middle_leaves_the_part_to_go_on_from(publisher, folder):
    publisher.cuts = [400_000, 0, 0, 0]
    with pytest.raises(EncoderError, match=r"broke off after 0\.4 of 1\.0 MB") as caught:
        get(publisher)
    assert "goes on from there" in caught.value.hint
    assert get(publisher).read_bytes() == CONTENT
    assert publisher.asked[-1] not in (None, "bytes=0-")


def test_offline_says_what_to_put_where(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/weights.bin"
        with pytest.raises(EncoderError, match=r"127\.0\.0\.1 cannot be reached") as caught:
            weights_file(NAME, url, sha256(CONTENT))
    assert url in caught.value.hint
    assert f"put it into {folder} as {NAME}" in caught.value.hint


def test_a_file_with_another_hash_is_thrown_away(publisher, folder):
    publisher.content = b"<html>Please log in</html>"
    with pytest.raises(EncoderError, match="thrown away") as caught:
        get(publisher)
    assert sha256(publisher.content) in caught.value.details
    assert find_weights(NAME, sha256(CONTENT)) is None
    assert not (folder / NAME).exists()
    publisher.content = CONTENT
    assert get(publisher).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_refuses_is_not_asked_again(publisher, folder, status):
    publisher.statuses = [status]
    with pytest.raises(EncoderError, match=f"does not give weights.bin .{status}"):
        get(publisher)
    assert len(publisher.asked) == 1


def test_redirections_are_followed(publisher, folder):
    address = publisher.url.replace(NAME, "moved")
    assert weights_file(NAME, address, sha256(CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://example.org/weights.bin", "ftp://example.org/weights.bin", "weights.bin"])
def test_only_encrypted_addresses_are_used(publisher, folder, url):
    with pytest.raises(EncoderError, match="is no https address"):
        weights_file(NAME, url, sha256(CONTENT))
    if "://" in url:
        publisher.redirect = url
        with pytest.raises(EncoderError, match="is no https address"):
            get(publisher)


def test_the_proxy_of_the_environment_is_used(publisher, folder, monkeypatch):
    with proxying() as (address, forwarded):
        monkeypatch.setenv("HTTP_PROXY", address)
        assert get(publisher).read_bytes() == CONTENT
    assert forwarded == ["/weights.bin"]


def test_a_proxy_that_cannot_be_reached_is_named_as_the_cause(publisher, folder, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(EncoderError, match="proxy") as caught:
            get(publisher)
    assert "HTTPS_PROXY" in caught.value.hint


def test_a_stop_is_noticed_while_nothing_arrives(publisher, folder):
    publisher.stall = threading.Event()
    listener = Listener(stop_at="0.9 of 1.0 MB")
    with pytest.raises(Cancelled):
        get(publisher, listener)
    for thread in threading.enumerate():
        if thread.name.startswith("quadrat-download"):
            thread.join(10)
            assert not thread.is_alive(), "the waiting thread goes on after the stop"


def test_a_folder_that_cannot_be_made_is_said(publisher, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(tmp_path / "file" / "weights"))
    assert find_weights(NAME, sha256(CONTENT)) is None
    with pytest.raises(EncoderError, match="cannot be written to") as caught:
        get(publisher)
    assert "QUADRAT_WEIGHTS" in caught.value.hint


def in_a_process(publisher, before=""):
    code = f"{before}\nfrom quadrat.core.downloads import weights_file\n"
    code += f"print(weights_file({NAME!r}, {publisher.url!r}, {sha256(CONTENT)!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a file's size are POSIX")
def test_a_full_disk_is_said_and_the_download_goes_on_later(publisher, folder):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))"
    process = in_a_process(publisher, limit)
    errors = process.communicate()[1]
    assert "The weights cannot be written to" in errors
    assert (folder / "weights.bin.part").stat().st_size == 500_000
    assert get(publisher).read_bytes() == CONTENT
    assert publisher.asked == [None, "bytes=500000-"]


def test_of_two_processes_one_downloads_and_both_have_the_file(publisher, folder):
    publisher.cuts = [200_000]
    processes = [in_a_process(publisher) for _ in range(2)]
    for process in processes:
        said, errors = process.communicate()
        assert said.strip() == str(folder / NAME), errors
    assert (folder / NAME).read_bytes() == CONTENT
    assert len(publisher.asked) == 2  # one download in two pieces


def test_a_second_process_waits_and_can_be_stopped(publisher, folder):
    publisher.stall = threading.Event()
    first = Listener()
    thread = threading.Thread(target=get, args=(publisher, first))
    thread.start()
    waiting = Listener(stop_at="Waiting for another download")
    while not first.messages:
        thread.join(0.01)
    with pytest.raises(Cancelled):
        get(publisher, waiting)
    publisher.stall.set()
    thread.join()
    assert (folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../weights.bin", "a/b.bin", "a\\b.bin", "", ".."])
def test_names_with_a_folder_are_refused(folder, name):
    with pytest.raises(EncoderError, match="no name of a file"):
        weights_file(name, "https://example.org/x", sha256(CONTENT))


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64, "a" * 65])
def test_a_hash_must_be_given(folder, digest):
    with pytest.raises(EncoderError, match="no SHA-256"):
        find_weights(NAME, digest)


def test_the_folder_is_the_users_cache_unless_chosen(monkeypatch, tmp_path):
    monkeypatch.delenv("QUADRAT_WEIGHTS", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "quadrat" / "weights"
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(tmp_path / "mine"))
    assert weights_folder() == tmp_path / "mine"
