"""Answers: recorded all or none, never changed, taken back and restored, and always equal to their replay."""

import math
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from quadrat.core.errors import AnswerError, UsageError
from quadrat.core.project.answers import (
    Answer,
    can_redo,
    can_undo,
    current_answers,
    find_problems,
    history,
    record_answers,
    redo,
    undo,
)
from quadrat.core.project.results import Pick, record_round
from quadrat.core.project.store import Project

from .project_factory import CLASSES, make_project


@pytest.fixture
def project(tmp_path):
    with make_project(tmp_path / "p.gpkg", "multi") as project:
        yield project


@pytest.fixture
def single(tmp_path):
    with make_project(tmp_path / "s.gpkg", "single") as project:
        yield project


def say(project, *answers, annotator="ann", **more):
    return record_answers(project, answers, annotator=annotator, source="map", **more)


def kinds(project):
    return {tile_id: answer.kind for tile_id, answer in current_answers(project).items()}


def test_each_kind_of_answer_is_distinct_from_unanswered(project):
    say(project, Answer(1, "classes", (2, 1)), Answer(2, "none"), Answer(3, "skip"), Answer(4, "unsure"))
    assert kinds(project) == {1: "classes", 2: "none", 3: "skip", 4: "unsure"}
    answer = current_answers(project)[1]
    assert answer.class_ids == (1, 2)
    assert (answer.annotator, answer.source) == ("ann", "map")
    assert answer.answered_at.endswith("Z")


def test_a_later_answer_replaces_the_current_one_but_not_the_history(project):
    say(project, Answer(1, "classes", (1, 2), seconds=2.5))
    say(project, Answer(1, "skip"), annotator="bob")
    say(project, Answer(1, "clear"))
    assert current_answers(project) == {}
    events = history(project, 1)
    assert [event.kind for event in events] == ["classes", "skip", "clear"]
    assert [event.annotator for event in events] == ["ann", "bob", "ann"]
    assert events[0].class_ids == (1, 2)
    assert events[0].seconds == 2.5


def test_answers_of_one_call_are_one_batch_and_know_their_round(project):
    picks = [Pick(1, 0, 1.0, "first"), Pick(2, 1, None, "")]
    round_id = record_round(
        project, strategy="fps", parameters={}, seed=0, encoder=None, budget=2, picks=picks, metrics={}
    )
    assert say(project, Answer(1, "skip"), Answer(2, "none"), round_id=round_id) == 1
    assert say(project, Answer(1, "none")) == 2
    assert say(project) == 0
    assert [(event.batch, event.round_id) for event in history(project)] == [(1, 1), (1, 1), (2, None)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(99, "skip"), "no such tile"),
        (Answer(6, "classes", (1,)), "set aside"),
        (Answer(2, "classes", (1, 9, 8)), "no class with the number 8, 9"),
        (Answer(2, "classes"), "no class is given"),
        (Answer(2, "none", (1,)), "cannot have classes"),
        (Answer(2, "perhaps"), "no answer called 'perhaps'"),
        (Answer(2, "skip", seconds=-1.0), "-1.0 seconds"),
        (Answer(2, "skip", seconds=math.nan), "nan seconds"),
        (Answer(1, "skip"), "answered twice (first by answer 1)"),
    ],
)
def test_one_bad_answer_refuses_all(project, answer, words):
    with pytest.raises(AnswerError, match="1 of 2 answers") as caught:
        say(project, Answer(1, "skip"), answer)
    assert words in caught.value.details
    assert caught.value.details.startswith(f"answer 2 (tile {answer.tile_id}): ")
    assert history(project) == []
    assert current_answers(project) == {}


def test_every_bad_answer_is_told(project):
    answers = [Answer(77, "perhaps", (9,)), Answer(1, "skip"), Answer(78, "skip")]
    assert [index for index, _ in find_problems(project, answers)] == [0, 0, 0, 2]
    with pytest.raises(AnswerError, match="2 of 3 answers") as caught:
        say(project, *answers)
    assert len(caught.value.details.splitlines()) == 4


def test_single_label_takes_exactly_one_class(single):
    say(single, Answer(1, "classes", (2,)), Answer(2, "classes", (3, 3)))
    with pytest.raises(AnswerError) as caught:
        say(single, Answer(1, "classes", (1, 2)))
    assert "allows one" in caught.value.details
    assert current_answers(single)[1].class_ids == (2,)
    assert current_answers(single)[2].class_ids == (3,)


def test_an_excluded_tile_can_be_cleared(project):
    say(project, Answer(6, "clear"))
    assert len(history(project, 6)) == 1


