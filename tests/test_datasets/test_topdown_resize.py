from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import TopdownResize

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.datasets.transforms import PackPoseInputs, TopdownAffine
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import TRANSFORMS


def image(seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (90, 130, 3), dtype=np.uint8)
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
    assert np.abs(ours['img'].astype(int) - stock['img']).max() <= 2
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
        center = [(weight * x).sum(), (weight * y).sum()] / weight.sum()
        assert np.allclose(center, results['transformed_keypoints'], atol=0.3)


def test_inference_has_no_keypoints():
    unlabeled = sample()
    del unlabeled['keypoints']
    stock = TopdownAffine((32, 32)).transform(dict(unlabeled))
    ours = TopdownResize((32, 32)).transform(dict(unlabeled))
    assert ours['img'].shape == (32, 32, 3)
    assert set(stock) <= set(ours)


@pytest.mark.parametrize('wrong', [
    sample((5, 0, 5, 90)),
    sample(bbox_center=np.ones((2, 2)), bbox_scale=np.ones((2, 2)))])
def test_boxes_that_cannot_be_stretched(wrong):
    with pytest.raises(UserError, match=r'1\.jpg'):
        TopdownResize((32, 32)).transform(wrong)


def test_the_whole_image_is_squeezed_as_a_resize_does():
    keypoints = np.array([[[0., 0.], [130., 90.], [32.5, 45.]]])
    # WholeImageBox replaces the box's center and scale
    results = sample((10, 10, 20, 20), keypoints=keypoints)
    for kind in (dict(type='WholeImageBox'),
                 dict(type='TopdownResize', input_size=(64, 64))):
        results = TRANSFORMS.build(kind).transform(results)
    # TopdownResize maps corners to corners, cv2.resize pixels' edges
    expected = cv2.resize(image(), (64, 64)).astype(float)
    assert np.abs(results['img'] - expected).mean() < 3
    assert results['transformed_keypoints'][0].tolist() == [
        [0, 0], [64, 64], [16, 32]]
    assert results['bbox'].tolist() == [[10., 10., 20., 20.]]
    assert results['bbox_scale'].tolist() == [[130, 90]]
