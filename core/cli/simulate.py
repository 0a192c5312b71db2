"""The commands of experiments: ``simulate`` makes the runs and the report, ``report`` the report again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Console, Device, aligned, speaking, stopping_between_steps
from .learning import parse_parameters
from .setup import split_names

if TYPE_CHECKING:
    from ..simulation.plan import RoundResult

_DATA = "The dataset and how it is split"
_RUNS = "What is compared"
_BY_EXPERIMENT = "the experiment's"
OutFolder = Annotated[Path, typer.Option(help="The folder for the results; those in it are gone on with.")]


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
            help="A named experiment, of which the options below change what they say: paper1, paper2, "
            "paper2-finetuned, cold-start, query-functions, learners, budget or stopping.",
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
        float, typer.Option(help="Share of the tiles to test on, if there is no test set.", rich_help_panel=_DATA)
    ] = 0.2,
    split_seed: Annotated[
        int, typer.Option(min=0, help="Which tiles test and which validate.", rich_help_panel=_DATA)
    ] = 0,
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
            min=0.0,
            max=1.0,
            help="The score to which labels are counted.",
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
    from ..simulation.asked import make_learners, parse_numbers, parse_seeds, variants_of
    from ..simulation.conduct import Source, conduct
    from ..simulation.experiments import EXPERIMENTS

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
        "goal": goal,
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
        holdout,
        split_seed,
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
    console.result({"out": out, "runs": len(done.plans), **vars(done.report), "series": series})


@speaking
def report(
    console: Console,
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Results of `quadrat simulate`.")],
    out: Annotated[Path, typer.Option(help="The folder for report.html, report.md and figures.")],
) -> None:
    """Write the report of one or several folders of results again, as one page."""
    from ..simulation.report import write_report

    with console.working("Writing the report") as bar, stopping_between_steps(bar) as monitor:
        written = write_report(folders, out, monitor)
    console.say(f"The report is {written.html}.")
    console.result(vars(written))


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _series(results: Sequence[RoundResult], goal: float | None) -> list[dict[str, Any]]:
    """What came of each series: labels to the goal, and the score in the end, mean and spread over its runs."""
    from ..simulation.evidence import curves, labels_to

    reached = {} if goal is None else {item.series: item.summary for item in labels_to(results, goal)}
    found = []
    for curve in curves(results):
        row: dict[str, Any] = dict(vars(curve.series))
        if goal is not None:
            row["labels_to_goal"] = reached[curve.series]
        if curve.labels.size:
            row |= {"labels": int(curve.labels[-1]), "runs": int(curve.count[-1])}
            row |= {"score": float(curve.mean[-1]), "spread": float(curve.spread[-1])}
        found.append(row)
    return sorted(found, key=lambda row: -row.get("score", 0.0))


def _table(series: Sequence[Mapping[str, Any]], goal: float | None) -> list[str]:
    """The same as text."""
    heads = ["query function", "learner", "pool", "budget", "labels", "score", "runs"]
    lines = [
        [
            str(row["strategy"]),
            str(row["learner"]),
            str(row["group"]),
            str(row["budget"]),
            str(row.get("labels", "")),
            f"{row['score']:.3f} ±{row['spread']:.3f}" if "score" in row else "nothing learnt",
            str(row.get("runs", "")),
        ]
        for row in series
    ]
    if goal is not None:
        heads.append(f"labels to {goal:g}")
        lines = [[*line, row["labels_to_goal"]] for line, row in zip(lines, series, strict=True)]
    return aligned(heads, lines)


COMMANDS = {"simulate": simulate, "report": report}
