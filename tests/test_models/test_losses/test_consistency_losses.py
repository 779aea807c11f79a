"""The consistency loss: reference values, gradients, numbers."""

from pathlib import Path

from mmpose_wloss.models.losses import heatmap_consistency_loss

import numpy as np
import pytest
import torch

DATA = Path(__file__).parents[2] / 'data' / 'consistency.npz'


@pytest.mark.parametrize('names, share', [
    (('cons_student', 'cons_teacher', 'cons_grad_student',
      'cons_unsup_weight'), 1),
    (('cons_sup', 'cons_gt', 'cons_grad_sup', 'cons_weight'), 1),
    (('dual_cons1', 'dual_warp2', 'dual_grad_cons1', 'dual_unsup_weight'), 1),
    (('dual_cons2', 'dual_warp1', 'dual_grad_cons2', 'dual_unsup_weight'), 1),
    (('dual_sup1', 'dual_gt', 'dual_grad_sup1', 'dual_weight'), 0.5)])
def test_gradients_are_those_of_the_original_code(names, share):
    """On a part of the reference values: gradients are elementwise."""
    with np.load(DATA) as arrays:
        student, teacher, gradient, weights, elements = (
            torch.from_numpy(arrays[name]) for name in (*names, 'elements'))
    student.requires_grad_()
    teacher.requires_grad_()
    loss = heatmap_consistency_loss(student, teacher, weights)
    expected = ((weights[..., None, None] * (student - teacher))**2).mean() / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    expected = gradient * elements / student.numel() / share
    assert gradient.abs().max() > 0
    torch.testing.assert_close(student.grad, expected, rtol=1e-5,
                               atol=1e-5 * expected.abs().max().item())
    assert teacher.grad is None


def test_no_weights_are_ones():
    heatmaps = torch.randn(2, 2, 3, 4, 5)
    assert heatmap_consistency_loss(*heatmaps) == heatmap_consistency_loss(
        *heatmaps, torch.ones(2, 3))


def test_shapes_that_do_not_fit():
    heatmaps = torch.zeros(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 5\).*\(2, 3, 4, 4\)'):
        heatmap_consistency_loss(heatmaps, heatmaps[..., :4])
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(2, 1\)'):
        heatmap_consistency_loss(heatmaps, heatmaps, torch.ones(2, 1))
