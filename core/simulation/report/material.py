"""What a report has to go on: the rounds, the record and the studies of one folder, and how to call its series.

A *line* here is a series whatever its pool: the same query function and learner, balanced and unbalanced. A name says
what tells a line from the others that are shown with it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError, nearest
from ...project.scores import main_score
from ..evidence import MeanScore, Measure, ScoreAt, Series
from ..experiments import EXPERIMENTS, Experiment, Findings, read_findings
from ..plan import RoundResult
from ..record import read_record
from ..results import read_results
from ..series import Run, runs_of
from .wording import SCORES

GROUPS = ("balanced", "unbalanced")
_POOLS = {"balanced": "whole pool", "unbalanced": "unbalanced pools"}
RANDOM = "random"
Namer = Callable[[Series], str]


@dataclass(frozen=True)
class Asked:
    """What somebody wants compared in place of what a report compares by itself; None leaves that as it is.

    baseline: the query function that the others are compared with. start, end: from which to which number of labels
    mean scores are taken.
    """

    baseline: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def sentence(self) -> str:
        """All of it, for the reader of the report; empty if nothing was asked for."""
        ends = [f"{word} {labels:g}" for word, labels in (("from", self.start), ("to", self.end)) if labels is not None]
        parts = [f"the baseline is {self.baseline}"] if self.baseline is not None else []
        parts += [f"mean scores are taken {' '.join(ends)} labels"] if ends else []
        return f"As asked for when this report was made, {' and '.join(parts)}." if parts else ""


AS_USUAL = Asked()


@dataclass(frozen=True)
class Material:
    """The results of one folder; ``number`` is its place among those of the report, from 1."""

    results: tuple[RoundResult, ...]
    record: Mapping[str, Any]
    findings: Mapping[str, Findings]
    number: int = 1
    asked: Asked = AS_USUAL

    @property
    def dataset(self) -> str:
        """Its name."""
        return str(self.record["dataset"]["name"])

    @property
    def encoder(self) -> str:
        """Whose vectors were learnt from."""
        return str(self.record["vectors"]["encoder"])

    @property
    def mode(self) -> str:
        """``single`` or ``multi``."""
        return str(self.record["dataset"]["mode"])

    @property
    def score(self) -> str:
        """The main score in words."""
        return SCORES[main_score(self.mode)]

    @cached_property
    def experiment(self) -> Experiment | None:
        """The named experiment that this is; None if its runs were put together by hand."""
        name = self.record.get("experiment")
        return EXPERIMENTS.find(name) if name in EXPERIMENTS.names() else None

    @property
    def goal(self) -> float | None:
        """The score to which labels are counted."""
        goal = self.record.get("goal")
        if goal is None and self.experiment is not None:
            goal = self.experiment.defaults.goal
        return None if goal is None else float(goal)

    @cached_property
    def runs(self) -> dict[Series, list[Run]]:
        """All runs by series."""
        return runs_of(self.results)

    @property
    def groups(self) -> tuple[str, ...]:
        """Kinds of pools."""
        return tuple(group for group in GROUPS if any(series.group == group for series in self.runs))

    @property
    def lines(self) -> tuple[Series, ...]:
        """Series whatever their pool: their ``group`` is empty."""
        return tuple(dict.fromkeys(replace(series, group="") for series in self.runs))

    @property
    def one_round(self) -> bool:
        """Whether no run has a curve, because there is one score in it."""
        return all(len(run.curve()[0]) < 2 for runs in self.runs.values() for run in runs)

    def pool(self, group: str) -> str:
        """What to call a kind of pool; empty where there is one alone, which needs no name."""
        return _POOLS[group] if len(self.groups) > 1 else ""

    def measure(self, runs: Sequence[Run]) -> Measure | None:
        """What to judge these runs by: the mean score over the labels asked for, else as :func:`score_measure`.

        Raises:
            UsageError: there is nothing between the ends that were asked for.
        """
        if self.asked.start is None and self.asked.end is None:
            return score_measure(runs)
        span = common_span(runs)
        if span is None:
            return None
        start = span[0] if self.asked.start is None else self.asked.start
        end = span[1] if self.asked.end is None else self.asked.end
        if not span[0] <= start < end <= span[1]:
            raise UsageError(
                f"Mean scores from {start:g} to {end:g} labels cannot be compared on {self.dataset}.",
                hint=_span_hint(*span),
            )
        return MeanScore(start, end)

    def of(self, **wanted: Any) -> tuple[RoundResult, ...]:
        """The rounds of the series with these values."""
        found = (
            run.rounds
            for series, runs in self.runs.items()
            if all(getattr(series, key) == value for key, value in wanted.items())
            for run in runs
        )
        return tuple(result for rounds in found for result in rounds)

    def file(self, name: str) -> str:
        """The name of a picture's file, which no other folder of the report has."""
        return f"part{self.number}-{name}"


