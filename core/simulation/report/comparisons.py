"""Every line against a baseline, in pairs, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...catalogue import label_mode
from ...defaults import default_strategy
from ..evidence import Comparison, LabelsTo, Measure, Series, ranking
from ..plan import RoundResult
from ..series import Run, runs_of
from .document import Block, Paragraph, Picture, Section, Table
from .figures import Bar, draw_points
from .material import RANDOM, Material, namer
from .wording import NOTHING, capital, counted, interval, listed, more, percent, points, probability, whole


@dataclass(frozen=True)
class Field:
    """Results that can be compared: of one kind of pool and, unless budgets are what is compared, of one budget.

    results: of all variants and seeds that are compared. left_out: series of which some of these runs are missing.
    """

    title: str
    results: tuple[RoundResult, ...]
    left_out: tuple[Series, ...]

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [run for runs in runs_of(self.results).values() for run in runs]


def fields(material: Material, *, all_budgets: bool = False) -> list[Field]:
    """The results apart by pool and budget."""
    budgets = [None] if all_budgets else list(dict.fromkeys(line.budget for line in material.lines))
    found = []
    for group in material.groups:
        for budget in budgets:
            wanted = {"group": group} if budget is None else {"group": group, "budget": budget}
            results = material.of(**wanted)
            if results:
                words = [material.pool(group)] if material.pool(group) else []
                words += [f"{budget} tiles a round"] if budget and len(budgets) > 1 else []
                found.append(_field(", ".join(words), results))
    return found


def _field(title: str, results: Sequence[RoundResult]) -> Field:
    """With the variants and seeds, and the series that have them all, that give the most runs to compare."""
    scored = {
        series: {(run.variant, run.seed): run for run in runs if len(run.curve()[0])}
        for series, runs in runs_of(results).items()
    }
    shared = max(
        (frozenset(runs) for runs in scored.values()),
        key=lambda seeds: ((sum(seeds <= runs.keys() for runs in scored.values()) - 1) * len(seeds), len(seeds)),
    )
    kept = {series: runs for series, runs in scored.items() if shared and shared <= runs.keys()}
    rounds = (result for runs in kept.values() for key, run in runs.items() if key in shared for result in run.rounds)
    return Field(title, tuple(rounds), tuple(series for series in scored if series not in kept))


def baselines(material: Material) -> list[Mapping[str, Any]]:
    """What lines are compared with: what was asked for, else the experiment's own baseline, random, the default one."""
    if material.asked.baseline is not None:
        return [{"strategy": material.asked.baseline}]
    usual = default_strategy(label_mode(material.mode))
    wanted: list[Mapping[str, Any]] = [{"strategy": RANDOM}, {"strategy": usual}]
    if material.experiment is not None:
        own = material.experiment.baseline
        wanted = [own, *(each for each in wanted if each["strategy"] != own.get("strategy"))]
    strategies = {line.strategy for line in material.lines}
    if len(strategies) < 3:
        # Of two functions each difference would be shown twice.
        wanted = [each for each in wanted if each.get("strategy") != usual]
    return [each for each in wanted if _occurs(each, material.lines)]


def _occurs(baseline: Mapping[str, Any], lines: Sequence[Series]) -> bool:
    """Whether there is such a line, and another one to compare it with."""
    base = [line for line in lines if replace(line, **baseline) == line]
    return any(replace(line, **baseline) in base for line in lines if line not in base)


def compared(field: Field, baseline: Mapping[str, Any], measure: Measure | None) -> list[Comparison]:
    """Every line of a field against the baseline of its kind, the best difference first; none if there is none."""
    if measure is None or not _occurs(baseline, list(runs_of(field.results))):
        return []
    return ranking(field.results, measure, baseline)


