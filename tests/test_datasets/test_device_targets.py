"""Samples whose targets are drawn for a batch are those of stock pipelines."""

import copy
import pickle

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets.transforms.device_targets import (
    PENDING,
    draw_device_targets,
)
from mmpose_wloss.datasets.transforms.pose_density_weights import (
    PendingKeypointWeights,
    multiply_pose_weights,
)

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement
from mmpose.registry import MODELS
from small_networks import (
    FLIP_INDICES,
    INPUT,
    KEYPOINTS,
    MEGVII,
    MSRA,
    NETWORKS,
    SIMCC,
    UDP,
)

MULTILEVEL = dict(multilevel=True, encoder=[
    dict(MEGVII, kernel_size=3), dict(MSRA, heatmap_size=(6, 8))])
STEPS = {
    'MSRA': dict(encoder=MSRA), 'UDP': dict(encoder=UDP),
    'UDP, offsets': dict(encoder=dict(UDP, heatmap_type='combined')),
    'Megvii': dict(encoder=MEGVII), 'SimCC': dict(encoder=SIMCC),
    'levels': MULTILEVEL,
    'joint weights': dict(encoder=MSRA, use_dataset_keypoint_weights=True),
    'levels, joint weights': dict(MULTILEVEL, use_dataset_keypoint_weights=True),
}


def people(count=6, dtype=np.float32, weights=np.float32):
    """Before their targets are made; some joints are not to be seen."""
    rng = np.random.default_rng(0)
    for index in range(count):
        visible = np.ones((1, KEYPOINTS), weights)
        visible[0, index % KEYPOINTS] = 0
        yield dict(
            id=index, img=np.zeros((*INPUT[::-1], 3), np.uint8),
            img_shape=INPUT[::-1], input_size=INPUT, flip_indices=FLIP_INDICES,
            bbox=np.array([[0, 0, *INPUT]], np.float32),
            transformed_keypoints=rng.uniform(-5, 60, (1, KEYPOINTS, 2)).astype(dtype),
            keypoints_visible=visible,
            dataset_keypoint_weights=rng.uniform(0.1, 1, KEYPOINTS).astype(np.float32))


def packed(kind, step, data=None, pack='PackPoseInputs'):
    """The samples of a batch, as they come from a worker."""
    pipeline = Compose([dict(type=kind, **step), dict(type=pack)])
    return pickle.loads(pickle.dumps([
        pipeline(each)['data_samples'] for each in data or people()]))


def assert_same(first, second, tolerance=1e-6):
    assert type(first) is type(second)
    if isinstance(first, BaseDataElement):
        assert {*first.all_keys()} == {*second.all_keys()}
        for key in first.keys():
            assert_same(first.get(key), second.get(key), tolerance)
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other, tolerance)
    elif isinstance(first, torch.Tensor):
        # of Megvii's, whose peak is 255
        torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)
    else:
        assert np.array_equal(first, second)


@pytest.mark.parametrize('name', STEPS)
def test_a_batch_is_that_of_the_stock_pipeline(name):
    for types in ({}, dict(dtype=np.float64, weights=np.int64)):
        expected = packed('GenerateTarget', STEPS[name], people(**types))
        samples = packed('DeviceTargets', STEPS[name], people(**types))
        assert all('gt_fields' not in sample for sample in samples)
        draw_device_targets(samples, 'cpu')
        assert_same(samples, expected)


def test_visibilities_of_three_dimensions():
    def data():
        for one in people():
            one['keypoints_visible'] = np.stack(
                [one['keypoints_visible'], np.ones((1, KEYPOINTS))], -1)
            yield one

    samples = packed('DeviceTargets', STEPS['SimCC'], data())
    draw_device_targets(samples, 'cpu')
    assert_same(samples, packed('GenerateTarget', STEPS['SimCC'], data()))


