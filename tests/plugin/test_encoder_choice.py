"""Which encoders are offered, with the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QFileDialog

from quadrat.plugin.panels.encoder_choice import EncoderChoice
from quadrat.plugin.requests import AUTO, encoders_folder

from .imagery_desk import imagery_panel, load, prepare
from .panel_context import click
from .projects import make_scene
from .waiting import wait_until


@pytest.fixture
def panel(engine, qgis_new_project, tmp_path):
    with imagery_panel(engine, tmp_path) as made:
        yield made


@pytest.fixture
def choice(panel):
    wait_until(lambda: panel.options.encoders.combo.count() > 1, "the encoders")
    return panel.options.encoders


def info(**facts):
    """An encoder as the engine's ``encoders`` describes it."""
    plain = {"name": "n", "summary": "Sees.", "dimension": 512, "available": True, "reason": "", "licence": "MIT"}
    return {**plain, "downloadable": False, **facts}


def is_enabled(choice, name):
    return bool(choice.combo.model().item(choice.combo.findData(name)).flags() & Qt.ItemFlag.ItemIsEnabled)


def test_the_best_is_chosen_and_what_the_engine_knows_is_offered(choice):
    assert choice.source == AUTO
    assert choice.combo.findData("statistics") > 0
    assert is_enabled(choice, "statistics")


def test_a_file_can_be_chosen_and_stays_when_the_engine_answers_again(choice, tmp_path, monkeypatch):
    weights = str(tmp_path / "my weights.pth")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (weights, ""))
    click(choice.file_button)
    choice.show_encoders([info()])
    assert choice.source == weights
    assert choice.combo.currentText() == "my weights.pth"


def test_encoders_whose_bands_the_project_lacks_are_greyed_with_the_reason(panel, choice, tmp_path):
    load(make_scene(tmp_path, rows=2, cols=3).raster)
    prepare(panel)
    panel.refresh()
    wait_until(lambda: "(" in choice.combo.itemText(0), "the best for the project's bands")
    row = choice.combo.findData("resnet50-sentinel2-all-moco")
    assert not is_enabled(choice, "resnet50-sentinel2-all-moco")
    assert "but the project has only B02, B03, B04, B08" in choice.combo.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert is_enabled(choice, "statistics")


def test_what_must_be_downloaded_first_can_be_chosen_and_says_so(qgis_app):
    choice = EncoderChoice()
    choice.show_encoders([info(name="far", available=False, downloadable=True), info(name="no", available=False)])
    assert is_enabled(choice, "far")
    assert not is_enabled(choice, "no")
    choice.choose("far")
    assert choice.note.said.splitlines() == [
        "Sees.",
        "512 numbers a tile; MIT",
        "Its weights are downloaded when it is first used.",
    ]


def test_the_project_starts_with_its_own_encoder_and_offers_those_trained_for_it(panel, ready_project):
    ready = ready_project()
    trained = encoders_folder(ready.path) / "fields.safetensors"
    trained.parent.mkdir(parents=True)
    trained.touch()
    panel.context.job.open(ready.path)
    choice = panel.options.encoders
    assert choice.source != AUTO
    texts = [choice.combo.itemText(row) for row in range(choice.combo.count())]
    assert trained.name in texts
    assert Path(choice.combo.itemData(texts.index(trained.name))) == trained
