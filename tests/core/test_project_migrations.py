"""Older projects are copied, then upgraded one step and one transaction at a time."""

import sqlite3
from contextlib import closing

import pytest

from quadrat.core.errors import ProjectError
from quadrat.core.project.answers import Answer, current_answers, record_answers
from quadrat.core.project.migrations import SCHEMA_VERSION, STEPS, Step, migrate, schema_version
from quadrat.core.project.store import Project

from .project_factory import make_project

OLD = 1


@pytest.fixture
def path(tmp_path):
    """A real project of schema version 1 with an answer in it, whatever the current version is."""
    with make_project(tmp_path / "my p.gpkg") as project:
        record_answers(project, [Answer(1, "skip")], annotator="a", source="map")
        project.set_setting("schema_version", str(OLD))
    return project.path


@pytest.fixture
def connection(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def add_note(connection):
    connection.execute("ALTER TABLE classes ADD COLUMN note TEXT")


def add_weight(connection):
    connection.execute("ALTER TABLE classes ADD COLUMN weight REAL")


def fail(connection):
    connection.execute("DROP TABLE labels")
    connection.execute("SELECT nothing FROM nowhere")


def columns(connection):
    return {row[1] for row in connection.execute("PRAGMA table_info(classes)")}


def test_steps_lead_from_every_version_to_the_current_one():
    assert [step.from_version for step in STEPS] == list(range(1, SCHEMA_VERSION))


def test_a_current_project_is_neither_copied_nor_changed(path, connection):
    assert migrate(connection, path, [], target=OLD) is None
    assert list(path.parent.iterdir()) == [path]


def test_an_older_project_is_copied_then_upgraded(path, connection):
    copy = migrate(connection, path, [Step(2, add_weight), Step(1, add_note)], target=3, needs_quadrat="3.3")
    assert copy == path.with_name("my p.schema-1-backup.gpkg")
    assert schema_version(connection) == 3
    assert {"note", "weight"} <= columns(connection)
    assert connection.execute("SELECT value FROM quadrat WHERE \"key\" = 'needs_quadrat'").fetchone() == ("3.3",)
    with Project.open(copy) as before:
        assert current_answers(before)[1].kind == "skip"
        assert before.setting("schema_version") == "1"
    with closing(sqlite3.connect(copy)) as before:
        assert "note" not in columns(before)


def test_a_copy_never_replaces_an_earlier_one(path, connection):
    first = path.with_name("my p.schema-1-backup.gpkg")
    first.write_bytes(b"precious")
    assert migrate(connection, path, [Step(1, add_note)], target=2).name == "my p.schema-1-backup-2.gpkg"
    assert first.read_bytes() == b"precious"


def test_a_step_that_fails_leaves_the_version_before(path, connection):
    with pytest.raises(ProjectError, match="from schema version 2 to 3 failed") as caught:
        migrate(connection, path, [Step(1, add_note), Step(2, fail)], target=3)
    assert "my p.schema-1-backup.gpkg" in caught.value.hint
    assert schema_version(connection) == 2
    assert "note" in columns(connection)
    assert connection.execute("SELECT count(*) FROM labels").fetchone() == (1,)


def test_without_a_way_to_the_target_nothing_is_touched(path, connection):
    with pytest.raises(ProjectError, match="cannot upgrade"):
        migrate(connection, path, [Step(1, add_note)], target=3)
    assert list(path.parent.iterdir()) == [path]


def test_opening_a_project_older_than_any_step_is_refused(path, connection):
    connection.execute("UPDATE quadrat SET value = '0' WHERE \"key\" = 'schema_version'")
    with pytest.raises(ProjectError, match="schema version 0"):
        Project.open(path)
