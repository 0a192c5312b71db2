"""TypiClust, OSAL and DropQuery against brute force and against cases worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.kernels import kmeans
from quadrat.core.monitor import Monitor
from quadrat.core.strategies.base import Pool, Predictions, Selection, Strategy
from quadrat.core.strategies.clusters import equal_shares
from quadrat.core.strategies.registry import STRATEGIES, select

from .brute_force import squared

NOBODY = np.empty(0, dtype=np.int64)


def heaps(sizes, seed=0, width=8, spread=30.0):
    """Heaps of rows, and the heap (N,) of each row, shuffled."""
    rng = np.random.default_rng(seed)
    heap = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(0, spread, (len(sizes), width))
    return (centres[heap] + rng.normal(0, 1, (len(heap), width))).astype(np.float32), heap


def on_a_line(*places):
    return np.array(places, dtype=np.float32)[:, None]


def reference_typiclust(rows, labelled, eligible, budget, seed, most_clusters, neighbours):
    """TypiClust as in the paper's algorithm 1, on the same clusters."""
    asked = np.concatenate([eligible, labelled])
    clusters = kmeans(rows, asked, min(len(labelled) + budget, most_clusters), np.random.default_rng(seed)).labels
    queue = []
    for cluster in np.unique(clusters):
        members = asked[clusters == cluster]
        k = max(1, min(neighbours, len(members) // 2))
        distances = np.sqrt(squared(rows[members], rows[members]).astype(np.float64))
        # The nearest is the row itself.
        typicality = -np.sort(distances, axis=1)[:, 1 : k + 1].sum(axis=1).astype(np.float32)
        free = np.flatnonzero(np.isin(members, eligible))
        ranked = members[free[np.argsort(-typicality[free], kind="stable")]].tolist()
        queue.append((len(members) - len(free), -len(members), cluster, ranked))
    picks = []
    for small in (False, True):
        group = [entry[3] for entry in sorted(queue) if (-entry[1] <= 5) == small]
        while any(group) and len(picks) < budget:
            picks += [ranked.pop(0) for ranked in group if ranked]
    return picks[:budget]


class TestTypiClust:
    @pytest.mark.parametrize("labelled", [0, 12])
    @pytest.mark.parametrize(("budget", "most_clusters"), [(10, 500), (40, 7), (60, 500)])
    def test_takes_what_the_paper_takes(self, labelled, budget, most_clusters):
        rows, _ = heaps([90, 60, 40, 8, 4, 1], seed=2, spread=2.0)
        order = np.random.default_rng(3).permutation(len(rows))
        known, eligible = np.sort(order[:labelled]), np.sort(order[labelled:-20])
        pool = Pool(rows, None, known, eligible)
        found = select("typiclust", pool, budget, seed=4, parameters={"most_clusters": most_clusters, "neighbours": 9})
        expected = reference_typiclust(rows, known, eligible, budget, 4, most_clusters, 9)
        assert found.indices.tolist() == expected

    @settings(max_examples=30, deadline=None)
    @given(st.integers(3, 50), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9), st.integers(0, 2**16))
    def test_takes_what_the_paper_takes_where_rows_repeat_and_tie(self, count, width, levels, labelled, seed):
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, levels, (count, width)).astype(np.float16)
        order = rng.permutation(count)
        known, eligible = np.sort(order[:labelled][: count - 2]), np.sort(order[labelled:])
        budget = max(1, len(eligible) // 2)
        if len(eligible) > budget:
            found = select("typiclust", Pool(rows, None, known, eligible), budget, seed=seed)
            assert found.indices.tolist() == reference_typiclust(rows, known, eligible, budget, seed, 500, 20)

    def test_begins_with_the_largest_heap_and_leaves_those_with_labels_for_last(self):
        rows, heap = heaps([50, 70, 60, 40])
        labelled = np.flatnonzero(heap == 1)[:3]
        pool = Pool(rows, None, labelled, np.setdiff1d(np.arange(220), labelled))
        selection = select("typiclust", pool, 4, parameters={"most_clusters": 4})
        assert heap[selection.indices].tolist() == [2, 0, 3, 1]
        assert selection.reasons[3] == "most typical of 70 similar tiles, 3 of them labelled"

    def test_leaves_outliers_alone_until_nothing_else_is_left(self):
        rows, heap = heaps([30, 5, 1])
        selection = select("typiclust", Pool(rows, None, NOBODY, np.arange(36)), 33, parameters={"most_clusters": 3})
        assert heap[selection.indices].tolist() == [0] * 30 + [1, 2, 1]

    def test_finds_the_middle_of_a_heap_that_is_too_large_to_compare_all(self):
        rows = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
        pick = select("typiclust", Pool(rows, None, NOBODY, np.arange(3000)), 1).indices[0]
        nearness = np.sort(np.linalg.norm(rows - rows[pick], axis=1))[1:21].mean()
        others = [np.sort(np.linalg.norm(rows - row, axis=1))[1:21].mean() for row in rows[:300]]
        assert nearness < np.quantile(others, 0.05)
        all_of_them = select("typiclust", Pool(rows, None, NOBODY, np.arange(3000)), 1, parameters={"neighbours": 2000})
        assert np.linalg.norm(rows[all_of_them.indices[0]]) < 0.5


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.floats(0, 1))
def test_equal_shares_are_equal_but_for_what_parts_have_and_for_the_remainder(sizes, share):
    total = int(share * sum(sizes))
    shares = equal_shares(np.array(sizes), total)
    assert shares.sum() == total
    assert (shares <= sizes).all()
    unfilled = shares[shares < sizes]
    if len(unfilled):
        assert unfilled.max() - unfilled.min() <= 1
        assert (np.diff(unfilled) <= 0).all()
        assert shares.max() <= unfilled.max() + (unfilled.min() == unfilled.max())


