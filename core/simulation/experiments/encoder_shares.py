"""Study: what learning without labels is worth (figure 2 of the first paper).

A linear model is fitted on the vectors of an untrained network (the architecture of the encoder that comes with
Quadrat, with random weights), of the encoders that were named, for example one trained on photographs, and of the
encoder of the experiment: with 2, 5 and 10 % of the pool's labels drawn at random, five times, and with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...architectures import build_network
from ...encoders.registry import PREFERRED, find_network
from ...encoders.spec import EncoderSpec, save_encoder
from ...errors import EncoderError, LearningError
from ...learners.base import Run, Task
from ...learners.registry import fit
from ...metrics import scores
from ...monitor import Monitor
from ...project.scores import main_score
from ..dataset import Vectors
from ..vectors import embed_dataset
from .studies import Findings, Material, Study

SHARES = (0.02, 0.05, 0.1, 1.0)
DRAWS = 5
LINEAR = "linear"
UNTRAINED = "untrained"
_FITTING = 0.6
"""From here on heads are fitted; before, tiles are embedded."""


def _make(material: Material) -> Findings:
    if len(material.test) == 0:
        raise LearningError("There is no tile to test encoders on.", hint="Hold out a share of the tiles.")
    embedded = list(_embedded(material, material.monitor.part(0.0, _FITTING)))
    counts = [max(2, round(share * len(material.pool))) for share in SHARES]
    rows: list[dict[str, Any]] = []
    for place, vectors in enumerate(embedded):
        start, end = (_FITTING + (1.0 - _FITTING) * turn / len(embedded) for turn in (place, place + 1))
        found = _scores(material, vectors, counts, material.monitor.part(start, end))
        rows.append({"name": vectors.encoder, "dimension": vectors.matrix.shape[1], "scores": found})
    facts = {
        "score": main_score(material.dataset.mode),
        "shares": list(SHARES),
        "labels": counts,
        "draws": DRAWS,
        "learner": LINEAR,
        "tested": len(material.test),
        "encoders": rows,
    }
    return Findings(facts)


def _embedded(material: Material, monitor: Monitor) -> Iterator[Vectors]:
    """The vectors of the untrained encoder, of those that were named, and of the experiment's own."""
    if not material.encoders:
        monitor.info(
            "No other encoder was named, so the comparison of encoders lacks one that was trained on photographs. The "
            f"first --encoder is that of the runs, so name the present one first: --encoder {material.vectors.encoder} "
            "--encoder NAME. `quadrat encoders` lists them."
        )
    names = (str(untrained_encoder(material)), *material.encoders)
    for place, name in enumerate(names):
        stage = monitor.part(place / len(names), (place + 1) / len(names))
        try:
            vectors = embed_dataset(material.dataset, name, material.kept, str(material.device), stage)
        except EncoderError as error:
            monitor.warn(f"The comparison of encoders does without {UNTRAINED if not place else name}: {error.message}")
            continue
        if vectors.key != material.vectors.key:
            yield vectors
    yield material.vectors


def untrained_encoder(material: Material) -> Path:
    """An encoder file with random weights: the network of the experiment's encoder, or of the one that is shipped."""
    spec = _network_of(material.vectors.encoder)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(material.seed)
        network = build_network(spec.architecture, len(spec.input.bands))
    described = EncoderSpec(
        UNTRAINED,
        spec.architecture,
        spec.input,
        layers=spec.layers,
        dimension=spec.dimension,
        summary=f"{spec.architecture} with random weights, to compare with.",
    )
    file = material.kept / f"{UNTRAINED}.safetensors"
    save_encoder(file, network.state_dict(), described)
    return file


def _network_of(encoder: str) -> EncoderSpec:
    try:
        return find_network(encoder)
    except EncoderError:
        return find_network(PREFERRED[0])


def _scores(material: Material, vectors: Vectors, counts: list[int], monitor: Monitor) -> list[list[float]]:
    """By number of labels, the score of each draw; all labels can be drawn in one way only."""
    found = []
    for place, count in enumerate(counts):
        draws = DRAWS if count < len(material.pool) else 1
        stage = monitor.part(place / len(counts), (place + 1) / len(counts))
        found.append([_score(material, vectors, count, material.seed + draw, stage) for draw in range(draws)])
    return found


def _score(material: Material, vectors: Vectors, count: int, seed: int, monitor: Monitor) -> float:
    """The linear model's main score on the test tiles, learnt from ``count`` random labels."""
    dataset, test = material.dataset, material.test
    rows = np.sort(np.random.default_rng(seed).permutation(material.pool)[:count])
    task = Task(vectors.matrix, rows, dataset.targets[rows], dataset.n_classes, dataset.mode)
    head = fit(LINEAR, task, Run(seed, device=material.device, monitor=monitor)).head
    probabilities = head.predict(vectors.matrix, test, monitor=monitor)
    return scores(probabilities, dataset.targets[test], dataset.mode)[main_score(dataset.mode)]


ENCODER_SHARES = Study(
    "encoders",
    "Encoders by the share of labels",
    "A linear model on untrained, supervised and self-supervised vectors, with 2, 5, 10 and 100 % of the labels.",
    _make,
    version=2,
    uses_encoders=True,
)
