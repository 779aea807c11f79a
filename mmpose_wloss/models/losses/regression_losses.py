"""The loss of weighted DeepPose, for regressed coordinates."""

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common import checks
from ...common.errors import UserError


def coordinate_weights(target_weights: Tensor, output: Tensor) -> Tensor:
    """Target weights as one for each coordinate, in the output's shape and dtype.

    Args:
        target_weights (Tensor): In shape [B, K], [B, K, 1] or [B, K, D].
        output (Tensor): In shape [B, K, D].

    Raises:
        UserError: If shapes do not fit.
    """
    weights, shape = target_weights, output.shape
    if weights.ndim == 2:
        weights = weights.unsqueeze(-1)
    if weights.shape not in ((*shape[:2], 1), shape):
        raise UserError(
            f'target_weights must have the shape {tuple(shape[:2])}, '
            f'{(*shape[:2], 1)} or {tuple(shape)}, but it is '
            f'{tuple(target_weights.shape)}')
    return weights.to(output.dtype).expand_as(output)


def masked_mse_loss(output: Tensor,
                    target: Tensor,
                    target_weights: Tensor | None = None) -> Tensor:
    r"""Weighted squared error per coordinate of a visible joint.

    .. math::
        L = \frac{\sum_i w_i (p_i - y_i)^2}{\sum_i [w_i > 0]}

    over all coordinates of the batch: unlike in a weighted mean, rare poses
    make a greater loss. The loss of `weighted DeepPose
    <https://github.com/JindongJiang/WeightedLoss_DeepPose_PyTorch>`_.

    Args:
        output, target (Tensor): Coordinates in shape [B, K, D].
        target_weights (Tensor, optional): Of at least 0, in shape [B, K],
            [B, K, 1] or [B, K, D]. Where it is 0, even NaN does not count.
            ``None``: all 1.

    Returns:
        Tensor: The loss, a scalar of at least float32; 0 without visible joints.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> output = torch.tensor([[[1., 2.], [9., 9.]]])
        >>> target = torch.zeros(1, 2, 2)
        >>> masked_mse_loss(output, target, torch.tensor([[1., 0.]]))
        tensor(2.5000)
        >>> masked_mse_loss(output, target, torch.tensor([[3., 0.]]))
        tensor(7.5000)
    """
    checks.same_shape(output=output, target=target)
    # the square of a half precision difference underflows
    dtype = torch.promote_types(output.dtype, torch.float32)
    error = output.to(dtype) - target.to(dtype)
    if target_weights is None:
        return error.square().mean()
    weights = coordinate_weights(target_weights, error)
    # so that a weight of NaN is not taken for one of 0
    mask = weights != 0
    error = error.masked_fill(~mask, 0)
    return (weights * error.square()).sum() / mask.sum().clamp(min=1)


@MODELS.register_module()
class MaskedMSELoss(nn.Module):
    """:func:`masked_mse_loss` for ``RegressionHead``.

    Unlike in the stock ``MSELoss(use_target_weight=True)``, the mean is over
    visible joints (of this process), and a weight counts once, not squared.

    Args:
        use_target_weight (bool): ``False`` takes of the weights only whether
            they are 0: the original code's loss without weighting.
        loss_weight (float): Factor of the loss.
    """

    def __init__(self,
                 use_target_weight: bool = True,
                 loss_weight: float = 1.) -> None:
        super().__init__()
        self.use_target_weight = use_target_weight
        self.loss_weight = loss_weight

    def forward(self,
                output: Tensor,
                target: Tensor,
                target_weight: Tensor | None = None) -> Tensor:
        """Forward function of loss, as :func:`masked_mse_loss`."""
        if target_weight is not None and not self.use_target_weight:
            target_weight = (target_weight != 0).to(target_weight.dtype)
        return self.loss_weight * masked_mse_loss(output, target, target_weight)
