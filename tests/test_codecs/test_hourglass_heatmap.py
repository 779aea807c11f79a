"""Heatmaps of the original code of the hourglass, from its description alone."""

from mmpose_wloss.codecs import HourglassHeatmap, draw_targets
from mmpose_wloss.common.errors import UserError

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import KEYPOINT_CODECS

SIZES = dict(input_size=(256, 256), heatmap_size=(64, 64))


def original_places(joints, center, scale, size):
    """Joints of an image in a crop of 200 · scale pixels about the center."""
    return (joints - center) * size / (200 * scale) + size / 2


def original_labels(places, sigma=1, label_type='gaussian', size=64):
    """Heatmaps of places in the heatmap, [K, 2]: a patch around the integer part."""
    maps = np.zeros((len(places), size, size))
    for heatmap, place in zip(maps, places, strict=True):
        x, y = (int(each) for each in place)
        for row in range(max(y - 3 * sigma, 0), min(y + 3 * sigma + 1, size)):
            for column in range(max(x - 3 * sigma, 0), min(x + 3 * sigma + 1, size)):
                square = (row - y)**2 + (column - x)**2
                heatmap[row, column] = (
                    np.exp(-square / (2 * sigma**2)) if label_type == 'gaussian'
                    else sigma / (square + sigma**2)**1.5)
    return maps.astype(np.float32)


def original_reading(heatmaps):
    """Places in the heatmap that its evaluation reads, before they go to the image."""
    places = []
    for heatmap in heatmaps:
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        place = np.array([x, y], float)
        if 0 < x < 63 and 0 < y < 63:
            place += 0.25 * np.sign([
                heatmap[y, x + 1] - heatmap[y, x - 1],
                heatmap[y + 1, x] - heatmap[y - 1, x]])
        places.append(place + 0.5)
    return np.array(places)


def simulated_people(count=300):
    rng = np.random.default_rng(0)
    for _ in range(count):
        center, scale = rng.uniform(200, 900, 2), rng.uniform(1, 5)
        yield rng.uniform(-95, 95, (16, 2)) * scale + center, center, scale


@pytest.mark.parametrize('label_type', ['gaussian', 'cauchy'])
def test_original_labels_are_read_without_bias(label_type):
    codecs = [KEYPOINT_CODECS.build(dict(type=name, sigma=1, **SIZES))
              for name in ('HourglassHeatmap', 'MSRAHeatmap')]
    errors = [[], []]
    for person in simulated_people():
        true = original_places(*person, 256)
        maps = original_labels(original_places(*person, 64), label_type=label_type)
        for codec, each in zip(codecs, errors, strict=True):
            each.append(codec.decode(maps)[0][0] - true)
    ours, stock = (np.concatenate(each) for each in errors)
    # uniform within 4 px: a deviation of 4 / √12 = 1.15, of the mean 0.017
    assert np.abs(ours.mean(0)).max() < 0.06
    assert np.abs(ours).max() <= 2.001
    assert ours.std(0) == pytest.approx([4 / 12**0.5] * 2, rel=0.05)
    assert stock.mean(0) == pytest.approx([-2, -2], abs=0.06)


def test_predictions_are_read_as_the_original_code_reads_them():
    torch.manual_seed(0)
    maps = torch.nn.functional.avg_pool2d(
        torch.rand(1, 200, 64, 64), 9, 1, 4)[0].numpy()
    codec = HourglassHeatmap(**SIZES)
    expected = original_reading(maps)
    # MMPose refines places beside the border otherwise
    inside = ((expected > 3) & (expected < 61)).all(1)
    assert inside.sum() > 50
    keypoints, scores = codec.decode(maps)
    assert np.allclose(keypoints[0][inside], 4 * expected[inside])
    assert np.allclose(scores[0], maps.max((1, 2)))


