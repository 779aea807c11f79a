"""The transform that weighs samples by their poses' density."""

import pickle

from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.datasets.transforms import PoseDensityWeights

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, TRANSFORMS

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16),
             sigma=1.)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpose')


def dataset_config(root, **changes):
    return dict(
        type='CocoDataset', data_root=str(root),
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'), **changes)


@pytest.fixture
def file(coco_root, tmp_path):
    poses = collect_poses(DATASETS.build(dataset_config(coco_root)))
    artefact = fit_pose_density(poses, components=2, clip=None)
    file = str(tmp_path / 'density.npz')
    artefact.save(file)
    return file


def pipeline(file, codec=CODEC, flip=0., **target):
    return [
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
        dict(type='RandomFlip', prob=flip),
        dict(type='TopdownAffine', input_size=(64, 64)),
        dict(type='GenerateTarget', encoder=codec, **target),
        *([dict(type='PoseDensityWeights', file=file)] if file else []),
        dict(type='PackPoseInputs')
    ]


def weights_of(root, *args, **kwargs):
    dataset = DATASETS.build(dataset_config(
        root, pipeline=pipeline(*args, **kwargs)))
    return {
        dataset[index]['data_samples'].metainfo['id']:
        dataset[index]['data_samples'].gt_instance_labels.keypoint_weights
        for index in range(len(dataset))}


@pytest.mark.parametrize('arguments', [
    {},
    dict(use_dataset_keypoint_weights=True),
    dict(codec=dict(type='SimCCLabel', input_size=(64, 64), sigma=2.)),
    dict(codec=dict(type='RegressionLabel', input_size=(64, 64))),
    dict(codec=dict(type='UDPHeatmap', input_size=(64, 64),
                    heatmap_size=(16, 16), heatmap_type='combined')),
    dict(codec=[dict(type='MegviiHeatmap', input_size=(64, 64),
                     heatmap_size=(16, 16), kernel_size=size)
                for size in (3, 5)], multilevel=True),
], ids=['heatmap', 'joint weights', 'simcc', 'regression', 'combined',
        'multilevel'])
def test_keypoint_weights_are_multiplied(coco_root, file, arguments):
    pose_weights = PoseDensityWeights(file).weights
    weighted = weights_of(coco_root, file, **arguments)
    plain = weights_of(coco_root, None, **arguments)
    assert len(set(pose_weights.values())) > 1
    for identity, weights in weighted.items():
        assert weights.dtype == plain[identity].dtype
        np.testing.assert_allclose(
            weights, plain[identity] * pose_weights[identity], rtol=1e-6)


def test_a_flipped_sample_keeps_its_weight(coco_root, file):
    plain = weights_of(coco_root, file)
    flipped = weights_of(coco_root, file, flip=1.)
    for identity, weights in plain.items():
        assert weights.max() == flipped[identity].max()


def test_a_sample_says_what_it_was_weighted_with(coco_root, file):
    dataset = DATASETS.build(dataset_config(coco_root,
                                            pipeline=pipeline(file)))
    transform = PoseDensityWeights(file)
    before = dataset.get_data_info(0)['raw_ann_info']
    metainfo = dataset[0]['data_samples'].metainfo
    assert metainfo['raw_ann_info'] == {
        **before, 'pose_weight': transform.weights[metainfo['id']]}
    assert dataset.get_data_info(0)['raw_ann_info'] == before


def test_it_travels_to_workers(file):
    transform = TRANSFORMS.build(dict(type='PoseDensityWeights', file=file))
    again = pickle.loads(pickle.dumps(transform))
    assert again.weights == transform.weights
    assert repr(again) == f"PoseDensityWeights(file='{file}', missing='error')"


def test_weights_of_integers(file):
    # as those of MPII and COCO-WholeBody
    transform = PoseDensityWeights(file)
    for identity, weight in transform.weights.items():
        sample = dict(results(identity), keypoint_weights=np.ones(
            (1, 17), np.int64))
        weights = transform.transform(sample)['keypoint_weights']
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, weight, rtol=1e-6)


def test_mpii(mpii_root, tmp_path):
    config = dict(type='MpiiDataset', data_root=str(mpii_root),
                  ann_file='annotations/mpii_train.json',
                  data_prefix=dict(img='images/'))
    artefact = fit_pose_density(collect_poses(DATASETS.build(config)),
                                components=2)
    artefact.save(str(tmp_path / 'mpii.npz'))
    dataset = DATASETS.build(dict(config, pipeline=pipeline(
        str(tmp_path / 'mpii.npz'))))
    weights = artefact.by_id()
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        expected = weights[sample.metainfo['id']]
        labels = sample.gt_instance_labels.keypoint_weights
        assert labels.max().item() == pytest.approx(expected, rel=1e-6)
        assert set(labels.unique().tolist()) <= {0., labels.max().item()}


def results(identity=1, **changes):
    return dict(id=identity, keypoints=np.zeros((1, 17, 2)),
                keypoint_weights=np.ones((1, 17), np.float32), **changes)


def test_a_sample_that_the_file_lacks(file):
    with pytest.raises(KeyError, match='no weight for annotation 99'):
        PoseDensityWeights(file).transform(results(99))
    kept = PoseDensityWeights(file, missing='one').transform(results(99))
    np.testing.assert_array_equal(kept['keypoint_weights'], np.ones((1, 17)))
    with pytest.raises(ValueError, match='missing'):
        PoseDensityWeights(file, missing='zero')


def test_what_cannot_be_weighted_is_refused(file, coco_root, tmp_path):
    transform = PoseDensityWeights(file)
    with pytest.raises(KeyError, match='right after GenerateTarget'):
        transform.transform(dict(id=1, keypoints=np.zeros((1, 17, 2))))
    with pytest.raises(ValueError, match='twice'):
        transform.transform(transform.transform(results()))
    with pytest.raises(ValueError, match='data set coco.* is of mine'):
        transform.transform(results(dataset_name='mine'))
    with pytest.raises(FileNotFoundError, match='pose_density.py fit'):
        PoseDensityWeights(str(tmp_path / 'none.npz'))
    # several people on one heatmap
    dataset = DATASETS.build(dataset_config(
        coco_root, data_mode='bottomup', pipeline=[
            dict(type='LoadImage'),
            dict(type='BottomupRandomAffine', input_size=(64, 64)),
            dict(type='GenerateTarget', encoder=dict(
                type='AssociativeEmbedding', input_size=(64, 64),
                heatmap_size=(16, 16), sigma=1.)),
            dict(type='PoseDensityWeights', file=file),
            dict(type='PackPoseInputs')]))
    with pytest.raises(Exception, match='single poses|top-down'):
        dataset[0]
