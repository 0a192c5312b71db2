"""The second step: which rasters, where, and cut into tiles how; then "Prepare tiles" does the rest.

The rasters are QGIS's own layers. The engine looks at each that is ticked and says what it finds; the area of interest
is written into a file for it; and the workflow does the work, so that the panel is free again at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.PyQt.QtWidgets import QLabel, QWidget

from ...core.errors import Cancelled, QuadratError
from ...core.project.store import Project
from ..context import Context
from ..engine.task import Call
from ..job import Stage
from ..requests import PrepareRequest, TrainingRequest, free_encoder_file
from ..steps import reported
from ..training import EncoderTraining
from .area import AreaChooser
from .base import Panel
from .prepare_options import PrepareOptions
from .project_rasters import ProjectRasters
from .raster_list import RasterList
from .train_encoder_dialog import TrainEncoderDialog
from .widgets import Note, push_button


class ImageryPanel(Panel):
    """Rasters, area of interest, options, and the button that begins."""

    title = "Imagery"

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._is_writing_area = False
        self._asked_for_encoders: tuple[object, ...] = ()
        self._shown_project: Path | None = None
        self.in_project = ProjectRasters()
        self.rasters = RasterList(context)
        self.area = AreaChooser(context.iface.mapCanvas())
        self.options = PrepareOptions()
        self.training = EncoderTraining(context.job, context.engine, context.messages, self)
        self.size_note = Note()
        self.reason = Note()
        self.prepare_button = push_button("Prepare tiles", self.prepare, "Cut, embed, and ask for the first tiles")
        for widget in (
            self.in_project,
            QLabel("Rasters loaded in QGIS"),
            self.rasters,
            QLabel("Area of interest"),
            self.area,
            self.size_note,
            self.options,
            self.reason,
            self.prepare_button,
        ):
            self.form.addWidget(widget)
        self.form.addStretch(1)
        self.in_project.located.connect(self.context.workflow.relocate)
        self.rasters.changed.connect(self._enable_button)
        self.area.changed.connect(self._enable_button)
        self.options.encoders.training_wanted.connect(self.train_encoder)
        self.training.changed.connect(self._show_training)
        self.training.trained.connect(self._choose_trained)
        # Both take Enter, Backspace and Esc on the map.
        self.area.drawing.connect(self.context.labelling.stop)

    def blocked(self) -> str:
        """Without a project there is nothing to prepare for."""
        return "" if self.context.job.is_open else "Make or open a project first, in the panel Project."

    def next_step(self) -> str:
        """What to do here, by how far the project is."""
        if self.context.job.stage <= Stage.NO_TILES:
            return "Tick the rasters to label and press Prepare tiles. The first tiles to label follow by themselves."
        if self.context.job.stage == Stage.NO_EMBEDDINGS:
            return "The tiles are cut but not ready yet. Press Prepare tiles to go on from there."
        return "The tiles are ready. More rasters can be added at any time: tick them and press Prepare tiles."

    def show_state(self) -> None:
        """Show the layers, the project's rasters and what can be done."""
        project = self.context.job.project
        if self._shown_project != project.path:
            self._shown_project = project.path
            self.rasters.forget_choices()
            self.options.show_project(project)
        self._ask_for_encoders(project)
        self._show_training()
        self.size_note.say(f"Tiles of {project.tile_size} × {project.tile_size} pixels, as the project was made for.")
        self.area.refresh(project.path)
        self.rasters.refresh(self.in_project.show_project(project), project.tile_size)
        self._enable_button()

    def unload(self) -> None:
        """Stop listening to QGIS and take everything off the map."""
        self.rasters.unload()
        self.area.unload()
        self.training.unload()

    def prepare(self) -> None:
        """Write the area of interest, if there is one, and let the workflow do the rest."""
        project = self.context.job.project
        if not self.rasters.choices():  # only what was begun goes on; its area is settled
            self._hand_over(project, None)
            return
        self._is_writing_area = True
        self._enable_button()
        try:
            self.area.write(project.folder, lambda area: self._hand_over(project, area), self._fail)
        except QuadratError as error:  # there is no folder to write it into
            self._fail(error)

    @reported
    def _hand_over(self, project: Project, area: Path | None) -> None:
        self._is_writing_area = False
        if self.context.job.is_open and self.context.job.project is project:
            options = self.options
            self.context.workflow.prepare(
                PrepareRequest(
                    rasters=tuple(self.rasters.choices()),
                    area=area,
                    stride=options.stride,
                    min_valid=options.min_valid,
                    validation=options.validation,
                    encoder=options.encoders.source,
                    seed=options.seed,
                    max_cloud=options.max_cloud,
                    mask=options.mask,
                    then_query=self.context.job.stage < Stage.ROUND,
                )
            )
        self._enable_button()

    def _fail(self, error: QuadratError) -> None:
        self._is_writing_area = False
        self.context.messages.error(error)
        self._enable_button()

    @reported
    def _enable_button(self) -> None:
        reason = self._why_not() if self.context.job.is_open else ""
        self.reason.say(reason)
        self.prepare_button.setEnabled(not reason and self.context.job.is_open)

    def _why_not(self) -> str:
        """Why the tiles cannot be prepared now; empty if they can."""
        if self.context.engine.busy:
            return f"Quadrat is busy: {self.context.engine.title}."
        if self._is_writing_area:
            return "Writing the area of interest."
        if not self.rasters.choices():
            return "" if self.context.job.project.has_tiles() else "Tick at least one raster."
        return self.rasters.reason() or self.area.reason()

    def _ask_for_encoders(self, project: Project) -> None:
        """Ask each Python once what it can embed the project's rasters with; without an answer it finds the best."""
        interpreter = self.context.engine.interpreter()
        question = (interpreter, project.path, len(project.rasters()))
        if interpreter is None or question == self._asked_for_encoders:
            return
        self._asked_for_encoders = question

        def show(results: list[dict[str, Any]]) -> None:
            if question == self._asked_for_encoders:
                self.options.encoders.show_encoders(results[0]["encoders"], results[0]["best"])

        def ask_again(error: QuadratError) -> None:
            if isinstance(error, Cancelled):  # the engine was restarted; a Python that fails is not asked again
                self._asked_for_encoders = ()

        calls = [Call("encoders", {"project": str(project.path)})]
        self.context.engine.start("Looking for encoders", calls, on_done=show, on_failed=ask_again, quiet=True)

    @reported
    def train_encoder(self) -> None:
        """Ask what to train, or show how far the training is."""
        project = self.context.job.project
        settings = self.context.workflow.query_settings
        hello = self.context.engine.hello or {}
        dialog = TrainEncoderDialog(
            self.training,
            TrainingRequest(project.path, free_encoder_file(project.path), device=settings.device),
            self.training.unfinished(project),
            starts=self.options.encoders.starts,
            tiles=len(project.tiles()),
            device=str(hello.get("device", "")),
            parent=self,
        )
        dialog.exec()
        dialog.deleteLater()

    @reported
    def _show_training(self) -> None:
        """Show how far the training is; before there are tiles there is nothing to train on."""
        if self.context.job.is_open:
            reason = "" if self.context.job.project.has_tiles() else "Prepare tiles first: it learns from them."
            self.options.encoders.show_training(self.training.state, reason)

    def _choose_trained(self, request: TrainingRequest) -> None:
        """The analyst waited for this encoder, unless there is another project meanwhile."""
        if self.context.job.is_open and self.context.job.project.path == request.project:
            self.options.encoders.choose(str(request.out))
