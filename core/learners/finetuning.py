"""Fine-tuning: a network trained end to end on the labelled tiles, as in the second paper.

SGD with momentum; the learning rate falls to a tenth after 80 % of the epochs; tiles are flipped and turned by quarters
at random. A *warm* start goes on from the parameters of the last round, a *cold* one begins anew. Where somebody wants
to know the losses that it expects, the loss module of Yoo and Kweon (2019) is trained with it, on the global averages
of the network's four blocks.

The paper does not say how the parameters are penalised, nor its momentum; 5e-4 and 0.9 are those of Yoo and Kweon.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch

from ..catalogue import Preset, Within
from .augment import weak
from .base import Fitted, Learner, Run, Task
from .networks import (
    NETWORKS,
    STARTS,
    Design,
    Trainer,
    as_targets,
    losses_of,
    open_network,
    paired_batches,
    pixels_of,
    seeded,
    usable,
)

_DECAY_AT, _DECAY = 0.8, 0.1
_TRAINING = 0.9
"""Share of the time that training is said to take; the rest goes to looking at every tile."""


def fit_finetuned(
    task: Task,
    run: Run,
    *,
    network: Annotated[str, Within(words=NETWORKS)] = "resnet18",
    weights: str = "",
    start: Annotated[str, Within(words=STARTS)] = "warm",
    epochs: Annotated[int, Within(1)] = 100,
    lr: Annotated[float, Within(1e-9)] = 0.025,
    weight_decay: Annotated[float, Within(0.0)] = 5e-4,
    batch_size: Annotated[int, Within(2)] = 10,
    dropout: Annotated[float, Within(0.0, 0.99)] = 0.2,
    size_px: Annotated[int, Within(0)] = 0,
) -> Fitted:
    """Train a network on the labelled tiles.

    Args:
        task: with pixels. Single-label tasks are trained with cross-entropy, multi-label ones with binary
            cross-entropy, averaged over the classes.
        run: ``start`` is what a warm start goes on from.
        network: one of :data:`.architectures.STAGES`.
        weights: a local file of torchvision's ImageNet weights to begin with, see
            :func:`.architectures.load_pretrained`; none by default.
        start: warm or cold.
        epochs: passes over the labelled tiles.
        lr: learning rate of the first 80 % of the epochs.
        weight_decay: L2 penalty.
        batch_size: tiles a step; batches are of even length, so one may be larger by one.
        dropout: share of the features dropped before the last layer, here and in dropout passes.
        size_px: resize the tiles to this; 0 for as they are. Networks made for photographs like 128 and more.

    Raises:
        LearningError: no labels, one class alone in single mode, or no pixels.
        EncoderError: the weights cannot be read, or belong to another network.
        Cancelled: the caller asked to stop.
    """
    task, pixels = usable(task, run.monitor), pixels_of(task)
    rng = np.random.default_rng(run.seed)
    with seeded(run):
        net = open_network(task, run, Design(network, weights, start == "warm", dropout, size_px)).train()
        trainer = Trainer(net, lr, weight_decay, nesterov=False, losses=task.losses, seed=run.seed)
        targets = as_targets(task.targets, task.mode, run.device)
        for epoch in range(epochs):
            batches = paired_batches(len(task.labelled), batch_size, rng)
            for number, batch in enumerate(batches):
                progress = (epoch + number / len(batches)) / epochs
                run.monitor.advance(_TRAINING * progress, f"Training {network}, epoch {epoch + 1} of {epochs}")
                logits = net(weak(net.inputs(pixels, task.labelled[batch]), rng))
                losses = losses_of(logits, targets[torch.from_numpy(batch).to(targets.device)])
                trainer.step(losses.mean() + trainer.ranking(losses, progress), 1.0 if progress < _DECAY_AT else _DECAY)
        return trainer.finish(task, run, run.monitor.part(_TRAINING, 1.0))


LEARNERS = (
    Learner(
        "finetune",
        fit_finetuned,
        "A whole network trained on the tiles: for many labels and a GPU; learns what no embedding shows.",
        "Training of the multi-label paper; loss module by Yoo and Kweon 2019",
        "the labels and epochs, then the tiles",
        presets={
            "paper": Preset(
                "As published for UCMerced: DenseNet121, from where the last round ended.",
                {"network": "densenet121", "dropout": 0.0},
            ),
            "treesatai": Preset(
                "As published for TreeSatAI: DenseNet121, 200 epochs from the beginning every round.",
                {
                    "network": "densenet121",
                    "dropout": 0.0,
                    "start": "cold",
                    "epochs": 200,
                    "lr": 0.01,
                    "batch_size": 100,
                },
            ),
        },
        needs_pixels=True,
        folds=0,
    ),
)
