"""The section on suggestions to stop: how often they were right, what they saved, what the intervals are worth."""

from __future__ import annotations

from ..evidence import Stops, stops
from .document import Paragraph, Section, Table
from .material import Material, namer
from .wording import NOTHING, counted, interval, percent, points, whole

_PATIENCE_ROUNDS = 4
_GAIN = 0.01
_SHARED = (
    "All rounds of a run share one validation sample, so its intervals are right or wrong together: the rounds are not "
    "so many independent draws, and the coverage is less sure than their number suggests."
)


def stopping(material: Material) -> Section | None:
    """Only where an accuracy was estimated, or it was suggested to stop."""
    total = stops(material.results, _PATIENCE_ROUNDS, _GAIN, material.goal)
    if not total.stops and not total.intervals:
        return None
    name = namer(material.runs)
    rows = []
    for group in material.groups:
        for series in (each for each in material.runs if each.group == group):
            results = [result for run in material.runs[series] for result in run.rounds]
            where = f" ({material.pool(group)})" if material.pool(group) else ""
            found = stops(results, _PATIENCE_ROUNDS, _GAIN, material.goal)
            rows.append((name(series) + where, *_cells(found, material.goal)))
    goal = ("goal claimed", "rightly") if material.goal is not None else ()
    table = Table(
        f"The first suggestion to stop of each run. Right: the {material.score} on the test tiles did not rise by more "
        f"than {100 * _GAIN:g} point within the next {_PATIENCE_ROUNDS} rounds. Labels saved against the whole run. "
        f"{_goal_words(material)}Coverage: how often the interval of the estimate holds the score on the test tiles.",
        ("line", "runs", "suggested", "judged", "right", "mean rise", "mean labels saved", *goal, "coverage"),
        "l" + "r" * (7 + len(goal)),
        tuple(rows),
    )
    return Section("When to stop", (*map(Paragraph, _said(material, total)), table))


def _goal_words(material: Material) -> str:
    if material.goal is None:
        return ""
    return (
        f"Goal claimed: runs in which the lower end of the interval of the estimate came to {percent(material.goal)}; "
        "rightly: the score on the test tiles was there, too, in the first such round. "
    )


def _said(material: Material, total: Stops) -> list[str]:
    """All runs together."""
    if total.stops:
        said = f"In {len(total.stops)} of {counted(total.runs, 'run')} it was suggested to stop. "
        if total.judged:
            said += (
                f"Of {counted(total.judged, 'suggestion')} that can be judged, {total.right} were right: "
                f"{_share(total.right, total.judged, total.right_interval)}. "
            )
        text = (
            f"{said}They save {whole(total.mean_saved)} labels on average. A suggestion that fewer than "
            f"{_PATIENCE_ROUNDS} rounds follow is not judged: it could only be found wrong."
        )
    else:
        text = f"In none of {counted(total.runs, 'run')} was it suggested to stop."
    found = [text]
    if material.goal is not None and total.intervals:
        found.append(_goals(material.goal, total))
    if total.intervals:
        found.append(
            f"The 95 % interval of the estimate holds the score on the test tiles in {percent(total.coverage)} of "
            f"{counted(total.intervals, 'round')}. {_SHARED}"
        )
    return found


def _goals(goal: float, total: Stops) -> str:
    """How often the estimate was right to say that the goal is reached."""
    if not total.goal_stops:
        return f"In no run did the estimate say for certain that {percent(goal)} are reached."
    count = len(total.goal_stops)
    return (
        f"In {count} of {counted(total.runs, 'run')} the estimate said for certain that {percent(goal)} are reached; "
        f"the score on the test tiles was there, too, in {total.goals_right} of these: "
        f"{_share(total.goals_right, count, total.goals_interval)}."
    )


def _share(right: int, count: int, ends: tuple[float, float] | None) -> str:
    """The share of so many with its interval."""
    said = percent(right / count)
    return said if ends is None else f"{said}, 95 % interval {interval(percent(ends[0]), percent(ends[1]))}"


def _cells(found: Stops, goal: float | None) -> tuple[str, ...]:
    claimed = len(found.goal_stops)
    of_the_goal = (str(claimed), str(found.goals_right) if claimed else NOTHING) if goal is not None else ()
    return (
        str(found.runs),
        str(len(found.stops)),
        str(found.judged),
        str(found.right) if found.judged else NOTHING,
        points(found.mean_rise),
        whole(found.mean_saved),
        *of_the_goal,
        percent(found.coverage),
    )
