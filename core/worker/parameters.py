"""Check a request's parameters against the function that is going to work on it.

The function's keyword arguments say everything: names, types, which have a default. So nothing is declared twice, and
a request is refused with the name that is wrong, and the nearest right one, before any work begins.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import nearest
from .channel import INVALID_PARAMS, ProtocolError

# What SQLite and NumPy can hold.
_LARGEST = 2**63 - 1

_KIND_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    dict: "an object",
}


@dataclass(frozen=True)
class AtLeast:
    """Goes into ``Annotated[int, AtLeast(0)]``."""

    least: int


def bind(function: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments for ``function``, from JSON.

    Raises:
        ProtocolError: a parameter is missing, unknown, or of the wrong type.
    """
    known = _arguments(function)
    name = function.__name__
    for given in params:
        if given not in known:
            raise ProtocolError(INVALID_PARAMS, f"{name} has no parameter {given!r}.", hint=nearest(given, known))
    missing = [key for key, argument in known.items() if argument.default is argument.empty and key not in params]
    if missing:
        raise ProtocolError(INVALID_PARAMS, f"{name} needs the parameter {missing[0]!r}.", hint="Say it.")
    return {key: _convert(value, known[key].annotation, f"{name}: {key}") for key, value in params.items()}


@functools.cache
def _arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function, eval_str=True).parameters
    return {name: argument for name, argument in found.items() if argument.kind is argument.KEYWORD_ONLY}


def _convert(value: Any, kind: Any, where: str) -> Any:
    """``value`` as the type that an annotation asks for."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is types.UnionType:  # X | None
        return None if value is None else _convert(value, inner[0], where)
    if origin is typing.Annotated:
        return _at_least(_convert(value, inner[0], where), inner[1], where)
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(value, "a list", where)
        return [_convert(item, inner[0], f"{where}[{index}]") for index, item in enumerate(value)]
    return _convert_plain(value, origin or kind, where)


def _convert_plain(value: Any, kind: Any, where: str) -> Any:
    accepted: Any = {Path: str, float: int | float}.get(kind, kind)
    is_bool = isinstance(value, bool)
    if not isinstance(value, accepted) or (is_bool and kind is not bool):
        raise _wrong(value, _KIND_NAMES[kind], where)
    if isinstance(value, int) and not is_bool and abs(value) > _LARGEST:
        raise ProtocolError(INVALID_PARAMS, f"{where} is {value}, which is too large.", hint="Use a smaller number.")
    return value if kind is dict else kind(value)


def _at_least(value: Any, rule: AtLeast, where: str) -> Any:
    if value < rule.least:
        raise ProtocolError(INVALID_PARAMS, f"{where} is {value}.", hint=f"It must be {rule.least} or more.")
    return value


def _wrong(value: Any, wanted: str, where: str) -> ProtocolError:
    return ProtocolError(INVALID_PARAMS, f"{where} is {str(value)[:60]!r}.", hint=f"It must be {wanted}.")
