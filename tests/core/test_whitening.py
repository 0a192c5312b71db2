"""The whitening of a network's read-out."""

import numpy as np
import pytest
import torch

from quadrat.core.encoders.whitening import measure_whitening


def correlated(count=4000, numbers=12, seed=0):
    """Numbers of very different sizes, most of which follow the first."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, numbers))
    values[:, 1:9] = 0.3 * values[:, 1:9] + values[:, :1]
    return torch.from_numpy(values * np.logspace(-3, 2, numbers) + 5.0).float()


def eigenvalues(vectors):
    return np.linalg.eigvalsh(np.corrcoef(vectors.numpy(), rowvar=False))


@pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
def test_each_number_has_mean_0_and_spread_1(power):
    vectors = correlated()
    whitened = measure_whitening(vectors, power)(vectors)
    np.testing.assert_allclose(whitened.mean(dim=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(whitened.std(dim=0), 1.0, atol=0.05)


def test_power_0_only_scales_and_power_1_leaves_nothing_in_common():
    vectors = correlated()
    scaled, half, white = (measure_whitening(vectors, power)(vectors) for power in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(scaled, (vectors - vectors.mean(dim=0)) / vectors.std(dim=0), atol=1e-2)
    np.testing.assert_allclose(eigenvalues(white), 1.0, atol=0.1)
    assert eigenvalues(scaled).max() > eigenvalues(half).max() > eigenvalues(white).max()


def test_numbers_that_never_change_and_fewer_vectors_than_numbers_do_no_harm():
    vectors = correlated(count=6, numbers=30)
    vectors[:, 3] = 7.0
    whitened = measure_whitening(vectors)(correlated(count=50, numbers=30, seed=1))
    assert whitened.isfinite().all()
    assert float(whitened.abs().max()) < 1000.0
