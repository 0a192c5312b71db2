"""MCFPS step by step on a line of tiles where everything can be worked out by hand."""

import numpy as np
import pytest

from quadrat.core.kernels import tiles_of
from quadrat.core.strategies.base import Pool, Predictions
from quadrat.core.strategies.mcfps import confidence, uncertainty
from quadrat.core.strategies.registry import select

# Ten tiles on a line; tile 0 is labelled. The farthest points of it are 9 (at 100), then 4 (at 40, 60 from tile 9).
PLACES = np.array([0, 2, 5, 38, 40, 43, 75, 95, 98, 100], dtype=np.float32)[:, None]


def pool_of(passes, mode="single", places=PLACES, labelled=(0,)):
    """A pool whose learner has exactly these logits (t, N, C) in its passes."""
    passes = np.asarray(passes, dtype=np.float32)
    mean = np.exp(passes).mean(axis=0)
    probabilities = (mean / mean.sum(axis=1, keepdims=True)).astype(np.float32)

    def sample(rows, count, seed):
        assert count == len(passes)
        return passes[:, rows]

    eligible = np.setdiff1d(np.arange(len(places)), labelled)
    return Pool(places, Predictions(mode, probabilities, sample), np.array(labelled), eligible)


def two_classes(first):
    """Logits (1, N, 2) that give the first class these probabilities."""
    p = np.asarray(first, dtype=np.float64)
    return np.stack([np.log(p), np.log1p(-p)], axis=1)[None]


def test_each_far_point_gives_the_least_sure_of_its_neighbours():
    #                      0    1    2    3    4    5    6    7    8    9
    pool = pool_of(two_classes([0.5, 0.5, 0.5, 0.7, 0.6, 0.65, 0.5, 0.75, 0.55, 0.6]))
    selection = select("mcfps", pool, 2, parameters={"neighbours": 3, "passes": 1})
    # Around 9: 9 (0.6), 8 (0.55), 7 (0.75). Around 4: 4 (0.6), 3 (0.7), 5 (0.65). Tile 1, as unsure as any, is near 0.
    assert selection.indices.tolist() == [8, 4]
    np.testing.assert_allclose(selection.utilities, [0.45, 0.4], atol=1e-6)
    assert selection.reasons[0] == "unsure: class 0 0.55 or class 1 0.45; far from all labelled tiles"


def test_a_whole_round_worked_by_hand():
    """Two versions, b = 3, k = 2, sure 0.8: each step of the method with its outcome."""
    #        0    1    2    3    4    5     6    7    8    9
    first = [0.5, 0.6, 0.9, 0.9, 0.9, 0.95, 0.2, 0.9, 0.9, 0.6]
    other = [0.5, 0.6, 0.9, 0.5, 0.3, 0.95, 0.6, 0.6, 0.3, 0.8]
    pool = pool_of(np.concatenate([two_classes(first), two_classes(other)]))
    # (1) The means are 1: 0.6, 2: 0.9, 3: 0.7, 4: 0.6, 5: 0.95, 6: 0.4, 7: 0.75, 8: 0.6, 9: 0.7.
    # (2) Tiles 2 and 5 are surer than 0.8 and skipped. Left are 1 (at 2), 3 (38), 4 (40), 6 (75), 7 (95), 8, 9 (100).
    # (3) The farthest from tile 0 is 9; then 4, which is 40 from 0; then 6, which is 25 from 9 (3 is 2 from 4).
    # (4) Around 9 are 9 (u = 0.3) and 8 (0.4): tile 8. Around 4 are 4 (0.4) and 3 (0.3): tile 4. Around 6 are
    #     6 (0.4) and 7 (0.25): tile 6. All three have u = 0.4, so they come in the order of S, but for rounding.
    selection = select("mcfps", pool, 3, parameters={"neighbours": 2, "passes": 2})
    assert sorted(selection.indices.tolist()) == [4, 6, 8]
    np.testing.assert_allclose(selection.utilities, [0.4, 0.4, 0.4], atol=1e-6)
    # One neighbour is the far point itself, so nothing is left of step 4.
    alone = select("mcfps", pool, 3, parameters={"neighbours": 1, "passes": 2})
    assert sorted(alone.indices.tolist()) == [4, 6, 9]
    # Around 9 a third neighbour is 7, which is surer; around 4 it is 6 (35 away), as unsure as 4 but farther.
    assert sorted(select("mcfps", pool, 3, parameters={"neighbours": 3, "passes": 2}).indices.tolist()) == [4, 6, 8]


def test_sure_tiles_are_skipped_for_this_round_only():
    pool = pool_of(two_classes([0.5, 0.6, 0.6, 0.9, 0.85, 0.9, 0.7, 0.6, 0.9, 0.95]))
    selection = select("mcfps", pool, 2, parameters={"neighbours": 1, "passes": 1})
    # Left are 1, 2, 6 and 7. The farthest is 7 (at 95), then 6 (20 from 7), not 2 (5 from 0).
    assert selection.indices.tolist() == [7, 6]
    assert selection.set_aside.tolist() == []


