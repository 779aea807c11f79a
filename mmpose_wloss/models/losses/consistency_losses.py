"""Losses between a student's heatmaps and a teacher's."""

import torch
from torch import Tensor

from ...common import checks
from ...common.errors import UserError


def heatmap_consistency_loss(student: Tensor,
                             teacher: Tensor,
                             target_weights: Tensor | None = None) -> Tensor:
    r"""Consistency of a student's heatmaps with a teacher's.

    .. math::
        L = \frac{1}{2 B K H W} \sum_{b,k} w_{bk}^2
        \sum_{h,w} (s_{bkhw} - t_{bkhw})^2

    Xie et al., `An Empirical Study of the Collapsing Problem in
    Semi-Supervised 2D Human Pose Estimation
    <https://arxiv.org/abs/2011.12498>`_ (ICCV 2021), as its public
    implementation computes it, which squares the weights.

    Args:
        student (Tensor): Heatmaps on the hard view, in shape [B, K, H, W].
        teacher (Tensor): Heatmaps on the easy view, warped to the hard one, in
            the same shape. They get no gradient.
        target_weights (Tensor, optional): In shape [B, K]. ``None``: all 1.

    Returns:
        Tensor: The loss, a scalar of at least float32.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> student = torch.tensor([[[[.5, 0.]], [[1., 1.]]]])
        >>> teacher = torch.tensor([[[[1., 0.]], [[0., 0.]]]])
        >>> heatmap_consistency_loss(student, teacher)
        tensor(0.2812)
        >>> weights = torch.tensor([[1., 0.]])
        >>> heatmap_consistency_loss(student, teacher, weights)
        tensor(0.0312)
    """
    checks.same_shape(student=student, teacher=teacher)
    if target_weights is not None and target_weights.shape != student.shape[:2]:
        raise UserError(
            f'target_weights must have the shape {tuple(student.shape[:2])} of '
            f'batch and keypoints, but it is {tuple(target_weights.shape)}')
    # the square of a half precision difference underflows
    difference = student.to(torch.promote_types(student.dtype, torch.float32))
    difference = difference - teacher.detach()
    if target_weights is not None:
        difference = difference * target_weights[..., None, None]
    return difference.square().mean() / 2
