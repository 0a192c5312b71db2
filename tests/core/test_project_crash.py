"""Locked, full and failing disks, killed programs: a clear word, and no answer that was acknowledged is missing."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from quadrat.core.errors import ProjectError
from quadrat.core.project.answers import Answer, current_answers, history, record_answers
from quadrat.core.project.results import TilePrediction, read_predictions, write_predictions
from quadrat.core.project.store import Project
from quadrat.core.project.views import remove_orphan_tiles

from .geopackage_check import problems
from .project_factory import make_project, tile_frame, write_tiles

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

IMPORTS = """
import os, sys
from quadrat.core.errors import ProjectError
from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.results import TilePrediction, write_predictions
from quadrat.core.project.store import Project
project = Project.open(sys.argv[1])
"""


@pytest.fixture
def path(tmp_path):
    make_project(tmp_path / "p.gpkg", n=12).close()
    return tmp_path / "p.gpkg"


def say(project, *answers):
    return record_answers(project, answers, annotator="a", source="map")


def start(path, code):
    return subprocess.Popen([sys.executable, "-c", IMPORTS + code, str(path)], stdout=subprocess.PIPE, text=True)


def test_a_project_locked_by_another_program_says_so_and_works_afterwards(path):
    with Project.open(path, busy_timeout_s=0.05) as project:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(ProjectError, match=r"p\.gpkg is being used by another program") as caught:
                say(project, Answer(1, "skip"))
            assert "Close it" in caught.value.hint or "close" in caught.value.hint
            with pytest.raises(ProjectError, match="used by another program"):
                Project.open(path, busy_timeout_s=0.05)
            other.execute("ROLLBACK")
        assert say(project, Answer(1, "skip")) == 1


def test_a_project_locked_for_reading_too_says_so(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for writable in (True, False):
            with pytest.raises(ProjectError, match="used by another program"):
                Project.open(path, writable=writable, busy_timeout_s=0.05)


def test_a_project_that_is_being_read_opens_at_once_and_stays_in_the_old_mode(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM labels").fetchone()
        with Project.open(path, busy_timeout_s=0.05) as project:
            assert project.read("PRAGMA journal_mode") == [("delete",)]
            assert len(project.tiles()) == 12
            reader.execute("COMMIT")
            say(project, Answer(1, "skip"))
    assert problems(path) == []


def test_a_full_disk_is_told_and_earlier_answers_stay(path):
    with Project.open(path) as project:
        say(project, Answer(1, "none"))
        ((n_pages,),) = project.read("PRAGMA page_count")
        project.read(f"PRAGMA max_page_count = {n_pages}")
        with pytest.raises(ProjectError, match="disk is full") as caught:
            write_predictions(project, [TilePrediction(i, 0.5, 0.5, ((1, 0.5),)) for i in range(5000)], model="m")
        assert "still there" in caught.value.hint
        assert read_predictions(project) == []
        project.read("PRAGMA max_page_count = 1000000")
        say(project, Answer(2, "none"))
        assert set(current_answers(project)) == {1, 2}
    assert problems(path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="locks that no other part of the program can drop")
def test_answers_are_kept_although_another_part_of_the_program_closed_the_file_and_another_program_tidied_up(path):
    with Project.open(path) as project:
        path.open("rb").close()  # as GDAL does when QGIS opens a layer; all POSIX locks of this process are gone now
        process = start(path, "project.set_setting('x', '1'); project.close()")
        assert process.wait() == 0
        assert path.with_name(path.name + "-wal").exists()
        say(project, Answer(1, "skip"))
        path.open("rb").close()
        with Project.open(path, writable=False) as other:
            assert list(current_answers(other)) == [1]
    assert [item.name for item in path.parent.glob("p.gpkg*")] == ["p.gpkg"]


@posix
def test_a_project_that_is_away_for_a_while_says_so_and_works_when_it_is_back(path):
    with Project.open(path) as project:
        say(project, Answer(1, "skip"))
        aside = path.parent / "aside"
        aside.mkdir()
        files = list(path.parent.glob("p.gpkg*"))
        for file in files:
            file.rename(aside / file.name)
        for _ in range(2):
            with pytest.raises(ProjectError, match="cannot be opened"):
                current_answers(project)
        for file in files:
            (aside / file.name).rename(file)
        assert list(current_answers(project)) == [1]
        say(project, Answer(2, "skip"))
    with Project.open(path, writable=False) as other:
        assert list(current_answers(other)) == [1, 2]


@posix
def test_a_quota_is_told_and_earlier_answers_stay(path):
    code = """
