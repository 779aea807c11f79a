"""The loss of weighted DeepPose: its equation, the stock loss, numbers."""

import re
from types import SimpleNamespace

from mmpose_wloss.models.losses import (
    MaskedMSELoss,
    masked_mse_loss,
)

import pytest
import torch
import torch.nn.functional as F
from mmpose.models.heads import RegressionHead
from mmpose.models.losses.regression_loss import MSELoss
from mmpose.registry import MODELS

SHAPE = (4, 14, 2)


def coordinates(dtype=torch.float64, seed=0):
    """Output, target and 0/1 visibility of joints."""
    generator = torch.Generator().manual_seed(seed)
    output, target = (
        torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        for _ in range(2))
    visible = torch.rand(SHAPE[:2], generator=generator) > 0.3
    return output.to(dtype), target.to(dtype), visible.to(dtype)


def value_and_gradient(loss, output, *args):
    output = output.detach().clone().requires_grad_()
    value = loss(output, *args)
    value.backward()
    return value.detach(), output.grad


def test_it_is_its_equation():
    output, target, visible = coordinates()
    weights = visible * (torch.rand(4, 1, dtype=torch.float64) + 0.5)
    squares = weights[..., None] * (output - target)**2
    # divided by the number of coordinates, not by their weights
    torch.testing.assert_close(masked_mse_loss(output, target, weights),
                               squares.sum() / (2 * visible.sum()))


def test_without_weighting_it_is_the_mean_over_visible_joints():
    output, target, visible = coordinates()
    chosen = visible.bool()
    expected = F.mse_loss(output[chosen], target[chosen])
    off = MaskedMSELoss(use_target_weight=False)
    for loss in (masked_mse_loss(output, target, visible),
                 off(output, target, visible), off(output, target, 3 * visible)):
        torch.testing.assert_close(loss, expected)
    assert off(output, target) == F.mse_loss(output, target)


def test_without_weights_it_is_the_stock_loss():
    output, target, _ = coordinates()
    for weights in (None, torch.ones(4, 14, 1, dtype=torch.float64)):
        torch.testing.assert_close(
            value_and_gradient(MaskedMSELoss(), output, target, weights),
            value_and_gradient(MSELoss(), output, target))


# Gradients and numbers


@pytest.mark.parametrize('nothing', [float('nan'), float('inf'), 1e300])
def test_what_an_invisible_joint_holds_does_not_count(nothing):
    output, target, visible = coordinates()
    visible[0, 0] = 0
    expected = value_and_gradient(masked_mse_loss, output, target, visible)
    target[0, 0] = nothing
    torch.testing.assert_close(
        value_and_gradient(masked_mse_loss, output, target, visible), expected)


def test_nan_elsewhere_is_not_hidden():
    output, target, visible = coordinates()
    weights = visible.clone()
    weights[1] = float('nan')
    assert masked_mse_loss(output, target, weights).isnan()
    visible[0, 0] = 1
    output[0, 0] = float('nan')
    assert masked_mse_loss(output, target, visible).isnan()


# In MMPose


def test_in_a_stock_head():
    head = RegressionHead(8, 14, loss=dict(type='MaskedMSELoss'))
    _, target, weights = coordinates(torch.float32)
    samples = [SimpleNamespace(gt_instance_labels=SimpleNamespace(
        keypoint_labels=target[index:index + 1],
        keypoint_weights=weights[index:index + 1])) for index in range(4)]
    features = (torch.randn(4, 8, 1, 1), )
    assert head.loss(features, samples)['loss_kpt'] == masked_mse_loss(
        head.forward(features), target, weights)


def test_loss_weight():
    output, target, visible = coordinates()
    module = MODELS.build(dict(type='MaskedMSELoss', loss_weight=0.5))
    assert module(output, target, visible) == 0.5 * masked_mse_loss(
        output, target, visible)


@pytest.mark.parametrize('shape', [(4, 14), (4, 14, 1), (4, 14, 2)])
def test_shapes_of_weights(shape):
    output, target, visible = coordinates()
    weights = visible if len(shape) == 2 else visible[..., None].expand(shape)
    assert masked_mse_loss(output, target, weights) == masked_mse_loss(
        output, target, visible)


@pytest.mark.parametrize('shape', [(4, ), (4, 1), (4, 13), (1, 14, 2),
                                   (4, 14, 3)])
def test_shapes_that_do_not_fit(shape):
    output, target, _ = coordinates()
    with pytest.raises(ValueError, match=rf'\(4, 14, 1\).*{re.escape(str(shape))}'):
        masked_mse_loss(output, target, torch.ones(shape))
    with pytest.raises(ValueError, match=r'\(4, 14, 2\).*\(4, 13, 2\)'):
        masked_mse_loss(output, target[:, 1:])
