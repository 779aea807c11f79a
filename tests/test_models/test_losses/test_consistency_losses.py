"""The consistency loss: reference values, gradients, numbers."""

import doctest
from pathlib import Path

from mmpose_wloss.models.losses import consistency_losses, heatmap_consistency_loss

import numpy as np
import pytest
import torch

DATA = Path(__file__).parents[2] / 'data' / 'consistency.npz'
SHARED = Path(__file__).parents[4] / 'shared' / 'fixtures'


def tensors(file, *names, prefix=''):
    with np.load(file) as arrays:
        return [torch.from_numpy(arrays[prefix + name]) for name in names]


@pytest.mark.parametrize('student, teacher, gradient, weights, share', [
    ('cons_student', 'cons_teacher', 'cons_grad_student',
     'cons_unsup_weight', 1),
    ('cons_sup', 'cons_gt', 'cons_grad_sup', 'cons_weight', 1),
    ('dual_cons1', 'dual_warp2', 'dual_grad_cons1', 'dual_unsup_weight', 1),
    ('dual_cons2', 'dual_warp1', 'dual_grad_cons2', 'dual_unsup_weight', 1),
    ('dual_sup1', 'dual_gt', 'dual_grad_sup1', 'dual_weight', 0.5),
])
def test_gradients_are_those_of_the_original_code(student, teacher, gradient,
                                           weights, share):
    """On a part of the reference values: gradients are elementwise."""
    student, teacher, gradient, weights, elements = tensors(
        DATA, student, teacher, gradient, weights, 'elements')
    student.requires_grad_()
    teacher.requires_grad_()
    loss = heatmap_consistency_loss(student, teacher, weights)
    expected = ((weights[..., None, None] * (student - teacher))**2).mean() / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    scale = elements.item() / student.numel()
    assert gradient.abs().max() > 0
    assert torch.allclose(student.grad * share, gradient * scale, rtol=1e-5,
                          atol=1e-5 * (gradient.abs().max() * scale).item())
    assert teacher.grad is None


@pytest.mark.skipif(not SHARED.exists(), reason='the whole reference values '
                    'are not part of the project')
def test_the_losses_are_those_of_the_original_code():
    def loss(file, *names):
        return heatmap_consistency_loss(*tensors(file, *names)).item()

    file = SHARED / 'posecons_loss.npz'
    labeled = loss(file, 'sup', 'gt', 'weight')
    unlabeled = loss(file, 'student', 'teacher', 'unsup_weight')
    for value, name in ((labeled, 'loss_pose'), (unlabeled, 'loss_cons'),
                        (labeled + unlabeled, 'loss')):
        assert value == pytest.approx(tensors(file, name)[0].item(), rel=1e-5)

    file = SHARED / 'posedual_loss.npz'
    labeled = (loss(file, 'sup1', 'gt', 'weight') +
               loss(file, 'sup2', 'gt', 'weight')) / 2
    unlabeled = (loss(file, 'cons1', 'warp2', 'unsup_weight') +
                 loss(file, 'cons2', 'warp1', 'unsup_weight'))
    for value, name in ((labeled, 'loss_pose'), (unlabeled, 'loss_cons'),
                        (labeled + unlabeled, 'loss')):
        assert value == pytest.approx(tensors(file, name)[0].item(), rel=1e-5)


def test_gradcheck():
    student = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    weights = torch.rand(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: heatmap_consistency_loss(x, teacher, weights), student)


def test_no_weights_are_ones_and_zeros_are_nothing():
    student = torch.randn(2, 3, 4, 5, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 5)
    assert torch.equal(heatmap_consistency_loss(student, teacher),
                       heatmap_consistency_loss(student, teacher,
                                                torch.ones(2, 3)))
    loss = heatmap_consistency_loss(student, teacher, torch.zeros(2, 3))
    loss.backward()
    assert loss == 0 and (student.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_underflows(dtype):
    student = torch.full((1, 1, 64, 48), 300., dtype=dtype, requires_grad=True)
    teacher = torch.full((1, 1, 64, 48), 1e-3, dtype=dtype)
    loss = heatmap_consistency_loss(student, teacher)
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert loss.item() == pytest.approx(45000, rel=1e-2)
    small = heatmap_consistency_loss(teacher, 0 * teacher)
    assert small.item() == pytest.approx(5e-7, rel=1e-2)


def test_shapes_that_do_not_fit():
    heatmaps = torch.zeros(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 5\).*\(2, 3, 4, 4\)'):
        heatmap_consistency_loss(heatmaps, heatmaps[..., :4])
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(2, 1\)'):
        heatmap_consistency_loss(heatmaps, heatmaps, torch.ones(2, 1))


def test_the_examples_in_the_documentation():
    assert doctest.testmod(consistency_losses).failed == 0
