"""Any loss of MMPose, linear in the weights of its samples."""

from mmpose_wloss.models.losses import InstanceWeightedLoss

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

HEATMAPS = (4, 6, 8, 8)
COORDINATES = (4, 6, 2)
OF_HEATMAPS = [
    dict(type='KeypointMSELoss'), dict(type='CombinedTargetMSELoss'),
    dict(type='AdaptiveWingLoss'), dict(type='KeypointOHKMMSELoss', topk=2)]
OF_COORDINATES = [dict(type=name) for name in (
    'SmoothL1Loss', 'MSELoss', 'L1Loss', 'WingLoss', 'SoftWingLoss')]
every_loss = pytest.mark.parametrize('config, shape', [
    (dict(config, use_target_weight=True), shape) for configs, shape in (
        (OF_HEATMAPS, HEATMAPS), (OF_COORDINATES, COORDINATES))
    for config in configs], ids=str)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpose')
    torch.manual_seed(0)


def build(config):
    return InstanceWeightedLoss(dict(config))


def inputs(config, shape):
    output = torch.rand(shape, requires_grad=True)
    target = torch.rand(shape)
    joints = shape[1] // 3 if 'Combined' in config['type'] else shape[1]
    weights = (torch.rand(shape[0], joints) > 0.3).float()
    weights[1] = 0  # nobody to be seen
    return output, target, weights[..., None] if len(shape) == 3 else weights


@every_loss
def test_weights_of_zero_and_one_are_neutral(config, shape):
    loss = build(config)
    output, target, weights = inputs(config, shape)
    values = [each(output, target, weights) for each in (loss, loss.loss)]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(value, output)
                                 for value in values))


@every_loss
def test_a_sample_weighs_by_its_weight(config, shape):
    loss = build(config)
    output, target, weights = inputs(config, shape)
    # each sample in a batch of which the others are not seen
    shares = torch.eye(4).reshape(4, 4, *[1] * (weights.ndim - 1)) * weights
    values = torch.stack([loss.loss(output, target, each) for each in shares])
    of_samples = torch.tensor([0.2, 5., 3., 1.])
    weighted = weights * of_samples.reshape(-1, *[1] * (weights.ndim - 1))
    torch.testing.assert_close(loss(output, target, weighted),
                               of_samples @ values)


def simcc():
    """Output, target and weights of SimCC, each of the first two a pair."""
    output = torch.randn(4, 6, 32), torch.randn(4, 6, 48)
    target = tuple(torch.randn_like(each).softmax(-1) for each in output)
    return output, target, (torch.rand(4, 6) > 0.3).float()


def test_several_outputs():
    # which sums over samples
    loss = InstanceWeightedLoss(
        dict(type='KLDiscretLoss', use_target_weight=True), reduction='sum')
    output, target, weights = simcc()
    expected = loss.loss(output, target, weights)
    torch.testing.assert_close(loss(output, target, weights), expected)
    torch.testing.assert_close(loss(output, target, 3 * weights), 3 * expected)


def test_gradients():
    loss = build(dict(type='MSELoss', use_target_weight=True))
    output = torch.rand(3, 2, 2, dtype=torch.float64, requires_grad=True)
    target = torch.rand(3, 2, 2, dtype=torch.float64)
    weights = torch.tensor([[1., 0.], [2., 2.], [0., 0.]],
                           dtype=torch.float64)[..., None]
    assert torch.autograd.gradcheck(
        lambda output: loss(output, target, weights), output)


def test_half_precision():
    """Of bfloat16 alone, since CPUs have no other in all versions of torch."""
    loss = build(dict(type='CombinedTargetMSELoss', use_target_weight=True))
    output, target, weights = inputs(dict(type='Combined'), HEATMAPS)
    with torch.autocast('cpu', torch.bfloat16):
        half = loss(output.bfloat16(), target, 2 * weights)
    torch.testing.assert_close(half.float(), loss(output, target, 2 * weights),
                               rtol=0.05, atol=0.01)


def test_no_weights_and_nobody():
    loss = build(dict(type='MSELoss', use_target_weight=True))
    output, target, weights = inputs(dict(type='MSELoss'), COORDINATES)
    torch.testing.assert_close(
        loss(output, target, torch.zeros_like(weights)), torch.zeros(()))
    plain = build(dict(type='MSELoss'))
    assert plain(output, target) == plain.loss(output, target)


class BranchingLoss(torch.nn.Module):

    def forward(self, output, target, target_weights):
        if (output > target).any():
            return (output * target_weights).mean()
        return output.mean()


def test_losses_that_are_refused(monkeypatch):
    """Those that branch on values, and those that are no mean over samples."""
    monkeypatch.setitem(MODELS.module_dict, 'BranchingLoss', BranchingLoss)
    arguments = inputs(dict(type='MSELoss'), COORDINATES)
    for config, given in (
            (dict(type='BranchingLoss'), arguments),
            (dict(type='MaskedMSELoss'), arguments),
            (dict(type='KLDiscretLoss', use_target_weight=True), simcc())):
        with pytest.raises(ValueError, match=config['type']):
            build(config)(*given)


def test_wrong_reduction():
    with pytest.raises(ValueError, match='reduction'):
        InstanceWeightedLoss(dict(type='MSELoss'), reduction='none')
