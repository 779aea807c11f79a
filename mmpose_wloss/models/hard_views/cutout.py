"""Steps that hide what lies in boxes of random sizes."""

import torch
from mmpose.registry import MODELS
from torch import Tensor

from ...common.checks import interval, non_negative, whole
from .hard_view import HardView, HardViewStep, original_pixel

# half sides of boxes and jitter of the original code, in its pixels
HALF_SIZE, JITTER = (10, 19), 10.


def inside_boxes(centers: Tensor, half_sizes: Tensor,
                 size: tuple[int, int]) -> Tensor:
    """Which pixels lie in any of an image's boxes, in shape [B, 1, H, W].

    A box holds the pixels from center - half side to center + half side - 1.

    Args:
        centers (Tensor): (x, y) in whole pixels, in shape [B, N, 2].
        half_sizes (Tensor): Half sides (x, y), in shape [B, N, 2].
        size (tuple): Width and height of the images.
    """
    low, high = centers - half_sizes, centers + half_sizes

    def along(axis: int) -> Tensor:
        pixels = torch.arange(size[axis], device=centers.device)
        return ((pixels >= low[..., axis, None]) &
                (pixels < high[..., axis, None])).float()

    # the outer product of rows and columns, summed over the boxes
    return (along(1).mT @ along(0) > 0)[:, None]


def another_image(view: HardView) -> Tensor:
    """For each image the index of another one of the batch; of one, its own."""
    shift = torch.randint(1, view.batch, ()) if view.batch > 1 else 0
    other = (torch.arange(view.batch) - shift) % view.batch
    first = torch.arange(0, len(view.image), view.batch)
    return (first[:, None] + other).flatten().to(
        view.image.device, non_blocking=True)


def around_joints(joints: Tensor, count: int, jitter: float) -> Tensor:
    """Places near joints of each image, drawn with replacement.

    Args:
        joints (Tensor): (x, y) in pixels, in shape [B, K, 2].
        count (int): Places in an image.
        jitter (float): Standard deviation along each axis, in pixels.

    Returns:
        Tensor: (x, y) in whole pixels, in shape [B, count, 2].
    """
    batch, keypoints = joints.shape[:2]
    which = torch.randint(keypoints, (batch, count)).to(
        joints.device, non_blocking=True)
    return beside(joints, which, jitter)


def beside(joints: Tensor, which: Tensor, jitter: float) -> Tensor:
    """Places near certain joints of each image.

    Args:
        joints (Tensor): (x, y) in pixels, in shape [B, K, 2].
        which (Tensor): Indices of joints in shape [B, N].
        jitter (float): As of :func:`around_joints`.

    Returns:
        Tensor: (x, y) in whole pixels, in shape [B, N, 2].
    """
    distance = jitter * torch.randn(*which.shape, 2)
    joints = joints.gather(1, which[..., None].expand(-1, -1, 2))
    return (joints + distance.to(joints.device, non_blocking=True)).long()


class BoxStep(HardViewStep):
    """A step that hides what lies in boxes.

    Args:
        half_size (tuple or 'auto'): Smallest and largest half side in the input's
            pixels. ``'auto'``: 10 to 19 in an input 256 pixels high, as in the original
            code, and as much of the height in any other, so that boxes hide the
            same share of a person.
        **count (int): Boxes in an image, at least 1, by the argument's name.
    """

    def __init__(self, half_size: tuple[int, int] | str, **count: int):
        super().__init__()
        whole(1, **count)
        if half_size != 'auto':
            interval(1, half_size=half_size)
            for length in half_size:
                whole(1, half_size=length)
        self.half_size = half_size
        self.count, = count.values()

    def draw_half_sizes(self, batch: int, size: tuple[int, int]) -> Tensor:
        """Half sides (x, y) in pixels, in shape [batch, count, 2].

        Args:
            batch (int): Images.
            size (tuple): Their width and height.
        """
        auto = self.half_size == 'auto'
        low, high = HALF_SIZE if auto else self.half_size
        half_sizes = torch.randint(low, high + 1, (batch, self.count, 2))
        return half_sizes * original_pixel(size) if auto else half_sizes

    def draw_boxes(self, view: HardView) -> Tensor:
        """Pixels in boxes anywhere in the images, the same for all students."""
        centers = torch.stack([torch.randint(length, (view.batch, self.count))
                               for length in view.size], -1)
        boxes = (tensor.repeat(view.students, 1, 1).to(
            view.image.device, non_blocking=True)
            for tensor in (centers, self.draw_half_sizes(view.batch, view.size)))
        return inside_boxes(*boxes, view.size)


@MODELS.register_module()
class Cutout(BoxStep):
    """Fills boxes anywhere in the images with 0, the mean color.

    DeVries & Taylor, `Improved Regularization of Convolutional Neural Networks
    with Cutout <https://arxiv.org/abs/1708.04552>`_.

    Args:
        num_holes (int): Boxes in an image.
        half_size (tuple or 'auto'): As of :class:`BoxStep`.
    """

    def __init__(self, num_holes: int = 5,
                 half_size: tuple[int, int] | str = 'auto'):
        super().__init__(half_size, num_holes=num_holes)

    def forward(self, view: HardView) -> HardView:
        """Hide parts of a view."""
        return view.replace(image=view.image.masked_fill(self.draw_boxes(view), 0))


