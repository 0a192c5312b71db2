"""The commands of a round: ``query``, ``train``, ``predict``, ``export``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Console, Device, speaking
from .setup import ProjectPath

if TYPE_CHECKING:
    from ..models import Choice
    from ..project.store import Project
    from ..rounds import QueriedRound, Training

LearnerName = Annotated[
    str | None,
    typer.Option(
        help="What learns from the answers; `quadrat learners` lists them.", show_default="as named for the last round"
    ),
]
LearnerParameters = Annotated[
    list[str] | None, typer.Option("--learner-parameter", "-l", help="NAME=VALUE for the learner; repeatable.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]


@speaking
def query(
    console: Console,
    project: ProjectPath,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="One of the query functions listed below; `quadrat strategies` explains them.",
            show_default="margin+clustering, or uherding where a tile may have several classes",
        ),
    ] = None,
    budget: Annotated[int, typer.Option("--budget", "-b", help="How many tiles to ask for.")] = 64,
    seed: Seed = 0,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE for the query function; repeatable.")
    ] = None,
    learner: Annotated[
        str | None,
        typer.Option(
            help="What learns from the answers; `quadrat learners` lists them.",
            show_default="the function's own, else as `quadrat learners` says",
        ),
    ] = None,
    learner_parameter: LearnerParameters = None,
    validation: Annotated[bool, typer.Option("--validation", help="Ask for tiles of the validation sample.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Show the latest round again instead of asking anew.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the tiles to a CSV to fill in for `label`.")] = None,
    device: Device = "auto",
) -> None:
    """Choose the tiles that are worth labelling next."""
    from .. import rounds
    from ..devices import choose_device
    from ..project.store import Project
    from ..sheets import check_sheet, describe_round, write_sheet

    if out is not None:
        check_sheet(out)  # before a round is recorded that could not be handed out
    with Project.open(project) as opened, console.working("Querying") as monitor:
        if again:
            round_id, said = _latest_round(opened)
        else:
            if validation:
                asked = rounds.query_validation(opened, budget, seed=seed)
            else:
                parameters = parse_parameters(parameter or [])
                chosen_device = choose_device(device)
                asked = rounds.query(
                    opened,
                    strategy,
                    budget,
                    seed=seed,
                    parameters=parameters,
                    learner=_choice(learner, learner_parameter),
                    device=chosen_device,
                    monitor=monitor,
                )
            round_id, said = asked.round_id, _how_chosen(asked)
        table = describe_round(opened, round_id)
    if out is not None:
        write_sheet(out, table)
    _show(console, project, f"Round {round_id}: {said}", table, out)
    console.result({"project": project, "round": round_id, "tiles": table})


def _latest_round(project: Project) -> tuple[int, str]:
    from ..errors import LearningError
    from ..project.results import rounds

    past = rounds(project)
    if not past:
        raise LearningError("There is no round yet.", hint="Ask for tiles without --again.")
    return past[-1].round_id, f"asked by {past[-1].strategy} at {past[-1].created_at}."


def _how_chosen(asked: QueriedRound) -> str:
    instead = f", in place of {asked.strategy}" if asked.chosen_by != asked.strategy else ""
    return f"{len(asked.tile_ids)} of {asked.eligible} open tiles chosen by {asked.chosen_by}{instead}."


def _show(console: Console, project: Path, title: str, table: list[dict[str, Any]], out: Path | None) -> None:
    console.say(title)
    for line in table[:10]:
        console.say(
            f"  tile {line['tile_id']} ({line['raster']} row {line['row']} col {line['col']}): {line['reason']}"
        )
    if len(table) > 10:
        console.say(f"  ... and {len(table) - 10} more, in the layer queried_tiles of the project")
    if out is None:
        console.say(f"Next: quadrat query {project} --again --out answers.csv writes a sheet to fill in.")
    else:
        console.say(f"Next: fill in the column label of {out}, then: quadrat label {project} {out}")


@speaking
def train(
    console: Console,
    project: ProjectPath,
    seed: Seed = 0,
    learner: LearnerName = None,
    learner_parameter: LearnerParameters = None,
    goal: Annotated[
        float | None,
        typer.Option(help="Score at which to stop: accuracy, or micro F1.", show_default="that of the project, if any"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Fit the learner on all answers, check it on the validation sample, and say whether to stop."""
    from ..devices import choose_device
    from ..project.store import Project
    from ..rounds import train as train_project

    with Project.open(project) as opened, console.working("Training") as monitor:
        chosen = _choice(learner, learner_parameter)
        training = train_project(
            opened, seed=seed, learner=chosen, goal=goal, device=choose_device(device), monitor=monitor
        )
    console.say(summary(training))
    if training.agreement is not None:
        console.say(f"The predictions agree to {training.agreement:.2f} (kappa) with those of the round before.")
    if training.advice is not None:
        console.say(training.advice.sentence)
    console.say(f"Next: quadrat query {project}, or quadrat predict {project}")
    advice = None if training.advice is None else vars(training.advice)
    console.result(
        {"project": project, **_training_values(training), "agreement": training.agreement, "advice": advice}
    )


