"""Kernels and query functions on made pools: against their other versions, or on pools that grow."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from ..monitor import SILENT, Monitor
from .cases import Case, Side, chosen_names, find_case, prepare, warm_up_setting
from .ground import Setting, make_ground
from .measure import Limits, Outcome, measure
from .peers import peer_version
from .version import Array, Version

GROWTH = (1, 3, 10)
_CLOSE = 1e-3
"""Relative difference up to which numbers in float32 count as the same."""


@dataclass(frozen=True)
class Rival:
    """Another version beside ours.

    ratio: its seconds over ours, above 1 where ours is faster; at least that, if it was stopped. same: whether it gave
    the same; None where chance decides. agreement: the same in words.
    """

    what: str
    outcome: Outcome
    ratio: float | None = None
    same: bool | None = None
    agreement: str = ""


@dataclass(frozen=True)
class Measured:
    """One kernel or query function. ``plain`` and ``peer`` are None where there is no such version."""

    name: str
    mode: str
    ours: Outcome
    plain: Rival | None = None
    peer: Rival | None = None


@dataclass(frozen=True)
class Comparison:
    """All measurements in one setting. ``peer``: name and version of the other library, empty without it."""

    setting: Setting
    limits: Limits
    machine: str
    peer: str
    measured: tuple[Measured, ...]

    def as_dict(self) -> dict[str, Any]:
        """For programs: all but the picks themselves."""
        return {
            "setting": asdict(self.setting),
            "limits": asdict(self.limits),
            "machine": self.machine,
            "peer": self.peer,
            "measured": [_values(item) for item in self.measured],
        }


@dataclass(frozen=True)
class Growth:
    """The same functions on pools of growing size: seconds and memory of ours."""

    settings: tuple[Setting, ...]
    limits: Limits
    machine: str
    outcomes: dict[str, tuple[Outcome, ...]]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "settings": [asdict(setting) for setting in self.settings],
            "limits": asdict(self.limits),
            "machine": self.machine,
            "growth": [
                {"name": name, "sizes": [setting.size for setting in self.settings], "ours": [*map(_figures, found)]}
                for name, found in self.outcomes.items()
            ],
        }


def compare(
    setting: Setting,
    only: list[str],
    *,
    plain: bool = True,
    peers: bool = True,
    limits: Limits | None = None,
    monitor: Monitor = SILENT,
) -> Comparison:
    """Measure kernels and query functions, one after the other, each version in a process of its own.

    Args:
        setting: the size of the problem.
        only: names, see :func:`.cases.case_names`; all if empty.
        plain, peers: whether to measure the other versions, too. Peers are left out where they are not installed.
        limits: when to stop a version.
        monitor: progress and cancellation.

    Raises:
        UsageError: an unknown name.
        LearningError: the setting leaves too little to learn from.
        Cancelled: the caller asked to stop.
    """
    names = chosen_names(only)
    limits = limits or Limits()
    _warn_if_busy(monitor)
    library = peer_version() if peers else ""
    measured = []
    with tempfile.TemporaryDirectory(prefix="quadrat-bench-") as folder:
        folders = _make_grounds(Path(folder), setting, monitor.part(0.0, 0.1))
        for number, name in enumerate(names):
            part = monitor.part(0.1 + 0.9 * number / len(names), 0.1 + 0.9 * (number + 1) / len(names))
            part.advance(0.0, f"Measuring {name}")
            case = find_case(name, setting)
            run = partial(_measure, folders, setting, case, limits=limits, monitor=part)
            ours = run("ours")
            rival = _rival(case.plain, run("plain"), ours) if plain and case.plain else None
            peer = _rival(case.peer, run("peer"), ours) if library and case.peer else None
            measured.append(Measured(name, case.mode, ours, rival, peer))
    return Comparison(setting, limits, machine(setting.device), library, tuple(measured))


def grow(
    setting: Setting,
    only: list[str],
    *,
    limits: Limits | None = None,
    monitor: Monitor = SILENT,
) -> Growth:
    """Measure ours on pools of once, three times and ten times the setting's size.

    Raises:
        UsageError: an unknown name.
        LearningError: the setting leaves too little to learn from.
        Cancelled: the caller asked to stop.
    """
    names, limits = chosen_names(only), limits or Limits()
    _warn_if_busy(monitor)
    settings = tuple(replace(setting, size=setting.size * factor) for factor in GROWTH)
    outcomes: dict[str, tuple[Outcome, ...]] = dict.fromkeys(names, ())
    for number, one in enumerate(settings):
        step = monitor.part(number / len(settings), (number + 1) / len(settings))
        with tempfile.TemporaryDirectory(prefix="quadrat-bench-") as folder:
            folders = _make_grounds(Path(folder), one, step.part(0.0, 0.2))
            for place, name in enumerate(names):
                part = step.part(0.2 + 0.8 * place / len(names), 1.0)
                part.advance(0.0, f"Measuring {name} on {one.size} rows")
                found = _measure(folders, one, find_case(name, one), "ours", limits=limits, monitor=part)
                outcomes[name] += (found,)
    return Growth(settings, limits, machine(setting.device), outcomes)


def machine(device: str) -> str:
    """Where this was measured, in a line."""
    gpu = f", {torch.cuda.get_device_name()}" if device != "cpu" else ""
    cores = f"{os.cpu_count()} cores ({platform.machine()}), {torch.get_num_threads()} threads"
    return f"{cores}, torch {torch.__version__}{gpu}"


def _warn_if_busy(monitor: Monitor) -> None:
    """Say so where other programs take a good part of the machine."""
    load, cores = psutil.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        monitor.warn(f"Other programs keep this machine busy (load {load:.1f} on {cores} cores): seconds will be long.")


def _make_grounds(folder: Path, setting: Setting, monitor: Monitor) -> dict[str, Path]:
    """The pool to measure on, and the small one on which every process warms up."""
    folders = {"small": folder / "small", "full": folder / "full"}
    make_ground(folders["small"], warm_up_setting(setting))
    make_ground(folders["full"], setting, monitor)
    return folders


def _measure(
    folders: dict[str, Path], setting: Setting, case: Case, side: Side, *, limits: Limits, monitor: Monitor
) -> Outcome:
    # What is only waited for has no progress of its own.
    waiting = Monitor(is_cancelled=monitor.is_cancelled, remark=monitor.remark)
    return measure(partial(prepare, folders, setting, case.name, side), limits, waiting)


def _rival(version: Version, outcome: Outcome, ours: Outcome) -> Rival:
    """Another version's outcome beside ours."""
    ratio = None if not ours.seconds or outcome.seconds is None else outcome.seconds / ours.seconds
    if not version.exact or ours.value is None or outcome.value is None:
        return Rival(version.what, outcome, ratio)
    return Rival(version.what, outcome, ratio, *agreement(ours.value, outcome.value))


