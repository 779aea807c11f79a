"""The integral of heatmaps and volumes: the mean place under a softmax."""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ...common.errors import UserError

# so many parts of a volume are multiplied at a time
PARTS = 32


def soft_argmax(heatmaps: Tensor, beta: float = 30.) -> Tensor:
    r"""Mean place under a softmax, for 2D heatmaps and 3D volumes.

    .. math::
        \hat x = \sum_i x_i
            \frac{e^{\beta h_i}}{\sum_j e^{\beta h_j}}

    over all bins i of one joint, whose indices along each axis are
    :math:`x_i` (`Integral Human Pose Regression
    <https://arxiv.org/abs/1711.08229>`_, eq. 3). The backward pass computes
    the softmax again, in place of keeping it.

    Args:
        heatmaps (Tensor): In shape [B, K, H, W] or, volumes, [B, K, D, H, W];
            half precision is computed in float32.
        beta (float): What they are multiplied by.

    Returns:
        Tensor: Places in bins, (x, y) or (x, y, z), in shape [B, K, 2 or 3].

    Raises:
        UserError: If the shape is another.

    Example:
        >>> import torch
        >>> heatmaps = torch.zeros(1, 1, 4, 5)
        >>> heatmaps[0, 0, 2, 3] = 1
        >>> soft_argmax(heatmaps)
        tensor([[[3., 2.]]])
    """
    if heatmaps.ndim not in (4, 5):
        raise UserError(
            'heatmaps must have the shape [B, K, H, W] or [B, K, D, H, W], '
            f'but it is {tuple(heatmaps.shape)}')
    return _SoftArgmax.apply(heatmaps, beta)


def highest_bins(volumes: Tensor) -> Tensor:
    """Places (x, y, z) of the highest bins, [B, K, 3], of [B, K, D, H, W]."""
    height, width = volumes.shape[3:]
    index = volumes.flatten(2).argmax(-1)
    row = index // width
    return torch.stack([index % width, row % height, row // height], -1).float()


class _SoftArgmax(Function):

    @staticmethod
    def forward(ctx, heatmaps: Tensor, beta: float) -> Tensor:
        shares, top = _exponentials(heatmaps, beta)
        total = shares.flatten(2).sum(-1)
        places = []
        for axis, bins in _axes(shares):
            others = [dim for dim in range(2, shares.ndim) if dim != axis]
            places.append((shares.sum(others) * bins).sum(-1) / total)
        places = torch.stack(places, -1)
        ctx.save_for_backward(heatmaps, top, total, places)
        ctx.beta = beta
        return places

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        heatmaps, top, total, places = ctx.saved_tensors
        shares, _ = _exponentials(heatmaps, ctx.beta, top)
        # d place / d h_i = beta * share_i * (x_i - place), for all axes at once
        grad = grad * (ctx.beta / total).unsqueeze(-1)
        slopes = []
        for column, (axis, bins) in enumerate(_axes(shares)):
            slope = (bins - places[..., column, None]) * grad[..., column, None]
            shape = [1] * (shares.ndim - 2)
            shape[axis - 2] = -1
            slopes.append(slope.unflatten(-1, shape))
        plane = slopes[0] + slopes[1]
        if shares.ndim == 4:
            shares.mul_(plane)
        else:
            for part, slope in zip(
                    *(each.tensor_split(PARTS, 2)
                      for each in (shares, slopes[2])), strict=True):
                part.mul_(plane + slope)
        return shares.to(heatmaps.dtype), None


def _exponentials(heatmaps: Tensor, beta: float,
                  top: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """exp(beta h - top), in at least float32, and the top of beta h."""
    dtype = torch.promote_types(heatmaps.dtype, torch.float32)
    scaled = (heatmaps.to(dtype).mul_(beta) if heatmaps.dtype != dtype else
              heatmaps * beta)
    if top is None:
        top = scaled.flatten(2).amax(-1)
    scaled.sub_(top[(..., *[None] * (scaled.ndim - 2))])
    # denormal results would be slow
    lowest = -87. if dtype == torch.float32 else -700.
    return scaled.clamp_(min=lowest).exp_(), top


def _axes(volume: Tensor) -> list[tuple[int, Tensor]]:
    """Dimension and bins along x, y and, in a volume, z."""
    return [(dim, torch.arange(volume.shape[dim], device=volume.device,
                               dtype=volume.dtype))
            for dim in range(volume.ndim - 1, 1, -1)]
