"""An encoder trained on the project's imagery in the background, with the real engine."""

from __future__ import annotations

import os
import signal

import pytest
from qgis.core import Qgis

from quadrat.core.project.results import rounds
from quadrat.plugin.engine.engine import Engine
from quadrat.plugin.requests import TrainingRequest, encoders_folder, free_encoder_file
from quadrat.plugin.training import EncoderTraining, in_words
from quadrat.plugin.workflow import PrepareRequest, QuerySettings

from .projects import ROOT
from .waiting import wait_until

SUCCESS = Qgis.MessageLevel.Success


@pytest.fixture
def training(bench, ready_project):
    """For a project that is open."""
    bench.job.open(ready_project(budget=0).path)
    made = EncoderTraining(bench.job, bench.engine, bench.messages)
    yield made
    made.unload()
    wait_until(lambda: not bench.engine._tasks, "the training to end")


def request_for(bench, epochs: int, name: str = "fields") -> TrainingRequest:
    path = bench.project.path
    return TrainingRequest(path, encoders_folder(path) / f"{name}.safetensors", epochs=epochs, batch=16, device="cpu")


def wait_for_an_epoch(training: EncoderTraining) -> None:
    wait_until(lambda: "loss" in training.message or not training.running, "an epoch", seconds=120)


def wait_for_the_end(training: EncoderTraining) -> None:
    wait_until(lambda: not training.running, "the end of the training", seconds=180)


def test_an_encoder_is_trained_and_the_tiles_can_be_embedded_with_it(bench, training):
    said, ready = [], []
    training.changed.connect(lambda: said.append(training.state))
    training.trained.connect(ready.append)
    request = request_for(bench, epochs=2)
    training.start(request)
    assert training.running
    assert not bench.engine.busy
    wait_for_the_end(training)
    assert bench.error_text() == ""
    assert ready == [request]
    assert request.out.is_file()
    assert "The encoder fields is trained." in bench.said(SUCCESS)
    assert any("Epoch 2 of 2: loss" in text for text in said)
    assert training.unfinished(bench.project) is None
    bench.workflow.prepare(PrepareRequest((), encoder=str(request.out), then_query=False))
    bench.settle()
    assert "48 tiles are ready." in bench.said(SUCCESS)


def test_other_work_goes_on_while_an_encoder_is_trained_until_it_is_stopped(bench, training):
    request = request_for(bench, epochs=1000)
    training.start(request)
    wait_for_an_epoch(training)
    bench.workflow.query(QuerySettings(budget=4, validation_budget=0))
    bench.settle()
    assert len(rounds(bench.project)) == 1
    assert training.running
    training.stop()
    wait_for_the_end(training)
    assert "What it learnt is kept" in bench.said()
    assert bench.error_text() == ""
    assert not request.out.exists()
    assert training.unfinished(bench.project) == request


def test_a_training_that_was_stopped_goes_on_where_it_was_and_again_when_its_worker_died(bench, training):
    request = request_for(bench, epochs=1000)
    training.start(request)
    wait_for_an_epoch(training)
    training.stop()
    wait_for_the_end(training)
    said = []
    training.changed.connect(lambda: said.append(training.message))
    training.start(request)
    wait_for_an_epoch(training)
    assert not any(text.startswith("Epoch 1 of") for text in said)
    (task,) = bench.engine._tasks
    os.kill(task.connection.pid, signal.SIGKILL)
    wait_for_the_end(training)
    assert bench.error_text()
    bench.press("Go on")
    assert training.running
    assert training.request == request


def test_closing_qgis_ends_the_training(bench, ready_project):
    bench.job.open(ready_project(budget=0).path)
    engine = Engine(ROOT)
    training = EncoderTraining(bench.job, engine, bench.messages)
    training.start(request_for(bench, epochs=1000))
    wait_for_an_epoch(training)
    (task,) = engine._tasks
    assert task.connection.pid is not None
    engine.close()
    training.unload()
    assert task.connection.pid is None


def test_a_project_that_moved_with_its_encoders_finds_its_unfinished_training(tmp_path):
    request = TrainingRequest(tmp_path / "p.gpkg", tmp_path / "p.quadrat" / "encoders" / "x.safetensors", epochs=7)
    elsewhere = tmp_path / "elsewhere" / "q.gpkg"
    found = TrainingRequest.from_json(request.to_json(), elsewhere)
    assert found.out == elsewhere.parent / "p.quadrat" / "encoders" / "x.safetensors"
    assert (found.project, found.epochs) == (elsewhere, 7)
    assert TrainingRequest.from_json("[]", elsewhere) is TrainingRequest.from_json(None, elsewhere) is None


def test_a_length_of_time_is_said_roughly():
    assert [in_words(seconds) for seconds in (5, 600, 7300)] == ["less than a minute", "about 10 min", "about 2 h"]


def test_the_name_proposed_for_an_encoder_is_free(tmp_path):
    project = tmp_path / "p.gpkg"
    for expected in ("p-encoder", "p-encoder-2", "p-encoder-3"):
        proposed = free_encoder_file(project)
        assert proposed.stem == expected
        proposed.parent.mkdir(parents=True, exist_ok=True)
        proposed.touch()
