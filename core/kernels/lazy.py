"""The lazy search behind every greedy selection (Minoux 1978).

A greedy selection takes, pick after pick, the candidate of the highest value. If values can only fall as picks are
added, an old value is an upper bound of the present one, and a candidate whose old value is below the present value of
another cannot win. So only the few that lead are brought up to date before each pick, and the answer is that of
updating all of them. Distance to the nearest pick is such a value, and so is what a candidate adds to coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .arrays import Floats, Indices, tiles
from .spaces import Space

_SECOND_LOOK = 64
"""How many candidates are brought up to date together once the first was not enough; doubled from look to look."""

TAKEN = np.float32(-np.inf)
"""The value of a candidate that has been picked."""


class LazySearch:
    """Candidates by their place (n,), the value that each had when it was last looked at, and how old that is.

    Args:
        values: (n,) float32, changed in place.
        update: the values (m,) of the candidates at some places (m,) after all picks so far, given how many picks
            each of their old values knows of (m,). What it gives back may not exceed the old values but by rounding.
        bound: cheaper than ``update``, upper bounds (m,) of the present values at some places (m,), if there is such
            a thing. ``values`` are then bounds even before the first pick, and ``update`` is given -1 for these.
        bounds: the values are upper bounds even before the first pick, without a ``bound`` to renew them.
    """

    def __init__(
        self,
        values: Floats,
        update: Callable[[Indices, Indices], Floats],
        *,
        bound: Callable[[Indices], Floats] | None = None,
        bounds: bool = False,
    ) -> None:
        self.values, self.update, self.bound = values, update, bound
        self.seen = np.full(len(values), -1 if bounds or bound is not None else 0, dtype=np.int64)
        # Up to which pick a value is known to be a good bound, where these are cheaper than the value itself.
        self.bounded = self.seen if bound is None else np.zeros(len(values), dtype=np.int64)
        self.turn = 0

    def leader(self, handicaps: NDArray[np.float64] | None = None) -> int:
        """The place of the highest present value, ties to the first.

        With positive ``handicaps`` (n,) it is the highest of value / handicap.
        """
        keys: NDArray[Any] = self.values if handicaps is None else self.values / handicaps
        floor, look = -np.inf, 1
        while self.seen[place := int(np.argmax(keys))] < self.turn:
            alone = look == 1 or (self.bound is not None and self.bounded[place] == self.turn)
            rivals = np.array([place]) if alone else self._rivals(keys, place, floor, look)
            exact = alone or self.bound is None
            self._renew(rivals, exact)
            if handicaps is not None:
                keys[rivals] = self.values[rivals] / handicaps[rivals]
            if exact:
                floor = max(floor, float(keys[rivals].max()))
            if look == 1 or not alone:
                look = max(2 * look, _SECOND_LOOK)
        return place

    def _renew(self, rivals: Indices, exact: bool) -> None:
        """Bring the values at some places up to date, or down to bounds that know of all picks."""
        if exact or self.bound is None:
            found = self.update(rivals, self.seen[rivals])
            self.seen[rivals] = self.turn
        else:
            found = self.bound(rivals)
        self.bounded[rivals] = self.turn
        self.values[rivals] = np.minimum(self.values[rivals], found)

    def take(self, place: int) -> float:
        """Pick the candidate at a place and give back its value, which should be up to date."""
        value = float(self.values[place])
        self.values[place] = TAKEN
        self.turn += 1
        return value

    def _rivals(self, keys: NDArray[Any], place: int, floor: float, look: int) -> Indices:
        """Places of the leader and of up to ``look`` others whose old key still reaches the best present one."""
        rivals = np.flatnonzero(keys >= floor)
        rivals = rivals[self.bounded[rivals] < self.turn]
        if len(rivals) > look:
            # Among equals any may be missing, but never the leader: without it the search would not come to an end.
            rivals = np.union1d(rivals[np.argpartition(-keys[rivals], look)[:look]], [place])
        return rivals


class Gaps:
    """Squared distances of candidates to their nearest pick, for a :class:`LazySearch`.

    Args:
        space: where to measure.
        candidates: (n,) row numbers.
        count: the most picks there will be.
        references: (m,) row numbers that count as picked before, for candidates that have not even seen these.
    """

    def __init__(self, space: Space, candidates: Indices, count: int, references: Indices | None = None) -> None:
        self.space, self.candidates = space, candidates
        before = candidates[:0] if references is None else references
        self.before = self.turn = len(before)
        self.points = torch.empty((self.turn + count, space.width), dtype=torch.float64, device=space.device)
        self.norms = torch.empty(self.turn + count, dtype=torch.float64, device=space.device)
        if self.before:
            self.points[: self.before] = space.points(before)
            self.norms[: self.before] = space.squared_norms(self.points[: self.before])

    def add(self, place: int) -> None:
        """The candidate at this place is picked."""
        self.points[self.turn] = self.space.points(self.candidates[[place]])[0]
        self.norms[self.turn] = self.space.squared_norms(self.points[self.turn][None])[0]
        self.turn += 1

    def update(self, places: Indices, seen: Indices) -> Floats:
        """Squared distance (m,) of the candidates at these places to the nearest pick that they have not seen."""
        oldest = int(seen.min())
        missed = slice(self.before + oldest if oldest >= 0 else 0, self.turn)
        points, norms = self.points[missed], self.norms[missed]
        gaps = np.empty(len(places), dtype=np.float32)
        for part in tiles(len(places), max(self.space.width, len(points))):
            block = self.space.points(self.candidates[places[part]])
            gaps[part] = self.space.squared_distances(block, points, norms).amin(dim=1).cpu().numpy()
        return gaps
