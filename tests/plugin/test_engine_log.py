"""The log of the engine."""

from __future__ import annotations

from quadrat.plugin.engine.log import RotatingLog


def test_a_full_log_becomes_the_older_one_and_no_third_is_kept(tmp_path):
    log = RotatingLog(tmp_path / "new folder" / "engine.log", limit_bytes=1000)
    for number in range(110):
        log.write(f"line {number:03d} {'x' * 40}\r\n".encode())
    log.close()
    files = sorted(path.name for path in log.path.parent.iterdir())
    assert files == ["engine.log", "engine.log.1"]
    lines = (log.path.parent / "engine.log.1").read_text().splitlines() + log.path.read_text().splitlines()
    assert lines[-1].startswith("line 109")
    assert [int(line[5:8]) for line in lines] == list(range(110 - len(lines), 110))
    assert all((log.path.parent / name).stat().st_size < 1100 for name in files)


def test_a_log_goes_on_where_it_ended(tmp_path):
    for text in (b"first", b"second"):
        log = RotatingLog(tmp_path / "engine.log")
        log.write(text)
        log.close()
    assert log.path.read_bytes() == b"first\nsecond\n"


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    log = RotatingLog(tmp_path / "file" / "engine.log")
    log.write(b"lost")
    log.close()
