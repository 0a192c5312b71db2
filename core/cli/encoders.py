"""The command that explains which encoders there are: ``encoders``."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Console, speaking

if TYPE_CHECKING:
    from ..encoders.listing import EncoderInfo

_WIDTH = 140
"""Columns of the table where there is no terminal, for example in a file."""


@speaking
def encoders(
    console: Console,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Explain this one in full. torchgeo: list what torchgeo has.", show_default=False
        ),
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="Say which of them suit the bands of this project.", show_default=False)
    ] = None,
) -> None:
    """List what turns tiles into vectors and whether it can be used now, or explain one."""
    from ..encoders.listing import list_encoders, torchgeo_state
    from ..encoders.registry import DEFAULT_ENCODER

    bands, best = _of_project(project)
    if name == "torchgeo":
        _list_torchgeo(console)
        return
    found = list_encoders(bands) if name is None else [_info(name, bands)]
    missing_extra = torchgeo_state()
    if name is None:
        console.say(_table(found))
        console.say(
            f"torchgeo:NAME  {missing_extra or 'any Sentinel-2 weights of torchgeo: quadrat encoders torchgeo'}"
        )
        if best:
            console.say(f"{project} is embedded with {best} if you name none.")
        console.say("More on one of them: quadrat encoders NAME. Your own: quadrat embed PROJECT --encoder FILE")
    else:
        console.say(_in_full(found[0]))
    console.result(
        {
            "default": DEFAULT_ENCODER,
            "best": best,
            "encoders": [vars(info) for info in found],
            "torchgeo": missing_extra,
        }
    )


def _of_project(project: Path | None) -> tuple[tuple[str, ...] | None, str]:
    """The bands of a project and the encoder it has or would get; None and an empty text without tiles."""
    if project is None:
        return None, ""
    from ..embedding import choose_encoder, project_bands
    from ..encoders.registry import AUTO
    from ..project.store import Project

    with Project.open(project) as opened:
        return (project_bands(opened), choose_encoder(opened, AUTO)) if opened.has_tiles() else (None, "")


def _info(name: str, bands: Sequence[str] | None) -> EncoderInfo:
    from ..encoders.listing import describe, describe_statistics
    from ..encoders.registry import FLOOR, TORCHGEO, find_network

    if name == FLOOR:
        return describe_statistics(bands)
    if name.startswith(TORCHGEO):
        from ..encoders.torchgeo_models import describe_torchgeo

        return describe_torchgeo(name.removeprefix(TORCHGEO), bands)
    return describe(find_network(name), bands)


def _list_torchgeo(console: Console) -> None:
    from ..encoders.registry import TORCHGEO
    from ..encoders.torchgeo_models import list_weights

    found = list_weights()
    for name, reason in found.items():
        console.say(f"{TORCHGEO}{name}{f'  no: {reason}' if reason else ''}")
    console.result({"weights": [{"name": f"{TORCHGEO}{name}", "reason": reason} for name, reason in found.items()]})


def _table(found: Sequence[EncoderInfo]) -> str:
    """One encoder a line, as wide as the terminal."""
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("name", overflow="fold", min_width=28)
    for title in ("numbers", "bands", "px", "licence", "can be used now"):
        table.add_column(title)
    for info in found:
        bands = "any" if info.bands is None else _short(info.bands)
        size = "" if info.size_px is None else str(info.size_px)
        numbers = "4 a band" if info.dimension is None else str(info.dimension)
        usable = "yes" if info.available else "after a download" if info.downloadable else f"no. {info.reason}"
        table.add_row(info.name, numbers, bands, size, info.licence, usable)
    paper = RichConsole(width=shutil.get_terminal_size((_WIDTH, 0)).columns, markup=False, color_system=None)
    with paper.capture() as lines:
        paper.print(table)
    return "\n".join(line.rstrip() for line in lines.get().splitlines())


def _short(bands: Sequence[str]) -> str:
    """All bands by name if they are few."""
    return ", ".join(bands) if len(bands) <= 4 else f"{len(bands)}: {bands[0]}-{bands[-1]}"


def _in_full(info: EncoderInfo) -> str:
    """Everything about one encoder, a fact a line."""
    facts = [
        (
            "usable now",
            "yes" if info.available else f"{'after a download' if info.downloadable else 'no'}. {info.reason}",
        ),
        ("numbers", "4 a band" if info.dimension is None else f"{info.dimension} a tile"),
        ("bands", "any" if info.bands is None else ", ".join(info.bands)),
        ("missing", "; ".join(f"{band}: {_policy(policy)}" for band, policy in info.missing)),
        ("unit", info.unit),
        ("size", f"tiles are scaled to {info.size_px} px" if info.size_px else ""),
        ("network", info.architecture),
        ("licence", info.licence),
        ("source", info.source),
    ]
    lines = [f"  {title:12}{text}" for title, text in facts if text]
    width = max(40, shutil.get_terminal_size((_WIDTH, 0)).columns)
    wrapped = [line for text in lines for line in textwrap.wrap(text, width, subsequent_indent=" " * 14)]
    return "\n".join([f"{info.name}: {info.summary}", *wrapped])


def _policy(policy: str) -> str:
    """What stands in for a missing band, in words."""
    return {"zero": "reflectance 0 if the imagery lacks it", "mean": "the mean if the imagery lacks it"}.get(
        policy, f"a copy of {policy} if the imagery lacks it"
    )


COMMANDS = {"encoders": encoders}
