import doctest
import math
from pathlib import Path

from mmpose_wloss.models.losses import (
    FocusMSELoss,
    HeatmapWeightingMSELoss,
    WeightAdaptiveMSELoss,
    focus_mse_loss,
    heatmap_losses,
    heatmap_weighting_mse_loss,
    weight_adaptive_mse_loss,
)

import numpy as np
import pytest
import torch
from mmpose.codecs import MegviiHeatmap, MSRAHeatmap, UDPHeatmap
from mmpose.models.losses import KeypointMSELoss
from mmpose.registry import MODELS

FIXTURE = Path(__file__).parents[2] / 'data' / 'fmse.npz'
SHAPE = (2, 3, 16, 12)
LOSSES = {
    'focus': dict(type='FocusMSELoss'),
    'focus_neutral': dict(type='FocusMSELoss', gamma=0),
    'focus_fractional': dict(type='FocusMSELoss', gamma=1.5, delta=0.1),
    'focus_no_offset': dict(type='FocusMSELoss', gamma=2, delta=0),
    'focus_normalized': dict(type='FocusMSELoss', normalize=True),
    'weight_adaptive': dict(type='WeightAdaptiveMSELoss'),
    'weighting_linear': dict(type='HeatmapWeightingMSELoss'),
    'weighting_power': dict(type='HeatmapWeightingMSELoss', function='power'),
    'weighting_exponential': dict(
        type='HeatmapWeightingMSELoss', function='exponential'),
}
every_loss = pytest.mark.parametrize('config', LOSSES.values(), ids=LOSSES)


def heatmaps(dtype=torch.float32, shape=SHAPE, seed=0):
    """Random output, Gaussian target with background at exactly 0, weights."""
    generator = torch.Generator().manual_seed(seed)
    batch, keypoints, height, width = shape
    x = torch.arange(width).view(1, 1, 1, -1)
    y = torch.arange(height).view(1, 1, -1, 1)
    centre = torch.rand(batch, keypoints, 1, 1, 2, generator=generator)
    squares = ((x - centre[..., 0] * width)**2 +
               (y - centre[..., 1] * height)**2)
    target = torch.exp(-squares / 8)
    target[target < 1e-2] = 0
    output = target + 0.3 * torch.randn(shape, generator=generator)
    weights = torch.rand(batch, keypoints, generator=generator)
    weights[0, 0] = 0
    return output.to(dtype), target.to(dtype), weights.to(dtype)


def value_and_gradient(loss, output, *args, **kwargs):
    output = output.detach().clone().requires_grad_()
    value = loss(output, *args, **kwargs)
    value.backward()
    return value.detach(), output.grad


# Faithful to the sources


def test_focus_matches_reference_values():
    data = np.load(FIXTURE)
    output, target, weights = (
        torch.from_numpy(data[name])
        for name in ('pred', 'target', 'keypoint_weights'))
    for gamma, delta, loss, gradient in data['gamma_delta_loss_absgradsum']:
        module = FocusMSELoss(gamma=gamma, delta=delta, use_target_weight=True)
        value, grad = value_and_gradient(module, output, target, weights)
        assert value.item() == pytest.approx(loss, rel=1e-5)
        assert grad.abs().sum().item() == pytest.approx(gradient, rel=1e-5)


@pytest.mark.parametrize('gamma, delta', [(1, 1), (2, 0.5), (0.7, 0.1)])
def test_focus_is_its_equation(gamma, delta):
    output, target, weights = heatmaps(torch.float64)
    expected = (weights[..., None, None] * (target + delta)**gamma *
                (output - target)**2).mean()
    module = FocusMSELoss(gamma, delta, use_target_weight=True)
    torch.testing.assert_close(module(output, target, weights), expected)


@pytest.mark.parametrize('gamma', [0.01, 1.])
def test_weight_adaptive_is_its_equation(gamma):
    output, target, weights = heatmaps(torch.float64)

    def equation(output):
        power = target**gamma
        weight = power * (1 - output).abs() + (1 - power) * output.abs()
        return (weights[..., None, None] * weight *
                (output - target)**2).mean()

    module = WeightAdaptiveMSELoss(gamma, use_target_weight=True)
    torch.testing.assert_close(
        value_and_gradient(module, output, target, weights),
        value_and_gradient(equation, output))


@pytest.mark.parametrize('function, transform', [
    ('linear', lambda y: y), ('power', lambda y: y**2),
    ('exponential', torch.exp)])
