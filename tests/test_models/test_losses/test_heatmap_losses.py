"""Heatmap losses: fixtures and equations, the stock loss, codecs, numbers."""

import math
from pathlib import Path

from mmpose_wloss.models.losses import (
    FocusMSELoss,
    HeatmapWeightingMSELoss,
    WeightAdaptiveMSELoss,
    focus_mse_loss,
    heatmap_weighting_mse_loss,
    weight_adaptive_mse_loss,
)

import numpy as np
import pytest
import torch
from mmpose.codecs import MegviiHeatmap, MSRAHeatmap, UDPHeatmap
from mmpose.models.losses import KeypointMSELoss
from mmpose.registry import MODELS
from small_losses import drawn_heatmaps as heatmaps
from small_losses import value_and_gradient

FIXTURE = Path(__file__).parents[2] / 'data' / 'fmse.npz'
SHAPE = (2, 3, 16, 12)
LOSSES = {
    'focus': dict(type='FocusMSELoss'),
    'focus_neutral': dict(type='FocusMSELoss', gamma=0),
    'focus_fractional': dict(type='FocusMSELoss', gamma=1.5, delta=0),
    'focus_no_offset': dict(type='FocusMSELoss', gamma=2, delta=0),
    'focus_normalized': dict(type='FocusMSELoss', normalize=True),
    'weight_adaptive': dict(type='WeightAdaptiveMSELoss'),
    'weighting_linear': dict(type='HeatmapWeightingMSELoss'),
    'weighting_power': dict(type='HeatmapWeightingMSELoss', function='power'),
    'weighting_exponential': dict(
        type='HeatmapWeightingMSELoss', function='exponential'),
}
every_loss = pytest.mark.parametrize('config', LOSSES.values(), ids=LOSSES)


# Fixtures and equations


def test_focus_matches_reference_values():
    data = np.load(FIXTURE)
    output, target, weights = (
        torch.from_numpy(data[name])
        for name in ('pred', 'target', 'keypoint_weights'))
    for gamma, delta, loss, gradient in data['gamma_delta_loss_absgradsum']:
        module = FocusMSELoss(gamma=gamma, delta=delta, use_target_weight=True)
        value, grad = value_and_gradient(module, output, target, weights)
        assert value.item() == pytest.approx(loss, rel=1e-6)
        assert grad.abs().sum().item() == pytest.approx(gradient, rel=1e-6)


@pytest.mark.parametrize('loss, weight', [
    (FocusMSELoss(1, 1), lambda p, y: y + 1),
    (FocusMSELoss(2, 0.5), lambda p, y: (y + 0.5)**2),
    (FocusMSELoss(0.7, 0.1), lambda p, y: (y + 0.1)**0.7),
    *((WeightAdaptiveMSELoss(gamma), lambda p, y, gamma=gamma: (
        y**gamma * (1 - p).abs() + (1 - y**gamma) * p.abs()))
      for gamma in (0.01, 1.)),
    (HeatmapWeightingMSELoss(), lambda p, y: y + 1),
    (HeatmapWeightingMSELoss('power'), lambda p, y: y**2 + 1),
    (HeatmapWeightingMSELoss('exponential'), lambda p, y: y.exp() + 1)])
def test_it_is_its_equation(loss, weight):
    output, target, weights = heatmaps(torch.float64)
    torch.testing.assert_close(
        value_and_gradient(loss, output, target, weights),
        value_and_gradient(
            lambda p: (weights[..., None, None] * weight(p, target) *
                       (p - target)**2).mean(), output))


# The neutral setting is the stock loss


