"""Small tiles whose classes differ in colour and in texture, and tasks of learning them, for tests of networks."""

import numpy as np

from quadrat.core.learners.base import Task
from quadrat.core.monitor import Monitor

SIZE = 32


def tiles(count=48, bands=4, n_classes=3, seed=0):
    """Reflectance (N, bands, 32, 32) and classes (N,): one band is brighter, or the last class has stripes instead."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % n_classes
    pixels = rng.normal(0.1, 0.03, (count, bands, SIZE, SIZE))
    pixels += rng.uniform(0.0, 0.05, (count, 1, 1, 1))
    for tile, kind in zip(pixels, truth, strict=True):
        if kind == n_classes - 1:
            tile[:, ::4] += 0.15
        else:
            tile[kind % bands, :, : SIZE * (kind + 1) // n_classes] += 0.12
    return pixels.astype(np.float32), truth


def several(truth, n_classes=3):
    """A multi-label truth (N, C): the class itself, and the first class for every tile of the second half too."""
    targets = np.eye(n_classes, dtype=np.float32)[truth]
    targets[len(truth) // 2 :, 0] = 1.0
    return targets


def task_of(mode="single", labelled=30, count=48, bands=4, losses=False):
    """A task, and the truth (N,) or (N, C) of all its tiles."""
    pixels, truth = tiles(count, bands)
    targets = truth if mode == "single" else several(truth)
    if mode == "multi":
        pixels[count // 2 :, 0] += 0.15  # what the first class looks like there
    rows = np.random.default_rng(0).permutation(count)
    task = Task(
        embeddings=pixels.mean(axis=(2, 3)).astype(np.float16),
        labelled=rows[:labelled],
        targets=targets[rows[:labelled]],
        n_classes=3,
        mode=mode,
        unlabelled=rows[labelled:],
        pixels=lambda wanted: pixels[wanted],
        losses=losses,
    )
    return task, targets


def predicted(fitted):
    """Probabilities (N, C) of all tiles."""
    return fitted.head.predict(fitted.features)


def accuracy(fitted, task, targets):
    """Share of the tiles, or of their classes, that are right among those without a label."""
    said = predicted(fitted)[task.unlabelled]
    wanted = targets[task.unlabelled]
    right = said.argmax(axis=1) == wanted if task.mode == "single" else (said > 0.5) == wanted
    return right.mean()


def stop_after(calls):
    """A monitor that asks to stop after it was told of progress so many times, and what it was told."""
    told = []
    return Monitor(lambda fraction, text: told.append((fraction, text)), lambda: len(told) >= calls), told