def comparisons(material: Material) -> Section | None:
    """Tables of differences with intervals, one for each baseline and field, and a picture of the first baseline."""
    blocks: list[Block] = []
    several_pools = False
    for place, baseline in enumerate(baselines(material)):
        parts = [
            (field, found)
            for field in fields(material, all_budgets="budget" in baseline)
            if (found := compared(field, baseline, material.measure(field.runs)))
        ]
        several_pools = several_pools or any(each.runs > each.pairs for _, found in parts for each in found)
        blocks += _pictures(material, baseline, parts) if place == 0 else []
        blocks += [table for field, found in parts for table in _tables(material, field, baseline, found)]
    if not blocks:
        return None
    remarks = [material.asked.sentence] if material.asked.sentence else []
    remarks += [_HOW, *([_SEVERAL_POOLS] if several_pools else []), *_beginnings(material)]
    return Section("Compared in pairs", (*blocks, *map(Paragraph, remarks), *_left_out(material)))


_HOW = (
    "Two lines are compared seed by seed: a seed makes a pair. The interval is Student's t over the seeds; where it "
    "holds 0, no difference could be shown. Where all seeds differ by the same, or there is one alone, nothing is "
    "known of chance. p is that of the paired t test; Holm's is corrected for all lines that are compared with the "
    "same baseline. Only the seeds vary: the figures hold for these pools and these test tiles, and say nothing of "
    "others."
)
_SEVERAL_POOLS = (
    "A seed was run on several unbalanced pools. These runs are not independent, so the differences of a seed are "
    "averaged over its pools first, and the pairs are the seeds."
)


def _beginnings(material: Material) -> Iterator[str]:
    """Who began by itself and for whom a cold start did, where lines differ in that."""
    chose: dict[str, set[str]] = {}
    for result in material.results:
        if not result.initial and result.round == 1:
            chose.setdefault(result.chosen_by, set()).add(result.strategy)
    if len(chose) < 2:
        return
    own = {strategy for by, asked in chose.items() for strategy in asked if strategy.partition("(")[0] == by}
    begun_for = [
        f"{by} chose the first tiles of {listed(sorted(asked - own))}" for by, asked in chose.items() if asked - own
    ]
    yield (
        f"Without labels before the first round, lines do not begin with the same tiles: {listed(sorted(own))} chose "
        f"the first tiles by {'themselves' if len(own) > 1 else 'itself'}"
        f"{', and ' if begun_for else ''}{listed(begun_for)}. So a difference between lines includes that between "
        "their beginnings; --initial gives all of them the same first tiles."
    )


def _pictures(
    material: Material, baseline: Mapping[str, Any], parts: Sequence[tuple[Field, Sequence[Comparison]]]
) -> Iterator[Picture]:
    """A panel for each baseline series of each field; those of a kind side by side, at most three."""
    panels: dict[str, list[tuple[str, list[Bar]]]] = {}
    for field, found in parts:
        bases = list(dict.fromkeys(each.b for each in found))
        for base in bases:
            kind = namer(bases)(base)
            panel = (place_of(field, base, bases), _bars([each for each in found if each.b == base]))
            panels.setdefault(kind, []).append(panel)
    rows = [(kind, each[start : start + 3]) for kind, each in panels.items() for start in range(0, len(each), 3)]
    for number, (kind, row) in enumerate(rows, start=1):
        # One baseline needs no name but the words for it; of several, each panel has the name of its own.
        where = f"{kind}: " if len(panels) > 1 else ""
        yield Picture(
            material.file(f"differences-{number}"),
            f"{capital(where)}{material.score if where else capital(material.score)} less that of "
            f"{baseline_words(baseline)}: mean and 95 % interval over the seeds.",
            "Differences with intervals; the figures are in the tables below.",
            partial(draw_points, row, f"{material.score}, difference in percentage points", at=0.0),
        )


def _bars(found: Sequence[Comparison]) -> list[Bar]:
    name = namer([found[0].b, *(each.a for each in found)])
    return [
        Bar(name(each.a), each.difference, None if math.isnan(each.low) else (each.low, each.high)) for each in found
    ]


