from mmpose_wloss.datasets.transforms import RandomChannelGain, WholeImageBox

import cv2
import numpy as np
import pytest
from mmpose.registry import TRANSFORMS


def sample(image, **others):
    return dict(dict(img=image, img_path='1.jpg'), **others)


def test_each_channel_has_a_gain_of_its_own():
    transform = TRANSFORMS.build(dict(type='RandomChannelGain'))
    gray = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (2, 1, 3))
    np.random.seed(0)
    gains = []
    for _ in range(300):
        changed = transform.transform(sample(gray))['img']
        assert changed.dtype == np.uint8 and changed.shape == gray.shape
        gain = changed[0, 200].astype(float) / 200
        # cut off, not wrapped
        expected = np.minimum(np.arange(256)[:, None] * gain, 255)
        assert np.abs(changed[1] - expected).max() <= 1.5
        gains.append(gain)
    gains = np.array(gains)
    assert np.allclose(gains.min(0), .8, atol=.02)
    assert np.allclose(gains.max(0), 1.2, atol=.02)
    assert (np.abs(np.corrcoef(gains.T) - np.eye(3)) < .2).all()


def test_a_gain_of_one_changes_nothing_and_the_image_given_stays():
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    before = image.copy()
    assert np.array_equal(
        RandomChannelGain((1, 1)).transform(sample(image))['img'], before)
    black = RandomChannelGain((0, 0)).transform(sample(image))['img']
    assert not black.any() and np.array_equal(image, before)


def test_gains_and_images_that_do_not_fit():
    for gain in ((1.2, .8), (-1., 1.), (1., ), (0, 1, 2)):
        with pytest.raises(ValueError, match='gain must be two numbers'):
            RandomChannelGain(gain)
    for image, found in ((np.zeros((2, 2, 3)), 'float64 in shape'),
                         (np.zeros((2, 2), np.uint8), r'uint8 in shape \(2, 2'),
                         ([1], 'list')):
        with pytest.raises(ValueError, match=f'img of 1.jpg is {found}'):
            RandomChannelGain().transform(sample(image))
    assert repr(RandomChannelGain()) == 'RandomChannelGain(gain=(0.8, 1.2))'


def test_the_whole_image_is_squeezed_as_a_resize_does():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(
        rng.integers(0, 255, (90, 200, 3), np.uint8), (9, 9), 5)
    keypoints = np.array([[[0., 0.], [200., 90.], [50., 45.]]])
    results = sample(
        image, bbox=np.array([[10., 10., 20., 20.]]), keypoints=keypoints,
        # a data set's, which the transform replaces
        bbox_center=np.zeros((1, 2)), bbox_scale=np.ones((1, 2)))
    for kind in (dict(type='WholeImageBox'),
                 dict(type='TopdownResize', input_size=(64, 64))):
        results = TRANSFORMS.build(kind).transform(results)
    # TopdownResize maps corners to corners, cv2.resize pixels' edges
    expected = cv2.resize(image, (64, 64)).astype(float)
    assert np.abs(results['img'] - expected).mean() < 3
    assert results['transformed_keypoints'][0].tolist() == [
        [0, 0], [64, 64], [16, 32]]
    assert results['bbox'].tolist() == [[10., 10., 20., 20.]]
    assert results['bbox_scale'].tolist() == [[200, 90]]
    assert repr(WholeImageBox()) == 'WholeImageBox()'