def test_answers_need_tiles_an_annotator_and_a_known_round(project, tmp_path):
    with pytest.raises(UsageError, match="annotator"):
        say(project, Answer(1, "skip"), annotator=" ")
    with pytest.raises(UsageError, match="no round 5"):
        say(project, Answer(1, "skip"), round_id=5)
    with Project.create(tmp_path / "untiled.gpkg", CLASSES, "single") as untiled, pytest.raises(AnswerError):
        say(untiled, Answer(1, "skip"))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE label_events SET answer = 'skip'",
        "DELETE FROM label_events",
        "INSERT OR REPLACE INTO label_events (event_id, action, batch, tile_id, answer, class_ids, annotator,"
        " answered_at, source) VALUES (1, 'answer', 1, 1, 'skip', '[]', 'x', '', '')",
    ],
)
def test_the_history_cannot_be_changed_by_anyone(project, sql):
    say(project, Answer(1, "none"))
    project.close()
    with sqlite3.connect(project.path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
    connection.close()


def test_undo_and_redo_walk_through_the_batches(project):
    assert not can_undo(project)
    assert undo(project) == []
    say(project, Answer(1, "none"), Answer(2, "skip"))
    say(project, Answer(2, "classes", (3,)))
    assert undo(project) == [2]
    assert kinds(project) == {1: "none", 2: "skip"}
    assert undo(project) == [1, 2]
    assert kinds(project) == {}
    assert (can_undo(project), can_redo(project)) == (False, True)
    assert redo(project) == [1, 2]
    assert redo(project) == [2]
    assert current_answers(project)[2].class_ids == (3,)
    assert redo(project) == []
    assert [event.action for event in history(project, 2)] == ["answer", "answer", "undo", "undo", "redo", "redo"]
    assert [event.batch for event in history(project, 1)] == [1, 1, 1]


def test_a_new_answer_ends_what_can_be_restored(project):
    say(project, Answer(1, "none"))
    undo(project)
    say(project, Answer(2, "skip"))
    assert not can_redo(project)
    assert redo(project) == []
    assert undo(project) == [2]
    assert undo(project) == []


def test_each_annotator_takes_back_only_their_own_answers(project):
    say(project, Answer(1, "none"), annotator="ann")
    say(project, Answer(1, "skip"), Answer(2, "skip"), annotator="bob")
    assert undo(project, "ann") == [1]
    assert kinds(project) == {1: "skip", 2: "skip"}
    assert not can_undo(project, "ann")
    say(project, Answer(3, "unsure"), annotator="bob")
    assert can_redo(project, "ann"), "bob's answer does not end what ann can restore"
    assert undo(project, "bob") == [3]
    assert undo(project, "bob") == [1, 2]
    assert redo(project, "ann") == [1]
    assert kinds(project) == {1: "none"}


TILES = st.integers(1, 5)
ANNOTATORS = st.sampled_from(["ann", "bob"])
ANSWERS = st.one_of(
    st.builds(Answer, TILES, st.sampled_from(["none", "skip", "unsure", "clear"])),
    st.builds(
        Answer, TILES, st.just("classes"), st.sets(st.integers(1, 3), min_size=1).map(lambda s: tuple(sorted(s)))
    ),
)
BATCHES = st.lists(ANSWERS, min_size=1, max_size=3, unique_by=lambda answer: answer.tile_id)


class AnswersEqualTheirReplay(RuleBasedStateMachine):
    """The project against a model that keeps the whole story as a list and replays it each time."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.project = make_project(Path(self.folder.name) / "p.gpkg", "multi")
        self.batches = []  # (annotator, answers), numbered from 1
        self.story = []  # ("answer" | "undo" | "redo", batch)

    def teardown(self):
        self.project.close()
        self.folder.cleanup()

    def stories_of(self, annotator):
        return [(action, b) for action, b in self.story if annotator in (None, self.batches[b - 1][0])]

    def standing(self, annotator=None):
        state = {}
        for action, batch in self.stories_of(annotator):
            state[batch] = action != "undo"
        return sorted(batch for batch, stands in state.items() if stands)

    def restorable(self, annotator):
        stack = []
        for action, batch in self.stories_of(annotator):
            if action == "answer":
                stack = []
            elif action == "undo":
                stack.append(batch)
            elif batch in stack:
                stack.remove(batch)
        return stack

    def tiles_of(self, batch):
        return [answer.tile_id for answer in self.batches[batch - 1][1]]

    @rule(answers=BATCHES, annotator=ANNOTATORS)
    def answer(self, answers, annotator):
        self.batches.append((annotator, answers))
        self.story.append(("answer", len(self.batches)))
        assert say(self.project, *answers, annotator=annotator) == len(self.batches)

    @rule(annotator=st.none() | ANNOTATORS)
    def take_back(self, annotator):
        standing = self.standing(annotator)
        assert can_undo(self.project, annotator) == bool(standing)
        assert undo(self.project, annotator) == (self.tiles_of(standing[-1]) if standing else [])
        if standing:
            self.story.append(("undo", standing[-1]))

    @rule(annotator=st.none() | ANNOTATORS)
    def restore(self, annotator):
        stack = self.restorable(annotator)
        assert can_redo(self.project, annotator) == bool(stack)
        assert redo(self.project, annotator) == (self.tiles_of(stack[-1]) if stack else [])
        if stack:
            self.story.append(("redo", stack[-1]))

    @rule()
    def reopen(self):
        self.project.close()
        self.project = Project.open(self.project.path)

    @invariant()
    def current_answers_are_those_of_the_standing_batches(self):
        expected = {}
        for batch in self.standing():
            for answer in self.batches[batch - 1][1]:
                expected[answer.tile_id] = (answer.kind, answer.class_ids)
        expected = {tile: answer for tile, answer in expected.items() if answer[0] != "clear"}
        actual = {tile: (a.kind, a.class_ids) for tile, a in current_answers(self.project).items()}
        assert actual == expected
        assert len(history(self.project)) == sum(
            len(self.batches[batch - 1][1]) if action == "answer" else 1 for action, batch in self.story
        )


AnswersEqualTheirReplay.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestAnswersEqualTheirReplay = AnswersEqualTheirReplay.TestCase
