"""The loss of joints that jump between frames."""

from mmpose_wloss.models.losses import temporal_smoothness_loss

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS


def test_it_is_the_formula():
    """Beside a loop in float64."""
    rng = np.random.default_rng(0)
    joints, following = rng.uniform(0, 60, (2, 4, 3, 2))
    following[0] = joints[0] + .5
    weights = rng.uniform(0, 1, (4, 3))
    expected = sum(
        weights[n, k] * max(0., np.hypot(*(joints[n, k] - following[n, k])) - 7.)
        for n in range(4) for k in range(3)) / 12
    loss = temporal_smoothness_loss(
        *map(torch.from_numpy, (joints, following, weights)), epsilon=7.)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    module = MODELS.build(dict(
        type='TemporalSmoothnessLoss', epsilon=7., loss_weight=.1))
    assert module(*map(torch.from_numpy, (joints, following, weights))).item() == (
        pytest.approx(.1 * expected, rel=1e-12))


def test_gradcheck():
    torch.manual_seed(0)
    joints, following = 20 * torch.rand(2, 3, 4, 2, dtype=torch.float64)
    weights = torch.rand(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *places: temporal_smoothness_loss(*places, weights, 3.),
        (joints.requires_grad_(), following.requires_grad_()))


def test_what_stays_has_no_loss_and_a_finite_gradient():
    joints = torch.rand(2, 3, 2, requires_grad=True)
    loss = temporal_smoothness_loss(joints, joints.detach(), torch.ones(2, 3), 0.)
    loss.backward()
    assert loss == 0 and (joints.grad == 0).all()
    joints = torch.zeros(0, 3, 2, requires_grad=True)
    loss = temporal_smoothness_loss(joints, joints, torch.ones(0, 3), 1.)
    loss.backward()
    assert loss == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    joints = torch.full((2, 3, 2), 200., dtype=dtype, requires_grad=True)
    loss = temporal_smoothness_loss(
        joints, torch.zeros(2, 3, 2), torch.ones(2, 3), 10.)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(200 * 2**.5 - 10, rel=1e-3)
    assert joints.grad.isfinite().all()


@pytest.mark.parametrize('arguments, message', [
    (dict(following=torch.zeros(2, 4, 2)), r'\(2, 3, 2\).*\(2, 4, 2\)'),
    (dict(weights=torch.ones(3)), r'\(2, 3\).*\(3,\)'),
    (dict(epsilon=-1.), 'epsilon')])
def test_wrong_arguments(arguments, message):
    joints = torch.zeros(2, 3, 2)
    with pytest.raises(ValueError, match=message):
        temporal_smoothness_loss(**{**dict(
            joints=joints, following=joints, weights=torch.ones(2, 3), epsilon=1.),
            **arguments})
    with pytest.raises(ValueError, match='loss_weight'):
        MODELS.build(dict(type='TemporalSmoothnessLoss', epsilon=1., loss_weight=-1.))
