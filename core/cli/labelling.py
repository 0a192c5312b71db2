"""The command that takes answers: ``label``."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Console, speaking
from .setup import ProjectPath

if TYPE_CHECKING:
    from ..project.store import Project


@speaking
def label(
    console: Console,
    project: ProjectPath,
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS", help="A CSV, or a polygon layer with a class column.")],
    class_column: Annotated[str, typer.Option(help="The column that holds the class.")] = "label",
    min_overlap: Annotated[
        float | None,
        typer.Option(
            help="Polygons: the share of a tile that a class must cover.", show_default="0.5 single, 0.1 multi"
        ),
    ] = None,
    annotator: Annotated[str | None, typer.Option(help="Who answered.", show_default="you")] = None,
) -> None:
    """Import answers. One wrong line and none is imported; all wrong lines are listed."""
    from ..answer_files import read_answers
    from ..project.answers import current_answers, record_answers
    from ..project.store import Project

    with Project.open(project) as opened:
        read = read_answers(opened, answers, class_column=class_column, min_overlap=min_overlap)
        if read.answers:
            record_answers(
                opened,
                read.answers,
                annotator=annotator or _user_name(),
                source="import",
                round_id=_round_of(opened, {answer.tile_id for answer in read.answers}),
            )
        answered = current_answers(opened).keys()
        labelled = {
            role: sum(tile.tile_id in answered for tile in opened.tiles((role,))) for role in ("pool", "validation")
        }
    console.say(f"{len(read.answers)} answers imported, {read.blank} lines left blank.")
    console.say(f"Answered so far: {labelled['pool']} tiles of the pool, {labelled['validation']} for validation.")
    if labelled["pool"]:
        console.say(f"Next: quadrat train {project}")
    console.result({"project": project, "imported": len(read.answers), "blank": read.blank, "answered": labelled})


def _round_of(project: Project, tile_ids: set[int]) -> int | None:
    """The latest round that asked for any of these tiles."""
    from ..project.results import rounds_asking

    latest = next(rounds_asking(project, tile_ids), None)
    return latest.round_id if latest else None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


COMMANDS = {"label": label}