def _span_hint(first: float, last: float) -> str:
    """What to ask for where all runs have scores from the first to the last number of labels."""
    if first == last:
        return f"All runs have a score with {first:g} labels only; let them go on after the goal to compare more."
    return (
        f"All runs that are compared have scores from {first:g} to {last:g} labels: choose --from and --to between "
        "these, the first below the second."
    )


def read_material(folder: Path, number: int = 1, asked: Asked = AS_USUAL) -> Material:
    """All that a folder holds.

    Raises:
        UsageError: there are no results, they are damaged, or none are of the baseline that was asked for.
    """
    record = read_record(folder)
    studies = {study.name for experiment in EXPERIMENTS.entries() for study in experiment.studies}
    found = {name: read_findings(folder, name) for name in sorted(studies)}
    results = tuple(read_results(folder))
    strategies = sorted({result.strategy for result in results})
    if asked.baseline is not None and asked.baseline not in strategies:
        raise UsageError(
            f"There are no results of {asked.baseline!r} in {folder.name} to compare with.",
            hint=nearest(asked.baseline, strategies) if strategies else "Make the runs first: quadrat simulate.",
        )
    return Material(results, record, {name: each for name, each in found.items() if each is not None}, number, asked)


def namer(series: Iterable[Series]) -> Namer:
    """How to call these series apart: by query function, and by whatever differs between two of the same function."""
    series = list(series)
    fields = [
        field
        for field in ("learner", "budget", "initial", "initial_by")
        if len({(each.strategy, getattr(each, field)) for each in series}) > len({each.strategy for each in series})
    ]
    several = len({each.strategy for each in series}) > 1

    def name(each: Series) -> str:
        parts = {
            "learner": each.learner,
            "budget": f"b = {each.budget}",
            "initial": f"{each.initial} at first",
            "initial_by": f"begun by {each.initial_by}",
        }
        details = ", ".join(parts[field] for field in fields)
        if not details:
            return each.strategy
        return f"{each.strategy} ({details})" if several else details

    return name


def common_span(runs: Iterable[Run]) -> tuple[float, float] | None:
    """From which to which number of labels all runs have a score; None if one has none, or there is no such number."""
    labels = [run.curve()[0] for run in runs]
    if not labels or not all(map(len, labels)):
        return None
    start, end = max(float(each[0]) for each in labels), min(float(each[-1]) for each in labels)
    return (start, end) if start <= end else None


def score_measure(runs: Iterable[Run], score: str = "score") -> Measure | None:
    """What to judge these runs by: the mean score over all numbers of labels that they share, or at the only one."""
    span = common_span(runs)
    if span is None:
        return None
    return MeanScore(*span, score) if span[0] < span[1] else ScoreAt(span[0], score)


def ranked(material: Material, lines: Sequence[Series]) -> list[Series]:
    """Lines by their mean score over what all of them share, the best first; those without a score last."""
    runs = {
        line: [run for group in material.groups for run in material.runs.get(replace(line, group=group), ())]
        for line in lines
    }
    measure = score_measure([run for each in runs.values() for run in each if len(run.curve()[0])])

    def worth(line: Series) -> float:
        scored = [run for run in runs[line] if len(run.curve()[0])]
        if not scored:
            return -np.inf
        return float(np.mean([measure.of(run)[0] if measure else run.curve()[1][-1] for run in scored]))

    return sorted(lines, key=lambda line: (-worth(line), line.strategy, line.learner, line.budget))
