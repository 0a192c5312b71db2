"""What stays in memory between two requests, so that the second is faster than the first."""

from __future__ import annotations

from ..embedding import Embeddings, load_embeddings
from ..pool import LabelledPool, open_pool
from ..project.store import Project


class Warm:
    """The embeddings of the project that was used last, with their column moments.

    The fitted model is not among it: :func:`..fitting.fit` finds it in a file beside the project in milliseconds.
    """

    def __init__(self) -> None:
        self._embeddings: Embeddings | None = None

    def pool(self, project: Project) -> LabelledPool:
        """The project's answers as they are now, over embeddings that are read again only if they have changed."""
        self._embeddings = load_embeddings(project, self._embeddings)
        return open_pool(project, self._embeddings)

    def forget(self) -> None:
        """Let go of the files: Windows would not let them be replaced."""
        self._embeddings = None
