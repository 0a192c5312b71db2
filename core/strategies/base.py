"""The contract of query functions: what they are given and what they answer.

A query function is a pure function ``(pool, request, **parameters) -> Selection``. It knows arrays and indices only,
never files, tiles or projects, and not which learner made the predictions. Every index is *global*: a row of
``Pool.embeddings``. It chooses ``request.budget`` distinct rows of ``pool.eligible``, most useful first, changes
nothing that it was given, and takes all its randomness from ``request.rng``.

:func:`.registry.select` is the way to call one. It checks everything, so a query function may rely on this:
``eligible`` is ascending and holds more rows than the budget, every row named is finite, no row is both labelled and
eligible, the label mode is one of its modes, and whatever it is registered as needing is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Entry, Mode
from ..kernels import Device, Floats, Indices, Rows
from ..monitor import SILENT, Monitor

Need = Literal["labels", "predictions", "samples", "previous", "losses"]
"""What a query function cannot do without. The first two and "previous" are not there in a project's first rounds, so
the cold start takes over; "samples" and "losses" depend on the learner, so without them there is an error."""
Utilities = NDArray[np.float64]

NO_ROWS: Indices = np.empty(0, dtype=np.int64)
NO_ROWS.flags.writeable = False


class SampleLogits(Protocol):
    """Logits (passes, n, C) of the rows (n,) from several random versions of the learner.

    The versions depend on ``seed`` and ``passes`` alone, so that rows may be asked for piece by piece. By default they
    are those of the learner's own dropout; ``input_dropout`` is a share of the numbers of its input to drop instead.
    """

    def __call__(self, rows: Indices, passes: int, seed: int, input_dropout: float | None = None) -> Floats:
        """Return the logits."""


@dataclass(frozen=True)
class Predictions:
    """What the learner thinks of every row.

    probabilities (N, C): rows sum to 1 in "single" mode, are independent in "multi"; NaN where unknown.
    sample_logits: None if the learner has no randomness. class_names (C,): for reasons that an analyst reads.
    features: the input (n, F) of the learner's last layer for some rows (n,); None if that is the embeddings.
    calibrated: probabilities (N, C) that are as often right as they say; None if nothing better is known than
    ``probabilities``. It may take some seconds, so it is called only where it is needed.
    previous (N, C): the probabilities of the round before, NaN in columns of classes that are new since; None in the
    first round. losses (N,): the loss that the learner expects to have on each row; None if it was not taught to.
    """

    mode: Mode
    probabilities: Floats
    sample_logits: SampleLogits | None = None
    class_names: tuple[str, ...] = ()
    features: Callable[[Indices], Rows] | None = None
    calibrated: Callable[[], Floats] | None = None
    previous: Floats | None = None
    losses: Floats | None = None

    def name_of(self, position: int) -> str:
        """What to call the class in column ``position``."""
        return self.class_names[position] if position < len(self.class_names) else f"class {position}"


@dataclass(frozen=True)
class Pool:
    """All tiles as one matrix.

    embeddings (N, d). predictions: None where nothing could be learnt yet. labelled (L,) and eligible (U,) rows.
    set_aside: rows that earlier answers of the same function put into ``Selection.set_aside``; they are left out as
    long as that leaves more than the budget. A query function finds them already gone from ``eligible``.
    targets: the labels of ``labelled``, class positions (L,) in "single" mode and 0 or 1 (L, C) in "multi"; None where
    the caller does not know them.
    """

    embeddings: Rows
    predictions: Predictions | None
    labelled: Indices
    eligible: Indices
    set_aside: Indices = field(default_factory=lambda: NO_ROWS)
    targets: NDArray[Any] | None = None


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
class Strategy(Entry):
    """A query function and what there is to know about it.

    needs: see :data:`Need`. uses: what else it
    looks at where it is there. learner: the learner that it was
    published with, by name; empty for whichever the analyst uses.
    """

    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()
    learner: str = ""


def without(rows: Indices, others: Indices, count: int) -> Indices:
    """Those of ``rows`` (n,) that are not among ``others`` (m,), in their order; all are below ``count``.

    Marking takes time in proportion to ``count``; numpy's set functions sort or hash, which takes twenty times as long.
    """
    marked = np.zeros(count, dtype=bool)
    marked[others] = True
    return rows[~marked[rows]]


def highest(utilities: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Places of the ``count`` highest utilities, highest first, ties to the first."""
    return np.argsort(-utilities, kind="stable")[:count]
