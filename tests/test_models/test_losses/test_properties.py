"""What all losses have in common: gradients, numbers, examples."""

import doctest

from mmpose_wloss.models.losses import (
    consistency_losses,
    heatmap_consistency_loss,
    heatmap_losses,
    masked_mse_loss,
    oks_losses,
    ranking_losses,
    regression_losses,
    temporal_loss,
)
from mmpose_wloss.models.losses.loss_balancers import (
    adaptive_balancer,
    manual_balancer,
)

import pytest
import torch

both = pytest.mark.parametrize('loss, shape', [
    (heatmap_consistency_loss, (2, 3, 4, 5)), (masked_mse_loss, (2, 3, 2))])


@both
def test_gradcheck(loss, shape):
    output, target = torch.randn(2, *shape, dtype=torch.float64)
    weights = torch.tensor([[1.7, 0., 0.3], [1., 1., 0.]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda output: loss(output, target, weights), output.requires_grad_())


@both
def test_nobody_visible_gives_loss_and_gradient_0(loss, shape):
    output = torch.randn(shape, requires_grad=True)
    value = loss(output, torch.randn(shape), torch.zeros(2, 3))
    value.backward()
    assert value == 0 and (output.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', [300., 1e-3, 1e-4])
@both
def test_half_precision_neither_overflows_nor_underflows(loss, shape, size, dtype):
    output = torch.full(shape, size, dtype=dtype, requires_grad=True)
    target, weights = torch.zeros(shape), torch.ones(2, 3, dtype=dtype)
    value = loss(output, target, weights)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value, loss(torch.full(shape, size), target), rtol=1e-2, atol=0)
    assert output.grad.isfinite().all()


@both
def test_autocast(loss, shape):
    arguments = torch.randn(shape), torch.randn(shape), torch.ones(2, 3)
    expected = loss(*arguments)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(*arguments), expected)


@pytest.mark.parametrize('module', [
    adaptive_balancer, consistency_losses, heatmap_losses, manual_balancer,
    oks_losses, ranking_losses, regression_losses, temporal_loss])
def test_examples_of_the_docstrings(module):
    failed, attempted = doctest.testmod(module)
    assert attempted and not failed
