"""The whole job without hands: tile, embed, query, answer, learn, predict, export, from one configuration.

With an oracle (a truth CSV) the rounds run by themselves, the validation sample is answered first, and the result is a
learning curve. Without one, a run does all it can with the answers there are: it maps and exports, asks for the next
tiles, and writes the sheet to fill in; label it and run again.

Every step finds out by itself what is done already, so a batch that was killed goes on when it is started again.
Several query functions or seeds are compared on copies of the tiled and embedded project, one for each.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import rounds as round_steps
from .answer_files import read_csv
from .catalogue import label_mode
from .config import BatchConfig
from .defaults import default_learner
from .embedding import choose_encoder, embed
from .encoders.registry import load_encoder
from .errors import ProjectError, UsageError
from .export import check_target, export
from .models import Choice
from .monitor import SILENT, Monitor
from .pool import LabelledPool, open_pool
from .project.answers import Answer, current_answers, record_answers
from .project.classes import read_class_list
from .project.results import RoundRecord, picks_of_round, rounds
from .project.scores import main_score
from .project.store import Project
from .report import CurvePoint, draw_learning_curves
from .sheets import describe_round, write_sheet
from .strategies.registry import STRATEGIES
from .tiling import tile_rasters

CURVE_COLUMNS = (
    "strategy",
    "seed",
    "round",
    "labels",
    "accuracy",
    "micro_f1",
    "macro_f1",
    "mean_average_precision",
    "train_seconds",
    "query_seconds",
)


@dataclass(frozen=True)
class BatchOutcome:
    """What a batch made. ``curve`` has a row a round with the columns of :data:`CURVE_COLUMNS`."""

    projects: list[Path]
    files: list[Path]
    curve: list[dict[str, Any]] = field(default_factory=list)
    mode: str = "single"
    next_step: str = ""

    def lines(self) -> list[str]:
        """For people: the learning curve as a table, the files, what to do next."""
        lines = curve_table(self.curve, main_score(self.mode)) if self.curve else []
        lines += ["Written:", *(f"  {file}" for file in [*self.projects, *self.files])]
        return [*lines, self.next_step] if self.next_step else lines

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"projects": self.projects, "files": self.files, "curve": self.curve, "next": self.next_step}


@dataclass(frozen=True)
class Branch:
    """One query function with one seed, and the project it works on."""

    strategy: str
    seed: int
    path: Path


def run_batch(config: BatchConfig, device: str = "cpu", monitor: Monitor = SILENT) -> BatchOutcome:
    """Run ``config`` to its end, or to where an analyst is needed.

    Raises:
        QuadratError: whatever a step raises; the steps before it keep their results.
    """
    for strategy in config.strategies:
        entry = STRATEGIES.find(strategy)
        STRATEGIES.settings(entry, config.parameters)
        STRATEGIES.check_mode(entry, label_mode(config.mode))
    if config.learner is not None:
        config.learner.settings()
    for _, target in config.exports:
        check_target(target)
    if config.truth is not None and not config.truth.is_file():
        raise UsageError(f"There is no truth at {config.truth}.", hint="Correct `truth` in the table [oracle].")
    if config.rounds < 1 or config.budget < 1:
        raise UsageError("A batch needs at least one round of at least one tile.", hint="Correct rounds and budget.")
    with open_or_create(config) as project:
        tile_rasters(project, config.rasters, config.tiling, monitor.part(0.0, 0.15))
        name = choose_encoder(project, config.encoder, monitor)
        embed(project, load_encoder(name, device, monitor.part(0.15, 0.2)), name, monitor.part(0.2, 0.4))
        if config.truth is None:
            return _run_by_hand(config, project, device, monitor.part(0.4, 1.0))
        truth = {answer.tile_id: answer for answer in read_csv(project, config.truth, as_truth=True).answers}
        answer_validation(project, truth)
    branches = make_branches(config)
    files: list[Path] = []
    for index, branch in enumerate(branches):
        part = monitor.part(0.4 + 0.5 * index / len(branches), 0.4 + 0.5 * (index + 1) / len(branches))
        with Project.open(branch.path) as project:
            pool = run_rounds(config, project, branch, truth, device, part)
            if not pool.can_learn:
                monitor.warn(f"{branch.path.name}: the labels are too few or all of one class; nothing is predicted.")
                continue
            learner = _learner(config, branch)
            round_steps.predict(project, seed=branch.seed, learner=learner, device=device, pool=pool)
            files += _export(config, project, branch if len(branches) > 1 else None)
    curve = [row for branch in branches for row in curve_rows(branch)]
    files += write_curve(curve, config.folder, main_score(config.mode))
    return BatchOutcome([branch.path for branch in branches], files, curve, config.mode)


def open_or_create(config: BatchConfig) -> Project:
    """The batch's project, made if it is not there; one that is there must have the same label mode."""
    if not config.project.exists():
        config.project.parent.mkdir(parents=True, exist_ok=True)
        size = config.tiling.size_px or 64
        return Project.create(config.project, read_class_list(config.classes), config.mode, tile_size=size)
    project = Project.open(config.project)
    if project.mode != config.mode:
        mode = project.mode
        project.close()
        raise ProjectError(
            f"{config.project.name} is a {mode}-label project, the configuration says {config.mode}.",
            hint="Correct `mode`, or give the new project another name.",
        )
    return project


