"""The command line: one command a step, PROJECT always first.

Only this package and the standard library are imported at the start; a command imports what it needs when it runs, so
that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import (
    batch,
    bench,
    catalogues,
    encoders,
    labelling,
    learning,
    pretrain,
    probe,
    query_functions,
    setup,
    simulate,
    worker,
)
from .console import INTERRUPTED, Console

USAGE = 2
# Typer brings its own copy of click, or depends on it, by version; this is the class either way.
ClickException: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    name="quadrat",
    help="Label satellite imagery by active learning: find the tiles that are worth an analyst's eye, learn from the "
    "labels, map the rest.",
    epilog="A first look: quadrat demo. The steps by hand: init, tile, embed, query, label, train, predict, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ..about import version

        print(f"quadrat {version()}")  # noqa: T201
        raise typer.Exit


EPILOGS = {"query": query_functions.HELP}

for module in (setup, learning, labelling, catalogues, encoders, pretrain, probe, batch, simulate, bench):
    for name, function in module.COMMANDS.items():
        app.command(name, epilog=EPILOGS.get(name))(function)
for name, function in worker.COMMANDS.items():
    app.command(name, hidden=True)(function)  # spoken to by programs


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """The options of the program itself; its help is that of the app."""


def main() -> None:
    """Entry point of ``quadrat`` and ``python -m core``."""
    # Threads that wait for each other must sleep, not spin: beside a busy QGIS, or our own reading thread, spinning
    # made the network five times slower on two cores. OpenMP looks at this once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how systemd and docker stop a program: like Ctrl+C
    try:
        status = app(prog_name="quadrat", standalone_mode=False)
    except ClickException as error:
        error.show()
        usage = UsageError(error.format_message(), hint="See --help.")
        Console(json="--json" in sys.argv).result({"error": usage.as_dict()})
        status = USAGE
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    sys.exit(status)
