"""The semi-supervised head: propagation is the published linear system, and guesses help where labels are few."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from quadrat.core.errors import Cancelled, LearningError
from quadrat.core.learners.base import Run, Task
from quadrat.core.learners.propagation import joined, neighbour_graph, propagate
from quadrat.core.learners.registry import fit
from quadrat.core.monitor import Monitor

QUICK = {"epochs": 10, "neighbours": 5}


def rings(count=600, seed=0):
    """Three long thin arcs (N, 3) on a sphere with one class each: near neighbours agree, far ones do not."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, count)
    angle = rng.uniform(0, 1.2 * np.pi, count)
    height = np.array([-0.6, 0.0, 0.6])[truth] + rng.normal(0, 0.05, count)
    rows = np.stack([np.cos(angle), np.sin(angle), height], axis=1) * rng.uniform(1, 5, (count, 1))
    return rows.astype(np.float32), truth, angle


def dense(rows, k, alpha, labels):
    """Zhou et al. 2004 with full matrices; Iscen's weights: cosines to the power of 3, of the k nearest."""
    rows = rows.astype(np.float64)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    gaps = np.round(((unit[:, None] - unit) ** 2).sum(axis=2), 6)
    np.fill_diagonal(gaps, np.inf)
    weights = np.zeros_like(gaps)
    for i in range(len(rows)):
        for j in np.argsort(gaps[i], kind="stable")[:k]:
            weights[i, j] = max(1 - gaps[i, j] / 2, 0) ** 3
    weights = weights + weights.T
    sums = weights.sum(axis=1)
    scale = np.diag(np.where(sums > 0, 1 / np.sqrt(np.maximum(sums, 1e-300)), 0))
    return np.linalg.solve(np.eye(len(rows)) - alpha * scale @ weights @ scale, labels)


def task_on(rows, truth, labelled, mode="single", **others):
    targets = truth if mode == "single" else np.stack([truth == 0, truth != 2, truth < 9], axis=1).astype(int)
    rest = np.setdiff1d(np.arange(len(rows)), labelled)
    return Task(rows, labelled, targets[labelled], 3, mode, rest, **others)


def few(truth, angle, labels=2):
    """The rows at the lower ends of the arcs, some of each class."""
    order = np.argsort(angle)
    return np.sort(np.concatenate([order[truth[order] == c][:labels] for c in range(3)]))


def test_propagation_is_the_solution_of_the_linear_system():
    rows, truth, _ = rings(80)
    labels = np.zeros((80, 3))
    labels[np.arange(9), truth[:9]] = 1.0
    graph = neighbour_graph(rows, 6, 1000)
    everything = np.arange(80)
    found, edges = joined(graph, rows, everything, everything[:9])
    np.testing.assert_array_equal(found, everything)
    np.testing.assert_allclose(propagate(edges, labels, 0.9), dense(rows, 6, 0.9, labels), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 3), st.integers(1, 9), st.booleans())
def test_a_graph_joins_every_row_to_others_even_among_duplicates_and_zeros(seed, count, width, k, zeros):
    rows = np.random.default_rng(seed).integers(0 if zeros else 1, 3, (count, width)).astype(np.float16)
    graph = neighbour_graph(rows, k, 1000)
    assert graph.neighbours.shape == graph.cosines.shape == (count, min(k, count - 1))
    assert (graph.neighbours != np.arange(count)[:, None]).all()
    assert all(len(set(row)) == len(row) for row in graph.neighbours.tolist())
    assert ((graph.cosines >= 0) & (graph.cosines <= 1)).all()
    _, edges = joined(graph, rows, np.arange(count), np.array([0]))
    spread = propagate(edges, np.eye(count)[:, :1], 0.9)
    assert np.isfinite(spread).all()
    assert spread[0, 0] > 0


def test_a_sample_depends_on_the_number_of_rows_alone_and_leaves_out_what_is_not_finite():
    rows, _, _ = rings(300)
    graph, other = neighbour_graph(rows, 4, 100), neighbour_graph(rows * 2 + 1, 4, 100)
    assert len(graph.rows) == 100
    np.testing.assert_array_equal(graph.rows, other.rows)
    rows[graph.rows[:5], 1] = np.nan
    assert np.isfinite(rows[neighbour_graph(rows, 4, 100).rows]).all()


def test_labelled_rows_outside_the_sample_are_joined_to_it_and_forbidden_rows_are_not():
    rows, _, _ = rings(200)
    graph = neighbour_graph(rows, 4, 50)
    outside = np.setdiff1d(np.arange(200), graph.rows)[:3]
    allowed, forbidden = graph.rows[:40], graph.rows[40:]
    found, edges = joined(graph, rows, allowed, outside)
    np.testing.assert_array_equal(found, np.union1d(allowed, outside))
    assert not np.isin(found, forbidden).any()
    places = np.searchsorted(found, outside)
    assert (edges[places] != 0).sum(axis=1).min() == 4
    assert abs(edges - edges.T).max() < 1e-12
    assert np.abs(sparse.linalg.eigsh(edges, k=1, return_eigenvectors=False)[0]) <= 1 + 1e-9


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("most", [20_000, 300])
def test_few_labels_and_many_tiles_are_worth_more_than_few_labels(mode, most):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    rows = (rng.normal(0, 0.8, (3, 20))[truth] + rng.normal(0, 1, (900, 20))).astype(np.float32)
    task = task_on(rows, truth, few(truth, np.arange(900)), mode)
    targets = task_on(rows, truth, np.arange(900), mode).targets

    def accuracy(name, parameters):
        predicted = fit(name, task, Run(), parameters).head.predict(rows)
        return ((predicted.argmax(axis=1) == targets) if mode == "single" else ((predicted > 0.5) == targets)).mean()

    assert accuracy("semi_supervised", {"most": most}) > accuracy("linear", {}) + 0.03


