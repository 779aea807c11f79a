"""One pseudo-heatmap out of several views of an image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..hard_views import HardView
from ..hard_views.hard_view import invert
from ..heads.keypoint_outputs import HeatmapOutputs, Output


def average_views(outputs: HeatmapOutputs, predicted: Sequence[Output],
                  views: Sequence[HardView]) -> Tensor:
    r"""The mean of heatmaps on several views, where these show the easy view.

    .. math::
        y = \frac{\sum_v A_v^{-1}(h_v)}{\sum_v A_v^{-1}(1)}

    with heatmaps :math:`h_v` on a view that :math:`A_v` made of the easy one. Of a
    mirrored view joints change places. Yu et al., `Denoising and Selecting
    Pseudo-Heatmaps for Semi-Supervised Human Pose Estimation
    <https://arxiv.org/abs/2310.00099>`_ (WACV 2024), which also refines and selects.

    Args:
        outputs (HeatmapOutputs): What moves the heatmaps.
        predicted (Sequence[Output]): What a network predicts on each view.
        views (Sequence[HardView]): The views.

    Returns:
        Tensor: Heatmaps on the easy view in shape [B, K, H, W], 0 where no view shows
        it, of at least float32.
    """
    total = shown = 0.
    for output, view in zip(predicted, views, strict=True):
        heatmaps = outputs.final(output)
        if view.mirrored:
            # indices would have to be copied to the device
            heatmaps = torch.stack(
                [heatmaps[:, joint] for joint in view.flip_indices], dim=1)
        back = invert(view.matrix), view.size, view.half_pixels
        total = total + outputs.targets(heatmaps, *back)[0]
        shown = shown + outputs.targets(torch.ones_like(heatmaps[:, :1]), *back)[0]
    # beyond all views the sum is 0, too
    return total / shown.clamp(min=1e-6)
