"""The summary: what came out, in sentences made from the figures, and no more than these allow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..evidence import Comparison, LabelsTo
from .comparisons import Field, baselines, compared, fields, measured, place_of
from .document import Paragraph, Points, Section
from .material import Material, namer
from .wording import counted, interval, more, percent, points, probability, whole

_SURE = 0.05


def summary(material: Material) -> Section:
    """What came out, in sentences made from the figures."""
    items = [
        sentence
        for baseline in baselines(material)[:1]
        for field in fields(material, all_budgets="budget" in baseline)
        for sentence in _sentences(material, field, baseline)
    ]
    asked = (Paragraph(material.asked.sentence),) if material.asked.sentence else ()
    if not items:
        nothing = Paragraph("There is nothing to compare: results of one line alone, or of no pairs.")
        return Section("Summary", (*asked, nothing))
    return Section("Summary", (*asked, Points(tuple(items))))


def _sentences(material: Material, field: Field, baseline: Mapping[str, Any]) -> Iterator[str]:
    """For every baseline of the field: the best line, and what it saves."""
    found = compared(field, baseline, material.measure(field.runs))
    labels = [] if material.goal is None or material.one_round else compared(field, baseline, LabelsTo(material.goal))
    bases = list(dict.fromkeys(each.b for each in found))
    for base in bases:
        rivals = [each for each in found if each.b == base]
        name = namer([base, *(each.a for each in rivals)])
        best = rivals[0]
        where = place_of(field, base, bases)
        start = f"{where}: " if where else ""
        yield start + _score_sentence(material, best, name(best.a), name(base), len(rivals))
        saved = next((each for each in labels if each.a == best.a and each.b == base), None)
        if saved is not None:
            yield start + _goal_sentence(saved, name(best.a), name(base), material)


def _score_sentence(material: Material, best: Comparison, name: str, rival: str, many: int) -> str:
    lead = "" if many == 1 else f"the best of the {many} others is "
    head = f"{lead}{name} with {percent(best.mean_a)} {measured(material, best)}, {_against(best, rival)}"
    if math.isnan(best.low):
        return f"{head}; {_no_chance(best)}."
    sure = f"{points(best.difference)} points, 95 % interval {interval(points(best.low), points(best.high))}"
    if not best.differs:
        return f"{head}; no difference could be shown ({sure}, {counted(best.pairs, 'pair')})."
    if many > 1 and best.p_holm >= _SURE:
        return (
            f"{head}: {sure}, {counted(best.pairs, 'pair')}; as the best of {many} that is not enough "
            f"(p = {probability(best.p_holm)} after Holm's correction)."
        )
    return f"{head}: {sure}, {counted(best.pairs, 'pair')}."


def _against(best: Comparison, rival: str) -> str:
    """The baseline beside the best of the others, which may be worse than it."""
    if percent(best.mean_a) == percent(best.mean_b):
        return f"as much as {rival}"
    return f"{'above' if best.difference > 0 else 'below'} {rival} with {percent(best.mean_b)}"


def _no_chance(comparison: Comparison) -> str:
    """Why there is no interval."""
    if comparison.pairs == 1:
        return "one pair says nothing of chance"
    return f"all {comparison.pairs} pairs differ by the same, which says nothing of chance"


def _goal_sentence(saved: Comparison, name: str, rival: str, material: Material) -> str:
    goal = f"{percent(material.goal)} {material.score}"
    if saved.censored_a == saved.runs:
        return f"no run of {name} reaches {goal}."
    if saved.censored_a:
        return f"{name} reaches {goal} in {saved.runs - saved.censored_a} of {counted(saved.runs, 'run')}."
    head = f"{name} reaches {goal} with {whole(saved.mean_a)} labels"
    if saved.censored_b == saved.runs:
        return f"{head}, no run of {rival} does within {whole(saved.mean_b - saved.b.budget)}."
    short = f" ({saved.censored_b} of {saved.runs} runs end below, and count for too few)" if saved.censored_b else ""
    head = f"{head}, {rival} with {whole(saved.mean_b)}{short}"
    if math.isnan(saved.low):
        return f"{head}; {_no_chance(saved)}."
    sure = f"{more(saved.difference)} labels, 95 % interval {interval(more(saved.low), more(saved.high))}"
    return f"{head}: {sure}." if saved.differs else f"{head}; no difference could be shown ({sure})."
