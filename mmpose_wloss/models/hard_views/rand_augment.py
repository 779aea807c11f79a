from collections.abc import Sequence

import torch
import torchvision.transforms.v2.functional as F
from mmpose.registry import MODELS
from torch import Tensor

from ...common.checks import one_of, positive, whole, within
from .cutout import inside_boxes
from .hard_view import HardView, HardViewStep, original_pixel

# the largest magnitude of the scale
MAGNITUDES = 30
# of the square at that magnitude in the original code, in its pixels
CUTOUT_SIDE = 80


def solarize_add(image: Tensor, addition: int) -> Tensor:
    """Add to all levels, and invert those that are then 128 or more."""
    brighter = (image.int() + addition).clamp_(max=255).to(image.dtype)
    return F.solarize(brighter, 128)


def cut(image: Tensor, side: float) -> Tensor:
    """Fill a square of each image with gray."""
    count, _, height, width = image.shape
    center = torch.stack([torch.randint(width, (count, 1)),
                          torch.randint(height, (count, 1))], dim=-1)
    half = torch.full(center.shape, max(.5, side / 2))
    hole = inside_boxes(*(tensor.to(image.device, non_blocking=True)
                          for tensor in (center, half)), (width, height))
    return image.masked_fill(hole, 124)


# what each operation does at a strength from 0 to 1, which the first four of
# them turn to either side
OPERATIONS = {
    'color': lambda image, x: F.adjust_saturation(image, 1 + 0.9 * x),
    'contrast': lambda image, x: F.adjust_contrast(image, 1 + 0.9 * x),
    'brightness': lambda image, x: F.adjust_brightness(image, 1 + 0.9 * x),
    'sharpness': lambda image, x: F.adjust_sharpness(image, 1 + 0.9 * x),
    'posterize': lambda image, x: F.posterize(image, max(2, 6 - int(4 * x))),
    'solarize': lambda image, x: F.solarize(image, 255 - int(255 * x)),
    'solarize_add': lambda image, x: solarize_add(image, int(110 * x)),
    'autocontrast': lambda image, x: F.autocontrast(image),
    'equalize': lambda image, x: F.equalize(image),
    'invert': lambda image, x: F.invert(image),
}
TWO_SIDED = ('color', 'contrast', 'brightness', 'sharpness')


@MODELS.register_module()
class RandAugment(HardViewStep):
    """Random color operations, and a cut square, on each image.

    Cubuk et al., `RandAugment <https://arxiv.org/abs/1909.13719>`_, without its
    geometric operations, which :class:`HardAffine` stands for. All students see
    the same colors; a square is cut for each that has images of its own.

    Args:
        num_ops (int): How many operations an image gets, drawn with replacement.
        magnitude (int): Strength from 0 to 30.
        operations (Sequence[str]): From which to draw.
        cutout_side (float or 'auto'): Side in pixels of the square that is cut at
            magnitude 30. ``'auto'``: 80 in an input 256 pixels high, as in the original
            code, and as much of the height in any other.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 10,
                 operations: Sequence[str] = (*OPERATIONS, 'cutout'),
                 cutout_side: float | str = 'auto'):
        super().__init__()
        whole(1, num_ops=num_ops)
        within(0, MAGNITUDES, magnitude=magnitude)
        if cutout_side != 'auto':
            positive(cutout_side=cutout_side)
        self.cutout_side = cutout_side
        self.operations = dict(OPERATIONS, cutout=self._cut)
        for name in operations or [None]:
            one_of(self.operations, operations=name)
        self.num_ops = num_ops
        self.strength = magnitude / MAGNITUDES
        # an operation that turns to either side counts twice as one of two
        self.choices = [
            [(name, sign * self.strength) for sign in
             ((1, -1) if name in TWO_SIDED else (1, ))] for name in operations]

    def _cut(self, image: Tensor, strength: float) -> Tensor:
        side = (CUTOUT_SIDE * original_pixel((image.shape[3], image.shape[2]))
                if self.cutout_side == 'auto' else self.cutout_side)
        return cut(image, side * strength)

    def forward(self, view: HardView) -> HardView:
        """Change the colors of a view."""
        image = view.image * view.std + view.mean
        image = image.round_().clamp_(0, 255).to(torch.uint8)
        image = image if view.rgb else image.flip(1)
        for _ in range(self.num_ops):
            image = self._apply_one(image, view)
        image = image if view.rgb else image.flip(1)
        image = (image.to(view.image.dtype) - view.mean) / view.std
        return view.replace(image=image)

    # compiled, it would be so anew for each draw of operations
    @torch.compiler.disable
    def _apply_one(self, image: Tensor, view: HardView) -> Tensor:
        """One operation for each image; each runs once, on all its images."""
        groups = {}
        which = torch.randint(len(self.choices), (view.batch, )).tolist()
        sides = torch.rand(view.batch).tolist()
        for index, (choice, side) in enumerate(zip(which, sides, strict=True)):
            signs = self.choices[choice]
            groups.setdefault(signs[int(side * len(signs))], []).append(index)
        result = image.clone()
        for (name, strength), indices in groups.items():
            rows = torch.tensor([index + student * view.batch
                                 for student in range(view.students)
                                 for index in indices])
            rows = rows.to(image.device, non_blocking=True)
            result[rows] = self.operations[name](image[rows], strength)
        return result
