"""Many runs at once, in processes of their own, kept in files as they finish.

The same plan gives the same numbers in whatever process and company it runs: on the CPU each computes on one thread. A
run that was interrupted is made again from its beginning; one that is finished is never made twice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from threadpoolctl import threadpool_limits

from ..errors import Cancelled, QuadratError, UsageError
from ..kernels import Device, Indices
from ..learners.registry import LEARNERS
from ..monitor import SILENT, Monitor
from .dataset import Dataset, Vectors
from .plan import Plan, RoundResult
from .record import keep_record
from .replay import askable, check_plan, remembering, replay
from .results import join_runs, learner_label, run_file, strategy_label, write_run
from .shared import Keeper, MappedTiles, MappedVectors, keeper_of, map_tiles, map_vectors
from .splits import Split

KEPT = "kept"
_LOOK_SECONDS = 0.2


def run_all(
    dataset: Dataset,
    vectors: Vectors,
    split: Split,
    plans: Sequence[Plan],
    folder: Path,
    *,
    workers: int = 1,
    device: Device = "cpu",
    notes: Mapping[str, Any] | None = None,
    monitor: Monitor = SILENT,
) -> list[RoundResult]:
    """Carry out the plans that are not finished yet, and write the table of all runs in the folder.

    Args:
        dataset: with the labels that the oracle answers with.
        vectors: of its rows.
        split: which rows may be asked, which test and which estimate.
        plans: the runs.
        folder: keeps ``experiment.json``, ``runs/``, ``rounds.csv`` and ``kept/``.
        workers: processes; on a GPU the runs are made one after the other in this one.
        device: where to compute.
        notes: for the record, see :func:`.record.keep_record`.
        monitor: progress, cancellation and remarks.

    Returns:
        The rounds of all runs in the folder, sorted.

    Raises:
        UsageError: a plan that cannot be carried out, results of something else in the folder, or another command that
            works there.
        QuadratError: a run failed, or its process died. What was finished is kept.
        Cancelled: the caller asked to stop; finished runs are kept, and their table is written.
    """
    if workers < 1:
        raise UsageError(f"{workers} processes do no work.", hint="Use 1 or more (--workers).")
    pools: dict[tuple[str, int, int], Indices] = {}
    for plan in plans:
        if plan.pool_key not in pools:
            pools[plan.pool_key] = askable(dataset, vectors, split, plan).pool
        check_plan(dataset, plan, len(pools[plan.pool_key]))
    with alone(folder):
        for remark in keep_record(folder, dataset, vectors, split, plans, str(device), notes or {}):
            monitor.warn(remark)
        files = {run_file(folder, plan): plan for plan in plans}
        jobs = [
            _Job(plan, file, keeper_of(folder / KEPT, vectors, pools[plan.pool_key]))
            for file, plan in files.items()
            if not file.exists()
        ]
        try:
            mapped = _with_mapped_tiles(dataset, jobs, folder / KEPT, monitor.part(0.0, 0.05))
            progress = _Progress(monitor.part(0.05, 1.0), len(jobs))
            if min(workers, len(jobs)) > 1 and torch.device(device).type == "cpu":
                common = _Common(mapped, map_vectors(vectors, folder / KEPT), split)
                _run_apart(common, jobs, min(workers, len(jobs)), progress)
            else:
                _run_here(mapped, vectors, split, jobs, device, progress)
        finally:
            results = join_runs(folder)
    return results


@dataclass(frozen=True)
class _Job:
    """A run to be made, the file for its rows, and what it shares with others on the same pool."""

    plan: Plan
    file: Path
    keeper: Keeper

    @contextmanager
    def named(self) -> Iterator[None]:
        """Say of which run an error is."""
        try:
            yield
        except Cancelled:
            raise
        except QuadratError as error:
            plan = self.plan
            raise QuadratError(
                f"The run of {strategy_label(plan)} with {learner_label(plan)} ({plan.variant}, seed {plan.seed}) "
                f"failed: {error.message}",
                hint=error.hint,
                details=error.details,
            ) from error


@dataclass(frozen=True)
class _Common:
    """What all runs in other processes are made on."""

    dataset: Dataset
    vectors: MappedVectors
    split: Split


class _Progress:
    """How many runs are done, and when the rest will be, judged by those."""

    def __init__(self, monitor: Monitor, total: int) -> None:
        self.monitor, self.total, self.done = monitor, total, 0
        self.started = time.monotonic()

    def advance(self, share: float = 0.0) -> None:
        """Report; ``share`` of the next run is done, too.

        Raises:
            Cancelled: the caller asked to stop.
        """
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done - share)
            left = f", about {max(1, round(seconds / 60))} min left" if seconds > 60 else f", {seconds:.0f} s left"
        self.monitor.advance((self.done + share) / max(self.total, 1), f"{self.done} of {self.total} runs{left}")

    def inside(self) -> Monitor:
        """A monitor for a run in this process. What a run remarks upon, it would say in every round of every run."""
        return Monitor(lambda share, _: self.advance(share), self.monitor.is_cancelled)


def _with_mapped_tiles(dataset: Dataset, jobs: Sequence[_Job], kept: Path, monitor: Monitor) -> Dataset:
    """The dataset as every process can have it; its images are read if a learner looks at them."""
    mapped = MappedTiles(tuple(dataset.tiles.bands), kept / f"tiles-{dataset.fingerprint[:16]}.npy")
    if any(LEARNERS.find(job.plan.learner.name).needs_pixels for job in jobs):
        map_tiles(dataset.tiles, len(dataset), mapped, monitor)
    return replace(dataset, tiles=mapped)


def _run_here(
    dataset: Dataset, vectors: Vectors, split: Split, jobs: Sequence[_Job], device: Device, progress: _Progress
) -> None:
    """One run after the other, in this process."""
    with _threads(1 if torch.device(device).type == "cpu" else torch.get_num_threads()):
        for job in jobs:
            progress.advance()
            with job.named():
                _carry_out(job, dataset, vectors, split, device, progress.inside())
            progress.done += 1


def _run_apart(common: _Common, jobs: Sequence[_Job], workers: int, progress: _Progress) -> None:
    """As many runs at a time as there are workers; they are ended at once if the caller asks to stop, or one fails."""
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin) as pool:
        try:
            futures = {pool.submit(_carry_out_apart, job, common): job for job in jobs}
            _watch(futures, progress)
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise


def _watch(futures: Mapping[Future[None], _Job], progress: _Progress) -> None:
    """Wait for all runs."""
    pending = set(futures)
    while pending:
        progress.advance()
        finished, pending = wait(pending, _LOOK_SECONDS, FIRST_COMPLETED)
        for future in finished:
            try:
                with futures[future].named():
                    future.result()
            except BrokenProcessPool as error:
                raise QuadratError(
                    "A process that made a run died.",
                    hint="It may have run out of memory: try fewer at a time (--workers). Finished runs are kept.",
                    details=str(error),
                ) from error
            progress.done += 1


def _begin() -> None:
    """What a process does before its first run: leave it to the parent to be interrupted, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threadpool_limits(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _carry_out_apart(job: _Job, common: _Common) -> None:
    _carry_out(job, common.dataset, common.vectors.open(), common.split, "cpu", SILENT)


def _carry_out(job: _Job, dataset: Dataset, vectors: Vectors, split: Split, device: Device, monitor: Monitor) -> None:
    keep = remembering(job.keeper)
    write_run(job.file, replay(dataset, vectors, split, job.plan, keep=keep, device=device, monitor=monitor))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch, and the libraries beneath numpy and scikit-learn, compute on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other command work in the same folder; this one may say so again meanwhile.

    The lock of a process that was killed is free.

    Raises:
        UsageError: another one does, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", is_singleton=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"Another simulation is at work in {folder.name}.", hint="Wait for it, or use another folder (--out)."
        ) from error
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be written to.",
            hint="Choose another one (--out), or allow writing to it.",
            details=str(error),
        ) from error
    try:
        yield
    finally:
        lock.release()