def place_of(field: Field, base: Series, bases: Sequence[Series]) -> str:
    """Where a comparison was made: the field, and what tells its baseline from the other ones there."""
    return ", ".join(filter(None, (capital(field.title), namer(bases)(base) if len(bases) > 1 else "")))


def _tables(
    material: Material, field: Field, baseline: Mapping[str, Any], found: Sequence[Comparison]
) -> Iterator[Table]:
    """Scores, and the labels to the goal where there is one."""
    name = namer([side for each in found for side in (each.a, each.b)])
    words = name(found[0].b) if len({each.b for each in found}) == 1 else baseline_words(baseline)
    where = f", {field.title}" if field.title else ""
    yield Table(
        f"{capital(measured(material, found[0]))}, compared with {words}{where}. Differences in percentage points.",
        ("line", "mean", words, "difference", "95 % interval", "p", "p, Holm", "pairs (seeds)"),
        "lrrrrrrr",
        tuple(
            (
                name(each.a),
                percent(each.mean_a),
                percent(each.mean_b),
                points(each.difference),
                interval(points(each.low), points(each.high)),
                probability(each.p),
                probability(each.p_holm),
                str(each.pairs),
            )
            for each in found
        ),
    )
    if material.goal is None or material.one_round:
        return
    labels = compared(field, baseline, LabelsTo(material.goal))
    if any(each.censored_a < each.runs for each in labels):
        yield Table(
            f"Labels to {percent(material.goal)} {material.score}, compared with {words}{where}: fewer is better. A "
            "run that ends below counts as its last labels and one round, too few; the last column counts them. One "
            "that has it with its first labels counts as these, too many.",
            ("line", "mean", words, "difference", "95 % interval", "p, Holm", "ended below"),
            "lrrrrrr",
            tuple(_labels_row(each, name(each.a)) for each in reversed(labels)),
        )


def _labels_row(each: Comparison, name: str) -> tuple[str, ...]:
    """Where no run of one side reaches the goal, its mean is no number, and where none of both does, nothing is."""
    sides = ((each.mean_a, each.censored_a, each.a), (each.mean_b, each.censored_b, each.b))
    means = [f"> {whole(mean - s.budget)}" if ended == each.runs else whole(mean) for mean, ended, s in sides]
    ended_below = f"{each.censored_a} and {each.censored_b} of {counted(each.runs, 'run')}"
    if each.censored_a == each.censored_b == each.runs:
        return name, *means, NOTHING, NOTHING, NOTHING, ended_below
    sure = interval(more(each.low), more(each.high))
    return name, *means, more(each.difference), sure, probability(each.p_holm), ended_below


def measured(material: Material, comparison: Comparison) -> str:
    """What was compared, the main score by its name."""
    return comparison.measure.replace("score", material.score, 1)


def baseline_words(baseline: Mapping[str, Any]) -> str:
    """``random``, ``random with linear``, ``b = 64``."""
    names = {"budget": "b = {}", "initial": "{} labels at first", "initial_by": "a beginning by {}"}
    return listed([names.get(key, "{}").format(value) for key, value in baseline.items()]).replace(" and ", " with ")


def _left_out(material: Material) -> Iterator[Paragraph]:
    missing = dict.fromkeys(series for field in fields(material) for series in field.left_out)
    if missing:
        name = namer(material.lines)
        named = listed(sorted({name(replace(series, group="")) for series in missing}))
        yield Paragraph(f"Not compared, because runs are missing or had no score: {named}.")
    baseline = material.asked.baseline
    alone = [line for line in material.lines if baseline and replace(line, strategy=baseline) not in material.lines]
    if alone:
        named = listed(sorted(map(namer(material.lines), alone)))
        yield Paragraph(f"Not compared, because {baseline} was not run in the same way: {named}.")
