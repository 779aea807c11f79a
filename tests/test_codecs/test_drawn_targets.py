"""Targets drawn for a batch are those that the stock codecs encode one by one."""

from mmpose_wloss.codecs import draw_targets
from mmpose_wloss.codecs.drawn_targets import DRAWN, gaussians
from mmpose_wloss.common.errors import UserError

import mmpose.codecs
import numpy as np
import pytest
import torch
from mmpose.registry import KEYPOINT_CODECS

SIZES = dict(input_size=(192, 256), heatmap_size=(48, 64))
CODECS = {
    'MSRA': dict(type='MSRAHeatmap', **SIZES, sigma=2),
    'MSRA, sigma 1.5': dict(type='MSRAHeatmap', **SIZES, sigma=1.5),
    'MSRA, sigma 2.25': dict(type='MSRAHeatmap', **SIZES, sigma=2.25),
    'MSRA, DARK': dict(type='MSRAHeatmap', **SIZES, sigma=2., unbiased=True),
    'MSRA, uneven sizes': dict(
        type='MSRAHeatmap', input_size=(100, 75), heatmap_size=(17, 23), sigma=1.),
    'MSRA, large': dict(type='MSRAHeatmap', input_size=(576, 768),
                        heatmap_size=(144, 192), sigma=3),
    'UDP': dict(type='UDPHeatmap', **SIZES, sigma=2),
    'UDP, sigma 1.5': dict(type='UDPHeatmap', **SIZES, sigma=1.5),
    'UDP, large': dict(type='UDPHeatmap', input_size=(576, 768),
                       heatmap_size=(144, 192), sigma=3),
    'UDP, offsets': dict(type='UDPHeatmap', **SIZES, heatmap_type='combined'),
    'Megvii': dict(type='MegviiHeatmap', **SIZES, kernel_size=11),
    'Megvii, kernel 5': dict(type='MegviiHeatmap', **SIZES, kernel_size=5),
    'Megvii, wide kernel': dict(type='MegviiHeatmap', input_size=(48, 64),
                                heatmap_size=(12, 16), kernel_size=27),
    'Hourglass': dict(type='HourglassHeatmap', **SIZES),
    'Hourglass, sigma 1.5': dict(type='HourglassHeatmap', **SIZES, sigma=1.5),
    'Hourglass, Cauchy': dict(type='HourglassHeatmap', **SIZES, label_type='cauchy'),
    'SimCC': dict(type='SimCCLabel', input_size=(192, 256), sigma=(4.9, 5.66),
                  simcc_split_ratio=2., normalize=False),
    'SimCC, normalized': dict(type='SimCCLabel', input_size=(192, 256)),
    'SimCC, one-hot': dict(type='SimCCLabel', input_size=(96, 75),
                           smoothing_type='standard', simcc_split_ratio=1.5),
    'SimCC, smooth': dict(type='SimCCLabel', input_size=(192, 256), sigma=6.,
                          smoothing_type='standard', label_smooth_weight=0.1),
}


def random_keypoints(size, dtype, count=40, joints=17):
    """In and around the input, some where codecs round: halves and edges."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(-0.2, 1.2, (count, joints, 2)) * size
    keypoints[:10] = keypoints[:10].round()
    keypoints[10:20] = (4 * keypoints[10:20]).round() / 4
    keypoints[20, :4] = [[0, 0], size, [-2, size[1]], [size[0] - 1, -1.75]]
    keypoints[20, 4:6] = 1e6, -1e6
    visible = rng.choice([0, 0.4, 0.5, 1, 2], (count, joints)).astype(np.float32)
    return keypoints.astype(dtype), visible


@pytest.mark.parametrize('dtype', [np.float32, np.float64, np.int64])
@pytest.mark.parametrize('name', CODECS)
def test_targets_are_those_of_the_stock_codec(name, dtype):
    codec = KEYPOINT_CODECS.build(CODECS[name])
    keypoints, visible = random_keypoints(codec.input_size, dtype)
    expected = [codec.encode(one[None], seen[None])
                for one, seen in zip(keypoints, visible, strict=True)]
    targets, missed = draw_targets(codec, torch.from_numpy(keypoints),
                                   torch.from_numpy(visible >= 0.5))
    weights = torch.from_numpy(visible).masked_fill(missed, 0)
    assert targets.keys() | {'keypoint_weights'} == expected[0].keys()
    assert np.array_equal(weights, [one['keypoint_weights'][0] for one in expected])
    for key, drawn in targets.items():
        stock = np.stack([one[key].reshape(drawn.shape[1:]) for one in expected])
        assert drawn.dtype == torch.float32
        scale = 255 if 'Megvii' in name else 1
        assert np.abs(drawn.numpy() - stock).max() < 1e-6 * scale
        assert drawn.any()


def test_every_drawn_codec_is_compared():
    assert {config['type'] for config in CODECS.values()} == {
        codec.__name__ for codec in DRAWN}


@pytest.mark.parametrize('codec', [
    dict(type='RegressionLabel', input_size=(192, 256)),
    dict(type='AssociativeEmbedding', input_size=(64, 64), heatmap_size=(16, 16))])
def test_other_codecs_are_refused(codec):
    codec = KEYPOINT_CODECS.build(codec)
    with pytest.raises(UserError, match=f'{type(codec).__name__}.*SimCCLabel'):
        draw_targets(codec, torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))


def test_a_codec_that_inherits_may_encode_otherwise():
    class OtherHeatmap(mmpose.codecs.MSRAHeatmap):
        pass

    with pytest.raises(UserError, match='OtherHeatmap'):
        draw_targets(OtherHeatmap(**SIZES, sigma=2), torch.zeros(1, 1, 2),
                     torch.ones(1, 1, dtype=torch.bool))


def test_joints_that_are_not_there_draw_nothing():
    for config in CODECS.values():
        codec = KEYPOINT_CODECS.build(config)
        targets, missed = draw_targets(
            codec, torch.full((2, 3, 2), torch.nan), torch.zeros(2, 3).bool())
        assert not missed.any()
        assert not any(each.any() for each in targets.values())


def test_gaussians():
    drawn = gaussians(torch.tensor([[2.], [0.5]], dtype=torch.float64), 5, 2.)
    pixels = torch.arange(5, dtype=torch.float64)
    expected = torch.stack([torch.exp(-(pixels - center)**2 / 8)
                            for center in (2, 0.5)])
    torch.testing.assert_close(drawn[:, 0], expected)
