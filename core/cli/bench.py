"""The command that measures: ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Console, Device, speaking

if TYPE_CHECKING:
    from ..bench.ground import Setting
    from ..bench.measure import Limits


@speaking
def bench(
    console: Console,
    size: Annotated[
        int | None, typer.Option(min=100, help="Tiles in the pool.", show_default="21600; 100000 with --growth")
    ] = None,
    dim: Annotated[
        int | None, typer.Option(min=1, help="Numbers in an embedding.", show_default="512; 128 with --growth")
    ] = None,
    budget: Annotated[int, typer.Option("--budget", "-b", min=1, help="Tiles to ask for.")] = 64,
    classes: Annotated[int, typer.Option(min=2, help="Classes.")] = 10,
    labelled: Annotated[int, typer.Option(min=2, help="Tiles that have a label.")] = 64,
    mode: Annotated[str, typer.Option(help="single or multi, for those functions that can do both.")] = "single",
    only: Annotated[list[str] | None, typer.Option(help="Measure only this one; repeatable.")] = None,
    plain: Annotated[bool, typer.Option("--plain/--no-plain", help="Also the plain versions.")] = True,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="Also scikit-activeml, where installed.")] = True,
    growth: Annotated[bool, typer.Option("--growth", help="Ours alone, on 1, 3 and 10 times as many tiles.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Stop a version after so long.")] = 30.0,
    gigabytes: Annotated[float, typer.Option(min=0.01, help="Stop a version that takes more memory.")] = 4.0,
    scene: Annotated[bool, typer.Option("--scene", help="Measure a whole job on a made landscape instead.")] = False,
    raster: Annotated[Path | None, typer.Option(help="Measure a whole job on this raster instead.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="CSV with the class of every tile (row,col,label), to answer from.")
    ] = None,
    granule: Annotated[
        bool, typer.Option("--granule", help="Measure tiling and embedding a made Sentinel-2 product instead.")
    ] = False,
    jp2: Annotated[
        bool, typer.Option("--jp2", help="With --granule: bands in JPEG 2000, as real ones; slow to make.")
    ] = False,
    encoder: Annotated[str, typer.Option(help="Which encoder to measure in a whole job.")] = "statistics",
    device: Device = "auto",
) -> None:
    """Measure kernels and query functions, or a whole job, against plain versions in one run."""
    from ..bench.ground import Setting, label_mode
    from ..bench.measure import Limits
    from ..devices import choose_device

    chosen = choose_device(device)
    if granule:
        lines, values = _granule(console, encoder, chosen, "JP2OpenJPEG" if jp2 else "GTiff")
    elif scene or raster is not None:
        lines, values = _job(console, raster, encoder, truth, chosen)
    else:
        sizes = (size or (100_000 if growth else 21_600), dim or (128 if growth else 512))
        setting = Setting(*sizes, budget, classes, labelled, label_mode(mode), chosen)
        limits = Limits(seconds, gigabytes)
        if growth:
            lines, values = _growth(console, setting, only or [], limits)
        else:
            lines, values = _comparison(console, setting, only or [], limits, plain, peers)
    for line in lines:
        console.say(line)
    console.result(values)


def _job(
    console: Console, raster: Path | None, encoder: str, truth: Path | None, device: str
) -> tuple[list[str], dict[str, Any]]:
    from ..bench.pipeline import run_bench

    with console.working("Measuring") as monitor:
        report = run_bench(raster, encoder, truth, device, monitor)
    return report.lines(), report.as_dict()


def _granule(console: Console, encoder: str, device: str, driver: str) -> tuple[list[str], dict[str, Any]]:
    from ..bench.granule import run_granule

    with console.working("Measuring") as monitor:
        report = run_granule(encoder, device, driver, monitor=monitor)
    return report.lines(), report.as_dict()


def _growth(console: Console, setting: Setting, only: list[str], limits: Limits) -> tuple[list[str], dict[str, Any]]:
    from ..bench.runs import grow
    from ..bench.tables import growth_lines

    with console.working("Measuring") as monitor:
        found = grow(setting, only, limits=limits, monitor=monitor)
    return growth_lines(found), found.as_dict()


def _comparison(
    console: Console, setting: Setting, only: list[str], limits: Limits, plain: bool, peers: bool
) -> tuple[list[str], dict[str, Any]]:
    from ..bench.runs import compare
    from ..bench.tables import comparison_lines

    with console.working("Measuring") as monitor:
        found = compare(setting, only, plain=plain, peers=peers, limits=limits, monitor=monitor)
    return comparison_lines(found), found.as_dict()


COMMANDS = {"bench": bench}