def test_heatmap_weighting_is_its_equation(function, transform):
    output, target, weights = heatmaps(torch.float64)
    expected = (weights[..., None, None] * (transform(target) + 1) *
                (output - target)**2).mean()
    module = HeatmapWeightingMSELoss(function, use_target_weight=True)
    torch.testing.assert_close(module(output, target, weights), expected)


# The neutral setting is the stock loss


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('skip_empty_channel', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
def test_focus_with_gamma_0_is_stock(dtype, skip_empty_channel, weighted,
                                     masked, normalize):
    output, target, weights = heatmaps(dtype)
    target[1, 1] = 0
    arguments = dict(use_target_weight=weighted, loss_weight=0.7,
                     skip_empty_channel=skip_empty_channel)
    call = dict(target_weights=weights if weighted else None,
                mask=(target > 0.1).to(dtype) if masked else None)
    stock = value_and_gradient(
        KeypointMSELoss(**arguments), output, target, **call)
    focus = value_and_gradient(
        FocusMSELoss(gamma=0, normalize=normalize, **arguments), output,
        target, **call)
    assert torch.equal(focus[0], stock[0])
    assert torch.equal(focus[1], stock[1])


def test_heatmap_weighting_is_stock_where_the_target_is_empty():
    output, target, _ = heatmaps()
    target.zero_()
    torch.testing.assert_close(
        HeatmapWeightingMSELoss()(output, target),
        KeypointMSELoss()(output, target))


# Gradients


@every_loss
def test_gradcheck(config):
    module = MODELS.build(dict(config, use_target_weight=True))
    output, target, weights = heatmaps(torch.float64, (1, 2, 5, 4))
    weights += 0.1
    mask = torch.rand_like(target)
    assert torch.autograd.gradcheck(
        lambda output: module(output, target, weights, mask),
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
    module = MODELS.build(config)
    output, target, weights = heatmaps()
    features = output[:, :, :, :4].reshape(2, 3, -1).requires_grad_()
    matrix = torch.randn(features.shape[-1], 16 * 12)
    with torch.autocast('cpu', torch.bfloat16):
        heatmap = (features @ matrix).view(SHAPE)
        assert heatmap.dtype == torch.bfloat16
        loss = module(heatmap, target, weights)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and features.grad.isfinite().all()


# Nothing visible, nothing to divide by


@every_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_no_visible_keypoint_gives_loss_and_gradient_0(config, dtype):
    module = MODELS.build(dict(config, use_target_weight=True))
    output, target, weights = heatmaps(dtype)
    value, gradient = value_and_gradient(
        module, output, torch.zeros_like(target), torch.zeros_like(weights))
    assert value == 0
    assert (gradient == 0).all()


@every_loss
def test_all_channels_empty_and_skipped(config):
    module = MODELS.build(dict(config, skip_empty_channel=True))
    output, target, _ = heatmaps()
    value, gradient = value_and_gradient(
        module, output, torch.zeros_like(target))
    assert value == 0
    assert (gradient == 0).all()


@every_loss
def test_invisible_keypoints_do_not_count(config):
    module = MODELS.build(dict(config, use_target_weight=True))
    output, target, _ = heatmaps()
    weights = torch.ones(SHAPE[:2])
    weights[:, 1] = 0
    other = output.clone()
    other[:, 1] += 10
    assert module(output, target, weights) == module(other, target, weights)


@every_loss
def test_weights_act_linearly(config):
    module = MODELS.build(dict(config, use_target_weight=True))
    output, target, weights = heatmaps(torch.float64)
    if module.loss_function.keywords.get('normalize'):
        # the mean weight is taken over what is unmasked, so it stays
        weights = torch.ones_like(weights)
    torch.testing.assert_close(
        module(output, target, 3 * weights), 3 * module(output, target, weights))
    keypoints = [
        module(output, target, weights * torch.eye(3)[k]) for k in range(3)
    ]
    if not module.loss_function.keywords.get('normalize'):
        torch.testing.assert_close(
            sum(keypoints), module(output, target, weights))


@every_loss
def test_keypoint_pixel_and_mask_weights_agree(config):
    module = MODELS.build(config)
    output, target, weights = heatmaps(torch.float64)
    pixels = weights[..., None, None].expand(SHAPE)
    expected = module(output, target, weights)
    torch.testing.assert_close(module(output, target, pixels), expected)
    torch.testing.assert_close(module(output, target, mask=pixels), expected)
    torch.testing.assert_close(
        module(output, target, weights, torch.ones(2, 1, 16, 12)), expected)


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
    mask = torch.ones(SHAPE[:2] + (1, 1), dtype=torch.float64)
    mask[1] = 0
    half = focus_mse_loss(output, target, mask, normalize=True)
    alone = focus_mse_loss(output[:1], target[:1], normalize=True)
    torch.testing.assert_close(half, alone / 2)


# Codecs and heads


@pytest.mark.parametrize('codec', [MSRAHeatmap, UDPHeatmap])
@every_loss
def test_targets_of_stock_codecs(config, codec):
    codec = codec(input_size=(192, 256), heatmap_size=(48, 64), sigma=2.)
    # in the middle, at a pixel's centre, at the border and outside
    keypoints = np.array([[[96., 128.], [4., 8.], [191., 255.], [500., 9.]]])
    encoded = codec.encode(keypoints, np.ones((1, 4)))
    target = torch.from_numpy(encoded['heatmaps'])[None]
    weights = torch.from_numpy(encoded['keypoint_weights'])
    value, gradient = value_and_gradient(
        MODELS.build(config), torch.zeros_like(target), target, weights)
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
    with pytest.raises(ValueError, match='255 for MegviiHeatmap'):
        MODELS.build(config)(target, target)


@pytest.mark.parametrize('name', ['focus', 'weight_adaptive',
                                  'weighting_power'])
def test_heatmaps_of_another_peak(name):
    output, target, weights = heatmaps(torch.float64)
    unit = MODELS.build(LOSSES[name])(output, target, weights)
    scaled = MODELS.build(dict(LOSSES[name], heatmap_max=255.))(
        255 * output, 255 * target, weights)
    torch.testing.assert_close(scaled, 255**2 * unit)
    module = MODELS.build(dict(LOSSES[name], heatmap_max=255.))
    assert torch.autograd.gradcheck(
        lambda output: module(output, 255 * target), output.requires_grad_())


@every_loss
def test_inputs_are_left_as_they_are(config):
    output, target, weights = heatmaps()
    copies = [tensor.clone() for tensor in (output, target, weights)]
    MODELS.build(config)(output.requires_grad_(), target, weights).backward()
    for tensor, copy in zip((output, target, weights), copies, strict=True):
        assert torch.equal(tensor, copy)


# Wrong input


@pytest.mark.parametrize('config, message', [
    (dict(type='FocusMSELoss', gamma=-1), 'gamma must be at least 0.*-1'),
    (dict(type='FocusMSELoss', gamma=float('nan')), 'gamma must be at least'),
    (dict(type='FocusMSELoss', gamma=1.5, delta=0), 'delta must be above 0'),
    (dict(type='FocusMSELoss', gamma=1.5, delta=-1), 'delta must be at least'),
    (dict(type='FocusMSELoss', gamma=2, delta=-1), 'delta must be at least'),
    (dict(type='FocusMSELoss', heatmap_max=0), 'heatmap_max must be above 0'),
    (dict(type='WeightAdaptiveMSELoss', gamma=0), 'gamma must be above 0'),
    (dict(type='HeatmapWeightingMSELoss', function='cubic'), 'linear.*cubic'),
])
def test_wrong_arguments(config, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


@every_loss
def test_wrong_shapes(config):
    module = MODELS.build(config)
    output, target, weights = heatmaps()
    with pytest.raises(ValueError, match=r'\(2, 3, 16, 12\).*\(2, 3, 16, 11'):
        module(output, target[..., :-1])
    with pytest.raises(AssertionError, match='mismatched shapes'):
        module(output, target, weights[:, :2])


@every_loss
@pytest.mark.parametrize('wrong', [-0.1, 1.1, 255., float('nan')])
def test_target_outside_its_range(config, wrong):
    module = MODELS.build(config)
    output, target, weights = heatmaps()
    module(output, target, weights)
    target[1, 2, 3, 4] = wrong
    with pytest.raises(ValueError, match='heatmap_max'):
        module(output, target, weights)


@every_loss
def test_target_outside_its_range_by_rounding(config):
    output, target, weights = heatmaps()
    target[0, 0, 0, 0], target[0, 0, 0, 1] = -1e-6, 1 + 1e-6
    value, gradient = value_and_gradient(
        MODELS.build(config), output, target, weights)
    assert value.isfinite() and gradient.isfinite().all()


def test_modules_show_their_parameters():
    assert 'gamma=3, delta=0.5' in repr(FocusMSELoss(3, 0.5))
    assert "function='power'" in repr(HeatmapWeightingMSELoss('power'))


def test_examples_of_the_docstrings():
    failed, attempted = doctest.testmod(heatmap_losses)
    assert attempted > 5 and failed == 0
