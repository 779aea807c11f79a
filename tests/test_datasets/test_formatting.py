from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import PackSemiSupervisedPoseInputs

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.registry import DATASETS

CODEC = dict(type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16),
             sigma=2)
CROP = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=CODEC['input_size']),
]
TARGET = dict(type='GenerateTarget', encoder=CODEC)
JOINTS = 17


def crop(**changes) -> dict:
    """A sample at the end of a pipeline, with every kind of label."""
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 255, (64, 48, 3), dtype=np.uint8),
        img_path='1.jpg', img_id=3, id=4, category_id=1, ori_shape=(96, 128),
        img_shape=(96, 128), input_size=(48, 64), flip=False,
        flip_indices=list(range(JOINTS)),
        raw_ann_info=dict(keypoints=[1] * 51),
        bbox=np.array([[1, 2, 3, 4]], np.float32),
        bbox_center=np.array([[2, 3]], np.float32),
        bbox_scale=np.array([[2, 2]], np.float32),
        bbox_score=np.ones(1, np.float32),
        keypoints=rng.uniform(size=(1, JOINTS, 2)),
        keypoints_visible=rng.integers(0, 2, (1, JOINTS)).astype(np.float32),
        transformed_keypoints=rng.uniform(size=(1, JOINTS, 2)),
        keypoint_labels=rng.uniform(size=(1, JOINTS, 2)),
        keypoint_weights=rng.uniform(size=(1, JOINTS)).astype(np.float32),
        heatmaps=rng.uniform(size=(JOINTS, 16, 12)).astype(np.float32),
        head_size=np.ones(1), **changes)


def parts(packed) -> dict:
    sample = packed['data_samples']
    return {f'{name}.{key}': value for name in sample.keys()
            for key, value in getattr(sample, name).items()}


@pytest.mark.parametrize('changes', [{}, dict(labeled=True)])
@pytest.mark.parametrize('transformed', [True, False])
def test_a_labeled_sample_is_packed_as_usual(changes, transformed):
    ours = PackSemiSupervisedPoseInputs(pack_transformed=transformed)(
        crop(**changes))
    stock = PackPoseInputs(pack_transformed=transformed)(crop())
    assert torch.equal(ours['inputs'], stock['inputs'])
    assert parts(ours).keys() == parts(stock).keys()
    for key, value in parts(stock).items():
        assert np.array_equal(parts(ours)[key], value)
    assert ours['data_samples'].metainfo == dict(
        stock['data_samples'].metainfo, labeled=True)


@pytest.mark.parametrize('transformed', [True, False])
def test_of_an_unlabeled_sample_no_label_is_packed(transformed):
    packed = PackSemiSupervisedPoseInputs(pack_transformed=transformed)(
        crop(labeled=False))
    stock = PackPoseInputs()(crop())
    assert torch.equal(packed['inputs'], stock['inputs'])
    boxes = {key for key in parts(stock) if 'bbox' in key}
    assert parts(packed).keys() == boxes | {
        'gt_instance_labels.keypoint_weights'}
    for key in boxes:
        assert np.array_equal(parts(packed)[key], parts(stock)[key])
    meta = dict(stock['data_samples'].metainfo, labeled=False)
    del meta['raw_ann_info']
    assert packed['data_samples'].metainfo == meta


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('channels', [None, 2])
def test_weights_say_which_joints_there_are(dtype, channels):
    exists = np.ones((1, JOINTS), dtype)
    exists[0, 3] = 0
    if channels:
        exists = np.stack([exists, np.ones_like(exists)], axis=2)
    sample = dict(crop(labeled=False), keypoints_visible=exists)
    weights = parts(PackSemiSupervisedPoseInputs()(sample))[
        'gt_instance_labels.keypoint_weights']
    assert weights.shape == (1, JOINTS)
    assert weights.dtype == torch.float32
    assert torch.nonzero(weights == 0).tolist() == [[0, 3]]


def test_the_sample_stays_as_it_is():
    sample = crop(labeled=False)
    keys = set(sample)
    packed = PackSemiSupervisedPoseInputs()(sample)
    packed['data_samples'].gt_instance_labels.keypoint_weights.fill_(9)
    assert set(sample) == keys
    assert sample['keypoints_visible'].max() <= 1


def test_chosen_metainfo_is_packed_for_both():
    pack = PackSemiSupervisedPoseInputs(meta_keys=('id', 'place'))
    for labeled in (True, False):
        meta = pack(crop(place='here', labeled=labeled))[
            'data_samples'].metainfo
        assert meta == dict(id=4, place='here', labeled=labeled)


def test_joints_of_another_definition():
    sample = dict(crop(labeled=False), flip_indices=list(range(16)))
    with pytest.raises(UserError, match=' 17 .* 16'):
        PackSemiSupervisedPoseInputs()(sample)


def test_a_mixed_batch_reaches_the_model(coco_root):
    files = dict(data_root=str(coco_root),
                 ann_file='annotations/person_keypoints_train2017.json',
                 data_prefix=dict(img='train2017/'))
    dataset = DATASETS.build(dict(
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[
            dict(type='CocoDataset', pipeline=[*CROP, TARGET], **files),
            dict(type='UnlabeledPoseDataset', pipeline=CROP, **files)
        ],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))
    batch = PoseDataPreprocessor(mean=[0.] * 3, std=[1.] * 3)(
        pseudo_collate([dataset[index] for index in (0, 6, 1, 7)]), True)
    assert batch['inputs'].shape == (4, 3, 64, 48)
    assert torch.equal(batch['inputs'][0], batch['inputs'][1])
    samples = batch['data_samples']
    assert [sample.labeled for sample in samples] == [True, False] * 2
    assert ['gt_fields' in sample for sample in samples] == [True, False] * 2
    assert torch.cat([sample.gt_instance_labels.keypoint_weights
                      for sample in samples]).shape == (4, JOINTS)
