import copy

from mmpose_wloss.datasets import EpochMultiSourceSampler
from mmpose_wloss.datasets.transforms.quick_transforms import (
    QuickPackPoseInputs,
    QuickRandomBBoxTransform,
    QuickRandomFlip,
    Shared,
    quicken,
)

import numpy as np
import pytest
import torch
from mmpose.datasets.transforms import (
    PackPoseInputs,
    RandomBBoxTransform,
    RandomFlip,
    YOLOXHSVRandomAug,
)
from mmpose.registry import DATASETS, TRANSFORMS

PIPELINE = [
    dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip'), dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform'),
    dict(type='TopdownAffine', input_size=(48, 64)),
    dict(type='GenerateTarget', encoder=dict(
        type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=2)),
    dict(type='PackPoseInputs')]


@pytest.fixture
def dataset(coco_root):
    return DATASETS.build(dict(
        type='CocoDataset', data_root=str(coco_root), pipeline=PIPELINE,
        data_prefix=dict(img='train2017/'),
        ann_file='annotations/person_keypoints_train2017.json'))


@pytest.mark.parametrize('low, high', [(-1., 1.), (-2., .5)])
def test_truncated_normal_numbers_are_those_of_scipy(low, high):
    numbers = []
    for kind in (RandomBBoxTransform, QuickRandomBBoxTransform):
        np.random.seed(3)
        numbers.append(np.append(kind._truncnorm(low, high, (1000, 4)),
                                 np.random.rand()))
    np.testing.assert_allclose(*numbers, rtol=0, atol=1e-6)
    assert numbers[0][-1] == numbers[1][-1]


def test_numbers_of_the_hourglass_code_are_cut():
    """Of its scale at one deviation, of its rotation at two, half of the range."""
    np.random.seed(0)
    transform = TRANSFORMS.build(dict(
        type='ClippedBBoxTransform', shift_prob=0.,
        scale_factor=(0.75, 1.25), rotate_factor=60., rotate_prob=1.))
    offset, scale, rotate = transform._get_transform_params(40_000)
    numbers = np.random.default_rng(0).standard_normal(1_000_000)
    for drawn, expected in (
            (scale[:, 0], (1 + 0.25 * numbers).clip(0.75, 1.25)),
            (rotate, (30 * numbers).clip(-60, 60))):
        assert drawn.std() == pytest.approx(expected.std(), rel=0.02)
        assert [drawn.min(), drawn.max()] == [expected.min(), expected.max()]
        assert (drawn == drawn.max()).mean() == pytest.approx(
            (expected == expected.max()).mean(), abs=0.01)
    assert not offset.any()


@pytest.mark.parametrize('arguments', [
    dict(), dict(prob=0.3, direction='vertical'), dict(prob=1.), dict(prob=0.),
    dict(prob=[0.2, 0.3, 0.1], direction=['horizontal', 'vertical', 'diagonal'])])
def test_directions_of_flips_are_those_of_numpy(arguments):
    directions = []
    for kind in (RandomFlip, QuickRandomFlip):
        np.random.seed(0)
        transform = kind(**arguments)
        directions.append([transform._choose_direction() for _ in range(500)])
    assert directions[0] == directions[1]
    assert len(set(directions[0])) == len(
        np.unique([*np.atleast_1d(arguments.get('prob', .5)), 0])) or len(
            set(directions[0])) <= 4


def packed(transform, sample):
    sample = transform.transform(copy.deepcopy(sample))
    labels = sample['data_samples']
    return dict(inputs=sample['inputs'], **labels.metainfo, **{
        f'{part}.{key}': value for part in labels.keys()
        for key, value in labels.get(part).items()})


@pytest.mark.parametrize('arguments', [
    dict(), dict(pack_transformed=True), dict(meta_keys=('id', 'flip_indices'))])
def test_a_packed_sample_is_that_of_the_stock_transform(dataset, arguments):
    sample = dataset.get_data_info(2)
    for transform in dataset.pipeline.transforms[:-1]:
        sample = transform(sample)
    for image in (sample['img'], sample['img'].astype(np.float32),
                  sample['img'][:, ::-1], sample['img'][..., :1]):
        sample['img'] = image
        stock = packed(PackPoseInputs(**arguments), sample)
        quick = packed(QuickPackPoseInputs(**arguments), sample)
        assert stock.keys() == quick.keys()
        for key, value in stock.items():
            np.testing.assert_array_equal(quick[key], value, key)
            assert type(quick[key]) is type(value)
        assert quick['inputs'].is_contiguous()
        assert quick['inputs'].dtype == stock['inputs'].dtype


def test_a_quick_data_set_gives_what_the_stock_one_gives(dataset):
    quick = copy.deepcopy(dataset)
    quicken(quick)
    assert [type(transform).__name__ for transform in quick.pipeline.transforms] == [
        'LoadImage', 'GetBBoxCenterScale', 'QuickRandomFlip', 'RandomHalfBody',
        'QuickRandomBBoxTransform', 'TopdownAffine', 'GenerateTarget',
        'QuickPackPoseInputs']
    for index in range(len(dataset)):
        samples = []
        for one in (dataset, quick):
            np.random.seed(index)
            samples.append(one[index])
        stock, quick_one = (sample['data_samples'] for sample in samples)
        assert torch.equal(samples[0]['inputs'], samples[1]['inputs'])
        assert torch.equal(stock.gt_fields.heatmaps, quick_one.gt_fields.heatmaps)
        for key, value in stock.metainfo.items():
            np.testing.assert_array_equal(quick_one.metainfo[key], value, key)


def test_transforms_of_others_are_left_alone(dataset):
    class Mine(RandomFlip):
        pass

    mine, colors = Mine(), YOLOXHSVRandomAug()
    dataset.pipeline.transforms = [mine, colors]
    quicken(dataset)
    assert dataset.pipeline.transforms == [mine, colors]


def test_shared_lists_are_not_copied_and_come_as_lists():
    shared = Shared([1, [2]])
    assert copy.deepcopy(shared) is shared
    assert type(copy.copy(shared)) is list


def test_a_metainfo_for_checkpoints_has_no_class_of_ours(dataset):
    stock = dataset.metainfo
    quicken(dataset)
    assert type(dataset._metainfo['flip_indices']) is Shared
    assert {type(value) for value in dataset.metainfo.values()} == {
        type(value) for value in stock.values()}
    assert type(dataset.metainfo) is dict


def test_a_sampler_shares_the_metainfo_of_combined_data_sets(dataset):
    combined = DATASETS.build(dict(
        type='CombinedDataset', metainfo=dict(
            from_file='configs/_base_/datasets/coco.py'), datasets=[dict(
                type='CocoDataset', data_root=dataset.data_root, pipeline=[],
                data_prefix=dict(img='train2017/'), ann_file=(
                    'annotations/person_keypoints_train2017.json'))]))
    EpochMultiSourceSampler(combined, 2, [1])
    first, second = (combined.get_data_info(index)['flip_indices']
                     for index in range(2))
    assert first is second
    assert first == dataset.metainfo['flip_indices']
