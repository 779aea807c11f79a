"""A batch of images on the way from the easy view to the hard one."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Written out in sums and products: autocast computes matrix products in half
# precision, which moves pixels.


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The affine map that does ``inner`` first, then ``outer``, [B, 2, 3]."""
    result = (outer[:, :, :2, None] * inner[:, None]).sum(dim=2)
    result[:, :, 2] += outer[:, :, 2]
    return result


def invert(matrix: Tensor) -> Tensor:
    """The inverse of affine maps in shape [B, 2, 3]."""
    (a, b, x), (c, d, y) = (row.unbind(1) for row in matrix.unbind(1))
    inverse = torch.stack([d, -b, b * y - d * x, -c, a, c * x - a * y], dim=1)
    return (inverse / (a * d - b * c)[:, None]).view(-1, 2, 3)


def move(points: Tensor, matrix: Tensor) -> Tensor:
    """Points in shape [B, N, 2], moved by affine maps in shape [B, 2, 3]."""
    linear, shift = matrix[:, None, :, :2], matrix[:, None, :, 2]
    return (linear * points[:, :, None]).sum(dim=3) + shift


def rescale(matrix: Tensor, scale: tuple[float, float],
            offset: tuple[float, float]) -> Tensor:
    """The same map in other coordinates, in shape [B, 2, 3].

    Args:
        matrix (Tensor): Affine maps in shape [B, 2, 3].
        scale (tuple): Old units of one new unit, (x, y).
        offset (tuple): Old coordinates of the new origin, (x, y).
    """
    (a, b, x), (c, d, y) = (row.unbind(1) for row in matrix.unbind(1))
    (sx, sy), (ox, oy) = scale, offset
    return torch.stack([
        a, b * (sy / sx), (a * ox + b * oy + x - ox) / sx,
        c * (sx / sy), d, (c * ox + d * oy + y - oy) / sy
    ], dim=1).view(-1, 2, 3)


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Resample images or heatmaps, bilinearly, with zeros outside.

    Args:
        images (Tensor): In shape [B, C, H, W].
        matrix (Tensor): Maps a pixel (x, y) of the result to the pixel that
            it shows, in shape [B, 2, 3].

    Returns:
        Tensor: In the shape of the images, of at least float32.
    """
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    place_x, place_y = (
        row[:, 0, None, None] * x + row[:, 1, None, None] * y +
        row[:, 2, None, None] for row in matrix.unbind(1))
    # grid_sample's coordinates run from -1 to 1 between the outer edges
    grid = torch.stack([(2 * place_x + 1) / width - 1,
                        (2 * place_y + 1) / height - 1], dim=3)
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False)


def original_pixel(size: tuple[int, int]) -> float:
    """How large a pixel of the original code's crops is in views of a size.

    Crops scale with a person's height, and the original code's are 256 pixels high.
    """
    return size[1] / 256


class HardViewStep(nn.Module, metaclass=ABCMeta):
    """One step from the easy view to the hard one.

    A step draws its random numbers on the CPU, so that they are the same on every
    device and nothing waits for one.
    """

    # whether it needs the joints that teachers predict
    uses_joints = False
    # whether it is for views of teachers alone
    for_teachers = False

    @abstractmethod
    def forward(self, view: 'HardView') -> 'HardView':
        """Make a harder view of a view, which is left as it is."""


@dataclass(frozen=True)
class HardView:
    """Images that become harder step by step, and how they were moved.

    Several students can share one view; a step that uses their teachers' joints
    gives each its own (:meth:`for_each_student`).

    Args:
        image (Tensor): Normalized images in shape [B, 3, H, W], or
            [S * B, 3, H, W] where each of S students has its own.
        joints (Tensor): The joints that each student's teacher predicts on the easy
            view, in its pixels, in shape [S, B, K, 2].
        scores (Tensor, optional): How that teacher scores them, in shape [S, B, K].
        mean, std (Tensor): By which 0 … 255 was normalized, in shape [3, 1, 1].
        rgb (bool): Whether channels are in the order red, green, blue.
        matrix (Tensor, optional): Maps a pixel (x, y) of this view to the easy
            view's, in shape [B, 2, 3] or [S * B, 2, 3]. ``None``: the identity.
        half_pixels (bool): Whether heatmaps lie on images edge to edge, as in the
            original code, and not as the codec says.
        mirrored (bool): Whether images are mirrored, so that left is right.
        flip_indices (Sequence[int], optional): Which joint each one is in a mirrored
            image. ``None``: not known.
        shared (dict): What steps of several paths draw once, for all of a batch's.
    """

    image: Tensor
    joints: Tensor
    mean: Tensor
    std: Tensor
    scores: Tensor | None = None
    rgb: bool = True
    matrix: Tensor | None = None
    half_pixels: bool = False
    mirrored: bool = False
    flip_indices: Sequence[int] | None = None
    shared: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.matrix is None:
            identity = torch.eye(2, 3, device=self.image.device)
            object.__setattr__(
                self, 'matrix', identity.repeat(len(self.image), 1, 1))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images in pixels."""
        return self.image.shape[-1], self.image.shape[-2]

    @property
    def batch(self) -> int:
        """B, the number of easy views."""
        return self.joints.shape[1]

    @property
    def students(self) -> int:
        """How many students have images of their own here: 1 or S."""
        return len(self.image) // self.batch

    def replace(self, **changes) -> 'HardView':
        """A view with other attributes."""
        return replace(self, **changes)

    def for_each_student(self) -> 'HardView':
        """A view in which each student has images of its own."""
        copies = len(self.joints) // self.students
        return self if copies == 1 else self.replace(
            image=self.image.repeat(copies, 1, 1, 1),
            matrix=self.matrix.repeat(copies, 1, 1))

    def moved_joints(self) -> Tensor:
        """The joints in this view's pixels, in shape [S * B, K, 2].

        Only where each student has its own images.
        """
        return move(self.joints.flatten(0, 1), invert(self.matrix))

    def of_student(self, student: int) -> tuple[Tensor, Tensor]:
        """Images and matrix of one student."""
        if self.students == 1:
            return self.image, self.matrix
        part = slice(student * self.batch, (student + 1) * self.batch)
        return self.image[part], self.matrix[part]
