"""Which rows may be asked, which estimate and which test: disjoint, decided by seeds.

The test rows are those that came as a test set of their own; otherwise the same random share that ``pretrain`` and
``probe`` hold out with that seed, so that an encoder trained on the others never saw them. They are the same for all
runs. A validation sample is a run's own: analysts draw theirs by chance, too, and what experiments say of estimates
must not rest on one draw. Nothing that tests or estimates may be asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..kernels import Indices
from ..monitor import SILENT, Monitor
from ..splits import held_out
from .dataset import Dataset, Targets
from .plan import BALANCED, Plan

MOST_REMOVED = 0.8
"""The largest share of a class that an unbalanced variant removes (paper 1)."""
_UNBALANCED = re.compile(r"unbalanced-([1-9]\d*)")
_VALIDATION_STREAM = 1
"""Beside the seed, so that the validation rows do not repeat another draw with the same one."""


@dataclass(frozen=True)
class Split:
    """Global indices, ascending and disjoint; together all rows.

    pool (P,): may be asked, unless a run sets it apart as its validation sample. test (T,): what accuracy is measured
    on.
    """

    pool: Indices
    test: Indices


@dataclass(frozen=True)
class Parts:
    """Rows of the dataset in one run, ascending: ``pool`` (P,) may be asked, ``validation`` (V,) estimates."""

    pool: Indices
    validation: Indices


@dataclass(frozen=True)
class Thinned:
    """What is left of a pool: ``rows`` ascending, and the share of each class that went, ``removed_shares`` (C,)."""

    rows: Indices
    removed_shares: NDArray[np.float64]


def split(dataset: Dataset, *, share: float = 0.2, seed: int = 0) -> Split:
    """Part the rows of a dataset.

    Args:
        dataset: what is parted.
        share: of all rows, to test on; of no account where the dataset has a test set of its own.
        seed: of the draw.

    Raises:
        UsageError: a share that leaves nothing to test on, or nothing to ask.
    """
    apart = held_out(len(dataset), share, seed) if dataset.test is None else dataset.test
    if not apart.any():
        raise UsageError(
            f"A share of {share:g} of {len(dataset)} tiles leaves none to test on.",
            hint="Hold out more, for example 0.2, or give a test set.",
        )
    return Split(pool=np.flatnonzero(~apart), test=np.flatnonzero(apart))


def set_apart(pool: Indices, validation: int, seed: int) -> tuple[Indices, Indices]:
    """A random validation sample (V,) of the rows (P,) that may be asked, and what is left of these (P - V,).

    Raises:
        UsageError: a number of tiles that leaves nothing to ask, or makes no sense.
    """
    if validation < 0:
        raise UsageError(f"A validation sample of {validation} tiles makes no sense.", hint="Give 0 or more.")
    if validation >= len(pool):
        raise UsageError(
            f"A validation sample of {validation} leaves nothing to ask: there are {len(pool)} tiles beside those to "
            "test on.",
            hint="Give a smaller one (--validation), or hold out less (--holdout).",
        )
    shuffled = np.random.default_rng([seed, _VALIDATION_STREAM]).permutation(pool)
    return np.sort(shuffled[:validation]), np.sort(shuffled[validation:])


def parts_of(dataset: Dataset, split: Split, plan: Plan) -> Parts:
    """What a run may ask, whatever its vectors are, and what it sets apart.

    Raises:
        UsageError: no such variant, or not for this label mode; a validation sample that leaves nothing to ask.
    """
    validation, others = set_apart(split.pool, plan.validation, plan.seed)
    return Parts(thinned(dataset.targets, others, dataset.n_classes, plan.variant).rows, validation)


def check_split(dataset: Dataset, parted: Split, monitor: Monitor = SILENT) -> None:
    """Refuse a split that makes it impossible to learn a class; where a tile may have several, only remark upon it.

    Raises:
        UsageError: the pool has no tile of a class.
    """
    lacking = _classes_without(dataset, parted.pool)
    if lacking and dataset.mode == "single":
        raise UsageError(
            f"The split leaves no tile of {lacking} in the pool, so it could not be learnt.",
            hint="Draw it anew (--split-seed), or hold out fewer (--holdout).",
        )
    if lacking:
        monitor.warn(f"The split leaves no tile of {lacking} in the pool, so it cannot be learnt.")
    if untested := _classes_without(dataset, parted.test):
        monitor.warn(f"No test tile has the class {untested}: how well it is learnt is not seen.")


def _classes_without(dataset: Dataset, rows: Indices) -> str:
    """The names of the classes that none of some rows has."""
    targets = dataset.targets[rows]
    found = np.flatnonzero(targets.any(axis=0)) if dataset.mode == "multi" else np.unique(targets)
    return " or ".join(name for place, name in enumerate(dataset.classes) if place not in found)


def thinned(targets: Targets, rows: Indices, n_classes: int, variant: str) -> Thinned:
    """The rows that a variant of the pool keeps.

    ``balanced`` keeps all. ``unbalanced-K`` removes a random share of each class, uniform from 0 to
    :data:`MOST_REMOVED`, rounded down to whole rows: no class vanishes. K = 1, 2, ... is the seed, of the shares and of
    who goes (paper 1 has four such variants).

    Args:
        targets: class positions (N,) of all rows of the dataset.
        rows: the pool (n,), global indices.
        n_classes: C.
        variant: its name.

    Raises:
        UsageError: no such variant, or one that removes where a row may have several classes.
    """
    if variant == BALANCED:
        return Thinned(np.sort(rows), np.zeros(n_classes))
    rng = np.random.default_rng(_seed_of(variant))
    if np.ndim(targets) != 1:
        raise UsageError(
            f"The variant {variant} removes a share of each class, and these tiles may have several classes.",
            hint=f"Use {BALANCED} alone: leave out --unbalanced.",
        )
    shares = rng.uniform(0.0, MOST_REMOVED, n_classes)
    kept, removed = [], np.zeros(n_classes)
    for position in range(n_classes):
        members = np.sort(rows[targets[rows] == position])
        gone = int(shares[position] * len(members))
        kept.append(rng.permutation(members)[gone:])
        removed[position] = gone / max(len(members), 1)
    return Thinned(np.sort(np.concatenate(kept)), removed)


def _seed_of(variant: str) -> int:
    found = _UNBALANCED.fullmatch(variant)
    if found is None:
        raise UsageError(
            f"There is no variant called {variant!r}.", hint=f"Use {BALANCED}, unbalanced-1, unbalanced-2, ..."
        )
    return int(found[1])
