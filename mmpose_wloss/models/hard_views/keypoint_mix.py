import torch
from mmpose.registry import MODELS
from torch import Tensor

from ...common.checks import interval
from .cutout import JointCutOcclude


@MODELS.register_module()
class KeypointMix(JointCutOcclude):
    """Mixes surroundings of other people's joints into those of joints.

    As :class:`JointCutOcclude`, but the patch is as opaque as is drawn for it, evenly.
    The "Keypoint-Mix" of Yun et al., `A New Teacher-Reviewer-Student Framework for
    Semi-supervised 2D Human Pose Estimation <https://arxiv.org/abs/2501.09565>`_, whose
    code is not public: sizes and number of patches are those of this package.

    Args:
        num_joints (int): Joints in an image, drawn with replacement.
        opacity (tuple): Lowest and highest opacity, from 0 to 1, of the patches. With
            ``(1, 1)`` it is :class:`JointCutOcclude`.
        **kwargs: As of :class:`JointCutout`.
    """

    def __init__(self, num_joints: int = 2, opacity: tuple[float, float] = (0., 1.),
                 **kwargs):
        super().__init__(num_joints, **kwargs)
        interval(0, 1, opacity=opacity)
        self.opacity = opacity

    def paste(self, patch: Tensor, image: Tensor) -> Tensor:
        """Patches over images, each as opaque as is drawn."""
        opacity = torch.empty(len(image), 1, 1, 1).uniform_(*self.opacity)
        return torch.lerp(image, patch, opacity.to(image, non_blocking=True))