import resource
record_answers(project, [Answer(1, "none")], annotator="a", source="map")
size = os.path.getsize(sys.argv[1] + "-wal")
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))
predictions = [TilePrediction(i, 0.5, 0.5, ((1, 0.5),)) for i in range(5000)]
try:
    write_predictions(project, predictions, model="m")
except ProjectError as error:
    print(error.message)
"""
    process = start(path, code)
    assert "disk reported an error" in process.communicate()[0]
    with Project.open(path) as project:
        assert set(current_answers(project)) == {1}
        assert read_predictions(project) == []
    assert problems(path) == []


@posix
@pytest.mark.parametrize("n_read", [1, 150])
def test_after_a_kill_every_acknowledged_answer_is_there(path, n_read):
    code = """
for number in range(1, 100_000):
    batch = record_answers(
        project, [Answer(1 + number % 4, "classes", (1 + number % 3,))], annotator=f"{number}", source="map"
    )
    print(batch, flush=True)
"""
    process = start(path, code)
    acknowledged = [int(process.stdout.readline()) for _ in range(n_read)]
    process.kill()
    acknowledged += [int(line) for line in process.communicate()[0].splitlines() if line.strip()]
    with Project.open(path) as project:
        events = history(project)
        assert [event.batch for event in events][: len(acknowledged)] == acknowledged
        assert len(events) - len(acknowledged) in (0, 1), "at most the one that was being acknowledged"
        assert [event.annotator for event in events] == [str(number + 1) for number in range(len(events))]
        last = {event.tile_id: event.class_ids for event in events}
        assert {tile_id: answer.class_ids for tile_id, answer in current_answers(project).items()} == last
    assert problems(path) == []
    assert [file.name for file in path.parent.iterdir()] == ["p.gpkg"]


@posix
def test_a_killed_write_of_predictions_leaves_the_old_ones_and_its_leftovers_go(path):
    code = """
def endless():
    for tile_id in range(1, 10_000_000):
        yield TilePrediction(tile_id, 0.5, 0.5, ((2, 0.5),))
        if tile_id % 500 == 0:
            print(tile_id, flush=True)
write_predictions(project, endless(), model="m", chunk=100)
"""
    old = [TilePrediction(i, 0.75, 0.5, ((1, 0.75),)) for i in range(1, 13)]
    with Project.open(path) as project:
        write_predictions(project, old, model="old")
    process = start(path, code)
    for _ in range(3):
        process.stdout.readline()
    process.kill()
    process.communicate()
    with Project.open(path) as project:
        assert read_predictions(project) == old
        assert project.read("SELECT count(*) > 1000 FROM predictions") == [(1,)]
        write_predictions(project, old[:3], model="new")
        assert project.read("SELECT count(*) FROM predictions") == [(3,)]
    assert problems(path) == []


def leave_hot_journal(path):
    """Die in the middle of a transaction that has already overwritten pages of the file."""
    code = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
connection.execute("UPDATE quadrat SET value = 'half'")
connection.execute("UPDATE classes SET name = hex(randomblob(20000))")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    journal = path.with_name(path.name + "-journal")
    assert journal.stat().st_size > 0


@pytest.mark.parametrize("writable", [True, False])
def test_a_program_that_died_while_writing_without_log_is_undone_on_opening(path, writable):
    leave_hot_journal(path)
    with Project.open(path, writable=writable) as project:
        assert project.mode == "single"
        assert [c.name for c in project.classes()] == ["Water", "Forest", "Town"]
    assert problems(path) == []


@posix
def test_a_killed_run_of_tiling_leaves_no_tiles_that_count(path):
    """Killed between the tiles and their raster's row, which is the moment that needs care."""
    write_tiles(path, tile_frame(raster_id=2, n=500, west=9e5))
    with Project.open(path) as project:
        assert len(project.tiles()) == 12
        assert remove_orphan_tiles(project) == 500
    assert problems(path) == []
