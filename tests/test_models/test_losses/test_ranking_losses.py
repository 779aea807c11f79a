"""Ranking losses beside loops over pairs, and in the stock heads."""

import math

from mmpose_wloss.models.losses import (
    RankSortDiscretLoss,
    RankSortLoss,
    instance_sort_loss,
    spatial_rank_sort_loss,
)

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.codecs import MSRAHeatmap, SimCCLabel, UDPHeatmap
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from small_losses import drawn_heatmaps, value_and_gradient


def step(difference, delta):
    return min(1., max(0., difference / (2 * delta) + 0.5))


def rank_and_sort(scores, labels, negatives, delta):
    """Loss and identity update by the definition, from sums over primary terms.

    Takes lists; positives are those with a label of at least 0.
    """
    positives = [i for i, label in enumerate(labels) if label >= 0]
    total, gradient = 0., [0.] * len(scores)
    for i in positives:
        above = [step(score - scores[i], delta) for score in scores]
        false = sum(above[j] for j in negatives)
        rank_among_positives = sum(above[j] for j in positives)
        ranking = false / (rank_among_positives + false)
        current = sum(above[j] * (1 - labels[j])
                      for j in positives) / rank_among_positives
        in_order = [j for j in positives if labels[j] >= labels[i]]
        best = (sum(above[j] * (1 - labels[j]) for j in in_order)
                / sum(above[j] for j in in_order))
        total += ranking + current - best
        # a primary term of a pair moves its two scores apart
        worse = [j for j in positives if labels[j] < labels[i]]
        for group, error in ((negatives, ranking), (worse, current - best)):
            mass = sum(above[j] for j in group)
            for j in group if mass else ():
                term = error * above[j] / mass
                gradient[i] -= term
                gradient[j] += term
    count = max(1, len(positives))
    return total / count, [each / count for each in gradient]


def spatial_reference(output, target, positives, delta):
    """Loss of each heatmap and gradient of their mean, in loops."""
    losses, gradients = [], []
    for scores, labels in zip(output.flatten(2).flatten(0, 1).tolist(),
                              target.flatten(2).flatten(0, 1).tolist(),
                              strict=True):
        order = sorted(range(len(labels)), key=lambda i: -labels[i])[:positives]
        order = [i for i in order if labels[i] > 0]
        peak = max(labels)
        lowest = labels[order[-1]] if order else math.inf
        negatives = [i for i, label in enumerate(labels) if label < lowest]
        marks = [labels[i] / peak if i in order else -1.
                 for i in range(len(labels))]
        loss, gradient = rank_and_sort(
            [*scores, 0.], [*marks, -1.], [*negatives, len(scores)], delta)
        losses.append(loss)
        gradients.append(gradient[:-1])
    return (torch.tensor(losses, dtype=torch.float64).view(output.shape[:2]),
            torch.tensor(gradients, dtype=torch.float64).view_as(output))


# The equations


@pytest.mark.parametrize('delta', [0.1, 0.5, 3.])
@pytest.mark.parametrize('positives', [1, 7, 200])
def test_spatial_loss_is_its_definition(positives, delta):
    # without ties, of which any could be positive
    output, target, _ = drawn_heatmaps(torch.float64)
    target[0, 0] = 0
    losses, gradient = spatial_reference(output, target, positives, delta)
    arguments = dict(positives=positives, delta=delta)
    torch.testing.assert_close(
        value_and_gradient(spatial_rank_sort_loss, output, target, **arguments),
        (losses.mean(), gradient / losses.numel()))
    weights = torch.rand(2, 3, dtype=torch.float64)
    torch.testing.assert_close(
        value_and_gradient(spatial_rank_sort_loss, output, target, weights,
                           **arguments),
        ((weights * losses).mean(),
         weights[..., None, None] * gradient / losses.numel()))


def test_heatmaps_of_one_axis():
    output, target, _ = (each[:, :, 5] if each.ndim == 4 else each
                         for each in drawn_heatmaps(torch.float64))
    losses, gradient = spatial_reference(output, target, 7, 0.5)
    torch.testing.assert_close(
        value_and_gradient(spatial_rank_sort_loss, output, target, positives=7),
        (losses.mean(), gradient / losses.numel()))


