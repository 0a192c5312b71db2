"""QGIS is killed while an analyst labels."""

from __future__ import annotations

from .kill_labelling import kill_again_and_again


def test_every_answer_that_was_acknowledged_is_in_the_project(ready_project):
    outcome = kill_again_and_again(ready_project().path, answers=200, kills=4)
    assert outcome.acknowledged >= 100
    assert not outcome.lost
    assert not outcome.problems
