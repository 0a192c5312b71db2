"""Study: what an encoder makes of the tiles, beside their raw pixels (figure 1 of the first paper).

Both are laid out in the plane by t-SNE, for the same tiles of the pool. Because a picture proves nothing, the nearest
neighbours are asked too: does the majority of the 5 nearest tiles of the pool, by cosine, have the class of a test
tile? Raw pixels are the reflectance of the tile at 16 x 16.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import LearningError
from ...kernels import Device, Floats, Indices
from ...knn import NEIGHBOURS, knn_votes
from ...metrics import scores
from ...monitor import Monitor
from ...project.scores import main_score
from ..dataset import Dataset
from .studies import Findings, Material, Study

SHOWN = 3000
"""Tiles in the picture, at most: more are a blot, and take long."""
_REFERENCES, _QUERIES = 20_000, 5_000
_PIXELS = 16
_COMPONENTS = 50
_PERPLEXITY = 30.0
_TOGETHER = 256
_LOOK_SECONDS = 0.5


def _make(material: Material) -> Findings:
    dataset, monitor = material.dataset, material.monitor
    rng = np.random.default_rng(material.seed)
    references = drawn(material.pool, _REFERENCES, rng)
    queries = drawn(material.test, _QUERIES, rng)
    shown = drawn(references, SHOWN, rng)
    rows = np.concatenate([references, queries])
    pixels = raw_pixels(dataset, rows, monitor.part(0.0, 0.4))
    matrices = {"embeddings": np.asarray(material.vectors.matrix[rows], np.float32), "pixels": pixels}
    places = np.searchsorted(references, shown)
    facts: dict[str, Any] = {
        "tiles": len(shown),
        "references": len(references),
        "tested": len(queries),
        "neighbours": NEIGHBOURS,
        "score": main_score(dataset.mode),
        "classes": list(dataset.classes),
        "encoder": material.vectors.encoder,
        "knn": {},
    }
    arrays: dict[str, NDArray[Any]] = {"rows": shown, "targets": dataset.targets[shown]}
    for turn, (name, matrix) in enumerate(matrices.items()):
        stage = monitor.part(0.4 + 0.3 * turn, 0.7 + 0.3 * turn)
        facts["knn"][name] = _knn_score(dataset, matrix, references, queries, material.device, stage.part(0.0, 0.2))
        arrays[name] = laid_out(matrix[places], material.seed, stage.part(0.2, 1.0))
    return Findings(facts, arrays)


def drawn(rows: Indices, most: int, rng: np.random.Generator) -> Indices:
    """At most so many of some rows, at random, in ascending order."""
    return np.sort(rng.permutation(rows)[:most])


def raw_pixels(dataset: Dataset, rows: Indices, monitor: Monitor) -> Floats:
    """The reflectance of some tiles at 16 x 16, (n, bands * 256) float32."""
    parts = []
    for start in range(0, len(rows), _TOGETHER):
        monitor.advance(start / len(rows), "Reading the tiles")
        tiles = dataset.tiles.read(rows[start : start + _TOGETHER], _PIXELS)
        parts.append(tiles.reshape(len(tiles), -1).astype(np.float32))
    return np.concatenate(parts)


def _knn_score(
    dataset: Dataset, matrix: Floats, references: Indices, queries: Indices, device: Device, monitor: Monitor
) -> float:
    """The main score of what the nearest references say of the queries; ``matrix`` has both, in this order."""
    if len(references) < NEIGHBOURS or not len(queries):
        raise LearningError(
            f"{len(references)} tiles in the pool and {len(queries)} to test are too few for nearest neighbours.",
            hint="Use a larger dataset, or another share of test tiles.",
        )
    single = dataset.mode == "single"
    truth = dataset.targets[references]
    votes = torch.from_numpy(np.eye(dataset.n_classes)[truth] if single else truth).float()
    known, asked = (torch.from_numpy(part).to(device) for part in np.split(matrix, [len(references)]))
    said = []
    for place, part in enumerate(torch.split(asked, _TOGETHER)):
        monitor.advance(place * _TOGETHER / len(queries), "Nearest neighbours")
        said.append(knn_votes(part, known, votes.to(device)).cpu())
    return scores(torch.cat(said).numpy(), dataset.targets[queries], dataset.mode)[main_score(dataset.mode)]


def laid_out(matrix: Floats, seed: int, monitor: Monitor) -> Floats:
    """Rows (n, d) in the plane (n, 2) float32: principal components, then t-SNE (van der Maaten and Hinton 2008).

    Raises:
        LearningError: fewer than five rows.
        Cancelled: the caller asked to stop.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(matrix) < NEIGHBOURS:
        raise LearningError(f"{len(matrix)} tiles make no picture.", hint="Use a larger dataset.")

    def place() -> Floats:
        components = min(_COMPONENTS, *matrix.shape)
        reduced = PCA(components, random_state=seed).fit_transform(matrix)
        perplexity = min(_PERPLEXITY, (len(matrix) - 1) / 3)
        placed: Floats = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(reduced)
        return placed.astype(np.float32)

    return _watched(place, "Laying out the tiles", monitor)


def _watched(work: Callable[[], Floats], message: str, monitor: Monitor) -> Floats:
    """The result of something that cannot be asked to stop: on cancelling nobody waits for it any longer."""
    found: list[Floats] = []
    failed: list[Exception] = []

    def labour() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - it is raised again where the result is waited for
            failed.append(error)

    worker = threading.Thread(target=labour, daemon=True)
    worker.start()
    while worker.is_alive():
        monitor.advance(0.5, message)
        worker.join(_LOOK_SECONDS)
    if failed:
        raise failed[0]
    return found[0]


PROJECTION = Study(
    "projection",
    "Embeddings and raw pixels in the plane",
    "t-SNE of both, and what the nearest neighbours of a test tile say.",
    _make,
)
