import torch
from mmpose.registry import MODELS
from torch import Tensor

from .boxes import check_boxes, draw_half_sizes, inside_boxes
from .hard_view import HardView, HardViewStep


def draw_boxes(view: HardView, count: int, half_size: tuple[int, int]) -> Tensor:
    """Pixels in boxes anywhere in the images, the same for all students."""
    shape = view.batch, count
    centers = torch.stack([torch.randint(length, shape) for length in view.size], -1)
    half_sizes = draw_half_sizes(shape, half_size)
    boxes = (tensor.repeat(view.students, 1, 1).to(
        view.image.device, non_blocking=True) for tensor in (centers, half_sizes))
    return inside_boxes(*boxes, view.size)


def another_image(view: HardView) -> Tensor:
    """For each image the index of another one of the batch; of one, its own."""
    shift = torch.randint(1, view.batch, ()) if view.batch > 1 else 0
    other = (torch.arange(view.batch) - shift) % view.batch
    first = torch.arange(0, len(view.image), view.batch)
    return (first[:, None] + other).flatten().to(
        view.image.device, non_blocking=True)


@MODELS.register_module()
class Cutout(HardViewStep):
    """Fills boxes anywhere in the images with 0, the mean color.

    DeVries & Taylor, `Improved Regularization of Convolutional Neural Networks
    with Cutout <https://arxiv.org/abs/1708.04552>`_.

    Args:
        num_holes (int): Boxes in an image.
        half_size (tuple): Smallest and largest half side in pixels of the
            network's input.
    """

    def __init__(self, num_holes: int = 4, half_size: tuple[int, int] = (10, 19)):
        super().__init__()
        check_boxes(half_size, num_holes=num_holes)
        self.num_holes = num_holes
        self.half_size = half_size

    def forward(self, view: HardView) -> HardView:
        """Hide parts of a view."""
        holes = draw_boxes(view, self.num_holes, self.half_size)
        return view.replace(image=view.image.masked_fill(holes, 0))


@MODELS.register_module()
class CutMix(HardViewStep):
    """Fills boxes with the same place of another image of the batch.

    Yun et al., `CutMix <https://arxiv.org/abs/1905.04899>`_; the target stays the
    first image's, as in MultiAugs.

    Args:
        num_patches (int): Boxes in an image.
        half_size (tuple): Smallest and largest half side in pixels of the
            network's input.
    """

    def __init__(self, num_patches: int = 2, half_size: tuple[int, int] = (10, 19)):
        super().__init__()
        check_boxes(half_size, num_patches=num_patches)
        self.num_patches = num_patches
        self.half_size = half_size

    def forward(self, view: HardView) -> HardView:
        """Paste patches into a view."""
        patches = draw_boxes(view, self.num_patches, self.half_size)
        donor = view.image[another_image(view)]
        return view.replace(image=torch.where(patches, donor, view.image))
