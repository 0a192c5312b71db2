"""Seconds and memory of one piece of work, in a process of its own.

Whoever measures must not disturb: a process of its own starts with clean memory, gives it back, and may be stopped when
it takes too long or too much. Its memory is read from outside, because a thread inside waits for the interpreter just
when the work takes most of it. Memory counts without the pages of files that are mapped into it: those the system
takes back whenever it likes.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil
import torch

from ..errors import QuadratError
from ..monitor import SILENT, Monitor

Action = Callable[[], Any]
GB = 10**9
_SAMPLE_SECONDS = 0.005
_REPEAT_SECONDS = 1.0
_REPEATS = 3


@dataclass(frozen=True)
class Limits:
    """When to stop a piece of work: ``seconds`` of its time, ``gigabytes`` beyond what it started with."""

    seconds: float = 30.0
    gigabytes: float = 4.0


@dataclass(frozen=True)
class Outcome:
    """What a piece of work took and gave.

    seconds: of the fastest run; the limit, if it was stopped there. peak_bytes: the most memory beyond what the process
    had before. device_bytes: the same on the GPU, None without one. value: what it returned. problem: empty, or why
    there is no value, in a few words.
    """

    seconds: float | None = None
    peak_bytes: int | None = None
    device_bytes: int | None = None
    value: Any = None
    problem: str = ""


@dataclass(frozen=True)
class _Done:
    """What the process sends back."""

    seconds: float = 0.0
    device_bytes: int | None = None
    value: Any = None
    problem: str = ""


def measure(prepare: Callable[[], Action], limits: Limits, monitor: Monitor = SILENT) -> Outcome:
    """Call ``prepare()``, which is not measured, and then what it returned, which is; both in a new process.

    What takes less than a third of a second is run three times, and the fastest counts.

    Args:
        prepare: can be pickled, as what the action returns.
        limits: the action is stopped there.
        monitor: cancellation.

    Raises:
        Cancelled: the caller asked to stop; the process is gone.
    """
    ours, theirs = multiprocessing.Pipe()
    process = _new_process(theirs, prepare)
    process.start()
    theirs.close()
    try:
        return _watch(process, ours, limits, monitor)
    finally:
        process.kill()
        process.join()
        ours.close()


def _new_process(pipe: Connection, prepare: Callable[[], Action]) -> BaseProcess:
    """On Linux a fork of a process that has loaded the libraries, but never worked with them: it starts at once."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn").Process(target=_work, args=(pipe, prepare), daemon=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "sklearn.cluster", "sklearn.neighbors", f"{__package__}.cases"])
    return context.Process(target=_work, args=(pipe, prepare), daemon=True)


def _watch(process: BaseProcess, pipe: Connection, limits: Limits, monitor: Monitor) -> Outcome:
    """Wait for the process to be ready, let it go, and look at its memory until it is done or must be stopped."""
    seen = psutil.Process(process.pid)
    try:
        while not pipe.poll(0.1):
            monitor.advance(0.0, "Preparing")
        if pipe.recv() is not None:
            return Outcome(problem=pipe.recv().problem)
        before = peak = _memory(seen)
        pipe.send(None)
        started = time.monotonic()
        while not pipe.poll(_SAMPLE_SECONDS):
            peak = max(peak, _memory(seen))
            monitor.advance(0.0, "Measuring")
            if peak - before > limits.gigabytes * GB:
                return Outcome(peak_bytes=peak - before, problem=f"over {limits.gigabytes:g} GB")
            if time.monotonic() - started > limits.seconds:
                return Outcome(limits.seconds, peak - before, problem=f"over {limits.seconds:g} s")
        done: _Done = pipe.recv()
    except (EOFError, psutil.NoSuchProcess):
        return Outcome(problem="its process died")
    if done.problem:
        return Outcome(problem=done.problem)
    return Outcome(done.seconds, peak - before, done.device_bytes, done.value)


def _memory(process: psutil.Process) -> int:
    """Bytes that a process has for itself, without mapped files where the system tells them apart."""
    found = process.memory_info()
    return int(found.rss - getattr(found, "shared", 0))


def _work(pipe: Connection, prepare: Callable[[], Action]) -> None:
    """The life of the process: prepare, say so, wait for the word, run, send the result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches all processes; the parent decides
    started = False
    try:
        action = prepare()
        pipe.send(None)
        pipe.recv()
        started = True
        done = _fastest(action)
    except QuadratError as error:
        done = _Done(problem=error.message)
    except MemoryError:
        done = _Done(problem="out of memory")
    except Exception as error:  # noqa: BLE001 - whatever a plain version or another library raises is a result
        done = _Done(problem=f"{type(error).__name__}: {error}")
    if not started:
        pipe.send("problem")
    pipe.send(done)


def _fastest(action: Action) -> _Done:
    """Run it, again if it was short."""
    gpu: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    before = torch.cuda.memory_allocated() if gpu else 0
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    while not times or (len(times) < _REPEATS and sum(times) < _REPEAT_SECONDS):
        started = time.perf_counter()
        value = action()
        if gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return _Done(min(times), torch.cuda.max_memory_allocated() - before if gpu else None, value)
