import torch
from mmpose.registry import MODELS
from torch import Tensor

from ...common.checks import non_negative
from .boxes import check_boxes, draw_half_sizes, inside_boxes
from .cutout import another_image
from .hard_view import HardView, HardViewStep


def around_joints(joints: Tensor, count: int, jitter: float) -> Tensor:
    """Places near joints of each image, drawn with replacement.

    Args:
        joints (Tensor): (x, y) in pixels, in shape [B, K, 2].
        count (int): Places in an image.
        jitter (float): Standard deviation of their distance from the joint, along
            each axis, in pixels.

    Returns:
        Tensor: (x, y) in whole pixels, in shape [B, count, 2].
    """
    batch, keypoints = joints.shape[:2]
    which = torch.randint(keypoints, (batch, count, 1)).expand(-1, -1, 2)
    distance = jitter * torch.randn(batch, count, 2)
    device = joints.device
    places = joints.gather(1, which.to(device, non_blocking=True))
    return (places + distance.to(device, non_blocking=True)).long()


class JointBoxes(HardViewStep):
    """A step that hides what lies in boxes around predicted joints.

    The joints are those that the student's teacher predicts on the easy view.

    Args:
        num_joints (int): Joints in an image, drawn with replacement.
        half_size (tuple): Smallest and largest half side in pixels of the
            network's input.
        jitter (float): Standard deviation of the box's center around the joint,
            along each axis, in pixels.
    """

    uses_joints = True

    def __init__(self, num_joints: int, half_size: tuple[int, int] = (10, 19),
                 jitter: float = 10.):
        super().__init__()
        check_boxes(half_size, num_joints=num_joints)
        non_negative(jitter=jitter)
        self.num_joints = num_joints
        self.half_size = half_size
        self.jitter = jitter

    def draw_half_sizes(self, joints: Tensor) -> Tensor:
        """Half sides (x, y) of the boxes, in shape [B, num_joints, 2]."""
        return draw_half_sizes((len(joints), self.num_joints), self.half_size).to(
            joints.device, non_blocking=True)


@MODELS.register_module()
class JointCutout(JointBoxes):
    """Fills boxes around predicted joints with 0, the mean color.

    Xie et al., `An Empirical Study of the Collapsing Problem in Semi-Supervised 2D
    Human Pose Estimation <https://arxiv.org/abs/2011.12498>`_. Its arguments are
    those of :class:`JointBoxes`.
    """

    def __init__(self, num_joints: int = 5, **kwargs):
        super().__init__(num_joints, **kwargs)

    def forward(self, view: HardView) -> HardView:
        """Hide joints of a view."""
        view = view.for_each_student()
        centers = around_joints(view.moved_joints(), self.num_joints, self.jitter)
        holes = inside_boxes(centers, self.draw_half_sizes(centers), view.size)
        return view.replace(image=view.image.masked_fill(holes, 0))


@MODELS.register_module()
class JointCutOcclude(JointBoxes):
    """Pastes surroundings of other people's joints onto predicted joints.

    Each patch shows a joint that the teacher predicts in another image of the
    batch. The "joint cut-occlude" of Zhou et al., `Boosting Semi-Supervised 2D
    Human Pose Estimation by Revisiting Data Augmentation and Consistency Training
    <https://arxiv.org/abs/2402.11566>`_ (MultiAugs). Its arguments are those of
    :class:`JointBoxes`.
    """

    def __init__(self, num_joints: int = 2, **kwargs):
        super().__init__(num_joints, **kwargs)

    def forward(self, view: HardView) -> HardView:
        """Hide joints of a view behind those of others."""
        view = view.for_each_student()
        joints, other = view.moved_joints(), another_image(view)
        centers = around_joints(joints, self.num_joints, self.jitter)
        origins = around_joints(joints[other], self.num_joints, 0.)
        half_sizes = self.draw_half_sizes(centers)
        donor, image = view.image[other], view.image
        for patch in range(self.num_joints):
            one = slice(patch, patch + 1)
            image = self._paste(image, donor, centers[:, one], origins[:, one],
                                half_sizes[:, one], view.size)
        return view.replace(image=image)

    @staticmethod
    def _paste(image: Tensor, donor: Tensor, center: Tensor, origin: Tensor,
               half_size: Tensor, size: tuple[int, int]) -> Tensor:
        inside = inside_boxes(center, half_size, size)
        shift = origin - center
        for axis, (dim, length) in enumerate(((3, size[0]), (2, size[1]))):
            pixels = torch.arange(length, device=image.device) + shift[:, :, axis]
            shape = [len(image), 1, 1, 1]
            shape[dim] = length
            # nothing is pasted from beyond the other image's border
            inside = inside & ((pixels >= 0) & (pixels < length)).view(shape)
            index = pixels.clamp(0, length - 1).view(shape).expand_as(donor)
            donor = donor.gather(dim, index)
        return torch.where(inside, donor, image)
