"""Coordinates and offsets: where joints are, how they move, and what is taught."""

import copy

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.hard_views.hard_affine import affine_about_center
from mmpose_wloss.models.hard_views.hard_view import invert, move
from mmpose_wloss.models.heads.keypoint_outputs import (
    CoordinateOutputs,
    OffsetOutputs,
    keypoint_outputs,
)

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_networks import INPUT, KEYPOINTS, NETWORKS, batch_for, build, losses_of

KINDS = {'regression': CoordinateOutputs, 'RLE': CoordinateOutputs,
         'centered': CoordinateOutputs, 'offsets': OffsetOutputs}


def outputs_of(name):
    init_default_scope('mmpose')
    outputs = keypoint_outputs(MODELS.build(NETWORKS[name]()).head)
    assert type(outputs) is KINDS[name] and outputs.keypoints == KEYPOINTS
    return outputs


def labels_of(outputs, joints):
    """What the codec writes of joints in pixels [B, K, 2], and its weights."""
    encoded = [outputs.decoder.encode(each[None].numpy(), np.ones((1, KEYPOINTS)))
               for each in joints]
    key = 'heatmaps' if 'heatmaps' in encoded[0] else 'keypoint_labels'
    labels = [torch.from_numpy(each[key]) for each in encoded]
    return (torch.stack(labels) if key == 'heatmaps' else torch.cat(labels),
            torch.from_numpy(np.concatenate(
                [each['keypoint_weights'] for each in encoded])))


def joints_in(low, high, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor(INPUT, dtype=torch.float32)
    return (low + (high - low) * torch.rand(6, KEYPOINTS, 2, generator=generator)
            ) * (size - 1)


@pytest.mark.parametrize('name', KINDS)
def test_joints_are_written_as_the_codec_does(name):
    outputs, joints = outputs_of(name), joints_in(0., 1.)
    labels, _ = labels_of(outputs, joints)
    ours, inside = outputs.encode(joints)
    torch.testing.assert_close(ours, labels.float(), atol=1e-5, rtol=1e-5)
    assert (inside == 1).all()
    # and read where they are
    torch.testing.assert_close(outputs.joints(labels.float()), joints,
                               atol=1e-3, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', KINDS)
def test_joints_of_half_precision_are_read_in_float32(name, dtype):
    outputs = outputs_of(name)
    labels, _ = labels_of(outputs, joints_in(0., 1.))
    output = labels.to(dtype)
    torch.testing.assert_close(outputs.joints(output), outputs.joints(output.float()))


@pytest.mark.parametrize('name', ['regression', 'RLE', 'centered'])
def test_joints_outside_are_not_taught(name):
    outputs, joints = outputs_of(name), joints_in(-0.3, 1.3)
    _, weights = labels_of(outputs, joints)
    _, inside = outputs.encode(joints)
    assert torch.equal(inside, weights.float()) and 0 < inside.mean() < 1


def test_offsets_far_outside_are_not_taught():
    outputs = outputs_of('offsets')
    joints = torch.tensor([[[0., 0.], [47., 63.], [-6., 3.], [3., 70.], [20., 20.]]])
    assert outputs.encode(joints)[1].tolist() == [[1, 1, 0, 0, 1]]


@pytest.mark.parametrize('name', KINDS)
def test_a_teachers_joints_are_moved_to_the_hard_view(name):
    outputs, joints = outputs_of(name), joints_in(0.2, 0.8)
    matrix = affine_about_center(
        torch.linspace(-60, 60, 6), torch.linspace(0.75, 1.25, 6), INPUT, rigid=True)
    predicted, _ = labels_of(outputs, joints)
    targets, inside = outputs.targets(predicted.float(), matrix, INPUT, False)
    moved = move(joints, invert(matrix))
    expected, _ = outputs.encode(moved)
    where = inside.bool()
    assert where.float().mean() > 0.7
    torch.testing.assert_close(outputs.joints(targets)[where], moved[where],
                               atol=0.01, rtol=0)
    assert targets.shape == expected.shape


def test_scores():
    regression, rle = outputs_of('regression'), outputs_of('RLE')
    assert (regression.peaks(torch.randn(2, KEYPOINTS, 2)) == 1).all()
    output = torch.randn(2, KEYPOINTS, 4)
    decoded = output.clone()
    decoded[..., 2:] = decoded[..., 2:].sigmoid()
    for ours, given in zip(rle.peaks(output), decoded, strict=True):
        _, scores = rle.decoder.decode(given[None].numpy())
        np.testing.assert_allclose(ours, scores[0], rtol=1e-6)
    offsets = outputs_of('offsets')
    maps = torch.randn(2, 3 * KEYPOINTS, 16, 12)
    assert torch.equal(offsets.peaks(maps), maps[:, ::3].flatten(2).amax(2))


@pytest.mark.parametrize('name', KINDS)
def test_the_loss_is_half_the_heads_own(name):
    """A teacher that predicts the labels teaches as the labels do."""
    config = NETWORKS[name]()
    data = batch_for(config, 4, 0)
    for sample in data['data_samples']:
        # an unlabeled joint has no label to compare with
        sample.gt_instance_labels.keypoint_weights[:] = 1
    init_default_scope('mmpose')
    network = MODELS.build(config).eval()
    outputs = keypoint_outputs(network.head)
    data = network.data_preprocessor(data)
    features = network.extract_feat(torch.stack(list(data['inputs'])))
    stock = network.head.loss(
        features, data['data_samples'], network.train_cfg)['loss_kpt']
    loss = outputs.loss(network.head.forward(features),
                        outputs.labels(data['data_samples']),
                        torch.ones(4, KEYPOINTS))
    torch.testing.assert_close(loss, stock / 2)


@pytest.mark.parametrize('name', KINDS)
def test_joints_without_weight_teach_nothing(name):
    config = NETWORKS[name]()
    data = batch_for(config)
    for sample in data['data_samples'][3:]:
        sample.gt_instance_labels.keypoint_weights[:] = 0
    losses = losses_of(build(config), copy.deepcopy(data))
    assert float(losses['first.loss_consistency']) == 0


@pytest.mark.parametrize('name', KINDS)
@pytest.mark.parametrize('shape', [(2, KEYPOINTS, 3), (2, 14, 16, 12)])
def test_outputs_that_are_not_the_codecs(name, shape):
    with pytest.raises(UserError, match='its decoder'):
        outputs_of(name).final(torch.zeros(shape))