def agreement(ours: Array, other: Array) -> tuple[bool | None, str]:
    """Whether two results are the same, in order, and how much of them is; numbers may differ by rounding.

    Of a single number, which is a score, it is only said by how much ours is higher.
    """
    if ours.size == 1 and ours.dtype.kind == "f":
        return None, f"{float(ours[0] / other[0] - 1.0):+.1%}"
    if ours.dtype.kind == "f":
        apart = float(np.abs(ours - other).max() / max(float(np.abs(other).max()), np.finfo(np.float32).tiny))
        return apart <= _CLOSE, "same" if apart <= _CLOSE else f"{apart:.1%} apart"
    if np.array_equal(ours, other):
        return True, "same"
    return False, f"{len(np.intersect1d(ours, other))} of {ours.size}"


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "seconds": outcome.seconds,
        "peak_bytes": outcome.peak_bytes,
        "device_bytes": outcome.device_bytes,
        "problem": outcome.problem,
    }


def _values(item: Measured) -> dict[str, Any]:
    """One measurement for programs."""
    values: dict[str, Any] = {"name": item.name, "mode": item.mode, "ours": _figures(item.ours)}
    for side, rival in (("plain", item.plain), ("peer", item.peer)):
        values[side] = None
        if rival is not None:
            more = {"what": rival.what, "ratio": rival.ratio, "same": rival.same, "agreement": rival.agreement}
            values[side] = {**_figures(rival.outcome), **more}
    return values
