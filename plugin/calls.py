"""Which calls of the engine a step is made of.

Functions from the project, in the main thread, to :class:`.engine.task.Call` objects. A call whose parameters depend on
the results before it gets a function of those results, which runs in the task's thread and so touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.project.results import VALIDATION_SAMPLE
from ..core.project.store import Project
from .engine.task import Call, Results
from .requests import PrepareRequest, QuerySettings, RasterChoice
from .tallies import open_tiles, unanswered, why_nothing_to_learn


def tile_call(project: Project, request: PrepareRequest, choice: RasterChoice) -> Call:
    """Cut one raster. What the analyst left open is left out, so that the engine's defaults hold."""
    chosen = {
        "aoi": None if request.area is None else str(request.area),
        "stride": request.stride,
        "bands": None if choice.bands is None else list(choice.bands),
        "scale": choice.scale,
        "offset": choice.offset,
        "nodata": choice.nodata,
        "max_cloud": request.max_cloud,
        "mask": None if request.mask is None else str(request.mask),
    }
    parameters = {
        "project": str(project.path),
        "rasters": [str(choice.path)],
        "min_valid": request.min_valid,
        "validation": request.validation,
        "seed": request.seed,
    }
    return Call("tile", {**parameters, **{name: value for name, value in chosen.items() if value is not None}}, 3.0)


def embed_call(project: Project, encoder: str, device: str) -> Call:
    """Embed every tile that has no vector yet."""
    return Call("embed", {"project": str(project.path), "encoder": encoder, "device": device}, 4.0)


def relocate_call(project: Project, path: Path) -> Call:
    """Compare the file at ``path`` with the raster that the project has there."""
    return Call("tile", {"project": str(project.path), "rasters": [str(path)]})


def train_calls(project: Project, settings: QuerySettings) -> list[Call]:
    """Learn from the answers so far, if there is anything to learn."""
    return [] if why_nothing_to_learn(project) else [Call("train", _learning(project, settings))]


def predict_calls(project: Project, settings: QuerySettings) -> list[Call]:
    """Score the model, then give every tile its class or classes."""
    return [*train_calls(project, settings), Call("predict", _learning(project, settings))]


def query_calls(project: Project, settings: QuerySettings) -> list[Call]:
    """Ask for tiles, and all that belongs to the round."""
    query = {
        **_learning(project, settings),
        "budget": settings.budget,
        "parameters": dict(settings.parameters),
    }
    if settings.strategy:
        query["strategy"] = settings.strategy
    if settings.learner:
        query["learner"] = settings.learner
    return [Call("query", query), *rest_of_round(project, settings, asked_in)]


def rest_of_round(project: Project, settings: QuerySettings, asked: Callable[[Results], list[int]]) -> list[Call]:
    """What follows when the tiles of a round are chosen: its share of the validation sample, and suggestions."""
    calls = []
    if settings.validation_budget > 0 and not open_tiles(project, validation=True):
        sample = _sample(project, settings.validation_budget, settings.seed)
        left = unanswered(project, "validation")
        # Rasters cut in the same step bring validation tiles that the project does not have yet.
        calls.append(Call("query", lambda results: sample if left or _drawn_in(results) else None, 0.2))
    if not why_nothing_to_learn(project):
        learning = _learning(project, settings)
        calls.append(Call("suggest", lambda results: {**learning, "tiles": asked(results)}, 0.2))
    return calls


def suggest_calls(project: Project, settings: QuerySettings) -> list[Call]:
    """Suggestions for the open tiles of the latest round, if there are any and the model can say anything."""
    tiles = open_tiles(project)
    if not tiles or why_nothing_to_learn(project):
        return []
    return [Call("suggest", {**_learning(project, settings), "tiles": tiles})]


def validation_call(project: Project, budget: int, seed: int) -> Call:
    """Ask for tiles of the validation sample."""
    return Call("query", _sample(project, budget, seed))


def export_call(project: Project, out: Path, layer: str) -> Call:
    """Write a layer, or chips."""
    return Call("export", {"project": str(project.path), "out": str(out), "layer": layer})


def curve_call(project: Project, dark: bool) -> Call:
    """Draw the learning curve into the project's folder."""
    out = project.path.with_suffix(".quadrat") / f"learning_curve_{'dark' if dark else 'light'}.png"
    return Call("curve", {"project": str(project.path), "out": str(out), "dark": dark})


def asked_in(results: Results) -> list[int]:
    """The tiles that a query function chose in these results; [] if none did."""
    rounds = [result for result in results if "round" in result and result["strategy"] != VALIDATION_SAMPLE]
    return list(rounds[-1]["tiles"]) if rounds else []


def embedded_in(results: Results) -> int:
    """How many tiles have vectors after these results."""
    return next((result["tiles"] for result in results if "dimension" in result), 0)


def _drawn_in(results: Results) -> int:
    """How many validation tiles were drawn in these results."""
    return sum(raster["validation"] for result in results for raster in result.get("rasters", ()))


def _sample(project: Project, budget: int, seed: int) -> dict[str, Any]:
    return {"project": str(project.path), "validation": True, "budget": budget, "seed": seed}


def _learning(project: Project, settings: QuerySettings) -> dict[str, Any]:
    return {"project": str(project.path), "seed": settings.seed, "device": settings.device}
