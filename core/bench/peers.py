"""scikit-activeml's versions of our query functions, where it is installed (the extra ``bench``).

They are called as its documentation says, with its defaults; our settings where it leaves the choice. Each gets the
embeddings in memory as float32 and, where it needs a classifier, our head, already trained.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata, util
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ..kernels import Floats, Indices
from .ground import Ground
from .plain_scores import probabilities
from .version import PASSES, Version

_NAME = "scikit-activeml"


def peer_version() -> str:
    """Name and version of the peer; empty where it is not installed."""
    return f"{_NAME} {metadata.version(_NAME)}" if util.find_spec("skactiveml") else ""


class _HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Our trained head as scikit-learn likes to see it."""

    def __init__(self, weight: Floats, bias: Floats) -> None:
        self.weight, self.bias = weight, bias

    def fit(self, X: Floats, y: Indices) -> _HeadClassifier:  # noqa: ARG002
        """Nothing to do: it is trained."""
        self.classes_ = np.arange(len(self.bias))
        return self

    def predict_proba(self, X: Floats) -> Floats:
        """Probabilities (n, C)."""
        return probabilities(X @ self.weight + self.bias, "single")

    def predict(self, X: Floats) -> Indices:
        """The most probable classes (n,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))


def _query(ground: Ground, name: str, settings: dict[str, Any], **given: Callable[[Ground], Any]) -> Callable[[], Any]:
    """Ask the peer's class of that name; ``given`` makes what its ``query`` wants besides embeddings and labels."""
    asked = getattr(importlib.import_module("skactiveml.pool"), name)(random_state=0, **settings)
    rows, labels = ground.dense, _labels(ground)
    more = {key: make(ground) for key, make in given.items()}
    if more:
        more["fit_" + next(iter(more))] = False
    return lambda: np.asarray(asked.query(rows, labels, batch_size=ground.setting.budget, **more))


def _labels(ground: Ground) -> Floats:
    """Classes (N,), NaN where nobody has answered."""
    labels = np.full(len(ground.dense), np.nan)
    labels[ground.pool.labelled] = ground.pool.targets
    return labels


def _classifier(ground: Ground) -> Any:
    """Our head as the peer's kind of classifier."""
    head = ground.head
    weight = (head.output_weight * head.scale).numpy()
    own = _HeadClassifier(weight.T, (head.output_bias - head.output_weight @ (head.mean * head.scale)).numpy())
    some = ground.pool.labelled
    wrapped = importlib.import_module("skactiveml.classifier").SklearnClassifier(own, classes=np.arange(head.n_classes))
    return wrapped.fit(ground.dense[some], ground.pool.targets)


def _committee(ground: Ground) -> list[Any]:
    """Heads with dropout as a committee of classifiers."""
    masks = ground.head.dropout_masks(PASSES, ground.setting.seed).float()
    heads = [replace(ground.head, output_weight=ground.head.output_weight * mask) for mask in masks]
    return [_classifier(replace(ground, head=head)) for head in heads]


def _peer(name: str, settings: dict[str, Any] | None = None, exact: bool = False, **given: Any) -> Version:
    return Version(partial(_query, name=name, settings=settings or {}, **given), name, exact)


PEERS = {
    "random": _peer("RandomSampling"),
    "fps": _peer("CoreSet", exact=True),
    "badge": _peer("Badge", clf=_classifier),
    "typiclust": _peer("TypiClust"),
    "prob_cover": _peer("ProbCover"),
    "max_herding": _peer("MaxHerding", {"metric_dict": {"gamma": 1.0}}, exact=True),
    "bald": _peer("GreedyBALD", ensemble=_committee),
    "drop_query": _peer("DropQuery", clf=_classifier),
    **{
        name: _peer("UncertaintySampling", {"method": method}, exact=True, clf=_classifier)
        for name, method in (
            ("least_confidence", "least_confident"),
            ("margin", "margin_sampling"),
            ("entropy", "entropy"),
        )
    },
}
"""By the name of our query function; single-label only."""
