import math

import torch
from mmpose.registry import MODELS
from torch import Tensor

from ...common.checks import non_negative, within
from .hard_view import HardView, HardViewStep, compose, rescale, warp


def affine_about_center(angle: Tensor, scale: Tensor, size: tuple[int, int],
                        rigid: bool) -> Tensor:
    """Maps of pixels that turn and scale a view about its center.

    Args:
        angle (Tensor): Degrees in shape [B].
        scale (Tensor): Old pixels that a new one stands for, in shape [B].
        size (tuple): Width and height of the view in pixels.
        rigid (bool): Whether to turn in pixels, or in coordinates from -1 to 1,
            which shears a crop that is not square.

    Returns:
        Tensor: Maps from new pixels to old ones, in shape [B, 2, 3].
    """
    cosine = scale * torch.cos(angle * (math.pi / 180))
    sine = scale * torch.sin(angle * (math.pi / 180))
    width, height = size
    aspect = 1. if rigid else width / height
    zero = torch.zeros_like(angle)
    about_origin = torch.stack(
        [cosine, sine * aspect, zero, -sine / aspect, cosine, zero], 1).view(-1, 2, 3)
    return rescale(about_origin, (1, 1), ((1 - width) / 2, (1 - height) / 2))


@MODELS.register_module()
class HardAffine(HardViewStep):
    """Turns and scales each image of a hard view about its center.

    All students see the same turn. Angle and scale are normal, with 0 ±
    ``rotate_factor``, up to twice that, and 1 ± ``scale_factor``, within that.

    Args:
        rotate_factor (float): Degrees.
        rotate_prob (float): Probability to turn at all.
        scale_factor (float): From 0 to below 1.
        rigid (bool): Turn in pixels, and move heatmaps as the codec lays them on
            the image. ``False`` is the original code, which shears a crop that is
            not square and moves heatmaps by up to half of their pixel.
        shared (bool): Move an image alike in all paths, as MultiAugs does.
    """

    def __init__(self, rotate_factor: float = 30., rotate_prob: float = 0.8,
                 scale_factor: float = 0.25, rigid: bool = True,
                 shared: bool = False):
        super().__init__()
        non_negative(rotate_factor=rotate_factor)
        within(0, 1, rotate_prob=rotate_prob)
        # below 1: a scale of 0 would show one pixel everywhere
        within(0, math.nextafter(1, 0), scale_factor=scale_factor)
        self.rotate_factor = rotate_factor
        self.rotate_prob = rotate_prob
        self.scale_factor = scale_factor
        self.rigid = rigid
        self.shared = shared

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Angles in degrees and scales, each in shape [count]."""
        angle = self.rotate_factor * torch.randn(count).clamp(-2, 2)
        angle = angle * (torch.rand(count) < self.rotate_prob)
        return angle, 1 + self.scale_factor * torch.randn(count).clamp(-1, 1)

    def forward(self, view: HardView) -> HardView:
        """Move a view."""
        drawn = view.shared.get('affine') if self.shared else None
        if drawn is None:
            drawn = self.draw(view.batch)
            if self.shared:
                view.shared['affine'] = drawn
        matrix = affine_about_center(*drawn, view.size, self.rigid)
        matrix = matrix.repeat(view.students, 1, 1).to(
            view.image.device, non_blocking=True)
        return view.replace(
            image=warp(view.image, matrix), matrix=compose(view.matrix, matrix),
            half_pixels=view.half_pixels or not self.rigid)
