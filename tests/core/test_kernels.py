"""Kernels against float64 brute force, on rows that tie, repeat, vanish or lie on disk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from quadrat.core import kernels
from quadrat.core.errors import Cancelled
from quadrat.core.kernels import kmeans
from quadrat.core.monitor import Monitor


def squared(a, b):
    """All squared distances by differences, float64 rounded to float32 as the kernels promise."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.stack([((a - row) ** 2).sum(axis=1) for row in b], axis=1).astype(np.float32)


def reference_farthest(embeddings, candidates, references, count):
    """Farthest-point sampling as it is written in every paper."""
    gaps = squared(embeddings[candidates], embeddings[references]).min(axis=1)
    picks, distances = [], []
    for _ in range(min(count, len(candidates))):
        leader = int(np.argmax(gaps))
        picks.append(candidates[leader])
        distances.append(gaps[leader])
        gaps = np.minimum(gaps, squared(embeddings[candidates], embeddings[candidates[[leader]]])[:, 0])
        gaps[np.isin(candidates, picks)] = -np.inf
    return np.array(picks), np.array(distances)


def clustered_rows(count=600, width=24, seed=0, dtype=np.float16):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 3, (8, width))
    return (centres[rng.integers(0, 8, count)] + rng.normal(0, 1, (count, width))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("offset", [0.0, 200.0])
def test_farthest_points_are_those_of_brute_force_even_far_from_the_origin(dtype, offset):
    rows = (clustered_rows(dtype=np.float32) + offset).astype(dtype)
    candidates, references = np.arange(20, 600), np.arange(20)
    picks, distances = kernels.farthest_points(rows, candidates, references, 90)
    expected, gaps = reference_farthest(rows, candidates, references, 90)
    assert picks.tolist() == expected.tolist()
    np.testing.assert_allclose(distances, gaps, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 4), st.integers(1, 45), st.integers(1, 3), st.integers(0, 2**16))
def test_farthest_points_break_ties_and_duplicates_like_brute_force(count, width, budget, levels, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, levels, (count, width)).astype(np.float16)
    order = rng.permutation(count)
    references, candidates = order[:1], np.sort(order[1:])
    picks, distances = kernels.farthest_points(rows, candidates, references, budget)
    expected, gaps = reference_farthest(rows, candidates, references, budget)
    assert picks.tolist() == expected.tolist()
    np.testing.assert_array_equal(distances, gaps)


def test_farthest_points_look_again_when_the_first_look_was_not_enough():
    """A thousand candidates tie at the top and all fall with the first pick, many more than one look covers."""
    rng = np.random.default_rng(3)
    heap = rng.normal(0, 0.1, (1000, 6)) + 10.0
    rows = np.vstack([np.zeros((1, 6)), heap, rng.normal(0, 2, (300, 6))]).astype(np.float32)
    picks, _ = kernels.farthest_points(rows, np.arange(1, 1301), np.array([0]), 60)
    expected, _ = reference_farthest(rows, np.arange(1, 1301), np.array([0]), 60)
    assert picks.tolist() == expected.tolist()


def test_farthest_points_without_references_start_in_the_middle():
    rows = np.array([[0.0], [10.0], [5.5], [4.0], [9.0]], dtype=np.float32)
    picks, distances = kernels.farthest_points(rows, np.arange(5), np.empty(0, np.int64), 3)
    assert picks.tolist() == [2, 0, 1]
    assert distances.tolist() == [np.inf, 5.5**2, 4.5**2]


def test_duplicates_are_at_distance_zero_exactly():
    rows = np.repeat(np.random.default_rng(0).normal(300, 1, (5, 700)).astype(np.float32), 3, axis=0)
    distances = kernels.min_squared_distances(rows, np.arange(15), np.array([1, 4, 7, 10, 13]))
    assert not distances.any()


def test_distances_to_no_reference_are_infinite():
    assert np.isinf(kernels.min_squared_distances(clustered_rows(9), np.arange(9), np.empty(0, np.int64))).all()


