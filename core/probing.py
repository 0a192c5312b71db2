"""How much of the land cover an encoder sees: its vectors of labelled images, asked in the two usual ways.

* k-NN: does the majority of the 5 nearest vectors (by cosine) have the image's class (or, where an image has several,
  does each class occur in most of them)?
* Linear probe: the linear learner, on all labels that are not held out and on small random draws of them.

Held out is the same random share as in ``pretrain``, so that an encoder can be tested on images that it never saw. With
``leave_one_out`` each image is asked about in turn, and all others answer: for a hundred images.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .catalogue import Mode
from .embedding import encoded
from .encoders.base import Encoder
from .errors import UsageError
from .images import ImageFolder
from .knn import NEIGHBOURS, knn_votes
from .learners.base import Run, Task
from .learners.registry import fit
from .metrics import scores
from .monitor import SILENT, Monitor
from .project.scores import main_score
from .splits import held_out


@dataclass(frozen=True)
class Probe:
    """Scores from 0 to 1 on the tested images: ``score`` names them (accuracy, or micro F1 where there are several
    classes an image). ``linear`` by number of labels: mean and standard deviation over the draws.
    """

    encoder: str
    dimension: int
    trained_on: int
    tested_on: int
    score: str
    knn: float
    linear: dict[int, tuple[float, float]]


def probe(
    encoder: Encoder,
    images: ImageFolder,
    *,
    holdout: float = 0.2,
    seed: int = 0,
    labels: Sequence[int] = (512,),
    draws: int = 5,
    leave_one_out: bool = False,
    monitor: Monitor = SILENT,
) -> Probe:
    """Embed labelled images and ask both ways.

    Args:
        encoder: whose vectors are tested.
        images: with classes.
        holdout, seed: which images are tested, see :func:`.splits.held_out`.
        labels: how many labels the linear probe draws; all that there are comes on top.
        draws: how often, with other seeds.
        leave_one_out: test each image by all others, k-NN and all labels only.
        monitor: told of the progress.

    Raises:
        UsageError: images without classes, or too few.
        EncoderError, ImageryError: an image cannot be read, or does not suit the encoder.
    """
    targets = images.targets
    if targets is None:
        raise UsageError(
            f"{images.path.name} says nothing of the classes of its images.",
            hint="Put each class into a folder of its own, or a labels.csv beside the images.",
        )
    vectors = _embed(encoder, images, monitor.part(0.0, 0.7))
    if leave_one_out:
        tests = [np.array([row]) for row in range(len(vectors))]
    else:
        tests = [np.flatnonzero(held_out(len(vectors), holdout, seed))]
    _check(tests, len(vectors))
    asker = _Asker(vectors, targets, len(images.classes), monitor.part(0.7, 1.0))
    everything = len(vectors) - len(tests[0])
    linear = {everything: (asker.score(tests, None, 0), 0.0)}
    for count in () if leave_one_out else sorted(set(labels)):
        if count < everything:
            found = [asker.score(tests, count, seed + draw) for draw in range(draws)]
            linear[count] = (statistics.fmean(found), statistics.stdev(found) if draws > 1 else 0.0)
    return Probe(
        encoder=encoder.card.name,
        dimension=vectors.shape[1],
        trained_on=everything,
        tested_on=sum(map(len, tests)),
        score=main_score(asker.mode),
        knn=asker.knn(tests),
        linear=dict(sorted(linear.items())),
    )


def _check(tests: Sequence[NDArray[np.int64]], count: int) -> None:
    if not len(tests) or not len(tests[0]) or count - len(tests[0]) <= NEIGHBOURS:
        raise UsageError(
            f"There are too few images to test on or to learn from ({count}).",
            hint="Use more images, or hold out another share of them (--holdout).",
        )


def _embed(encoder: Encoder, images: ImageFolder, monitor: Monitor) -> NDArray[np.float16]:
    """The vectors (N, d) of all images, at the precision in which a project keeps them."""
    vectors: list[NDArray[np.float16]] = []
    rows = np.arange(len(images.names))
    monitor.advance(0.0, "Embedding")
    for block in encoded(encoder, images.read_some, images.bands, rows):
        vectors.append(block)
        monitor.advance(sum(map(len, vectors)) / len(rows), "Embedding")
    return np.concatenate(vectors)


class _Asker:
    """Vectors (N, d) with targets, (N,) or (N, C), asked about some rows by the others."""

    def __init__(self, vectors: NDArray[np.float16], targets: NDArray[Any], n_classes: int, monitor: Monitor) -> None:
        self.vectors, self.targets, self.n_classes, self.monitor = vectors, targets, n_classes, monitor
        self.mode: Mode = "single" if targets.ndim == 1 else "multi"

    def score(self, tests: Sequence[NDArray[np.int64]], count: int | None, seed: int) -> float:
        """The linear learner's score on the tests, each learnt from ``count`` of the other rows (None for all)."""
        probabilities = []
        for number, test in enumerate(tests):
            self.monitor.advance(number / len(tests), "Linear probe")
            others = np.setdiff1d(np.arange(len(self.vectors)), test)
            rows = others if count is None else np.sort(np.random.default_rng(seed).permutation(others)[:count])
            task = Task(self.vectors, rows, self.targets[rows], self.n_classes, self.mode)
            head = fit("linear", task, Run(seed)).head
            probabilities.append(head.predict(self.vectors, test))
        return self._scored(np.concatenate(probabilities), tests)

    def knn(self, tests: Sequence[NDArray[np.int64]]) -> float:
        """The score of the nearest neighbours among the rows that are not tested."""
        votes = torch.from_numpy(
            np.eye(self.n_classes)[self.targets] if self.mode == "single" else self.targets
        ).float()
        vectors = torch.from_numpy(self.vectors.astype(np.float32))
        shares = []
        for number, test in enumerate(tests):
            self.monitor.advance(number / len(tests), "Nearest neighbours")
            others = np.setdiff1d(np.arange(len(vectors)), test)
            shares.append(knn_votes(vectors[test], vectors[others], votes[others]).numpy())
        return self._scored(np.concatenate(shares), tests)

    def _scored(self, probabilities: NDArray[Any], tests: Sequence[NDArray[np.int64]]) -> float:
        truth = self.targets[np.concatenate(tests)]
        return scores(probabilities, truth, self.mode)[main_score(self.mode)]
