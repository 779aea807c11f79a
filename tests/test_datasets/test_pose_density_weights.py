"""The transform that gives samples the weights of their poses."""

import pickle

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.datasets.transforms import PoseDensityWeights

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
    artefact = fit_pose_density(collect_poses(DATASETS.build(config)),
                                components=2, clip=None)
    artefact.save(str(folder / 'density.npz'))
    return str(folder / 'density.npz')


@pytest.fixture
def file(coco_root, tmp_path):
    return fitted(coco(coco_root), tmp_path)


def weights_of(config, file, codec=CODEC, flip=0., **target):
    """Keypoint weights of each sample by its id."""
    dataset = DATASETS.build(dict(config, pipeline=[
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
        dict(type='RandomFlip', prob=flip),
        dict(type='TopdownAffine', input_size=(64, 64)),
        dict(type='GenerateTarget', encoder=codec, **target),
        *([dict(type='PoseDensityWeights', file=file)] if file else []),
        dict(type='PackPoseInputs')]))
    # as they come from a worker
    samples = pickle.loads(pickle.dumps(
        [dataset[index]['data_samples'] for index in range(len(dataset))]))
    return {sample.metainfo['id']: sample.gt_instance_labels.keypoint_weights
            for sample in samples}


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
def test_samples_have_their_weights(coco_root, file, arguments):
    pose_weights = PoseDensityWeights(file).weights
    weighted = weights_of(coco(coco_root), file, **arguments)
    plain = weights_of(coco(coco_root), None, **arguments)
    assert len(set(pose_weights.values())) > 1
    for identity, pending in weighted.items():
        assert pending.pose_weight == pose_weights[identity]
        torch.testing.assert_close(pending.times(3.), plain[identity] * 3)
        torch.testing.assert_close(pending.times(1.), plain[identity],
                                   rtol=0, atol=0)


def test_integer_weights_of_mpii(mpii_root, tmp_path):
    config = dict(type='MpiiDataset', data_root=str(mpii_root),
                  ann_file='annotations/mpii_train.json',
                  data_prefix=dict(img='images/'))
    file = fitted(config, tmp_path)
    for pending in weights_of(config, file).values():
        assert set(pending.times(0.25).unique().tolist()) <= {0., 0.25}


def test_weights_that_no_hook_has_multiplied_cannot_be_used(coco_root, file):
    weights = weights_of(coco(coco_root), file).values()
    with pytest.raises(UserError, match="type='PoseDensityHook'"):
        torch.cat(list(weights))
    with pytest.raises(UserError, match="type='PoseDensityHook'"):
        torch.cat([torch.ones(1, 17), *weights])


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


@pytest.mark.parametrize('sample, message', [
    (results(), 'GenerateTarget'),
    (results(keypoint_weights=np.ones((1, 17)), dataset_name='mine'), 'mine'),
    (results(np.arange(2), keypoint_weights=np.ones((2, 17)),), 'top-down'),
])
def test_samples_that_cannot_be_weighted(file, sample, message):
    with pytest.raises(UserError, match=message):
        PoseDensityWeights(file).transform(sample)


def test_a_sample_is_weighted_once(file):
    transform = PoseDensityWeights(file)
    sample = transform.transform(results(keypoint_weights=np.ones((1, 17))))
    with pytest.raises(UserError, match='twice'):
        transform.transform(sample)


def test_arguments(file, tmp_path):
    assert repr(PoseDensityWeights(file)) == (
        f"PoseDensityWeights(file='{file}', missing='error')")
    with pytest.raises(UserError, match='missing.*zero'):
        PoseDensityWeights(file, missing='zero')
    with pytest.raises(FileNotFoundError, match='density fit'):
        PoseDensityWeights(str(tmp_path / 'none.npz'))