def test_distances_are_right_across_tiles_of_rows_and_of_references(monkeypatch):
    monkeypatch.setattr(kernels.arrays, "_TILE_ELEMENTS", 1)
    rows = clustered_rows(300)
    found = kernels.min_squared_distances(rows, np.arange(100, 300), np.arange(100))
    np.testing.assert_allclose(found, squared(rows[100:], rows[:100]).min(axis=1), rtol=1e-6)


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(kernels.arrays, "_TILE_ELEMENTS", 1)
    rows = clustered_rows(500, dtype=np.float32)
    among, queries = np.arange(40, 500), np.arange(0, 60)
    found, distances = kernels.nearest_neighbours(rows, queries, among, 7)
    reference = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(rows[among].astype(np.float64))
    expected_distances, expected = reference.kneighbors(rows[queries].astype(np.float64))
    assert found.tolist() == among[expected].tolist()
    np.testing.assert_allclose(np.sqrt(distances), expected_distances, rtol=1e-5, atol=1e-5)


def test_neighbours_that_tie_come_in_the_order_of_the_rows_and_are_cut_to_what_there_is():
    rows = np.array([[0], [1], [-1], [1], [0]], dtype=np.float16)
    found, _ = kernels.nearest_neighbours(rows, np.array([0]), np.array([1, 2, 3, 4]), 9)
    assert found.tolist() == [[4, 1, 2, 3]]


def test_column_moments_skip_rows_that_are_not_finite_and_know_a_constant_column():
    rng = np.random.default_rng(1)
    rows = rng.normal(1000.0, 0.5, (3000, 3)).astype(np.float32)
    rows[:, 1] = 0.1
    rows[7, 0], rows[8, 2] = np.nan, np.inf
    mean, spread = kernels.column_moments(rows)
    kept = np.delete(rows, [7, 8], axis=0).astype(np.float64)
    np.testing.assert_allclose(mean, kept.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(spread[[0, 2]], kept.std(axis=0)[[0, 2]], rtol=1e-6)
    assert spread[1] == 0.0


def test_finite_rows_find_nan_and_infinity():
    rows = np.zeros((5, 3), dtype=np.float16)
    rows[1, 2], rows[4, 0] = np.nan, -np.inf
    assert kernels.finite_rows(rows).tolist() == [True, False, True, True, False]


def test_results_do_not_depend_on_the_number_of_threads_or_on_where_the_rows_lie(tmp_path):
    rows = clustered_rows(900, 64)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    before = torch.get_num_threads()
    results = []
    try:
        for threads, matrix in ((1, rows), (2, mapped)):
            torch.set_num_threads(threads)
            picks, gaps = kernels.farthest_points(matrix, np.arange(30, 900), np.arange(30), 50)
            found = kmeans(matrix, np.arange(900), 12, np.random.default_rng(0))
            results.append((picks.tolist(), gaps.tolist(), found.labels.tolist()))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1]


def test_kmeans_is_a_fixed_point_of_lloyd_and_about_as_tight_as_the_true_clusters():
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


def test_kmeans_on_a_part_of_many_rows_still_assigns_them_all():
    rows = clustered_rows(3000)
    found = kmeans(rows, np.arange(3000), 8, np.random.default_rng(1))
    distances = squared(rows, found.centres)
    np.testing.assert_allclose(found.squared_distances, distances.min(axis=1), rtol=1e-3)
    assert found.squared_distances.mean() < 1.5 * 24


def test_kmeans_finds_no_more_clusters_than_different_rows():
    rows = np.repeat(np.eye(3, dtype=np.float16), 5, axis=0)
    found = kmeans(rows, np.arange(15), 8, np.random.default_rng(0))
    assert len(found.centres) == 3
    assert found.sizes.tolist() == [5, 5, 5]
    assert not found.squared_distances.any()


def test_kernels_stop_when_asked():
    with pytest.raises(Cancelled):
        kernels.farthest_points(
            clustered_rows(50), np.arange(1, 50), np.array([0]), 5, monitor=Monitor(is_cancelled=lambda: True)
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_picks_are_the_same_on_a_gpu():
    rows = clustered_rows(900, 64)
    arguments = (rows, np.arange(30, 900), np.arange(30), 50)
    assert (
        kernels.farthest_points(*arguments)[0].tolist()
        == kernels.farthest_points(*arguments, device="cuda")[0].tolist()
    )
