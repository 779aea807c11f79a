from mmpose_wloss.common.errors import UserError

import numpy as np
import pytest
from mmpose.registry import TRANSFORMS


def draws(count=4000, **options) -> dict[str, np.ndarray]:
    np.random.seed(0)
    transform = TRANSFORMS.build(dict(
        type='UniformBBoxTransform', shift_prob=0., scale_factor=(0.7, 1.3),
        rotate_factor=40., rotate_prob=1., **options))
    return transform(dict(bbox_center=np.zeros((count, 2)),
                          bbox_scale=np.full((count, 2), 100.)))


def test_rotation_and_the_persons_scale_are_uniform():
    drawn = draws()
    assert not drawn['bbox_center'].any()
    scales = 100 / drawn['bbox_scale']
    np.testing.assert_array_equal(scales[:, 0], scales[:, 1])
    for values, low, high in ((scales[:, 0], 0.7, 1.3),
                              (drawn['bbox_rotation'], -40, 40)):
        assert low <= values.min() and values.max() <= high
        # of a uniform distribution, all tenths are alike
        counts, _ = np.histogram(values, 10, (low, high))
        assert 340 < counts.min() and counts.max() < 460


def test_without_a_change_of_scale_the_box_stays():
    assert (draws(10, scale_prob=0.)['bbox_scale'] == 100).all()


@pytest.mark.parametrize('kind', ['UniformBBoxTransform', 'ClippedBBoxTransform'])
@pytest.mark.parametrize('name, value', [
    ('scale_factor', (1.3, 0.7)), ('scale_factor', 0.3), ('rotate_prob', 2.),
    ('rotate_factor', -3.), ('shift_prob', 'a')])
def test_ranges_that_make_no_sense(kind, name, value):
    with pytest.raises(UserError, match=name):
        TRANSFORMS.build({'type': kind, name: value})
