from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.heads import center_of_mass

import pytest
import torch


def random_heatmaps(dtype=torch.float64):
    return torch.rand(2, 3, 5, 4, dtype=dtype,
                      generator=torch.Generator().manual_seed(0)) - 0.3


def test_it_is_the_mean_place_of_what_is_above_the_threshold():
    heatmaps = random_heatmaps()
    places = center_of_mass(heatmaps, 0.1)
    for place, heatmap in zip(places.flatten(0, 1), heatmaps.flatten(0, 1),
                              strict=True):
        above = [(x, y, heatmap[y, x]) for y in range(5) for x in range(4)
                 if heatmap[y, x] > 0.1]
        total = sum(value for *_, value in above)
        for axis in range(2):
            torch.testing.assert_close(
                place[axis], sum(bin_[axis] * bin_[2] for bin_ in above) / total)


def test_gradients_are_the_formulas_and_stay_with_their_joint():
    heatmaps = random_heatmaps().requires_grad_()
    assert torch.autograd.gradcheck(lambda maps: center_of_mass(maps, 0.1), heatmaps)
    center_of_mass(heatmaps, 0.1)[:, 1].sum().backward()
    reached = heatmaps.grad != 0
    assert not reached[:, ::2].any()
    torch.testing.assert_close(reached[:, 1], heatmaps[:, 1] > 0.1)


def test_nobody_above_the_threshold_is_in_the_middle_and_learns_nothing():
    heatmaps = random_heatmaps()
    heatmaps[1, 2] = 0.003
    heatmaps.requires_grad_()
    places = center_of_mass(heatmaps, 0.003)
    assert places[1, 2].tolist() == [1.5, 2.]
    places.sum().backward()
    assert not heatmaps.grad[1, 2].any() and heatmaps.grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    heatmaps = random_heatmaps().to(dtype)
    places = center_of_mass(heatmaps)
    assert places.dtype == torch.float32
    torch.testing.assert_close(places, center_of_mass(heatmaps.float()))


def test_wrong_arguments_are_refused():
    with pytest.raises(UserError, match=r'\(2, 3, 5\)'):
        center_of_mass(torch.zeros(2, 3, 5))
    with pytest.raises(UserError, match='threshold'):
        center_of_mass(random_heatmaps(), -0.1)