@pytest.mark.parametrize('skip_empty_channel', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
def test_focus_with_gamma_0_is_stock(skip_empty_channel, weighted, masked,
                                     normalize):
    output, target, weights = heatmaps()
    target[1, 1] = 0
    arguments = dict(use_target_weight=weighted, loss_weight=0.7,
                     skip_empty_channel=skip_empty_channel)
    call = dict(target_weights=weights if weighted else None,
                mask=(target > 0.1).float() if masked else None)
    torch.testing.assert_close(*(
        value_and_gradient(loss, output, target, **call) for loss in (
            FocusMSELoss(gamma=0, normalize=normalize, **arguments),
            KeypointMSELoss(**arguments))), rtol=0, atol=0)


# Gradients and numbers


@pytest.mark.parametrize('peak', [1., 255.])
@every_loss
def test_gradcheck(config, peak):
    module = MODELS.build(dict(config, heatmap_max=peak))
    output, target, weights = heatmaps(torch.float64, (1, 2, 5, 4))
    mask = torch.rand_like(target)
    assert torch.autograd.gradcheck(
        lambda output: module(peak * output, peak * target, weights + 0.1, mask),
        output.requires_grad_())


@pytest.mark.parametrize('function', [
    focus_mse_loss, weight_adaptive_mse_loss, heatmap_weighting_mse_loss])
def test_gradient_reaches_a_target_through_the_difference(function):
    output, target, weights = heatmaps(torch.float64)
    mask = weights[..., None, None]
    asked = target.clone().requires_grad_()
    function(output, asked, mask).backward()
    # where the target is 0, the weights' own slope may be infinite
    assert asked.grad.isfinite().all()
    # the loss is quadratic in the difference: <gradient, difference> = -2 L
    torch.testing.assert_close((asked.grad * (output - target)).sum(),
                               -2 * function(output, target, mask))


@every_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_float32(config, dtype):
    module = MODELS.build(config)
    output, target, weights = heatmaps()
    half = value_and_gradient(
        module, output.to(dtype), target.to(dtype), weights.to(dtype))
    full = value_and_gradient(module, output, target, weights)
    assert half[0].dtype == torch.float32
    assert half[1].dtype == dtype
    torch.testing.assert_close(half[0], full[0], rtol=0.02, atol=0)
    assert half[1].isfinite().all()


@every_loss
def test_autocast(config):
    features = torch.randn(2, 3, 64, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        heatmap = (features @ torch.randn(64, 16 * 12)).view(SHAPE)
        loss = MODELS.build(config)(heatmap, *heatmaps()[1:])
    loss.backward()
    assert heatmap.dtype == torch.bfloat16 and loss.dtype == torch.float32
    assert loss.isfinite() and features.grad.isfinite().all()


# Weights and masks


@every_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize('skip_empty_channel', [False, True])
def test_nobody_visible_gives_loss_and_gradient_0(config, dtype,
                                                  skip_empty_channel):
    module = MODELS.build(dict(config, skip_empty_channel=skip_empty_channel))
    output, target, weights = heatmaps(dtype)
    value, gradient = value_and_gradient(
        module, output, 0 * target, None if skip_empty_channel else 0 * weights)
    assert value == 0 and (gradient == 0).all()


@every_loss
def test_weights_and_masks(config):
    module = MODELS.build(config)
    output, target, weights = heatmaps(torch.float64)
    expected = module(output, target, weights)
    pixels = weights[..., None, None].expand(SHAPE)
    for call in (dict(target_weights=pixels), dict(mask=pixels),
                 dict(target_weights=weights, mask=torch.ones(2, 1, 16, 12))):
        torch.testing.assert_close(module(output, target, **call), expected)
    # whose weight is 0
    other = output.clone()
    other[0, 0] += 10
    assert module(other, target, weights) == expected
    if config.get('normalize'):
        # the mean weight is taken over what is unmasked, so it stays
        weights = torch.ones_like(weights)
    torch.testing.assert_close(module(output, target, 3 * weights),
                               3 * module(output, target, weights))


def test_normalize_keeps_the_scale_of_mse():
    target = heatmaps(torch.float64, (8, 17, 64, 48))[1]
    # an error that is the same everywhere
    output = target + 0.1
    for gamma, delta in ((1, 0.1), (2, 1), (4, 1)):
        loss = focus_mse_loss(output, target, None, gamma, delta, True)
        assert loss.item() == pytest.approx(0.01)
        assert focus_mse_loss(output, target, None, gamma, delta).item() != (
            pytest.approx(0.01))


def test_normalize_ignores_the_masked_share():
    output, target, _ = heatmaps(torch.float64)
    mask = torch.tensor([1., 0.]).view(2, 1, 1, 1)
    half = focus_mse_loss(output, target, mask, normalize=True)
    alone = focus_mse_loss(output[:1], target[:1], normalize=True)
    torch.testing.assert_close(half, alone / 2)


# Codecs and heads


@pytest.mark.parametrize('codec', [MSRAHeatmap, UDPHeatmap])
@every_loss
def test_targets_of_stock_codecs(config, codec):
    codec = codec(input_size=(192, 256), heatmap_size=(48, 64), sigma=2.)
    # in the middle, at a pixel's center, at the border and outside
    keypoints = np.array([[[96., 128.], [4., 8.], [191., 255.], [500., 9.]]])
    target, weights = (
        torch.from_numpy(value) for name, value in
        codec.encode(keypoints, np.ones((1, 4))).items())
    value, gradient = value_and_gradient(
        MODELS.build(config), 0 * target[None], target[None], weights)
    assert 0 < value.item() < math.inf
    assert gradient.isfinite().all()


@every_loss
def test_the_peak_of_megvii_heatmaps_may_be_exceeded(config):
    codec = MegviiHeatmap(
        input_size=(192, 256), heatmap_size=(48, 64), kernel_size=5)
    target = torch.from_numpy(
        codec.encode(np.array([[[4., 4.]]]), np.ones((1, 1)))['heatmaps'])[None]
    assert target.max() > 1.2 * 255
    value, gradient = value_and_gradient(
        MODELS.build(dict(config, heatmap_max=255.)), target + 1, target)
    assert value.isfinite() and gradient.isfinite().all()
    with pytest.raises(ValueError, match='255'):
        MODELS.build(config)(target, target)


@every_loss
def test_heatmaps_of_another_peak(config):
    output, target, weights = heatmaps(torch.float64)
    unit = MODELS.build(config)(output, target, weights)
    scaled = MODELS.build(dict(config, heatmap_max=255.))(
        255 * output, 255 * target, weights)
    torch.testing.assert_close(scaled, 255**2 * unit)


# Wrong input


@pytest.mark.parametrize('kind, name, value', [
    ('FocusMSELoss', 'gamma', -1), ('FocusMSELoss', 'gamma', math.nan),
    ('FocusMSELoss', 'delta', -1), ('FocusMSELoss', 'heatmap_max', 0),
    ('WeightAdaptiveMSELoss', 'gamma', 0),
    ('HeatmapWeightingMSELoss', 'function', 'cubic')])
def test_wrong_arguments(kind, name, value):
    with pytest.raises(ValueError, match=f'{name}.*{value}'):
        MODELS.build({'type': kind, name: value})


@every_loss
def test_wrong_shapes(config):
    module = MODELS.build(config)
    output, target, weights = heatmaps()
    with pytest.raises(ValueError, match=r'\(2, 3, 16, 12\).*\(2, 3, 16, 11'):
        module(output, target[..., :-1])
    with pytest.raises(AssertionError):
        module(output, target, weights[:, :2])


@every_loss
@pytest.mark.parametrize('wrong', [-0.1, 1.1, 255., math.nan])
def test_target_outside_its_range(config, wrong):
    module = MODELS.build(config)
    output, target, weights = heatmaps()
    # by rounding it may be
    target[0, 0, 0, 0], target[0, 0, 0, 1] = -1e-6, 1 + 1e-6
    value, gradient = value_and_gradient(module, output, target, weights)
    assert value.isfinite() and gradient.isfinite().all()
    target[1, 2, 3, 4] = wrong
    with pytest.raises(ValueError, match='heatmap_max'):
        module(output, target, weights)


def test_modules_show_their_parameters():
    assert 'gamma=3, delta=0.5' in repr(FocusMSELoss(3, 0.5))
