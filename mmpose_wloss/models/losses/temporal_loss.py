"""A loss of joints that jump from one frame of a video to the next."""

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common import checks
from ...common.errors import UserError


def temporal_smoothness_loss(joints: Tensor, following: Tensor, weights: Tensor,
                             epsilon: float) -> Tensor:
    r"""How far joints move between neighboring frames, beyond a distance.

    .. math::
        L = \frac{1}{N K} \sum_{n,k} w_{nk} \max\left(0,
        \left\lVert p_{nk} - p'_{nk} \right\rVert - \epsilon\right)

    Biderman et al., `Lightning Pose <https://doi.org/10.1038/s41592-024-02319-1>`_
    (Nature Methods 2024), which leaves out joints of low confidence instead of weighing
    them.

    Args:
        joints (Tensor): Places p in pixels, in shape [N, K, 2]. N may be 0.
        following (Tensor): Places p' in the next frames, in the same shape.
        weights (Tensor): Confidence in both, in shape [N, K].
        epsilon (float): What a joint may move, in pixels, at least 0.

    Returns:
        Tensor: The loss in pixels, a scalar of at least float32.

    Raises:
        UserError: If shapes or epsilon do not fit.

    Example:
        >>> import torch
        >>> joints = torch.tensor([[[10., 10.], [20., 20.]]])
        >>> following = joints + torch.tensor([[[3., 4.], [0., 1.]]])
        >>> temporal_smoothness_loss(joints, following, torch.ones(1, 2), epsilon=2.)
        tensor(1.5000)
    """
    checks.same_shape(joints=joints, following=following)
    checks.non_negative(epsilon=epsilon)
    if weights.shape != joints.shape[:2]:
        raise UserError(f'weights must have the shape {tuple(joints.shape[:2])} of '
                        f'frames and keypoints, but it is {tuple(weights.shape)}')
    # at pixels of hundreds, half precision knows no fractions
    dtype = torch.promote_types(joints.dtype, torch.float32)
    moved = torch.linalg.vector_norm(joints.to(dtype) - following, dim=2)
    return (weights * (moved - epsilon).clamp(min=0)).sum() / max(1, weights.numel())


@MODELS.register_module()
class TemporalSmoothnessLoss(nn.Module):
    """:func:`temporal_smoothness_loss` for ``temporal_loss`` of a :class:`PoseCons`.

    Args:
        epsilon (float): What a joint may move from one frame to the next, in pixels of
            the input, at least 0.
        loss_weight (float): Weight of the loss, which is in pixels.
    """

    def __init__(self, epsilon: float, loss_weight: float = 1e-4):
        super().__init__()
        checks.non_negative(epsilon=epsilon, loss_weight=loss_weight)
        self.epsilon = epsilon
        self.loss_weight = loss_weight

    def forward(self, joints: Tensor, following: Tensor, weights: Tensor) -> Tensor:
        """The weighted loss, a scalar."""
        return self.loss_weight * temporal_smoothness_loss(
            joints, following, weights, self.epsilon)
