"""FixMatch: a network trained on labelled tiles and on what it is already sure of among the others.

Every unlabelled tile is shown twice. If the network is confident of its class from the weak view (flips and turns), it
has to say the same from the strong one (:mod:`.augment`): Sohn et al. 2020, equations 3 and 4. Three things are added:

* **Distribution alignment** (Berthelot et al. 2020, ReMixMatch; 2022, AdaMatch): what it says of unlabelled tiles is
  first scaled by the share of each class among the labels over the running mean of what it says, so that it cannot
  talk itself into a few easy classes. Labels that were queried one by one may be distributed otherwise than the pool;
  ``align`` can be ``uniform`` or ``none`` then.
* **Several classes a tile**: every class is a question of its own, with confident yeses and confident noes, and the
  loss is the binary cross-entropy of those that are answered.
* **Averaged weights**: the result is a moving average of the network's parameters, which is steadier than the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..catalogue import Mode, Within
from ..kernels import Indices
from .augment import strong, weak
from .base import Fitted, Learner, Run, Task
from .networks import (
    NETWORKS,
    STARTS,
    Design,
    TileNetwork,
    Trainer,
    as_targets,
    losses_of,
    open_network,
    pixels_of,
    seeded,
    usable,
)

ALIGNMENTS = ("labels", "uniform", "none")
_TRAINING = 0.9
_REMEMBER = 0.99
"""The running mean of predictions looks back at about 100 batches, as in ReMixMatch."""


def fit_fixmatch(
    task: Task,
    run: Run,
    *,
    network: Annotated[str, Within(words=NETWORKS)] = "resnet18",
    weights: str = "",
    start: Annotated[str, Within(words=STARTS)] = "warm",
    steps: Annotated[int, Within(1)] = 1000,
    lr: Annotated[float, Within(1e-9)] = 0.03,
    weight_decay: Annotated[float, Within(0.0)] = 5e-4,
    batch_size: Annotated[int, Within(2)] = 16,
    unlabelled_ratio: Annotated[int, Within(1)] = 7,
    unlabelled_weight: Annotated[float, Within(0.0)] = 1.0,
    threshold: Annotated[float, Within(0.5, 1.0)] = 0.95,
    align: Annotated[str, Within(words=ALIGNMENTS)] = "labels",
    average: Annotated[float, Within(0.0, 0.99999)] = 0.999,
    dropout: Annotated[float, Within(0.0, 0.99)] = 0.2,
    size_px: Annotated[int, Within(0)] = 0,
) -> Fitted:
    """Train a network on labelled and unlabelled tiles.

    Args:
        task: with pixels; without ``unlabelled`` rows it learns from the labels alone.
        run: ``start`` is what a warm start goes on from.
        network: one of :data:`.architectures.STAGES`.
        weights: a local file of torchvision's ImageNet weights to begin with; none by default.
        start: warm or cold.
        steps: how often the network is improved.
        lr: learning rate at the start; it falls along lr cos(7 pi k / 16 K).
        weight_decay: L2 penalty.
        batch_size: labelled tiles a step.
        unlabelled_ratio: unlabelled tiles for each of them, mu.
        unlabelled_weight: what the unlabelled loss counts beside the labelled one, lambda.
        threshold: how probable a class, or in multi mode a yes or a no, must be to be learnt from, tau.
        align: to what shares of the classes predictions are aligned.
        average: decay of the moving average of the parameters; shorter at the beginning, 0 for none.
        dropout: share of the features dropped before the last layer, here and in dropout passes.
        size_px: resize the tiles to this; 0 for as they are.

    Raises:
        LearningError: no labels, one class alone in single mode, or no pixels.
        EncoderError: the weights cannot be read, or belong to another network.
        Cancelled: the caller asked to stop.
    """
    task = usable(task, run.monitor)
    with seeded(run):
        net = open_network(task, run, Design(network, weights, start == "warm", dropout, size_px)).train()
        trainer = Trainer(net, lr, weight_decay, nesterov=True, losses=task.losses, seed=run.seed)
        sizes = (batch_size, batch_size * unlabelled_ratio)
        _descend(trainer, ConfidentGuesses(task, threshold, align), task, run, steps, sizes, unlabelled_weight, average)
        return trainer.finish(task, run, run.monitor.part(_TRAINING, 1.0))


def _descend(
    trainer: Trainer,
    guess: ConfidentGuesses,
    task: Task,
    run: Run,
    steps: int,
    sizes: tuple[int, int],
    unlabelled_weight: float,
    average: float,
) -> None:
    """Train the network in place; ``sizes`` are the labelled and the unlabelled tiles of a step."""
    net, pixels, rng = trainer.net, pixels_of(task), np.random.default_rng(run.seed)
    averaged = AveragedWeights(net, average)
    targets = as_targets(task.targets, task.mode, run.device)
    labelled, unlabelled = endless(len(task.labelled), sizes[0], rng), endless(len(task.unlabelled), sizes[1], rng)
    for step in range(steps):
        run.monitor.advance(_TRAINING * step / steps, f"Training the network, step {step + 1} of {steps}")
        places = next(labelled)
        seen = weak(net.inputs(pixels, task.labelled[places]), rng)
        others = net.inputs(pixels, task.unlabelled[next(unlabelled)])
        wanted, sure = guess(net, weak(others, rng))
        logits = net(torch.cat([seen, strong(weak(others, rng), rng)]))
        losses = losses_of(logits[: len(places)], targets[torch.from_numpy(places).to(targets.device)])
        loss = losses.mean() + unlabelled_weight * unlabelled_loss(logits[len(places) :], wanted, sure)
        trainer.step(loss + trainer.ranking(losses, step / steps), math.cos(7 * math.pi * step / (16 * steps)))
        averaged.update(net)
    averaged.copy_to(net)


class ConfidentGuesses:
    """What a network says of unlabelled tiles, aligned, and of which it is sure.

    The statistics of batch normalisation are those of the tiles it is asked about, as while training, but no feature is
    dropped.
    """

    def __init__(self, task: Task, threshold: float, align: str) -> None:
        self.mode = task.mode
        self.threshold = threshold
        self.shares = None if align == "none" else torch.from_numpy(class_shares(task, align))
        self.running: torch.Tensor | None = None

    @torch.no_grad()
    def __call__(self, net: TileNetwork, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets, (n,) int64 or (n, C) float32, and whether to learn from them, in the same shape."""
        if not len(tiles):
            nothing = torch.zeros((0,) if self.mode == "single" else (0, net.output.out_features), device=tiles.device)
            return nothing.long() if self.mode == "single" else nothing, nothing.bool()
        logits = net.output(net.features(tiles)).double()
        said = logits.softmax(dim=1) if self.mode == "single" else logits.sigmoid()
        if self.shares is not None:
            mean = said.mean(dim=0)
            self.running = mean if self.running is None else _REMEMBER * self.running + (1 - _REMEMBER) * mean
            said = aligned(said, self.shares.to(said.device), self.running, self.mode)
        if self.mode == "single":
            most, wanted = said.max(dim=1)
            return wanted, most >= self.threshold
        return (said > 0.5).float(), torch.maximum(said, 1.0 - said) >= self.threshold


