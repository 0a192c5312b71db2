"""Which tiles an analyst is shown, and where the work goes on after a stop."""

from __future__ import annotations

import pytest

from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.results import rounds
from quadrat.core.project.store import Project
from quadrat.plugin.labeling.session import POSITION

from .labeling_desk import ask, session_of, unasked


@pytest.fixture
def project(ready_project):
    with Project.open(ready_project("single").path, busy_timeout_s=0.1) as opened:
        yield opened


def test_the_work_list_is_the_latest_round_with_the_validation_tiles_asked_since(project):
    checks = unasked(project, "validation")
    ask(project, checks[:2], "validation")
    later, last = unasked(project)[:4], checks[2:5]
    round_id = ask(project, later)
    session = session_of(project)
    # the older validation tiles are still open, so they stay
    assert {tile.tile_id for tile in session.tiles} == {*later, *checks[:2]}
    assert session.progress.round_id == round_id
    ask(project, last, "validation")
    assert {tile.tile_id for tile in session_of(project).tiles} == {*later, *last}


def test_validation_tiles_that_were_answered_before_the_round_are_not_counted_again(project):
    checks = unasked(project, "validation")[:2]
    ask(project, checks, "validation")
    record_answers(project, [Answer(tile_id, "classes", (1,)) for tile_id in checks], annotator="a", source="map")
    later = unasked(project)[:4]
    ask(project, later)
    assert {tile.tile_id for tile in session_of(project).tiles} == set(later)


def test_a_tile_that_was_skipped_in_an_earlier_round_is_open_in_a_later_one(project):
    session = session_of(project)
    skipped = session.current.tile_id
    session.skip()
    assert session.progress.answered == 1
    ask(project, [skipped, *unasked(project)[:2]])
    later = session_of(project)
    assert later.progress.answered == 0
    later.go_to(skipped)
    later.skip()
    assert later.progress.answered == 1


def test_the_round_is_done_although_validation_tiles_are_left(project):
    ask(project, unasked(project, "validation")[:3], "validation")
    session = session_of(project)
    for tile in session.tiles:
        if not tile.is_validation:
            session.go_to(tile.tile_id)
            session.assign(1)
    assert session.is_round_done
    assert not session.is_done
    assert (session.progress.answered, session.progress.asked) == (8, 11)


def test_the_position_is_kept_for_the_next_start(project):
    session = session_of(project)
    session.assign(1)
    session.go_to(session.tiles[5].tile_id)
    session.save_position()
    again = session_of(project)
    assert again.current == again.tiles[5]
    project.set_setting(POSITION, str(unasked(project)[0]))
    assert session_of(project).current == again.tiles[1]


def test_a_project_without_a_round_asks_for_nothing(ready_project, tmp_path):
    with Project.open(ready_project("single", 0).path) as project:
        session = session_of(project)
        assert (session.tiles, session.current) == ((), None)
        assert not session.is_round_done
    with Project.create(tmp_path / "new.gpkg", [ClassDraft("Water")], "single") as project:
        assert session_of(project).tiles == ()


def test_answers_and_classes_that_changed_elsewhere_are_seen_after_reloading(project):
    session = session_of(project)
    tile_id = session.current.tile_id
    with Project.open(project.path) as other:
        record_answers(other, [Answer(tile_id, "classes", (3,))], annotator="ben", source="import")
    assert session.answer is None
    session.reload([tile_id])
    assert session.answer.class_ids == (3,)
    assert rounds(project)[0].round_id == session.progress.round_id


def test_a_tile_that_was_answered_since_the_last_stop_is_not_shown_again_after_a_crash(project):
    session = session_of(project)
    session.go_to(session.tiles[2].tile_id)
    session.save_position()
    record_answers(project, [Answer(session.tiles[2].tile_id, "unsure")], annotator="anna", source="map")
    again = session_of(project)
    assert again.current == again.tiles[3]
