"""Heads on fixed embeddings as learners: the linear one and the one with a hidden layer."""

from __future__ import annotations

from typing import Annotated

from ..catalogue import Preset, Within
from .base import Fitted, Learner, Run, Task
from .training import HeadConfig, fit_head

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
) -> Fitted:
    """A linear head, see :class:`.training.HeadConfig` for the parameters."""
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
    return _fit(task, run, config)


def fit_hidden(
    task: Task,
    run: Run,
    *,
    hidden: Annotated[int, Within(1)] = 256,
    dropout: Annotated[float, Within(0.0, 0.99)] = _DEFAULT.dropout,
    epochs: Annotated[int, Within(1)] = _DEFAULT.epochs,
    lr: Annotated[float, Within(1e-9)] = 0.003,
    weight_decay: Annotated[float, Within(0.0)] = _DEFAULT.weight_decay,
) -> Fitted:
    """A head with one hidden layer of ``hidden`` rectified units."""
    return _fit(task, run, HeadConfig(hidden=hidden, dropout=dropout, epochs=epochs, lr=lr, weight_decay=weight_decay))


def _fit(task: Task, run: Run, config: HeadConfig) -> Fitted:
    head = fit_head(
        task.embeddings,
        task.labelled,
        task.targets,
        task.n_classes,
        task.mode,
        config,
        seed=run.seed,
        moments=task.moments,
        device=run.device,
        monitor=run.monitor,
    )
    return Fitted(head)


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
