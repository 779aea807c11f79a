"""The expected OKS beside MMPose's OKS, loops, and closed forms."""

import math

from mmpose_wloss.models.losses import ExpectedOKSLoss, expected_oks_loss
from mmpose_wloss.models.losses.oks_losses import AREA

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.codecs import MSRAHeatmap
from mmpose.models.losses import OKSLoss
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from small_losses import drawn_heatmaps, value_and_gradient

SIGMAS = [0.1, 0.05, 0.2]
both = pytest.mark.parametrize('normalization', ['softmax', 'sum'])


def loss_of(**arguments):
    return ExpectedOKSLoss(SIGMAS, **arguments)


@both
def test_it_is_its_definition(normalization):
    output, target, weights = drawn_heatmaps(torch.float64)
    height, width = target.shape[2:]
    risks = torch.empty(2, 3, dtype=torch.float64)
    for person, joint in np.ndindex(2, 3):
        center = divmod(int(target[person, joint].argmax()), width)
        scores = output[person, joint].tolist()
        values = {(y, x): math.exp(scores[y][x]) if normalization == 'softmax'
                  else max(scores[y][x], 0) for y, x in np.ndindex(height, width)}
        scale = 0.2 * height * width * (2 * SIGMAS[joint])**2
        risks[person, joint] = 1 - sum(
            value * math.exp(-math.dist(place, center)**2 / (2 * scale))
            for place, value in values.items()) / sum(values.values())
    loss = loss_of(area=0.2, normalization=normalization)
    torch.testing.assert_close(loss(output, target), risks.mean(), rtol=1e-6,
                               atol=0)
    torch.testing.assert_close(loss(output, target, weights),
                               (weights * risks).mean(), rtol=1e-6, atol=0)


