"""Learners on a project: fit one on its answers, or find it fitted, and say what it thinks of every tile.

This is where a learner's name, the answers and the files beside the project meet.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
from safetensors import SafetensorError

from . import models
from .errors import LearningError
from .kernels import Device, Floats
from .kernels.memory import sparing
from .learners.base import Fitted, Run, Task
from .learners.registry import LEARNERS
from .learners.registry import fit as fit_learner
from .metrics import decide
from .model_files import ModelFiles
from .models import Choice, Model
from .monitor import SILENT, Monitor
from .pixels import TilePixels, open_pixels
from .pool import LabelledPool
from .project.store import Project
from .stability import kappa, stop_set
from .strategies.base import Predictions


def fit(
    project: Project,
    pool: LabelledPool,
    choice: Choice,
    *,
    seed: int = 0,
    losses: bool = False,
    device: str = "cpu",
    monitor: Monitor = SILENT,
) -> Model:
    """The learner for these answers, from its file where it was fitted before.

    Args:
        project: whose folder keeps the result.
        pool: the answers.
        choice: which learner.
        seed: the same seed gives the same result.
        losses: whether it shall also learn to predict its own losses.
        device: where to compute.
        monitor: progress, cancellation and remarks.

    Raises:
        UsageError: unknown learner or parameter.
        LearningError: no labels, or a single class in a single-label project.
        ImageryError: the learner needs the tiles themselves, and a raster is missing or changed.
    """
    check_learnable(pool)
    files = _files(project)
    key = _key(pool, choice, seed, losses)
    known = files.load(key, device)
    if known is not None:
        return Model(choice, key, known[0], pool.embeddings.matrix)
    task = replace(_task(project, pool, choice, files, monitor), losses=losses)
    start = files.start_for(choice.family)

    def fitted_on(chosen: Device) -> Fitted:
        return fit_learner(choice.name, task, Run(seed, start, chosen, monitor), choice.parameters)

    fitted = sparing(fitted_on, device, monitor)
    try:
        files.save(key, choice.family, fitted)
    except (OSError, SafetensorError) as error:
        monitor.warn(f"The trained model could not be kept ({error}); it is fitted again next time.")
    return Model(choice, key, fitted, pool.embeddings.matrix)


def calibrated(
    project: Project,
    pool: LabelledPool,
    model: Model,
    *,
    seed: int = 0,
    device: str = "cpu",
    monitor: Monitor = SILENT,
) -> Model:
    """The model at the temperature at which its probabilities are right as often as they say.

    The temperature is found by cross-validation on the training labels, and kept with the model. Learners for which
    that would take too long stay as they are.
    """
    files = _files(project)
    known = files.load(model.key, device)
    temperature = known[1] if known is not None else None
    if temperature is None:
        temperature = models.temperature_of(
            model.choice,
            lambda: _task(project, pool, model.choice, files, monitor),
            seed=seed,
            device=device,
            monitor=monitor,
        )
        if temperature is None:
            return model
        files.set_temperature(model.key, temperature)
    return model.at(temperature)


def predictions(
    project: Project,
    pool: LabelledPool,
    model: Model,
    *,
    seed: int = 0,
    device: str = "cpu",
    monitor: Monitor = SILENT,
) -> Predictions:
    """What a query function may know of a project's model, which is calibrated and compared with the last by files."""

    def honest() -> Floats:
        quiet = Monitor(is_cancelled=monitor.is_cancelled)
        return calibrated(project, pool, model, seed=seed, device=device, monitor=quiet).predict()

    return models.predictions(
        model,
        pool.mode,
        class_names=tuple(item.name for item in pool.classes),
        calibrated=honest,
        previous=_files(project).previous(model.key, model.choice.family, pool.embeddings.key, _class_ids(pool)),
        monitor=monitor,
    )


def remember(project: Project, pool: LabelledPool, model: Model, probabilities: Floats) -> None:
    """Keep what was thought of every tile at this query, for the query functions that look at what changes."""
    _files(project).remember(model.key, model.choice.family, pool.embeddings.key, _class_ids(pool), probabilities)


def agreement_with_round_before(project: Project, pool: LabelledPool, model: Model, round_id: int) -> float | None:
    """How far the model decides as the one after the labels of the round before, see :func:`.stability.kappa`.

    ``round_id`` is the round whose labels the model is the first to know; 0 where no round asked for any. However often
    it is trained within that round, it is compared with the round before. None where there is nothing to compare with:
    the first time, and after another encoder, learner or raster. What this model decides is kept for the next round.
    """
    files = _files(project)
    facts = (round_id, model.choice.family, pool.embeddings.key, _class_ids(pool))
    now = decide(model.predict(stop_set(np.arange(len(model.features)))), pool.mode, pool.seen)
    before = files.decided_before(*facts)
    files.keep_decided(*facts, now)
    return None if before is None else kappa(before, now, pool.mode)


def check_learnable(pool: LabelledPool) -> None:
    """Refuse answers from which nothing can be learnt.

    Raises:
        LearningError: no labels, or a single class in a single-label project.
    """
    if pool.training.size == 0:
        raise LearningError(
            "No tile has a label to learn from yet.",
            hint="Query and label some tiles first: quadrat query and quadrat label, or the Label panel in QGIS.",
        )
    if not pool.can_learn:
        only = pool.classes[int(pool.training_targets[0])].name
        raise LearningError(
            f"All {pool.training.size} labels so far are {only!r}; a second class is needed to tell apart.",
            hint="Label at least one tile of another class. Querying goes on without predictions until then.",
        )


def _task(project: Project, pool: LabelledPool, choice: Choice, files: ModelFiles, monitor: Monitor) -> Task:
    pixels: TilePixels | None = None
    if LEARNERS.find(choice.name).needs_pixels:
        pixels = open_pixels(project, pool.embeddings, monitor.part(0.0, 0.1))
    return Task(
        embeddings=pool.embeddings.matrix,
        labelled=pool.training,
        targets=pool.training_targets,
        n_classes=pool.n_classes,
        mode=pool.mode,
        unlabelled=pool.eligible,
        moments=pool.embeddings.moments,
        pixels=pixels,
        bands=() if pixels is None else pixels.bands,
        keep=lambda name, make: files.keep(name, pool.embeddings.key, make),
    )


def _key(pool: LabelledPool, choice: Choice, seed: int, losses: bool) -> str:
    """Everything a fitted learner depends on, as a hash."""
    seen = pool.eligible if LEARNERS.find(choice.name).uses_unlabelled else pool.eligible[:0]
    unlabelled = hashlib.sha256(np.ascontiguousarray(seen).tobytes()).hexdigest()
    facts = json.dumps(
        [pool.labels_key, unlabelled, choice.family, choice.weights_hash, seed, losses, pool.mode], sort_keys=True
    )
    return hashlib.sha256(facts.encode()).hexdigest()


def _files(project: Project) -> ModelFiles:
    return ModelFiles(project.folder / "models")


def _class_ids(pool: LabelledPool) -> list[int]:
    return [item.class_id for item in pool.classes]