@pytest.mark.parametrize('size', [1., 1e3])
def test_sums_between_knots_lose_no_digits(size):
    """Scores of float32 far from 0, nearly equal, as of a level of a map."""
    torch.manual_seed(0)
    output = size + 1e-3 * torch.randn(1, 1, 40, 40)
    target = drawn_heatmaps(shape=(1, 1, 40, 40))[1]
    losses, gradient = spatial_reference(output.double(), target.double(), 9, 0.5)
    value, grad = value_and_gradient(spatial_rank_sort_loss, output, target,
                                     positives=9)
    assert value.item() == pytest.approx(losses.item(), rel=1e-6)
    torch.testing.assert_close(grad.double(), gradient, rtol=1e-5, atol=1e-9)


def test_instance_loss_is_its_definition():
    torch.manual_seed(0)
    scores, qualities = torch.rand(2, 9, 4, dtype=torch.float64)
    loss, gradient = rank_and_sort(
        scores.mean(1).tolist(), qualities.mean(1).tolist(), [], 0.5)
    value, grad = value_and_gradient(instance_sort_loss, scores, qualities)
    assert value.item() == pytest.approx(loss)
    torch.testing.assert_close(grad, torch.tensor(
        gradient, dtype=torch.float64)[:, None].expand(9, 4) / 4)


def test_a_person_is_the_mean_of_the_joints_by_weight():
    torch.manual_seed(0)
    scores, qualities, weights = torch.rand(3, 5, 4, dtype=torch.float64)
    weights[0, 1], weights[3] = 0, 0
    people = [(each * weights).sum(1) / weights.sum(1) for each in
              (scores, qualities)]
    present = [0, 1, 2, 4]
    once = instance_sort_loss(*(each[present, None] for each in people))
    alike = (weights > 0).to(weights)
    people = [((each * alike).sum(1) / alike.sum(1))[present, None]
              for each in (scores, qualities)]
    assert instance_sort_loss(scores, qualities, alike) == pytest.approx(
        instance_sort_loss(*people).item())
    assert once.isfinite()
    # the largest weight of a person multiplies its own error
    double = alike.clone()
    double[2] *= 2
    alone = torch.zeros_like(alike)
    alone[2] = alike[2]
    _, gradient = value_and_gradient(instance_sort_loss, scores, qualities, double)
    _, base = value_and_gradient(instance_sort_loss, scores, qualities, alike)
    assert not torch.equal(gradient, base) and (gradient[3] == 0).all()
    assert instance_sort_loss(scores, qualities, 3 * alike) == pytest.approx(
        3 * instance_sort_loss(scores, qualities, alike).item())
    # there is nothing to sort
    assert instance_sort_loss(scores, qualities, alone) == 0


@pytest.mark.parametrize('loss', [
    lambda scores, target: spatial_rank_sort_loss(scores, target, positives=2),
    lambda scores, target: instance_sort_loss(scores[0], target[0])])
def test_an_update_moves_scores_apart_and_keeps_their_sum(loss):
    torch.manual_seed(0)
    scores, target = 9 + torch.rand(2, 1, 6, 5, dtype=torch.float64)
    _, gradient = value_and_gradient(loss, scores, target)
    # that of the further negative with the score 0, far below, is 0
    assert gradient.abs().sum() > 0
    assert gradient.sum().item() == pytest.approx(0, abs=1e-12)


def test_a_heatmap_in_order_costs_nothing():
    _, target, weights = drawn_heatmaps(torch.float64)
    # a step of the target is less than the ramp of H
    for loss in (lambda output, target: spatial_rank_sort_loss(output, target),
                 RankSortLoss()):
        value, gradient = value_and_gradient(loss, 1e6 * target + 1, target)
        assert value < 0.2 and gradient.abs().max() < 0.2
    first = RankSortLoss(positives=1)
    value, gradient = value_and_gradient(first, 1e6 * target + 1, target)
    assert value == 0 and (gradient == 0).all()
    # background above the joints is the worst
    worst = spatial_rank_sort_loss(-1e6 * target - 1, target)
    assert worst > 0.9


def test_peaks_are_driven_above_0():
    """Decoders take a peak of at most 0 for no joint."""
    _, target, _ = drawn_heatmaps()
    output = (-3 + 0 * target).requires_grad_()
    optimizer = torch.optim.SGD([output], 1e2)
    for _ in range(60):
        optimizer.zero_grad()
        spatial_rank_sort_loss(output, target, positives=3).backward()
        optimizer.step()
    peaks, places = output.flatten(2).max(-1)
    assert (peaks > 0).all()
    assert (places == target.flatten(2).argmax(-1)).float().mean() > 0.8


# Numbers, weights, masks

MODULES = {
    'plain': dict(type='RankSortLoss'),
    'few': dict(type='RankSortLoss', positives=3, delta=0.1),
    'spatial': dict(type='RankSortLoss', instance_weight=0.)}
