"""The command that says how much of the land cover an encoder sees: ``probe``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Console, Device, aligned, speaking
from .setup import split_names

if TYPE_CHECKING:
    from ..probing import Probe


@speaking
def probe(
    console: Console,
    images: Annotated[
        Path, typer.Argument(help="A folder or zip of labelled images: FOLDER/CLASS/IMAGE, or with a labels.csv.")
    ],
    encoder: Annotated[
        list[str], typer.Option(help="As for embed; give the option several times to compare.", show_default=False)
    ],
    holdout: Annotated[float, typer.Option(help="Share of the images to test on.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Which images are held out, and which labels are drawn.")] = 0,
    labels: Annotated[
        str, typer.Option(help="How many labels the linear probe learns from, separated by commas.")
    ] = "512",
    draws: Annotated[int, typer.Option(min=1, help="How often they are drawn.")] = 5,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Test each image by all others: for a hundred images.")
    ] = False,
    bands: Annotated[
        str | None,
        typer.Option(help="The names of the bands by position, if the files do not say; '-' leaves one out."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Test encoders on labelled images: nearest neighbours and linear probes."""
    from ..devices import choose_device
    from ..encoders.registry import load_encoder
    from ..errors import UsageError
    from ..images import open_images
    from ..probing import probe as ask

    try:
        counts = [int(text) for text in labels.split(",")]
    except ValueError as error:
        raise UsageError(f"{labels!r} is no list of numbers.", hint="For example --labels 64,512.") from error
    folder = open_images(images, split_names(bands))
    found = []
    for name in encoder:
        with console.working(f"Testing {name}") as monitor:
            loaded = load_encoder(name, choose_device(device), monitor)
            found.append(
                ask(
                    loaded,
                    folder,
                    holdout=holdout,
                    seed=seed,
                    labels=counts,
                    draws=draws,
                    leave_one_out=leave_one_out,
                    monitor=monitor,
                )
            )
    console.say(_table(found))
    console.result({"images": images, "probes": [vars(item) for item in found]})


def _table(found: list[Probe]) -> str:
    counts = list(found[0].linear)
    heads = ["encoder", "numbers", "k-NN", *(f"{count} labels" for count in counts)]
    lines = [
        [
            item.encoder,
            str(item.dimension),
            f"{item.knn:.3f}",
            *(f"{mean:.3f}" + (f" ±{spread:.3f}" if spread else "") for mean, spread in item.linear.values()),
        ]
        for item in found
    ]
    title = f"{found[0].score} on {found[0].tested_on} images, from {found[0].trained_on} others"
    return "\n".join([title, *aligned(heads, lines)])


COMMANDS = {"probe": probe}