@pytest.mark.parametrize('label_type', ['gaussian', 'cauchy'])
@pytest.mark.parametrize('sigma', [1, 2])
def test_labels_are_the_original_ones(sigma, label_type):
    codec = HourglassHeatmap(**SIZES, sigma=sigma, label_type=label_type)
    rng = np.random.default_rng(1)
    places = rng.uniform(-6, 70, (200, 2))
    encoded = codec.encode((4 * places)[None])
    expected = original_labels(places, sigma, label_type)
    assert np.abs(encoded['heatmaps'] - expected).max() < 1e-6
    assert encoded['heatmaps'].dtype == np.float32
    weights = encoded['keypoint_weights']
    assert weights.shape == (1, 200) and weights.dtype == np.float32
    assert np.array_equal(weights[0] > 0, expected.any((1, 2)))
    peak = 1 if label_type == 'gaussian' else 1 / sigma**2
    inside = ((places > 0) & (places < 64)).all(1)
    assert np.allclose(encoded['heatmaps'][inside].max((1, 2)), peak)


@pytest.mark.parametrize('sigma', [0.4, 0.8, 0.97, 1.3])
def test_a_peak_stays_in_its_pixel_whatever_the_deviation(sigma):
    """The original code shifts its patches by a pixel for some of them."""
    places = np.random.default_rng(2).uniform(0, 64, (100, 2))
    maps = HourglassHeatmap(**SIZES, sigma=sigma).encode((4 * places)[None])['heatmaps']
    y, x = np.unravel_index(maps.reshape(100, -1).argmax(1), (64, 64))
    assert np.array_equal(np.stack([x, y], 1), places.astype(int))


@pytest.mark.parametrize('label_type', ['gaussian', 'cauchy'])
@pytest.mark.parametrize('teach_absent', [False, True])
def test_joints_that_are_not_there(teach_absent, label_type):
    codec = HourglassHeatmap(**SIZES, teach_absent=teach_absent, label_type=label_type)
    keypoints = np.array([[[100., 100.], [np.nan, 50.], [400., 100.], [1e9, -1e9]]])
    visible = np.array([[1, 0, 1, 1]], np.float32)
    encoded = codec.encode(keypoints, visible)
    assert (encoded['heatmaps'] > 0).any((1, 2)).tolist() == [True, *[False] * 3]
    assert np.isfinite(encoded['heatmaps']).all()
    assert encoded['keypoint_weights'].tolist() == [
        [1] * 4 if teach_absent else [1, 0, 0, 0]]
    missed = draw_targets(codec, torch.from_numpy(keypoints),
                          torch.from_numpy(visible > 0))[1]
    assert missed.tolist() == [[False, False, *[not teach_absent] * 2]]


def test_a_flip_without_a_shift_lies_nearer():
    """Pixels are mirrored about 127.5, heatmaps of floors about 128."""
    codec = HourglassHeatmap(**SIZES)
    keypoints = np.random.default_rng(3).uniform(40, 216, (1, 2000, 2))
    mirrored = codec.encode(keypoints * [-1, 1] + [255, 0])['heatmaps']
    for shift, expected in ((False, 1), (True, 5)):
        back = flip_heatmaps(torch.from_numpy(mirrored)[None], shift_heatmap=shift)
        errors = codec.decode(back[0].numpy())[0] - keypoints
        assert errors.mean((0, 1)) == pytest.approx([expected, 0], abs=0.1)


def test_what_cannot_be_is_refused():
    for wrong in (dict(sigma=0), dict(label_type='laplace')):
        with pytest.raises(UserError, match=next(iter(wrong))):
            HourglassHeatmap(**SIZES, **wrong)
    for name, size in (('heatmap_size', 16), ('heatmap_size', (16, 0)),
                       ('input_size', (64, ))):
        with pytest.raises(UserError, match=name):
            HourglassHeatmap(**dict(SIZES, **{name: size}))
    with pytest.raises(UserError, match='one person'):
        HourglassHeatmap(**SIZES).encode(np.zeros((2, 3, 2)))
    decoder = dict(type='HourglassHeatmap', **SIZES)
    model = dict(type='TopdownPoseEstimator', head=dict(type='H', decoder=decoder))
    for test_cfg, fits in ((dict(flip_test=True, shift_heatmap=True), False),
                           (dict(flip_test=True, shift_heatmap=False), True),
                           (dict(flip_test=False, shift_heatmap=True), True)):
        cfg = Config(dict(model=dict(model, test_cfg=test_cfg)))
        if fits:
            HourglassHeatmap.check_config(decoder, 'model.head.decoder', cfg)
            continue
        with pytest.raises(UserError, match='model.test_cfg.shift_heatmap'):
            HourglassHeatmap.check_config(decoder, 'model.head.decoder', cfg)
