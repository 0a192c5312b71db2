"""A run of an experiment: it does what a project does, never looks at a test tile, and says what came of each round."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quadrat.core.defaults import default_learner
from quadrat.core.errors import Cancelled, LearningError, UsageError
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.registry import fit
from quadrat.core.metrics import scores
from quadrat.core.models import Choice
from quadrat.core.monitor import Monitor
from quadrat.core.pool import open_pool
from quadrat.core.project.answers import current_answers
from quadrat.core.rounds import query
from quadrat.core.simulation.dataset import Dataset, Vectors
from quadrat.core.simulation.plan import Plan
from quadrat.core.simulation.replay import askable, remembering, replay, turns
from quadrat.core.simulation.splits import Split, thinned
from quadrat.core.strategies.registry import STRATEGIES

from .archive_factory import ArrayTiles, make_archive, make_split
from .job import answer, ready_project

QUICK = Choice("linear", {"epochs": 8})
TINY = Choice("finetune", {"epochs": 1, "batch_size": 20})


def asked_in(plan, dataset, vectors, split, **options):
    """What was asked in each round."""
    return [turn.asked.tolist() for turn in turns(dataset, vectors, split, plan, **options)]


@pytest.mark.parametrize("strategy", ["margin", "uherding", "mcfps:paper", "ll", "tpd", "fps"])
def test_a_run_asks_what_a_project_asks(tmp_path, strategy):
    mode = "single" if "single" in STRATEGIES.find(strategy).modes else "multi"
    project, scene = ready_project(tmp_path, mode, validation=0.0)
    with project:
        learner = default_learner(mode, strategy)
        dataset, vectors, split = as_archive(project, scene, mode)
        plan = Plan(strategy, learner, budget=5, rounds=4, seed=3)
        rounds = asked_in(plan, dataset, vectors, split)
        tile_ids = open_pool(project).embeddings.tile_ids
        for expected in rounds:
            asked = query(project, strategy, 5, seed=3, learner=learner)
            assert asked.tile_ids == tile_ids[expected].tolist()
            answer(project, scene, asked.tile_ids, asked.round_id)


def as_archive(project, scene, mode):
    """A project and its truth as a dataset, with as many test rows behind as it has tiles, of whatever content."""
    pool = open_pool(project)
    places = {item.name: place for place, item in enumerate(pool.classes)}
    tiles = {tile.tile_id: tile for tile in project.tiles()}
    assert not current_answers(project)
    truth = [
        places[scene.labels[tiles[tile_id].row, tiles[tile_id].col]] for tile_id in pool.embeddings.tile_ids.tolist()
    ]
    count = len(truth)
    targets = np.array([*truth, *truth])
    if mode == "multi":
        targets = np.eye(len(places), dtype=np.int64)[targets]
    matrix = np.concatenate(
        [pool.embeddings.matrix, np.random.default_rng(0).normal(size=pool.embeddings.matrix.shape)]
    )
    names = tuple(map(str, range(2 * count)))
    tiles = ArrayTiles(np.zeros((2 * count, 3, 8, 8), np.float32))
    dataset = Dataset("p", mode, tuple(places), targets, names, tiles, "p")
    rows = np.arange(2 * count)
    return dataset, Vectors(matrix.astype(np.float16), "statistics", "k"), Split(rows[:count], rows[count:])


AUTO = Choice("auto")
EVERYTHING = [
    *(
        ("single", "balanced", name, QUICK)
        for name in ("margin", "kmeans", "badge", "uherding", "typiclust", "mcfps", "prob_cover", "tpd")
    ),
    ("single", "balanced", "margin", Choice("semi_supervised", {"epochs": 8})),
    ("single", "balanced", "margin", TINY),
    ("single", "balanced", "ll", Choice("hidden", {"epochs": 8})),
    ("single", "balanced", "margin+clustering", AUTO),
    ("single", "unbalanced-1", "margin+clustering", AUTO),
    ("multi", "balanced", "margin+clustering", AUTO),
    ("multi", "balanced", "uherding", QUICK),
    ("multi", "balanced", "tpd", QUICK),
]


@pytest.mark.parametrize(("mode", "variant", "strategy", "learner"), EVERYTHING)
def test_nothing_of_a_test_tile_has_a_part_in_a_choice(mode, variant, strategy, learner):
    dataset, vectors = make_archive(mode=mode)
    split = make_split()
    plan = Plan(strategy, learner, budget=12, rounds=2 if learner is TINY else 3, variant=variant, validation=20)
    rounds = asked_in(plan, dataset, vectors, split)
    apart = np.concatenate([split.test, askable(dataset, vectors, split, plan).validation])
    assert not np.isin(np.concatenate(rounds), apart).any()

    rng = np.random.default_rng(5)
    matrix, targets = vectors.matrix.copy(), dataset.targets.copy()
    images = dataset.tiles.images.copy()
    matrix[apart] = rng.normal(0, 300, (len(apart), matrix.shape[1]))
    targets[apart] = rng.integers(0, targets.max() + 1, targets[apart].shape)
    images[apart] = rng.normal(0, 50, images[apart].shape)
    changed = replace(dataset, targets=targets, tiles=ArrayTiles(images))
    assert asked_in(plan, changed, replace(vectors, matrix=matrix), split) == rounds


def test_only_the_pool_is_asked_and_no_tile_twice():
    dataset, vectors = make_archive()
    split = make_split()
    rows = thinned(dataset.targets, split.pool, dataset.n_classes, "unbalanced-2").rows
    plan = Plan("margin", QUICK, budget=10, rounds=4, initial=8, variant="unbalanced-2")
    asked = np.concatenate([turn.asked for turn in turns(dataset, vectors, split, plan)])
    assert len(asked) == len(set(asked.tolist())) == 48
    assert np.isin(asked, rows).all()


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_scores_are_those_of_the_learner_on_the_test_tiles(mode):
    dataset, vectors = make_archive(mode=mode)
    split = make_split()
    plan = Plan("random", QUICK, budget=16, rounds=3, seed=4, validation=40)
    done = list(turns(dataset, vectors, split, plan))
    rows = np.sort(np.concatenate([turn.asked for turn in done]))
    parts = askable(dataset, vectors, split, plan)
    head = fit(
        "linear",
        Task(
            vectors.matrix[parts.pool],
            np.searchsorted(parts.pool, rows),
            dataset.targets[rows],
            dataset.n_classes,
            mode,
        ),
        Run(seed=4),
        QUICK.parameters,
    ).head
    result = done[-1].result
    found = scores(head.predict(vectors.matrix, split.test), dataset.targets[split.test], mode)
    for name in ("accuracy", "macro_f1", "micro_f1", "mean_average_precision"):
        np.testing.assert_equal(getattr(result, name), found.get(name, np.nan))
    estimated = scores(head.predict(vectors.matrix, parts.validation), dataset.targets[parts.validation], mode)
    assert result.estimate == estimated["accuracy" if mode == "single" else "micro_f1"]
    assert result.estimate_low < result.estimate < result.estimate_high
    assert (result.validation_labels, result.labels, result.classes_seen) == (40, 48, 4)
    assert result.learner_parameters == 12 * 4 + 4
    assert [turn.result.round for turn in done] == [1, 2, 3]
    assert np.isnan(done[0].result.agreement)
    assert -1.0 <= done[1].result.agreement <= 1.0


def test_a_test_tile_without_a_finite_vector_is_wrong_whatever_its_class():
    dataset, vectors = make_archive()
    split = make_split()
    plan = Plan("random", QUICK, budget=40, rounds=1)
    lost = split.test[dataset.targets[split.test] == 0]  # the class that an arg max over NaN would give
    matrix = vectors.matrix.copy()
    matrix[lost] = np.nan
    (whole,) = replay(dataset, vectors, replace(split, test=np.setdiff1d(split.test, lost)), plan)
    (result,) = replay(dataset, replace(vectors, matrix=matrix), split, plan)
    assert result.accuracy == pytest.approx(whole.accuracy * (1 - len(lost) / len(split.test)))


def test_a_class_without_a_label_is_not_what_a_tile_is_said_to_have():
    dataset, vectors = make_archive()
    split = make_split()
    plan = Plan("random", Choice("linear", {"epochs": 1, "prior_bias": False}), budget=3, rounds=1, seed=2)
    (turn,) = turns(dataset, vectors, split, plan)
    assert turn.result.classes_seen == 3
    learnt = np.isin(dataset.targets[split.test], dataset.targets[turn.asked])
    assert turn.result.accuracy <= learnt.mean()
    head = fit(
        "linear",
        Task(
            vectors.matrix[split.pool],
            np.searchsorted(split.pool, np.sort(turn.asked)),
            dataset.targets[np.sort(turn.asked)],
            4,
            "single",
        ),
        Run(seed=2),
        plan.learner.parameters,
    ).head
    said = head.predict(vectors.matrix, split.test)
    said[:, ~np.isin(np.arange(4), dataset.targets[turn.asked])] = 0.0
    assert turn.result.accuracy == np.mean(said.argmax(axis=1) == dataset.targets[split.test])


def test_networks_are_asked_about_test_tiles_by_their_images():
    dataset, vectors = make_archive(count=110)
    split = make_split(110, test=40)
    choice = Choice("finetune", {"epochs": 3, "batch_size": 10, "lr": 0.02})
    (result,) = replay(dataset, vectors, split, Plan("random", choice, budget=50, rounds=1))
    assert result.accuracy > 0.5  # by chance it would be 0.25
    assert result.learner_parameters > 1_000_000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("strategy", "learner"), [("margin", QUICK), ("badge", QUICK), ("random", TINY)])
def test_a_gpu_asks_the_same(strategy, learner):
    dataset, vectors = make_archive()
    plan = Plan(strategy, learner, budget=12, rounds=3)
    assert asked_in(plan, dataset, vectors, make_split()) == asked_in(
        plan, dataset, vectors, make_split(), device="cuda"
    )


def test_each_seed_draws_a_validation_sample_of_its_own_and_never_asks_for_it():
    dataset, vectors = make_archive()
    split = make_split()
    drawn = set()
    for seed in (0, 1):
        plan = Plan("margin", QUICK, budget=10, rounds=3, seed=seed, validation=30)
        validation = askable(dataset, vectors, split, plan).validation
        assert np.isin(validation, split.pool).all()
        assert not np.isin(validation, [turn.asked for turn in turns(dataset, vectors, split, plan)]).any()
        drawn.add(tuple(validation.tolist()))
    assert len(drawn) == 2


def test_every_function_begins_with_the_same_initial_tiles():
    dataset, vectors = make_archive()
    split = make_split()
    first = set()
    for strategy in ("random", "margin", "kmeans"):
        done = list(turns(dataset, vectors, split, Plan(strategy, QUICK, budget=10, rounds=2, initial=9, seed=2)))
        assert [turn.result.round for turn in done] == [0, 1, 2]
        assert [turn.result.labels for turn in done] == [9, 19, 29]
        assert [turn.result.chosen_by for turn in done] == ["random", strategy, strategy]
        first.add(tuple(done[0].asked.tolist()))
    assert len(first) == 1


def test_without_initial_tiles_the_cold_start_begins():
    dataset, vectors = make_archive()
    done = list(replay(dataset, vectors, make_split(), Plan("margin", QUICK, budget=10, rounds=2)))
    assert [result.chosen_by for result in done] == ["kmeans", "margin"]
    assert {result.strategy for result in done} == {"margin"}


def test_one_class_teaches_nothing_and_the_run_goes_on():
    dataset, vectors = make_archive()
    done = list(replay(dataset, vectors, make_split(), Plan("margin", QUICK, budget=1, rounds=6, validation=40)))
    assert np.isnan(done[0].score)
    assert np.isnan(done[0].estimate)
    assert (done[0].classes_seen, done[0].train_seconds, done[0].learner_parameters) == (1, 0.0, 0)
    assert done[1].chosen_by == "kmeans"
    assert np.isfinite(done[-1].score)


def test_the_seed_decides_everything():
    dataset, vectors = make_archive()
    split = make_split()
    plan = Plan("mcfps", QUICK, budget=10, rounds=3, seed=1)

    def rows(plan):
        done = replay(dataset, vectors, split, plan)
        return [repr(replace(result, query_seconds=0.0, train_seconds=0.0)) for result in done]

    assert rows(plan) == rows(plan)
    assert asked_in(plan, dataset, vectors, split) != asked_in(replace(plan, seed=2), dataset, vectors, split)


def test_a_run_ends_with_its_goal():
    dataset, vectors = make_archive()
    plan = Plan("random", QUICK, budget=10, rounds=8)
    curve = [result.score for result in replay(dataset, vectors, make_split(), plan)]
    short = list(replay(dataset, vectors, make_split(), replace(plan, goal=curve[1])))
    assert len(short) == next(place for place, score in enumerate(curve, 1) if score >= curve[1])


def test_a_run_ends_with_the_last_tile():
    dataset, vectors = make_archive(100)
    split = make_split(100, test=70)
    done = list(replay(dataset, vectors, split, Plan("margin", QUICK, budget=20, rounds=9)))
    assert [result.labels for result in done] == [20, 30]


def test_what_depends_on_the_pool_alone_is_made_once():
    dataset, vectors = make_archive()
    made = []

    def keep(name, make):
        made.append(name)
        return make()

    plan = Plan("margin", Choice("semi_supervised", {"epochs": 3}), budget=10, rounds=4)
    list(replay(dataset, vectors, make_split(), plan, keep=remembering(keep)))
    assert len(made) == 1


def test_a_warm_start_changes_what_is_learnt_from_the_second_round_on():
    dataset, vectors = make_archive()
    learners = (Choice("linear", {"epochs": 4, "warm": warm}) for warm in (False, True))
    runs = [
        list(replay(dataset, vectors, make_split(), Plan("random", learner, budget=10, rounds=4)))
        for learner in learners
    ]
    cold, warm = ([result.macro_f1 for result in run] for run in runs)
    assert cold[0] == warm[0]
    assert cold[1:] != warm[1:]
    assert [run[0].learner for run in runs] == ["linear(epochs=4)", "linear(epochs=4, warm=true)"]


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan("margin", budget=100, rounds=1), "40 tiles"),
        (Plan("margin", budget=30, initial=20), "40 tiles"),
        (Plan("margin", budget=0), "asks for nothing"),
        (Plan("margin", rounds=0), "asks for nothing"),
        (Plan("margni"), "margni"),
        (Plan("random", initial_by="tpdd"), "tpdd"),
        (Plan("mcfps", parameters={"sur": 0.5}, budget=5), "sur"),
        (Plan("margin", Choice("linear", {"epochs": 0}), budget=5), "epochs"),
        (Plan("cvirs", budget=5), "single-label"),
        (Plan("random", budget=5, variant="lopsided"), "lopsided"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_before_anything_is_learnt(plan, says):
    dataset, vectors = make_archive(100)
    with pytest.raises(UsageError) as refusal:
        next(replay(dataset, vectors, make_split(100, test=60), plan))
    assert says in refusal.value.message + refusal.value.hint


def test_a_function_that_compares_versions_of_the_learner_needs_one_with_dropout():
    dataset, vectors = make_archive()
    with pytest.raises(LearningError, match="random versions"):
        next(replay(dataset, vectors, make_split(), Plan("bald", Choice("linear", {"dropout": 0.0}))))


def test_a_run_stops_when_asked():
    dataset, vectors = make_archive()
    with pytest.raises(Cancelled):
        next(replay(dataset, vectors, make_split(), Plan("margin"), monitor=Monitor(is_cancelled=lambda: True)))
