"""The commands that prepare a project: ``init``, ``tile``, ``embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .console import Console, Device, speaking

ProjectPath = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="The project file, NAME.gpkg.", show_default=False)
]


@speaking
def init(
    console: Console,
    project: ProjectPath,
    classes: Annotated[
        str,
        typer.Option(
            help="A preset (eurosat-10, bigearthnet-19, corine-level-1, ucmerced-17, worldcover-11), a text file with "
            "a name a line, or a CSV with name,colour,key.",
            show_default=False,
        ),
    ],
    mode: Annotated[str, typer.Option(help="single: one class a tile. multi: any number, including none.")] = "single",
    size: Annotated[int, typer.Option(help="Tile size in pixels.")] = 64,
) -> None:
    """Make a new project."""
    from ..project.classes import read_class_list
    from ..project.store import Project

    with Project.create(project, read_class_list(classes), mode, tile_size=size) as made:
        names = [item.name for item in made.classes()]
    console.say(f"Made {project}: {mode}-label, {len(names)} classes ({', '.join(names)}).")
    console.say(f"Next: quadrat tile {project} RASTER")
    console.result({"project": project, "mode": mode, "classes": names})


@speaking
def tile(
    console: Console,
    project: ProjectPath,
    rasters: Annotated[
        list[Path], typer.Argument(metavar="RASTER...", help="Any raster GDAL can read, or a Sentinel-2 product.")
    ],
    size: Annotated[int | None, typer.Option(help="Tile size in pixels.", show_default="the project's")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Distance between tiles in pixels.", show_default="the size")
    ] = None,
    aoi: Annotated[Path | None, typer.Option(help="Only tiles that touch the polygons of this vector file.")] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="The band names by position, for example B02,B03,B04,B08; '-' leaves a band out. Of a product, the "
            "names of the bands to use."
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Reflectance = (DN + offset) x scale.", show_default="as found")
    ] = None,
    offset: Annotated[
        float | None, typer.Option(help="-1000 from processing baseline 04.00 on.", show_default="as found")
    ] = None,
    nodata: Annotated[float | None, typer.Option(help="The DN that means no data.", show_default="as found")] = None,
    min_valid: Annotated[float, typer.Option(help="Share of valid pixels below which a tile is set aside.")] = 0.9,
    validation: Annotated[float, typer.Option(help="Share of tiles kept apart to check the result honestly.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Which tiles the validation sample draws.")] = 0,
    crs: Annotated[
        str | None, typer.Option(help="CRS of the tiles' polygons.", show_default="the first raster's")
    ] = None,
    max_cloud: Annotated[
        float | None,
        typer.Option(help="Share of cloudy pixels above which a tile is set aside.", show_default="any share will do"),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="A raster that says where clouds are.", show_default="the product's own")
    ] = None,
    mask_values: Annotated[
        str | None,
        typer.Option(help="The numbers of the mask that mean cloud, for example 3,8,9,10.", show_default="all but 0"),
    ] = None,
) -> None:
    """Cut rasters into tiles."""
    from ..project.store import Project
    from ..tiling import tile_rasters
    from ..tiling_options import TilingOptions

    options = TilingOptions(
        *(size, stride, min_valid, validation, seed, aoi, split_names(bands), scale, offset, nodata, crs),
        *(max_cloud, mask, split_numbers(mask_values)),
    )
    with Project.open(project) as opened, console.working("Tiling") as monitor:
        done = tile_rasters(opened, rasters, options, monitor)
    for item in done:
        tiles = f": {item.pool} tiles in the pool, {item.validation} for validation, {item.excluded} set aside"
        tiles += f" ({item.cloudy} for cloud)" if max_cloud is not None else ""
        console.say(f"{item.path.name} ({item.state}){tiles if item.state == 'new' else ''}")
    console.say(f"Next: quadrat embed {project}")
    console.result({"project": project, "rasters": [vars(item) for item in done]})


@speaking
def embed(
    console: Console,
    project: ProjectPath,
    encoder: Annotated[
        str,
        typer.Option(
            help="A name that quadrat encoders lists, an encoder file (.toml) or a weights file (.pth, .safetensors). "
            "auto: the one the project has, else the best at hand."
        ),
    ] = "auto",
    device: Device = "auto",
) -> None:
    """Turn each tile into a vector, once."""
    from ..devices import choose_device
    from ..embedding import choose_encoder
    from ..embedding import embed as embed_project
    from ..encoders.registry import load_encoder
    from ..project.store import Project

    with Project.open(project) as opened, console.working("Embedding") as monitor:
        name = choose_encoder(opened, encoder, monitor)
        loaded = load_encoder(name, choose_device(device), monitor.part(0.0, 0.1))
        made = embed_project(opened, loaded, name, monitor.part(0.1, 1.0))
    n_tiles, dimension = made.matrix.shape
    console.say(f"{n_tiles} tiles, {dimension} numbers each, by {made.encoder}.")
    console.say(f"Next: quadrat query {project} --out answers.csv")
    console.result({"project": project, "encoder": made.encoder, "tiles": n_tiles, "dimension": dimension})


def split_names(text: str | None) -> list[str] | None:
    """``"B02, B03"`` as a list; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",")]


def split_numbers(text: str | None) -> list[int] | None:
    """``"3, 8"`` as whole numbers; None stays None."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no list of whole numbers.", hint="Separate them by commas: --mask-values 3,8,9,10."
        ) from error


COMMANDS = {"init": init, "tile": tile, "embed": embed}
