import inspect

from mmpose_wloss.datasets import PackPose3DInputs

import numpy as np
import pytest
import torch
from mmpose.datasets.transforms import PackPoseInputs

JOINTS = 17
STOCK_KEYS = inspect.signature(PackPoseInputs).parameters['meta_keys'].default


def crop(**changes) -> dict:
    """A sample at the end of a pipeline."""
    rng = np.random.default_rng(0)
    return dict(dict(
        img=rng.integers(0, 255, (64, 48, 3), dtype=np.uint8),
        img_path='1.jpg', img_id=3, id=4, ori_shape=(96, 128),
        img_shape=(96, 128), input_size=(48, 64), flip=False,
        flip_direction=None, flip_indices=list(range(JOINTS)),
        bbox=np.array([[1, 2, 3, 4]], np.float32),
        bbox_score=np.ones(1, np.float32),
        keypoints=rng.uniform(size=(1, JOINTS, 3)).astype(np.float32),
        keypoints_visible=np.ones((1, JOINTS), np.float32),
        keypoint_labels=rng.uniform(size=(1, JOINTS, 3)).astype(np.float32),
        keypoint_weights=np.ones((1, JOINTS), np.float32),
        lifting_target=rng.normal(size=(1, JOINTS, 3)).astype(np.float32),
        lifting_target_visible=np.ones((1, JOINTS), np.float32),
        camera_param=dict(f=[1., 1.], c=[1., 1.]), root_depth=5000.,
        root_joints=(0, ), target_img_path=['S1_Directions_1.1_000001.jpg']),
        **changes)


def test_the_3d_pose_and_its_camera_are_packed_beside_the_2d_pose():
    sample = crop(bbox_rotation=np.zeros(1))
    packed = PackPose3DInputs()(sample)
    instances = packed['data_samples'].gt_instances
    for key in ('keypoints', 'keypoints_visible', 'lifting_target',
                'lifting_target_visible'):
        assert np.array_equal(instances[key], sample[key])
    labels = packed['data_samples'].gt_instance_labels
    assert torch.equal(labels.keypoint_labels,
                       torch.from_numpy(sample['keypoint_labels']))
    meta = packed['data_samples'].metainfo
    for key in ('camera_param', 'root_depth', 'root_joints',
                'target_img_path'):
        assert meta[key] == sample[key]
    assert packed['inputs'].shape == (3, 64, 48)


def test_the_rest_is_packed_as_usual():
    sample = crop()
    for key in ('lifting_target', 'lifting_target_visible'):
        del sample[key]
    ours, stock = (pack(sample)['data_samples']
                   for pack in (PackPose3DInputs(), PackPoseInputs()))
    assert set(STOCK_KEYS) < set(PackPose3DInputs().meta_keys)
    assert {key: value for key, value in ours.metainfo.items()
            if key in STOCK_KEYS} == stock.metainfo
    for part in ('gt_instances', 'gt_instance_labels'):
        assert ours.get(part).keys() == stock.get(part).keys()


@pytest.mark.parametrize('changes', [
    dict(flip=True, flip_direction='horizontal'),
    dict(bbox_rotation=np.array([-20.]))], ids=['flipped', 'rotated'])
def test_nothing_is_packed_that_is_wrong_of_a_turned_image(changes):
    sample = crop(**changes)
    keys = set(sample)
    packed = PackPose3DInputs()(sample)['data_samples']
    assert set(sample) == keys
    for key in ('lifting_target', 'lifting_target_visible'):
        assert key not in packed.gt_instances
    assert 'camera_param' not in packed.metainfo and packed.root_depth == 5000
    assert 'keypoints' in packed.gt_instances
    assert 'keypoint_labels' in packed.gt_instance_labels


def test_chosen_metainfo_and_transformed_keypoints():
    pack = PackPose3DInputs(meta_keys=('id', 'root_depth'),
                            pack_transformed=True)
    packed = pack(crop(transformed_keypoints=np.zeros((1, JOINTS, 3))))
    assert packed['data_samples'].metainfo == dict(id=4, root_depth=5000.)
    assert 'transformed_keypoints' in packed['data_samples'].gt_instances
