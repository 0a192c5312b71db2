"""Everything that is measured, by name: kernels and query functions, each with its other versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ..catalogue import Mode
from ..errors import UsageError, nearest
from ..strategies.registry import STRATEGIES, select
from .ground import Ground, Setting, open_ground
from .kernel_cases import KERNELS
from .peers import PEERS
from .plain import PLAIN
from .version import Array, Make, Version

Side = Literal["ours", "plain", "peer"]
_WARM_UP = Setting(size=2000, dim=64)


@dataclass(frozen=True)
class Case:
    """One thing to measure. ``mode``: the label mode in which it is; ``plain`` and ``peer``: its other versions."""

    name: str
    mode: Mode
    ours: Make
    plain: Version | None = None
    peer: Version | None = None

    def make(self, side: Side) -> Make:
        """How to get ready one of its versions."""
        other = {"plain": self.plain, "peer": self.peer}.get(side)
        return self.ours if other is None else other.make


def case_names() -> tuple[str, ...]:
    """All there is: kernels, then query functions with their presets."""
    return (*KERNELS, *STRATEGIES.names())


def chosen_names(only: list[str]) -> tuple[str, ...]:
    """The names asked for, or all.

    Raises:
        UsageError: an unknown name; the hint has the nearest one.
    """
    for name in only:
        if name not in case_names():
            raise UsageError(f"There is nothing called {name!r} to measure.", hint=nearest(name, case_names()))
    return tuple(only) or case_names()


def find_case(name: str, setting: Setting) -> Case:
    """The case of that name, in the setting's label mode if it can, with what is comparable in that setting."""
    if name in KERNELS:
        return Case(name, setting.mode, *KERNELS[name])
    strategy = STRATEGIES.find(name)
    mode = setting.mode if setting.mode in strategy.modes else strategy.modes[0]
    # Where anchors are drawn at random, others draw other ones.
    alike = setting.size <= strategy.defaults.get("anchors", setting.size)
    plain, peer = _other(PLAIN, name, alike), _other(PEERS, name, alike)
    return Case(name, mode, partial(_selection, name=name), plain, peer if mode == "single" else None)


def _other(versions: Mapping[str, Version], name: str, alike: bool) -> Version | None:
    found = versions.get(name)
    return replace(found, exact=found.exact and alike) if found else None


def _selection(ground: Ground, name: str) -> Callable[[], Array]:
    """A query function the way a round calls it, all checks included."""
    setting = ground.setting
    return lambda: select(name, ground.pool, setting.budget, seed=setting.seed, device=setting.device).indices


def warm_up_setting(setting: Setting) -> Setting:
    """A small problem of the same kind."""
    return replace(
        setting,
        size=_WARM_UP.size,
        dim=_WARM_UP.dim,
        budget=min(setting.budget, _WARM_UP.budget),
        labelled=min(setting.labelled, _WARM_UP.labelled),
    )


def prepare(folders: Mapping[str, Path], setting: Setting, name: str, side: Side) -> Callable[[], Array]:
    """The action to measure, after the same on a small pool: a first call loads libraries and starts threads.

    Args:
        folders: where the pool ("full") and a small one ("small") are, see :func:`.ground.make_ground`.
        setting: of the full one.
        name: of the case.
        side: which version of it.
    """
    case = find_case(name, setting)
    make, setting = case.make(side), replace(setting, mode=case.mode)
    make(open_ground(folders["small"], warm_up_setting(setting)))()
    ground = open_ground(folders["full"], setting)
    if side != "ours":
        _ = ground.dense
    return make(ground)
