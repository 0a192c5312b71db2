"""How fast every step is on this machine, each against its plain version in the same run.

Seconds differ from machine to machine and from run to run; ratios hardly do. So every step is measured beside the
simplest way to do the same: reading tile by tile with rasterio, the bare network on tiles in memory, farthest points by
updating every distance after every pick.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.windows import Window

from .. import rounds as round_steps
from ..answer_files import read_csv
from ..embedding import choose_encoder, embed, project_bands
from ..encoders.base import Encoder
from ..encoders.registry import load_encoder
from ..errors import UsageError
from ..kernels import farthest_points
from ..monitor import SILENT, Monitor
from ..pool import open_pool
from ..project.answers import Answer, record_answers
from ..project.classes import ClassDraft
from ..project.store import Project
from ..scenes import grid_of, open_scene
from ..tiling import tile_rasters

if TYPE_CHECKING:
    from ..encoders.networks import NetworkEncoder

LABELS = 512
BUDGET = 64
BARE_SECONDS = 4.0
MIB = 2**20


@dataclass(frozen=True)
class Measurement:
    """One step: our seconds, the plain version's, and their ratio (above 1: ours is faster)."""

    step: str
    seconds: float
    plain: str = ""
    plain_seconds: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The plain version's seconds over ours."""
        return None if self.plain_seconds is None else self.plain_seconds / self.seconds


@dataclass(frozen=True)
class BenchReport:
    """All measurements of one run."""

    raster: str
    tiles: int
    encoder: str
    measurements: list[Measurement]
    peak_mib: float

    def lines(self) -> list[str]:
        """The table, for people."""
        lines = [
            f"{self.raster}: {self.tiles} tiles, encoder {self.encoder}",
            f"{'step':42}{'s':>9}{'ratio':>8}  against",
        ]
        for item in self.measurements:
            ratio = "" if item.ratio is None else f"{item.ratio:.2f}"
            against = f"{item.plain} ({item.plain_seconds:.2f} s)" if item.plain_seconds is not None else ""
            lines.append(f"{item.step:42}{item.seconds:9.3f}{ratio:>8}  {against}  {item.note}".rstrip())
        return [*lines, f"peak memory of the job {self.peak_mib:.0f} MiB"]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "ratios": {item.step: item.ratio for item in self.measurements}}


def run_bench(
    raster: Path | None, encoder_name: str, truth: Path | None, device: str = "cpu", monitor: Monitor = SILENT
) -> BenchReport:
    """Run the job once on ``raster`` (a made landscape by default) in a temporary folder and measure it.

    ``truth`` gives the answers to learn from; it comes with the made landscape and must be given with a raster.

    Raises:
        UsageError: a raster without a truth.
    """
    with tempfile.TemporaryDirectory(prefix="quadrat-bench-") as folder:
        raster, truth = _scene(Path(folder), raster, truth, monitor.part(0.0, 0.2))
        results = [_measure_start()]
        classes = [ClassDraft(name) for name in _class_names(truth)]
        with Project.create(Path(folder) / "bench.gpkg", classes, "single") as project:
            tiling = _timed(lambda: tile_rasters(project, [raster]))
            results.append(Measurement("tile", tiling, note="validity, polygons, GeoPackage"))
            encoder_name = choose_encoder(project, encoder_name, monitor)
            encoder = load_encoder(encoder_name, device, monitor.part(0.2, 0.3))
            embedding = _timed(lambda: embed(project, encoder, encoder_name, monitor.part(0.3, 0.6)))
            results += _measure_rounds(project, truth, device)
            peak = peak_mib()
            monitor.advance(0.7, "Measuring the plain versions")
            results.insert(2, _compare_embedding(project, encoder, embedding))
            results.append(_compare_farthest_points(project, device))
            n_tiles = len(project.tiles())
        return BenchReport(raster.name, n_tiles, encoder.card.name, results, peak)


def _scene(folder: Path, raster: Path | None, truth: Path | None, monitor: Monitor) -> tuple[Path, Path]:
    if raster is not None and truth is not None:
        return raster, truth
    if raster is not None:
        raise UsageError(
            "Rounds can only be measured with answers.",
            hint="Give the truth as well: --truth FILE.csv (row,col,label).",
        )
    from ..demo.scene import make_scene

    scene = make_scene(folder, monitor=monitor)
    return scene.raster, scene.truth_single


def _class_names(truth: Path) -> list[str]:
    import pandas as pd

    return sorted(pd.read_csv(truth)["label"].dropna().unique())


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _measure_start() -> Measurement:
    """The command line's answer to --help, as a process of its own; the second of two, when the files are cached."""
    command = [sys.executable, "-m", "core", "--help"]
    root = Path(__file__).resolve().parents[2]
    runs = [
        _timed(lambda: subprocess.run(command, cwd=root, check=True, capture_output=True))  # noqa: S603
        for _ in range(2)
    ]
    return Measurement("--help, as a process", runs[1])


