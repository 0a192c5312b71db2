"""The only one who asks the engine for work that changes the project.

What the analyst asks for is a :class:`.steps.Step`: one task of the engine with one or more calls, such as tile, embed
and query. After each call that changed the project the job's signal says so, so that layers appear while the rest
still runs. One step at a time: a second one is refused with a sentence, but :meth:`Workflow.next_round` waits. Whatever
was finished before a step was stopped or failed stays, and the same step goes on from there. What arrives for a project
that was closed meanwhile is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.errors import Cancelled, ImageryError, LearningError, ProjectError, QuadratError
from ..core.project.results import VALIDATION_SAMPLE
from ..core.project.store import Project
from . import calls
from .engine.engine import Engine
from .engine.task import Call, Results
from .job import Job
from .messages import Messages
from .requests import PrepareRequest, QuerySettings, RasterChoice
from .steps import Step, do_nothing, reported, when_free
from .tallies import open_tiles, round_name, unanswered, why_nothing_to_learn

__all__ = ["PrepareRequest", "QuerySettings", "RasterChoice", "Workflow"]

SETTINGS_KEY = "query_settings"
# Kinds of errors after which the same step may well succeed: a worker that died, a file that was in use.
WORTH_ANOTHER_TRY = ("engine", "project")


class Workflow(QObject):
    """The steps of the work on the open project.

    Signals: ``finished(title)`` of each step, however it ended; ``round_ready(round_id)`` when
    newly asked tiles can be labelled, suggestions included (also for a validation round asked for by itself);
    ``suggestions_changed``; ``exported(result)`` with the result of the protocol's ``export``.
    """

    finished = pyqtSignal(str)
    suggestions_changed = pyqtSignal()
    round_ready = pyqtSignal(int)
    exported = pyqtSignal(dict)

    def __init__(self, job: Job, engine: Engine, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job = job
        self._engine = engine
        self.messages = messages
        self.suggestions: dict[int, list[tuple[int, float]]] = {}
        self.query_settings = QuerySettings()
        self._step: Step | None = None
        self._new_round: int | None = None
        self._next_round_waits = False
        self._visit = 0  # counts the projects, so that what arrives for an earlier one is recognised
        self._news = {
            "tile": job.tiles_changed,
            "embed": job.embeddings_changed,
            "query": job.rounds_changed,
            "train": job.rounds_changed,
            "predict": job.predictions_changed,
        }
        job.project_changed.connect(self._enter_project)
        job.about_to_close.connect(self._leave_project)
        engine.busy_changed.connect(self._on_busy)

    def unload(self) -> None:
        """Stop listening, and let nothing arrive any more."""
        self._leave_project()
        self._job.project_changed.disconnect(self._enter_project)
        self._job.about_to_close.disconnect(self._leave_project)
        self._engine.busy_changed.disconnect(self._on_busy)

    @when_free
    def prepare(self, request: PrepareRequest) -> None:
        """Cut the rasters into tiles, embed them, and ask for the first tiles unless some are open already."""
        project, settings = self._job.project, self.query_settings
        steps = [calls.tile_call(project, request, choice) for choice in request.rasters]
        steps.append(calls.embed_call(project, request.encoder, settings.device))
        if request.then_query and not open_tiles(project):
            steps += calls.query_calls(project, settings)

        def say(results: Results) -> None:
            asked = calls.asked_in(results)
            waiting = f" {len(asked):,} of them wait for a label." if asked else ""
            self.messages.success(f"{calls.embedded_in(results):,} tiles are ready.{waiting}")

        self._begin(Step("Preparing tiles", steps, lambda: self.prepare(request), say))

    @when_free
    def relocate(self, raster_id: int, path: Path) -> None:
        """Say where a raster is now; the engine refuses a file that is another raster.

        The record gets the new place first, so that the engine compares the file with this raster instead of taking it
        for one more, and gets the old place back if that fails.
        """
        project = self._job.project
        record = next(item for item in project.rasters() if item.raster_id == raster_id)
        project.update_raster(raster_id, path=str(path), path_relative=project.relative_path(path))

        def say(results: Results) -> None:
            if results[0]["rasters"][0]["state"] == "changed":
                self.messages.warn(f"{path.name} differs from what was tiled. Press Prepare to embed its tiles again.")
            else:
                self.messages.success(f"{path.name} was found again.")

        def revert() -> None:
            project.update_raster(raster_id, path=record.path, path_relative=record.path_relative)

        call = calls.relocate_call(project, path)
        self._begin(Step(f"Looking at {path.name}", [call], lambda: self.relocate(raster_id, path), say, revert))

    @when_free
    def query(self, settings: QuerySettings) -> None:
        """Learn from the answers so far and ask for the next tiles; the settings are remembered."""
        self.remember(settings)
        self._begin_round("Asking for tiles", lambda: self.query(settings), self._say_round)

    @reported
    def next_round(self) -> None:
        """The same as :meth:`query` with the remembered settings; waits while the engine does something else."""
        if self._job.is_open:
            self._next_round_waits = self._engine.busy
            if not self._next_round_waits:
                self._begin_round("Preparing the next round", self.next_round, do_nothing)

    @when_free
    def query_validation(self, budget: int) -> None:
        """Ask for tiles of the validation sample."""
        call = calls.validation_call(self._job.project, budget, self.query_settings.seed)
        self._begin(Step("Asking for validation tiles", [call], lambda: self.query_validation(budget)))

    @when_free
    def predict(self) -> None:
        """Give every tile of the project its class or classes."""
        reason = why_nothing_to_learn(self._job.project)
        if reason:
            self.messages.info(reason)
            return

        def say(results: Results) -> None:
            done = results[-1]
            self.messages.success(f"{done['tiles']:,} tiles predicted; learnt from {done['labels']:,} labels.")

        steps = calls.predict_calls(self._job.project, self.query_settings)
        self._begin(Step("Predicting all tiles", steps, self.predict, say))

    @when_free
    def export(self, out: Path, layer: str) -> None:
        """Write ``labels``, ``predictions`` or ``tiles`` to a file, or to a folder of image chips."""

        def say(results: Results) -> None:
            self.messages.success(f"{results[0]['tiles']:,} tiles exported to {out.name}.")
            self.exported.emit(results[0])

        call = calls.export_call(self._job.project, out, layer)
        self._begin(Step(f"Exporting {layer}", [call], lambda: self.export(out, layer), say))

    @reported
    def draw_curve(self, dark: bool, on_done: Callable[[dict[str, Any]], None]) -> None:
        """Let the engine draw the learning curve; ``on_done`` gets the result of the protocol's ``curve``."""
        self._ask_quietly("Drawing the learning curve", calls.curve_call(self._job.project, dark), on_done)

    def remember(self, settings: QuerySettings) -> None:
        """Keep the settings for the next rounds of this project."""
        self.query_settings = settings
        try:
            self._job.project.set_setting(SETTINGS_KEY, settings.to_json())
        except ProjectError as error:
            self.messages.warn(f"The settings of the query are not kept in the project: {error.message}")

    def _begin_round(self, title: str, again: Callable[[], None], say: Callable[[Results], None]) -> None:
        """Train where anything can be learnt, then ask where any tile is left."""
        project, settings = self._job.project, self.query_settings
        steps = calls.train_calls(project, settings)
        if unanswered(project, "pool"):
            steps += calls.query_calls(project, settings)
        else:
            self.messages.info("Every tile has an answer. Predict all tiles and export them, in Results.")
        if steps:
            self._begin(Step(title, steps, again, say))

    @when_free
    def _complete_round(self) -> None:
        """Do what was left of a round whose tiles are chosen."""
        tiles = open_tiles(self._job.project)
        steps = calls.rest_of_round(self._job.project, self.query_settings, lambda _results: tiles)
        if steps:
            self._begin(Step("Completing the round", steps, self._complete_round))

    def _say_round(self, results: Results) -> None:
        asked = calls.asked_in(results)
        if asked and self._new_round is not None:
            name = round_name(self._job.project, self._new_round).capitalize()
            self.messages.success(f"{name}: {len(asked):,} tiles wait for a label.")

    def may_begin(self) -> bool:
        """Whether a step can begin now; if not, the analyst is told why."""
        if not self._job.is_open:
            self.messages.info("No Quadrat project is open.")
            return False
        if self._engine.busy:
            self.messages.info(f"Quadrat is busy: {self._engine.title}. Wait until that is done, or stop it.")
            return False
        return True

    def _begin(self, step: Step) -> None:
        visit = self._visit
        self._step = step
        self._new_round = None

        def end(act: Callable[[], None]) -> None:
            if visit == self._visit:
                self._step = None
                act()
            self.finished.emit(step.title)

        self._engine.start(
            step.title,
            step.calls,
            on_step=lambda index, result: self._publish(visit, step.calls[index].method, result),
            on_done=lambda results: end(lambda: self._succeed(step, results)),
            on_failed=lambda error: end(lambda: self._fail(step, error)),
        )

    def _publish(self, visit: int, method: str, result: dict[str, Any]) -> None:
        """Tell everybody what one call changed; a call that was skipped has an empty result."""
        if visit != self._visit or not result:
            return
        if method == "query" and (self._new_round is None or result["strategy"] != VALIDATION_SAMPLE):
            self._new_round = result["round"]
        if method == "suggest":
            self._take_suggestions(result)
        if method in self._news:
            self._news[method].emit()

    def _succeed(self, step: Step, results: Results) -> None:
        step.say(results)
        self._announce_round()

    @reported
    def _fail(self, step: Step, error: QuadratError) -> None:
        step.revert()
        if isinstance(error, LearningError):
            self.messages.info(f"{error.message} {error.hint}".strip())
        elif error.kind in WORTH_ANOTHER_TRY:
            # A round that is recorded must not be asked for twice.
            again = step.again if self._new_round is None else self._complete_round
            visit = self._visit
            self.messages.error(error, ("Try again", lambda: again() if visit == self._visit else None))
        else:
            self.messages.error(error)
        self._announce_round()

    def _announce_round(self) -> None:
        if self._new_round is not None:
            self.round_ready.emit(self._new_round)

    def _ask_quietly(self, title: str, call: Call, on_done: Callable[[dict[str, Any]], None]) -> None:
        """A call that changes nothing and holds nobody up."""
        visit = self._visit

        def done(results: Results) -> None:
            if visit == self._visit:
                on_done(results[0])

        def failed(error: QuadratError) -> None:
            if visit == self._visit and not isinstance(error, Cancelled):
                self.messages.warn(f"{title} did not work. {error.message} {error.hint}".strip())

        self._engine.start(title, [call], on_done=done, on_failed=failed, quiet=True)

    def _take_suggestions(self, result: dict[str, Any]) -> None:
        for suggestion in result["suggestions"]:
            classes = [(int(class_id), float(probability)) for class_id, probability in suggestion["classes"]]
            self.suggestions[int(suggestion["tile_id"])] = classes
        self.suggestions_changed.emit()

    @reported
    def _enter_project(self) -> None:
        if not self._job.is_open:
            return
        project = self._job.project
        self.query_settings = QuerySettings.from_json(project.setting(SETTINGS_KEY))
        self._say_what_is_missing(project)
        for call in calls.suggest_calls(project, self.query_settings):
            self._ask_quietly("Asking for suggestions", call, self._take_suggestions)

    def _say_what_is_missing(self, project: Project) -> None:
        missing = [record for record in project.rasters() if project.find_raster(record) is None]
        if missing:
            error = ImageryError(
                f"{', '.join(item.name for item in missing[:3])}: the file is not where it was, so its tiles are not "
                "on the map. All labels are there.",
                hint="Say where it is now, in Imagery: Locate…",
                details="\n".join(record.path for record in missing),
            )
            self.messages.error(error)

    @reported
    def _leave_project(self) -> None:
        """Stop what runs for the project; what still arrives is not for the next one."""
        self._visit += 1
        step, self._step = self._step, None
        if step is not None:
            self._engine.stop()
            step.revert()
        self._next_round_waits = False
        self.suggestions = {}
        self.query_settings = QuerySettings()

    @reported
    def _on_busy(self, busy: bool) -> None:
        """Begin the round that waited, unless the step before it has asked for tiles already."""
        if self._next_round_waits and not busy:
            is_asked = bool(open_tiles(self._job.project))
            self._next_round_waits = False
            if not is_asked:
                self.next_round()
