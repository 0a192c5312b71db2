"""Ask for the next tiles: by which function, how many, and how many of the validation sample with them.

Every change is kept in the project at once, because the next round is asked for without this panel.
"""

from __future__ import annotations

from typing import Any

from qgis.gui import QgsCollapsibleGroupBox
from qgis.PyQt.QtCore import QDateTime, QLocale, Qt
from qgis.PyQt.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from ...core.errors import QuadratError
from ...core.project.results import VALIDATION_SAMPLE
from ...core.project.store import Project
from ...core.project.vectors import encoder_of
from ..context import Context
from ..engine.task import Call, Results
from ..requests import QuerySettings
from ..tallies import RoundTally, class_tallies, open_tiles, round_tallies, unanswered, why_nothing_to_learn
from .base import Panel
from .numbers import WholeNumber
from .parameters import ParametersForm
from .readiness import why_not_embedded
from .widgets import ElidedLabel, Note, SteadyComboBox, in_a_row, push_button

MOST_TILES = 2000
DEVICES = {"auto": "Automatic", "cpu": "Processor (CPU)", "cuda": "Graphics card (CUDA)"}
HONEST = "With each round; answered without seeing a suggestion and never learnt from, they give the honest accuracy."


class QueryPanel(Panel):
    """Query function, budget, and what is still open."""

    title = "Query"

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._offers: dict[str, dict[str, Any]] = {}  # by label mode: the engine's answer to `strategies`
        self._asking = False
        self._filling = False
        self._shown: tuple[Any, ...] = ()
        self.strategy = SteadyComboBox()
        self.summary = Note()
        self.budget = WholeNumber(QuerySettings.budget, 1, MOST_TILES)
        self.cold_start = Note()
        self.ask_button = push_button("Ask for tiles", self._ask)
        self.ask_button.setDefault(True)
        self.state = Note()
        self.list_note = Note()
        self.list_button = push_button("Load the list again", self._load_offers)
        self.sample_note = Note()
        self.sample_button = push_button("Label validation tiles", self._ask_sample)
        self._lay_out()
        self.strategy.activated.connect(self._choose_strategy)
        self.budget.valueChanged.connect(self._remember)

    def blocked(self) -> str:
        """Tiles can be asked for as soon as they are embedded."""
        return why_not_embedded(self.context.job.stage)

    def next_step(self) -> str:
        """Label what is open, or ask."""
        if self.blocked():
            return ""
        n_open = len(open_tiles(self.context.job.project))
        if n_open:
            return f"{_tiles(n_open)} of the latest round wait for a label: go on in Label, or ask for others here."
        return "Choose how many tiles to label next, then press Ask for tiles."

    def show_state(self) -> None:
        """Bring fields, sentences and buttons up to date."""
        project = self.context.job.project
        if not self._offers.get(project.mode) and not self._asking and not self.list_note.said:
            self._load_offers()
        settings = self.context.workflow.query_settings
        if self._shown != (project.path, settings):
            self._show_settings(settings)
        self.state.say(_last_round(round_tallies(project)))
        reason = why_nothing_to_learn(project) if self._waits(project) else ""
        self.cold_start.say(f"{reason} Until then, typical tiles of every kind are chosen." if reason else "")
        self._show_buttons(project)
        self.encoder.say(_encoder(project))

    def _waits(self, project: Project) -> bool:
        """Whether the chosen function cannot do without what only labels bring."""
        needs = self._offer().get("needs", ["predictions"])
        labels = any(tally.labelled for tally in class_tallies(project))
        return "predictions" in needs or ("labels" in needs and not labels)

    def settings(self) -> QuerySettings:
        """What the fields say."""
        return QuerySettings(
            strategy=self.strategy.currentData(),
            budget=self.budget.value(),
            parameters=self.parameters.values() if self._offer() else dict(self._kept().parameters),
            validation_budget=self.sample_share.value(),
            seed=self.seed.value(),
            device=self.device.currentData(),
            learner=self.learner.currentData() or "",
        )

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Query function", self.strategy)
        form.addRow(self.summary)
        form.addRow("Tiles a round", self.budget)
        self.list_button.hide()
        for widget in (self.list_note, self.list_button):
            form.addRow(widget)
        self.form.addLayout(form)
        for widget in (self.ask_button, self.cold_start, self.state, self.sample_note):
            self.form.addWidget(widget)
        self.form.addLayout(in_a_row(self.sample_button))
        self.form.addWidget(self._advanced())
        self.form.addStretch(1)

    def _advanced(self) -> QgsCollapsibleGroupBox:
        self.sample_share = WholeNumber(QuerySettings.validation_budget, 0, MOST_TILES)
        self.seed = WholeNumber(QuerySettings.seed, 0)
        self.seed.setToolTip("The same seed asks for the same tiles.")
        self.device = SteadyComboBox()
        self.device.setSizeAdjustPolicy(SteadyComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for name, text in DEVICES.items():
            self.device.addItem(text, name)
        self.learner = SteadyComboBox()
        self.learner.setSizeAdjustPolicy(SteadyComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.learner.activated.connect(self._remember)
        self.encoder = ElidedLabel()
        self.sample_share.valueChanged.connect(self._remember)
        self.seed.valueChanged.connect(self._remember)
        self.device.activated.connect(self._remember)
        self.advanced = QgsCollapsibleGroupBox("Advanced")
        # One widget with everything: a collapsed box hides what it has, not the fields that it gets afterwards.
        fields = QWidget()
        whole = QVBoxLayout(self.advanced)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(fields)
        form = QFormLayout(fields)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.parameters = ParametersForm(form, self)
        self.parameters.edited.connect(self._remember)
        form.addRow("Learner", self.learner)
        form.addRow("Validation tiles", self.sample_share)
        form.addRow(Note(HONEST))
        form.addRow("Seed", self.seed)
        form.addRow("Device", self.device)
        form.addRow("Encoder", self.encoder)
        self.advanced.setCollapsed(True)
        return self.advanced

    def _kept(self) -> QuerySettings:
        return self.context.workflow.query_settings

    def _load_offers(self) -> None:
        """Ask the engine which query functions there are for this label mode."""
        mode = self.context.job.project.mode
        self._asking = True
        self.list_note.say("")
        self.list_button.hide()

        def done(results: Results) -> None:
            self._asking = False
            self._offers[mode] = {
                **results[0],
                "learners": results[1]["learners"],
                "default_learner": results[1]["default"],
            }
            self._shown = ()
            self.refresh()

        def failed(error: QuadratError) -> None:
            self._asking = False
            self.list_note.say(f"The list of query functions did not come. {error.message} {error.hint}".strip())
            self.list_button.show()

        calls = [Call("strategies", {"mode": mode}), Call("learners", {"mode": mode})]
        self.context.engine.start("Query functions", calls, on_done=done, on_failed=failed, quiet=True)

    def _show_settings(self, settings: QuerySettings) -> None:
        self._filling = True
        self._fill_strategies(settings.strategy)
        self._show_strategy(settings)
        self.budget.setValue(settings.budget)
        self.sample_share.setValue(settings.validation_budget)
        self.seed.setValue(settings.seed)
        self.device.setCurrentIndex(max(self.device.findData(settings.device), 0))
        self._shown = (self.context.job.project.path, settings)
        self._filling = False
        if self._offer() and self.strategy.currentData() != settings.strategy:
            self._remember()  # the next round must not ask a function that is not there

    def _fill_strategies(self, chosen: str) -> None:
        offers = self._offers.get(self.context.job.project.mode, {})
        default = offers.get("default")
        names = [item["name"] for item in offers.get("strategies", ())]
        self.strategy.clear()
        for name in sorted(names or [chosen], key=lambda name: name != default):
            self.strategy.addItem(f"{name} (recommended)" if name == default else name or "recommended", name)
        for index in range(self.strategy.count()):
            offer = self._offer(self.strategy.itemData(index))
            self.strategy.setItemData(index, _about(offer), Qt.ItemDataRole.ToolTipRole)
        # A function that this version does not know gives way to the recommended one.
        self.strategy.setCurrentIndex(max(self.strategy.findData(chosen), 0))

    def _fill_learners(self, chosen: str) -> None:
        mode = self.context.job.project.mode
        offers = self._offers.get(mode, {}).get("learners", ())
        usual = self._offer().get("learner") or self._offers.get(mode, {}).get("default_learner", "")
        self.learner.clear()
        self.learner.addItem(f"{usual} (default)" if usual else "default", "")
        for offer in offers or ([{"name": chosen}] if chosen else []):
            self.learner.addItem(offer["name"], offer["name"])
            self.learner.setItemData(self.learner.count() - 1, _about(offer), Qt.ItemDataRole.ToolTipRole)
        self.learner.setCurrentIndex(max(self.learner.findData(chosen), 0))

    def _offer(self, name: str = "") -> dict[str, Any]:
        """What there is to know of a query function, or of the chosen one; empty until the list has come."""
        name = name or self.strategy.currentData()
        offers = self._offers.get(self.context.job.project.mode, {}).get("strategies", ())
        return next((item for item in offers if item["name"] == name), {})

    def _show_strategy(self, settings: QuerySettings) -> None:
        offer = self._offer()
        self._fill_learners(settings.learner)
        self.summary.say(offer.get("summary", ""))
        self.strategy.setToolTip(_about(offer))
        self.parameters.show_parameters(offer.get("parameters", {}), settings.parameters)

    def _choose_strategy(self, _index: int) -> None:
        """Another function has other parameters, so it starts with its defaults."""
        self._show_strategy(QuerySettings(learner=self.learner.currentData() or ""))
        self._remember()

    def _remember(self, *_value: object) -> None:
        job = self.context.job
        # A field that was being edited tells its value when it loses the focus, perhaps after its project has gone.
        if self._filling or not job.is_open or self._shown[:1] != (job.project.path,):
            return
        settings = self.settings()
        self._shown = (job.project.path, settings)
        self.context.workflow.remember(settings)

    def _show_buttons(self, project: Project) -> None:
        busy = self.context.engine.busy
        left, sample = unanswered(project, "pool"), unanswered(project, "validation")
        sample_open = len(open_tiles(project, validation=True))
        self.ask_button.setEnabled(bool(left) and not busy)
        self.ask_button.setToolTip(
            f"Quadrat is busy: {self.context.engine.title}." if busy else "" if left else "Every tile has an answer."
        )
        self.sample_button.setEnabled(bool(sample) and not busy)
        self.sample_button.setText(f"Label {min(sample, self.budget.value()):,} validation tiles")
        self.sample_button.setVisible(bool(sample))
        waiting = f" {sample_open:,} of them were asked for and wait." if sample_open else ""
        self.sample_note.say(
            f"{_tiles(sample)} of the validation sample have no answer yet.{waiting}" if sample else ""
        )

    def _ask(self) -> None:
        self.context.workflow.query(self.settings())

    def _ask_sample(self) -> None:
        self.context.workflow.query_validation(self.budget.value())


def _tiles(count: int) -> str:
    return "1 tile" if count == 1 else f"{count:,} tiles"


def _about(offer: dict[str, Any]) -> str:
    return "\n".join(filter(None, (offer.get("summary"), offer.get("source")))) if offer else ""


def _encoder(project: Project) -> str:
    encoder = encoder_of(project)
    return encoder.name if encoder else ""


def _last_round(tallies: list[RoundTally]) -> str:
    """What the latest query round did."""
    asked = [tally for tally in tallies if tally.record.strategy != VALIDATION_SAMPLE]
    if not asked:
        return "No tile has been asked for yet."
    last = asked[-1]
    chosen_by = last.record.metrics.get("chosen_by", last.record.strategy)
    instead = f" in place of {last.record.strategy}" if chosen_by != last.record.strategy else ""
    moment = QDateTime.fromString(last.record.created_at, Qt.DateFormat.ISODateWithMs).toLocalTime()
    when = QLocale().toString(moment, QLocale.FormatType.ShortFormat)
    return f"Round {last.number}: {_tiles(last.tiles)} by {chosen_by}{instead}, {when}; {last.answered} answered."
