"""One function a method. Its keyword arguments are the method's parameters, with the command line's defaults.

Each opens the project anew, because QGIS and others change it meanwhile, and calls what the command line calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from .. import rounds
from ..catalogue import label_mode
from ..defaults import BUDGET, default_learner, default_strategy
from ..devices import choose_device
from ..doctor import examine
from ..embedding import choose_encoder, project_bands
from ..embedding import embed as embed_project
from ..encoders.listing import list_encoders, torchgeo_state
from ..encoders.registry import DEFAULT_ENCODER, load_encoder
from ..export import export as export_project
from ..learners.registry import LEARNERS
from ..learners.registry import facts as learner_facts
from ..models import Choice
from ..monitor import Monitor
from ..pictures import draw_scores
from ..pretraining.options import PretrainOptions
from ..pretraining.pretrain import pretrain as train_encoder
from ..project.scores import main_score
from ..project.store import Project
from ..rounds import Training
from ..strategies.registry import COLD_START, STRATEGIES
from ..strategies.registry import facts as strategy_facts
from ..suggestions import suggest as suggest_classes
from ..tiling import tile_rasters
from ..tiling_options import TilingOptions
from .inspection import look_at
from .parameters import AtLeast
from .warm import Warm

Seed = Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class Context:
    """What a method has besides its parameters: whom to report to, and what the last one left in memory."""

    monitor: Monitor
    warm: Warm


def inspect(
    context: Context,
    *,
    raster: Path,
    bands: list[str] | None = None,
    tile_size: Annotated[int, AtLeast(1)] = 64,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> dict[str, Any]:
    """Look at a raster before it is tiled."""
    context.monitor.advance(0.0, f"Looking at {raster.name}")
    return look_at(raster, bands, tile_size, scale, offset, nodata)


def strategies(_context: Context, *, mode: str | None = None) -> dict[str, Any]:
    """The query functions, those for one label mode if it is given."""
    found = [STRATEGIES.find(name) for name in STRATEGIES.names()]
    return {
        "default": default_strategy(label_mode(mode)),
        "cold_start": COLD_START,
        "strategies": [strategy_facts(item) for item in found if mode is None or mode in item.modes],
    }


def learners(_context: Context, *, mode: str | None = None) -> dict[str, Any]:
    """The learners, those for one label mode if it is given."""
    found = [LEARNERS.find(name) for name in LEARNERS.names()]
    return {
        "default": default_learner(label_mode(mode)).name,
        "learners": [learner_facts(item) for item in found if mode is None or mode in item.modes],
    }


def encoders(_context: Context, *, project: Path | None = None) -> dict[str, Any]:
    """The encoders that can be called by name; with a project, whether they suit its bands and which is the best."""
    bands, best = None, ""
    if project is not None:
        with Project.open(project) as opened:
            if opened.has_tiles():
                bands, best = project_bands(opened), choose_encoder(opened, DEFAULT_ENCODER)
    return {
        "default": DEFAULT_ENCODER,
        "best": best,
        "encoders": [vars(info) for info in list_encoders(bands)],
        "torchgeo": torchgeo_state(),
    }


def tile(
    context: Context,
    *,
    project: Path,
    rasters: list[Path],
    size: int | None = None,
    stride: int | None = None,
    aoi: Path | None = None,
    bands: list[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    min_valid: float = 0.9,
    validation: float = 0.0,
    seed: Seed = 0,
    crs: str | None = None,
    max_cloud: float | None = None,
    mask: Path | None = None,
    mask_values: list[int] | None = None,
) -> dict[str, Any]:
    """Cut rasters into tiles."""
    options = TilingOptions(
        *(size, stride, min_valid, validation, seed, aoi, bands, scale, offset, nodata, crs),
        *(max_cloud, mask, mask_values),
    )
    with Project.open(project) as opened:
        return {"rasters": [vars(item) for item in tile_rasters(opened, rasters, options, context.monitor)]}


def embed(context: Context, *, project: Path, encoder: str = DEFAULT_ENCODER, device: str = "auto") -> dict[str, Any]:
    """Turn each tile into a vector."""
    context.warm.forget()
    with Project.open(project) as opened:
        context.monitor.advance(0.0, "Loading the encoder")
        name = choose_encoder(opened, encoder, context.monitor)
        loaded = load_encoder(name, choose_device(device), context.monitor.part(0.0, 0.1))
        made = embed_project(opened, loaded, name, context.monitor.part(0.1, 1.0))
    n_tiles, dimension = made.matrix.shape
    return {"encoder": made.encoder, "tiles": n_tiles, "dimension": dimension}


def pretrain(
    context: Context,
    *,
    project: Path,
    out: Path,
    method: str = PretrainOptions.method,
    epochs: Annotated[int, AtLeast(1)] = PretrainOptions.epochs,
    batch: Annotated[int, AtLeast(2)] = PretrainOptions.batch,
    seed: Seed = 0,
    start: str = "",
    resume: bool = True,
    device: str = "auto",
) -> dict[str, Any]:
    """Train an encoder on the project's tiles, or go on with a training that was stopped."""
    made = train_encoder(
        [project],
        out,
        PretrainOptions(method=method, epochs=epochs, batch=batch, seed=seed),
        start=start,
        resume=resume,
        device=choose_device(device),
        monitor=context.monitor,
    )
    return vars(made)


