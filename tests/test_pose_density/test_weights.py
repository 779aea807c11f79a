"""Weights of densities, tempering and the effective sample size."""

from mmpose_wloss.pose_density import (
    dense_weights,
    effective_number_weights,
    effective_sample_size,
    median_frequency_weights,
    repeat_factors,
)
from mmpose_wloss.pose_density.weights import temper_to

import numpy as np
import pytest


@pytest.fixture(params=[100, 101])
def log_density(request):
    return np.random.default_rng(0).normal(0, 3, request.param)


def test_weights_are_the_median_over_the_density(log_density):
    density = np.exp(log_density)
    weights = median_frequency_weights(log_density)
    np.testing.assert_allclose(weights, np.median(density) / density)
    # also where the density itself would leave the range of float64
    np.testing.assert_allclose(median_frequency_weights(log_density - 2000),
                               weights)
    # tempered; 0 is neutral
    for alpha in (0.3, 0):
        np.testing.assert_allclose(
            median_frequency_weights(log_density, alpha), weights**alpha)


def test_clip(log_density):
    weights = median_frequency_weights(log_density, clip=(0.5, 2))
    assert weights.min() == pytest.approx(0.5)
    assert weights.max() == pytest.approx(2)
    for clip in ((0, 2), (0.5, 0.9), (1.5, 2)):
        with pytest.raises(ValueError, match='clip'):
            median_frequency_weights(log_density, clip=clip)


def test_effective_sample_size():
    assert effective_sample_size(np.full(7, 1e-300)) == pytest.approx(1)
    assert effective_sample_size(np.array([0, 0, 1e300, 0])) == 0.25
    weights = np.array([1., 2., 3.])
    assert effective_sample_size(weights) == pytest.approx(36 / (3 * 14))


@pytest.mark.parametrize('clip', [None, (0.1, 10)])
@pytest.mark.parametrize('floor', [0.3, 0.99])
def test_the_tempering_that_reaches_a_sample_size(log_density, clip, floor):
    def weigh(alpha):
        return median_frequency_weights(log_density, alpha, clip)

    alpha = temper_to(weigh, 1., floor)
    assert 0 < alpha <= 1
    size = effective_sample_size(weigh(alpha))
    assert size >= floor
    if alpha < 1:  # and no more than is needed
        assert size == pytest.approx(floor, abs=1e-3)
    # what fits already stays
    assert temper_to(weigh, alpha / 2, floor) == alpha / 2


def test_repeat_factors_lift_the_rare_alone(log_density):
    density = np.exp(log_density)
    weights = repeat_factors(log_density, 0.5, 0.3)
    start = np.exp(np.quantile(log_density, 0.3))
    np.testing.assert_allclose(weights, np.maximum(1, np.sqrt(start / density)))
    assert (weights > 1).mean() == pytest.approx(0.3, abs=0.02)
    # without a threshold above the rarest, and without strength, all are 1
    for neutral in (repeat_factors(log_density, threshold=0),
                    repeat_factors(log_density, 0.)):
        np.testing.assert_array_equal(neutral, 1)


def test_dense_weights(log_density):
    density = np.exp(log_density)
    scaled = (density - density.min()) / (density.max() - density.min())
    for alpha, epsilon in ((0.5, 0.1), (1., 1e-6), (3., 0.2)):
        weights = dense_weights(log_density, alpha, epsilon)
        np.testing.assert_allclose(weights, np.maximum(1 - alpha * scaled, epsilon))
        # no factor of the density counts
        np.testing.assert_allclose(
            dense_weights(log_density - 2000, alpha, epsilon), weights)
    for neutral in (dense_weights(log_density, 0.), dense_weights(np.ones(5))):
        np.testing.assert_array_equal(neutral, 1)


def test_effective_numbers_of_classes_are_the_papers():
    # a class of n samples that are all alike: n - 1 neighbors of kernel value 1
    count = np.array([1, 2, 10, 500])
    log_neighbors = np.log(np.maximum(count - 1, 1e-300))
    for beta in (0.5, 0.99, 0.9999):
        expected = (1 - beta) / (1 - beta**count)
        np.testing.assert_allclose(
            effective_number_weights(log_neighbors, beta=beta), expected)
        np.testing.assert_allclose(
            effective_number_weights(log_neighbors, 0.3, beta), expected**0.3)
    np.testing.assert_allclose(
        effective_number_weights(log_neighbors, beta=1 - 1e-12), 1 / count, rtol=1e-6)
    np.testing.assert_array_equal(effective_number_weights(log_neighbors, beta=0.), 1)
