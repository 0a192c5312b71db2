"""All experiments by name."""

from __future__ import annotations

from ...errors import UsageError, nearest
from . import ours, paper1, paper2
from .base import Experiment


class Experiments:
    """Experiments by name, in the order in which they are listed."""

    def __init__(self, *experiments: Experiment) -> None:
        self._by_name = {experiment.name: experiment for experiment in experiments}

    def entries(self) -> tuple[Experiment, ...]:
        """All of them."""
        return tuple(self._by_name.values())

    def names(self) -> tuple[str, ...]:
        """What :meth:`find` accepts."""
        return tuple(self._by_name)

    def find(self, name: str) -> Experiment:
        """The experiment of that name.

        Raises:
            UsageError: no such experiment; the hint has the nearest one.
        """
        if name not in self._by_name:
            raise UsageError(f"There is no experiment called {name!r}.", hint=nearest(name, self.names()))
        return self._by_name[name]


EXPERIMENTS = Experiments(*paper1.EXPERIMENTS, *paper2.EXPERIMENTS, *ours.EXPERIMENTS)
