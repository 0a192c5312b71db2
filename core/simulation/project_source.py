"""A Quadrat project as a dataset: those of its tiles that a truth answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..answer_files import AnswerFile, read_csv
from ..catalogue import Mode
from ..embedding import Embeddings, load_embeddings, project_bands
from ..errors import AnswerError
from ..kernels import Floats, Indices
from ..monitor import SILENT, Monitor
from ..pixels import TilePixels, cut_pixels
from ..project.answers import Answer
from ..project.store import Project
from ..project.vectors import ProjectEncoder, encoder_of
from ..resizing import resized
from .dataset import Dataset
from .fingerprints import fingerprint_of


class ProjectTiles:
    """Tiles ``tile_ids`` (N,), ascending, of the project at ``path``; ``bands`` are those that all its rasters have.

    The rasters are only needed where pixels are read for the first time: then all tiles are cut into a file beside the
    project, see :mod:`..pixels`.
    """

    def __init__(self, path: Path, bands: tuple[str, ...], tile_ids: NDArray[np.int64]) -> None:
        self.path = path
        self.bands = bands
        self.tile_ids = tile_ids
        self._cut: tuple[TilePixels, Indices] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; it maps the file of pixels itself."""
        return {**vars(self), "_cut": None}

    def cut(self, monitor: Monitor = SILENT) -> tuple[TilePixels, Indices]:
        """The pixels, cut where that was not done before, and where in them each tile is (N,).

        Raises:
            ImageryError: a raster is missing, changed or truncated.
            ProjectError: the project cannot be read, or the disk is full.
        """
        if self._cut is None:
            with Project.open(self.path, writable=False) as project:
                pixels, tile_ids = cut_pixels(project, monitor)
            self._cut = pixels, np.searchsorted(tile_ids, self.tile_ids)
        return self._cut

    def read(self, rows: Indices, size_px: int | None = None) -> Floats:
        """Reflectance (n, bands, S, S) of some rows (n,).

        Raises:
            ImageryError, ProjectError: as :meth:`cut`.
        """
        pixels, places = self.cut()
        tiles = pixels(places[rows])
        return tiles if size_px is None else np.asarray(resized(torch.from_numpy(tiles), size_px).numpy())

    def encoder(self) -> ProjectEncoder | None:
        """The encoder that the project has vectors of; None before its tiles were embedded."""
        with Project.open(self.path, writable=False) as project:
            return encoder_of(project)

    def embeddings(self) -> Embeddings:
        """The project's own vectors of these tiles.

        Raises:
            ProjectError: there are none, or they no longer belong to the tiles or to the imagery.
        """
        with Project.open(self.path, writable=False) as project:
            every = load_embeddings(project)
        matrix = every.matrix[every.rows_of(self.tile_ids)]
        return Embeddings(matrix, self.tile_ids, every.encoder, every.key)


def open_project_dataset(path: Path, truth: Path, monitor: Monitor) -> Dataset:
    """The tiles of a project that a CSV of answers knows, named by their numbers.

    Raises:
        ProjectError: no such project, or one without tiles.
        AnswerError: a line of the truth is wrong, or none answers a tile.
    """
    with Project.open(path, writable=False) as project:
        bands = project_bands(project)
        found = read_csv(project, truth, as_truth=True)
        mode: Mode = "single" if project.mode == "single" else "multi"
        answers = sorted((item for item in found.answers if _is_label(item, mode)), key=lambda item: item.tile_id)
        _tell(found, len(answers), sum(tile.role != "excluded" for tile in project.tiles()), truth, monitor)
        classes = project.classes()
        rasters = [
            (item.fingerprint, item.bands, item.scale, item.offset, item.nodata, item.tile_size, item.stride)
            for item in project.rasters()
        ]
        place_of = {tile.tile_id: (tile.raster_id, tile.row, tile.col) for tile in project.tiles()}
    targets = _targets(answers, [item.class_id for item in classes], mode)
    tile_ids = np.array([answer.tile_id for answer in answers], np.int64)
    places = np.array([place_of[tile_id] for tile_id in tile_ids.tolist()], np.int64)
    names = tuple(item.name for item in classes)
    return Dataset(
        name=path.stem,
        mode=mode,
        classes=names,
        targets=targets,
        names=tuple(map(str, tile_ids.tolist())),
        tiles=ProjectTiles(path.absolute(), bands, tile_ids),
        fingerprint=fingerprint_of([rasters, names], places, targets),
    )


def _is_label(answer: Answer, mode: Mode) -> bool:
    """Whether it can be learnt from: "none of these" is an empty set of classes, but no single class."""
    return answer.kind == "classes" or (answer.kind == "none" and mode == "multi")


def _tell(found: AnswerFile, answered: int, tiles: int, truth: Path, monitor: Monitor) -> None:
    if not answered:
        raise AnswerError(
            f"{truth.name} answers no tile of the project.",
            hint="It needs a line with a class for each tile: tile_id,label or row,col,label.",
        )
    if answered < tiles:
        monitor.info(f"{truth.name} has no class for {tiles - answered} of {tiles} tiles; they are left out.")
    if found.elsewhere:
        monitor.info(f"Lines of {truth.name} about tiles that the project does not have: {found.elsewhere}.")


def _targets(answers: list[Answer], class_ids: list[int], mode: Mode) -> NDArray[np.int64]:
    places = [[class_ids.index(class_id) for class_id in answer.class_ids] for answer in answers]
    if mode == "single":
        return np.array([place for (place,) in places], np.int64)
    targets = np.zeros((len(places), len(class_ids)), np.int64)
    for row, of_tile in enumerate(places):
        targets[row, of_tile] = 1
    return targets
