"""What the labels led to: learning curve, counts, rounds; the map of all tiles, and the export."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qgis.core import QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import QEvent, QUrl
from qgis.PyQt.QtGui import QDesktopServices, QPalette
from qgis.PyQt.QtWidgets import QFileDialog, QLabel, QWidget

from ...core.errors import ProjectError
from ...core.paths import is_folder
from ...core.project.stopping import goal_of, set_goal
from ..context import Context
from ..steps import reported
from ..tallies import (
    ClassTally,
    RoundTally,
    advice_in_words,
    class_tallies,
    round_tallies,
    score_in_words,
    why_nothing_to_learn,
)
from .base import Panel
from .class_table import swatch
from .export_dialog import ExportDialog
from .numbers import WholeNumber
from .picture import Picture
from .readiness import why_not_embedded
from .tables import ReadTable
from .widgets import Note, in_a_row, push_button

NO_SCORE = (
    "No validation tile has an answer yet, so nothing can be said of the accuracy. Label some of the validation sample "
    "(in Query), then ask for the next round."
)
AIM = "The accuracy (micro-F1 with several classes a tile) that is enough. Kept in the project."
ROUND_HEADERS = ("#", "Function", "Done", "Labels", "Score", "s")
ROUND_FACTS = ("round", "round_id", "function", "created_at", "seed", "encoder", "budget", "tiles", "answered")
ROUND_TIPS = (
    "Round; those of the validation sample are not counted",
    "Query function that was asked for",
    "Answered tiles / tiles asked for",
    "Labels that the model learnt from after the round",
    "On the labelled validation tiles",
    "Seconds for choosing the tiles and for learning from them",
)


class ResultsPanel(Panel):
    """Everything is read from the project when the panel is shown; only the curve is drawn by the engine."""

    title = "Results"

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._drawn: tuple[Any, ...] = ()
        self._aiming: Path | None = None  # the project whose goal is shown
        self._exported: dict[str, Any] = {}
        self.curve = Picture()
        self.score = Note()
        self.advice = Note()
        self.goal = WholeNumber(0, 0, 99)
        self.goal.setSpecialValueText("no goal")
        self.goal.setSuffix(" %")
        self.goal.setToolTip(AIM)
        self.goal.valueChanged.connect(self._set_goal)
        self.classes = ReadTable(("Class", "Labelled", "Predicted"), stretched=0)
        self.rounds = ReadTable(ROUND_HEADERS, stretched=1)
        for number, text in enumerate(ROUND_TIPS):
            self.rounds.horizontalHeaderItem(number).setToolTip(text)
        self.predict_button = push_button("Predict all tiles", context.workflow.predict)
        self.export_button = push_button("Export…", self._export)
        self.why_not = Note()
        self.exported_note = Note()
        self.add_button = push_button("Add to map", self._add_to_map)
        self.folder_button = push_button("Open folder", self._open_folder)
        self.table_button = push_button("Export this table…", self._export_table)
        for widget in (self.score, self.advice):
            self.form.addWidget(widget)
        self.form.addLayout(in_a_row(QLabel("Aim for"), self.goal))
        self.form.addWidget(self.curve)
        self.form.addLayout(in_a_row(self.predict_button, self.export_button))
        for widget in (self.why_not, self.exported_note):
            self.form.addWidget(widget)
        self.form.addLayout(in_a_row(self.add_button, self.folder_button))
        for heading, table in (("Classes", self.classes), ("Rounds", self.rounds)):
            self.form.addWidget(_heading(heading))
            self.form.addWidget(table)
        self.form.addLayout(in_a_row(self.table_button))
        self.form.addStretch(1)
        self._show_export({})
        context.workflow.exported.connect(self._show_export)
        context.job.project_changed.connect(self._forget)

    def unload(self) -> None:
        """Stop listening."""
        self.context.workflow.exported.disconnect(self._show_export)
        self.context.job.project_changed.disconnect(self._forget)
        self.goal.clearFocus()  # QGIS crashes if a number is destroyed while it is being typed

    def blocked(self) -> str:
        """There are results as soon as tiles can be asked for."""
        return why_not_embedded(self.context.job.stage)

    def show_state(self) -> None:
        """Bring tables, sentences, buttons and the picture up to date."""
        project = self.context.job.project
        tallies, classes = round_tallies(project), class_tallies(project)
        self.score.say(score_in_words(project, tallies) or NO_SCORE)
        self.advice.say(advice_in_words(project))
        self._show_goal(project.path, goal_of(project))
        icons = [swatch(item.colour) for item in classes]
        self.classes.show_rows([(c.name, f"{c.labelled:,}", f"{c.predicted:,}") for c in classes], icons)
        self.rounds.show_rows([_round_row(tally) for tally in tallies])
        self.table_button.setEnabled(bool(tallies))
        self._show_buttons(classes)
        self._draw_curve(tallies)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the curve again for a theme that is dark instead of light."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.isVisible():
            self.refresh()

    def _show_buttons(self, classes: Sequence[ClassTally]) -> None:
        reason = why_nothing_to_learn(self.context.job.project)
        busy = self.context.engine.busy
        self.predict_button.setEnabled(not reason and not busy)
        self.export_button.setEnabled(not busy)
        advice = f"{reason} All tiles can be predicted afterwards." if reason else ""
        if not reason and not any(item.predicted for item in classes):
            advice = "Predict all tiles to see the map of classes and of the model's uncertainty."
        self.why_not.say(advice)

    def _draw_curve(self, tallies: Sequence[RoundTally]) -> None:
        """Ask for a new picture if the scores or the theme are others than those of the picture that is shown.

        While the engine works the picture waits, because drawing would hold up the next round.
        """
        project = self.context.job.project
        scored = tuple((t.record.round_id, t.labels, t.score) for t in tallies if t.validation_labels)
        dark = self.palette().color(QPalette.ColorRole.Window).lightness() < 128
        wanted = (project.path, scored, dark)
        self.curve.setVisible(bool(scored))
        if not scored or wanted == self._drawn or self.context.engine.busy:
            return
        self._drawn = wanted

        def show(result: dict[str, Any]) -> None:
            if self._drawn == wanted and result["path"]:
                self.curve.show_file(result["path"])
                score = result["score_name"].replace("_", " ").capitalize()
                self.curve.setToolTip(f"{score} on the validation sample, by number of labels")

        self.context.workflow.draw_curve(dark, show)

    def _show_goal(self, project: Path, goal: float | None) -> None:
        percent = round(100 * (goal or 0.0))
        self._aiming = project
        if self.goal.value() != percent:  # else what is being typed there would be lost
            self.goal.blockSignals(True)
            self.goal.setValue(percent)
            self.goal.blockSignals(False)

    @reported
    def _set_goal(self, percent: int) -> None:
        # A field that was being edited tells its value when it loses the focus, perhaps after its project has gone.
        job = self.context.job
        if job.is_open and job.project.path == self._aiming:
            set_goal(job.project, percent / 100 if percent else None)
            self.refresh()

    @reported
    def _export(self) -> None:
        project = self.context.job.project
        counts = project.counts()
        missing = {}
        if not any(counts[kind] for kind in ("labelled", "none", "skipped", "unsure")):
            missing["labels"] = "No tile has an answer yet. Label some first."
        if not any(item.predicted for item in class_tallies(project)):
            missing["predictions"] = "There are no predictions yet. Predict all tiles first."
        dialog = ExportDialog(project.path.parent, project.path.stem, missing, self)
        if dialog.exec():
            self._show_export({})
            self.context.workflow.export(*dialog.chosen())

    def _forget(self) -> None:
        """Another project has other exports and another curve."""
        self._drawn = ()
        self.curve.show_file("")
        self._show_export({})

    def _show_export(self, result: dict[str, Any]) -> None:
        self._exported = result
        path = Path(result.get("path", ""))
        self.exported_note.say(f"{result['tiles']:,} tiles ({result['layer']}) are in {path}." if result else "")
        self.add_button.setVisible(bool(result) and bool(path.suffix))
        self.folder_button.setVisible(bool(result))

    def _add_to_map(self) -> None:
        path = Path(self._exported["path"])
        layer = QgsVectorLayer(str(path), path.stem, "ogr")
        if layer.isValid():
            QgsProject.instance().addMapLayer(layer)
        else:
            kind = path.suffix.lstrip(".")
            self.context.messages.warn(f"This QGIS cannot read {kind} files. Open {path.name} with another program.")

    def _open_folder(self) -> None:
        path = Path(self._exported["path"])
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(path if is_folder(path) else path.parent)))

    @reported
    def _export_table(self) -> None:
        project = self.context.job.project
        start = str(project.path.with_name(f"{project.path.stem}_rounds.csv"))
        path, _ = QFileDialog.getSaveFileName(self, "Export the rounds", start, "CSV (*.csv)")
        if not path:
            return
        try:
            write_rounds(Path(path), round_tallies(project))
        except OSError as error:
            hint = "Choose another folder, or close the file where it is open."
            self.context.messages.error(ProjectError("The table could not be written.", hint=hint, details=str(error)))
        else:
            self.context.messages.success(f"The table of rounds is in {path}.")


def write_rounds(path: Path, tallies: Sequence[RoundTally]) -> None:
    """The rounds as CSV, with everything that is known of each.

    Raises:
        OSError: the file cannot be written.
    """
    names = sorted(
        {name for t in tallies for name, value in t.record.metrics.items() if not isinstance(value, (list, dict))}
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*ROUND_FACTS, *names])
        for t in tallies:
            r = t.record
            facts = [t.number, r.round_id, r.strategy, r.created_at, r.seed, r.encoder, r.budget, t.tiles, t.answered]
            writer.writerow([*facts, *(r.metrics.get(name) for name in names)])


def _round_row(tally: RoundTally) -> tuple[str, ...]:
    return (
        "" if tally.number is None else str(tally.number),
        tally.record.strategy,
        f"{tally.answered}/{tally.tiles}",
        "" if tally.labels is None else str(tally.labels),
        "" if tally.score is None else f"{tally.score:.3f}",
        "" if tally.seconds is None else f"{tally.seconds:.1f}",
    )


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label
