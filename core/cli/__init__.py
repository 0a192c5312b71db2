"""The command line: one command a step, PROJECT always first.

Only this package and the standard library are imported at the start; a command imports what it needs when it runs, so
that ``--help`` answers at once.
"""

from __future__ import annotations

import typer

from . import batch, labelling, learning, setup

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
    app(prog_name="quadrat")
