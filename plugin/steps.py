"""A step of the work, and how the workflow's methods begin one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import QuadratError
from .engine.task import Call, Results


def do_nothing(*_values: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Step:
    """What is asked of the engine in one go.

    ``again`` starts it once more after a failure, ``say`` tells the analyst what the results are, and ``revert`` takes
    back what was written in advance if it does not succeed.
    """

    title: str
    calls: Sequence[Call]
    again: Callable[[], None]
    say: Callable[[Results], None] = do_nothing
    revert: Callable[[], None] = do_nothing


def reported(method: Callable[..., None]) -> Callable[..., None]:
    """For methods that a signal or button calls: what goes wrong is said by ``self.messages``, not raised."""

    @functools.wraps(method)
    def act(self: Any, *arguments: Any) -> None:
        try:
            method(self, *arguments)
        except QuadratError as error:
            self.messages.error(error)

    return act


def when_free(method: Callable[..., None]) -> Callable[..., None]:
    """The same, and only if a project is open and no other step is running; else the analyst is told so."""

    @reported
    @functools.wraps(method)
    def act(self: Any, *arguments: Any) -> None:
        if self.may_begin():
            method(self, *arguments)

    return act
