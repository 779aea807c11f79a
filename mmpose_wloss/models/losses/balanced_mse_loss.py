"""Balanced MSE: regression that expects rare targets as often as common ones."""

import math

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common import checks
from .regression_losses import coordinate_weights


def balanced_mse_loss(output: Tensor,
                      target: Tensor,
                      target_weights: Tensor | None = None,
                      sigma: float | Tensor = 0.05,
                      per_joint: bool = True) -> Tensor:
    r"""Balanced MSE of joints, or of poses, in its batch-based Monte Carlo form.

    .. math::
        L = -\frac{2 \sigma^2}{N} \sum_i \log \frac{e^{-d_{ii}}}{\sum_j e^{-d_{ij}}},
        \qquad d_{ij} = \frac{w_i}{2 \sigma^2} |p_i - y_j|^2

    over the N visible joints i of a name in the batch: a joint has to be nearer to its
    own target than to the other people's, where common places crowd. So what is
    predicted is pushed away from them. The result is the mean over all joints.
    From `Ren et al. 2022 <https://arxiv.org/abs/2203.16427>`_, equation 8 with section
    3.3.

    With ``per_joint=False``, i and j are poses, each one vector of all coordinates. A
    joint that pose j lacks is as far away as the own one, so it speaks neither for nor
    against j. An error by which the batch's targets do not differ has no gradient, so
    that batches must be much larger than the number of coordinates.

    Args:
        output, target (Tensor): Coordinates in shape [B, K, D].
        target_weights (Tensor, optional): Of joints, at least 0, in shape [B, K],
            [B, K, 1] or [B, K, D]. Where it is 0, even NaN does not count. ``None``:
            all 1.
        sigma (float or Tensor): Standard deviation of the errors of a coordinate, in
            the coordinates' unit, above 0.
        per_joint (bool): Compare joints, not poses.

    Returns:
        Tensor: The loss, a scalar of at least float32, the mean over visible joints, or
        poses that have one; 0 without one, and for a batch of one person.

    Raises:
        UserError: If shapes do not fit.

    Example:
        >>> import torch
        >>> output = torch.tensor([[[0., 0.]], [[0.1, 0.]]])
        >>> balanced_mse_loss(output, torch.zeros(2, 1, 2), sigma=0.1)
        tensor(0.0139)
    """
    checks.same_shape(output=output, target=target)
    # squares of a half precision difference underflow
    dtype = torch.promote_types(output.dtype, torch.float32)
    output, target = output.to(dtype), target.to(dtype)
    if target_weights is None:
        target_weights = torch.ones_like(output)
    weights = coordinate_weights(target_weights, output)
    if not per_joint:
        output, target, weights = (each.flatten(1)[:, None]
                                   for each in (output, target, weights))
    visible = weights != 0
    output, target = (each.masked_fill(~visible, 0) for each in (output, target))
    own = (output - target).square()
    others = (output[:, None] - target[None]).square()
    squares = torch.where(visible[None], others, own[:, None])
    known = visible.any(2)
    # what has no joint is no other target
    itself = torch.eye(len(output), dtype=torch.bool, device=output.device)
    distances = (weights[:, None] * squares).sum(3).masked_fill(
        ~(known | itself[..., None]), math.inf)
    scale = 2 * sigma**2
    # subtracted first, as both are large where sigma is small
    losses = torch.logsumexp(
        (distances.diagonal().T[:, None] - distances) / scale, 1)
    if isinstance(scale, Tensor):
        scale = scale.detach()  # which only keeps the unit of a squared distance
    return scale * (losses * known).sum() / known.sum().clamp(min=1)


@MODELS.register_module()
class BalancedMSELoss(nn.Module):
    """:func:`balanced_mse_loss` for ``RegressionHead``.

    Each process takes the others from its own share of the batch.

    Args:
        sigma (float): Standard deviation of a coordinate's errors, above 0, in the
            unit of the codec: of ``RegressionLabel`` the input's side. Too large a
            one pushes predictions beyond the targets.
        per_joint (bool): Compare joints, not whole poses.
        learn_sigma (bool): Learn it with the network, from ``sigma`` on, as
            ``log_sigma``.
        loss_weight (float): Factor of the loss.

    Raises:
        UserError: If ``sigma`` is not above 0.
    """

    def __init__(self, sigma: float = 0.05, per_joint: bool = True,
                 learn_sigma: bool = False, loss_weight: float = 1.) -> None:
        super().__init__()
        checks.positive(sigma=sigma)
        self.sigma = sigma
        self.per_joint = per_joint
        self.log_sigma = (nn.Parameter(torch.tensor(math.log(sigma)))
                          if learn_sigma else None)
        self.loss_weight = loss_weight

    def forward(self, output: Tensor, target: Tensor,
                target_weight: Tensor | None = None) -> Tensor:
        """Forward function of loss, as :func:`balanced_mse_loss`."""
        sigma = self.sigma if self.log_sigma is None else self.log_sigma.exp()
        return self.loss_weight * balanced_mse_loss(output, target, target_weight,
                                                    sigma, self.per_joint)