def make_branches(config: BatchConfig) -> list[Branch]:
    """One branch a query function and seed: the project itself if there is one, else a copy each.

    A copy that is there already is kept: it is a batch that goes on.
    """
    pairs = [(strategy, seed) for strategy in config.strategies for seed in config.seeds]
    if len(pairs) == 1:
        return [Branch(*pairs[0], config.project)]
    with Project.open(config.project, writable=False) as project:
        if rounds(project):
            raise ProjectError(
                f"{config.project.name} has rounds of its own, which every copy to be compared would begin with.",
                hint="Give the comparison a project of its own: change `project` in the configuration.",
            )
    return [Branch(strategy, seed, _copy_project(config.project, strategy, seed)) for strategy, seed in pairs]


def _copy_project(path: Path, strategy: str, seed: int) -> Path:
    copy = path.with_name(f"{path.stem}.{strategy.replace(':', '-')}.seed{seed}.gpkg")
    if copy.exists():
        return copy
    vectors = copy.with_suffix(".quadrat") / "embeddings"
    vectors.mkdir(parents=True, exist_ok=True)
    for file in (path.with_suffix(".quadrat") / "embeddings").glob("*.npy"):
        if not (vectors / file.name).exists():
            _link_or_copy(file, vectors / file.name)
    temporary = copy.with_suffix(".partial")
    shutil.copy2(path, temporary)
    return temporary.replace(copy)


