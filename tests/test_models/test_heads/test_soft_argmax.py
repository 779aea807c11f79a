from mmpose_wloss.models.heads import soft_argmax

import pytest
import torch

SHAPES = [(2, 3, 5, 4), (2, 3, 6, 5, 4), (2, 3, 9, 5, 4), (1, 2, 2, 2, 2)]


def by_definition(heatmaps, beta):
    shares = (heatmaps * beta).flatten(2).softmax(-1).view_as(heatmaps)
    places = []
    for dim in range(heatmaps.ndim - 1, 1, -1):
        others = [other for other in range(2, heatmaps.ndim) if other != dim]
        bins = torch.arange(heatmaps.shape[dim], dtype=heatmaps.dtype)
        places.append((shares.sum(others) * bins).sum(-1))
    return torch.stack(places, -1)


@pytest.mark.parametrize('shape', SHAPES)
def test_it_is_the_mean_under_a_softmax(shape):
    torch.manual_seed(0)
    heatmaps = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    before = heatmaps.detach().clone()
    places = soft_argmax(heatmaps, 3.)
    expected = by_definition(heatmaps, 3.)
    assert places.shape == (*shape[:2], len(shape) - 2)
    torch.testing.assert_close(places, expected)
    weights = torch.randn_like(places)
    torch.testing.assert_close(
        *(torch.autograd.grad((each * weights).sum(), heatmaps)[0]
          for each in (places, expected)))
    assert torch.autograd.gradcheck(
        lambda heatmaps: soft_argmax(heatmaps, 3.), heatmaps)
    assert heatmaps.equal(before)


def test_a_constant_added_changes_nothing_and_great_values_are_finite():
    torch.manual_seed(0)
    heatmaps = torch.rand(1, 2, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(soft_argmax(heatmaps),
                               soft_argmax(heatmaps + 7))
    heatmaps = (1e4 * heatmaps.float()).requires_grad_()
    places = soft_argmax(heatmaps)
    places.sum().backward()
    assert places.isfinite().all() and heatmaps.grad.isfinite().all()
    top = heatmaps[0, 0].argmax()
    torch.testing.assert_close(
        places[0, 0], torch.stack([top % 6, top // 6 % 5, top // 30]).float())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    torch.manual_seed(0)
    heatmaps = torch.rand(2, 3, 4, 16, 16).to(dtype).requires_grad_()
    places = soft_argmax(heatmaps)
    exact = soft_argmax(heatmaps.detach().float())
    torch.testing.assert_close(places, exact)
    places.sum().backward()
    assert places.dtype == torch.float32 and heatmaps.grad.dtype == dtype


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r'\[B, K, D, H, W\]'):
        soft_argmax(torch.rand(3, 4, 5))