class TestOsal:
    """Ten tiles in two groups on a line, six around 3 and four around 101.5."""

    ROWS = on_a_line(0, 1, 3, 4, 5, 6, 100, 101, 102, 103, 2)

    def test_takes_farthest_points_of_both_groups_and_the_remainder_from_the_larger_one(self):
        """Three of the six, seen from the label at 2: 6 (at 4), then 0 and 4 (at 2); 103 (at 97) and 100 (at 3)."""
        selection = select("osal", Pool(self.ROWS, None, np.array([10]), np.arange(10)), 5)
        assert self.ROWS[selection.indices, 0].tolist() == [103, 6, 100, 0, 4]
        assert selection.utilities.tolist() == [97, 4, 3, 2, 2]
        assert selection.reasons[0] == "far from the other picks among 4 similar tiles"

    def test_starts_in_the_middle_where_nothing_is_labelled(self):
        """The mean of the six is 3.2, so 3 is first, then 0 and 6 (at 3); 103 (at 97) and 100 (at 3)."""
        selection = select("osal", Pool(self.ROWS, None, NOBODY, np.arange(10)), 5)
        assert self.ROWS[selection.indices, 0].tolist() == [3, 103, 0, 6, 100]
        assert selection.utilities.tolist() == [97, 97, 3, 3, 3]

    def test_a_group_with_too_few_lets_others_have_its_share(self):
        selection = select("osal", Pool(self.ROWS, None, np.array([10]), np.array([0, 1, 2, 3, 4, 5, 8])), 5)
        assert sorted(self.ROWS[selection.indices, 0].tolist()) == [0, 1, 4, 6, 102]

    @pytest.mark.parametrize("kinds", [2, 4, 7])
    def test_there_are_as_many_groups_as_the_silhouette_says(self, kinds):
        rows, heap = heaps([40] * kinds)
        selection = select("osal", Pool(rows, None, NOBODY, np.arange(40 * kinds)), 3 * kinds)
        assert np.bincount(heap[selection.indices]).tolist() == [3] * kinds

    def test_one_group_is_farthest_points(self):
        rows, _ = heaps([60, 50])
        pool = Pool(rows, None, np.arange(5), np.arange(5, 110))
        one = select("osal", pool, 9, parameters={"most_clusters": 1})
        assert one.indices.tolist() == select("fps", pool, 9).indices.tolist()