def class_shares(task: Task, align: str) -> NDArray[np.float64]:
    """The share (C,) of tiles that have each class: among the labels, each counted as seen once more, or equal."""
    if task.mode == "multi":
        if align == "uniform":
            return np.full(task.n_classes, (task.targets.sum() + 1.0) / (task.targets.size + 2.0))
        return np.asarray((task.targets.sum(axis=0) + 1.0) / (len(task.targets) + 2.0), np.float64)
    counts = np.bincount(task.targets, minlength=task.n_classes) if align == "labels" else np.zeros(task.n_classes)
    return np.asarray((counts + 1.0) / (counts.sum() + task.n_classes), np.float64)


def aligned(said: torch.Tensor, shares: torch.Tensor, running: torch.Tensor, mode: Mode) -> torch.Tensor:
    """Probabilities (n, C) times wanted over usual shares (C,), made probabilities again.

    In multi mode each class is aligned for itself, yes against no.
    """
    tiny = torch.finfo(said.dtype).tiny
    yes = said * (shares / running.clamp_min(tiny))
    if mode == "single":
        return yes / yes.sum(dim=1, keepdim=True).clamp_min(tiny)
    no = (1.0 - said) * ((1.0 - shares) / (1.0 - running).clamp_min(tiny))
    return yes / (yes + no).clamp_min(tiny)


def unlabelled_loss(logits: torch.Tensor, wanted: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    """Mean loss over the tiles (n,), or their classes (n, C), where those that are not sure count as 0."""
    if not len(logits):
        return logits.sum()
    if wanted.ndim == 1:
        return (functional.cross_entropy(logits, wanted, reduction="none") * sure).mean()
    return (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * sure).mean()


class AveragedWeights:
    """The moving average of a network's parameters and statistics; after few steps it looks back less far."""

    def __init__(self, net: TileNetwork, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: TileNetwork) -> None:
        """Take in the network as it is now."""
        self.steps += 1
        decay = min(self.decay, (self.steps - 1) / (self.steps + 9))
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1.0 - decay)
            else:
                self.state[name].copy_(tensor)

    def copy_to(self, net: TileNetwork) -> None:
        """Make the network the average."""
        net.load_state_dict(self.state)


def endless(count: int, size: int, rng: np.random.Generator) -> Iterator[Indices]:
    """Batches of ``size`` places, all of them once in random order before any comes again; empty ones of nothing."""
    waiting = np.empty(0, np.int64)
    while True:
        while count and len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield waiting[:size]
        waiting = waiting[size:]


LEARNERS = (
    Learner(
        "fixmatch",
        fit_fixmatch,
        "A whole network that learns from unlabelled tiles too: for few labels and a GPU.",
        "FixMatch, Sohn et al. 2020; alignment by Berthelot et al. 2020 and 2022",
        "the steps, then the tiles",
        needs_pixels=True,
        uses_unlabelled=True,
        folds=0,
    ),
)
