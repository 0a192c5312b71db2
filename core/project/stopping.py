"""When to stop labelling: what the scores and the predictions of the rounds so far say about the next ones.

:func:`advise` is a pure function of that history, so that a simulation can ask it too; :func:`history` reads it from a
project's rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .results import rounds
from .scores import known_interval, main_score, tiles_missing

if TYPE_CHECKING:
    from .store import Project

CALM = 0.95
"""Agreement (Cohen's kappa) from which on the predictions count as unchanged from one round to the next."""
WINDOW = 3
"""Rounds for which they must be."""
AHEAD = 4
"""Rounds for which the score is forecast."""
LITTLE = 0.005
"""A smaller gain of the score over these is not worth their labels."""
WIDE = 0.05
"""Half an interval that is wider than this says too little of the score."""
MANY = 2_000
"""Nobody labels more validation tiles than this, so a larger number is no advice."""

_GOAL = "goal"
_HOW_TO_CHECK = "label tiles of the validation sample (quadrat query --validation, or in QGIS's Query panel)"


@dataclass(frozen=True)
class Checked:
    """What the labels of one round led to.

    labels: learnt from. validation_labels: the score was measured on so many tiles. score: the main one, None without
    validation labels. interval: its 95 % interval. agreement: Cohen's kappa of the predictions with those of the round
    before, None where there is nothing to compare with.
    """

    labels: int
    validation_labels: int
    score: float | None = None
    interval: tuple[float, float] | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Advice:
    """Whether to stop; why, and what makes that doubtful (empty if nothing does), each in a sentence with figures."""

    stop: bool
    reason: str
    warning: str = ""

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        return " ".join(filter(None, ("Stop:" if self.stop else "Go on:", self.reason, self.warning)))


def advise(history: Sequence[Checked], goal: float | None = None) -> Advice:
    """Whether another round is worth its labels.

    Stop if the goal is reached: the lower end of the score's interval is at ``goal`` or above. Or stop if little more
    is to be gained: in each of the last :data:`WINDOW` rounds the predictions agreed with those of the round before
    with a kappa of at least :data:`CALM`, and the next :data:`AHEAD` rounds are expected to raise the score by less
    than :data:`LITTLE`. In all other cases go on, and the reason says why. The expectation is a straight line through
    the scores against the logarithm of the labels, over the second half of the labels, where learning curves are
    nearly straight; so it does not depend on how many labels a round has.

    A score counts as much as the validation tiles on which it was measured, since that sample may grow.

    Agreement alone (Bloodgood and Vijay-Shanker 2009) needs no validation label, but cannot tell a good model from a
    bad one that is sure of itself; scores alone waver with their sample. The constants were chosen on replayed runs.
    How often the advice is right, on these and on others, stands in docs/benchmarks.md under "When to stop". It is a
    guide, no guarantee: also because a class that no query has found yet changes nothing until it is found.

    Args:
        history: the rounds that were trained, oldest first.
        goal: the score to reach, from 0 to 1; None for as good as it gets.
    """
    latest = history[-1] if history else Checked(0, 0)
    if latest.score is None:
        return Advice(
            False, f"no validation tile has an answer yet, so nothing is known of the score; {_HOW_TO_CHECK}."
        )
    warning = _why_vague(latest)
    if goal is not None and latest.interval and latest.interval[0] >= goal:
        reached = f"even the lower end of the interval, {latest.interval[0]:.1%}, reaches the goal of {100 * goal:g}%."
        return Advice(True, reached, warning)
    unsettled = _why_unsettled(history)
    reason = unsettled or _why_settled(history)
    if goal is not None:
        reason += f" {_how_far(latest, goal)}"
    return Advice(not unsettled, reason, warning)


def history(project: Project) -> list[Checked]:
    """The rounds of a project after which the learner was trained, oldest first."""
    mode = project.mode
    trained = [item.metrics for item in rounds(project) if item.metrics.get("labels") is not None]
    return [checked(metrics, mode) for metrics in trained]


def checked(metrics: Mapping[str, Any], mode: str) -> Checked:
    """What the metrics of a trained round say."""
    tiles = metrics.get("validation_labels") or 0
    score = metrics.get(main_score(mode)) if tiles else None
    return Checked(metrics["labels"], tiles, score, known_interval(metrics, mode), metrics.get("agreement"))


def goal_of(project: Project) -> float | None:
    """The score, from 0 to 1, at which the analyst of a project wants to stop; None for none."""
    stored = project.setting(_GOAL)
    return float(stored) if stored else None


def set_goal(project: Project, goal: float | None) -> None:
    """Remember the goal with the project. One transaction."""
    project.set_setting(_GOAL, "" if goal is None else str(check_goal(goal)))


def check_goal(goal: float) -> float:
    """The same goal.

    Raises:
        UsageError: it is no score that can be reached.
    """
    if not 0 < goal < 1:
        raise UsageError(
            f"A goal of {goal:g} cannot be reached for certain.", hint="Give a share between 0 and 1, for example 0.9."
        )
    return goal


def _why_unsettled(history: Sequence[Checked]) -> str:
    """What keeps the rounds so far from being settled; empty if they are."""
    series = _comparable(history)
    if len(series) <= WINDOW:
        return (
            f"too little is known after {_rounds(len(series))} with this encoder, learner and imagery; "
            f"{_rounds(WINDOW + 1)} show a trend."
        )
    calm = _calm(series)
    if calm < CALM:
        return (
            f"the predictions still change; in one of the last {_rounds(WINDOW)} they agreed to {calm:.2f} only, and "
            f"{CALM:.2f} counts as calm."
        )
    gain = _expected_gain(series)
    if gain is None:
        return "too few of these rounds have a score to see where it goes."
    if gain < LITTLE:
        return ""
    return f"the score still rises; another {_rounds(AHEAD)} should bring about {100 * gain:.1f} points."


def _why_settled(history: Sequence[Checked]) -> str:
    series = _comparable(history)
    gain = max(0.0, _expected_gain(series) or 0.0)
    return (
        f"in the last {_rounds(WINDOW)} the predictions agreed to {_calm(series):.2f} or more, and another "
        f"{_rounds(AHEAD)} should bring about {100 * gain:.1f} points."
    )


def _comparable(history: Sequence[Checked]) -> Sequence[Checked]:
    """The latest rounds that can be compared with one another: the first has nothing to compare with."""
    anew = [number for number, item in enumerate(history) if item.agreement is None]
    return history[anew[-1] :] if anew else history


def _calm(series: Sequence[Checked]) -> float:
    return min(item.agreement for item in series[-WINDOW:] if item.agreement is not None)


def _late(series: Sequence[Checked]) -> Sequence[Checked]:
    """The rounds that had at least half of today's labels; but no fewer than the last four (:data:`WINDOW` steps)."""
    half = [item for item in series if 2 * item.labels >= series[-1].labels]
    fewest = series[-WINDOW - 1 :]
    return half if len(half) >= len(fewest) else fewest


def _expected_gain(series: Sequence[Checked]) -> float | None:
    """By how much the score should rise in the next rounds; None if that cannot be told."""
    now = series[-1].labels
    a_round = (now - series[-1 - WINDOW].labels) / WINDOW
    scored = [
        (item.validation_labels, math.log(item.labels), item.score) for item in _late(series) if item.score is not None
    ]
    if len(scored) <= WINDOW or a_round <= 0:
        return None
    mean = sum(tiles * x for tiles, x, _ in scored) / sum(tiles for tiles, _, _ in scored)
    spread = sum(tiles * (x - mean) ** 2 for tiles, x, _ in scored)
    if not spread:
        return None
    slope = sum(tiles * (x - mean) * score for tiles, x, score in scored) / spread
    return slope * math.log1p(AHEAD * a_round / now)


def _how_far(latest: Checked, goal: float) -> str:
    """How far the latest score is from a goal that it does not reach for certain."""
    assert latest.score is not None
    if latest.score <= goal or latest.interval is None:
        return f"The goal of {100 * goal:g}% is not reached: the score is {latest.score:.1%}."
    missing = tiles_missing(latest.interval, latest.validation_labels, latest.score - goal)
    if missing > MANY:
        return f"The score of {latest.score:.1%} is too close to the goal of {100 * goal:g}% to tell if it is reached."
    return (
        f"The score of {latest.score:.1%} is above the goal of {100 * goal:g}%, but the interval is not: about "
        f"{_tens(missing)} more validation labels would tell."
    )


def _why_vague(latest: Checked) -> str:
    """What to do about an interval that is too wide; empty if it is not."""
    missing = 0
    if latest.interval is not None:
        missing = tiles_missing(latest.interval, latest.validation_labels, WIDE)
    if not missing:
        return ""
    about = f"about {_tens(missing)}" if missing <= MANY else f"over {MANY:,}"
    return f"The interval is wide; {about} more validation labels would bring it to ±{100 * WIDE:.0f} points."


def _tens(count: int) -> str:
    return f"{-(-count // 10) * 10:,}"


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
