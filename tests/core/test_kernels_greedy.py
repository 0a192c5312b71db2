"""Greedy selections against brute force, on rows that tie, repeat, vanish or lie far from the origin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core import kernels
from quadrat.core.errors import Cancelled
from quadrat.core.kernels import EmbeddingSpace, GradientSpace, d2_sampling, tiles_of
from quadrat.core.kernels.covering import ball, gaussian, greedy_coverage
from quadrat.core.kernels.lazy import LazySearch
from quadrat.core.monitor import Monitor

from . import brute_force

NOBODY = np.empty(0, dtype=np.int64)


def clustered_rows(count=600, width=24, seed=0, dtype=np.float16):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 3, (8, width))
    return (centres[rng.integers(0, 8, count)] + rng.normal(0, 1, (count, width))).astype(dtype)


def lattice(count, width, levels, seed):
    """Rows of few different values: many repeat, many tie, some are zero."""
    return np.random.default_rng(seed).integers(0, levels, (count, width)).astype(np.float16)


shapes = given(st.integers(2, 40), st.integers(1, 4), st.integers(1, 45), st.integers(1, 3), st.integers(0, 2**16))


class TestLazySearch:
    def test_finds_what_a_full_update_would_find_and_looks_at_few(self):
        """Values fall by random factors; what the search may not know is kept from it."""
        rng = np.random.default_rng(0)
        truth = rng.random(20_000).astype(np.float32)
        looked = []

        def update(places, seen):
            looked.append(len(places))
            return truth[places]

        search = LazySearch(truth.copy(), update)
        for _ in range(100):
            best = int(np.argmax(truth))
            assert search.leader() == best
            assert search.take(best) == truth[best]
            truth *= rng.uniform(0.95, 1.0, len(truth)).astype(np.float32)
            truth[best] = -np.inf
        assert sum(looked) < 0.2 * 100 * 20_000

    def test_a_handicap_divides_the_value(self):
        search = LazySearch(np.array([3.0, 4.0, 0.0], np.float32), lambda places, seen: np.zeros(len(places)))
        assert search.leader(np.array([1.0, 2.0, 1e-300])) == 0

    @pytest.mark.parametrize("count", [3, 500])
    def test_among_equals_the_first_wins_however_old_its_value_is(self, count):
        search = LazySearch(np.ones(count, np.float32), lambda places, seen: np.ones(len(places), np.float32))
        taken = []
        for _ in range(count):
            taken.append(search.leader())
            search.take(taken[-1])
        assert taken == list(range(count))

    def test_bounds_are_replaced_before_the_first_pick(self):
        search = LazySearch(
            np.array([9.0, 8.0, 1.0], np.float32), lambda places, seen: np.array([2.0, 5.0, 1.0])[places], bounds=True
        )
        assert search.leader() == 1


class TestFarthestPoints:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    @pytest.mark.parametrize("offset", [0.0, 200.0])
    def test_are_those_of_brute_force_even_far_from_the_origin(self, dtype, offset):
        rows = (clustered_rows(dtype=np.float32) + offset).astype(dtype)
        candidates, references = np.arange(20, 600), np.arange(20)
        picks, distances = kernels.farthest_points(rows, candidates, references, 90)
        expected, gaps = brute_force.farthest_points(rows, candidates, references, 90)
        assert picks.tolist() == expected.tolist()
        np.testing.assert_allclose(distances, gaps, rtol=1e-6)

    @settings(max_examples=40, deadline=None)
    @shapes
    def test_break_ties_and_duplicates_like_brute_force(self, count, width, budget, levels, seed):
        rows = lattice(count, width, levels, seed)
        order = np.random.default_rng(seed).permutation(count)
        references, candidates = order[:1], np.sort(order[1:])
        picks, distances = kernels.farthest_points(rows, candidates, references, budget)
        expected, gaps = brute_force.farthest_points(rows, candidates, references, budget)
        assert picks.tolist() == expected.tolist()
        np.testing.assert_array_equal(distances, gaps)

    def test_look_again_when_the_first_look_was_not_enough(self):
        """A thousand candidates tie at the top and all fall with the first pick, many more than one look covers."""
        rng = np.random.default_rng(3)
        heap = rng.normal(0, 0.1, (1000, 6)) + 10.0
        rows = np.vstack([np.zeros((1, 6)), heap, rng.normal(0, 2, (300, 6))]).astype(np.float32)
        picks, _ = kernels.farthest_points(rows, np.arange(1, 1301), np.array([0]), 60)
        expected, _ = brute_force.farthest_points(rows, np.arange(1, 1301), np.array([0]), 60)
        assert picks.tolist() == expected.tolist()

    def test_without_references_start_in_the_middle(self):
        rows = np.array([[0.0], [10.0], [5.5], [4.0], [9.0]], dtype=np.float32)
        picks, distances = kernels.farthest_points(rows, np.arange(5), NOBODY, 3)
        assert picks.tolist() == [2, 0, 1]
        assert distances.tolist() == [np.inf, 5.5**2, 4.5**2]


class TestD2Sampling:
    @pytest.mark.parametrize("offset", [0.0, 200.0])
    @pytest.mark.parametrize("references", [None, np.arange(20)])
    def test_draws_what_brute_force_draws_from_the_same_numbers(self, offset, references):
        rows = (clustered_rows(dtype=np.float32) + offset).astype(np.float16)
        candidates = np.arange(20, 600)
        picks, gaps = d2_sampling(EmbeddingSpace(rows), candidates, 90, np.random.default_rng(7), references=references)
        expected, distances = brute_force.d2_sampling(rows, candidates, 90, np.random.default_rng(7), references)
        assert picks.tolist() == expected.tolist()
        np.testing.assert_allclose(gaps, distances, rtol=1e-6)

    @settings(max_examples=40, deadline=None)
    @shapes
    def test_stops_where_only_duplicates_are_left(self, count, width, budget, levels, seed):
        rows = lattice(count, width, levels, seed)
        candidates = np.arange(0, count, 2)
        picks, gaps = d2_sampling(EmbeddingSpace(rows), candidates, budget, np.random.default_rng(seed), first=0)
        expected, distances = brute_force.d2_sampling(rows, candidates, budget, np.random.default_rng(seed), first=0)
        assert picks.tolist() == expected.tolist()
        np.testing.assert_array_equal(gaps, distances)
        different = len(np.unique(rows[candidates], axis=0))
        assert len(picks) == min(budget, different)

    def test_draws_as_often_as_the_textbook_says(self):
        """First 0; then 1, 3 or 7 in proportion to 1, 9, 49; then again with the smaller of two distances."""
        rows = np.array([[0.0], [1.0], [3.0], [7.0]], np.float32)
        draws = [
            tuple(d2_sampling(EmbeddingSpace(rows), np.arange(4), 3, np.random.default_rng(seed), first=0)[0])
            for seed in range(4000)
        ]
        chances = {}
        for second in (1, 2, 3):
            weights = np.minimum(rows[:, 0] ** 2, (rows[:, 0] - rows[second, 0]) ** 2)
            for third in {1, 2, 3} - {second}:
                chances[0, second, third] = rows[second, 0] ** 2 / 59 * weights[third] / weights.sum()
        for draw, chance in chances.items():
            spread = np.sqrt(chance * (1 - chance) / len(draws))
            assert abs(draws.count(draw) / len(draws) - chance) < 5 * spread

    def test_a_first_pick_that_nobody_gave_is_drawn_uniformly(self):
        rows = np.arange(5, dtype=np.float32)[:, None]
        firsts = [
            int(d2_sampling(EmbeddingSpace(rows), np.arange(5), 1, np.random.default_rng(s))[0][0]) for s in range(500)
        ]
        assert np.abs(np.bincount(firsts, minlength=5) - 100).max() < 45

    def test_works_on_gradients_that_are_never_made(self):
        rng = np.random.default_rng(2)
        features, errors = clustered_rows(400, 12), rng.normal(0, 0.5, (400, 5)).astype(np.float32)
        errors[::7] = 0.0
        space = GradientSpace(features.__getitem__, errors)
        picks, gaps = d2_sampling(space, np.arange(3, 400), 50, np.random.default_rng(1), first=5)
        gradients = brute_force.outer(features, errors)
        expected, distances = brute_force.d2_sampling(
            gradients, np.arange(3, 400), 50, np.random.default_rng(1), first=5
        )
        assert picks.tolist() == expected.tolist()
        np.testing.assert_allclose(gaps, distances, rtol=1e-5)


class TestGreedyCoverage:
    @staticmethod
    def compare(rows, labelled, candidates, anchors, budget, kernel, formula, weights=None):
        picks, gains = greedy_coverage(
            EmbeddingSpace(rows, unit=True), candidates, anchors, budget, kernel, references=labelled, weights=weights
        )
        matrix = formula(brute_force.squared(brute_force.unit(rows), brute_force.unit(rows)).astype(np.float64))
        shares = np.ones(len(anchors)) if weights is None else weights.astype(np.float64)
        expected, rises = brute_force.coverage(matrix, labelled, candidates, anchors, shares, budget)
        assert picks.tolist() == expected.tolist()
        np.testing.assert_allclose(gains, rises, rtol=1e-5)
        assert (np.diff(gains) <= 0).all()

    @pytest.mark.parametrize("sigma", [1.0, 0.3, 0.01])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_by_a_gaussian_is_that_of_brute_force(self, sigma, weighted):
        rows = clustered_rows()
        anchors = np.sort(np.random.default_rng(5).choice(600, 300, replace=False))
        weights = np.random.default_rng(6).random(300).astype(np.float32) if weighted else None
        kernel, formula = gaussian(sigma), lambda squared: np.exp(-squared / sigma**2)
        self.compare(rows, np.arange(20), np.arange(20, 600), anchors, 60, kernel, formula, weights)

    @pytest.mark.parametrize("radius", [0.2, 0.6, 5.0])
    def test_by_balls_is_that_of_brute_force_and_ends_when_all_is_covered(self, radius):
        kernel, formula = ball(radius), lambda squared: (squared < radius**2) * 1.0
        self.compare(clustered_rows(), np.arange(20), np.arange(20, 600), np.arange(600), 60, kernel, formula)

    @settings(max_examples=40, deadline=None)
    @shapes
    def test_breaks_ties_and_duplicates_like_brute_force(self, count, width, budget, levels, seed):
        rows = lattice(count, width, levels, seed)
        everyone = np.arange(count)
        for kernel, formula in (
            (gaussian(0.7), lambda squared: np.exp(-squared / 0.7**2)),
            (ball(0.7), lambda squared: (squared < 0.7**2) * 1.0),
        ):
            self.compare(rows, everyone[:1], everyone[1:], everyone, budget, kernel, formula)

    def test_does_not_depend_on_the_size_of_the_tiles(self):
        rows = clustered_rows(400)
        found = []
        for elements in (1, 2**21):
            with tiles_of(elements):
                picks, gains = greedy_coverage(
                    EmbeddingSpace(rows, unit=True),
                    np.arange(400),
                    np.arange(300),
                    30,
                    gaussian(0.5),
                    references=NOBODY,
                )
            found.append((picks.tolist(), gains.tolist()))
        assert found[0] == found[1]

    def test_bounds_from_float32_are_bounds(self):
        rows = (clustered_rows(300, 200, dtype=np.float32) + 50.0).astype(np.float16)
        space = EmbeddingSpace(rows)
        points = space.points(np.arange(300))
        least = space.least_squared_distances(points, points, space.squared_norms(points)).numpy()
        assert (least <= brute_force.squared(rows, rows)).all()


def test_unit_rows_have_length_one_and_zero_rows_stay():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], np.float16)
    np.testing.assert_allclose(EmbeddingSpace(rows, unit=True).points(np.arange(2)), [[0.6, 0.8], [0.0, 0.0]])


@pytest.mark.parametrize(
    "selection",
    [
        lambda rows, stop: kernels.farthest_points(rows, np.arange(1, 50), np.array([0]), 5, monitor=stop),
        lambda rows, stop: d2_sampling(EmbeddingSpace(rows), np.arange(50), 5, np.random.default_rng(0), monitor=stop),
        lambda rows, stop: greedy_coverage(
            EmbeddingSpace(rows), np.arange(50), np.arange(50), 5, ball(1.0), references=NOBODY, monitor=stop
        ),
    ],
)
def test_every_selection_stops_when_asked(selection):
    with pytest.raises(Cancelled):
        selection(clustered_rows(50), Monitor(is_cancelled=lambda: True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_picks_are_the_same_on_a_gpu():
    rows, everyone = clustered_rows(900, 64), np.arange(900)

    def select(device):
        space = EmbeddingSpace(rows, device, unit=True)
        return [
            kernels.farthest_points(rows, everyone[30:], everyone[:30], 50, device=device)[0].tolist(),
            d2_sampling(space, everyone, 50, np.random.default_rng(0))[0].tolist(),
            greedy_coverage(space, everyone, everyone[::2], 50, gaussian(0.5), references=NOBODY)[0].tolist(),
        ]

    assert select("cpu") == select("cuda")
