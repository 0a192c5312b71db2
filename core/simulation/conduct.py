"""An experiment from its dataset to its report: open, embed, split, run, study, write.

This is where the parts of the package meet; the command line says what is wanted, and shows what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..kernels import Device
from ..monitor import SILENT, Monitor
from .asked import make_plans
from .experiments import Experiment, Setting
from .plan import Plan, RoundResult
from .report import Report, write_report
from .runs import run_all
from .sources import open_dataset
from .splits import split
from .vectors import embed_dataset


@dataclass(frozen=True)
class Source:
    """What is replayed: the arguments of :func:`.sources.open_dataset`, how it is split, and who sees it.

    share, seed: see :func:`.splits.split`. encoders: names or files; the runs are made with the first, or the best that
    is at hand if there is none, and the others are for studies that compare encoders. kept: the folder for vectors.
    """

    dataset: str
    kept: Path
    truth: Path | None = None
    test: Path | None = None
    bands: Sequence[str] | None = None
    skip_bad: bool = False
    root: Path | None = None
    share: float = 0.2
    seed: int = 0
    encoders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conducted:
    """What came of it: all rounds in the folder, the setting, the plans that were asked for, the report."""

    results: list[RoundResult]
    setting: Setting
    plans: list[Plan]
    report: Report


def conduct(
    source: Source,
    out: Path,
    experiment: Experiment | None = None,
    wanted: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    workers: int = 1,
    device: Device = "cpu",
    command: str = "",
    monitor: Monitor = SILENT,
) -> Conducted:
    """Make an experiment, or what is missing of it.

    Args:
        source: what is replayed.
        out: the folder for everything that comes of it, see :func:`.runs.run_all` and :func:`.report.write_report`.
        experiment, wanted, parameters: what is compared, see :func:`.asked.make_plans`.
        workers: runs at a time.
        device: where to compute.
        command: what was typed, for the record.
        monitor: progress, cancellation and remarks.

    Raises:
        QuadratError: of any kind, as the parts raise them; finished runs are kept.
        Cancelled: the caller asked to stop; the same call goes on from there.
    """
    dataset = open_dataset(
        source.dataset,
        truth=source.truth,
        test=source.test,
        bands=source.bands,
        skip_bad=source.skip_bad,
        root=source.root,
        notes=source.kept,
        monitor=monitor.part(0.0, 0.05),
    )
    asked = {"mode": dataset.mode, "device": str(device), **(wanted or {})}
    setting, plans = make_plans(experiment, asked, parameters or {})
    parted = split(dataset, share=source.share, validation=setting.validation, seed=source.seed)
    first, *others = source.encoders or ("",)
    vectors = embed_dataset(dataset, first, source.kept, str(device), monitor.part(0.05, 0.2))
    notes = {
        "experiment": None if experiment is None else experiment.name,
        "goal": setting.goal,
        "split": {
            "share": source.share,
            "seed": source.seed,
            "test_path": None if source.test is None else str(source.test),
        },
        "command": command,
    }
    running = monitor.part(0.2, 0.8)
    results = run_all(
        dataset, vectors, parted, plans, out, workers=workers, device=device, notes=notes, monitor=running
    )
    studies = experiment.studies if experiment is not None else ()
    for number, study in enumerate(studies):
        part = monitor.part(0.8 + 0.15 * number / len(studies), 0.8 + 0.15 * (number + 1) / len(studies))
        study.run(dataset, vectors, parted, out, encoders=others, device=device, monitor=part)
    return Conducted(results, setting, plans, write_report([out], out, monitor.part(0.95, 1.0)))
