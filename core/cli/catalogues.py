"""The commands that explain what there is to choose from: ``strategies`` and ``learners``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..catalogue import MODES, as_typed
from .console import Console, speaking

if TYPE_CHECKING:
    from ..catalogue import Catalogue, Entry

    E = TypeVar("E", bound=Entry)

_WIDTH = 140
"""Columns of the table where there is no terminal, for example in a file."""

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Explain this one in full.", show_default=False)]
Mode = Annotated[str | None, typer.Option(help="Only those for single-label or multi-label projects: single or multi.")]


@speaking
def strategies(console: Console, name: Name = None, mode: Mode = None) -> None:
    """List the query functions, or explain one."""
    from ..defaults import default_strategy
    from ..strategies.registry import COLD_START, STRATEGIES, facts

    found = _found(STRATEGIES, name, mode)
    if name is None:
        console.say(_table(found, "asks for"))
        console.say(
            f"If you name none, {default_strategy('single')} chooses, and {default_strategy('multi')} where a tile may "
            f"have several classes; {COLD_START} while there is nothing to learn from."
        )
        console.say("More on one of them: quadrat strategies NAME")
    else:
        (only,) = found
        needs = ", ".join(sorted(only.needs)) or "nothing"
        console.say(_in_full(only, "p", [("needs", needs), ("learner", only.learner or "any")]))
    console.result(
        {
            "default": {mode: default_strategy(mode) for mode in MODES},
            "cold_start": COLD_START,
            "strategies": [facts(item) for item in found],
        }
    )


@speaking
def learners(console: Console, name: Name = None, mode: Mode = None) -> None:
    """List what can learn from the answers, or explain one."""
    from ..defaults import default_learner
    from ..learners.registry import LEARNERS, facts

    found = _found(LEARNERS, name, mode)
    usual = {each: default_learner(each).name for each in MODES}
    if name is None:
        console.say(_table(found, "what it is"))
        console.say(
            f"If you name none, {usual['single']} learns, and {usual['multi']} where a tile may have several classes. "
            "More on one of them: quadrat learners NAME"
        )
    else:
        (only,) = found
        console.say(_in_full(only, "l", [("looks at", "tiles" if only.needs_pixels else "embeddings")]))
    console.result({"default": usual, "learners": [facts(item) for item in found]})


def _found(catalogue: Catalogue[E], name: str | None, mode: str | None) -> list[E]:
    """The named entry or all, as far as they can do the mode.

    Raises:
        UsageError: there is no such mode, no such name, or it cannot do the mode.
    """
    from ..errors import UsageError

    if mode not in (None, "single", "multi"):
        raise UsageError(f"{mode!r} is not a label mode.", hint="Use --mode single or --mode multi.")
    names = catalogue.names() if name is None else (name,)
    found = [entry for entry in map(catalogue.find, names) if mode in (None, *entry.modes)]
    if not found:
        raise UsageError(f"{name} does not work with {mode}-label projects.", hint="Leave --mode out to read on it.")
    return found


def _table(found: Sequence[Entry], purpose: str) -> str:
    """One entry a line, as wide as the terminal."""
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("name", overflow="fold", min_width=18)
    for title in ("labels", purpose, "time grows with", "source"):
        table.add_column(title)
    for item in found:
        table.add_row(item.name, ", ".join(item.modes), item.summary, item.cost, item.source)
    paper = RichConsole(width=shutil.get_terminal_size((_WIDTH, 0)).columns, markup=False, color_system=None)
    with paper.capture() as lines:
        paper.print(table)
    return "\n".join(line.rstrip() for line in lines.get().splitlines())


def _in_full(entry: Entry, option: str, more: Sequence[tuple[str, str]]) -> str:
    """Everything about one entry, a fact a line; ``option`` is what its parameters are given with."""
    facts = [
        ("labels", " and ".join(f"{mode}-label" for mode in entry.modes)),
        *more,
        ("time", f"grows with: {entry.cost}"),
        ("source", entry.source),
    ]
    lines = [f"{entry.name}: {entry.summary}", *(f"  {title:10}{text}" for title, text in facts)]
    lines += [f"  {'preset':10}{entry.name}:{name}: {item.summary}" for name, item in entry.presets.items()]
    for name, default in entry.defaults.items():
        limit = entry.limits.get(name)
        rule = "true or false" if isinstance(default, bool) else limit.rule() if limit else "any"
        lines.append(f"  {'parameter':10}-{option} {name}={as_typed(default)} ({rule})")
    return "\n".join(lines)


COMMANDS = {"strategies": strategies, "learners": learners}
