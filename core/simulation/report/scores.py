"""Tables of scores: on the way, by the number of labels, and in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..evidence import Curve, Series, curves
from .document import Paragraph, Section, Table
from .material import Material, namer, ranked
from .wording import MULTI_SCORES, NOTHING, SCORES, capital, in_percent, listed, mean_and_spread, whole

_MOST_COLUMNS = 8
ENDED = "A run that ended sooner, at the goal or with its pool, counts with its last score from there on."
"""For the reader, wherever it is so."""


def by_labels(material: Material) -> Section | None:
    """The main score of every line at some numbers of labels, a table for each kind of pool and budget."""
    if material.one_round:
        return None
    budgets = list(dict.fromkeys(line.budget for line in material.lines))
    found = [_table(material, group, budget, len(budgets) > 1) for group in material.groups for budget in budgets]
    tables = [table for table in found if table is not None]
    return Section("Scores by number of labels", tuple(tables)) if tables else None


def _table(material: Material, group: str, budget: int, several: bool) -> Table | None:
    known = {curve.series: curve for curve in curves(material.of(group=group, budget=budget)) if len(curve.labels)}
    if not known:
        return None
    order = [each for line in ranked(material, material.lines) if (each := replace(line, group=group)) in known]
    columns = evenly(np.unique(np.concatenate([curve.labels for curve in known.values()])))
    name = namer(order)
    rows = tuple((name(series), *_cells(known[series], columns)) for series in order)
    words = listed([word for word in (material.pool(group), f"{budget} tiles a round" if several else "") if word])
    ended = f" {ENDED}" if any(curve.ended.any() for curve in known.values()) else ""
    return Table(
        f"{capital(material.score)} in % on the test tiles by labelled tiles{f', {words}' if words else ''}: "
        f"mean ± standard deviation over the runs.{ended}",
        ("line", *map(whole, columns)),
        "l" + "r" * len(columns),
        rows,
    )


def evenly(labels: np.ndarray) -> list[float]:
    """At most eight of some numbers, about as far apart in their order as can be, the first and the last among them."""
    places = np.linspace(0, len(labels) - 1, min(len(labels), _MOST_COLUMNS)).round().astype(int)
    return [float(labels[place]) for place in places]


def _cells(curve: Curve, columns: Sequence[float]) -> list[str]:
    """Of a line that was not scored at some number of labels, nothing is said there."""
    places = {float(labels): place for place, labels in enumerate(curve.labels)}
    return [
        in_percent(curve.mean[places[labels]], curve.spread[places[labels]]) if labels in places else NOTHING
        for labels in columns
    ]


def final(material: Material) -> Section | None:
    """All scores after the last round, mean and standard deviation over the runs."""
    fields = ("accuracy", "macro_f1") if material.mode == "single" else MULTI_SCORES
    tables = [_final_table(material, group, fields) for group in material.groups]
    note = Paragraph("Order: by the mean score over all numbers of labels that the lines share.")
    return Section("Scores in the end", (*tables, note)) if any(table.rows for table in tables) else None


def _final_table(material: Material, group: str, fields: Sequence[str]) -> Table:
    by_field = [{curve.series: curve for curve in curves(material.of(group=group), score=field)} for field in fields]
    order = [replace(line, group=group) for line in ranked(material, material.lines)]
    shown = [series for series in order if series in by_field[0] and len(by_field[0][series].labels)]
    name = namer(order)
    pool = f", {material.pool(group)}" if material.pool(group) else ""
    ended = f" {ENDED}" if any(by_field[0][series].ended.any() for series in shown) else ""
    return Table(
        f"Scores on the test tiles with the last labels{pool}: mean ± standard deviation over the runs.{ended}",
        ("line", "labels", *(SCORES[field] for field in fields), "runs"),
        "l" + "r" * (len(fields) + 2),
        tuple(_final_row(name(series), series, by_field) for series in shown),
    )


def _final_row(name: str, series: Series, by_field: Sequence[dict[Series, Curve]]) -> tuple[str, ...]:
    found = [curves_of[series] for curves_of in by_field]
    scores = [mean_and_spread(each.mean[-1], each.spread[-1]) if len(each.labels) else NOTHING for each in found]
    return name, whole(found[0].labels[-1]), *scores, whole(found[0].count[-1])
