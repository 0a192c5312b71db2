"""Distances, neighbours, statistics and tiles against brute force, on rows that tie, repeat, vanish or lie on disk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from quadrat.core import kernels
from quadrat.core.errors import Cancelled
from quadrat.core.kernels import sparing, tiles, tiles_of
from quadrat.core.monitor import SILENT, Monitor

from .brute_force import squared


def clustered_rows(count=600, width=24, seed=0, dtype=np.float16):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 3, (8, width))
    return (centres[rng.integers(0, 8, count)] + rng.normal(0, 1, (count, width))).astype(dtype)


def test_duplicates_are_at_distance_zero_exactly():
    rows = np.repeat(np.random.default_rng(0).normal(300, 1, (5, 700)).astype(np.float32), 3, axis=0)
    distances = kernels.all_squared_distances(rows, np.arange(15))
    assert (np.flatnonzero(distances[0] == 0.0) == [0, 1, 2]).all()
    assert (distances == 0.0).sum() == 5 * 9


def test_distances_are_right_across_tiles():
    rows = clustered_rows(300)
    with tiles_of(1):
        found = kernels.all_squared_distances(rows, np.arange(50, 300))
    np.testing.assert_allclose(found, squared(rows[50:], rows[50:]), rtol=1e-6)


def test_distances_to_the_nearest_reference_are_right_across_tiles_and_infinite_without_one():
    rows = clustered_rows(300)
    space = kernels.EmbeddingSpace(rows)
    with tiles_of(1):
        found = kernels.nearest_squared_distances(space, np.arange(100, 300), np.arange(100))
    np.testing.assert_allclose(found, squared(rows[100:], rows[:100]).min(axis=1), rtol=1e-6)
    assert np.isinf(kernels.nearest_squared_distances(space, np.arange(9), np.empty(0, np.int64))).all()


def test_neighbours_are_those_of_scikit_learn():
    rows = clustered_rows(500, dtype=np.float32)
    among, queries = np.arange(40, 500), np.arange(0, 200)
    with tiles_of(1):
        found, distances = kernels.nearest_neighbours(rows, queries, among, 7)
    reference = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(rows[among].astype(np.float64))
    expected_distances, expected = reference.kneighbors(rows[queries].astype(np.float64))
    assert found.tolist() == among[expected].tolist()
    np.testing.assert_allclose(np.sqrt(distances), expected_distances, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 90),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 99),
    st.integers(0, 99),
)
def test_neighbours_that_tie_come_in_the_order_of_the_rows(count, asked, width, levels, k, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, levels, (count, width)).astype(np.float16)
    among, queries = rng.permutation(count), rng.integers(0, count, asked)
    with tiles_of(1):
        found, distances = kernels.nearest_neighbours(rows, queries, among, k)
    gaps = squared(rows[queries], rows[among])
    expected = np.argsort(gaps, axis=1, kind="stable")[:, :k]
    assert found.tolist() == among[expected].tolist()
    np.testing.assert_array_equal(distances, np.take_along_axis(gaps, expected, axis=1))


def test_neighbours_of_nobody_and_among_nobody():
    rows = clustered_rows(9)
    for queries, among in ((np.arange(0), np.arange(9)), (np.arange(9), np.arange(0))):
        found, distances = kernels.nearest_neighbours(rows, queries, among, 3)
        assert found.shape == distances.shape == (len(queries), min(3, len(among)))


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


@pytest.mark.parametrize("rows", [slice(3, 7), np.array([6, 3, 3])])
def test_rows_come_from_a_read_only_memory_map_as_a_copy_in_float64(tmp_path, rows):
    stored = clustered_rows(9)
    np.save(tmp_path / "rows.npy", stored)
    block = kernels.gather(np.load(tmp_path / "rows.npy", mmap_mode="r"), rows)
    assert block.dtype == torch.float64
    np.testing.assert_array_equal(block.zero_() + 1, np.ones((len(stored[rows]), 24)))


def test_neighbours_are_the_same_on_any_number_of_threads_and_in_tiles_of_any_size():
    rows = clustered_rows(900, 64)
    before = torch.get_num_threads()
    results = []
    try:
        for threads, elements in ((1, 2**21), (2, 2**14), (2, 1)):
            torch.set_num_threads(threads)
            with tiles_of(elements):
                results.append(kernels.nearest_neighbours(rows, np.arange(500), np.arange(900), 9))
    finally:
        torch.set_num_threads(before)
    for found, distances in results[1:]:
        np.testing.assert_array_equal(found, results[0][0])
        np.testing.assert_array_equal(distances, results[0][1])


@pytest.mark.parametrize(
    "work",
    [
        lambda rows, stop: kernels.nearest_neighbours(rows, np.arange(5), np.arange(50), 3, monitor=stop),
        lambda rows, stop: kernels.all_squared_distances(rows, np.arange(50), monitor=stop),
        lambda rows, stop: kernels.column_moments(rows, monitor=stop),
        lambda rows, stop: kernels.finite_rows(rows, monitor=stop),
    ],
)
def test_kernels_stop_when_asked(work):
    with pytest.raises(Cancelled):
        work(clustered_rows(50), Monitor(is_cancelled=lambda: True))


def tile_size():
    """Numbers in a tile where this is called."""
    return next(tiles(2**40, 1, most=2**40)).stop


class TestSparing:
    """An action that needs more memory than there is: torch raises the same error without a GPU."""

    def spare(self, room, error=torch.OutOfMemoryError, message="no room"):
        """What is tried, (device, tile size) each, and what is said, where a GPU has room for tiles of ``room``."""
        tried, said = [], []

        def action(device):
            tried.append((device, tile_size()))
            if device != "cpu" and tile_size() > room:
                raise error(message)
            return f"done on {device}"

        result = sparing(action, "cuda", Monitor(remark=lambda level, remark: said.append((level, remark))))
        return result, tried, said

    def test_takes_large_tiles_on_a_gpu_where_there_is_room(self):
        assert self.spare(2**40) == ("done on cuda", [("cuda", 2**24)], [])

    def test_takes_smaller_tiles_where_there_is_less_and_says_so(self):
        result, tried, said = self.spare(2**22)
        assert (result, tried) == ("done on cuda", [("cuda", 2**24), ("cuda", 2**22)])
        assert said == [("info", "The GPU is out of memory. Trying again with smaller tiles.")]

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (torch.OutOfMemoryError, "no room"),
            (RuntimeError, "CUDA error: out of memory"),
            (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ],
    )
    def test_takes_the_processor_where_there_is_none_and_says_so(self, error, message):
        result, tried, said = self.spare(0, error, message)
        assert result == "done on cpu"
        assert tried == [("cuda", 2**24), ("cuda", 2**22), ("cuda", 2**20), ("cpu", 2**21)]
        assert [remark for _, remark in said][-1] == "The GPU is out of memory. The processor takes over."
        assert len(said) == 3

    def test_leaves_other_errors_alone(self):
        with pytest.raises(RuntimeError, match="shapes"):
            self.spare(0, RuntimeError, "shapes do not fit")
        assert tile_size() == 2**21

    def test_does_not_try_again_on_the_processor(self):
        def action(device):
            raise torch.OutOfMemoryError(f"no room on {device}")

        with pytest.raises(torch.OutOfMemoryError):
            sparing(action, "cpu", SILENT)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_neighbours_are_the_same_on_a_gpu():
    rows = clustered_rows(900, 64)
    arguments = (rows, np.arange(300), np.arange(900), 9)
    assert (
        kernels.nearest_neighbours(*arguments)[0].tolist()
        == kernels.nearest_neighbours(*arguments, device="cuda")[0].tolist()
    )