def query(
    context: Context,
    *,
    project: Path,
    strategy: str | None = None,
    budget: int = BUDGET,
    seed: Seed = 0,
    parameters: dict[str, Any] | None = None,
    learner: str | None = None,
    learner_parameters: dict[str, Any] | None = None,
    validation: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Choose the tiles that are worth labelling next, or some of the validation sample."""
    with Project.open(project) as opened:
        pool = context.warm.pool(opened)
        if validation:
            asked = rounds.query_validation(opened, budget, seed=seed, pool=pool)
        else:
            asked = rounds.query(
                opened,
                strategy,
                budget,
                seed=seed,
                parameters=parameters,
                learner=Choice(learner, learner_parameters or {}) if learner else None,
                device=choose_device(device),
                pool=pool,
                monitor=context.monitor,
            )
    return {
        "round": asked.round_id,
        "strategy": asked.strategy,
        "chosen_by": asked.chosen_by,
        "tiles": asked.tile_ids,
        "eligible": asked.eligible,
    }


def suggest(
    context: Context, *, project: Path, tiles: list[int], seed: Seed = 0, device: str = "auto"
) -> dict[str, Any]:
    """What the head would answer for some tiles; nothing while there is nothing to learn from."""
    with Project.open(project) as opened:
        pool = context.warm.pool(opened)
        found = suggest_classes(
            opened, tiles, seed=seed, device=choose_device(device), pool=pool, monitor=context.monitor
        )
    return {"suggestions": [{"tile_id": tile_id, "classes": classes} for tile_id, classes in found.items()]}


def train(
    context: Context, *, project: Path, seed: Seed = 0, goal: float | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Fit the head on all answers, check it on the validation sample, and say whether to stop."""
    with Project.open(project) as opened:
        pool = context.warm.pool(opened)
        done = rounds.train(
            opened, seed=seed, goal=goal, device=choose_device(device), pool=pool, monitor=context.monitor
        )
    advice = None if done.advice is None else vars(done.advice)
    return {**_training(done), "seconds": done.seconds, "agreement": done.agreement, "advice": advice}


def predict(context: Context, *, project: Path, seed: Seed = 0, device: str = "auto") -> dict[str, Any]:
    """Give every tile its class or classes, a probability and an uncertainty."""
    with Project.open(project) as opened:
        pool = context.warm.pool(opened)
        done = rounds.predict(opened, seed=seed, device=choose_device(device), pool=pool, monitor=context.monitor)
    return {"tiles": done.tiles, "per_class": done.per_class, **_training(done.training)}


def export(context: Context, *, project: Path, out: Path, layer: str = "labels") -> dict[str, Any]:
    """Write labels, predictions or tiles for others to use."""
    with Project.open(project, writable=False) as opened:
        made = export_project(opened, out, layer, context.monitor)
    return {"path": made.path, "layer": made.layer, "tiles": made.tiles}


def curve(context: Context, *, project: Path, out: Path, dark: bool = False) -> dict[str, Any]:
    """Draw the learning curve; without a checked round there is none."""
    context.monitor.advance(0.0, "Drawing the learning curve")
    with Project.open(project, writable=False) as opened:
        scored = draw_scores(opened, out, dark=dark)
        score_name = main_score(opened.mode)
    points = [
        {
            "round": point.round_id,
            "strategy": point.strategy,
            "labels": point.labels,
            "validation_labels": point.validation_labels,
            "score": point.score,
            "interval": point.interval,
        }
        for point in scored
    ]
    return {"path": out if points else None, "points": points, "score_name": score_name}


def doctor(_context: Context, *, folder: Path | None = None) -> dict[str, Any]:
    """Check that everything the engine needs is here, and room in ``folder``."""
    return {"checks": [vars(check) for check in examine(folder or Path.cwd())]}


def _training(done: Training) -> dict[str, Any]:
    return {
        "labels": done.labels,
        "validation_labels": done.validation_labels,
        "metrics": done.metrics,
        "interval": done.interval,
    }


METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function
    for function in (
        inspect,
        strategies,
        learners,
        encoders,
        tile,
        embed,
        pretrain,
        query,
        suggest,
        train,
        predict,
        export,
        curve,
        doctor,
    )
}
