"""The contract of query functions: what they are given and what they answer.

A query function is a pure function ``(pool, request, **parameters) -> Selection``. It knows arrays and indices only,
never files, tiles or projects, and not which learner made the predictions. Every index is *global*: a row of
``Pool.embeddings``. It chooses ``request.budget`` distinct rows of ``pool.eligible``, most useful first, changes
nothing that it was given, and takes all its randomness from ``request.rng``.

:func:`.registry.select` is the way to call one. It checks everything, so a query function may rely on this:
``eligible`` is ascending and holds more rows than the budget, every row named is finite, no row is both labelled and
eligible, and where the function is registered as needing labels or predictions, there are some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels import Device, Floats, Indices, Rows
from ..monitor import SILENT, Monitor

Mode = Literal["single", "multi"]
Utilities = NDArray[np.float64]

NO_ROWS: Indices = np.empty(0, dtype=np.int64)
NO_ROWS.flags.writeable = False


class SampleLogits(Protocol):
    """Logits (passes, n, C) of the rows (n,) from several random versions of the learner.

    The versions depend on ``seed`` and ``passes`` alone, so that rows may be asked for piece by piece.
    """

    def __call__(self, rows: Indices, passes: int, seed: int) -> Floats:
        """Return the logits."""


@dataclass(frozen=True)
class Predictions:
    """What the learner thinks of every row.

    probabilities (N, C): rows sum to 1 in "single" mode, are independent in "multi"; NaN where unknown.
    sample_logits: None if the learner has no randomness. class_names (C,): for reasons that an analyst reads.
    """

    mode: Mode
    probabilities: Floats
    sample_logits: SampleLogits | None = None
    class_names: tuple[str, ...] = ()

    def name_of(self, position: int) -> str:
        """What to call the class in column ``position``."""
        return self.class_names[position] if position < len(self.class_names) else f"class {position}"


@dataclass(frozen=True)
class Pool:
    """All tiles as one matrix.

    embeddings (N, d). predictions: None where nothing could be learnt yet. labelled (L,) and eligible (U,) rows.
    set_aside: rows that earlier answers of the same function put into ``Selection.set_aside``; they are left out as
    long as that leaves more than the budget. A query function finds them already gone from ``eligible``.
    """

    embeddings: Rows
    predictions: Predictions | None
    labelled: Indices
    eligible: Indices
    set_aside: Indices = field(default_factory=lambda: NO_ROWS)


@dataclass(frozen=True)
class Request:
    """How many rows, with what randomness, computed where, reported to whom."""

    budget: int
    rng: np.random.Generator
    device: Device = "cpu"
    monitor: Monitor = SILENT


@dataclass(frozen=True)
class Selection:
    """The answer: global indices (b,), most useful first, and why.

    utilities (b,) float64 are finite and never rise; their scale is the query function's own. reasons: a short text
    for each pick. strategy: who chose, which differs from who was asked after a cold start. set_aside: eligible rows
    that the function asks not to see again; the caller adds them to ``Pool.set_aside`` from then on.
    """

    indices: Indices
    utilities: Utilities
    reasons: tuple[str, ...]
    strategy: str = ""
    set_aside: Indices = field(default_factory=lambda: NO_ROWS)


@dataclass(frozen=True)
class Preset:
    """A named set of parameters, and the head it was published with."""

    summary: str
    parameters: Mapping[str, Any]
    head: str = "default"


@dataclass(frozen=True)
class Strategy:
    """A query function and what there is to know about it.

    summary: one line on what it is good for. source: paper and equation. head: a key for whoever trains the learner,
    "default" or "paper". defaults: its parameters, filled in by the registry.
    """

    name: str
    function: Callable[..., Selection]
    summary: str
    source: str
    modes: tuple[Mode, ...] = ("single", "multi")
    needs_labels: bool = True
    needs_predictions: bool = False
    head: str = "default"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)


def highest(utilities: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Places of the ``count`` highest utilities, highest first, ties to the first."""
    return np.argsort(-utilities, kind="stable")[:count]
