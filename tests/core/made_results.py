"""Results of experiments as runs leave them, made up: believable scores, and class names that are hard on a page."""

import json
import math
import re
from dataclasses import replace

import numpy as np

from quadrat.core.models import Choice
from quadrat.core.simulation.dataset import Dataset, Vectors
from quadrat.core.simulation.plan import Plan, RoundResult
from quadrat.core.simulation.record import keep_record
from quadrat.core.simulation.results import join_runs, learner_label, run_file, strategy_label, write_run
from quadrat.core.simulation.splits import split

NAN = math.nan
CLASSES = ("Sea | Lake", "<b>Forest</b>", "Annual & permanent crop", "Highway_*new*")
LINEAR = Choice("linear")


class Colours:
    """Tiles of 8 px whose colour is almost their class."""

    bands = ("B04", "B03", "B02")

    def __init__(self, targets):
        self.kinds = np.atleast_2d(targets.T).T[:, 0]

    def read(self, rows, size_px=None):
        size = size_px or 8
        noise = np.random.default_rng(rows).normal(0, 0.1, (len(rows), 3, size, size))
        return (self.kinds[rows, None, None, None] / 4 + noise).astype(np.float32)


def dataset_of(mode, count=340):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, count) if mode == "single" else rng.integers(0, 2, (count, 4))
    names = tuple(f"tile {row}" for row in range(count))
    return Dataset(f"Made {mode}", mode, CLASSES, targets, names, Colours(targets), f"fingerprint-{mode}")


def vectors_of(dataset):
    kinds = dataset.targets if dataset.mode == "single" else dataset.targets[:, 0]
    matrix = np.random.default_rng(1).normal(kinds[:, None], 0.6, (len(dataset), 6)).astype(np.float16)
    return Vectors(matrix, "statistics", "key")


SKILL = {
    "random": 0.0,
    "margin": 0.06,
    "mcfps": 0.03,
    "fps": -0.05,
    "osal": -0.08,
    "mge": 0.02,
    "mge+clustering": 0.035,
}


def rows_of(plan, dataset, *, skill=SKILL, validation=0):
    """A believable run: its score grows with the labels and with the skill of the query function."""
    rng = np.random.default_rng([plan.seed, *plan.strategy.encode(), len(plan.learner.parameters), plan.budget])
    gap = 0.02 if plan.variant == "balanced" else 0.06
    luck = rng.normal(0, 0.006)
    for number in range(0 if plan.initial else 1, plan.rounds + 1):
        labels = plan.initial + number * plan.budget
        score = 0.97 - gap - (0.45 - skill.get(plan.strategy, 0.01)) * math.exp(-labels / 160) + luck
        score = min(score + rng.normal(0, 0.003), 1.0)
        single = dataset.mode == "single"
        estimate = score + rng.normal(0, 0.015) if validation else NAN
        yield RoundResult(
            dataset=dataset.name,
            encoder="statistics",
            variant=plan.variant,
            strategy=strategy_label(plan),
            learner=learner_label(plan),
            budget=plan.budget,
            initial=plan.initial,
            initial_by=plan.initial_by,
            seed=plan.seed,
            round=number,
            labels=labels,
            classes_seen=4,
            chosen_by=plan.strategy if number > 1 else "kmeans",
            accuracy=score if single else score - 0.3,
            macro_f1=score - 0.02,
            micro_f1=NAN if single else score,
            mean_average_precision=NAN if single else score - 0.01,
            validation_labels=validation,
            estimate=estimate,
            estimate_low=estimate - 0.03,
            estimate_high=estimate + 0.03,
            agreement=0.9 if number > 1 else NAN,
            stop=bool(validation) and number >= 5,
            query_seconds=0.002 * len(plan.strategy) + 0.0001 * number,
            train_seconds=0.1,
            learner_parameters=28,
        )


def results_in(folder, dataset, plans, *, skill=SKILL, validation=0, **notes):
    """A folder as the runs of these plans leave it."""
    parts, plans = split(dataset), [replace(plan, validation=validation) for plan in plans]
    said = {"command": f"quadrat simulate {dataset.name} --out results", "split": {"seed": 0}, **notes}
    keep_record(folder, dataset, vectors_of(dataset), parts, plans, "cpu", said)
    for plan in plans:
        write_run(run_file(folder, plan), rows_of(plan, dataset, skill=skill, validation=validation))
    join_runs(folder)
    record = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    record["created"] = "2024-05-06T07:08:09+00:00"
    (folder / "experiment.json").write_text(json.dumps(record), encoding="utf-8")
    return parts


def plans_for(strategies, *, learners=(LINEAR,), seeds=range(5), variants=("balanced",), **rest):
    return [
        Plan(strategy, learner, seed=seed, variant=variant, **rest)
        for strategy in strategies
        for learner in learners
        for variant in variants
        for seed in seeds
    ]


def encoder_shares(folder):
    """What the study of encoders leaves behind."""
    scores = [[0.5, 0.52, 0.48], [0.6, 0.61, 0.62], [0.7, 0.69, 0.72], [0.8]]
    rows = [
        {"name": name, "encoder": name, "dimension": 6, "scores": [[s + up for s in draws] for draws in scores]}
        for name, up in (("untrained", 0.0), ("statistics", 0.15))
    ]
    facts = {"score": "accuracy", "shares": [0.02, 0.05, 0.1, 1.0], "labels": [6, 16, 32, 320], "draws": 3}
    facts |= {"learner": "linear", "tested": 80, "encoders": rows}
    (folder / "encoders.json").write_text(json.dumps({"key": "", "arrays": [], "facts": facts}), encoding="utf-8")


def sections(report):
    """The text of the Markdown by the heading that it stands under; of equal headings the first."""
    parts = re.split(r"^#{1,3} (.+)$", report.markdown.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        found.setdefault(title, text)
    return found
