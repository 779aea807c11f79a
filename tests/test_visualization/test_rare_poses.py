from mmpose_wloss.evaluation.functional import Interval, fit_error_line
from mmpose_wloss.visualization import draw_error_over_density, figure_to_image

import numpy as np
import pytest

RNG = np.random.default_rng(0)
DENSITY = RNG.normal(20, 4, 400)
ERRORS = np.maximum(30 - DENSITY + RNG.normal(0, 2, 400), 0.5)
BINS = dict(rare=(-np.inf, 15, Interval(17, 16, 18)),
            common=(15, np.inf, Interval(8, 7.5, 8.5)))


def test_what_is_drawn():
    line = fit_error_line(DENSITY, ERRORS, np.arange(400))
    errors = ERRORS.copy()
    errors[:2] = 500.
    figure = draw_error_over_density(DENSITY, errors, BINS, line, 'title', '%')
    axes, = figure.axes
    assert {text.get_text() for text in axes.texts} == {'rare', 'common'}
    labels = {text.get_text() for legend in figure.legends
              for text in legend.get_texts()}
    assert labels == {'400 people, 2 above the picture',
                      f'slope {line.slope:.3g} per unit'}
    assert axes.get_ylim()[1] < 100
    image = figure_to_image(figure)
    assert image.dtype == np.uint8 and image.shape == (528, 840, 3)
    for color in ((31, 119, 180), (255, 127, 14)):  # both means
        assert (np.abs(image.astype(int) - color).max(-1) < 40).any()


@pytest.mark.parametrize('count', [0, 1])
@pytest.mark.parametrize('errors', [ERRORS, 0 * ERRORS])
def test_few_people(count, errors):
    bins = dict(rare=(-np.inf, 15, None),
                common=(15, np.inf, Interval(errors[0]) if count else None))
    figure = draw_error_over_density(DENSITY[:count], errors[:count], bins,
                                     None, 'title', 'mm')
    assert figure_to_image(figure).shape[2] == 3
