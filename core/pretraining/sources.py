"""What an encoder can be trained on: the tiles of a project, rasters, or a folder of images, all as reflectance by row.

Rasters are cut into tiles by a project of their own, which lies beside the encoder until it is finished. Labels, where
there are any, only serve to say how good the encoder is: it never learns from them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..imagery.products import is_product
from ..images import ImageFolder, open_images
from ..monitor import Monitor
from ..pixels import TilePixels, cut_pixels
from ..project.answers import current_answers
from ..project.classes import ClassDraft
from ..project.store import Project
from ..splits import held_out
from ..tiling import tile_rasters
from ..tiling_options import TilingOptions
from .training import Tiles

_FEWEST = 2
_LARGEST_PX = 128
"""Images larger than this are made smaller: what they show then fits into a view of the usual size."""
NO_LABEL = -1


@dataclass(frozen=True)
class SourceOptions:
    """Which tiles, and how they are read.

    ``holdout`` is the share, drawn by ``seed``, that is never looked at; ``bands`` are names by position as for
    ``tile``; ``size_px`` is the side of tiles cut from rasters and of images (0: 64, and that of the images).
    """

    holdout: float = 0.0
    seed: int = 0
    bands: Sequence[str] | None = None
    size_px: int = 0
    labels: bool = True


@dataclass(frozen=True)
class Source:
    """Tiles to learn from.

    ``tiles`` give reflectance by row, ``bands`` are their names, ``labels`` (N,) the class of each row,
    :data:`NO_LABEL` where it is not known, or None; ``identity`` changes whenever the rows could be others.
    """

    name: str
    tiles: Tiles
    size_px: int
    bands: tuple[str, ...]
    labels: NDArray[np.int64] | None
    identity: str


@dataclass(frozen=True)
class Rows:
    """Some of the rows of other tiles."""

    tiles: Tiles
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.rows)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Reflectance (n, bands, H, W) of some of them (n,)."""
        return self.tiles(self.rows[rows])


def open_source(
    paths: Sequence[Path], options: SourceOptions, work: Path, stack: ExitStack, monitor: Monitor
) -> Source:
    """Make the tiles of ``paths`` readable by row.

    Args:
        paths: one project, one folder or zip of images, or rasters and Sentinel-2 products.
        options: which tiles, how read.
        work: a folder for what can be made again; the caller removes it.
        stack: closes what has to stay open meanwhile.
        monitor: told of the reading.

    Raises:
        UsageError: several kinds together, or too few tiles.
        ImageryError, ProjectError: something cannot be read.
    """
    if not paths:
        raise UsageError("There is nothing to learn from.", hint="Name a project, rasters, or a folder of images.")
    first = paths[0]
    if any(path.suffix == ".gpkg" for path in paths):
        if len(paths) > 1:
            raise UsageError("A project cannot be combined with other sources.", hint="Name the project alone.")
        source = _from_project(stack.enter_context(Project.open(first)), options, monitor)
    elif len(paths) == 1 and (first.is_dir() or first.suffix.lower() == ".zip") and not is_product(first):
        source = _from_images(open_images(first, options.bands), options, work, monitor)
    elif len(paths) > 1 and any(path.is_dir() and not is_product(path) for path in paths):
        raise UsageError(
            "Only one folder of images can be learnt from, and not together with anything else.",
            hint="Put the images into one folder, with a folder for each class if you like.",
        )
    else:
        source = _from_rasters(paths, options, work, stack, monitor)
    if len(source.tiles) < _FEWEST:
        raise UsageError(
            f"{source.name} has too few tiles to learn from ({len(source.tiles)}).",
            hint="Use more imagery, or hold out less (--holdout).",
        )
    return source


def _from_project(project: Project, options: SourceOptions, monitor: Monitor) -> Source:
    """The tiles of a project but its validation sample, which must stay unseen."""
    pixels, tile_ids = cut_pixels(project, monitor)
    pool = {tile.tile_id for tile in project.tiles(("pool",))}
    rows = np.flatnonzero([tile_id in pool for tile_id in tile_ids.tolist()])
    rows = rows[~held_out(len(rows), options.holdout, options.seed)]
    labels = _labels_of(project, tile_ids[rows]) if options.labels else None
    identity = _digest(pixels.identity, rows)
    return Source(project.path.stem, Rows(pixels, rows), project.tile_size, pixels.bands, labels, identity)


def _labels_of(project: Project, tile_ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The class of each tile where the analyst gave it exactly one; None if there is none."""
    answers = current_answers(project)
    labels = np.full(len(tile_ids), NO_LABEL, np.int64)
    for row, tile_id in enumerate(tile_ids.tolist()):
        answer = answers.get(tile_id)
        if answer is not None and len(answer.class_ids) == 1:
            labels[row] = answer.class_ids[0]
    return labels if (labels != NO_LABEL).any() else None


def _from_rasters(
    paths: Sequence[Path], options: SourceOptions, work: Path, stack: ExitStack, monitor: Monitor
) -> Source:
    place = work / "tiles.gpkg"
    size = options.size_px or 64
    if place.exists():
        project = stack.enter_context(Project.open(place))
    else:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        project = stack.enter_context(Project.create(place, [ClassDraft("any")], "single", tile_size=size))
    tile_rasters(project, paths, TilingOptions(bands=options.bands), monitor.part(0.0, 0.3))
    source = _from_project(project, options, monitor.part(0.3, 1.0))
    names = ", ".join(path.name for path in paths)
    return Source(names, source.tiles, source.size_px, source.bands, None, source.identity)


def _from_images(folder: ImageFolder, options: SourceOptions, work: Path, monitor: Monitor) -> Source:
    rows = np.flatnonzero(~held_out(len(folder.names), options.holdout, options.seed))
    size = options.size_px or min(max(folder.read(0).shape[1:]), _LARGEST_PX)
    work.mkdir(parents=True, exist_ok=True)
    array = folder.read_all(rows, size, work / "images.npy", monitor)
    # Of an image with several classes nobody can say whether its neighbour has its class.
    known = options.labels and folder.targets is not None and folder.targets.ndim == 1
    labels = folder.targets[rows] if known and folder.targets is not None else None
    identity = _digest(f"{folder.names} {folder.bands} {folder.white} {size}", rows)
    return Source(folder.path.stem, TilePixels([array], folder.bands, identity), size, folder.bands, labels, identity)


def _digest(what: str, rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(what.encode() + rows.astype(np.int64).tobytes()).hexdigest()[:16]