def _measure_rounds(project: Project, truth: Path, device: str) -> list[Measurement]:
    """Label a random sample from the truth, then time one round and one prediction of everything."""
    known = read_csv(project, truth, as_truth=True).answers
    chosen = np.random.default_rng(0).permutation(len(known))[: min(LABELS, len(known) // 2)]
    answers = [Answer(known[index].tile_id, known[index].kind, known[index].class_ids) for index in chosen]
    recording = _timed(lambda: record_answers(project, answers, annotator="bench", source="oracle"))
    # The first call of torch and scikit-learn in a process loads their libraries; a round is timed as in a session.
    pool = open_pool(project)
    round_steps.query(project, "mcfps", BUDGET, seed=1, device=device, pool=pool)
    result = [Measurement(f"record {len(answers)} answers", recording)]
    # Each has a seed of its own, or it would find the model of the one before.
    for seed, strategy in enumerate(("random", "margin", "fps", "mcfps"), start=2):
        seconds = _timed(partial(_one_round, project, strategy, seed, device))
        result.append(Measurement(f"round: train, {strategy} b = {BUDGET}, record", seconds))
    result.append(
        Measurement("predict and write all tiles", _timed(lambda: round_steps.predict(project, seed=6, device=device)))
    )
    return result


def _one_round(project: Project, strategy: str, seed: int, device: str) -> None:
    pool = open_pool(project)
    round_steps.train(project, seed=seed, device=device, pool=pool)
    round_steps.query(project, strategy, BUDGET, seed=seed, device=device, pool=pool)


def _compare_embedding(project: Project, encoder: Encoder, seconds: float) -> Measurement:
    """Against the bare network on tiles in memory, or, for an encoder without one, against reading alone."""
    from ..encoders.networks import NetworkEncoder

    record = project.rasters()[0]
    tiles = project.tiles(("pool", "validation"))
    name = f"embed {len(tiles)} tiles"
    if not isinstance(encoder, NetworkEncoder):
        raster, grid = open_scene(project, record), grid_of(record)
        indexes = [band.index for band in raster.bands]
        with rasterio.open(raster.path) as source:

            def read_all() -> None:
                for tile in tiles:
                    window = Window(tile.col * grid.stride, tile.row * grid.stride, grid.size, grid.size)
                    source.read(indexes, window=window)

            return Measurement(name, seconds, "rasterio reading the same windows", _timed(read_all))
    bare = len(tiles) / bare_rate(encoder, project_bands(project), record.tile_size)
    return Measurement(name, seconds, "the bare network on tiles in memory", bare)


def bare_rate(encoder: NetworkEncoder, bands: Sequence[str], tile_size: int) -> float:
    """Tiles a second through the network alone, prepared and in memory."""
    step = encoder.tiles_together
    batch = np.random.default_rng(0).random((step, len(bands), tile_size, tile_size), np.float32) * 0.3
    prepared = encoder.prepare(encoder.arrange(batch, bands))
    encoder.run(prepared).cpu()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < BARE_SECONDS:
        encoder.run(prepared).cpu()  # a GPU is done only when its result is here
        done += step
    return done / (time.perf_counter() - started)


def _compare_farthest_points(project: Project, device: str) -> Measurement:
    pool = open_pool(project)
    matrix = pool.embeddings.matrix
    picks: list[np.ndarray] = []
    lazy = _timed(lambda: picks.append(farthest_points(matrix, pool.eligible, pool.training, BUDGET, device=device)[0]))
    plain = _timed(lambda: picks.append(_plain_farthest_points(matrix, pool.training, pool.eligible)))
    same = "same picks" if np.array_equal(picks[0], picks[1]) else "OTHER PICKS"
    return Measurement(f"farthest points, b = {BUDGET}", lazy, "every distance after every pick", plain, same)


def _plain_farthest_points(matrix: np.ndarray, labelled: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    points = matrix.astype(np.float64)
    candidates = points[eligible]
    nearest = np.full(eligible.size, np.inf)
    for row in labelled:
        np.minimum(nearest, ((candidates - points[row]) ** 2).sum(axis=1), out=nearest)
    picks = []
    for _ in range(BUDGET):
        pick = int(nearest.argmax())
        picks.append(eligible[pick])
        np.minimum(nearest, ((candidates - candidates[pick]) ** 2).sum(axis=1), out=nearest)
        nearest[pick] = -1.0
    return np.array(picks)


def peak_mib() -> float:
    """The most memory this process has had so far."""
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / MIB if sys.platform == "darwin" else peak / 1024
    import psutil

    return float(psutil.Process().memory_info().peak_wset) / MIB
