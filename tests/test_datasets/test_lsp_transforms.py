"""The transforms of the LSP recipes."""

from mmpose_wloss.datasets import RandomHSV, TopdownResize
from mmpose_wloss.datasets.transforms.random_hsv import shift_hsv

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.datasets.transforms import PackPoseInputs, TopdownAffine
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import TRANSFORMS


def image(height=90, width=130, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (9, 9), 3)


def sample(box=(0, 0, 130, 90), **changes) -> dict:
    box = np.array(box, np.float32)
    keypoints = np.random.default_rng(1).uniform(0, 90, (1, 14, 2))
    return dict(
        dict(img=image(), img_path='1.jpg', img_shape=(90, 130),
             keypoints=keypoints.astype(np.float32),
             keypoints_visible=np.ones((1, 14), np.float32),
             bbox=box[None], bbox_score=np.ones(1, np.float32),
             bbox_center=(box[None, :2] + box[None, 2:]) / 2,
             bbox_scale=box[None, 2:] - box[None, :2]), **changes)


# TopdownResize


@pytest.mark.parametrize('box, size', [
    ((0, 0, 130, 90), (224, 224)), ((10, 5, 50, 95), (48, 64)),
    ((-20, -10, 700, 1100), (224, 224))])
def test_predictions_come_back_to_where_they_were(box, size):
    results = TopdownResize(size).transform(sample(box))
    data_sample = PackPoseInputs(meta_keys=(
        'input_size', 'input_center', 'input_scale'))(results)['data_samples']
    predicted = InstanceData(
        keypoints=results['transformed_keypoints'].astype(np.float64),
        keypoint_scores=np.ones((1, 14)))
    # the estimator needs no network for this
    estimator = TopdownPoseEstimator.__new__(TopdownPoseEstimator)
    torch.nn.Module.__init__(estimator)
    estimator.test_cfg = {}
    estimator.add_pred_to_datasample([predicted], None, [data_sample])
    assert np.allclose(data_sample.pred_instances.keypoints,
                       sample()['keypoints'], atol=1e-3)


def test_the_box_fills_the_input():
    center, scale = np.array([[40., 30.]]), np.array([[60., 20.]])
    corners = np.array([[[10., 20.], [70., 40.], [40., 30.]]], np.float32)
    results = TopdownResize((224, 112)).transform(sample(
        bbox_center=center, bbox_scale=scale, keypoints=corners))
    assert np.allclose(results['transformed_keypoints'],
                       [[[0, 0], [224, 112], [112, 56]]], atol=1e-4)
    assert results['img'].shape == (112, 224, 3)
    assert results['input_size'] == (224, 112)
    # the box is not changed
    assert np.array_equal(results['bbox_scale'], scale)
    assert np.array_equal(results['input_scale'], scale[0])
    assert np.array_equal(results['input_center'], center[0])


@pytest.mark.parametrize('angle', [None, 0., 33., -120.])
def test_it_is_topdown_affine_where_the_aspect_ratio_fits(angle):
    rotation = {} if angle is None else dict(
        bbox_rotation=np.array([angle], np.float32))
    box = (20, 10, 80, 90)
    ours = TopdownResize((48, 64)).transform(sample(box, **rotation))
    stock = TopdownAffine((48, 64)).transform(sample(box, **rotation))
    assert np.allclose(ours['transformed_keypoints'],
                       stock['transformed_keypoints'], atol=1e-3)
    difference = ours['img'].astype(int) - stock['img']
    assert np.abs(difference).max() <= 2
    assert set(ours) >= set(stock)


def test_pixels_go_where_keypoints_go():
    picture = np.zeros((90, 130, 3), np.uint8)
    picture[28:33, 98:103] = 255
    joint = np.array([[[100., 30.]]], np.float32)
    for rotation in ({}, dict(bbox_rotation=np.array([40.]))):
        results = TopdownResize((260, 90)).transform(sample(
            img=picture, keypoints=joint, **rotation))
        weight = results['img'][..., 0].astype(float)
        y, x = np.mgrid[:90, :260]
        centre = [(weight * x).sum(), (weight * y).sum()] / weight.sum()
        assert np.allclose(centre, results['transformed_keypoints'], atol=0.3)


