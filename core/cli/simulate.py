"""The commands of experiments: ``simulate`` makes the runs and the report, ``report`` the report again."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .console import Console, Device, aligned, speaking, stopping_between_steps
from .learning import parse_parameters
from .setup import split_names

if TYPE_CHECKING:
    from ..simulation.plan import RoundResult

_DATA = "The dataset and how it is split"
_RUNS = "What is compared"
_BY_EXPERIMENT = "the experiment's"
OutFolder = Annotated[Path, typer.Option(help="The folder for the results; results already there are continued.")]


@speaking
def simulate(
    console: Console,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A folder or zip of labelled images (FOLDER/CLASS/IMAGE, or with a labels.csv), a project (with "
            "--truth), or torchgeo:NAME (with --root).",
        ),
    ],
    out: OutFolder,
    experiment: Annotated[
        str | None,
        typer.Option(
            help="A named experiment; the options below override its settings: paper1, paper2, paper2-finetuned, "
            "cold-start, query-functions, learners, budget or stopping.",
            show_default="each --strategy with each --learner",
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Another folder or zip of images, to test on.", rich_help_panel=_DATA)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Of a project: the CSV of true answers.", rich_help_panel=_DATA)
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Of a torchgeo dataset: the folder in which it lies.", rich_help_panel=_DATA)
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="The names of the bands by position, if the files do not say; '-' leaves one out.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.", rich_help_panel=_DATA)
    ] = False,
    holdout: Annotated[
        float | None,
        typer.Option(
            help="Share of the tiles to test on, if there is no test set.", show_default="0.2", rich_help_panel=_DATA
        ),
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seed of the split into test tiles and pool, if there is no test set.",
            show_default="0",
            rich_help_panel=_DATA,
        ),
    ] = None,
    validation: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tiles of a validation sample, for the estimate that an analyst would have.",
            show_default=f"0, or {_BY_EXPERIMENT}",
            rich_help_panel=_DATA,
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="As for embed; studies compare those that are named beside the first.",
            show_default="a project's own, else the best at hand",
            rich_help_panel=_DATA,
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Where embeddings are kept; several folders of results may share it.",
            show_default="vectors in OUT",
            rich_help_panel=_DATA,
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="A query function; repeatable.",
            show_default=f"random and the default one, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", help="NAME=VALUE for all query functions that have it.", rich_help_panel=_RUNS
        ),
    ] = None,
    learner: Annotated[
        list[str] | None,
        typer.Option(
            help="A learner; repeatable.",
            show_default=f"the function's own, else as `quadrat learners` says, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    learner_parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--learner-parameter", "-l", help="NAME=VALUE for all learners that have it.", rich_help_panel=_RUNS
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            "-b",
            help="Tiles a round; repeatable, or several numbers, separated by commas.",
            show_default=f"64, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of a run.", show_default=f"8, or {_BY_EXPERIMENT}", rich_help_panel=_RUNS),
    ] = None,
    initial: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tiles that are labelled before the first round.",
            show_default=f"0, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    initial_by: Annotated[
        str | None,
        typer.Option(
            help="The query function that chooses those.",
            show_default=f"random, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="How many (5 are 0 to 4), or which, separated by commas: all chance in a run.",
            show_default=f"5, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    unbalanced: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many unbalanced pools beside the balanced one: of each class a random share is taken away.",
            show_default=f"0, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(
            help="The score to which labels are counted, between 0 and 1.",
            show_default=f"0.9, or {_BY_EXPERIMENT}",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    stop_at_goal: Annotated[
        bool, typer.Option("--stop-at-goal", help="End a run that has reached it.", rich_help_panel=_RUNS)
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time.", show_default="as many as cores; 1 on a GPU")
    ] = None,
    device: Device = "auto",
) -> None:
    """Replay labelling with an archive as the analyst, and report which query function needs how many labels.

    Goes on where it was interrupted: finished runs are not repeated. OUT gets rounds.csv (a row a round), report.html
    and report.md.
    """
    from ..devices import choose_device
    from ..project.stopping import check_goal
    from ..simulation.asked import make_learners, parse_numbers, parse_seeds, variants_of
    from ..simulation.conduct import Source, conduct
    from ..simulation.experiments import EXPERIMENTS
    from ..simulation.results import plan_key

    _check_split(test, {"--holdout": holdout, "--split-seed": split_seed})
    changes = {
        "seeds": None if seeds is None else parse_seeds(seeds),
        "strategies": tuple(strategy or ()) or None,
        "learners": make_learners(learner or [], parse_parameters(learner_parameter or [])) or None,
        "budgets": parse_numbers(",".join(budget), "budgets") if budget else None,
        "rounds": rounds,
        "initial": initial,
        "initial_by": initial_by,
        "variants": None if unbalanced is None else variants_of(unbalanced),
        "validation": validation,
        "goal": None if goal is None else check_goal(goal),
        "stop_at_goal": stop_at_goal or None,
    }
    source = Source(
        dataset,
        vectors or out / "vectors",
        truth,
        test,
        split_names(bands),
        skip_bad,
        root,
        0.2 if holdout is None else holdout,
        split_seed or 0,
        tuple(encoder or ()),
    )
    with console.working("Simulating") as bar, stopping_between_steps(bar) as monitor:
        done = conduct(
            source,
            out,
            None if experiment is None else EXPERIMENTS.find(experiment),
            {name: value for name, value in changes.items() if value is not None},
            parse_parameters(parameter or []),
            workers=workers or _cores(),
            device=choose_device(device),
            command=shlex.join(["quadrat", *sys.argv[1:]]),
            monitor=monitor,
        )
    series = _series(done.results, done.setting.goal)
    for line in _table(series, done.setting.goal):
        console.say(line)
    console.say(f"Every round is in {out / 'rounds.csv'}, the report in {done.report.html}.")
    runs = len({plan_key(plan) for plan in done.plans})
    console.result({"out": out, "runs": runs, **vars(done.report), "series": series})


@speaking
def report(
    console: Console,
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Results of `quadrat simulate`.")],
    out: Annotated[Path, typer.Option(help="The folder for report.html, report.md and figures.")],
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The query function that the others are compared with, as the report names it.",
            show_default="the experiment's, random and the default one",
        ),
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            "--from",
            help="The number of labels from which mean scores are compared.",
            show_default="the first that all runs have",
        ),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option("--to", help="The number of labels up to which.", show_default="the last that all runs have"),
    ] = None,
) -> None:
    """Write the report of one or several folders of results again, as one page."""
    from ..simulation.report import Asked, write_report

    with console.working("Writing the report") as bar, stopping_between_steps(bar) as monitor:
        written = write_report(folders, out, monitor, asked=Asked(baseline, start, end))
    console.say(f"The report is {written.html}.")
    console.result(vars(written))


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_split(test: Path | None, drawn: Mapping[str, float | None]) -> None:
    """Refuse what says how test tiles are drawn, by option, where they are named: it would be of no account.

    Raises:
        UsageError: both were given.
    """
    for option, value in drawn.items():
        if test is not None and value is not None:
            raise UsageError(
                f"{option} says how test tiles are drawn, and --test names those that there are.",
                hint=f"Leave out {option} or --test.",
            )


def _series(results: Sequence[RoundResult], goal: float | None) -> list[dict[str, Any]]:
    """What came of each series: the score in the end, mean and spread over its runs, and the labels to the goal.

    labels_to_goal is the mean, if all runs reach the goal; else None, and labels_to_goal_above says what every run that
    does not reach it is known to take more than. runs_to_goal: how many reach it; runs_to_goal_at_once: how many of
    these with their first labels, so that fewer may have done.
    """
    from ..simulation.evidence import curves, labels_to
    from ..simulation.series import runs_of

    reached = {} if goal is None else {item.series: item for item in labels_to(results, goal)}
    runs = runs_of(results)
    found = []
    for curve in curves(results):
        row: dict[str, Any] = {**vars(curve.series), "runs": len(runs[curve.series])}
        if curve.labels.size:
            row |= {"labels": int(curve.labels[-1]), "score": float(curve.mean[-1]), "spread": float(curve.spread[-1])}
            row["runs_ended_before"] = int(curve.ended[-1])
        if goal is not None:
            item = reached[curve.series]
            all_reach = len(item.reached) == len(item.runs)
            row["labels_to_goal"] = item.mean if all_reach else None
            row["labels_to_goal_above"] = None if all_reach else item.last_labels
            row |= {"runs_to_goal": len(item.reached), "runs_to_goal_at_once": item.at_once}
        found.append(row)
    return sorted(found, key=lambda row: -row.get("score", 0.0))


def _table(series: Sequence[Mapping[str, Any]], goal: float | None) -> list[str]:
    """The same as text; the pool has a column where there are several kinds."""
    columns: dict[str, list[str]] = {
        "query function": [row["strategy"] for row in series],
        "learner": [row["learner"] for row in series],
        "pool": ["whole" if row["group"] == "balanced" else row["group"] for row in series],
        "budget": [str(row["budget"]) for row in series],
        "labels": [str(row.get("labels", "")) for row in series],
        "score": [_score_words(row) for row in series],
        "runs": [str(row["runs"]) for row in series],
    }
    if len(set(columns["pool"])) < 2:
        del columns["pool"]
    if goal is not None:
        columns[f"labels to {goal:g}"] = [_goal_words(row) for row in series]
    lines = aligned(list(columns), list(zip(*columns.values(), strict=True)))
    if any(row.get("runs_ended_before") for row in series):
        lines.append("Runs that ended with fewer labels count with their last score.")
    return lines


def _score_words(row: Mapping[str, Any]) -> str:
    if "score" not in row:
        return "nothing learnt"
    spread = "–" if math.isnan(row["spread"]) else f"{row['spread']:.3f}"
    return f"{row['score']:.3f} ±{spread}"


def _goal_words(row: Mapping[str, Any]) -> str:
    """``128``, ``3 of 5``, or ``> 512``; and how many had it with their first labels."""
    if row["labels_to_goal"] is not None:
        at_once = row["runs_to_goal_at_once"]
        return f"{row['labels_to_goal']:.0f}" + (f" ({at_once} of {row['runs']} at once)" if at_once else "")
    if row["runs_to_goal"]:
        return f"{row['runs_to_goal']} of {row['runs']}"
    return f"> {row['labels_to_goal_above']}"


COMMANDS = {"simulate": simulate, "report": report}