@pytest.mark.parametrize('name', ['MSRA', 'SimCC', 'levels'])
def test_pose_weights_count_and_make_no_joint_invisible(name):
    batches = []
    for kind in ('GenerateTarget', 'DeviceTargets'):
        samples = packed(kind, STEPS[name])
        for index, sample in enumerate(samples):
            labels = sample.gt_instance_labels
            labels.keypoint_weights = PendingKeypointWeights(
                labels.keypoint_weights, 0.1 + index)
        if kind == 'DeviceTargets':
            with pytest.raises(UserError, match='PoseDensityHook'):
                draw_device_targets(copy.deepcopy(samples), 'cpu')
        multiply_pose_weights(samples)
        draw_device_targets(samples, 'cpu')
        batches.append(samples)
    assert_same(*batches)


def test_a_batch_may_mix_codecs_types_and_unlabeled_samples():
    unlabeled = packed('DeviceTargets', STEPS['MSRA'], [
        dict(one, labeled=False) for one in people(1)], 'PackSemiSupervisedPoseInputs')
    mixed = [*packed('DeviceTargets', STEPS['UDP']), *unlabeled,
             *packed('DeviceTargets', STEPS['MSRA'], people(dtype=np.float64))]
    before = unlabeled[0].clone()
    draw_device_targets(mixed, 'cpu')
    assert_same(mixed[:6], packed('GenerateTarget', STEPS['UDP']))
    assert_same(mixed[6], before)
    assert_same(mixed[7:], packed('GenerateTarget', STEPS['MSRA'],
                                  people(dtype=np.float64)))


def test_workers_hand_on_less():
    for name in ('MSRA', 'SimCC'):
        sizes = [len(pickle.dumps(packed(kind, STEPS[name], people(64)))) / 64
                 for kind in ('GenerateTarget', 'DeviceTargets')]
        assert sizes[1] < sizes[0] - 3000
    # codecs are told once a batch
    assert len({id(sample.gt_instance_labels.get(PENDING).codecs)
                for sample in packed('DeviceTargets', STEPS['MSRA'])}) == 1


# coordinates are no work for a device
@pytest.mark.parametrize('name', [
    name for name, network in NETWORKS.items()
    if 'Regression' not in network()['head']['decoder']['type']])
def test_losses_are_those_of_the_stock_pipeline(name):
    config = NETWORKS[name]()
    torch.manual_seed(0)
    model = MODELS.build(config)
    losses = []
    for kind in ('GenerateTarget', 'DeviceTargets'):
        step = dict(encoder=config['head']['decoder'])
        samples = packed(kind, step)
        draw_device_targets(samples, 'cpu')
        torch.manual_seed(0)
        size = step['encoder']['input_size'][::-1]
        data = model.data_preprocessor(dict(
            inputs=list(torch.randint(256, (6, 3, *size), dtype=torch.uint8)),
            data_samples=samples), True)
        losses.append(model(**data, mode='loss'))
    assert losses[0]['loss_kpt'] > 0
    torch.testing.assert_close(*losses)


def test_a_training_without_the_hook_says_what_is_missing():
    model = MODELS.build(NETWORKS['MSRA']())
    data = dict(inputs=list(torch.zeros(6, 3, *INPUT[::-1], dtype=torch.uint8)),
                data_samples=packed('DeviceTargets', STEPS['MSRA']))
    with pytest.raises(UserError, match="dict\\(type='DeviceTargetsHook'\\)"):
        model.data_preprocessor(data, True)


@pytest.mark.parametrize('step, named', [
    (dict(encoder=dict(type='RegressionLabel', input_size=INPUT)), 'RegressionLabel'),
    (dict(encoder=[MSRA, SIMCC]), 'several'),
    (dict(encoder=[SIMCC, SIMCC], multilevel=True), 'several')])
def test_codecs_that_it_does_not_take_are_refused(step, named):
    with pytest.raises(UserError, match=named):
        packed('DeviceTargets', step)


def test_several_people_are_refused():
    def data():
        for one in people(1):
            yield dict(one, transformed_keypoints=np.zeros((2, KEYPOINTS, 2)))

    with pytest.raises(UserError, match=r'one person.*\(2, 5, 2\)'):
        packed('DeviceTargets', STEPS['SimCC'], data())
