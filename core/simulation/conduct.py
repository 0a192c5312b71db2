"""An experiment from its dataset to its report: open, embed, split, run, study, write.

This is where the parts of the package meet; the command line says what is wanted, and shows what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..encoders.registry import AUTO, FLOOR, TORCHGEO, find_network
from ..errors import Cancelled, QuadratError, UsageError
from ..kernels import Device
from ..monitor import SILENT, Monitor
from ..paths import is_folder
from .asked import check_asked, make_plans
from .dataset import Dataset, Vectors
from .experiments import Experiment, Setting
from .experiments.studies import Material, Study
from .plan import Plan, RoundResult
from .record import agreed_by, check_agreed, check_record
from .replay import check_plan
from .report import Report, write_report
from .runs import alone, run_all
from .sources import open_dataset
from .splits import Split, check_split, parts_of, split
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
    check_asked(experiment, {"device": str(device), **(wanted or {})}, parameters or {})
    check_encoders(source.encoders)
    _check_apart(source, out)
    with alone(out):
        dataset = _opened(source, monitor.part(0.0, 0.05))
        asked = {"mode": dataset.mode, "device": str(device), **(wanted or {})}
        setting, plans = make_plans(experiment, asked, parameters or {})
        name, studies = (None, ()) if experiment is None else (experiment.name, experiment.studies)
        agreed = {"experiment": name, "goal": setting.goal}
        check_agreed(out, {**agreed_by(plans), **agreed})
        if dataset.test is not None and (source.share, source.seed) != (Source.share, Source.seed):
            monitor.warn(f"{dataset.name} has a test set of its own: --holdout and --split-seed are of no account.")
        parted = split(dataset, share=source.share, seed=source.seed)
        check_split(dataset, parted, monitor)
        _check_plans(dataset, parted, plans)
        vectors = _embedded(dataset, parted, source, out, str(device), monitor.part(0.05, 0.2))
        drawn = {
            "share": source.share,
            "seed": source.seed,
            "test_path": source.test and str(source.test),
            "own_test": dataset.test is not None,
        }
        notes = {**agreed, "split": drawn, "command": command}
        running = monitor.part(0.2, 0.8)
        results = run_all(
            dataset, vectors, parted, plans, out, workers=workers, device=device, notes=notes, monitor=running
        )
        material = Material(dataset, vectors, parted, out, source.encoders[1:], device=device)
        _study(studies, material, monitor.part(0.8, 0.95))
        return Conducted(results, setting, plans, write_report([out], out, monitor.part(0.95, 1.0)))


def _check_apart(source: Source, out: Path) -> None:
    """Refuse to write among the images: the pictures of the report would be taken for some of them.

    Raises:
        UsageError: the folder for the results is the dataset's own, the test set's, or lies in one of them.
    """
    for folder in (Path(source.dataset), *([source.test] if source.test else [])):
        if is_folder(folder) and out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"The results would be written among the images of {folder.name}.",
                hint="Choose a folder beside them (--out).",
            )


def check_encoders(names: Sequence[str]) -> None:
    """Refuse encoders that are not known, before images are looked through.

    Raises:
        EncoderError: there is no such encoder.
    """
    for name in names:
        if name not in ("", AUTO, FLOOR) and not name.startswith(TORCHGEO):
            find_network(name)


def _opened(source: Source, monitor: Monitor) -> Dataset:
    return open_dataset(
        source.dataset,
        truth=source.truth,
        test=source.test,
        bands=source.bands,
        skip_bad=source.skip_bad,
        root=source.root,
        notes=source.kept,
        monitor=monitor,
    )


def _check_plans(dataset: Dataset, parted: Split, plans: Sequence[Plan]) -> None:
    """Refuse runs that cannot be made before tiles are embedded; which of these have no vector is not known yet."""
    sizes: dict[tuple[str, int, int], int] = {}
    for plan in plans:
        if plan.pool_key not in sizes:
            sizes[plan.pool_key] = len(parts_of(dataset, parted, plan).pool)
        check_plan(dataset, plan, sizes[plan.pool_key])


def _embedded(dataset: Dataset, parted: Split, source: Source, out: Path, device: str, monitor: Monitor) -> Vectors:
    def accept(encoder: str, key: str) -> None:
        check_record(out, dataset, encoder, key, parted)

    first = source.encoders[0] if source.encoders else AUTO
    return embed_dataset(dataset, first, source.kept, device, monitor, accept=accept)


def _study(studies: Sequence[Study], material: Material, monitor: Monitor) -> None:
    """Make the studies. One that cannot be made on this dataset leaves the others and the runs to be reported."""
    for number, study in enumerate(studies):
        part = monitor.part(number / len(studies), (number + 1) / len(studies))
        try:
            study.run(replace(material, monitor=part))
        except Cancelled:
            raise
        except QuadratError as error:
            monitor.warn(f'The report does without "{study.title}": {error.message}')
