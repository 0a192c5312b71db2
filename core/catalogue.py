"""Functions by name, with presets and checked parameters: how query functions and learners are registered and found.

A name may carry a preset after a colon: ``mcfps:paper``. A function's parameters are its keyword-only arguments; their
defaults give the types, so nothing is declared twice. A default that must lie within limits says so in its annotation:
``passes: Annotated[int, Within(1)] = 10``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, get_type_hints

from .errors import UsageError, nearest

Mode = Literal["single", "multi"]
"""Whether a tile has one class, or any number of them."""
MODES: tuple[Mode, ...] = ("single", "multi")


def label_mode(name: str | None) -> Mode:
    """The label mode that a project or a configuration names."""
    return "multi" if name == "multi" else "single"


@dataclass(frozen=True)
class Within:
    """Limits of a number, both allowed, or the words that a text may be."""

    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()

    def rule(self) -> str:
        """The limits in words."""
        if self.words:
            return f"one of {', '.join(self.words)}"
        if self.least is not None and self.most is not None:
            return f"from {self.least:g} to {self.most:g}"
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type keeps to the limits."""
        if self.words:
            return value in self.words
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class Parameters:
    """What may be set of a function: the default of each parameter, and the limits of those that have some."""

    defaults: Mapping[str, Any]
    limits: Mapping[str, Within]


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """The keyword-only arguments of a function; their limits come from their annotations."""
    arguments = inspect.signature(function).parameters.values()
    defaults = {a.name: a.default for a in arguments if a.kind is inspect.Parameter.KEYWORD_ONLY}
    hints = get_type_hints(function, include_extras=True)
    limits = {
        name: note
        for name in defaults
        for note in getattr(hints.get(name), "__metadata__", ())
        if isinstance(note, Within)
    }
    return Parameters(defaults, limits)


@dataclass(frozen=True)
class Preset:
    """A named set of parameters; ``changes`` are other fields of the entry that differ with it."""

    summary: str
    parameters: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A function and what there is to know about it.

    summary: one line on what it is good for. source: paper and equation. cost: one line on what its time grows with.
    modes: the label modes in which it has a meaning.
    defaults and limits: its parameters, filled in by :meth:`Catalogue.register`.
    """

    name: str
    function: Callable[..., Any]
    summary: str
    source: str
    cost: str
    modes: tuple[Mode, ...] = ("single", "multi")
    presets: Mapping[str, Preset] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Within] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """What every entry has to say of itself, for programs; limits are in words."""
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "cost": self.cost,
            "modes": self.modes,
            "parameters": dict(self.defaults),
            "limits": {name: limit.rule() for name, limit in self.limits.items()},
        }


E = TypeVar("E", bound=Entry)


class Catalogue(Generic[E]):
    """Entries by name; ``kind`` is what to call one in a message."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, E] = {}

    def register(self, entry: E) -> None:
        """Make a function known under its name, with the parameters found in its signature.

        ``entry.defaults`` and ``entry.limits`` count as well, for a function that passes ``**parameters`` on.
        """
        own = parameters_of(entry.function)
        self._entries[entry.name] = replace(
            entry, defaults={**own.defaults, **entry.defaults}, limits={**own.limits, **entry.limits}
        )

    def entries(self) -> tuple[E, ...]:
        """All of them in alphabetical order, without presets."""
        return tuple(self._entries[name] for name in sorted(self._entries))

    def names(self) -> tuple[str, ...]:
        """Everything that :meth:`find` accepts: ``mcfps``, ``mcfps:paper``, ..."""
        return tuple(name for e in self.entries() for name in (e.name, *(f"{e.name}:{preset}" for preset in e.presets)))

    def find(self, name: str) -> E:
        """The entry of that name; with a preset, its parameters, summary and other fields are the preset's.

        Raises:
            UsageError: no such name; the hint has the nearest one.
        """
        if name not in self.names():
            raise UsageError(f"There is no {self.kind} called {name!r}.", hint=nearest(name, self.names()))
        base, _, preset_name = name.partition(":")
        entry = self._entries[base]
        if not preset_name:
            return entry
        preset = entry.presets[preset_name]
        defaults = {**entry.defaults, **preset.parameters}
        return replace(entry, name=name, summary=preset.summary, defaults=defaults, presets={}, **preset.changes)

    def check_mode(self, entry: E, mode: Mode) -> None:
        """Refuse a label mode in which an entry has no meaning.

        Raises:
            UsageError: the hint has those that can do it.
        """
        if mode not in entry.modes:
            able = [other.name for other in self.entries() if mode in other.modes]
            raise UsageError(
                f"{entry.name} does not work with {mode}-label projects.", hint=f"Use one of: {', '.join(able)}."
            )

    def settings(self, entry: E, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a function, changed as asked.

        Raises:
            UsageError: an unknown parameter (the hint has the nearest one), a wrong type, a value out of its limits.
        """
        settings = dict(entry.defaults)
        for key, value in parameters.items():
            if key not in settings:
                raise UsageError(f"{entry.name} has no parameter {key!r}.", hint=nearest(key, settings))
            settings[key] = _checked(entry, key, value, settings[key])
        return settings


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def as_typed(value: Any) -> str:
    """A parameter as it is typed on the command line and written in a configuration."""
    return value if isinstance(value, str) else json.dumps(value)


def _checked(entry: Entry, key: str, value: Any, default: Any) -> Any:
    """The value in the type of the default."""
    wanted = type(default)
    hint = f"The default is {as_typed(default) or 'empty'}."
    if not (type(value) is wanted or (wanted is float and type(value) is int)):
        raise UsageError(f"{entry.name}: {key} is {as_typed(value)}, but should be {_KINDS[wanted]}.", hint=hint)
    limit = entry.limits.get(key)
    # A NaN is allowed by no comparison, so it is refused wherever there is a limit.
    if limit is not None and not limit.allows(value):
        raise UsageError(f"{entry.name}: {key} is {as_typed(value)}, but should be {limit.rule()}.", hint=hint)
    return wanted(value)