@speaking
def predict(
    console: Console,
    project: ProjectPath,
    seed: Seed = 0,
    learner: LearnerName = None,
    learner_parameter: LearnerParameters = None,
    device: Device = "auto",
) -> None:
    """Give every tile its class or classes, a probability and an uncertainty."""
    from ..devices import choose_device
    from ..project.store import Project
    from ..rounds import predict as predict_project

    with Project.open(project) as opened, console.working("Predicting") as monitor:
        chosen = _choice(learner, learner_parameter)
        done = predict_project(opened, seed=seed, learner=chosen, device=choose_device(device), monitor=monitor)
    console.say(f"{done.tiles} tiles predicted. {summary(done.training)}")
    for name, count in sorted(done.per_class.items(), key=lambda item: -item[1]):
        console.say(f"  {count:7d}  {name}")
    console.say(f"Next: quadrat export {project} predictions.gpkg --layer predictions")
    values = {"tiles": done.tiles, "per_class": done.per_class, **_training_values(done.training)}
    console.result({"project": project, **values})


@speaking
def export(
    console: Console,
    project: ProjectPath,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .gpkg, .geojson or .parquet file; else a folder of chips.")
    ],
    layer: Annotated[str, typer.Option(help="labels, predictions or tiles.")] = "labels",
) -> None:
    """Write labels, predictions or tiles for others to use."""
    from ..export import export as export_project
    from ..project.store import Project

    with Project.open(project, writable=False) as opened, console.working("Exporting") as monitor:
        made = export_project(opened, out, layer, monitor)
    console.say(f"{made.tiles} tiles ({made.layer}) in {made.path}")
    console.result({"project": project, "out": made.path, "layer": made.layer, "tiles": made.tiles})


def summary(training: Training) -> str:
    """What a learner was fitted on and how good it is, with the interval of the main score."""
    from ..project.scores import main_score

    learnt = f"Learnt from {training.labels} labels."
    if not training.metrics:
        return f"{learnt} No validation tile has an answer yet, so nothing can be said of the accuracy."
    low, high = training.interval or (0.0, 1.0)
    known = {name: value for name, value in training.metrics.items() if math.isfinite(value)}
    words = {name: f"{name.replace('_', ' ')} {value:.3f}" for name, value in known.items()}
    words[main_score("multi" if "micro_f1" in words else "single")] += f" (95 % interval {low:.3f} to {high:.3f})"
    return f"{learnt} On {training.validation_labels} validation tiles: {', '.join(words.values())}."


def _training_values(training: Training) -> dict[str, Any]:
    return {
        "learner": training.model.choice.name,
        "labels": training.labels,
        "validation_labels": training.validation_labels,
        **training.metrics,
        "interval": training.interval,
    }


def _choice(name: str | None, pairs: list[str] | None) -> Choice | None:
    """The learner that was asked for, None for whichever comes next by itself."""
    from ..errors import UsageError
    from ..models import Choice

    if name is None:
        if pairs:
            raise UsageError("Parameters of a learner need its name.", hint="Say which: --learner NAME.")
        return None
    return Choice(name, parse_parameters(pairs or []))


def parse_parameters(pairs: list[str]) -> dict[str, Any]:
    """``["k=15", "threshold=0.8"]`` as a dictionary; numbers and true/false become what they look like."""
    import json

    from ..errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"{pair!r} is not of the form NAME=VALUE.", hint="Write for example: -p neighbours=15")
        try:
            values[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            values[name.strip()] = value.strip()
    return values


COMMANDS = {"query": query, "train": train, "predict": predict, "export": export}