@MODELS.register_module()
class CutMix(BoxStep):
    """Fills boxes with the same place of another image of the batch.

    Yun et al., `CutMix <https://arxiv.org/abs/1905.04899>`_; the target stays the
    first image's, as in MultiAugs.

    Args:
        num_patches (int): Boxes in an image.
        half_size (tuple or 'auto'): As of :class:`BoxStep`.
    """

    def __init__(self, num_patches: int = 2,
                 half_size: tuple[int, int] | str = 'auto'):
        super().__init__(half_size, num_patches=num_patches)

    def forward(self, view: HardView) -> HardView:
        """Paste patches into a view."""
        patches, donor = self.draw_boxes(view), view.image[another_image(view)]
        return view.replace(image=torch.where(patches, donor, view.image))


@MODELS.register_module()
class JointCutout(BoxStep):
    """Fills boxes around joints with 0, the mean color.

    The joints are those that the student's teacher predicts on the easy view. Xie
    et al., `An Empirical Study of the Collapsing Problem in Semi-Supervised 2D Human
    Pose Estimation <https://arxiv.org/abs/2011.12498>`_.

    The original code draws 5 of its 24 outputs, of which COCO trains 17, and keeps
    boxes out of what is lower than the crop is wide: 4 of 17 hide as much of a
    person's box.

    Args:
        num_joints (int): Joints in an image, drawn with replacement.
        half_size (tuple or 'auto'): As of :class:`BoxStep`.
        jitter (float or 'auto'): As of :func:`around_joints`. ``'auto'``: 10 pixels in
            an input 256 pixels high, and as much of the height in any other.
    """

    uses_joints = True

    def __init__(self, num_joints: int = 4,
                 half_size: tuple[int, int] | str = 'auto',
                 jitter: float | str = 'auto'):
        super().__init__(half_size, num_joints=num_joints)
        if jitter != 'auto':
            non_negative(jitter=jitter)
        self.jitter = jitter

    def forward(self, view: HardView) -> HardView:
        """Hide joints of a view."""
        view = view.for_each_student()
        centers = around_joints(
            view.moved_joints(), self.count, self.jitter_of(view))
        half_sizes = self.draw_half_sizes(len(centers), view.size).to(
            centers.device, non_blocking=True)
        return self.hide(view, centers, half_sizes)

    def jitter_of(self, view: HardView) -> float:
        """The jitter in pixels of a view."""
        return (JITTER * original_pixel(view.size) if self.jitter == 'auto'
                else self.jitter)

    def hide(self, view: HardView, centers: Tensor, half_sizes: Tensor) -> HardView:
        """Hide what lies in boxes."""
        holes = inside_boxes(centers, half_sizes, view.size)
        return view.replace(image=view.image.masked_fill(holes, 0))


@MODELS.register_module()
class JointCutOcclude(JointCutout):
    """Pastes surroundings of other people's joints onto joints.

    Each patch shows a joint that the teacher predicts in another image of the
    batch. The "joint cut-occlude" of Zhou et al., `Boosting Semi-Supervised 2D
    Human Pose Estimation by Revisiting Data Augmentation and Consistency Training
    <https://arxiv.org/abs/2402.11566>`_ (MultiAugs).

    Args:
        num_joints (int): Joints in an image, drawn with replacement.
        **kwargs: As of :class:`JointCutout`.
    """

    def __init__(self, num_joints: int = 2, **kwargs):
        super().__init__(num_joints, **kwargs)

    def hide(self, view: HardView, centers: Tensor, half_sizes: Tensor) -> HardView:
        """Paste patches of other images."""
        other = another_image(view)
        origins = around_joints(view.moved_joints()[other], self.count, 0.)
        image = view.image
        for center, origin, half_size in zip(*(
                each.split(1, 1) for each in (centers, origins, half_sizes)),
                strict=True):
            inside = inside_boxes(center, half_size, view.size)
            patch = view.image[other]
            for axis, dim in ((0, 3), (1, 2)):
                length = view.size[axis]
                pixels = torch.arange(length, device=image.device) + (
                    origin - center)[:, :, axis]
                shape = [len(image), 1, 1, 1]
                shape[dim] = length
                # nothing is pasted from beyond the other image's border
                inside = inside & ((pixels >= 0) & (pixels < length)).view(shape)
                index = pixels.clamp(0, length - 1).view(shape).expand_as(patch)
                patch = patch.gather(dim, index)
            image = torch.where(inside, self.paste(patch, image), image)
        return view.replace(image=image)

    def paste(self, patch: Tensor, image: Tensor) -> Tensor:
        """What shows in a box, of the other images' patches and of the images."""
        return patch
