"""What a run is judged by: its score at some number of labels, the mean score on the way, or the labels to a goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import UsageError
from .series import Numbers, Run


def crossing(run: Run, goal: float, score: str = "score") -> float | None:
    """The labels at which a run first has ``goal``, linear between rounds; None if it never has."""
    labels, values = run.curve(score)
    there = np.flatnonzero(values >= goal)
    if not len(there):
        return None
    first = int(there[0])
    if first == 0:
        return float(labels[0])
    share = (goal - values[first - 1]) / (values[first] - values[first - 1])
    return float(labels[first - 1] + share * (labels[first] - labels[first - 1]))


class Measure(Protocol):
    """One number of a run, and whether the run ended before it could be seen."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    def of(self, run: Run) -> tuple[float, bool]:
        """The number, and whether it stands for a larger one that is not known.

        Raises:
            UsageError: the run does not go that far.
        """


@dataclass(frozen=True)
class ScoreAt:
    """The score with ``labels`` labels, linear between rounds."""

    labels: float
    score: str = "score"

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"{_word(self.score)} with {self.labels:g} labels"

    def of(self, run: Run) -> tuple[float, bool]:
        """The score."""
        labels, values = _reaching(run, self.score, self.labels, self.labels)
        return float(np.interp(self.labels, labels, values)), False


@dataclass(frozen=True)
class MeanScore:
    """The mean score from ``start`` to ``end`` labels: the area under the learning curve over its width."""

    start: float
    end: float
    score: str = "score"

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"mean {_word(self.score)} from {self.start:g} to {self.end:g} labels"

    def of(self, run: Run) -> tuple[float, bool]:
        """The mean."""
        if not self.start < self.end:
            raise UsageError(
                f"A mean from {self.start:g} to {self.end:g} labels is one over nothing.",
                hint="Begin with fewer labels than you end with.",
            )
        labels, values = _reaching(run, self.score, self.start, self.end)
        inner = labels[(labels > self.start) & (labels < self.end)]
        places = np.concatenate([[self.start], inner, [self.end]])
        area = np.trapezoid(np.interp(places, labels, values), places)
        return float(area / (self.end - self.start)), False


@dataclass(frozen=True)
class LabelsTo:
    """The labels to a score. A run that never has it counts as its last labels and one budget: too few, if anything.

    One that has it with its first labels counts as these: too many, if anything.
    """

    goal: float
    score: str = "score"

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"labels to {_word(self.score)} {self.goal:g}"

    def of(self, run: Run) -> tuple[float, bool]:
        """The labels."""
        labels = crossing(run, self.goal, self.score)
        return (float(run.last_labels + run.series.budget), True) if labels is None else (labels, False)


def _word(score: str) -> str:
    return score.replace("_", " ")


def _reaching(run: Run, score: str, start: float, end: float) -> tuple[Numbers, Numbers]:
    """The curve of a run, if it goes from ``start`` to ``end``."""
    labels, values = run.curve(score)
    if not len(labels) or labels[0] > start or labels[-1] < end:
        has = f"from {labels[0]:g} to {labels[-1]:g} labels" if len(labels) else "nowhere"
        raise UsageError(
            f"The score of {run.name} is known {has}, which is not enough.",
            hint="Ask for fewer labels, or let the runs go on after the goal.",
        )
    return labels, values
