"""Sections for what the papers show: what clustering and a warm start bring, what a selection costs, their own figures.

The papers' figures come with the reasons why ours differ; none of them is a target.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..evidence import Curve, Series, compare, costs, curves, labels_to
from ..experiments import PUBLISHED, Published
from ..series import runs_of
from .comparisons import fields
from .document import Block, Paragraph, Points, Section, Table
from .learning import labels_in_words
from .material import Material, namer
from .wording import NOTHING, SCORES, interval, percent, points, probability, seconds, whole

_WARM = "(warm=true)"
_CLUSTERING = "+clustering"
_BUDGET_OF_TABLE_1 = 20


def twins(material: Material) -> Section | None:
    """With and without clustering, warm and cold start: differences between lines that differ in nothing else."""
    questions: tuple[tuple[str, Callable[[Series], Series]], ...] = (
        ("With clustering, compared with the function alone", _without_clustering),
        ("Warm start, compared with a cold one", _cold),
    )
    found = [table for title, other in questions for table in _twin_table(material, title, other)]
    return Section("Clustering and warm start", tuple(found)) if found else None


def _twin_table(material: Material, title: str, other: Callable[[Series], Series]) -> Iterator[Table]:
    """A table of all series whose twin was run too, if there are any."""
    rows = []
    several = len(material.groups) > 1
    for field in fields(material):
        measure = material.measure(field.runs)
        present = runs_of(field.results)
        pairs = [(series, twin) for series in present if (twin := other(series)) in present and twin != series]
        found = [compare(field.results, a, b, measure) for a, b in pairs] if measure else []
        rows += [
            (
                f"{each.a.strategy} ({each.a.learner})",
                *([material.pool(each.a.group)] if several else []),
                str(each.a.budget),
                percent(each.mean_a),
                percent(each.mean_b),
                points(each.difference),
                interval(points(each.low), points(each.high)),
                probability(each.p),
            )
            for each in found
        ]
    if rows:
        yield Table(
            f"{title}: mean {material.score} over the labels that {_span_words(material)}. p is not corrected.",
            ("line", *(["pool"] if several else []), "b", "with", "without", "difference", "95 % interval", "p"),
            f"l{'l' * several}rrrrrr",
            tuple(rows),
        )


def _span_words(material: Material) -> str:
    return "the runs share" if material.asked.start is material.asked.end is None else "were asked for"


def _without_clustering(series: Series) -> Series:
    return replace(series, strategy=series.strategy.removesuffix(_CLUSTERING))


def _cold(series: Series) -> Series:
    return replace(series, learner=series.learner.removesuffix(_WARM))


def selection_costs(material: Material) -> Section | None:
    """Seconds of the selection alone, and parameters of the learner (table I of the second paper)."""
    budgets = sorted({line.budget for line in material.lines})
    budget = _BUDGET_OF_TABLE_1 if _BUDGET_OF_TABLE_1 in budgets else budgets[len(budgets) // 2]
    found = costs(material.of(group=material.groups[0], budget=budget))
    known = [cost for cost in found if not math.isnan(cost.seconds)]
    if not known:
        return None
    name = namer([cost.series for cost in known])
    caption = (
        f"Seconds of the selection alone, {budget} tiles: mean and standard deviation over all rounds that the "
        "function chose by itself, without a last round that took what was left of the pool, and the numbers that its "
        "learner learns. Runs made at once slow one another down."
    )
    rows = tuple(
        (name(cost.series), seconds(cost.seconds), seconds(cost.spread), whole(cost.rounds), whole(cost.parameters))
        for cost in sorted(known, key=lambda cost: cost.seconds)
    )
    return Section(
        "What a selection costs", (Table(caption, ("line", "seconds", "±", "rounds", "parameters"), "lrrrr", rows),)
    )


def beside_the_papers(material: Material) -> Section | None:
    """The papers' figures, ours, and why they differ; only for the papers' own experiments."""
    name = "" if material.experiment is None else material.experiment.name
    theirs = [each for each in PUBLISHED if name.startswith(each.experiment)]
    if not theirs:
        return None
    rows = tuple((*_described(each), _published(each), _ours(material, each)) for each in theirs)
    caption = "The paper's figures and ours. Where several lines have that query function: lowest to highest mean."
    reasons = dict.fromkeys(f"{each.source}: {each.caveat}" for each in theirs)
    blocks: tuple[Block, ...] = (
        Table(caption, ("figure", "function", "paper", "ours"), "llrr", rows),
        Paragraph("They cannot be compared as they are:"),
        Points(tuple(reasons)),
    )
    return Section("Beside the paper's figures", blocks)


def _described(each: Published) -> tuple[str, str]:
    what = {
        "labels_to_goal": f"labels to {percent(each.goal)}, {each.group} pool",
        "query_seconds": f"seconds of a selection of {each.budget} tiles",
        "accuracy": f"accuracy with {percent(each.share)} of the labels",
        "micro_f1": f"{SCORES['micro_f1']} with {each.labels} labels",
    }[each.quantity]
    return what, each.strategy


def _ours(material: Material, each: Published) -> str:
    """Of the function of that name and its presets."""
    if each.quantity == "accuracy":
        return _span(each, _of_the_encoder(material, each))
    results = material.of(group=each.group)
    if each.budget is not None:
        results = tuple(result for result in results if result.budget == each.budget)
    # A preset has its name after a colon, parameters are in brackets: `mcfps:paper`, `mcfps(neighbours=5)`.
    matching = [series for series in runs_of(results) if re.split("[:(]", series.strategy)[0] == each.strategy]
    if each.quantity == "labels_to_goal" and each.goal is not None:
        found = [reached for reached in labels_to(results, each.goal) if reached.series in matching]
        name = namer(matching)
        return "; ".join(f"{name(one.series)} {labels_in_words(one)}" for one in found) or NOTHING
    if each.quantity == "query_seconds":
        return _span(each, [cost.seconds for cost in costs(results) if cost.series in matching])
    return _span(each, [value for curve in curves(results) if curve.series in matching for value in _at(each, curve)])


def _of_the_encoder(material: Material, each: Published) -> list[float]:
    """The mean score of the experiment's own encoder at that share of the labels."""
    study = material.findings.get("encoders")
    if study is None or each.share not in study.facts["shares"]:
        return []
    place = study.facts["shares"].index(each.share)
    return [float(np.mean(row["scores"][place])) for row in study.facts["encoders"] if row["name"] == material.encoder]


def _at(each: Published, curve: Curve) -> Iterator[float]:
    """The mean score at that number of labels, linear between rounds, if the curve goes there."""
    if each.labels is not None and len(curve.labels) and curve.labels[0] <= each.labels <= curve.labels[-1]:
        yield float(np.interp(each.labels, curve.labels, curve.mean))


def _published(each: Published) -> str:
    return f"> {_span(each, [each.value])}" if each.at_least else _span(each, [each.value])


def _span(each: Published, values: Sequence[float]) -> str:
    """One number, or the lowest and the highest, in the unit of what was published."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return NOTHING
    show = {"labels_to_goal": whole, "query_seconds": seconds}.get(each.quantity, percent)
    low, high = show(min(known)), show(max(known))
    return low if low == high else interval(low, high)
