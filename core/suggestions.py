"""What the learner would answer: suggestions for the tiles that the analyst is asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import UsageError
from .fitting import fit
from .metrics import MULTI_THRESHOLD
from .monitor import SILENT, Monitor
from .pool import LabelledPool, open_pool
from .project.store import Project
from .rounds import latest_learner

RUNNERS_UP = 2

Suggestion = list[tuple[int, float]]
"""Classes of a tile with their probabilities, the most probable first."""


def suggest(
    project: Project,
    tile_ids: Sequence[int],
    *,
    seed: int = 0,
    device: str = "cpu",
    pool: LabelledPool | None = None,
    monitor: Monitor = SILENT,
) -> dict[int, Suggestion]:
    """What the learner of the latest round thinks of some tiles, by tile.

    Single-label: the best class and its runners-up. Multi-label: the classes that are more probable than not, perhaps
    none. A class that nobody has used yet is never suggested; nor is anything while there is nothing to learn from.

    Raises:
        UsageError: a tile that has no embedding.
    """
    pool = pool or open_pool(project)
    wanted = np.asarray(tile_ids, np.int64)
    strangers = np.setdiff1d(wanted, pool.embeddings.tile_ids)
    if strangers.size:
        raise UsageError(
            f"No tile to learn about has the number {strangers[0]}.", hint="Ask for tiles of the pool or validation."
        )
    if not pool.can_learn or not wanted.size:
        return {}
    model = fit(project, pool, latest_learner(project), seed=seed, device=device, monitor=monitor)
    probabilities = model.predict(pool.embeddings.rows_of(wanted))
    class_ids = np.array([item.class_id for item in pool.classes])[pool.seen]
    known = zip(wanted.tolist(), probabilities[:, pool.seen], strict=True)
    return {tile_id: _best(pool.mode, class_ids, row) for tile_id, row in known if np.isfinite(row).all()}


def _best(mode: str, class_ids: np.ndarray, probabilities: np.ndarray) -> Suggestion:
    order = np.argsort(-probabilities, kind="stable")
    order = order[: 1 + RUNNERS_UP] if mode == "single" else order[probabilities[order] > MULTI_THRESHOLD]
    return [(int(class_ids[column]), round(float(probabilities[column]), 5)) for column in order]
