from mmpose_wloss.common.camera import back_project
from mmpose_wloss.common.errors import UserError

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

CAMERA = dict(f=np.array([500., 510.]), c=np.array([320., 240.]))
ROOT = (1, 2)


def model(**options):
    init_default_scope('mmpose')
    return MODELS.build(dict(dict(
        type='TopdownPose3DEstimator', root_joints=ROOT,
        data_preprocessor=dict(type='PoseDataPreprocessor'),
        backbone=dict(type='ResNet', depth=18, stem_channels=8,
                      base_channels=8),
        head=dict(type='IntegralPose3DHead', in_channels=64, out_channels=5,
                  deconv_out_channels=(8, 8, 8, 8),
                  deconv_kernel_sizes=(4, 4, 4, 4),
                  decoder=dict(type='IntegralPose3DLabel',
                               input_size=(64, 64), heatmap_size=(32, 32, 4))),
        test_cfg=dict(flip_test=True)), **options))


def person(seed=0):
    """Joints in camera space in mm, in shape [1, 5, 3]."""
    rng = np.random.default_rng(seed)
    return rng.uniform((-800, -800, 3500), (800, 800, 4500), (1, 5, 3))


def pixels_of(places):
    return places[..., :2] / places[..., 2:] * CAMERA['f'] + CAMERA['c']


def sample(places, **metainfo):
    """A sample whose input is a crop around (300, 200) of 400 pixels."""
    result = PoseDataSample(metainfo=dict(
        dict(input_center=np.array([300., 200.]),
             input_scale=np.array([400., 400.]), input_size=(64, 64),
             img_path='1.jpg', flip_indices=[0, 2, 1, 4, 3],
             camera_param=CAMERA,
             root_depth=places[0, ROOT, 2].mean(), root_joints=ROOT),
        **metainfo))
    result.gt_instances = InstanceData(
        bboxes=np.array([[100., 0, 500, 400]]), bbox_scores=np.ones(1))
    return result


def prediction(places):
    """What a perfect head gives: pixels of the crop, and relative depth."""
    depths = places[..., 2:] - places[:, ROOT, 2].mean()
    inputs = (pixels_of(places) - (100, 0)) / 400 * 64
    return InstanceData(
        keypoints=np.concatenate([inputs, depths], -1),
        keypoint_scores=np.ones((1, 5)))


def lifted(places, **metainfo):
    results = model().add_pred_to_datasample(
        [prediction(places)], None, [sample(places, **metainfo)])
    return results[0].pred_instances


def test_a_perfect_prediction_is_the_truth():
    places = person()
    given = prediction(places)
    given.keypoints[..., 2] += 100  # a constant error is the root's
    instances = model().add_pred_to_datasample(
        [given], None, [sample(places)])[0].pred_instances
    root = places[:, ROOT].mean(1, keepdims=True)
    np.testing.assert_allclose(instances.keypoints, places - root, atol=0.1)
    np.testing.assert_allclose(instances.keypoints_cam, places, atol=0.1)
    np.testing.assert_allclose(instances.transformed_keypoints,
                               pixels_of(places), atol=0.01)
    assert instances.keypoints.dtype == np.float32
    assert len(instances.bboxes) == len(instances.keypoint_scores) == 1


@pytest.mark.parametrize('metainfo', [
    dict(camera_param=None), dict(root_depth=None),
    dict(root_depth=float('nan')), dict(camera_param=None, root_depth=None)])
def test_without_camera_a_crop_shows_two_meters(metainfo):
    places = person(2)
    instances = lifted(places, **metainfo)
    assert 'keypoints_cam' not in instances
    pixels = pixels_of(places)
    expected = (pixels - pixels[:, ROOT].mean(1, keepdims=True)) * 2000 / 400
    np.testing.assert_allclose(instances.keypoints[..., :2], expected,
                               atol=0.01)
    depths = places[..., 2] - places[:, ROOT, 2].mean()
    np.testing.assert_allclose(instances.keypoints[..., 2], depths, atol=0.01)


def with_truth(places, **metainfo):
    one = sample(places, **metainfo)
    one.gt_instances.lifting_target = places.astype(np.float32)
    return one


@pytest.mark.parametrize('missing', ['camera_param', 'root_depth'])
def test_evaluation_needs_camera_and_root_depth(missing):
    one = with_truth(person(), **{missing: None})
    with pytest.raises(UserError, match=f'1.jpg.*{missing}'):
        model().add_pred_to_datasample([prediction(person())], None, [one])


def test_another_root_than_the_data_sets_is_refused():
    with pytest.raises(UserError, match=r'\[1, 2\].*\[0\].*root_joints'):
        lifted(person(), root_joints=(0, ))


@pytest.mark.parametrize('argument, value', [
    ('root_joints', ()), ('crop_extent', 0.)])
def test_wrong_options_are_refused(argument, value):
    with pytest.raises(UserError, match=argument):
        model(**{argument: value})


def test_it_is_the_stock_estimator_in_training_and_predicts_images():
    estimator = model()
    assert isinstance(estimator, TopdownPoseEstimator)
    estimator.eval()
    places = person()
    with torch.no_grad():
        result, = estimator.predict(torch.rand(1, 3, 64, 64),
                                    [with_truth(places)])
    instances = result.pred_instances
    assert instances.keypoints.shape == (1, 5, 3)
    np.testing.assert_allclose(
        back_project(instances.transformed_keypoints,
                     instances.keypoints_cam[..., 2], CAMERA),
        instances.keypoints_cam, atol=0.1)
    np.testing.assert_allclose(
        instances.keypoints[:, ROOT].mean(1), np.zeros((1, 3)), atol=1e-3)
