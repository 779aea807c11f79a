"""The integral of heatmaps: the mean place under their own values."""

import torch
from torch import Tensor

from ...common import checks
from ...common.errors import UserError


def center_of_mass(heatmaps: Tensor, threshold: float = 0.003) -> Tensor:
    r"""Mean place of the values of a heatmap that are above a threshold.

    .. math::
        \hat x = \frac{\sum_{h_i > t} x_i h_i}{\sum_{h_i > t} h_i}

    over all bins i of one joint, whose indices along each axis are
    :math:`x_i`. Where no bin is above the threshold, it is the center of the
    heatmap, and has no gradient. The original code of integral 3D pose sums
    heatmaps so, but its way back reaches the first joint's heatmap alone, and
    leaves out what a value takes from the shares of others.

    Args:
        heatmaps (Tensor): In shape [B, K, H, W]; half precision is computed in
            float32.
        threshold (float): t, at least 0.

    Returns:
        Tensor: Places (x, y) in bins, in shape [B, K, 2].

    Raises:
        UserError: If the shape or the threshold does not fit.

    Example:
        >>> import torch
        >>> heatmaps = torch.zeros(1, 1, 4, 5)
        >>> heatmaps[0, 0, 2, :2] = torch.tensor([0.25, 0.75])
        >>> center_of_mass(heatmaps)
        tensor([[[0.7500, 2.0000]]])
    """
    checks.non_negative(threshold=threshold)
    if heatmaps.ndim != 4:
        raise UserError('heatmaps must have the shape [B, K, H, W], but it is '
                        f'{tuple(heatmaps.shape)}')
    values = heatmaps.to(torch.promote_types(heatmaps.dtype, torch.float32))
    values = values.masked_fill(values <= threshold, 0)
    total = values.flatten(2).sum(-1, keepdim=True)
    empty = total == 0
    total = total.masked_fill(empty, 1)
    places = []
    for profile in (values.sum(-2), values.sum(-1)):
        size = profile.shape[-1]
        bins = torch.arange(size, device=profile.device, dtype=profile.dtype)
        place = (profile * bins).sum(-1, keepdim=True) / total
        places.append(place.masked_fill(empty, (size - 1) / 2))
    return torch.cat(places, -1)
