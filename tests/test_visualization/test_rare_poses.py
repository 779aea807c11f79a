from mmpose_wloss.evaluation.functional import (
    Interval,
    fit_error_line,
    mean_with_interval,
)
from mmpose_wloss.visualization import (
    DensityBin,
    draw_error_over_density,
    figure_to_image,
)

import numpy as np
import pytest

RNG = np.random.default_rng(0)
DENSITY = RNG.normal(20, 4, 400)
ERRORS = np.maximum(30 - DENSITY + RNG.normal(0, 2, 400), 0.5)
BINS = [DensityBin('rare', -np.inf, 15, Interval(17, 16, 18)),
        DensityBin('common', 15, np.inf, Interval(8, 7.5, 8.5))]


def test_what_is_drawn():
    line = fit_error_line(DENSITY, ERRORS, np.arange(400))
    errors = ERRORS.copy()
    errors[:2] = 500.
    figure = draw_error_over_density(DENSITY, errors, BINS, line, 'title', '%')
    axes, = figure.axes
    assert {text.get_text() for text in axes.texts} == {'rare', 'common'}
    labels = {text.get_text() for legend in figure.legends
              for text in legend.get_texts()}
    assert '400 people, 2 above the picture' in labels
    assert any(label.startswith(f'slope {line.slope.value:.3g} [')
               for label in labels)
    assert axes.get_ylim()[1] < 100
    image = figure_to_image(figure)
    assert image.dtype == np.uint8 and image.shape == (528, 840, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # both means
        assert (np.abs(image.astype(int) - colour).max(-1) < 40).any()


@pytest.mark.parametrize('count', [0, 1])
def test_few_people(count):
    bins = [DensityBin('rare', -np.inf, 15, None),
            DensityBin('common', 15, np.inf,
                       Interval(ERRORS[0]) if count else None)]
    figure = draw_error_over_density(DENSITY[:count], ERRORS[:count], bins,
                                     None, 'title', 'mm')
    assert figure_to_image(figure).shape[2] == 3
    figure = draw_error_over_density(DENSITY[:count], np.zeros(count), bins,
                                     None, 'title', 'mm')
    assert figure_to_image(figure).shape[2] == 3


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
    line = fit_error_line(DENSITY, ERRORS, np.arange(400))
    grid = np.array([10., 20., 30.])
    low, high = line.band(grid)
    assert (low < line.at(grid)).all() and (line.at(grid) < high).all()
    assert (high - low)[1] < min((high - low)[[0, 2]])
    slope, height = np.polyfit(DENSITY, ERRORS, 1)
    np.testing.assert_allclose(line.at(grid), height + slope * grid)


def test_too_little_for_an_interval():
    assert mean_with_interval(np.array([]), np.array([])) is None
    assert mean_with_interval(np.array([2., 4.]), np.array([1, 1])) == (
        Interval(3.))
    x = np.arange(4.)
    assert fit_error_line(x[:2], x[:2], x[:2]) is None
    assert fit_error_line(x * 0, x, x) is None
    line = fit_error_line(x, -x, x * 0)
    assert line.slope == Interval(-1.) and line.band(x) is None