def test_the_threshold_rises_until_it_leaves_enough():
    pool = pool_of(two_classes([0.5, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.6]))
    selection = select("mcfps", pool, 3, parameters={"neighbours": 15, "passes": 1})
    assert selection.indices.tolist() == [9, 8, 7]


def test_two_neighbourhoods_never_give_the_same_tile():
    places = np.array([0, 10, 11, 12, 13], dtype=np.float32)[:, None]
    pool = pool_of(two_classes([0.5, 0.7, 0.5, 0.65, 0.6]), places=places)
    # Farthest from 0: 4, then 1. Both have all four tiles around them; 4 gives 2 (0.5), so 1 gives the next, 4 (0.6).
    assert select("mcfps", pool, 2, parameters={"passes": 1}).indices.tolist() == [2, 4]


def test_a_neighbourhood_that_is_used_up_gives_the_nearest_free_tile():
    places = np.array([0, 100, 100, 100, 90], dtype=np.float32)[:, None]
    pool = pool_of(two_classes([0.5, 0.7, 0.6, 0.65, 0.75]), places=places)
    # Farthest: 1, then 4, then 2 (all duplicates of 1). 1's and 2's only neighbour is tile 1 itself, so 2 gives 2.
    selection = select("mcfps", pool, 3, parameters={"neighbours": 1, "passes": 1})
    assert selection.indices.tolist() == [2, 1, 4]


def test_probabilities_are_averaged_where_the_paper_averages_logits():
    """Tile 1's versions are sure, but of opposite classes; logits cancel only half of it."""
    calm = two_classes([0.5, 0.5, 0.7])[0]
    first, second = calm.copy(), calm.copy()
    first[1], second[1] = (9.0, 0.0), (0.0, 3.0)
    places = np.array([0, 10, 11], dtype=np.float32)[:, None]
    pool = pool_of([first, second], places=places)
    corrected = select("mcfps", pool, 1, parameters={"passes": 2})
    assert corrected.indices.tolist() == [1]
    expected = 1 - (1 / (1 + np.exp(-9)) + 1 / (1 + np.exp(3))) / 2
    np.testing.assert_allclose(corrected.utilities, [expected], rtol=1e-5)
    paper = select("mcfps:paper", pool, 1, parameters={"passes": 2})
    # Mean logits (4.5, 1.5): confidence 0.953, so the paper's procedure skips tile 1 and asks 2.
    assert paper.indices.tolist() == [2]
    np.testing.assert_allclose(paper.utilities, [0.3], atol=1e-6)


def test_the_papers_preset_hands_back_what_never_comes_again():
    pool = pool_of(two_classes([0.5, 0.6, 0.6, 0.9, 0.85, 0.9, 0.7, 0.6, 0.9, 0.95]))
    selection = select("mcfps:paper", pool, 2, parameters={"passes": 1, "neighbours": 5})
    assert selection.set_aside.tolist() == [3, 4, 5, 8, 9]
    assert not np.isin(selection.indices, selection.set_aside).any()


def test_multi_label_uncertainty_is_the_mean_binary_entropy_in_bits():
    probabilities = np.array([[0.5, 0.5], [0.5, 1.0], [0.0, 1.0], [0.25, 1.0]], dtype=np.float32)
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    np.testing.assert_allclose(uncertainty(probabilities, "multi"), [1.0, 0.5, 0.0, quarter / 2], atol=1e-6)


def test_a_multi_label_tile_is_as_sure_as_its_least_sure_class():
    probabilities = np.array([[0.9, 0.6], [0.05, 0.1]], dtype=np.float32)
    np.testing.assert_allclose(confidence(probabilities, "multi"), [0.6, 0.9], atol=1e-6)
    np.testing.assert_allclose(confidence(probabilities, "single"), [0.9, 0.1], atol=1e-6)


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_learner_without_randomness_is_taken_at_its_word(mode):
    pool = pool_of(two_classes([0.5, 0.5, 0.5, 0.7, 0.6, 0.65, 0.5, 0.75, 0.55, 0.6]), mode)
    plain = Pool(pool.embeddings, Predictions(mode, pool.predictions.probabilities), pool.labelled, pool.eligible)
    assert select("mcfps", plain, 2, parameters={"neighbours": 3}).indices.tolist() == [8, 4]


def test_a_large_pool_is_predicted_piece_by_piece_with_the_same_versions():
    rng = np.random.default_rng(0)
    pool = pool_of(rng.normal(size=(3, 200, 4)), places=rng.normal(size=(200, 5)).astype(np.float32))
    whole = select("mcfps", pool, 20, parameters={"passes": 3})
    with tiles_of(1):
        pieces = select("mcfps", pool, 20, parameters={"passes": 3})
    assert whole.indices.tolist() == pieces.indices.tolist()
