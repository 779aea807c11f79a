from colorsys import hsv_to_rgb, rgb_to_hsv

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import RandomChannelGain, RandomHSV

import cv2
import numpy as np
import pytest
from mmpose.registry import TRANSFORMS

COLORS = cv2.GaussianBlur(np.random.default_rng(0).integers(
    0, 255, (90, 130, 3), dtype=np.uint8), (9, 9), 3)


def change(transform, image=COLORS):
    return transform.transform(dict(img=image, img_path='1.jpg'))['img']


def shifted(image, hue=1., saturation=1., value=0.):
    return change(RandomHSV((hue, hue), (saturation, saturation),
                            (value, value)), np.uint8(image))


def hsv(picture):
    return cv2.cvtColor(np.uint8(picture), cv2.COLOR_BGR2HSV).astype(int)


@pytest.mark.parametrize('neutral', [
    RandomChannelGain((1, 1)), RandomHSV((1, 1), (1, 1), (0, 0))])
def test_neutral_settings_change_nothing(neutral):
    assert np.array_equal(change(neutral), COLORS)


@pytest.mark.parametrize('name', ['RandomChannelGain', 'RandomHSV'])
def test_colors_are_drawn_anew_and_seeded(name):
    transform, before = TRANSFORMS.build(dict(type=name)), COLORS.copy()
    np.random.seed(3)
    first, second = change(transform), change(transform)
    np.random.seed(3)
    assert np.array_equal(first, change(transform))
    assert not np.array_equal(first, second)
    assert np.array_equal(COLORS, before)


def test_each_channel_has_a_gain_of_its_own():
    transform = RandomChannelGain()
    gray = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (2, 1, 3))
    np.random.seed(0)
    gains = []
    for _ in range(300):
        changed = change(transform, gray)
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


def test_hsv_does_what_it_says():
    color = np.full((2, 2, 3), (60, 120, 180))
    hue, saturation, value = hsv(color)[0, 0]
    for factors, expected in (
            ((1.2, 1., 0.), (hue * 1.2, saturation, value)),
            ((1., 0.8, 0.), (hue, saturation * 0.8, value)),
            ((1., 1., 25.), (hue, saturation, value + 25)),
            ((1., 1.2, -25.), (hue, saturation * 1.2, value - 25))):
        assert np.allclose(hsv(shifted(color, *factors))[0, 0], expected,
                           atol=2)
    white = np.full((2, 2, 3), 250)
    assert (shifted(white, value=25.) == 255).all()
    assert (shifted(white, value=-251.) == 0).all()
    # hue goes round: magenta-red, 170 · 1.2 = 204 = 24, orange
    red = cv2.cvtColor(np.uint8([[[170, 255, 255]]]), cv2.COLOR_HSV2BGR)
    assert abs(hsv(shifted(red, 1.2))[0, 0, 0] - 24) <= 1


@pytest.mark.parametrize('factor', [0.8, 1.1, 1.2])
def test_hue_cut_off_is_that_of_the_original_code(factor):
    """Hue from 0 to 1, times a factor, cut at 1."""
    colors = np.array([hsv_to_rgb(hue / 90, 1, 1) for hue in range(90)])
    image = np.rint(255 * colors[None, :, ::-1]).astype(np.uint8)
    limits = dict(hue=(factor, factor), saturation=(1, 1), value=(0, 0))
    expected = 255 * np.array([
        hsv_to_rgb(min(factor * rgb_to_hsv(*color)[0], 1), 1, 1) for color in colors])
    changed = change(RandomHSV(**limits, wrap_hue=False), image)[0, :, ::-1]
    # a level of hue, half a step of 2 degrees up and down
    assert np.abs(changed - expected).max() <= 12
    wrapped = change(RandomHSV(**limits), image)[0, :, ::-1]
    hues = np.arange(90) / 90 * factor
    assert np.array_equal(wrapped[hues < 0.99], changed[hues < 0.99])
    assert (np.abs(wrapped - changed).max(1) > 12)[hues > 1.02].all()


def test_hsv_is_drawn_within_its_limits():
    np.random.seed(0)
    values = [hsv(change(RandomHSV(), np.full((1, 1, 3), 128, np.uint8)))[
        0, 0, 2] for _ in range(1000)]
    assert (min(values), max(values)) == (103, 153)


@pytest.mark.parametrize('kind, name, limits', [
    (RandomHSV, 'hue', (1.2, 0.8)), (RandomHSV, 'saturation', (-1, 1)),
    (RandomHSV, 'value', (0, 1, 2)), (RandomHSV, 'value', (float('nan'), 1)),
    (RandomChannelGain, 'gain', (1.2, .8)),
    (RandomChannelGain, 'gain', (-1., 1.))])
def test_limits_that_are_none(kind, name, limits):
    with pytest.raises(UserError, match=name):
        kind(**{name: limits})


@pytest.mark.parametrize('kind', [RandomHSV, RandomChannelGain])
@pytest.mark.parametrize('wrong', [
    COLORS.astype(np.float32), COLORS[..., 0], [COLORS]])
def test_images_that_are_not_bgr(kind, wrong):
    with pytest.raises(UserError, match=r'img of 1\.jpg'):
        change(kind(), wrong)
