"""Margin by hand, in both label modes."""

import numpy as np

from quadrat.core.strategies.base import Pool, Predictions
from quadrat.core.strategies.registry import select
from quadrat.core.strategies.uncertainty import margin

SINGLE = np.array(
    [[0.5, 0.5, 0.0], [0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.6, 0.3, 0.1], [0.34, 0.33, 0.33]], dtype=np.float32
)
MULTI = np.array([[0.5, 0.5], [1.0, 0.0], [0.6, 0.9], [0.2, 0.8], [0.5, 0.0]], dtype=np.float32)


def pool_of(probabilities, mode, names=()):
    count = len(probabilities)
    embeddings = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return Pool(embeddings, Predictions(mode, probabilities, None, names), np.array([0]), np.arange(1, count))


def test_single_label_margin_is_one_minus_the_lead_of_the_best_class():
    np.testing.assert_allclose(margin(SINGLE, "single"), [1.0, 0.15, 0.95, 0.7, 0.99], atol=1e-6)


def test_multi_label_margin_is_the_mean_nearness_to_one_half():
    np.testing.assert_allclose(margin(MULTI, "multi"), [1.0, 0.0, 0.5, 0.4, 0.5], atol=1e-6)


def test_the_smallest_lead_is_asked_first_and_labelled_tiles_never():
    selection = select("margin", pool_of(SINGLE, "single"), 2)
    assert selection.indices.tolist() == [4, 2]
    np.testing.assert_allclose(selection.utilities, [0.99, 0.95], atol=1e-6)


def test_ties_go_to_the_lowest_index():
    same = np.tile(np.array([[0.5, 0.0]], dtype=np.float32), (6, 1))
    assert select("margin", pool_of(same, "multi"), 3).indices.tolist() == [1, 2, 3]


def test_reasons_name_the_classes_in_doubt():
    names = ("Forest", "River", "Road")
    assert select("margin", pool_of(SINGLE, "single", names), 2).reasons == (
        "unsure: Forest 0.34 or River 0.33",
        "unsure: Forest 0.40 or River 0.35",
    )
    assert select("margin", pool_of(MULTI, "multi"), 1).reasons == ("unsure: class 0 0.60, class 1 0.90",)


def test_a_single_class_in_the_project_is_never_in_doubt():
    assert margin(np.ones((4, 1), dtype=np.float32), "single").tolist() == [0.0] * 4
