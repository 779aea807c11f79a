"""Balanced MSE of poses: its equation, missing joints, numbers, in a head."""

import math
import re
from types import SimpleNamespace

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.losses import BalancedMSELoss, balanced_mse_loss

import pytest
import torch
import torch.nn.functional as F
from mmpose.models.heads import RegressionHead
from mmpose.registry import MODELS

SHAPE = (5, 14, 2)


def coordinates(dtype=torch.float64, shape=SHAPE):
    """Output, target and 0/1 visibility of joints."""
    generator = torch.Generator().manual_seed(0)
    output, target = (torch.randn(shape, generator=generator, dtype=torch.float64)
                      for _ in range(2))
    visible = torch.rand(shape[:2], generator=generator) > 0.3
    return output.to(dtype), target.to(dtype), visible.to(dtype)


def slow_reference(output, target, visible, sigma):
    """Pose by pose, in numbers."""
    losses = []
    for i, seen in enumerate(visible.bool()):
        if not seen.any():
            continue
        exponents = {}
        for j, there in enumerate(visible.bool()):
            if not there.any():
                continue
            distance = 0.
            for k in torch.where(seen)[0].tolist():
                of = j if there[k] else i
                distance += float(((output[i, k] - target[of, k])**2).sum())
            exponents[j] = math.exp(-distance / (2 * sigma**2))
        losses.append(-math.log(exponents[i] / sum(exponents.values())))
    return 2 * sigma**2 * sum(losses) / len(losses)


@pytest.mark.parametrize('sigma', [1., 3.])
def test_it_is_its_equation(sigma):
    output, target, visible = coordinates()
    visible[2] = 0
    loss = balanced_mse_loss(output, target, visible, sigma, per_joint=False)
    assert float(loss) == pytest.approx(slow_reference(output, target, visible, sigma))
    # joint by joint: each as a pose of its own
    counts = visible.sum(0)
    expected = sum(count * slow_reference(*(
        each[:, joint:joint + 1] for each in (output, target, visible)), sigma)
        for joint, count in enumerate(counts)) / counts.sum()
    loss = balanced_mse_loss(output, target, visible, sigma)
    assert float(loss) == pytest.approx(float(expected))


def test_with_all_joints_it_is_a_cross_entropy():
    output, target, _ = coordinates()
    logits = -torch.cdist(output.flatten(1), target.flatten(1))**2 / (2 * 0.7**2)
    expected = 2 * 0.7**2 * F.cross_entropy(logits, torch.arange(len(output)))
    for weights in (None, torch.ones(SHAPE[:2])):
        torch.testing.assert_close(balanced_mse_loss(
            output, target, weights, 0.7, per_joint=False), expected)


def test_a_small_sigma_rounds_nothing_away():
    # each pose is 10 nearer to its own target, where both exponents are near 1,000
    output = torch.tensor([[[1.]], [[-1.]]]) * 2e-3
    target = torch.tensor([[[1.]], [[-1.]]])
    sigma = 0.02
    expected = balanced_mse_loss(output.double(), target.double(), sigma=sigma)
    assert 0 < float(expected) < 1e-5
    torch.testing.assert_close(balanced_mse_loss(output, target, sigma=sigma).double(),
                               expected, rtol=1e-3, atol=0.)


def test_poses_that_are_all_alike_need_no_balance():
    output, target, _ = coordinates()
    output.requires_grad_()
    loss = balanced_mse_loss(output, target[:1].expand_as(target), sigma=0.5)
    assert float(loss) == pytest.approx(2 * 0.5**2 * math.log(len(output)))
    loss.backward()
    torch.testing.assert_close(output.grad, torch.zeros_like(output))


def test_a_rare_pose_is_pulled_harder():
    # three targets at 0 and one at 1, all predicted as the mean
    target = torch.tensor([0., 0., 0., 1.])[:, None, None].expand(4, 1, 2)
    output = torch.full_like(target, 0.25).requires_grad_()
    balanced_mse_loss(output, target, sigma=0.5).backward()
    balanced = output.grad[:, 0, 0]
    output.grad = None
    F.mse_loss(output, target).backward()
    plain = output.grad[:, 0, 0]
    assert balanced[3] / balanced[0] < 2 * plain[3] / plain[0] < 0


