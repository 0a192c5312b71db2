"""Each step stopped, its worker killed, its project closed in the middle: nothing is lost, and it goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3

import pytest
from qgis.core import Qgis

from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.results import rounds
from quadrat.plugin.job import Stage
from quadrat.plugin.tallies import class_tallies, open_tiles
from quadrat.plugin.workflow import PrepareRequest, QuerySettings, RasterChoice, Workflow

from .projects import CLASSES, make_scene
from .waiting import wait_until
from .workbench import RECOMMENDED, frozen

STEPS = ("tile", "embed", "query", "train", "predict", "export")


@pytest.fixture
def at(bench, ready_project, tmp_path):
    """``at(method)``: the project is where this call of the engine comes next; returns what starts the step."""
    raster = make_scene(tmp_path).raster
    prepare = PrepareRequest((RasterChoice(raster),), validation=0.25)

    def get_there(method):
        if method in ("tile", "embed"):
            bench.job.create(tmp_path / "new.gpkg", [ClassDraft(name) for name in CLASSES], "single", 64)
        if method == "tile":
            return lambda: bench.workflow.prepare(prepare)
        if method == "embed":
            bench.job.tiles_changed.connect(bench.engine.stop)
            bench.workflow.prepare(prepare)
            bench.settle()
            bench.job.tiles_changed.disconnect(bench.engine.stop)
            bench.iface.messageBar().clear_messages()
            return lambda: bench.workflow.prepare(PrepareRequest(()))
        ready = ready_project(budget=0 if method == "query" else 8)
        bench.job.open(ready.path)
        if method == "query":
            return lambda: bench.workflow.query(QuerySettings(budget=8, validation_budget=0))
        bench.answer(ready, open_tiles(bench.project))
        starts = {
            "train": bench.workflow.next_round,
            "predict": bench.workflow.predict,
            "export": lambda: bench.workflow.export(tmp_path / "out.geojson", "labels"),
        }
        return starts[method]

    def is_done(method):
        if method == "export":
            return (tmp_path / "out.geojson").is_file()
        if method == "predict":
            return sum(item.predicted for item in class_tallies(bench.project)) == 48
        expected = 2 if method == "train" else 1
        asked = [item for item in rounds(bench.project) if item.strategy == RECOMMENDED]
        # A query takes milliseconds: it may have been recorded before the engine heard that nobody waits for it.
        return bench.job.stage is Stage.ROUND and len(asked) >= expected and open_tiles(bench.project)

    get_there.is_done = is_done
    return get_there


@pytest.mark.parametrize("method", STEPS)
def test_a_step_that_was_stopped_goes_on(bench, at, method):
    start = at(method)
    with frozen(bench.wake()):
        start()
        bench.stop()
    bench.settle()
    assert "Stopped as asked." in bench.said()
    assert bench.error_text() == ""
    assert not at.is_done(method)
    start()
    bench.settle()
    assert at.is_done(method)


@pytest.mark.parametrize("method", STEPS)
def test_a_step_whose_worker_was_killed_is_started_again_by_a_button(bench, at, method):
    start = at(method)
    pid = bench.wake()
    os.kill(pid, signal.SIGSTOP)
    start()
    os.kill(pid, signal.SIGKILL)
    wait_until(bench.error_text, "the error")
    assert "killed" in bench.error_text()
    bench.press("Try again")
    bench.settle()
    assert at.is_done(method)


@pytest.mark.parametrize("method", STEPS)
def test_a_project_closed_in_the_middle_hears_of_nothing_any_more(bench, at, method):
    start = at(method)
    path = bench.project.path
    with frozen(bench.wake()):
        bench.news.clear()
        start()
        bench.job.close()
    bench.settle()
    assert bench.finished
    assert (bench.news, bench.ready_rounds, bench.error_text(), bench.said()) == ([], [], "", "")
    bench.job.open(path)
    start()
    bench.settle()
    assert at.is_done(method)


def test_a_worker_that_dies_between_query_and_suggestions_leaves_a_round_that_is_completed(bench, at):
    start = at("train")
    bench.wake()
    pids = []

    def kill_once():
        if len(rounds(bench.project)) == 2 and not pids:
            pids.append(bench.engine.pid)
            os.kill(pids[0], signal.SIGKILL)

    bench.job.rounds_changed.connect(kill_once)
    start()
    bench.settle()
    assert len(bench.ready_rounds) == 1
    if bench.error_text():  # else everything was done before the worker died
        bench.press("Try again")
        bench.settle()
    assert [item.strategy for item in rounds(bench.project)].count(RECOMMENDED) == 2
    assert sorted(bench.workflow.suggestions) == sorted(open_tiles(bench.project))


def test_trying_again_does_nothing_in_another_project(bench, at, ready_project):
    start = at("query")
    pid = bench.wake()
    os.kill(pid, signal.SIGSTOP)
    start()
    os.kill(pid, signal.SIGKILL)
    wait_until(bench.error_text, "the error")
    bench.job.open(ready_project().path)
    bench.press("Try again")
    bench.settle()
    assert len(rounds(bench.project)) == 1


def test_after_unload_nothing_is_heard_of_what_was_asked(bench, ready_project):
    bench.job.open(ready_project(budget=0).path)
    other = Workflow(bench.job, bench.engine, bench.messages)
    with frozen(bench.wake()):
        other.query(QuerySettings(budget=4))
        other.unload()
    bench.settle()
    assert (bench.news, bench.said(), bench.error_text()) == ([], "", "")


def test_settings_that_cannot_be_kept_are_used_all_the_same(bench, ready_project):
    bench.job.open(ready_project(budget=0).path)
    settings = QuerySettings(budget=4)
    with contextlib.closing(sqlite3.connect(bench.project.path, isolation_level=None)) as another_program:
        another_program.execute("BEGIN IMMEDIATE")
        bench.workflow.remember(settings)
    assert "are not kept in the project" in bench.said(Qgis.MessageLevel.Warning)
    assert bench.workflow.query_settings == settings


def test_a_project_in_use_is_said_and_left_as_it_is(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    before = bench.project.rasters()
    with contextlib.closing(sqlite3.connect(ready.path, isolation_level=None)) as another_program:
        another_program.execute("BEGIN IMMEDIATE")
        bench.workflow.relocate(1, ready.scene.raster)
    assert bench.error_text()
    assert not bench.engine.busy
    assert bench.project.rasters() == before
