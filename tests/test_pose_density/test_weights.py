"""Weights of densities, tempering and the effective sample size."""

from mmpose_wloss.pose_density import (
    effective_sample_size,
    median_frequency_weights,
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
    alpha = temper_to(log_density, 1., clip, floor)
    assert 0 < alpha <= 1
    size = effective_sample_size(
        median_frequency_weights(log_density, alpha, clip))
    assert size >= floor
    if alpha < 1:  # and no more than is needed
        assert size == pytest.approx(floor, abs=1e-3)
    # what fits already stays
    assert temper_to(log_density, alpha / 2, clip, floor) == alpha / 2
