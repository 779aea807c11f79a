"""Boxes of random sizes that hide something."""

import torch
from torch import Tensor

from ...common.checks import interval, whole


def check_boxes(half_size: tuple[int, int], **number: int) -> None:
    """Check the number of boxes, by its argument's name, and their half sides."""
    whole(1, **number)
    interval(1, half_size=half_size)


def draw_half_sizes(shape: tuple[int, ...],
                    half_size: tuple[int, int]) -> Tensor:
    """Half sides (x, y) in pixels, whole numbers, in shape [*shape, 2]."""
    low, high = half_size
    return torch.randint(low, high + 1, (*shape, 2))


def inside_boxes(centers: Tensor, half_sizes: Tensor,
                 size: tuple[int, int]) -> Tensor:
    """Which pixels lie in any of an image's boxes.

    A box holds the pixels from center - half side to center + half side - 1.

    Args:
        centers (Tensor): (x, y) in whole pixels, in shape [B, N, 2].
        half_sizes (Tensor): Half sides (x, y), in shape [B, N, 2].
        size (tuple): Width and height of the images.

    Returns:
        Tensor: Booleans in shape [B, 1, H, W].
    """
    low, high = centers - half_sizes, centers + half_sizes
    width, height = size

    def along(axis: int, length: int) -> Tensor:
        pixels = torch.arange(length, device=centers.device)
        return ((pixels >= low[..., axis, None]) &
                (pixels < high[..., axis, None])).float()

    # the outer product of rows and columns, summed over the boxes
    return (along(1, height).mT @ along(0, width) > 0)[:, None]