def _link_or_copy(source: Path, target: Path) -> None:
    """Vectors are never changed in place, so copies of a project may share them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def answer_validation(project: Project, truth: Mapping[int, Answer]) -> None:
    """Let the oracle answer the validation sample, as far as it has not been answered."""
    answered = current_answers(project).keys()
    left = [tile.tile_id for tile in project.tiles(("validation",)) if tile.tile_id not in answered]
    fresh = [truth[tile_id] for tile_id in left if tile_id in truth]
    if fresh:
        record_answers(project, fresh, annotator="oracle", source="oracle")


def run_rounds(
    config: BatchConfig,
    project: Project,
    branch: Branch,
    truth: Mapping[int, Answer],
    device: str,
    monitor: Monitor,
) -> LabelledPool:
    """Query, let the oracle answer, train, until the configured number of rounds is done or no tile is left.

    ``truth`` has the answers by tile; the copies of a project have the same tiles. Returns the pool as it is then.
    """
    learner = _learner(config, branch)
    pool = open_pool(project)
    done = rounds(project)
    if done and "labels" not in done[-1].metrics:  # killed between the choice and the answers
        _answer_round(project, truth, done[-1].round_id)
        pool = open_pool(project, pool.embeddings)
        if pool.can_learn:
            round_steps.train(project, seed=branch.seed, learner=learner, device=device, pool=pool)
    for number in range(len(done), config.rounds):
        if pool.eligible.size == 0:
            break
        monitor.advance(number / config.rounds, f"{branch.strategy}, seed {branch.seed}: round {number + 1}")
        asked = round_steps.query(
            project,
            branch.strategy,
            config.budget,
            seed=branch.seed,
            parameters=config.parameters,
            learner=config.learner,
            device=device,
            pool=pool,
            monitor=Monitor(is_cancelled=monitor.is_cancelled),
        )
        _answer_round(project, truth, asked.round_id)
        pool = open_pool(project, pool.embeddings)
        if pool.can_learn:
            round_steps.train(project, seed=branch.seed, learner=learner, device=device, pool=pool)
    return pool


def _learner(config: BatchConfig, branch: Branch) -> Choice:
    """What learns in a branch: an experiment trains, scores and maps with the learner that chose the tiles."""
    return config.learner or default_learner(label_mode(config.mode), branch.strategy)


def _answer_round(project: Project, truth: Mapping[int, Answer], round_id: int) -> None:
    """Answer the tiles of a round that have no answer; a tile of which the truth says nothing is "unsure"."""
    answered = current_answers(project).keys()
    asked = [pick.tile_id for pick in picks_of_round(project, round_id) if pick.tile_id not in answered]
    answers = [truth.get(tile_id, Answer(tile_id, "unsure")) for tile_id in asked]
    if answers:
        record_answers(project, answers, annotator="oracle", source="oracle", round_id=round_id)


def _run_by_hand(config: BatchConfig, project: Project, device: str, monitor: Monitor) -> BatchOutcome:
    """Without an oracle: map and export what is known, ask for the next tiles if none are waiting."""
    files: list[Path] = []
    pool = open_pool(project)
    seed = config.seeds[0]
    if pool.can_learn:
        round_steps.predict(project, seed=seed, device=device, pool=pool, monitor=monitor.part(0.0, 0.5))
        files += _export(config, project, None)
    if pool.eligible.size == 0:
        return BatchOutcome([config.project], files, mode=config.mode, next_step="Every tile has an answer.")
    answered = current_answers(project).keys()
    past = rounds(project)
    waiting = past and any(pick.tile_id not in answered for pick in picks_of_round(project, past[-1].round_id))
    if not waiting:
        round_steps.query(
            project,
            config.strategies[0],
            config.budget,
            seed=seed,
            parameters=config.parameters,
            learner=config.learner,
            device=device,
            monitor=monitor.part(0.5, 1.0),
        )
    # The project's name is part of it: several batches may write into one folder.
    sheet = config.folder / f"{project.path.stem}-answers-round{len(rounds(project))}.csv"
    config.folder.mkdir(parents=True, exist_ok=True)
    if not sheet.exists():
        write_sheet(sheet, describe_round(project, rounds(project)[-1].round_id))
    step = f"Next: fill in the column label of {sheet}, then: quadrat label {config.project} {sheet}; then run again."
    return BatchOutcome([config.project], [*files, sheet], mode=config.mode, next_step=step)


def _export(config: BatchConfig, project: Project, branch: Branch | None) -> list[Path]:
    """Every export of the configuration; those of a branch go into a folder of its own."""
    made = []
    for layer, target in config.exports:
        place = target
        if branch is not None:
            place = target.parent / f"{branch.strategy.replace(':', '-')}.seed{branch.seed}" / target.name
        made.append(export(project, place, layer).path)
    return made


def curve_rows(branch: Branch) -> list[dict[str, Any]]:
    """A row a finished round of a branch."""
    with Project.open(branch.path, writable=False) as project:
        done: list[RoundRecord] = [item for item in rounds(project) if "labels" in item.metrics]
    return [
        {"strategy": branch.strategy, "seed": branch.seed, "round": number}
        | {name: item.metrics[name] for name in CURVE_COLUMNS if name in item.metrics}
        for number, item in enumerate(done, 1)
    ]


def write_curve(curve: Sequence[dict[str, Any]], folder: Path, score: str) -> list[Path]:
    """The learning curve as CSV, PNG and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "learning_curve.csv"
    columns = [name for name in CURVE_COLUMNS if any(name in row for row in curve)]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, restval="")
        writer.writeheader()
        writer.writerows(curve)
    points = [CurvePoint(row["strategy"], row["seed"], row["labels"], row[score]) for row in curve if score in row]
    if not points:
        return [table]
    pictures = [folder / "learning_curve.png", folder / "learning_curve.svg"]
    draw_learning_curves(points, score.replace("_", " "), pictures)
    return [table, *pictures]


def curve_table(curve: Iterable[dict[str, Any]], score: str) -> list[str]:
    """The learning curve as text: a line a number of labels, a column a query function, mean over seeds."""
    cells: dict[int, dict[str, list[float]]] = {}
    for row in curve:
        if score in row:
            cells.setdefault(row["labels"], {}).setdefault(row["strategy"], []).append(row[score])
    strategies = list(dict.fromkeys(name for by_name in cells.values() for name in by_name))
    if not cells:
        return ["No validation tile has an answer, so there is no learning curve."]
    width = max(8, *(len(name) + 2 for name in strategies))
    lines = [
        f"{score.replace('_', ' ')} on the validation sample",
        "labels" + "".join(f"{n:>{width}}" for n in strategies),
    ]
    for labels in sorted(cells):
        values = (cells[labels].get(name) for name in strategies)
        shown = (f"{np.mean(v):>{width}.3f}" if v else " " * width for v in values)
        lines.append(f"{labels:>6}" + "".join(shown))
    return lines
