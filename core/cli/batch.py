"""The commands that run by themselves: ``run``, ``demo``, ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Console, Device, speaking


@speaking
def run(
    console: Console,
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to run; docs/batch.md describes it.")],
    device: Device = "auto",
) -> None:
    """Run the whole job from a file: tile, embed, query, answer from a truth, predict, export."""
    from ..batch import run_batch
    from ..config import read_config
    from ..devices import choose_device

    with console.working("Running") as monitor:
        outcome = run_batch(read_config(config), choose_device(device), monitor)
    for line in outcome.lines():
        console.say(line)
    console.result(outcome.as_dict())


@speaking
def demo(
    console: Console,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("demo"),
    size: Annotated[int, typer.Option(help="Width and height of the made landscape in pixels.")] = 2560,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another landscape.")] = 0,
    device: Device = "auto",
) -> None:
    """Make a landscape, label it by active learning, map it: see what Quadrat does."""
    from ..demo.pipeline import run_demo
    from ..devices import choose_device

    with console.working("Demo") as monitor:
        outcome = run_demo(out, size_px=size, seed=seed, device=choose_device(device), monitor=monitor)
    for line in outcome.lines():
        console.say(line)
    console.result(outcome.as_dict())


@speaking
def doctor(console: Console) -> None:
    """Check that everything the engine needs is here."""
    from ..doctor import examine

    checks = examine(Path.cwd())
    for check in checks:
        console.say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:12}  {check.found}")
        if check.hint:
            console.say(f"      {'':12}  {check.hint}")
    console.result({"ok": all(check.ok for check in checks), "checks": [vars(check) for check in checks]})
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


COMMANDS = {"run": run, "demo": demo, "doctor": doctor}
