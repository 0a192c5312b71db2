"""A project that is tiled and embedded, and answers for it from the truth of its scene."""

from __future__ import annotations

from pathlib import Path

from quadrat.core.embedding import embed
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.store import Project
from quadrat.core.tiling import TilingOptions, tile_rasters

from .scene_factory import Scene, make_scene, new_project


def ready_project(folder: Path, mode: str = "single", validation: float = 0.25, **scene) -> tuple[Project, Scene]:
    """An open project with statistics of every tile."""
    made = make_scene(folder, **scene)
    project = new_project(folder / "p.gpkg", mode)
    tile_rasters(project, [made.raster], TilingOptions(validation=validation))
    embed(project, load_encoder("statistics"), "statistics")
    return project, made


def answer(project: Project, scene: Scene, tile_ids, round_id: int | None = None) -> None:
    """Answer tiles by their truth."""
    class_ids = {item.name: item.class_id for item in project.classes()}
    tiles = {tile.tile_id: tile for tile in project.tiles()}
    answers = [
        Answer(tile_id, "classes", (class_ids[scene.labels[tiles[tile_id].row, tiles[tile_id].col]],))
        for tile_id in tile_ids
    ]
    record_answers(project, answers, annotator="test", source="test", round_id=round_id)


def ids(project: Project, role: str) -> list[int]:
    """Numbers of the tiles in a role."""
    return [tile.tile_id for tile in project.tiles((role,))]
