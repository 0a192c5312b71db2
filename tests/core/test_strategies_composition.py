"""Uncertainty, then clusters: against a plain version with the same clusters, and what follows for any uncertainty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.errors import UsageError
from quadrat.core.kernels import kmeans
from quadrat.core.strategies import multilabel, uncertainty
from quadrat.core.strategies.base import Pool, Predictions
from quadrat.core.strategies.composition import first_of_each
from quadrat.core.strategies.registry import STRATEGIES, select
from quadrat.core.strategies.uncertainty import margin

UNCERTAINTIES = uncertainty.UNCERTAINTIES + multilabel.UNCERTAINTIES


def pool_of(embeddings, probabilities):
    eligible = np.arange(len(embeddings))[1:]
    return Pool(embeddings, Predictions("multi", probabilities.astype(np.float32)), np.array([0]), eligible)


def clustered_by_hand(pool, budget, multiple, seed):
    """The second paper's two steps, literally."""
    scores = margin(pool.predictions.probabilities, "multi").astype(np.float32)
    ranked = sorted(pool.eligible.tolist(), key=lambda row: (-scores[row], row))[: multiple * budget]
    found = kmeans(pool.embeddings, np.array(ranked), budget, np.random.default_rng(seed))
    picks = []
    for cluster in range(len(found.centres)):
        members = [row for row, label in zip(ranked, found.labels, strict=True) if label == cluster]
        picks += members[:1]
    while len(picks) < budget:
        picks.append(next(row for row in ranked if row not in picks))
    return sorted(picks, key=lambda row: (-scores[row], row))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(4, 60), st.integers(1, 4), st.integers(1, 12), st.integers(1, 5), st.integers(1, 9), st.integers(0, 999)
)
def test_clustering_gives_what_the_paper_says(count, width, budget, multiple, levels, seed):
    rng = np.random.default_rng(seed)
    embeddings = rng.integers(0, levels, (count, width)).astype(np.float16)
    pool = pool_of(embeddings, rng.integers(0, levels + 1, (count, 3)) / levels)
    if budget >= len(pool.eligible):
        return
    selection = select("margin+clustering", pool, budget, seed=seed, parameters={"multiple": multiple})
    assert selection.indices.tolist() == clustered_by_hand(pool, budget, multiple, seed)


def test_near_duplicates_are_asked_once():
    """The four most uncertain tiles are one and the same; three others are a little surer and all different."""
    embeddings = np.array([[0, 0], [9, 9], [9, 9], [9, 9], [9, 9], [0, 9], [9, 0], [-9, 0], [1, 1]], dtype=np.float16)
    doubt = np.array([0.0, 0.5, 0.5, 0.5, 0.5, 0.4, 0.35, 0.3, 0.01])[:, None]
    pool = pool_of(embeddings, doubt)
    assert select("margin", pool, 4).indices.tolist() == [1, 2, 3, 4]
    picks = select("margin+clustering", pool, 4, parameters={"multiple": 2})
    assert picks.indices.tolist() == [1, 5, 6, 7]
    assert picks.reasons[0] == "unsure: class 0 0.50"


def test_a_multiple_of_one_is_the_uncertainty_alone():
    rng = np.random.default_rng(2)
    pool = pool_of(rng.normal(size=(50, 3)).astype(np.float16), rng.random((50, 4)))
    alone, clustered = select("margin", pool, 8), select("margin+clustering", pool, 8, parameters={"multiple": 1})
    assert alone.indices.tolist() == clustered.indices.tolist()
    assert alone.utilities.tolist() == clustered.utilities.tolist()


def test_places_of_empty_clusters_go_to_the_next_in_rank():
    assert first_of_each(np.array([2, 2, 2, 0, 2, 0]), 4).tolist() == [0, 1, 2, 3]
    assert first_of_each(np.array([1, 1, 0, 1, 2, 2]), 3).tolist() == [0, 2, 4]


@pytest.mark.parametrize("item", UNCERTAINTIES, ids=lambda item: item.name)
def test_both_functions_of_an_uncertainty_have_its_parameters_and_limits(item):
    alone, clustered = STRATEGIES.find(item.name), STRATEGIES.find(f"{item.name}+clustering")
    assert dict(clustered.defaults) == {"multiple": 3, **alone.defaults}
    assert set(clustered.limits) == {"multiple", *alone.limits}
    assert (alone.needs, alone.modes) == (clustered.needs, clustered.modes) == (item.needs, item.modes)


def test_the_parameters_of_the_score_reach_it_through_both_functions():
    asked = []

    def sample(rows, passes, seed, input_dropout=None):
        asked.append(passes)
        return np.zeros((passes, len(rows), 2), dtype=np.float32)

    half = np.full((30, 2), 0.5, dtype=np.float32)
    embeddings = np.random.default_rng(0).normal(size=(30, 2))
    pool = Pool(embeddings, Predictions("single", half, sample), np.array([0]), np.arange(1, 30))
    for name in ("bald", "bald+clustering"):
        select(name, pool, 3, parameters={"passes": 7})
        with pytest.raises(UsageError, match="at least 2"):
            select(name, pool, 3, parameters={"passes": 1})
    assert asked == [7, 7]
