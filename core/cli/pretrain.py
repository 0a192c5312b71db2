"""The command that trains an encoder on imagery, without labels: ``pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..pretraining.options import PretrainOptions
from .console import Console, Device, speaking, stopping_between_steps
from .setup import split_names

_DEFAULTS = PretrainOptions()
_VIEWS = "Views of a tile"
_TRAINING = "Training"


@speaking
def pretrain(
    console: Console,
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="A project, rasters or Sentinel-2 products, or a folder or zip of images (FOLDER/CLASS/IMAGE).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The encoder to make, NAME.safetensors.", show_default=False)],
    epochs: Annotated[int, typer.Option(help="How often each tile is looked at.")] = _DEFAULTS.epochs,
    method: Annotated[str, typer.Option(help="moco: MoCo v2. simclr: NT-Xent, for small batches.")] = _DEFAULTS.method,
    network: Annotated[
        str, typer.Option(help="resnet18_half, resnet18, resnet50 or densenet121; the last three want a GPU.")
    ] = _DEFAULTS.network,
    start: Annotated[
        str, typer.Option(help="Go on from this encoder, named as for embed.", show_default="nothing")
    ] = "",
    batch: Annotated[int, typer.Option(help="Tiles a step.")] = _DEFAULTS.batch,
    seed: Annotated[int, typer.Option(min=0, help="Decides all chance.")] = _DEFAULTS.seed,
    bands: Annotated[
        str | None,
        typer.Option(help="The names of the bands by position, if the files do not say; '-' leaves one out."),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Side of tiles and images in pixels.", show_default="64, or as the images are")
    ] = 0,
    holdout: Annotated[float, typer.Option(help="Share of the tiles never to look at, drawn by --holdout-seed.")] = 0.0,
    holdout_seed: Annotated[int, typer.Option(min=0, help="Which tiles are held out.")] = 0,
    labels: Annotated[
        bool, typer.Option(help="Measure by k-nearest neighbours, where labels are known; never learnt from.")
    ] = True,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without progress.", show_default="never")
    ] = _DEFAULTS.patience,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of going on with what was kept.")] = False,
    workers: Annotated[int, typer.Option(help="Threads that make views.")] = 2,
    lr: Annotated[float, typer.Option(help="Learning rate of AdamW.", rich_help_panel=_TRAINING)] = _DEFAULTS.lr,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.", rich_help_panel=_TRAINING)] = _DEFAULTS.weight_decay,
    temperature: Annotated[float, typer.Option(help="Of the loss.", rich_help_panel=_TRAINING)] = _DEFAULTS.temperature,
    queue: Annotated[
        int, typer.Option(help="Keys to compare with (moco).", rich_help_panel=_TRAINING)
    ] = _DEFAULTS.queue,
    momentum: Annotated[
        float, typer.Option(help="Of the key network (moco).", rich_help_panel=_TRAINING)
    ] = _DEFAULTS.momentum,
    neighbours: Annotated[
        int,
        typer.Option(help="Learn that a tile is like any of so many nearest neighbours.", rich_help_panel=_TRAINING),
    ] = _DEFAULTS.neighbours,
    mine_every: Annotated[
        int, typer.Option(help="Epochs after which neighbours are looked for anew.", rich_help_panel=_TRAINING)
    ] = _DEFAULTS.mine_every,
    view: Annotated[
        int, typer.Option(help="Side of a view in pixels.", rich_help_panel=_VIEWS, show_default="as the tiles")
    ] = _DEFAULTS.view_px,
    least_area: Annotated[
        float, typer.Option(help="Of the tile, in a view.", rich_help_panel=_VIEWS)
    ] = _DEFAULTS.least_area,
    most_area: Annotated[
        float, typer.Option(help="Of the tile, in a view.", rich_help_panel=_VIEWS)
    ] = _DEFAULTS.most_area,
    brightness: Annotated[
        float, typer.Option(help="Change by up to this share.", rich_help_panel=_VIEWS)
    ] = _DEFAULTS.brightness,
    contrast: Annotated[
        float, typer.Option(help="Change by up to this share.", rich_help_panel=_VIEWS)
    ] = _DEFAULTS.contrast,
    tint: Annotated[
        float, typer.Option(help="Change of each band for itself.", rich_help_panel=_VIEWS)
    ] = _DEFAULTS.tint,
    device: Device = "auto",
) -> None:
    """Train an encoder on your imagery, without labels; resumes where it stopped."""
    from ..devices import choose_device
    from ..pretraining.pretrain import pretrain as train_encoder
    from ..pretraining.sources import SourceOptions

    options = PretrainOptions(
        method=method,
        network=network,
        epochs=epochs,
        batch=batch,
        lr=lr,
        weight_decay=weight_decay,
        temperature=temperature,
        queue=queue,
        momentum=momentum,
        neighbours=neighbours,
        mine_every=mine_every,
        view_px=view,
        least_area=least_area,
        most_area=most_area,
        brightness=brightness,
        contrast=contrast,
        tint=tint,
        patience=patience,
        seed=seed,
    )
    where = SourceOptions(holdout, holdout_seed, split_names(bands), size, labels)
    with console.working("Training") as shown, stopping_between_steps(shown) as monitor:
        made = train_encoder(
            source,
            out,
            options,
            where,
            start=start,
            resume=not fresh,
            device=choose_device(device),
            workers=workers,
            monitor=monitor,
        )
    knn = "" if made.knn is None else f", k-NN accuracy {made.knn:.3f}"
    console.say(
        f"{made.encoder}: {made.dimension} numbers a tile from {', '.join(made.bands)}; "
        f"{made.epochs} epoch{'s' if made.epochs > 1 else ''} on {made.tiles} tiles, loss {made.loss:.3f}{knn}."
    )
    console.say(f"Next: quadrat embed PROJECT --encoder {made.encoder}")
    console.result(vars(made))


COMMANDS = {"pretrain": pretrain}
