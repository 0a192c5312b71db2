"""Sections on what labels led to: learning curves, and the labels that a goal takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..evidence import Curve, Reached, Series, curves, labels_to
from ..experiments import paper1, paper2
from .document import Block, Picture, Section, Table
from .figures import MOST_LINES, Bar, Line, Panel, draw_bars, draw_curves, draw_points
from .material import GROUPS, RANDOM, Material, Namer, namer, ranked
from .scores import ENDED
from .wording import MULTI_SCORES, NOTHING, SCORES, capital, counted, listed, percent, whole

_MOST_BARS = 30


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
    scores = (material.score,) if material.mode == "single" else tuple(SCORES[each] for each in MULTI_SCORES)
    fields = ("score",) if material.mode == "single" else MULTI_SCORES
    ended = False
    for group in material.groups:
        for words, field in zip(scores, fields, strict=True):
            found = {curve.series: curve for curve in curves(material.of(group=group), score=field)}
            shown = [found[replace(line, group=group)] for line in lines if replace(line, group=group) in found]
            ended = ended or any(curve.ended.any() for curve in shown)
            goal = material.goal if words == material.score else None
            panels.append(Panel(capital(material.pool(group)), words, _lines(shown, name), goal))
    runs = sorted({len(material.runs[series]) for series in material.runs if replace(series, group="") in lines})
    caption = (
        f"{capital(listed(scores))} on the test tiles against labelled tiles{f': {title}' if title else ''}. "
        f"Mean and, shaded, one standard deviation over {_span(runs)}."
    )
    if ended:
        caption += f" {ENDED}"
    if material.goal is not None:
        caption += f" The dashed level is the goal, {percent(material.goal)} {material.score}."
    return Picture(
        material.file(f"curves-{number}"),
        caption,
        f"Learning curves of {listed([name(line) for line in lines])}; the figures are in the tables below.",
        partial(draw_curves, panels, "labelled tiles"),
    )


def _lines(shown: Sequence[Curve], name: Namer) -> list[Line]:
    return [
        Line(
            name(curve.series),
            curve.labels.tolist(),
            curve.mean.tolist(),
            (curve.mean - np.nan_to_num(curve.spread)).tolist(),
            np.minimum(curve.mean + np.nan_to_num(curve.spread), 1.0).tolist(),
            _is_rival(curve.series, [each.series for each in shown]),
        )
        for curve in shown
        if len(curve.labels)
    ]


def _is_rival(line: Series, lines: Sequence[Series]) -> bool:
    """Whether it is the random one that others are measured by."""
    return line.strategy == RANDOM and any(other.strategy != RANDOM for other in lines)


def _span(counts: Sequence[int]) -> str:
    return counted(counts[0], "run") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"


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
            panels.append((capital(material.pool(group)), bars))
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
    pools = [f"{pool}: " if (pool := material.pool(group)) else "" for group in material.groups]
    heads = [head for pool in pools for head in (f"{pool}labels", "spread", "runs that reach it")]
    rows = tuple(
        (name(line), *(cell for group in material.groups for cell in _cells(found.get(replace(line, group=group)))))
        for line in order
    )
    caption = (
        f"Labels to {percent(goal)} {material.score} on the test tiles, linear between rounds: mean and standard "
        "deviation over the runs. Where some runs end below, it is said how many reach it; where none does, that all "
        "take more labels than the shortest of them had."
    )
    if any(each.at_once for each in found.values()):
        caption += (
            " A run that has it with its first labels counts as these, though fewer may have done, so the mean is "
            "rather too large; the last column counts such runs."
        )
    table = Table(caption, ("line", *heads), "l" + "r" * len(heads), rows)
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
                capital(material.pool(group)),
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
    at_once = f", {reached.at_once} with the first labels" if reached.at_once else ""
    return reached.summary, whole(reached.spread), f"{len(reached.reached)} of {len(reached.runs)}{at_once}"
