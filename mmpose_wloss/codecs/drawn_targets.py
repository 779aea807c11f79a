"""Targets of codecs, of a whole batch at once and on its device."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import torch
from mmpose.codecs import MegviiHeatmap, MSRAHeatmap, SimCCLabel, UDPHeatmap
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor
from torch.nn.functional import threshold

from ..common.errors import UserError
from .hourglass_heatmap import HourglassHeatmap, draw_hourglass_heatmaps


def draw_targets(codec: BaseKeypointCodec, keypoints: Tensor,
                 visible: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Draw what a codec makes of each sample, equal to 1e-6 of its maximum.

    Positions are rounded in the type of ``keypoints``, as the codec does it: hand
    on the one that the data set has.

    Args:
        codec (BaseKeypointCodec): An ``MSRAHeatmap``, ``UDPHeatmap``,
            ``MegviiHeatmap``, ``HourglassHeatmap`` or ``SimCCLabel``.
        keypoints (Tensor): In pixels of the input in shape [B, K, 2].
        visible (Tensor): Which of them are labeled, bool in shape [B, K].

    Returns:
        tuple: Targets by the codec's names, float32: ``heatmaps`` [B, C, H, W], or
        ``keypoint_x_labels`` [B, K, Wx] and ``keypoint_y_labels`` [B, K, Wy]. And
        which labeled joints the target does not reach, bool in shape [B, K]: the
        codec gives these the weight 0.

    Raises:
        UserError: If targets of this codec cannot be drawn.
    """
    check_drawn(codec)
    if not keypoints.is_floating_point():
        keypoints = keypoints.double()  # as NumPy divides them
    return DRAWN[type(codec)](codec, keypoints, visible)


def check_drawn(codec: BaseKeypointCodec) -> None:
    """Check that :func:`draw_targets` draws a codec's targets.

    Raises:
        UserError: If it does not; names the codecs whose targets it draws.
    """
    # a subclass may encode otherwise
    if type(codec) not in DRAWN:
        raise UserError(
            f'DeviceTargets draws no targets of {type(codec).__name__}, but those of '
            f'{", ".join(known.__name__ for known in DRAWN)}: keep GenerateTarget')