every_loss = pytest.mark.parametrize('config', MODULES.values(), ids=MODULES)


@every_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_float32(config, dtype):
    module = MODELS.build(config)
    output, target, weights = (each.to(dtype) for each in drawn_heatmaps())
    half = value_and_gradient(module, output, target, weights)
    full = value_and_gradient(module, output.float(), target.float(),
                              weights.float())
    assert half[0].dtype == torch.float32 and half[1].dtype == dtype
    torch.testing.assert_close(half[0], full[0])
    torch.testing.assert_close(half[1].float(), full[1], rtol=0.01, atol=1e-5)


@every_loss
def test_autocast(config):
    features = torch.randn(2, 3, 64, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        heatmap = (features @ torch.randn(64, 16 * 12)).view(2, 3, 16, 12)
        loss = MODELS.build(config)(heatmap, *drawn_heatmaps()[1:])
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and features.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize('shape', [(2, 3, 16, 12), (1, 1, 4, 3), (0, 3, 4, 3)])
def test_nobody_visible_and_few_people(config, shape):
    output, target, weights = drawn_heatmaps(shape=shape)
    module = MODELS.build(config)
    for arguments in ((target, 0 * weights), (0 * target, )):
        value, gradient = value_and_gradient(module, output, *arguments)
        if shape[0]:
            assert value == 0 or arguments[-1] is not target
        assert (gradient == 0).all()
    if shape[0] == 1:
        value, gradient = value_and_gradient(module, output, target)
        assert value.isfinite() and gradient.isfinite().all()


@every_loss
def test_a_target_of_any_peak_is_the_same(config):
    module = MODELS.build(config)
    output, target, weights = drawn_heatmaps(torch.float64)
    torch.testing.assert_close(
        value_and_gradient(module, output, 255 * target, weights),
        value_and_gradient(module, output, target, weights))


@every_loss
def test_weights_and_masks(config):
    module = MODELS.build(config)
    output, target, weights = drawn_heatmaps(torch.float64)
    expected = value_and_gradient(module, output, target, weights)
    pixels = weights[..., None, None].expand_as(target)
    for call in (dict(target_weights=pixels), dict(mask=pixels),
                 dict(target_weights=weights, mask=torch.ones(2, 1, 16, 12))):
        torch.testing.assert_close(
            value_and_gradient(module, output, target, **call), expected)
    # whose weight is 0
    assert (expected[1][0, 0] == 0).all()
    torch.testing.assert_close(module(output, target, 3 * weights),
                               3 * expected[0])


def test_masked_pixels_do_not_rank():
    output, target, _ = drawn_heatmaps(torch.float64)
    mask = torch.ones(2, 1, 16, 12)
    mask[..., 6:] = 0
    losses, gradient = spatial_reference(
        output[..., :6], target[..., :6], 5, 0.5)
    value, grad = value_and_gradient(
        spatial_rank_sort_loss, output, target, None, mask, positives=5)
    torch.testing.assert_close(value, losses.mean())
    torch.testing.assert_close(grad[..., :6], gradient / losses.numel())
    assert (grad[..., 6:] == 0).all()


def test_masked_pixels_are_no_peaks():
    output, target, weights = drawn_heatmaps(torch.float64)
    mask = torch.ones(2, 1, 16, 12)
    mask[..., 6:] = 0
    expected = value_and_gradient(
        RankSortLoss(), output[..., :6], target[..., :6], weights)
    output[..., 6:] += 9
    value, gradient = value_and_gradient(RankSortLoss(), output, target, weights, mask)
    torch.testing.assert_close((value, gradient[..., :6]), expected)
    assert (gradient[..., 6:] == 0).all()


# Heads and codecs


@pytest.mark.parametrize('codec', [MSRAHeatmap, UDPHeatmap])
def test_targets_of_stock_codecs(codec):
    codec = codec(input_size=(192, 256), heatmap_size=(48, 64), sigma=2.)
    # in the middle, at a pixel's center, at the border and outside
    keypoints = np.array([[[96., 128.], [4., 8.], [191., 255.], [500., 9.]]])
    target, weights = (
        torch.from_numpy(value) for name, value in
        codec.encode(keypoints, np.ones((1, 4))).items())
    value, gradient = value_and_gradient(
        RankSortLoss(), 0 * target[None], target[None], weights)
    assert 0 < value < 2 and gradient.isfinite().all()
    # uphill at the joint, and nothing where no joint is
    peaks = target[:3].flatten(1).argmax(1)
    assert (gradient[0, :3].flatten(1).gather(1, peaks[:, None]) < 0).all()
    assert (gradient[0, 3] == 0).all()


@pytest.mark.parametrize('normalize', [False, True])
def test_simcc_is_both_axes_and_the_people(normalize):
    codec = SimCCLabel((48, 64), sigma=3., normalize=normalize)
    torch.manual_seed(0)
    keypoints = (torch.rand(4, 3, 2) * torch.tensor([40., 60.])).numpy()
    encoded = codec.encode(keypoints, np.ones((4, 3)))
    target = [torch.from_numpy(encoded[f'keypoint_{axis}_labels'])
              for axis in 'xy']
    output = [size * each + 0.1 * torch.randn_like(each)
              for each, size in zip(target, (1, 3), strict=True)]
    weights = torch.ones(4, 3)
    weights[0, 1] = 0
    spatial = sum(spatial_rank_sort_loss(*axis, weights)
                  for axis in zip(output, target, strict=True))
    plain = RankSortDiscretLoss(instance_weight=0.)(output, target, weights)
    torch.testing.assert_close(plain, spatial)

    # a joint's place is its codec's, and its score too
    places, scores = zip(*(codec.decode(x[None].numpy(), y[None].numpy())
                           for x, y in zip(*output, strict=True)), strict=True)
    places, scores = np.concatenate(places), np.concatenate(scores)
    # labels are drawn at a bin's center
    squares = ((places - np.around(2 * keypoints) / 2)**2).sum(-1)
    qualities = torch.from_numpy(np.exp(-squares * 4 / (2 * 3**2)))
    people = instance_sort_loss(torch.from_numpy(scores), qualities.float(), weights)
    assert people > 0.01
    torch.testing.assert_close(
        RankSortDiscretLoss(loss_weight=2.)(output, target, weights),
        2 * (spatial + people), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        RankSortDiscretLoss(use_target_weight=False)(output, target, weights),
        RankSortDiscretLoss()(output, target))


@pytest.mark.parametrize('head', [
    dict(type='HeatmapHead', deconv_out_channels=None,
         loss=dict(type='RankSortLoss', use_target_weight=True),
         decoder=dict(type='MSRAHeatmap', input_size=(48, 64),
                      heatmap_size=(6, 8), sigma=2.)),
    dict(type='SimCCHead', input_size=(48, 64), in_featuremap_size=(6, 8),
         deconv_out_channels=None, loss=dict(type='RankSortDiscretLoss'),
         decoder=dict(type='SimCCLabel', input_size=(48, 64), sigma=6.)),
    dict(type='RTMCCHead', input_size=(48, 64), in_featuremap_size=(6, 8),
         loss=dict(type='RankSortDiscretLoss'),
         decoder=dict(type='SimCCLabel', input_size=(48, 64), sigma=6.))],
    ids=lambda head: head['type'])
def test_a_stock_head_holds_it(head):
    init_default_scope('mmpose')
    torch.manual_seed(0)
    head = MODELS.build(dict(head, in_channels=8, out_channels=17))
    data = get_packed_inputs(
        2, input_size=(48, 64), heatmap_size=(6, 8),
        simcc_split_ratio=2.0, with_simcc_label=True)['data_samples']
    losses = head.loss((torch.randn(2, 8, 8, 6), ), data)
    losses['loss_kpt'].backward()
    assert 0 < losses['loss_kpt'] < 6
    assert all(parameter.grad.isfinite().all()
               for parameter in head.parameters() if parameter.grad is not None)
    assert head.predict((torch.randn(2, 8, 8, 6), ), data)[0].keypoints.shape == (
        1, 17, 2)


# Wrong input


@pytest.mark.parametrize('kind', ['RankSortLoss', 'RankSortDiscretLoss'])
@pytest.mark.parametrize('name, value', [
    ('positives', 0), ('positives', 2.5), ('delta', 0), ('delta', math.nan),
    ('instance_weight', -1)])
def test_wrong_arguments(kind, name, value):
    with pytest.raises(ValueError, match=f'{name}.*{value}'):
        MODELS.build({'type': kind, name: value})


def test_wrong_shapes():
    output, target, weights = drawn_heatmaps()
    with pytest.raises(ValueError, match=r'\(2, 3, 16, 12\).*\(2, 3, 16, 11'):
        RankSortLoss()(output, target[..., :-1])
    with pytest.raises(AssertionError):
        RankSortLoss()(output, target, weights[:, :2])
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(2, 2\)'):
        instance_sort_loss(weights, weights[:, :2])
