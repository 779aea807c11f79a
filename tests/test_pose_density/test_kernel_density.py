"""Densities equal scikit-learn's, whatever the range of the numbers."""

import math

from mmpose_wloss.pose_density import (
    log_kernel_sums,
    loo_bandwidth,
    scott_bandwidth,
)
from mmpose_wloss.pose_density.kernel_density import (
    KERNELS,
    SMALLEST_SUM,
    log_kernel_norm,
)

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity


@pytest.fixture(scope='module')
def points():
    return np.random.default_rng(0).normal(size=(1300, 5))


def naive(points, references, bandwidth, kernel, own=None):
    distances = np.linalg.norm(points[:, None] - references[None], axis=-1)
    logs = (-distances / bandwidth if kernel == 'exponential' else
            -(distances / bandwidth)**2 / 2)
    if own is not None:
        rows = np.flatnonzero(own >= 0)
        logs[rows, own[rows]] = -np.inf
    return np.logaddexp.reduce(logs, axis=1)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('bandwidth', [0.3, 1.])
def test_density_is_scikit_learns(points, kernel, bandwidth):
    sums = np.logaddexp(
        log_kernel_sums(points, bandwidth=bandwidth, kernel=kernel), 0)
    density = sums - np.log(len(points)) - log_kernel_norm(kernel, 5, bandwidth)
    expected = KernelDensity(kernel=kernel, bandwidth=bandwidth).fit(
        points).score_samples(points)
    np.testing.assert_allclose(density, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('bandwidth', [0.004, 0.05, 0.5])
def test_sums_beyond_the_range_of_float32(points, kernel, bandwidth):
    expected = naive(points, points, bandwidth, kernel,
                     np.arange(len(points)))
    assert bandwidth > 0.004 or expected.min() < math.log(SMALLEST_SUM)
    sums = log_kernel_sums(points, bandwidth=bandwidth, kernel=kernel)
    np.testing.assert_allclose(sums, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('kernel', KERNELS)
def test_other_references_and_what_is_left_out(points, kernel):
    queries, references = points[:700], points[100:]
    own = np.arange(700) - 100
    for of_each in (None, np.where(own < 0, -1, own)):
        sums, spread = log_kernel_sums(
            queries, references, bandwidth=0.4, kernel=kernel, own=of_each,
            moments=True)
        np.testing.assert_allclose(
            sums, naive(queries, references, 0.4, kernel, of_each), rtol=1e-6,
            atol=1e-6)
        halved = 0.4 / (2 if kernel == 'exponential' else math.sqrt(2))
        squares = naive(queries, references, halved, kernel, of_each)
        np.testing.assert_allclose(spread, np.exp(squares - 2 * sums),
                                   rtol=1e-4)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('bandwidth', [0.01, 0.06, 0.4])
def test_mirror_images_belong_to_their_references(points, kernel, bandwidth):
    points = points[:600]
    mirrored = points * [-1, 1, 1, 1, 1]
    own = np.arange(600)
    options = dict(mirrored=mirrored, bandwidth=bandwidth, kernel=kernel)
    both = naive(points, np.concatenate([points, mirrored]), bandwidth, kernel)
    # the root of a distance of 0 that is rounded shows in this kernel
    np.testing.assert_allclose(log_kernel_sums(points, points, **options),
                               both, rtol=1e-6, atol=2e-5)
    expected = np.logaddexp(naive(points, points, bandwidth, kernel, own),
                            naive(points, mirrored, bandwidth, kernel, own))
    sums, spread = log_kernel_sums(points, points, own=own, moments=True,
                                   **options)
    for ours in (sums, log_kernel_sums(points, **options)):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)
    terms = sum(np.exp([naive(points[:5], each[None], bandwidth, kernel)
                        for each in images]).T
                for images in (points, mirrored))
    terms[np.arange(5), np.arange(5)] = 0
    there = terms.sum(1) > 1e-150
    terms, spread = terms[there], spread[:5][there]
    np.testing.assert_allclose(
        spread, (terms**2).sum(1) / terms.sum(1)**2, rtol=1e-4)


def test_the_place_of_the_points_does_not_matter(points):
    before = torch.get_num_threads()
    sums = log_kernel_sums(points, bandwidth=0.5)
    moved = log_kernel_sums(points + 1e4, bandwidth=0.5)
    np.testing.assert_allclose(moved, sums, rtol=1e-5, atol=1e-5)
    assert torch.get_num_threads() == before


def test_the_best_bandwidth_is_that_of_a_fine_grid():
    points = np.random.default_rng(1).normal(size=(400, 2))
    best = loo_bandwidth(points, 'gaussian')

    def likelihood(bandwidth):
        return (log_kernel_sums(points, bandwidth=bandwidth).mean() -
                log_kernel_norm('gaussian', 2, bandwidth))

    grid = np.geomspace(0.1, 2, 200)
    assert best == pytest.approx(grid[np.argmax([likelihood(each)
                                                 for each in grid])], rel=0.03)
    # mirror images at the same place: one would be the other's neighbor
    with_mirror = loo_bandwidth(points, 'gaussian', points.copy())
    assert with_mirror == pytest.approx(best, rel=0.03)


def test_copies_have_no_best_bandwidth():
    points = np.random.default_rng(1).normal(size=(200, 3)).repeat(2, 0)
    with pytest.raises(ValueError, match='copies'):
        loo_bandwidth(points, 'gaussian')


def test_scott_follows_the_scale():
    points = np.random.default_rng(1).normal(size=(100, 3))
    assert scott_bandwidth(3 * points) == pytest.approx(
        3 * scott_bandwidth(points))


def test_wrong_input(points):
    with pytest.raises(ValueError, match='bandwidth'):
        log_kernel_sums(points, bandwidth=0.)
    with pytest.raises(ValueError, match='kernel'):
        log_kernel_sums(points, bandwidth=1., kernel='box')
