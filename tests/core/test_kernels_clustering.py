"""k-means against scikit-learn and against what k-means is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from quadrat.core.errors import Cancelled
from quadrat.core.kernels import kmeans
from quadrat.core.monitor import Monitor

from .brute_force import squared


def blobs(count, width, kinds, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, spread, (kinds, width))
    return (centres[rng.integers(0, kinds, count)] + rng.normal(0, 1, (count, width))).astype(np.float16)


def inertia(rows, clusters, seed):
    found = kmeans(rows, np.arange(len(rows)), clusters, np.random.default_rng(seed))
    return found.squared_distances.sum(dtype=np.float64)


@pytest.mark.parametrize(
    ("rows", "clusters"),
    [
        (blobs(2000, 24, 8), 8),
        (blobs(2000, 24, 20), 20),
        (blobs(2000, 32, 20, spread=1.0), 60),
        (blobs(12_000, 8, 20, spread=1.0), 15),
        (np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float16), 30),
        (np.random.default_rng(0).normal(size=(600, 16)).astype(np.float16), 200),
    ],
    ids=["blobs", "many blobs", "parts of blobs", "more rows than are looked at", "noise", "three rows each"],
)
def test_clusters_are_as_tight_as_those_of_scikit_learn(rows, clusters):
    ours = np.mean([inertia(rows, clusters, seed) for seed in range(4)])
    theirs = np.mean(
        [KMeans(clusters, n_init=1, random_state=seed).fit(rows.astype(np.float64)).inertia_ for seed in range(4)]
    )
    assert ours < 1.015 * theirs


def test_every_row_is_in_the_cluster_of_the_nearest_centre_and_every_centre_in_the_middle_of_its_rows():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 300)
    rows = (rng.normal(0, 20, (6, 10))[truth] + rng.normal(0, 1, (300, 10))).astype(np.float32)
    found = kmeans(rows, np.arange(300), 6, np.random.default_rng(1))
    distances = squared(rows, found.centres)
    np.testing.assert_array_equal(found.labels, distances.argmin(axis=1))
    np.testing.assert_allclose(found.squared_distances, distances.min(axis=1), rtol=1e-3)
    for cluster in range(6):
        np.testing.assert_allclose(found.centres[cluster], rows[found.labels == cluster].mean(axis=0), rtol=1e-3)
    assert found.sizes.sum() == 300


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 70), st.integers(1, 3), st.integers(0, 2**16))
def test_repeated_rows_share_a_cluster_and_there_are_no_more_clusters_than_different_rows(
    count, width, clusters, levels, seed
):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, levels, (count, width)).astype(np.float16)
    chosen = np.sort(rng.permutation(count)[: max(1, count // 2)])
    found = kmeans(rows, chosen, clusters, np.random.default_rng(seed))
    different, which = np.unique(rows[chosen], axis=0, return_inverse=True)
    assert len(found.centres) == min(clusters, len(different))
    for kind in range(len(different)):
        assert len(set(found.labels[which.ravel() == kind])) == 1
    if clusters >= len(different):
        assert not found.squared_distances.any()


def test_few_different_rows_among_many_that_are_the_same_are_found():
    rng = np.random.default_rng(0)
    rows = np.zeros((5000, 6), dtype=np.float16)
    rows[rng.permutation(5000)[:40]] = rng.normal(size=(40, 6))
    found = kmeans(rows, np.arange(5000), 30, np.random.default_rng(1))
    assert len(found.centres) == 30
    assert np.count_nonzero(found.sizes) == 30


def test_thousands_of_clusters_are_no_more_than_asked_for():
    rows = np.random.default_rng(0).normal(size=(2600, 3)).astype(np.float16)
    found = kmeans(rows, np.arange(2600), 2100, np.random.default_rng(1))
    assert len(found.centres) == 2100
    assert found.squared_distances.mean() < 0.01


def test_the_row_nearest_to_each_centre_is_looked_for_among_the_first_rows_only():
    rows = np.array([[0], [3], [10], [13], [14], [2], [12]], dtype=np.float16)
    found = kmeans(rows, np.arange(7), 2, np.random.default_rng(0))
    clusters, places = found.nearest_to_centres(5)
    assert sorted(places.tolist()) == [1, 3]
    assert found.labels[places].tolist() == clusters.tolist()
    assert found.nearest_to_centres(2)[1].tolist() == [1]


def test_the_seed_alone_decides_not_the_threads_and_not_where_the_rows_lie(tmp_path):
    rows = blobs(900, 64, 8)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    before = torch.get_num_threads()
    results = []
    try:
        for threads, matrix in ((1, rows), (2, mapped)):
            torch.set_num_threads(threads)
            results.append(kmeans(matrix, np.arange(900), 40, np.random.default_rng(0)))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(results[0].labels, results[1].labels)
    np.testing.assert_array_equal(results[0].squared_distances, results[1].squared_distances)
    other = kmeans(rows, np.arange(900), 40, np.random.default_rng(1))
    assert (other.labels != results[0].labels).any()


def test_it_stops_when_asked():
    with pytest.raises(Cancelled):
        kmeans(
            blobs(50, 4, 2),
            np.arange(50),
            5,
            np.random.default_rng(0),
            monitor=Monitor(is_cancelled=lambda: True),
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_clusters_are_the_same_on_a_gpu():
    rows = blobs(900, 64, 8)
    one, other = (
        kmeans(rows, np.arange(900), 20, np.random.default_rng(0), device=device) for device in ("cpu", "cuda")
    )
    np.testing.assert_array_equal(one.labels, other.labels)
