"""One analyst's way through the tiles, without a map."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from quadrat.core.errors import ProjectError
from quadrat.core.project.answers import Answer, current_answers, history, record_answers
from quadrat.core.project.store import Project
from quadrat.plugin.labeling.session import MAX_SELECTED

from .labeling_desk import ask, copy_of, large_project, session_of, unasked


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def project(ready_project):
    with Project.open(ready_project("single").path, busy_timeout_s=0.1) as opened:
        yield opened


@pytest.fixture
def multi(ready_project):
    with Project.open(ready_project("multi").path, busy_timeout_s=0.1) as opened:
        yield opened


@pytest.fixture
def large(tmp_path_factory, tmp_path):
    with Project.open(copy_of(large_project(tmp_path_factory), tmp_path).path) as opened:
        yield opened


def kinds(project: Project) -> dict[int, str]:
    return {tile_id: answer.kind for tile_id, answer in current_answers(project).items()}


# Answers


def test_a_class_answers_the_tile_and_the_next_one_is_shown(project):
    clock = Clock()
    session = session_of(project, clock=clock)
    first = session.current
    clock.now += 2.5
    outcome = session.assign(2)
    assert outcome.changed == (first.tile_id,)
    assert session.current == session.tiles[1]
    (event,) = history(project)
    assert (event.tile_id, event.class_ids, event.annotator) == (first.tile_id, (2,), "anna")
    assert (event.seconds, event.round_id, event.source) == (2.5, first.round_id, "map")


@pytest.mark.parametrize("kind", ["skip", "unsure", "none"])
def test_other_answers_move_on_too(project, kind):
    session = session_of(project)
    first = session.current.tile_id
    getattr(session, kind)()
    assert kinds(project) == {first: kind}
    assert session.current == session.tiles[1]


def test_enter_takes_the_suggestion_that_is_seen(project):
    session = session_of(project)
    suggestions = {tile.tile_id: [(3, 0.8), (1, 0.1)] for tile in session.tiles}
    session.suggest(suggestions, show=True)
    first = session.current.tile_id
    session.accept()
    assert current_answers(project)[first].class_ids == (3,)
    session.suggest(suggestions, show=False)
    assert session.suggestion is None
    assert "no suggestion" in session.accept().message
    assert len(kinds(project)) == 1


def test_nothing_is_suggested_for_a_validation_tile(project):
    checks = unasked(project, "validation")[:3]
    ask(project, checks, "validation")
    session = session_of(project, {tile_id: [(1, 0.9)] for tile_id in checks})
    session.go_to(checks[0])
    assert session.suggestion is None
    assert not session.accept().changed


def test_a_suggested_class_that_was_deleted_is_left_out(project):
    session = session_of(project)
    session.suggest({session.current.tile_id: [(99, 0.8), (1, 0.1)]}, show=True)
    assert session.suggestion == [(1, 0.1)]


def test_when_all_is_answered_no_tile_is_shown_and_no_key_answers(project):
    session = session_of(project)
    for tile in session.tiles:
        assert session.current == tile
        session.assign(1)
    assert session.is_done
    assert session.is_round_done
    assert session.current is None
    assert "has an answer" in session.assign(2).message
    assert "has an answer" in session.skip().message
    assert "has an answer" in session.next_open().message
    assert len(history(project)) == len(session.tiles)
    session.back()
    assert session.current == session.tiles[-1]


def test_the_tile_stays_if_the_answer_cannot_be_recorded(multi):
    session = session_of(multi)
    session.assign(1)
    session.assign(3)
    first, toggles = session.current, session.toggles
    with closing(sqlite3.connect(multi.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ProjectError, match="used by another program"):
            session.accept()
        assert (session.current, session.toggles, session.answer) == (first, toggles, None)
        other.execute("ROLLBACK")
    session.accept()
    assert current_answers(multi)[first.tile_id].class_ids == (1, 3)


# Several classes


def test_classes_are_toggled_and_recorded_together(multi):
    session = session_of(multi)
    first = session.current.tile_id
    for class_id in (3, 1, 2, 2):
        assert not session.assign(class_id).changed
    assert session.toggles == {1, 3}
    assert kinds(multi) == {}
    session.accept()
    assert current_answers(multi)[first].class_ids == (1, 3)
    assert session.toggles == frozenset()


def test_an_empty_choice_is_not_recorded(multi):
    session = session_of(multi)
    assert "N for none" in session.accept().message
    assert kinds(multi) == {}


def test_an_answered_tile_starts_with_its_classes_chosen_and_an_open_one_with_the_suggested(multi):
    session = session_of(multi)
    session.suggest({tile.tile_id: [(2, 0.9), (3, 0.6)] for tile in session.tiles}, show=True)
    assert session.toggles == {2, 3}
    session.assign(3)
    session.assign(1)
    session.accept()
    session.back()
    assert session.toggles == {1, 2}
    session.next_open()
    session.suggest({}, show=True)
    assert session.toggles == frozenset()


def test_a_suggestion_that_comes_late_does_not_change_what_was_chosen(multi):
    session = session_of(multi)
    session.assign(1)
    session.suggest({session.current.tile_id: [(2, 0.9)]}, show=True)
    assert session.toggles == {1}


# Undo and redo


def test_undo_and_redo_go_to_the_tile_concerned(project):
    session = session_of(project)
    one, two, three = session.tiles[:3]
    session.assign(1)
    session.skip()
    assert session.current == three
    assert session.undo().changed == (two.tile_id,)
    assert (session.current, session.answer) == (two, None)
    session.undo()
    assert (session.current, session.can_undo) == (one, False)
    assert "nothing to undo" in session.undo().message
    session.redo()
    assert (session.current, session.answer.class_ids) == (one, (1,))
    session.redo()
    assert (session.answer.kind, session.can_redo) == ("skip", False)
    assert "nothing to redo" in session.redo().message
    assert kinds(project) == {one.tile_id: "classes", two.tile_id: "skip"}


def test_undo_leaves_the_answers_of_others_alone(project):
    session = session_of(project)
    record_answers(project, [Answer(session.tiles[3].tile_id, "unsure")], annotator="ben", source="map")
    assert not session.can_undo
    assert not session.undo().changed


# Moves


def test_back_leads_through_the_tiles_that_were_shown(project):
    session = session_of(project)
    session.assign(1)
    session.go_to(session.tiles[6].tile_id)
    session.back()
    assert session.current == session.tiles[1]
    session.back()
    assert session.current == session.tiles[0]
    assert not session.can_go_back
    assert "first tile" in session.back().message


def test_next_skips_answered_tiles_and_begins_again_after_the_last(project):
    session = session_of(project)
    session.go_to(session.tiles[2].tile_id)
    session.assign(1)
    session.go_to(session.tiles[1].tile_id)
    session.next_open()
    assert session.current == session.tiles[3]
    session.go_to(session.tiles[-1].tile_id)
    session.next_open()
    assert session.current == session.tiles[0]


def test_next_says_so_at_the_last_open_tile(project):
    session = session_of(project)
    for _ in session.tiles[:-1]:
        session.assign(1)
    assert not session.has_next
    assert "last asked tile" in session.next_open().message


def test_a_tile_that_was_not_asked_can_be_answered(project):
    session = session_of(project)
    tile_id = unasked(project)[0]
    session.go_to(tile_id)
    session.assign(1)
    assert (history(project)[-1].tile_id, history(project)[-1].round_id) == (tile_id, None)
    assert session.current == session.tiles[1]
    assert session.progress.answered == 0


def test_going_to_the_tile_that_is_shown_keeps_what_was_chosen(multi):
    session = session_of(multi)
    session.assign(1)
    session.go_to(session.current.tile_id)
    assert session.toggles == {1}


def test_tiles_that_are_set_aside_or_missing_are_refused(large):
    session = session_of(large)
    first = session.current
    (set_aside,) = (tile.tile_id for tile in large.tiles(("excluded",)))
    assert "set aside" in session.go_to(set_aside).message
    assert "no such tile" in session.go_to(9999).message
    assert session.current == first
    session.select([set_aside, first.tile_id])
    assert session.selection == (first,)


# Selections


def test_one_answer_for_a_selection_is_one_step_to_undo(project):
    session = session_of(project)
    chosen = unasked(project)[:5]
    session.select(chosen)
    outcome = session.assign(2)
    assert sorted(outcome.changed) == chosen
    assert "5 tiles answered" in outcome.message
    assert session.selection == ()
    assert session.current == session.tiles[0]
    assert "5 tiles were taken back" in session.undo().message
    assert kinds(project) == {}


def test_answers_of_selected_tiles_are_kept_unless_they_may_be_replaced(project):
    session = session_of(project)
    first = session.current.tile_id
    session.assign(1)
    session.select([first, *unasked(project)[:2]])
    assert session.selected_answered == 1
    assert "1 tile kept" in session.assign(2).message
    assert current_answers(project)[first].class_ids == (1,)
    session.select([first])
    assert "tick Replace" in session.assign(2).message
    session.replace_answers = True
    session.assign(2)
    assert current_answers(project)[first].class_ids == (2,)
    session.select([first])
    assert not session.replace_answers


def test_a_selection_of_the_round_counts_for_the_round(project):
    session = session_of(project)
    session.select([tile.tile_id for tile in session.tiles])
    session.assign(1)
    assert session.is_round_done
    assert session.current is None
    assert {event.round_id for event in history(project)} == {session.tiles[0].round_id}


def test_several_classes_for_a_selection(multi):
    session = session_of(multi)
    session.assign(1)
    chosen = unasked(multi)[:3]
    session.select(chosen)
    assert session.toggles == frozenset()
    session.assign(2)
    session.assign(3)
    session.accept()
    assert {current_answers(multi)[tile_id].class_ids for tile_id in chosen} == {(2, 3)}
    session.select(chosen)
    session.assign(1)
    session.clear_selection()
    assert session.toggles == frozenset()


def test_a_selection_that_is_empty_or_too_large_is_refused(project):
    session = session_of(project)
    assert "no tile" in session.select([]).message
    assert str(MAX_SELECTED) in session.select(range(1, MAX_SELECTED + 2)).message
    assert session.selection == ()