def test_frames_and_inference():
    frames = TopdownResize((32, 32)).transform(
        sample(img=[image(), image(seed=1)]))['img']
    assert [frame.shape for frame in frames] == 2 * [(32, 32, 3)]
    unlabelled = sample()
    del unlabelled['keypoints']
    stock = TopdownAffine((32, 32)).transform(dict(unlabelled))
    ours = TopdownResize((32, 32)).transform(dict(unlabelled))
    assert ours['img'].shape == (32, 32, 3)
    assert {'keypoints_visible'} & set(stock) <= set(ours)


def test_boxes_that_cannot_be_stretched():
    with pytest.raises(ValueError, match=r'1\.jpg.*\[0\.0, 90\.0\]'):
        TopdownResize((32, 32)).transform(sample((5, 0, 5, 90)))
    with pytest.raises(ValueError, match='comes with 2'):
        TopdownResize((32, 32)).transform(
            sample(bbox_center=np.ones((2, 2)), bbox_scale=np.ones((2, 2))))


# RandomHSV


def hsv(picture) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2HSV).astype(int)


def test_neutral_hsv_changes_nothing():
    results = sample()
    before = results['img'].copy()
    neutral = RandomHSV(hue=(1, 1), saturation=(1, 1), value=(0, 0))
    assert np.array_equal(neutral.transform(results)['img'], before)
    assert shift_hsv(before, 1., 1., 0.) is before


def test_hsv_does_what_it_says():
    colour = np.full((2, 2, 3), (60, 120, 180), np.uint8)
    hue, saturation, value = hsv(colour)[0, 0]
    for factors, expected in (
            ((1.2, 1., 0.), (hue * 1.2, saturation, value)),
            ((1., 0.8, 0.), (hue, saturation * 0.8, value)),
            ((1., 1., 25.), (hue, saturation, value + 25)),
            ((1., 1.2, -25.), (hue, saturation * 1.2, value - 25))):
        assert np.allclose(hsv(shift_hsv(colour, *factors))[0, 0], expected,
                           atol=2)
    white = np.full((2, 2, 3), 250, np.uint8)
    assert (shift_hsv(white, 1., 1., 25.) == 255).all()
    assert (shift_hsv(white, 1., 1., -251.) == 0).all()
    # hue goes round: magenta-red, 170 · 1.2 = 204 = 24, orange
    red = cv2.cvtColor(np.uint8([[[170, 255, 255]]]), cv2.COLOR_HSV2BGR)
    assert abs(hsv(shift_hsv(red, 1.2, 1., 0.))[0, 0, 0] - 24) <= 1


def test_hsv_is_drawn_anew_and_within_its_limits():
    transform = TRANSFORMS.build(dict(type='RandomHSV'))
    np.random.seed(0)
    drawn = np.array([transform._draw() for _ in range(1000)])
    assert np.allclose(drawn.min(axis=0), (0.8, 0.8, -25), rtol=0.01)
    assert np.allclose(drawn.max(axis=0), (1.2, 1.2, 25), rtol=0.01)
    results = sample()
    before = results['img'].copy()
    once = transform.transform(dict(results))['img']
    again = transform.transform(dict(results))['img']
    assert not np.array_equal(once, again)
    assert np.array_equal(results['img'], before)
    np.random.seed(3)
    first = transform.transform(dict(results))['img']
    np.random.seed(3)
    assert np.array_equal(first, transform.transform(dict(results))['img'])


@pytest.mark.parametrize('name, limits', [
    ('hue', (1.2, 0.8)), ('saturation', (-1, 1)), ('value', (0, 1, 2)),
    ('value', (float('nan'), 1))])
def test_hsv_limits_that_are_none(name, limits):
    with pytest.raises(ValueError, match=name):
        RandomHSV(**{name: limits})


@pytest.mark.parametrize('wrong', [
    image().astype(np.float32), image()[..., 0], [image()]])
def test_images_that_are_not_bgr(wrong):
    with pytest.raises(ValueError, match=r'img of 1\.jpg is'):
        RandomHSV().transform(sample(img=wrong))