def told(plain, passes, asked=None, mode="single"):
    """Predictions with these probabilities (N, C), whose passes have these logits (t, N, C)."""
    passes = np.asarray(passes, dtype=np.float32)

    def sample(rows, count, seed, input_dropout=None):
        if asked is not None:
            asked.append((count, seed, input_dropout))
        return passes[:count, rows]

    return Predictions(mode, np.asarray(plain, dtype=np.float32), sample)


def votes(*classes):
    """Logits (N, 2) for these classes."""
    return np.where(np.arange(2) == np.array(classes)[:, None], 1.0, -1.0)


class TestDropQuery:
    ROWS = on_a_line(0, 1, 2, 50, 52, 51, 90, 91)
    """The first six are predicted as class 0 and change their mind in two passes of three; 6 does in one, 7 never."""
    PASSES = (votes(1, 1, 1, 1, 0, 1, 1, 0), votes(1, 0, 1, 0, 1, 1, 0, 0), votes(0, 1, 0, 1, 1, 0, 0, 0))

    def pool(self, asked=None, plain=0.9, mode="single", passes=PASSES):
        first = np.broadcast_to(plain, 8)
        return Pool(self.ROWS, told(np.stack([first, 1 - first], axis=1), passes, asked, mode), NOBODY, np.arange(8))

    def test_takes_the_middle_of_each_kind_that_changes_its_mind(self):
        selection = select("drop_query", self.pool(), 2)
        assert sorted(selection.indices.tolist()) == [1, 5]
        assert selection.utilities.tolist() == [2 / 3, 2 / 3]
        assert selection.reasons[0] == "predicted differently in 2 of 3 passes"

    def test_fills_up_with_those_that_changed_most_then_with_close_decisions(self):
        plain = np.array([0.9, 0.9, 0.9, 0.6, 0.9, 0.9, 0.9, 0.51])
        selection = select("drop_query", self.pool(plain=plain), 7)
        assert selection.indices.tolist() == [3, 0, 1, 2, 4, 5, 6]
        assert np.round(selection.utilities * 3).tolist() == [2] * 6 + [1]
        calm = (votes(*[0] * 8),) * 3
        assert select("drop_query", self.pool(plain=plain, passes=calm), 2).indices.tolist() == [7, 3]

    def test_drops_the_input_and_not_what_the_learner_drops(self):
        asked = []
        select("drop_query", self.pool(asked), 2, parameters={"passes": 2, "dropout": 0.5})
        assert {(count, dropout) for count, _, dropout in asked} == {(2, 0.5)}

    def test_with_many_labels_a_tile_changes_its_mind_where_one_of_them_comes_or_goes(self):
        same, more, less = [3.0, -3.0], [3.0, 3.0], [-3.0, -3.0]
        passes = [[same] * 8 for _ in range(3)]
        for turn, tile, said in ((0, 2, more), (1, 2, less), (0, 6, more), (1, 6, more), (2, 4, less)):
            passes[turn][tile] = said
        selection = select("drop_query", self.pool(mode="multi", passes=passes), 3)
        assert selection.indices.tolist() == [2, 6, 4]
        assert np.round(selection.utilities * 3).tolist() == [2, 2, 1]


def test_a_gpu_that_is_too_small_gives_the_picks_of_the_processor(monkeypatch):
    monkeypatch.setattr(STRATEGIES, "_entries", {})

    def hungry(pool, request):
        picks = request.rng.choice(pool.eligible, request.budget, replace=False)
        if request.device != "cpu":
            raise torch.OutOfMemoryError("no room")
        return Selection(picks, np.zeros(len(picks)), ("drawn",) * len(picks))

    STRATEGIES.register(Strategy("hungry", hungry, "For a test.", "-", "nothing"))
    pool = Pool(np.zeros((30, 2), np.float16), None, NOBODY, np.arange(30))
    said = []
    monitor = Monitor(remark=lambda level, message: said.append(message))
    found = select("hungry", pool, 5, device="cuda", monitor=monitor)
    assert found.indices.tolist() == select("hungry", pool, 5).indices.tolist()
    assert said[-1] == "The GPU is out of memory. The processor takes over."
