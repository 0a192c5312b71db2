"""Which panel comes first: the sentence that a panel shows while the project is not as far as it needs."""

from __future__ import annotations

from ..job import Stage

_FIRST = {
    Stage.NO_PROJECT: "Make or open a project first, in Project.",
    Stage.NO_TILES: "Choose rasters and cut them into tiles first, in Imagery.",
    Stage.NO_EMBEDDINGS: "The tiles are cut but not embedded yet. Press Prepare in Imagery; it goes on from there.",
}


def why_not_embedded(stage: Stage) -> str:
    """What to do before tiles can be asked for or results shown; empty if the tiles are ready."""
    return _FIRST.get(stage, "")