def test_an_error_by_which_targets_do_not_differ_does_not_count():
    """Why joints stand alone: poses have more coordinates than a batch has poses."""
    target = torch.tensor([[[-1., 0.]], [[1., 0.]]])
    output = (target + torch.tensor([0., 0.5])).requires_grad_()
    balanced_mse_loss(output, target, sigma=1.).backward()
    assert (output.grad[..., 0].abs() > 0.1).all()
    torch.testing.assert_close(output.grad[..., 1], torch.zeros(2, 1))


@pytest.mark.parametrize('per_joint', [True, False])
def test_gradients(per_joint):
    output, target, visible = coordinates(shape=(3, 4, 2))
    sigma = torch.tensor(0.8, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda output: balanced_mse_loss(output, target, visible, sigma, per_joint),
        output.requires_grad_())


def test_sigma_is_learned():
    output, target, visible = coordinates(torch.float32)
    module = BalancedMSELoss(sigma=2., learn_sigma=True)
    fixed = BalancedMSELoss(sigma=2.)
    assert not list(fixed.parameters())
    torch.testing.assert_close(module(output, target, visible),
                               fixed(output, target, visible))
    # too large for what is exact, too small for what is far off
    for near, sigma in ((True, 2.), (False, 0.2)):
        module = BalancedMSELoss(sigma=sigma, learn_sigma=True)
        module(output, output if near else target).backward()
        assert (float(module.log_sigma.grad) > 0) == near


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    output, target, visible = coordinates(dtype)
    loss = balanced_mse_loss(output, target, visible, 1.)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, balanced_mse_loss(
        output.float(), target.float(), visible.float(), 1.))


@pytest.mark.parametrize('nothing', [float('nan'), float('inf'), 1e300])
def test_what_an_invisible_joint_holds_does_not_count(nothing):
    output, target, visible = coordinates()
    visible[0, 0] = 0
    output.requires_grad_()
    results = []
    for value in (0., nothing):
        target[0, 0] = value
        loss = balanced_mse_loss(output, target, visible, 1.)
        results.append((loss.detach(), *torch.autograd.grad(loss, output)))
    torch.testing.assert_close(*results)
    assert (results[0][1][0, 0] == 0).all()


def test_people_without_a_joint_are_no_others():
    output, target, visible = coordinates()
    output.requires_grad_()
    alone = balanced_mse_loss(output, target, visible, 1.)
    gradient, = torch.autograd.grad(alone, output)
    nobody = torch.zeros_like(visible)
    beside = balanced_mse_loss(
        torch.cat([output, output]), torch.cat([target, target]),
        torch.cat([visible, nobody]), 1.)
    torch.testing.assert_close(beside, alone)
    torch.testing.assert_close(torch.autograd.grad(beside, output)[0], gradient)


def test_nobody_and_one_pose():
    output, target, visible = coordinates()
    output.requires_grad_()
    for loss in (balanced_mse_loss(output, target, 0 * visible),
                 balanced_mse_loss(output[:1], target[:1], visible[:1])):
        assert loss == 0
        loss.backward()
        assert (output.grad == 0).all()


def test_in_a_stock_head():
    head = RegressionHead(8, 14, loss=dict(type='BalancedMSELoss', sigma=0.5,
                                           loss_weight=2.))
    _, target, weights = coordinates(torch.float32)
    samples = [SimpleNamespace(gt_instance_labels=SimpleNamespace(
        keypoint_labels=target[index:index + 1],
        keypoint_weights=weights[index:index + 1])) for index in range(len(target))]
    features = (torch.randn(len(target), 8, 1, 1), )
    assert head.loss(features, samples)['loss_kpt'] == 2 * balanced_mse_loss(
        head.forward(features), target, weights, 0.5)


def test_wrong_input():
    output, target, _ = coordinates()
    for shape in ((5, ), (5, 13), (1, 14, 2), (5, 14, 3)):
        with pytest.raises(UserError, match=re.escape(str(shape[:2])[:-1])):
            balanced_mse_loss(output, target, torch.ones(shape))
    with pytest.raises(UserError, match=r'\(5, 13, 2\)'):
        balanced_mse_loss(output, target[:, 1:])
    with pytest.raises(UserError, match='sigma'):
        MODELS.build(dict(type='BalancedMSELoss', sigma=0.))
