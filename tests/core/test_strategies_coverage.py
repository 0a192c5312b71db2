"""Query functions on embeddings alone, against what can be worked out by hand or by brute force."""

import numpy as np

from quadrat.core.kernels import kmeans
from quadrat.core.strategies.base import Pool
from quadrat.core.strategies.registry import select

NOBODY = np.empty(0, dtype=np.int64)


def heaps(sizes, seed=0, width=8):
    """Well separated heaps of rows, and the heap (N,) of each row, shuffled."""
    rng = np.random.default_rng(seed)
    heap = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(0, 30, (len(sizes), width))
    return (centres[heap] + rng.normal(0, 1, (len(heap), width))).astype(np.float32), heap


def test_random_draws_every_eligible_row_about_as_often():
    pool = Pool(np.zeros((30, 2), np.float16), None, np.arange(10), np.arange(10, 30))
    drawn = np.concatenate([select("random", pool, 5, seed=seed).indices for seed in range(800)])
    counts = np.bincount(drawn, minlength=30)
    assert not counts[:10].any()
    assert np.abs(counts[10:] - 200).max() < 60


def test_fps_is_farthest_point_sampling_by_brute_force_on_global_indices():
    rows, _ = heaps([100, 60, 40])
    labelled, eligible = np.array([3, 77, 150]), np.setdiff1d(np.arange(0, 200, 2), [150])
    selection = select("fps", Pool(rows, None, labelled, eligible), 12)

    known, expected, distances = labelled.tolist(), [], []
    for _ in range(12):
        gaps = np.linalg.norm(rows[eligible, None].astype(np.float64) - rows[known], axis=2).min(axis=1)
        expected.append(int(eligible[gaps.argmax()]))
        distances.append(gaps.max())
        known.append(expected[-1])
    assert selection.indices.tolist() == expected
    np.testing.assert_allclose(selection.utilities, distances, rtol=1e-6)


def test_kmeans_takes_the_middle_of_every_heap_and_the_largest_first():
    rows, heap = heaps([120, 70, 30])
    selection = select("kmeans", Pool(rows, None, NOBODY, np.arange(220)), 3)
    assert heap[selection.indices].tolist() == [0, 1, 2]
    assert selection.utilities.tolist() == [120, 70, 30]
    for place, pick in enumerate(selection.indices):
        members = np.flatnonzero(heap == place)
        gaps = np.linalg.norm(rows[members] - rows[members].mean(axis=0), axis=1)
        assert pick == members[gaps.argmin()]


def test_kmeans_agrees_with_brute_force_on_the_same_clusters():
    rows = np.random.default_rng(2).normal(size=(300, 5)).astype(np.float16)
    order = np.random.default_rng(3).permutation(300)
    labelled, eligible = np.sort(order[:20]), np.sort(order[20:250])
    selection = select("kmeans", Pool(rows, None, labelled, eligible), 15, seed=4)

    asked = np.concatenate([eligible, labelled])
    found = kmeans(rows, asked, 35, np.random.default_rng(4))
    offers = []
    for cluster in range(len(found.centres)):
        members = np.flatnonzero(found.labels == cluster)
        free = members[members < len(eligible)]
        if len(free):
            best = free[found.squared_distances[free].argmin()]
            offers.append((-len(members) / (1 + len(members) - len(free)), cluster, asked[best]))
    assert selection.indices.tolist() == [row for _, _, row in sorted(offers)[:15]]
    assert selection.utilities.tolist() == [-share for share, _, _ in sorted(offers)[:15]]


def test_kmeans_leaves_a_heap_alone_that_has_its_labels():
    rows, heap = heaps([60, 50, 50, 40])
    labelled = np.flatnonzero(heap == 0)[:2]
    eligible = np.setdiff1d(np.arange(200), labelled)
    selection = select("kmeans", Pool(rows, None, labelled, eligible), 3, parameters={"most_clusters": 4})
    assert sorted(heap[selection.indices].tolist()) == [1, 2, 3]


def test_kmeans_fills_up_with_farthest_points_where_rows_repeat():
    rows = np.repeat(np.eye(3, dtype=np.float16), [5, 4, 3], axis=0)
    selection = select("kmeans", Pool(rows, None, NOBODY, np.arange(12)), 5)
    assert selection.indices.tolist() == [0, 5, 9, 1, 2]
    assert selection.utilities.tolist() == [5, 4, 3, 0, 0]
