"""What experiments are made of, and what studies find in tiles whose classes are colours."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from quadrat.core.catalogue import Mode
from quadrat.core.errors import Cancelled, LearningError, UsageError
from quadrat.core.kernels import Floats, Indices
from quadrat.core.models import Choice
from quadrat.core.monitor import Monitor
from quadrat.core.resizing import resized
from quadrat.core.simulation.dataset import Dataset, Vectors
from quadrat.core.simulation.experiments import (
    EXPERIMENTS,
    PUBLISHED,
    Experiment,
    Findings,
    Setting,
    encoder_shares,
    one_shot,
    read_findings,
)
from quadrat.core.simulation.experiments.encoder_shares import ENCODER_SHARES
from quadrat.core.simulation.experiments.one_shot import BUDGET, ONE_SHOT, STRATEGIES_SHOWN
from quadrat.core.simulation.experiments.projection import PROJECTION
from quadrat.core.simulation.experiments.studies import Material, Study
from quadrat.core.simulation.replay import check_plan
from quadrat.core.simulation.results import run_file
from quadrat.core.simulation.splits import Split
from quadrat.core.simulation.vectors import embed_dataset
from quadrat.core.strategies.registry import STRATEGIES

N, SIZE = 420, 32
COLOURS = np.array([[0.05, 0.10, 0.20], [0.10, 0.25, 0.05], [0.25, 0.15, 0.10], [0.05, 0.05, 0.05]], np.float32)


@dataclass(frozen=True)
class Painted:
    """Noisy tiles of one colour each."""

    colours: Floats
    bands: tuple[str, ...] = ("B04", "B03", "B02")

    def read(self, rows: Indices, size_px: int | None = None) -> Floats:
        noise = np.stack([np.random.default_rng(int(row)).normal(0.0, 0.02, (3, SIZE, SIZE)) for row in rows])
        tiles = np.clip(self.colours[rows][:, :, None, None] + noise, 0.0, 1.0).astype(np.float32)
        return tiles if size_px is None else np.asarray(resized(torch.from_numpy(tiles), size_px).numpy())


def painted(mode: Mode) -> Dataset:
    """Four classes of colours, the last one rare; in multi mode a tile has all classes up to its own."""
    targets = np.random.default_rng(0).choice(4, N, p=[0.4, 0.3, 0.25, 0.05])
    names = tuple(f"tile {row}" for row in range(N))
    classes = ("water", "wood", "soil", "shadow")
    answers = targets if mode == "single" else (np.arange(4) <= targets[:, None]).astype(np.int64)
    return Dataset("painted", mode, classes, answers, names, Painted(COLOURS[targets]), f"painted {mode}")


SPLIT = Split(np.arange(0, 340), np.arange(340, N))
SMALL = Split(np.arange(0, 120), np.arange(340, 400))


@pytest.fixture(scope="module", params=["single", "multi"])
def anything(request, tmp_path_factory) -> tuple[Dataset, Vectors]:
    dataset = painted(request.param)
    return dataset, embed_dataset(dataset, "statistics", tmp_path_factory.mktemp("vectors"), "cpu", Monitor())


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> tuple[Dataset, Vectors]:
    dataset = painted("single")
    return dataset, embed_dataset(dataset, "statistics", tmp_path_factory.mktemp("vectors"), "cpu", Monitor())


def settings(experiment: Experiment) -> Sequence[Setting]:
    return [replace(experiment.defaults, mode=mode, device=experiment.devices[0]) for mode in experiment.modes]


CASES = [
    pytest.param(experiment, setting, id=f"{experiment.name} {setting.mode}")
    for experiment in EXPERIMENTS.entries()
    for setting in settings(experiment)
]


@pytest.mark.parametrize(("experiment", "setting"), CASES)
def test_every_run_of_every_experiment_can_be_carried_out_and_has_a_file_of_its_own(experiment, setting):
    plans = experiment.plans(setting)
    dataset = painted(setting.mode)
    for plan in plans:
        check_plan(dataset, plan, pool_size=1000)
    files = {run_file(Path(), plan) for plan in plans}
    assert len(files) == len(plans) > 0
    assert {plan.seed for plan in plans} == set(setting.seeds)
    assert len(setting.seeds) >= 5


@pytest.mark.parametrize(("experiment", "setting"), CASES)
def test_every_experiment_has_the_runs_of_its_baseline(experiment, setting):
    plans = experiment.plans(setting)
    for name, value in experiment.baseline.items():
        plans = [plan for plan in plans if (plan.learner.name if name == "learner" else getattr(plan, name)) == value]
    assert plans


def test_paper_1_has_its_query_functions_and_all_others_in_five_pools_with_five_seeds():
    experiment = EXPERIMENTS.find("paper1")
    plans = experiment.plans(experiment.defaults)
    asked = {plan.strategy for plan in plans}
    assert {"random", "fps", "osal", "mcfps", "mcfps:paper", "margin", "margin+clustering", "typiclust"} <= asked
    assert not asked & {"cvirs", "mmc"}
    assert len(plans) == 25 * len(asked)
    assert {plan.variant for plan in plans} == {"balanced", *(f"unbalanced-{k}" for k in (1, 2, 3, 4))}
    assert {(plan.budget, plan.rounds, plan.initial, plan.goal) for plan in plans} == {(64, 8, 0, None)}
    assert {plan.strategy: plan.learner.name for plan in plans} == dict.fromkeys(asked, "linear") | {
        "mcfps:paper": "linear:paper"
    }


def test_paper_2_ends_at_the_same_number_of_labels_whatever_the_budget():
    experiment = EXPERIMENTS.find("paper2")
    plans = experiment.plans(experiment.defaults)
    assert {(plan.budget, plan.initial + plan.budget * plan.rounds) for plan in plans} == {
        (10, 400),
        (20, 400),
        (40, 400),
    }
    assert {(plan.initial, plan.initial_by) for plan in plans} == {(40, "random")}
    asked = {plan.strategy for plan in plans}
    assert {"random", "ll", "tpd", "mge", "ll+clustering", "cvirs", "mmc", "badge", "margin+clustering"} <= asked
    warm = {plan.strategy for plan in plans if plan.learner == Choice("linear", {"warm": True})}
    assert warm == {"random", "ll", "tpd", "mge", "ll+clustering", "tpd+clustering", "mge+clustering"}


def test_loss_functions_have_the_hidden_layer_they_need_and_random_to_be_compared_with():
    experiment = EXPERIMENTS.find("paper2")
    setting = replace(experiment.defaults, budgets=(20,), seeds=(0,))
    hidden = [plan.strategy for plan in experiment.plans(setting) if plan.learner == Choice("hidden")]
    assert hidden == ["random", "ll", "ll+clustering"]
    plain = experiment.plans(replace(setting, strategies=("random", "mge")))
    assert {plan.learner.name for plan in plain} == {"linear"}


@pytest.mark.parametrize("name", ["paper1", "paper2", "query-functions"])
def test_a_learner_that_was_asked_for_is_that_of_all_query_functions(name):
    experiment = EXPERIMENTS.find(name)
    own = experiment.plans(experiment.defaults)
    plans = experiment.plans(replace(experiment.defaults, learners=(Choice("hidden"),)))
    assert {plan.strategy for plan in plans} == {plan.strategy for plan in own}
    assert {plan.learner.name for plan in plans} == {"hidden"}


def test_networks_are_only_trained_on_a_gpu():
    experiment = EXPERIMENTS.find("paper2-finetuned")
    with pytest.raises(UsageError, match="cpu"):
        experiment.plans(experiment.defaults)
    plans = experiment.plans(replace(experiment.defaults, device="cuda"))
    assert {plan.learner for plan in plans if plan.learner.name != "finetune:paper"} == set()


def test_a_setting_changes_whatever_it_says():
    experiment = EXPERIMENTS.find("paper1")
    learners = (Choice("semi_supervised"), Choice("hidden", {"hidden": 32}))
    setting = replace(
        experiment.defaults,
        seeds=(7,),
        strategies=("margin", "mcfps"),
        learners=learners,
        budgets=(10, 30),
        labels=95,
        initial=5,
        variants=("balanced",),
        stop_at_goal=True,
    )
    plans = experiment.plans(setting)
    assert [(plan.strategy, plan.learner, plan.budget, plan.rounds) for plan in plans] == [
        (strategy, learner, budget, rounds)
        for strategy in ("margin", "mcfps")
        for learner in learners
        for budget, rounds in ((10, 9), (30, 3))
    ]
    assert {(plan.seed, plan.goal, plan.initial) for plan in plans} == {(7, 0.9, 5)}
    assert {plan.rounds for plan in experiment.plans(replace(setting, rounds=2))} == {2}


def test_what_does_not_suit_is_refused_before_anything_runs():
    paper1, paper2 = (EXPERIMENTS.find(name) for name in ("paper1", "paper2"))
    with pytest.raises(UsageError, match="single-label"):
        paper1.plans(replace(paper1.defaults, mode="multi"))
    with pytest.raises(UsageError, match="cvirs"):
        paper1.plans(replace(paper1.defaults, strategies=("cvirs",)))
    with pytest.raises(UsageError, match="marginn"):
        paper2.plans(replace(paper2.defaults, strategies=("marginn",)))
    with pytest.raises(UsageError, match="linearr"):
        paper2.plans(replace(paper2.defaults, learners=(Choice("linearr"),)))
    with pytest.raises(UsageError) as caught:
        EXPERIMENTS.find("paper-1")
    assert "paper1" in caught.value.hint


def test_published_figures_name_experiments_and_query_functions_that_there_are():
    for figure in PUBLISHED:
        assert figure.experiment in EXPERIMENTS.names()
        assert STRATEGIES.find(figure.strategy)
        assert figure.source
        assert figure.caveat


def found_out(study: Study, dataset: Dataset, vectors: Vectors, split: Split, folder: Path, **others: Any) -> Findings:
    """What a study finds in these."""
    return study.run(Material(dataset, vectors, split, folder, **others))


def said(findings: Findings) -> str:
    arrays = {name: array.tolist() for name, array in findings.arrays.items()}
    return json.dumps([findings.facts, arrays], sort_keys=True)


def stopped() -> Monitor:
    """One that stops whoever reports to it."""
    return Monitor(is_cancelled=lambda: True)


def test_a_projection_shows_tiles_of_the_pool_and_asks_their_neighbours(anything, tmp_path):
    dataset, vectors = anything
    found = found_out(PROJECTION, dataset, vectors, SMALL, tmp_path)
    assert found.arrays["rows"].tolist() == SMALL.pool.tolist()
    assert found.arrays["targets"].tolist() == dataset.targets[SMALL.pool].tolist()
    assert found.arrays["embeddings"].shape == found.arrays["pixels"].shape == (len(SMALL.pool), 2)
    assert np.isfinite([found.arrays["embeddings"], found.arrays["pixels"]]).all()
    assert found.facts["score"] == ("accuracy" if dataset.mode == "single" else "micro_f1")
    assert found.facts["knn"]["embeddings"] == pytest.approx(neighbours_say(dataset, vectors.matrix), abs=1e-9)
    assert 0.5 < found.facts["knn"]["pixels"] <= 1.0


def test_the_progress_of_a_projection_never_goes_back(single, tmp_path):
    seen: list[float] = []
    found_out(PROJECTION, *single, SMALL, tmp_path, monitor=Monitor(report=lambda fraction, _: seen.append(fraction)))
    assert seen == sorted(seen)
    assert 0.0 <= seen[0] < seen[-1] <= 1.0


def neighbours_say(dataset: Dataset, matrix: np.ndarray) -> float:
    """The share of test tiles, or of their classes, that five neighbours by cosine agree on."""
    z = np.asarray(matrix, np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    near = np.argsort(-(z[SMALL.test] @ z[SMALL.pool].T), axis=1, kind="stable")[:, :5]
    answers = dataset.targets[SMALL.pool][near]
    weights = 1.0 - 0.01 * np.arange(5)
    if dataset.mode == "single":
        votes = np.stack([((answers == c) * weights).sum(axis=1) for c in range(4)], axis=1)
        return float((votes.argmax(axis=1) == dataset.targets[SMALL.test]).mean())
    decided = (answers * weights[:, None]).sum(axis=1) / weights.sum() > 0.5
    truth = dataset.targets[SMALL.test] > 0
    return float(2 * (decided & truth).sum() / (decided.sum() + truth.sum()))


def test_a_study_is_not_repeated_unless_something_changes(single, tmp_path):
    dataset, vectors = single
    study = PROJECTION
    first = found_out(study, dataset, vectors, SMALL, tmp_path)
    assert said(found_out(study, dataset, vectors, SMALL, tmp_path, monitor=stopped())) == said(first)
    assert said(read_findings(tmp_path, "projection")) == said(first)
    changes = (
        {"seed": 1},
        {"dataset": replace(dataset, fingerprint="other")},
        {"vectors": replace(vectors, key="other")},
        {"split": replace(SMALL, test=SMALL.test[1:])},
    )
    for change in changes:
        with pytest.raises(Cancelled):
            found_out(
                study,
                **{"dataset": dataset, "vectors": vectors, "split": SMALL, "folder": tmp_path, **change},
                monitor=stopped(),
            )
    # The projection looks at no other encoder, so naming one changes nothing.
    assert said(found_out(study, dataset, vectors, SMALL, tmp_path, encoders=("x",), monitor=stopped())) == said(first)


@pytest.mark.parametrize("damage", ["projection.json", "projection.npz"])
def test_a_study_of_which_a_file_is_damaged_or_gone_is_made_again_with_the_same_result(single, tmp_path, damage):
    dataset, vectors = single
    study, folder = PROJECTION, tmp_path
    first = found_out(study, dataset, vectors, SMALL, folder)
    (folder / damage).write_bytes((folder / damage).read_bytes()[:100])
    assert read_findings(folder, "projection") is None
    assert said(found_out(study, dataset, vectors, SMALL, folder)) == said(first)


def test_a_study_that_was_stopped_leaves_nothing_that_looks_whole(single, tmp_path):
    looks = iter(range(10_000))
    with pytest.raises(Cancelled):
        found_out(PROJECTION, *single, SMALL, tmp_path, monitor=Monitor(is_cancelled=lambda: next(looks) >= 2))
    assert read_findings(tmp_path, "projection") is None


def test_encoders_are_compared_at_every_share_of_the_labels(anything, tmp_path, monkeypatch):
    dataset, vectors = anything
    monkeypatch.setattr(encoder_shares, "DRAWS", 2)
    remarks: list[str] = []
    study = ENCODER_SHARES
    found = found_out(
        study, dataset, vectors, SPLIT, tmp_path, monitor=Monitor(remark=lambda _, said: remarks.append(said))
    )
    assert found.facts["labels"] == [7, 17, 34, 340]
    assert [row["name"] for row in found.facts["encoders"]] == ["untrained", "statistics"]
    # The first one that is named is that of the runs.
    assert any("--encoder statistics --encoder NAME" in remark for remark in remarks)
    for row in found.facts["encoders"]:
        assert [len(draws) for draws in row["scores"]] == [2, 2, 2, 1]
        assert all(0.0 <= score <= 1.0 for draws in row["scores"] for score in draws)
    statistics = found.facts["encoders"][1]["scores"]
    assert np.mean(statistics[0]) <= np.mean(statistics[3])
    assert statistics[3][0] > 0.9


def test_an_encoder_that_was_named_is_compared_too_and_one_that_does_not_fit_is_left_out(single, tmp_path, monkeypatch):
    dataset, vectors = single
    monkeypatch.setattr(encoder_shares, "DRAWS", 1)
    remarks: list[tuple[str, str]] = []
    found = found_out(
        ENCODER_SHARES,
        dataset,
        replace(vectors, encoder="mine", key="mine"),
        SPLIT,
        tmp_path,
        encoders=("statistics", "no-such-encoder"),
        monitor=Monitor(remark=lambda *said: remarks.append(said)),
    )
    assert [row["name"] for row in found.facts["encoders"]] == ["untrained", "statistics", "mine"]
    assert [level for level, text in remarks if "no-such-encoder" in text] == ["warning"]


def test_one_shot_learning_is_described_by_what_it_asks_for(single, tmp_path, monkeypatch):
    dataset, vectors = single
    monkeypatch.setattr(one_shot, "ROUNDS", 2)
    monkeypatch.setattr(one_shot, "DRAWS", 2)
    found = found_out(ONE_SHOT, dataset, vectors, SPLIT, tmp_path)
    silhouettes = {int(k): value for k, value in found.facts["silhouettes"].items()}
    assert set(silhouettes) == set(range(2, 11))
    assert found.facts["clusters"] == max(silhouettes, key=silhouettes.__getitem__)
    shown = set(found.arrays["rows"].tolist())
    assert shown <= set(SPLIT.pool.tolist())
    for name in STRATEGIES_SHOWN:
        picks, facts = found.arrays[f"picks_{name}"], found.facts["strategies"][name]
        assert picks.shape == (2, BUDGET)
        assert len(np.unique(picks)) == picks.size
        assert set(picks.ravel().tolist()) <= shown
        assert facts["counts"] == [np.bincount(dataset.targets[each], minlength=4).tolist() for each in picks]
        assert facts["classes_seen"] == sorted(facts["classes_seen"])
        assert all(0.0 <= value <= math.log2(4) for value in facts["entropy_bits"])
        assert all(0.0 <= value <= 1.0 for value in facts["oddness"])
    pool = np.bincount(dataset.targets[SPLIT.pool], minlength=4)
    assert found.facts["pool"]["counts"] == pool.tolist()
    assert found.facts["pool"]["entropy_bits"] == pytest.approx(entropy(pool, base=2))
    # Random tiles are like the pool; the outermost are odder than those.
    strategies = found.facts["strategies"]
    assert strategies["random"]["oddness"][0] == pytest.approx(0.5, abs=0.1)
    assert strategies["osal"]["oddness"][0] > strategies["random"]["oddness"][0]


def test_a_study_without_enough_tiles_or_with_the_wrong_labels_is_refused(anything, tmp_path):
    dataset, vectors = anything
    few = Split(SPLIT.pool[:100], SPLIT.test)
    if dataset.mode == "multi":
        with pytest.raises(UsageError, match="multi-label"):
            found_out(ONE_SHOT, dataset, vectors, SPLIT, tmp_path)
    else:
        with pytest.raises(LearningError, match="100 tiles"):
            found_out(ONE_SHOT, dataset, vectors, few, tmp_path)
    with pytest.raises(LearningError, match="too few"):
        found_out(PROJECTION, dataset, vectors, replace(few, pool=SPLIT.pool[:3]), tmp_path)
    with pytest.raises(LearningError, match="no tile to test"):
        found_out(ENCODER_SHARES, dataset, vectors, replace(few, test=SPLIT.test[:0]), tmp_path)