def gaussians(centers: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussians with a peak of 1 over a side of pixels.

    Args:
        centers (Tensor): In pixels, in shape [...].
        size (int): The number of pixels, W.
        sigma (float): Standard deviation in pixels.

    Returns:
        Tensor: In shape [..., W].
    """
    pixels = torch.arange(size, device=centers.device, dtype=centers.dtype)
    square = ((pixels - centers.unsqueeze(-1)) / sigma).square()
    # smaller numbers are slow to come by, and products of them denormal
    return threshold(torch.exp(square.clamp(max=52) / -2), 1e-11, 0)


def _msra(codec: MSRAHeatmap, keypoints: Tensor, visible: Tensor) -> tuple:
    places = keypoints / keypoints.new_tensor(codec.scale_factor)
    if not codec.unbiased:
        return _patches(codec, places, (places + 0.5).trunc(), visible)
    radius = 3 * codec.sigma
    reached = _reached(places - radius, places + radius + 1, codec.heatmap_size)
    return _heatmaps([gaussians(place, size, codec.sigma) for place, size in zip(
        places.unbind(-1), codec.heatmap_size, strict=True)], visible, reached)


def _udp(codec: UDPHeatmap, keypoints: Tensor, visible: Tensor) -> tuple:
    places = keypoints / keypoints.new_tensor(codec.scale_factor)
    if codec.heatmap_type == 'gaussian':
        return _patches(codec, places, places, visible)
    # the codec compares distances with the radius as float64
    places = places.double()
    radius = codec.radius_factor * max(codec.heatmap_size)
    x, y = ((place.unsqueeze(-1) - torch.arange(size, device=place.device)) / radius
            for place, size in zip(places.unbind(-1), codec.heatmap_size, strict=True))
    x, y = x.unsqueeze(-2), y.unsqueeze(-1)
    maps = torch.stack(torch.broadcast_tensors(
        (x.square() + y.square() <= 1).float(), x.float(), y.float()), 2)
    maps = maps.masked_fill(~visible[..., None, None, None], 0)
    return dict(heatmaps=maps.flatten(1, 2)), torch.zeros_like(visible)


def _patches(codec: BaseKeypointCodec, places: Tensor, centers: Tensor,
             visible: Tensor) -> tuple:
    """Gaussians that end where stock's patches of 3 sigma do."""
    radius = 3 * codec.sigma
    pixels = (places + 0.5).trunc()
    first, behind = (pixels - radius).trunc(), (pixels + radius + 1).trunc()
    # stock rounds towards 0: a radius that is no whole number shifts some patches
    centers = centers + (first + (2 * radius + 1) // 2 - pixels)
    profiles = []
    for axis, size in enumerate(codec.heatmap_size):
        side = torch.arange(size, device=places.device)
        inside = ((side >= first[..., axis, None]) & (side < behind[..., axis, None]))
        profiles.append(inside * gaussians(centers[..., axis], size, codec.sigma))
    return _heatmaps(profiles, visible, _reached(first, behind, codec.heatmap_size))


def _megvii(codec: MegviiHeatmap, keypoints: Tensor, visible: Tensor) -> tuple:
    pixels = (keypoints / keypoints.new_tensor(codec.scale_factor)).trunc()
    reached = ((pixels >= 0) & (pixels < pixels.new_tensor(codec.heatmap_size))).all(-1)
    pixels = pixels.masked_fill(~reached.unsqueeze(-1), 0).long()
    return _heatmaps(
        [blurred_pixels(size, codec.kernel_size).to(keypoints.device)[place]
         for place, size in zip(pixels.unbind(-1), codec.heatmap_size, strict=True)],
        visible, reached, 255.)


@lru_cache
def blurred_pixels(size: int, kernel_size: int) -> Tensor:
    """A side of which one pixel was set and blurred, with 1 in that pixel.

    Args:
        size (int): The number of pixels, W.
        kernel_size (int): Size of OpenCV's kernel.

    Returns:
        Tensor: For each pixel that was set, in shape [W, W].
    """
    blurred = torch.from_numpy(cv2.GaussianBlur(
        np.eye(size, dtype=np.float32), (kernel_size, 1), 0))
    return blurred / blurred.diagonal().unsqueeze(-1)


def _simcc(codec: SimCCLabel, keypoints: Tensor, visible: Tensor) -> tuple:
    sizes = [int(np.around(side * codec.simcc_split_ratio))
             for side in codec.input_size]
    bins = (keypoints * codec.simcc_split_ratio).round()
    smooth = codec.smoothing_type == 'gaussian'
    radius = bins.new_tensor(3 * codec.sigma) if smooth else 0
    # a Gaussian reaches one bin further to the left
    reached = _reached(bins - radius, bins + radius + smooth, sizes)
    labels = []
    for center, size, sigma in zip(bins.unbind(-1), sizes, codec.sigma.tolist(),
                                   strict=True):
        if smooth:
            label = gaussians(center, size, sigma)
            label = label / (sigma * np.sqrt(2 * np.pi)) if codec.normalize else label
        else:
            side = torch.arange(size, device=bins.device)
            label = torch.where(side == center.unsqueeze(-1),
                                1 - codec.label_smooth_weight,
                                codec.label_smooth_weight / (size - 1))
        labels.append(_drawn(label, visible & reached))
    return (dict(zip(('keypoint_x_labels', 'keypoint_y_labels'), labels, strict=True)),
            visible & ~reached)


def _reached(first: Tensor, behind: Tensor, size: tuple[int, int]) -> Tensor:
    """Which patches the codecs take for within a map, [B, K], of [B, K, 2]."""
    return ((first < first.new_tensor(size)) & (behind >= 0)).all(-1)


def _drawn(profile: Tensor, drawn: Tensor) -> Tensor:
    return profile.float().masked_fill(~drawn.unsqueeze(-1), 0)


def _heatmaps(profiles: list[Tensor], visible: Tensor, reached: Tensor,
              peak: float = 1.) -> tuple:
    """Heatmaps of which each row and each column is a profile."""
    x, y = (_drawn(profile, visible & reached) for profile in profiles)
    return (dict(heatmaps=(peak * y).unsqueeze(-1) * x.unsqueeze(-2)),
            visible & ~reached)


def _hourglass(codec: HourglassHeatmap, keypoints: Tensor, visible: Tensor) -> tuple:
    heatmaps, missed = draw_hourglass_heatmaps(codec, keypoints, visible)
    return dict(heatmaps=heatmaps), missed


DRAWN: dict[type, Callable] = {
    MSRAHeatmap: _msra, UDPHeatmap: _udp, MegviiHeatmap: _megvii,
    HourglassHeatmap: _hourglass, SimCCLabel: _simcc}
