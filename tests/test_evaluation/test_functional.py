from mmpose_wloss.evaluation.functional import (
    Interval,
    fit_error_line,
    mean_with_interval,
)

import numpy as np
from scipy import stats


def test_the_interval_is_scipy_s_percentile_bootstrap():
    values = np.random.default_rng(0).normal(size=50)
    expected = stats.bootstrap(
        (values, ), np.mean, n_resamples=1000, method='percentile',
        rng=np.random.default_rng(0)).confidence_interval
    mean, low, high = mean_with_interval(values, np.arange(50))
    np.testing.assert_allclose((low, high), expected)
    assert f'{Interval(mean, low, high):.1f}' == (
        f'{mean:.1f} [{low:.1f}, {high:.1f}]')


def test_intervals_cover_the_truth_about_95_times_of_100():
    """Of the mean and of the slope, where people of an image are alike."""
    rng = np.random.default_rng(1)
    inside = np.zeros(2)
    for _ in range(100):
        images = np.repeat(np.arange(60), 2)
        density = np.repeat(rng.uniform(0, 10, 60), 2)
        errors = 5 - 0.5 * density + np.repeat(rng.normal(0, 1, 60), 2)
        line = fit_error_line(density, errors, images, resamples=200)
        mean = mean_with_interval(errors + 0.5 * density, images, 200)
        inside += (line.slope.low <= -0.5 <= line.slope.high,
                   mean.low <= 5 <= mean.high)
    assert (inside >= 87).all()


def test_the_band_holds_the_line():
    rng = np.random.default_rng(0)
    density = rng.normal(20, 4, 400)
    errors = np.maximum(30 - density + rng.normal(0, 2, 400), 0.5)
    line = fit_error_line(density, errors, np.arange(400))
    low, high = line.band
    assert (low < line.errors).all() and (line.errors < high).all()
    assert (high - low).argmin() not in (0, len(low) - 1)
    slope, height = np.polyfit(density, errors, 1)
    np.testing.assert_allclose(line.errors, height + slope * line.log_density)
    assert line.log_density[[0, -1]].tolist() == [density.min(), density.max()]


def test_too_little_for_an_interval():
    assert mean_with_interval(np.array([]), np.array([])) is None
    assert mean_with_interval(np.array([2., 4.]), np.array([1, 1])) == (
        Interval(3.))
    x = np.arange(4.)
    assert fit_error_line(x[:2], x[:2], x[:2]) is None
    assert fit_error_line(x * 0, x, x) is None
    line = fit_error_line(x, -x, x * 0)
    assert line.slope == Interval(-1.) and line.band is None
