import pickle

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets.collate import _Inline, quick_collate
from mmpose_wloss.datasets.transforms.pose_density_weights import (
    PendingKeypointWeights,
    multiply_pose_weights,
)

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from torch.utils.data import DataLoader


@pytest.fixture
def samples():
    batch = get_packed_inputs(5, num_keypoints=17, input_size=(32, 64),
                              heatmap_size=(8, 16))
    return [dict(inputs=image, data_samples=sample) for image, sample in zip(
        batch['inputs'], batch['data_samples'], strict=True)]


def same_samples(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.metainfo.keys() == other.metainfo.keys()
        assert set(one.keys()) == set(other.keys())
        for part in one.keys():
            for key, value in one.get(part).items():
                arrived = getattr(other.get(part), key)
                np.testing.assert_array_equal(arrived, value, key)
                assert type(arrived) is type(value)


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_are_those_of_pseudo_collate(samples, workers):
    loader = DataLoader(samples, 2, num_workers=workers, collate_fn=quick_collate)
    stock = DataLoader(samples, 2, collate_fn=pseudo_collate)
    preprocessor = MODELS.build(dict(
        type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=48))
    for _ in range(2):
        for batch, expected in zip(loader, stock, strict=True):
            assert batch['inputs'].is_shared() == (workers > 0)
            assert torch.equal(batch['inputs'], torch.stack(expected['inputs']))
            same_samples(expected['data_samples'], batch['data_samples'])
            batch, expected = (preprocessor(each, True) for each in (batch, expected))
            assert torch.equal(batch['inputs'], expected['inputs'])
            same_samples(expected['data_samples'], batch['data_samples'])


def test_what_hooks_complete_arrives(samples):
    labels = samples[0]['data_samples'].gt_instance_labels
    weights = labels.keypoint_weights
    labels.keypoint_weights = PendingKeypointWeights(weights.numpy(), 3.)
    loader = DataLoader(samples, 5, num_workers=1, collate_fn=quick_collate)
    arrived = next(iter(loader))['data_samples']
    assert multiply_pose_weights(arrived) == [3., None, None, None, None]
    assert torch.equal(arrived[0].gt_instance_labels.keypoint_weights, 3 * weights)


def test_images_of_several_sizes_are_refused(samples):
    samples[1]['inputs'] = samples[1]['inputs'][:, :16]
    with pytest.raises(UserError, match=r'\(3, 16, \d+\), \(3, \d+, \d+\)'):
        quick_collate(samples)


@pytest.mark.parametrize('tensor', [
    torch.ones(2, 3)[:, ::2], torch.tensor(3), torch.ones(2, dtype=torch.bfloat16),
    torch.ones(3, dtype=torch.bool), torch.ones(2, requires_grad=True),
    torch.empty(0, 4)])
def test_tensors_arrive_by_value(tensor):
    arrived, = pickle.loads(pickle.dumps(_Inline([tensor])))
    assert torch.equal(arrived, tensor)
    assert arrived.dtype == tensor.dtype
    assert arrived.requires_grad == tensor.requires_grad
