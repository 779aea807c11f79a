from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.heads import soft_argmax

import numpy as np
import pytest
import torch
from mmpose.registry import KEYPOINT_CODECS

# a crop is 191 pixels wide when it is encoded, and 192 where it is decoded, as
# in the stock UDPHeatmap
DECODED = np.array([191 / 192, 255 / 256, 1])


def codec(**options):
    return KEYPOINT_CODECS.build(dict(dict(
        type='IntegralPose3DLabel', input_size=(192, 256),
        heatmap_size=(48, 64, 16)), **options))


def test_pixels_are_those_of_the_stock_udp_codec():
    stock = KEYPOINT_CODECS.build(dict(
        type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64),
        sigma=2.))
    coder = codec()
    pose = random_pose(6) * (0.8, 0.8, 1) + (19, 25, 0)
    heatmaps = stock.encode(pose[..., :2])['heatmaps']
    expected, _ = stock.decode(heatmaps)
    labels = coder.encode(pose)['keypoint_labels']
    decoded, _ = coder.decode(labels * (47, 63, 15), np.ones((1, 17)))
    np.testing.assert_allclose(decoded[..., :2], expected, atol=0.05)


def random_pose(seed=0, depth=1000.):
    rng = np.random.default_rng(seed)
    return rng.uniform((0, 0, -depth), (191, 255, depth),
                       (1, 17, 3)).astype(np.float32)


@pytest.mark.parametrize('depth', [4, 64])
def test_a_round_trip_is_within_a_fraction_of_a_bin(depth):
    coder = codec(heatmap_size=(48, 64, depth))
    pose = random_pose()
    encoded = coder.encode(pose)
    exact, _ = coder.decode(
        encoded['keypoint_labels'] * (47, 63, depth - 1), np.ones((1, 17)))
    np.testing.assert_allclose(exact * DECODED, pose, atol=1e-3)
    labels = torch.from_numpy(encoded['keypoint_labels'])
    places = soft_argmax(coder.volumes(labels))
    decoded, scores = coder.decode(places[0].numpy(), np.ones(17))
    assert decoded.shape == (1, 17, 3) and scores.shape == (1, 17)
    bins = np.array([191 / 47, 255 / 63, 2000 / (depth - 1)])
    assert np.abs((decoded * DECODED - pose) / bins).max() < 0.13
    planar = soft_argmax(coder.heatmaps(labels))
    assert (planar - places[..., :2]).abs().max() < 0.01


def test_gaussians_are_the_formulas():
    coder = codec(sigma=1.5)
    label = torch.tensor([[[0.3, 0.6, 0.2]]], dtype=torch.float64)
    volume = coder.volumes(label)[0, 0]
    assert volume.shape == (16, 64, 48)
    z, y, x = torch.meshgrid(*(torch.arange(size).double()
                               for size in volume.shape), indexing='ij')
    planar = ((x - 0.3 * 47)**2 + (y - 0.6 * 63)**2) / 1.5**2
    square = planar + ((z - 0.2 * 15) / 1.5)**2
    expected = torch.exp(-square / 2)
    torch.testing.assert_close(volume, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(coder.heatmaps(label)[0, 0],
                               torch.exp(-planar[0] / 2), atol=1e-10, rtol=0)


def test_gaussians_of_the_nearest_bins_are_the_original_codes():
    coder = codec(heatmap_size=(48, 64, 4), depth_sigma=1 / 6, nearest_bin=True)
    # halfway between two bins it takes the later one
    label = torch.tensor([[[0.3, 10.5 / 63, 0.45]]], dtype=torch.float64)
    volume = coder.volumes(label)[0, 0]
    z, y, x = torch.meshgrid(*(torch.arange(size).double()
                               for size in volume.shape), indexing='ij')
    planar = ((x - 14)**2 + (y - 11)**2) / 2**2
    torch.testing.assert_close(
        volume, torch.exp(-(planar + ((z - 1) * 6)**2) / 2), atol=1e-10, rtol=0)
    assert volume[1, 11, 14] == 1
    # around its place, the Gaussian of a joint between two bins is all but gone
    exact = codec(heatmap_size=(48, 64, 4), depth_sigma=1 / 6)
    assert exact.volumes(torch.tensor([[[0.5, 0.5, 0.5]]])).max() < 0.02


def test_what_is_outside_or_invisible():
    coder, pose = codec(), random_pose(3)
    visible = np.ones((1, 17), np.float32)
    # outside the depth range alone, a joint keeps its place in the image
    pose[0, :4, 2] = (-1001, 1001, np.nan, 1000)
    pose[0, 4:8, :2] = [(-0.6, 9), (9, 255.6), (-0.4, 9), (191.4, 255.4)]
    visible[0, 9] = 0
    encoded = coder.encode(pose, visible)
    within = coder.within_depth_range(
        torch.from_numpy(encoded['keypoint_labels']))
    assert within[0].tolist() == [False, False, False] + 14 * [True]
    weights = encoded['keypoint_weights']
    assert np.flatnonzero(weights[0] == 0).tolist() == [4, 5, 9]
    assert weights.dtype == np.float32


@pytest.mark.parametrize('argument, value', [
    ('depth_range', (-1., 1.)), ('depth_range', (1000., -1000.)),
    ('heatmap_size', (48, 64)), ('heatmap_size', (48, 64, 1)),
    ('input_size', (192, 256, 3)), ('sigma', 0), ('depth_sigma', 0)])
def test_wrong_options_are_refused(argument, value):
    with pytest.raises(UserError, match=argument):
        codec(**{argument: value})


def test_keypoints_without_depth_or_in_meters_are_refused():
    pose = random_pose(5)
    with pytest.raises(UserError, match=r'\(1, 17, 2\)'):
        codec().encode(pose[..., :2])
    with pytest.raises(UserError, match='meters'):
        codec().encode(pose / (1, 1, 1000))
    flat = pose.copy()
    flat[..., 2] = np.nan
    assert np.isnan(codec().encode(flat)['keypoint_labels'][..., 2]).all()


def test_a_few_joints_may_be_as_deep_as_the_root():
    pose = random_pose(5)
    pose[..., 2] = np.nan
    pose[..., 11:13, 2] = -1.2, 1.2
    labels = codec().encode(pose)['keypoint_labels'][..., 2]
    np.testing.assert_allclose(labels[..., 11:13], [[.4994, .5006]], atol=1e-5)
