"""The command that takes answers: ``label``."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from .console import Json, Quiet, Verbose, command
from .setup import ProjectPath


def label(
    project: ProjectPath,
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS", help="A CSV, or a polygon layer with a class column.")],
    class_column: Annotated[str, typer.Option(help="The column that holds the class.")] = "label",
    min_overlap: Annotated[
        float | None,
        typer.Option(help="Polygons: the share of a tile a class must cover [default: 0.5 single, 0.1 multi]."),
    ] = None,
    annotator: Annotated[str | None, typer.Option(help="Who answered [default: you].", show_default=False)] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Import answers. One wrong line and none is imported; all wrong lines are listed."""
    with command(as_json, quiet, verbose) as console:
        from ..answer_files import read_answers
        from ..project.answers import record_answers
        from ..project.store import Project

        with Project.open(project) as opened:
            read = read_answers(opened, answers, class_column=class_column, min_overlap=min_overlap)
            if read.answers:
                record_answers(opened, read.answers, annotator=annotator or _user_name(), source="import")
            counts = opened.counts()
        console.say(f"{len(read.answers)} answers imported, {read.blank} lines left blank.")
        console.say(f"The project now has {counts['labelled']} labelled tiles. Next: quadrat train {project}")
        console.result({"project": project, "imported": len(read.answers), "blank": read.blank, "counts": counts})


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


COMMANDS = {"label": label}
