"""The transform that gives samples the weights of their poses."""

import pickle

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.datasets.transforms import PoseDensityWeights
from mmpose_wloss.datasets.transforms.pose_density_weights import (
    multiply_pose_weights,
)

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16),
             sigma=1.)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpose')


def coco(root, **changes):
    return dict(
        type='CocoDataset', data_root=str(root),
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'), **changes)


def fitted(config, folder):
    artifact = fit_pose_density(collect_poses(DATASETS.build(config)),
                                components=2, clip=None)
    artifact.save(str(folder / 'density.npz'))
    return str(folder / 'density.npz')


@pytest.fixture
def file(coco_root, tmp_path):
    return fitted(coco(coco_root), tmp_path)


def samples_of(config, file, codec=CODEC, flip=0., **target):
    """All samples, as they come from a worker."""
    dataset = DATASETS.build(dict(config, pipeline=[
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
        dict(type='RandomFlip', prob=flip),
        dict(type='TopdownAffine', input_size=(64, 64)),
        dict(type='GenerateTarget', encoder=codec, **target),
        *([dict(type='PoseDensityWeights', file=file)] if file else []),
        dict(type='PackPoseInputs')]))
    return pickle.loads(pickle.dumps(
        [dataset[index]['data_samples'] for index in range(len(dataset))]))


def weights_of(samples):
    return [sample.gt_instance_labels.keypoint_weights for sample in samples]


@pytest.mark.parametrize('arguments', [
    {},
    dict(flip=1.),
    dict(use_dataset_keypoint_weights=True),
    dict(codec=dict(type='SimCCLabel', input_size=(64, 64), sigma=2.)),
    dict(codec=dict(type='RegressionLabel', input_size=(64, 64))),
    dict(codec=dict(type='UDPHeatmap', input_size=(64, 64),
                    heatmap_size=(16, 16), heatmap_type='combined')),
    dict(codec=[dict(type='MegviiHeatmap', input_size=(64, 64),
                     heatmap_size=(16, 16), kernel_size=size)
                for size in (3, 5)], multilevel=True),
], ids=['heatmap', 'flipped', 'joint weights', 'simcc', 'regression',
        'combined', 'multilevel'])
def test_keypoint_weights_are_multiplied(coco_root, file, arguments):
    pose_weights = PoseDensityWeights(file).weights
    assert len(set(pose_weights.values())) > 1
    plain = weights_of(samples_of(coco(coco_root), None, **arguments))
    for strength in (0., 0.5, 1.):
        samples = samples_of(coco(coco_root), file, **arguments)
        factors = multiply_pose_weights(samples, strength)
        assert factors == pytest.approx([
            1 + strength * (pose_weights[sample.metainfo['id']] - 1)
            for sample in samples])
        for each, factor, expected in zip(weights_of(samples), factors, plain,
                                          strict=True):
            torch.testing.assert_close(
                each, expected * factor, rtol=1e-6 * strength, atol=0)
        # once and for all
        assert multiply_pose_weights(samples) == [None] * len(samples)


def test_integer_weights_of_mpii(mpii_root, tmp_path):
    config = dict(type='MpiiDataset', data_root=str(mpii_root),
                  ann_file='annotations/mpii_train.json',
                  data_prefix=dict(img='images/'))
    samples = samples_of(config, fitted(config, tmp_path))
    factors = multiply_pose_weights(samples)
    for weights, factor in zip(weights_of(samples), factors, strict=True):
        assert set(weights.unique().tolist()) <= {
            0., torch.tensor(factor).item()}


def test_weights_that_no_hook_has_multiplied_cannot_be_used(coco_root, file):
    weights = weights_of(samples_of(coco(coco_root), file))
    for each in (weights, [torch.ones(1, 17), *weights]):
        with pytest.raises(UserError, match="type='PoseDensityHook'"):
            torch.cat(each)


def results(identity=1, **changes):
    return dict(id=identity, keypoints=np.zeros((1, 17, 2)), **changes)


def test_samples_without_weight(file):
    sample = results(99, keypoint_weights=np.ones((1, 17)))
    with pytest.raises(UserError, match='annotation 99'):
        PoseDensityWeights(file).transform(dict(sample))
    kept = PoseDensityWeights(file, missing='one').transform(dict(sample))
    assert kept['keypoint_weights'].pose_weight == 1
    unlabeled = dict(sample, labeled=False)
    assert PoseDensityWeights(file).transform(unlabeled) is unlabeled
    assert unlabeled['keypoint_weights'] is sample['keypoint_weights']


def test_samples_that_cannot_be_weighted(file):
    transform, weights = PoseDensityWeights(file), np.ones((1, 17))
    weighted = transform.transform(results(keypoint_weights=weights))
    for sample, message in (
            (results(), 'GenerateTarget'),
            (results(keypoint_weights=weights, dataset_name='mine'), 'mine'),
            (results(np.arange(2), keypoint_weights=weights), 'top-down'),
            (weighted, 'twice')):
        with pytest.raises(UserError, match=message):
            transform.transform(sample)


def test_arguments(file, tmp_path):
    with pytest.raises(UserError, match='missing.*zero'):
        PoseDensityWeights(file, missing='zero')
    with pytest.raises(FileNotFoundError, match='density fit'):
        PoseDensityWeights(str(tmp_path / 'none.npz'))