@both
def test_of_a_single_pixel_it_is_the_stock_loss_of_that_place(normalization):
    _, target, _ = drawn_heatmaps()
    places = torch.tensor([[[3, 4], [0, 0], [11, 15]], [[5, 6], [9, 2], [1, 8]]])
    output = torch.full_like(target, -99)
    output.view(6, 16, 12)[torch.arange(6), places[..., 1].flatten(),
                           places[..., 0].flatten()] = 99
    peaks = target.flatten(2).argmax(-1)
    expected = OKSLoss('configs/_base_/datasets/coco.py')
    expected.sigmas = torch.tensor(SIGMAS)
    torch.testing.assert_close(
        loss_of(area=0.3, normalization=normalization)(output, target),
        expected(places.float(), torch.stack([peaks % 12, peaks // 12], -1).float(),
                 torch.ones(2, 3), torch.full((2, ), 0.3 * 16 * 12)))
    # at the joints nothing is lost
    sure = torch.where(target == target.amax((2, 3), keepdim=True), 99., -99.)
    assert loss_of(normalization=normalization)(sure, target) == 0


def test_a_uniform_heatmap_has_the_mean_oks():
    _, target, _ = drawn_heatmaps(torch.float64)
    flat, wide = 0 * target, [1e6, 1e6, 1e6]
    assert expected_oks_loss(flat, target, torch.tensor(wide)) < 1e-6
    narrow = torch.full((3, ), 1e-6)
    assert expected_oks_loss(flat, target, narrow).item() == pytest.approx(
        1 - 1 / (16 * 12))


def test_the_share_of_a_heatmap_is_one_scale():
    """Twice as fine a heatmap of the same crop has the same loss."""
    target = torch.zeros(1, 1, 200, 200, dtype=torch.float64)
    target[..., 90, 60] = 1
    coarse = torch.zeros(1, 1, 100, 100, dtype=torch.float64)
    coarse[..., 45, 30] = 1
    values = [expected_oks_loss(0 * each, each, torch.tensor([0.05]))
              for each in (target, coarse)]
    torch.testing.assert_close(*values, rtol=0.01, atol=0)


@both
def test_gradcheck(normalization):
    loss = loss_of(normalization=normalization)
    output, target, weights = drawn_heatmaps(torch.float64, (2, 3, 5, 4))
    mask = (torch.rand(2, 1, 5, 4) > 0.3).double()
    mask[1] = 0
    if normalization == 'sum':
        # not at its kink
        output = output.abs() + 0.01
    assert torch.autograd.gradcheck(
        lambda output: loss(output, target, weights, mask),
        output.requires_grad_())


@both
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_float32(normalization, dtype):
    loss = loss_of(normalization=normalization)
    output, target, weights = (each.to(dtype) for each in drawn_heatmaps())
    half = value_and_gradient(loss, output, target, weights)
    full = value_and_gradient(loss, output.float(), target.float(), weights.float())
    assert half[0].dtype == torch.float32 and half[1].dtype == dtype
    torch.testing.assert_close(half[0], full[0])
    torch.testing.assert_close(half[1].float(), full[1], rtol=0.01, atol=1e-4)
    with torch.autocast('cpu', torch.bfloat16):
        same = loss(output.float(), target.float(), weights.float())
    assert same.dtype == torch.float32
    torch.testing.assert_close(same, full[0])


@both
def test_autocast(normalization):
    arguments = drawn_heatmaps()
    expected = loss_of(normalization=normalization)(*arguments)
    with torch.autocast('cpu', torch.bfloat16):
        value = loss_of(normalization=normalization)(*arguments)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=0.01, atol=0)


@both
@pytest.mark.parametrize('shape', [(2, 3, 16, 12), (1, 3, 4, 3)])
def test_nobody_visible_gives_loss_and_gradient_0(normalization, shape):
    output, target, weights = drawn_heatmaps(shape=shape)
    for loss, arguments in (
            (loss_of(normalization=normalization), (target, 0 * weights)),
            (loss_of(normalization=normalization, skip_empty_channel=True),
             (0 * target, ))):
        value, gradient = value_and_gradient(loss, output, *arguments)
        assert value == 0 and (gradient == 0).all()


@both
def test_weights_and_masks(normalization):
    loss = loss_of(normalization=normalization, loss_weight=0.7)
    output, target, weights = drawn_heatmaps(torch.float64)
    expected = value_and_gradient(loss, output, target, weights)
    pixels = weights[..., None, None].expand_as(target)
    for call in (dict(target_weights=pixels), dict(mask=pixels),
                 dict(target_weights=weights, mask=torch.ones(2, 1, 16, 12))):
        torch.testing.assert_close(
            value_and_gradient(loss, output, target, **call), expected)
    torch.testing.assert_close(loss(output, target, 3 * weights), 3 * expected[0])
    # the joint is not where a pixel is masked
    mask = torch.ones(2, 1, 16, 12)
    mask[..., 6:] = 0
    other = output.clone()
    other[..., 6:] = 1e3
    torch.testing.assert_close(loss(other, target, weights, mask),
                               loss(output, target, weights, mask))


def test_a_stock_head_holds_it_and_learns_the_place():
    init_default_scope('mmpose')
    torch.manual_seed(0)
    codec = dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64),
                 sigma=2.)
    head = MODELS.build(dict(
        type='HeatmapHead', in_channels=8, out_channels=17,
        deconv_out_channels=None, decoder=codec, loss=dict(
            type='ExpectedOKSLoss', sigmas='configs/_base_/datasets/coco.py',
            use_target_weight=True)))
    # the weights of a head are those of its loss before
    assert not any('sigmas' in name for name in head.state_dict())
    data = get_packed_inputs(2, input_size=(192, 256),
                             heatmap_size=(48, 64))['data_samples']
    losses = head.loss((torch.randn(2, 8, 64, 48), ), data)
    losses['loss_kpt'].backward()
    assert 0 < losses['loss_kpt'] < 1

    target = torch.from_numpy(MSRAHeatmap((192, 256), (48, 64), 2.).encode(
        np.array([[[96., 128.]] * 17]), np.ones((1, 17)))['heatmaps'])[None]
    _, gradient = value_and_gradient(head.loss_module, 0 * target, target)
    assert torch.equal((-gradient).flatten(2).argmax(-1), target.flatten(2).argmax(-1))


# a box of 1 × 1 in a crop of 1.25 × 1.25, of which MMPose takes 0.53
def test_the_area_is_that_of_a_person_in_its_crop():
    assert pytest.approx(0.339, abs=1e-3) == AREA


@pytest.mark.parametrize('arguments', [
    dict(area=0), dict(area=math.nan), dict(normalization='sparsemax'),
    dict(sigmas=[]), dict(sigmas=[0.1, 0.])])
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match=[*arguments][0]):
        ExpectedOKSLoss(**{'sigmas': SIGMAS, **arguments})


def test_wrong_shapes():
    output, target, weights = drawn_heatmaps()
    with pytest.raises(ValueError, match=r'\(2, 3, 16, 12\).*\(2, 3, 16, 11'):
        loss_of()(output, target[..., :-1])
    with pytest.raises(ValueError, match='sigmas.*3.*2'):
        ExpectedOKSLoss([0.1, 0.1])(output, target)
    with pytest.raises(AssertionError):
        loss_of()(output, target, weights[:, :2])
