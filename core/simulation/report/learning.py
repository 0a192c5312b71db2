"""Sections on what labels led to: learning curves, the labels that a goal takes, the scores in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..evidence import Curve, Reached, Series, curves, labels_to
from ..experiments import paper1, paper2
from .document import Block, Paragraph, Picture, Section, Table
from .figures import MOST_LINES, Bar, Line, Panel, draw_bars, draw_curves, draw_points
from .material import GROUPS, RANDOM, Material, Namer, namer, ranked
from .wording import NOTHING, SCORES, capital, listed, percent, whole

_MOST_BARS = 30
_MULTI_SCORES = ("micro_f1", "macro_f1", "mean_average_precision")


def learning_curves(material: Material) -> Section | None:
    """Pictures of at most eight lines each; of single rounds, points in place of lines."""
    if material.one_round:
        blocks = tuple(_points(material))
        return Section(f"{capital(material.score)} of the first labels", blocks) if blocks else None
    blocks = tuple(_curve_picture(material, *each) for each in enumerate(_pictured(material), start=1))
    return Section("Learning curves", blocks) if blocks else None


def _pictured(material: Material) -> Iterator[tuple[str, list[Series]]]:
    """What is shown together: a title, and the lines."""
    lines = material.lines
    if len(lines) <= MOST_LINES:
        yield "", ranked(material, lines)
        return
    for budget in dict.fromkeys(line.budget for line in lines):
        here = [line for line in lines if line.budget == budget]
        title = f"{budget} tiles a round" if len({line.budget for line in lines}) > 1 else ""
        if len(here) <= MOST_LINES:
            yield title, ranked(material, here)
            continue
        for kind, some in _apart(here).items():
            said = ", ".join(filter(None, (title, kind)))
            yield from _best_and_published(material, said, some)


def _apart(lines: Sequence[Series]) -> dict[str, list[Series]]:
    """Lines by learner, or by query function if there are more learners than these, so that few pictures come of it.

    All under one empty name where no query function has two learners.
    """
    strategies, learners = {line.strategy for line in lines}, {line.learner for line in lines}
    if len(strategies) == len(lines):
        return {"": list(lines)}
    found: dict[str, list[Series]] = {}
    for line in lines:
        found.setdefault(line.learner if len(learners) <= len(strategies) else line.strategy, []).append(line)
    return found


def _best_and_published(material: Material, title: str, lines: list[Series]) -> Iterator[tuple[str, list[Series]]]:
    """Those of the papers, if there are more than one can show; then the best of all. Random is in both."""
    order = ranked(material, lines)
    if len(order) <= MOST_LINES:
        yield title, order
        return
    own = paper1.OF_THE_PAPER if material.mode == "single" else paper2.OF_THE_PAPER
    of_the_paper = [line for line in order if line.strategy in own]
    if len(of_the_paper) > 2:
        yield ", ".join(filter(None, (title, "the papers' functions"))), of_the_paper[:MOST_LINES]
    others = [line for line in order if line.strategy != RANDOM]
    rivals = [line for line in order if line.strategy == RANDOM]
    best = others[: MOST_LINES - len(rivals)]
    chosen = [line for line in order if line in best or line in rivals]
    yield ", ".join(filter(None, (title, f"the best {len(best)} of {len(others)}"))), chosen


def _curve_picture(material: Material, number: int, pictured: tuple[str, list[Series]]) -> Picture:
    title, lines = pictured
    name = namer(lines)
    panels = []
    scores = (material.score,) if material.mode == "single" else tuple(SCORES[each] for each in _MULTI_SCORES)
    fields = ("score",) if material.mode == "single" else _MULTI_SCORES
    for group in material.groups:
        for words, field in zip(scores, fields, strict=True):
            found = {curve.series: curve for curve in curves(material.of(group=group), score=field)}
            shown = [found[replace(line, group=group)] for line in lines if replace(line, group=group) in found]
            panels.append(
                Panel(f"{capital(group)} pool" if len(material.groups) > 1 else "", words, _lines(shown, name))
            )
    runs = sorted({len(material.runs[series]) for series in material.runs if replace(series, group="") in lines})
    caption = (
        f"{capital(listed(scores))} on the test tiles against labelled tiles{f': {title}' if title else ''}. "
        f"Mean and, shaded, one standard deviation over {_span(runs)} runs."
    )
    return Picture(
        material.file(f"curves-{number}"),
        caption,
        f"Learning curves of {listed([name(line) for line in lines])}; the figures are in the tables below.",
        partial(draw_curves, panels, "labelled tiles", goal=material.goal),
    )


def _lines(shown: Sequence[Curve], name: Namer) -> list[Line]:
    return [
        Line(
            name(curve.series),
            curve.labels.tolist(),
            curve.mean.tolist(),
            (curve.mean - curve.spread).tolist(),
            np.minimum(curve.mean + curve.spread, 1.0).tolist(),
            _is_rival(curve.series, [each.series for each in shown]),
        )
        for curve in shown
        if len(curve.labels)
    ]


def _is_rival(line: Series, lines: Sequence[Series]) -> bool:
    """Whether it is the random one that others are measured by."""
    return line.strategy == RANDOM and any(other.strategy != RANDOM for other in lines)


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _points(material: Material) -> Iterator[Block]:
    """One picture for each number of labels."""
    for budget in dict.fromkeys(line.budget for line in material.lines):
        lines = ranked(material, [line for line in material.lines if line.budget == budget])
        name = namer(lines)
        panels = []
        for group in material.groups:
            runs = {line: material.runs.get(replace(line, group=group), []) for line in lines}
            scores = {line: [run.curve()[1][-1] for run in each if len(run.curve()[1])] for line, each in runs.items()}
            bars = [
                Bar(name(line), float(np.mean(dots)), dots=dots, plain=_is_rival(line, lines))
                for line, dots in scores.items()
                if dots
            ]
            panels.append((f"{capital(group)} pool" if len(material.groups) > 1 else "", bars))
        labels = max(result.labels for result in material.of(budget=budget))
        yield Picture(
            material.file(f"points-{budget}"),
            f"{capital(material.score)} on the test tiles with {labels} labels: mean, and each seed as a ring.",
            f"{capital(material.score)} by {listed([name(line) for line in lines])}; the means are in a table.",
            partial(draw_points, panels, material.score),
        )


def labels_to_goal(material: Material) -> Section | None:
    """How many labels each line takes to the goal, as a table and as bars."""
    goal = material.goal
    if goal is None or material.one_round:
        return None
    found = {each.series: each for each in labels_to(material.results, goal)}
    order = sorted(material.lines, key=lambda line: _needed(found, line))
    name = namer(order)
    one = len(material.groups) == 1
    heads = [h for g in material.groups for h in ("labels" if one else f"{g}: labels", "spread", "runs that reach it")]
    rows = tuple(
        (name(line), *(cell for group in material.groups for cell in _cells(found.get(replace(line, group=group)))))
        for line in order
    )
    caption = (
        f"Labels to {percent(goal)} {material.score} on the test tiles, linear between rounds: mean and standard "
        "deviation over the runs. Where some runs end below, it is said how many reach it."
    )
    table = Table(caption, ("", *heads), "l" + "r" * len(heads), rows)
    return Section(f"Labels to {percent(goal)}", (*_goal_pictures(material, goal, found, order), table))


def _goal_pictures(
    material: Material, goal: float, found: Mapping[Series, Reached], order: Sequence[Series]
) -> Iterator[Picture]:
    """Bars in this order, all in one picture if there is room."""
    parts = {"": order} if len(order) <= _MOST_BARS else _apart(order)
    for number, (kind, lines) in enumerate(parts.items(), start=1):
        name = namer(lines)
        panels = [
            (
                f"{capital(group)} pool" if len(material.groups) > 1 else "",
                [_bar(found[each], name, lines) for line in lines if (each := replace(line, group=group)) in found],
            )
            for group in material.groups
        ]
        yield Picture(
            material.file(f"goal-{number}"),
            f"Labels to {percent(goal)} {material.score}{f' with {kind}' if kind else ''}: mean, and each run as a "
            "ring. An arrow: some runs end below; they count as their last labels, so the mean is too small.",
            f"Bars of the labels to {percent(goal)}, in the order of the table.",
            partial(draw_bars, panels, f"labels to {percent(goal)}"),
        )


def labels_in_words(reached: Reached) -> str:
    """``160``, ``3 of 5 runs``, ``> 512``."""
    return f"{reached.summary} runs" if " of " in reached.summary else reached.summary


def _needed(found: Mapping[Series, Reached], line: Series) -> tuple[float, str]:
    """For sorting: the bars of all groups together."""
    return sum(_bar_value(found[each]) for g in GROUPS if (each := replace(line, group=g)) in found), line.strategy


def _bar_value(reached: Reached) -> float:
    return float(np.mean([reached.last_labels if labels is None else labels for _, _, labels in reached.runs]))


def _bar(reached: Reached, name: Namer, lines: Sequence[Series]) -> Bar:
    return Bar(
        name(reached.series),
        _bar_value(reached),
        dots=reached.reached.tolist(),
        beyond=len(reached.reached) < len(reached.runs),
        plain=_is_rival(reached.series, lines),
    )


def _cells(reached: Reached | None) -> tuple[str, str, str]:
    if reached is None:
        return NOTHING, NOTHING, NOTHING
    return reached.summary, whole(reached.spread), f"{len(reached.reached)} of {len(reached.runs)}"


def final_scores(material: Material) -> Section | None:
    """All scores after the last round, mean and standard deviation over the runs."""
    fields = ("accuracy", "macro_f1") if material.mode == "single" else _MULTI_SCORES
    tables = []
    for group in material.groups:
        results = material.of(group=group)
        by_field = [{curve.series: curve for curve in curves(results, score=field)} for field in fields]
        order = [replace(line, group=group) for line in ranked(material, material.lines)]
        name = namer(order)
        rows = tuple(
            _final(name(series), [found[series] for found in by_field])
            for series in order
            if series in by_field[0] and len(by_field[0][series].labels)
        )
        title = f"Scores on the test tiles with the last labels, {group} pool: mean ± standard deviation."
        tables.append(
            Table(
                title, ("", "labels", *(SCORES[field] for field in fields), "runs"), "l" + "r" * (len(fields) + 2), rows
            )
        )
    note = Paragraph("Order: by the mean score over all numbers of labels that the lines share.")
    return Section("Scores in the end", (*tables, note)) if any(table.rows for table in tables) else None


def _final(name: str, found: Sequence[Curve]) -> tuple[str, ...]:
    first = found[0]
    scores = [
        f"{percent(curve.mean[-1])} ± {100 * curve.spread[-1]:.1f}" if len(curve.labels) else NOTHING for curve in found
    ]
    return name, whole(first.labels[-1]), *scores, whole(first.count[-1])
