"""The section on suggestions to stop: how often they were right, what they saved, what the intervals are worth."""

from __future__ import annotations

import numpy as np

from ..evidence import Stops, stops
from .document import Paragraph, Section, Table
from .material import Material, namer
from .wording import NOTHING, counted, percent, points, whole

_PATIENCE_ROUNDS = 4
_GAIN = 0.01


def stopping(material: Material) -> Section | None:
    """Only where an accuracy was estimated, or it was suggested to stop."""
    total = stops(material.results, _PATIENCE_ROUNDS, _GAIN)
    if not total.stops and not total.intervals:
        return None
    name = namer(material.runs)
    rows = []
    for group in material.groups:
        for series in (each for each in material.runs if each.group == group):
            found = stops([r for run in material.runs[series] for r in run.rounds], _PATIENCE_ROUNDS, _GAIN)
            where = f" ({group} pool)" if len(material.groups) > 1 else ""
            rows.append((name(series) + where, *_cells(found)))
    table = Table(
        f"The first suggestion to stop of each run. Right: the {material.score} on the test tiles did not rise by more "
        f"than {100 * _GAIN:g} point within the next {_PATIENCE_ROUNDS} rounds. Labels saved against the whole run. "
        "Coverage: how often the interval of the estimate holds the score on the test tiles.",
        ("", "runs", "suggested", "judged", "right", "mean rise", "mean labels saved", "coverage"),
        "lrrrrrrr",
        tuple(rows),
    )
    return Section("When to stop", (Paragraph(_said(total)), table))


def _said(total: Stops) -> str:
    """All runs together."""
    if total.stops:
        known = f"of {counted(total.judged, 'suggestion')} that can be judged, {total.right} were right"
        text = (
            f"In {len(total.stops)} of {counted(total.runs, 'run')} it was suggested to stop; {known}. They save "
            f"{whole(total.mean_saved)} labels on average. A suggestion that fewer than {_PATIENCE_ROUNDS} rounds "
            "follow can be seen to be wrong, but not to be right."
        )
    else:
        text = f"In none of {counted(total.runs, 'run')} was it suggested to stop."
    if not total.intervals:
        return text
    return (
        f"{text} The 95 % interval of the estimate holds the score on the test tiles in {percent(total.coverage)} of "
        f"{counted(total.intervals, 'round')}."
    )


def _cells(found: Stops) -> tuple[str, ...]:
    rises = [stop.rise for stop in found.stops if not np.isnan(stop.rise)]
    return (
        str(found.runs),
        str(len(found.stops)),
        str(found.judged),
        str(found.right) if found.judged else NOTHING,
        points(float(np.mean(rises))) if rises else NOTHING,
        whole(found.mean_saved),
        percent(found.coverage),
    )
