"""The dialog in which an encoder is trained, opened from the imagery panel, with the real engine."""

from __future__ import annotations

import pytest
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication

from quadrat.plugin.panels.train_encoder_dialog import TrainEncoderDialog
from quadrat.plugin.requests import TrainingRequest, encoders_folder

from .imagery_desk import imagery_panel
from .panel_context import click, retype
from .waiting import wait_until


@pytest.fixture
def panel(engine, qgis_new_project, tmp_path, ready_project):
    """In a project with tiles."""
    with imagery_panel(engine, tmp_path) as made:
        made.context.job.open(ready_project(budget=0).path)
        made.options.setCollapsed(False)
        made.refresh()
        QApplication.processEvents()  # the button gets its place
        yield made


def in_the_dialog(panel, *steps) -> None:
    """Press the button, and do the steps one after another in the dialog that it opens."""
    faults = []

    def act() -> None:
        dialog = QApplication.activeModalWidget()
        try:
            assert dialog is not None
            for step in steps:
                step(dialog)
        except Exception as error:  # noqa: BLE001 - it would end QGIS
            faults.append(error)
        finally:
            if dialog is not None and dialog.isVisible():
                dialog.reject()

    QTimer.singleShot(0, act)
    click(panel.options.encoders.train_button)
    if faults:
        raise faults[0]


def settle(panel) -> None:
    wait_until(lambda: not panel.training.running, "the end of the training", seconds=180)


def set_up(epochs: int):
    def step(dialog: TrainEncoderDialog) -> None:
        retype(dialog.name, "fields")
        dialog.epochs.setValue(epochs)
        dialog.batch.setValue(16)

    return step


def start(dialog: TrainEncoderDialog) -> None:
    click(dialog.start_button)


def test_without_tiles_there_is_nothing_to_train_on(engine, qgis_new_project, tmp_path):
    with imagery_panel(engine, tmp_path) as panel:
        assert not panel.options.encoders.train_button.isEnabled()
        assert "Prepare tiles first" in panel.options.encoders.train_button.toolTip()


def test_a_training_is_stopped_and_gone_on_with_and_the_encoder_is_chosen(panel):
    def is_running(dialog: TrainEncoderDialog) -> None:
        assert dialog.stop_button.isVisible()
        assert not dialog.start_button.isVisible()
        assert dialog.state.said.startswith("fields: ")
        click(dialog.stop_button)

    def offers_to_go_on(dialog: TrainEncoderDialog) -> None:
        assert (dialog.name.text(), dialog.epochs.value()) == ("fields", 10)
        assert dialog.start_button.text() == "Start anew"
        assert "not finished" in dialog.note.said
        click(dialog.resume_button)

    encoders = panel.options.encoders
    in_the_dialog(panel, set_up(epochs=10), start)
    out = panel.training.request.out
    assert out == encoders_folder(panel.context.job.project.path) / "fields.safetensors"
    assert encoders.train_button.text() == "Training…"
    assert encoders.training_note.said.startswith("fields: ")
    wait_until(lambda: "loss" in panel.training.message, "an epoch", seconds=120)
    in_the_dialog(panel, is_running)
    settle(panel)
    assert encoders.source != str(out)
    in_the_dialog(panel, offers_to_go_on)
    settle(panel)
    assert encoders.source == str(out)
    assert encoders.training_note.said == ""


def test_the_encoder_of_another_project_is_not_chosen_in_this_one(panel, tmp_path):
    before = panel.options.encoders.source
    panel.training.trained.emit(TrainingRequest(tmp_path / "other.gpkg", tmp_path / "other.safetensors"))
    assert panel.options.encoders.source == before


def test_what_cannot_be_written_is_said_before_it_begins(panel, tmp_path):
    request = TrainingRequest(tmp_path / "p.gpkg", tmp_path / "old.safetensors")
    request.out.touch()
    dialog = TrainEncoderDialog(panel.training, request, None, [], tiles=48, device="cpu")
    assert "There is an encoder of this name already." in dialog.note.said
    for name, folder, wrong in (
        ("", str(tmp_path), "Give the encoder a name."),
        ("a/b", str(tmp_path), "The name must not contain /"),
        ("a", "relative", "Give the whole path of the folder"),
        ("a", str(request.out), "There is a file of this name."),
    ):
        dialog.name.setText(name)
        dialog.folder.setText(folder)
        assert wrong in dialog.note.said
        assert not dialog.start_button.isEnabled()
    dialog.reject()


def test_a_training_may_go_on_from_another_encoder(panel):
    """The engine has listed its encoders by then, and refuses nothing that the dialog offers."""
    wait_until(lambda: "quadrat-rgb" in panel.options.encoders.starts, "the list of encoders")
    offered = []

    def choose(dialog: TrainEncoderDialog) -> None:
        offered.extend(dialog.begin_with.itemText(row) for row in range(dialog.begin_with.count()))
        dialog.begin_with.setCurrentIndex(dialog.begin_with.findData("quadrat-rgb"))

    in_the_dialog(panel, set_up(epochs=1), choose, start)
    assert panel.training.request.start == "quadrat-rgb"
    settle(panel)
    assert offered[0] == "nothing"
    assert "squeezenet1_1-caffe" not in offered
    assert panel.options.encoders.source.endswith("fields.safetensors")
