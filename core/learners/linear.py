"""Heads on fixed embeddings as learners: the linear one and the one with a hidden layer.

If the task asks for them, they also say which loss they expect on each row: a loss module is trained along. It looks
at the standardised embedding and at the hidden layer, where there is one.
"""

from __future__ import annotations

from typing import Annotated

import torch

from ..catalogue import Preset, Within
from ..kernels import Floats
from .base import Fitted, Learner, Run, Task
from .head import Head
from .loss_module import LossModule, LossTeacher
from .training import HeadConfig, PseudoLabels, count_numbers, fit_head

_PAPER = HeadConfig.paper()
_DEFAULT = HeadConfig()
_OPTIMIZERS = ("adam", "sgd")


def fit_linear(
    task: Task,
    run: Run,
    *,
    dropout: Annotated[float, Within(0.0, 0.99)] = _DEFAULT.dropout,
    epochs: Annotated[int, Within(1)] = _DEFAULT.epochs,
    lr: Annotated[float, Within(1e-9)] = _DEFAULT.lr,
    weight_decay: Annotated[float, Within(0.0)] = _DEFAULT.weight_decay,
    optimizer: Annotated[str, Within(words=_OPTIMIZERS)] = _DEFAULT.optimizer,
    batch_size: Annotated[int, Within(1)] = 1024,
    standardise: bool = _DEFAULT.standardise,
    prior_bias: bool = _DEFAULT.prior_bias,
    warm: bool = False,
) -> Fitted:
    """A linear head, see :class:`.training.HeadConfig` for the parameters; ``warm`` as in :func:`fit_on_task`."""
    config = HeadConfig(
        dropout=dropout,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        optimizer="sgd" if optimizer == "sgd" else "adam",
        batch_size=batch_size,
        standardise=standardise,
        prior_bias=prior_bias,
    )
    return fit_on_task(task, run, config, warm=warm)


def fit_hidden(
    task: Task,
    run: Run,
    *,
    hidden: Annotated[int, Within(1)] = 256,
    dropout: Annotated[float, Within(0.0, 0.99)] = _DEFAULT.dropout,
    epochs: Annotated[int, Within(1)] = _DEFAULT.epochs,
    lr: Annotated[float, Within(1e-9)] = 0.003,
    weight_decay: Annotated[float, Within(0.0)] = _DEFAULT.weight_decay,
    warm: bool = False,
) -> Fitted:
    """A head with one hidden layer of ``hidden`` rectified units; ``warm`` as in :func:`fit_on_task`."""
    config = HeadConfig(hidden=hidden, dropout=dropout, epochs=epochs, lr=lr, weight_decay=weight_decay)
    return fit_on_task(task, run, config, warm=warm)


def fit_on_task(
    task: Task, run: Run, config: HeadConfig, guesses: PseudoLabels | None = None, *, warm: bool = False
) -> Fitted:
    """Train a head, perhaps with pseudo-labels, and with it a loss module if the task asks for losses.

    If ``warm``, training begins with the parameters of the round before (``run.start``) where they fit, and those that
    it ends with are kept for the next.
    """
    hidden = () if config.hidden is None else (config.hidden,)
    teacher = None
    if task.losses:
        teacher = LossTeacher((task.embeddings.shape[1], *hidden), run.seed, device=run.device)
    head = fit_head(
        task.embeddings,
        task.labelled,
        task.targets,
        task.n_classes,
        task.mode,
        config,
        seed=run.seed,
        moments=task.moments,
        guesses=guesses,
        teacher=teacher,
        start=run.start if warm else None,
        device=run.device,
        monitor=run.monitor,
    )
    trained = count_numbers(head.parameters.values())
    if teacher is None:
        return Fitted(head, state=head.parameters if warm else {}, trained=trained)
    return Fitted(
        head,
        losses=_expected_losses(teacher.module, head, task, run),
        state=head.parameters if warm else {},
        trained=trained + count_numbers(teacher.module.parameters()),
    )


def _expected_losses(module: LossModule, head: Head, task: Task, run: Run) -> Floats:
    """The loss (N,) that the module expects on each row; NaN where the embedding is not finite."""
    with torch.no_grad():
        expected = head.tiled(
            lambda block: module(head.activations(block))[:, None], 1, task.embeddings, monitor=run.monitor
        )
    return expected[:, 0]


LEARNERS = (
    Learner(
        "linear",
        fit_linear,
        "A linear model on the embeddings: trained in a second, hard to beat with few labels.",
        "Logistic regression; dropout by Gal and Ghahramani 2016",
        "the labels",
        presets={
            "paper": Preset(
                "The linear evaluation of MoCo, with which MCFPS was published.",
                {
                    "dropout": _PAPER.dropout,
                    "optimizer": _PAPER.optimizer,
                    "lr": _PAPER.lr,
                    "weight_decay": _PAPER.weight_decay,
                    "batch_size": 64,
                    "standardise": False,
                    "prior_bias": False,
                },
            )
        },
    ),
    Learner(
        "hidden",
        fit_hidden,
        "One hidden layer on the embeddings: for some hundred labels and more.",
        "Multilayer perceptron; dropout by Gal and Ghahramani 2016",
        "the labels",
    ),
)
