"""The demo: a made landscape, labelled by active learning and mapped; then the same beside labels at random.

It is the ordinary batch of :mod:`..batch` with the landscape's own truth as oracle, plus a picture. Nothing in it
knows that the landscape is made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..batch import BatchOutcome, curve_table, run_batch
from ..config import BatchConfig
from ..defaults import default_strategy
from ..errors import UsageError
from ..monitor import SILENT, Monitor
from ..pictures import draw_project
from ..project.scores import main_score
from ..project.store import Project
from ..tiling_options import TilingOptions
from .scene import DemoScene, make_scene, scene_files

STRATEGY = default_strategy("single")
RANDOM = "random"
ROUNDS = 6
BUDGET = 32
COMPARED_SEEDS = 3


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo made: the job, its comparison with random labels, and the picture of the map."""

    job: BatchOutcome
    comparison: BatchOutcome
    map_picture: Path

    def lines(self) -> list[str]:
        """For people: what was reached, where it is, what to do next."""
        score = main_score(self.job.mode)
        labels = max(row["labels"] for row in self.comparison.curve)
        ours, random = (self._final(strategy, labels, score) for strategy in (STRATEGY, RANDOM))
        folder = self.map_picture.parent
        curve = next(file for file in self.comparison.files if file.suffix == ".png")
        return [
            *curve_table(self.comparison.curve, score),
            f"{labels} labels chosen by {STRATEGY}: {ours:.1%} of the validation tiles right; "
            f"{labels} random ones: {random:.1%} (means of {COMPARED_SEEDS} runs).",
            "Written:",
            f"  {self.job.projects[0]}  the project: tiles, answers, rounds, predictions",
            *(f"  {file}" for file in self.job.files if file.suffix in (".gpkg", ".geojson")),
            f"  {self.map_picture}  the landscape and its map",
            f"  {curve}  the learning curves",
            f"Next: look at the two pictures, open {self.job.projects[0]} in QGIS, and start with a raster of yours:",
            f"  quadrat init my.gpkg --classes {folder / 'classes.csv'}",
            "  quadrat tile my.gpkg RASTER",
            "  quadrat embed my.gpkg",
            "  quadrat query my.gpkg --out answers.csv",
        ]

    def _final(self, strategy: str, labels: int, score: str) -> float:
        rows = [row for row in self.comparison.curve if row["strategy"] == strategy and row["labels"] == labels]
        return float(np.mean([row[score] for row in rows]))

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**self.job.as_dict(), "comparison": self.comparison.as_dict(), "map": self.map_picture}


def _landscape(folder: Path, size_px: int, seed: int, monitor: Monitor) -> DemoScene:
    """The landscape in ``folder``, made if it is not there; one of another size or seed is not replaced."""
    about = folder / "landscape.json"
    wanted = {"size_px": size_px, "seed": seed}
    if not about.exists():
        scene = make_scene(folder, size_px=size_px, seed=seed, monitor=monitor)
        about.write_text(json.dumps(wanted), encoding="utf-8")
        return scene
    there = json.loads(about.read_text(encoding="utf-8"))
    if there != wanted:
        raise UsageError(
            f"{folder} holds the demo of another landscape (size {there['size_px']}, seed {there['seed']}).",
            hint="Choose another folder with --out, or delete that one.",
        )
    return scene_files(folder)


def run_demo(
    folder: Path, *, size_px: int = 2560, seed: int = 0, device: str = "cpu", monitor: Monitor = SILENT
) -> DemoOutcome:
    """Make the landscape in ``folder``, run the job on it, draw the map, and compare with random labels.

    A demo that is there already goes on where it stopped, or shows its result again.

    Raises:
        UsageError: the size is out of range, or ``folder`` holds the demo of another landscape.
    """
    scene = _landscape(folder, size_px, seed, monitor.part(0.0, 0.4))
    job = BatchConfig(
        project=folder / "demo.gpkg",
        rasters=(scene.raster,),
        classes=str(scene.classes),
        mode="single",
        folder=folder,
        tiling=TilingOptions(validation=0.25, seed=seed),
        strategies=(STRATEGY,),
        seeds=(seed,),
        budget=BUDGET,
        rounds=ROUNDS,
        truth=scene.truth_single,
        exports=(
            ("labels", folder / "labels.gpkg"),
            ("predictions", folder / "predictions.gpkg"),
            ("predictions", folder / "predictions.geojson"),
        ),
    )
    done = run_batch(job, device, monitor.part(0.4, 0.6))
    picture = folder / "map.png"
    with Project.open(job.project, writable=False) as project:
        draw_project(project, [picture])
    comparison = replace(
        job,
        project=folder / "comparison" / "demo.gpkg",
        folder=folder / "comparison",
        strategies=(STRATEGY, RANDOM),
        seeds=tuple(range(seed, seed + COMPARED_SEEDS)),
        exports=(),
    )
    return DemoOutcome(done, run_batch(comparison, device, monitor.part(0.6, 1.0)), picture)