def test_a_class_with_many_labels_does_not_drown_one_with_few():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 300)
    rows = (np.array([[1.0, 0.0], [0.8, 0.6]])[truth] + rng.normal(0, 0.12, (600, 2))).astype(np.float32)
    labelled = np.concatenate([np.arange(60), np.arange(300, 303)])
    predicted = fit("semi_supervised", task_on(rows, truth, labelled), Run()).head.predict(rows)
    assert (predicted.argmax(axis=1)[300:] == 1).mean() > 0.9


def test_tiles_that_may_not_be_looked_at_get_no_guess():
    """The validation sample is neither labelled nor unlabelled: it may be anywhere without a head noticing."""
    rows, truth, angle = rings(200)
    task = task_on(rows, truth, few(truth, angle), moments=(rows.mean(axis=0), rows.std(axis=0)))
    held = task.unlabelled[::3]
    task = replace(task, unlabelled=np.setdiff1d(task.unlabelled, held))
    graph = vars(neighbour_graph(rows, 5, 1000))
    moved = rows.copy()
    moved[held] = 100.0
    heads = [
        fit("semi_supervised", replace(task, embeddings=some, keep=lambda *_: graph), Run(), QUICK).head
        for some in (rows, moved)
    ]
    assert heads[0].predict(rows).tobytes() == heads[1].predict(rows).tobytes()


def test_the_graph_is_built_once_whatever_has_a_label():
    rows, truth, angle = rings(200)
    store, built = {}, []

    def keep(name, make):
        if name not in store:
            built.append(name)
            store[name] = make()
        return store[name]

    heads = []
    for labels in (2, 3):
        task = task_on(rows, truth, few(truth, angle, labels), keep=keep)
        heads.append(fit("semi_supervised", task, Run(), QUICK).head.predict(rows))
        fresh = fit("semi_supervised", replace(task, keep=lambda _, make: make()), Run(), QUICK).head.predict(rows)
        assert heads[-1].tobytes() == fresh.tobytes()
    assert len(built) == 1
    fit("semi_supervised", task, Run(), {**QUICK, "neighbours": 6})
    assert len(built) == 2


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("kind", ["no unlabelled", "duplicates", "all zero", "one column", "not finite"])
def test_odd_pools_are_learnt_from_all_the_same(mode, kind):
    rows, truth, _ = rings(60)
    if kind == "duplicates":
        rows[:] = rows[truth.argmax()]
    elif kind == "all zero":
        rows[:] = 0.0
    elif kind == "one column":
        rows = rows[:, :1].copy()
    elif kind == "not finite":
        rows[[2, 50]] = np.nan
    task = task_on(rows, truth, np.arange(12), mode)
    if kind == "no unlabelled":
        task = replace(task, unlabelled=np.empty(0, dtype=np.int64))
    predicted = fit("semi_supervised", task, Run(), QUICK).head.predict(rows)
    assert np.isfinite(predicted[np.isfinite(rows).all(axis=1)]).all()


def test_without_unlabelled_tiles_or_trust_in_guesses_it_is_the_linear_head():
    rows, truth, _ = rings(100)
    task = task_on(rows, truth, np.arange(20))
    alone = replace(task, unlabelled=np.empty(0, dtype=np.int64))
    linear = fit("linear", task, Run(seed=3)).head.predict(rows).tobytes()
    assert fit("semi_supervised", alone, Run(seed=3)).head.predict(rows).tobytes() == linear
    assert fit("semi_supervised", task, Run(seed=3), {"worth": 0.0}).head.predict(rows).tobytes() == linear


def test_one_class_alone_is_refused_in_words():
    rows, truth, _ = rings(60)
    with pytest.raises(LearningError, match="one class"):
        fit("semi_supervised", task_on(rows, np.zeros_like(truth), np.arange(12)), Run())


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_the_seed_alone_decides_and_not_the_number_of_threads(mode):
    rows, truth, angle = rings(300)
    task = task_on(rows, truth, few(truth, angle), mode)
    before = torch.get_num_threads()
    found = []
    try:
        for threads, seed in ((1, 0), (2, 0), (1, 1)):
            torch.set_num_threads(threads)
            found.append(fit("semi_supervised", task, Run(seed=seed), QUICK).head.predict(rows))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert not np.allclose(found[0], found[2], atol=1e-5)


def test_it_stops_when_asked():
    rows, truth, angle = rings(100)
    with pytest.raises(Cancelled):
        fit("semi_supervised", task_on(rows, truth, few(truth, angle)), Run(monitor=Monitor(is_cancelled=lambda: True)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_gpu_learns_the_same(mode):
    rows, truth, angle = rings(300)
    task = replace(task_on(rows, truth, few(truth, angle), mode), losses=True)
    here, there = (fit("semi_supervised", task, Run(device=device), QUICK) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(here.head.predict(rows), there.head.predict(rows), atol=1e-4)
    np.testing.assert_allclose(here.losses, there.losses, atol=1e-4)
