"""The command line: one command a step, PROJECT always first.

Only this package and the standard library are imported at the start; a command imports what it needs when it runs, so
that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from . import batch, labelling, learning, setup
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
for module in (setup, learning, labelling, batch):
    for name, function in module.COMMANDS.items():
        app.command(name)(function)


def main() -> None:
    """Entry point of ``quadrat`` and ``python -m core``."""
    # Threads that wait for each other must sleep, not spin: beside a busy QGIS, or our own reading thread, spinning
    # made the network five times slower on two cores. OpenMP looks at this once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        status = app(prog_name="quadrat", standalone_mode=False)
    except ClickException as error:
        error.show()
        Console(json="--json" in sys.argv).result({"error": {"kind": "usage", "message": error.format_message()}})
        status = USAGE
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    sys.exit(status)
