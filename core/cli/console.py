"""What the command line says, and how: progress on a terminal, plain lines elsewhere, JSON for programs, exit status.

Results go to standard output. Progress, remarks and errors go to standard error, so that the last line
of standard output under ``--json`` is always one JSON object.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from ..errors import Cancelled, QuadratError
from ..monitor import Monitor

INTERRUPTED = 130

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.", rich_help_panel="Common")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.", rich_help_panel="Common")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, with details.", rich_help_panel="Common")]
Device = Annotated[
    str,
    typer.Option("--device", help="Where the network and the head run: auto, cpu or cuda.", rich_help_panel="Common"),
]


@dataclass(frozen=True)
class Console:
    """One command's voice."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """A line of the result, for people."""
        if not self.quiet:
            print(text, file=sys.stderr if self.json else sys.stdout)

    def result(self, values: Mapping[str, Any]) -> None:
        """The result for programs, if they asked for it."""
        if self.json:
            print(json.dumps(_finite(values), ensure_ascii=False, default=str, allow_nan=False))  # noqa: T201

    def error(self, error: QuadratError) -> None:
        """Say what happened and what to do, and for programs the same as JSON."""
        lines = [f"Error: {error.message}"]
        if error.details:
            lines += [f"  {line}" for line in error.details.splitlines()]
        if error.hint:
            lines.append(f"What to do: {error.hint}")
        print("\n".join(lines), file=sys.stderr)  # noqa: T201
        self.result({"error": error.as_dict()})

    @contextmanager
    def working(self, title: str) -> Iterator[Monitor]:
        """A monitor for one long step: a bar on a terminal, a line every tenth elsewhere."""
        if self.quiet:
            yield Monitor(remark=self._remark)
        elif sys.stderr.isatty():
            with self._bar(title) as monitor:
                yield monitor
        else:
            yield Monitor(report=_PlainProgress(title), remark=self._remark)

    @contextmanager
    def _bar(self, title: str) -> Iterator[Monitor]:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
            task = progress.add_task(title, total=1.0)

            def report(fraction: float, message: str) -> None:
                progress.update(task, completed=fraction, description=message or title)

            yield Monitor(report=report, remark=self._remark)

    def _remark(self, level: str, message: str) -> None:
        if level == "warning":
            print(f"Note: {message}", file=sys.stderr)  # noqa: T201
        elif not self.quiet:
            print(message, file=sys.stderr)  # noqa: T201


def _finite(value: Any) -> Any:
    """The same with null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def aligned(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A table as text, a line for the heads and one for each line."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    rows = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in (heads, *lines))
    return [row.rstrip() for row in rows]


@contextmanager
def stopping_between_steps(monitor: Monitor) -> Iterator[Monitor]:
    """Ctrl+C and SIGTERM stop the work where it next reports, with everything in order; a second one stops at once."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield replace(monitor, is_cancelled=lambda: bool(asked))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _PlainProgress:
    """For log files: nothing for what is done in two seconds, else a line every tenth."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.tenths = 0
        self.quiet_until = time.monotonic() + 2.0

    def __call__(self, fraction: float, message: str) -> None:
        tenths = int(fraction * 10)
        if tenths > self.tenths and time.monotonic() > self.quiet_until:
            self.tenths = tenths
            print(f"{message or self.title}: {tenths * 10} %", file=sys.stderr)  # noqa: T201


@contextmanager
def command(json: bool, quiet: bool, verbose: bool) -> Iterator[Console]:
    """Run a command's body: errors become messages and exit status 1 or 2, Ctrl+C becomes 130.

    A failure that Quadrat did not foresee is shown with its traceback under ``--verbose`` and named otherwise.
    """
    console = Console(json, quiet, verbose)
    try:
        yield console
    except QuadratError as error:
        if verbose:
            traceback.print_exc()
        console.error(error)
        raise typer.Exit(error.exit_status) from error
    except BrokenPipeError as error:  # whoever reads our output has gone, for example `head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - Python flushes it once more at its end
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        console.error(Cancelled())
        raise typer.Exit(INTERRUPTED) from error
    except typer.Exit:
        raise
    except Exception as error:  # the last line of defence: never a bare traceback for an analyst
        if verbose:
            traceback.print_exc()
        unforeseen = QuadratError(
            f"Something went wrong that Quadrat did not foresee: {type(error).__name__}: {error}",
            hint="Run the same command with --verbose and report what it prints.",
        )
        console.error(unforeseen)
        raise typer.Exit(1) from error


def speaking(function: Callable[..., None]) -> Callable[..., None]:
    """Turn a function of a console and its own options into a command that also has the common options."""
    own = inspect.signature(function, eval_str=True).parameters
    common = {"as_json": Json, "quiet": Quiet, "verbose": Verbose}

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        flags = [arguments.pop(name) for name in common]
        with command(*flags) as console:
            function(console=console, **arguments)

    options = [option for name, option in own.items() if name != "console"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    options += [inspect.Parameter(name, keyword, default=False, annotation=kind) for name, kind in common.items()]
    # Typer reads the options off the signature and the annotations.
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    del run.__wrapped__
    return run
