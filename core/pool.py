"""The project as arrays: what is labelled, what may be asked, what checks the result.

This is where tile numbers become global indices of the pool matrix and class numbers become positions 0..C-1. From here
on, learners and query functions see nothing but arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .catalogue import Mode, label_mode
from .embedding import ENCODED_ROLES, Embeddings, load_embeddings
from .metrics import seen_classes
from .project.answers import CurrentAnswer, current_answers
from .project.classes import LabelClass
from .project.store import Project

# Skipped means "not now": such a tile may be asked again. Unsure means "I cannot tell": it is not.
ASK_AGAIN = ("skip",)


@dataclass(frozen=True)
class LabelledPool:
    """A snapshot of the project for one round.

    Attributes:
        embeddings: the pool matrix, ``(N, d)``.
        classes: the project's classes; position in this tuple = column of every ``(N, C)`` array.
        mode: ``"single"`` or ``"multi"``.
        training, validation: global indices of labelled tiles, ``(L,)`` and ``(V,)``, ascending.
        training_targets, validation_targets: single ``(L,)`` int64 class positions; multi ``(L, C)`` float32 0/1.
        eligible: global indices ``(U,)`` of pool tiles that may be asked.
        unanswered_validation: global indices of validation tiles without an answer.
    """

    embeddings: Embeddings
    classes: tuple[LabelClass, ...]
    mode: Mode
    training: np.ndarray
    training_targets: np.ndarray
    validation: np.ndarray
    validation_targets: np.ndarray
    eligible: np.ndarray
    unanswered_validation: np.ndarray

    @property
    def n_classes(self) -> int:
        """``C``."""
        return len(self.classes)

    @property
    def seen(self) -> np.ndarray:
        """Which classes have at least one labelled training tile, ``(C,)`` bool."""
        return seen_classes(self.training_targets, self.n_classes)

    @property
    def can_learn(self) -> bool:
        """A single-label head needs two classes to tell apart; a multi-label one learns yes and no for each."""
        return self.training.size > 0 and (self.mode == "multi" or self.seen.sum() > 1)

    @cached_property
    def labels_key(self) -> str:
        """Changes whenever the training labels or the embeddings do."""
        digest = hashlib.sha256(self.embeddings.key.encode())
        for array in (self.training, self.training_targets):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(",".join(str(item.class_id) for item in self.classes).encode())
        return digest.hexdigest()


def open_pool(project: Project, embeddings: Embeddings | None = None) -> LabelledPool:
    """Read the project's current answers into arrays; ``embeddings`` saves loading them again."""
    embeddings = embeddings or load_embeddings(project)
    classes = tuple(project.classes())
    answers = current_answers(project)
    pool_ids: list[int] = []
    validation_ids: list[int] = []
    for tile in project.tiles(ENCODED_ROLES):
        (pool_ids if tile.role == "pool" else validation_ids).append(tile.tile_id)
    training_ids = [tile_id for tile_id in pool_ids if _is_label(answers.get(tile_id), project.mode)]
    checked_ids = [tile_id for tile_id in validation_ids if _is_label(answers.get(tile_id), project.mode)]
    open_ids = [t for t in pool_ids if t not in answers or answers[t].kind in ASK_AGAIN]
    return LabelledPool(
        embeddings=embeddings,
        classes=classes,
        mode=label_mode(project.mode),
        training=embeddings.rows_of(training_ids),
        training_targets=_targets((answers[t] for t in training_ids), classes, project.mode),
        validation=embeddings.rows_of(checked_ids),
        validation_targets=_targets((answers[t] for t in checked_ids), classes, project.mode),
        eligible=embeddings.rows_of(open_ids),
        unanswered_validation=embeddings.rows_of([t for t in validation_ids if t not in answers]),
    )


def _is_label(answer: CurrentAnswer | None, mode: str) -> bool:
    """Whether an answer can be learnt from. "None of these" is an empty set of labels, but no single label."""
    if answer is None:
        return False
    return answer.kind == "classes" or (answer.kind == "none" and mode == "multi")


def _targets(answers: Iterable[CurrentAnswer], classes: tuple[LabelClass, ...], mode: str) -> np.ndarray:
    position = {item.class_id: index for index, item in enumerate(classes)}
    if mode == "single":
        return np.array([position[answer.class_ids[0]] for answer in answers], np.int64)
    rows = [[position[class_id] for class_id in answer.class_ids] for answer in answers]
    targets = np.zeros((len(rows), len(classes)), np.float32)
    for row, positions in enumerate(rows):
        targets[row, positions] = 1.0
    return targets
