import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...compat.private_api import turns_channels


class InputMapping(nn.Module):
    """From a student's images to those that its teacher was trained with.

    Channels, normalization and size are changed where the two differ;
    otherwise the images pass as they are.

    Args:
        student (nn.Module): Preprocessor of the student's images.
        teacher (nn.Module): Preprocessor of the teacher's images.
        student_size (tuple[int, int]): Width and height of the student's
            images in pixels.
        teacher_size (tuple[int, int]): Width and height of the teacher's.

    Raises:
        ValueError: If their aspect ratios differ.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module,
                 student_size: tuple[int, int],
                 teacher_size: tuple[int, int]):
        super().__init__()
        ratio = [there / here for here, there in
                 zip(student_size, teacher_size, strict=True)]
        if abs(ratio[0] / ratio[1] - 1) > 0.02:
            raise ValueError(
                'teacher and student must look at crops of the same shape, '
                f'but the teacher\'s input is {teacher_size[0]} × '
                f'{teacher_size[1]} and the student\'s {student_size[0]} × '
                f'{student_size[1]}: stretched, people would look otherwise '
                'than in its training. Change one input_size')
        self.size = (None if tuple(student_size) == tuple(teacher_size)
                     else (int(teacher_size[1]), int(teacher_size[0])))
        self.flips_channels = (
            turns_channels(student) != turns_channels(teacher))
        mean, std = normalization(student)
        if self.flips_channels:
            mean, std = mean.flip(0), std.flip(0)
        own_mean, own_std = normalization(teacher)
        scale, shift = std / own_std, (mean - own_mean) / own_std
        self.normalizes = not (torch.equal(scale, torch.ones_like(scale))
                               and torch.equal(shift, torch.zeros_like(shift)))
        self.register_buffer('scale', scale.float(), persistent=False)
        self.register_buffer('shift', shift.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images.

        Args:
            images (Tensor): The student's, in shape [B, 3, H, W].

        Returns:
            Tensor: The teacher's, in shape [B, 3, H', W'].
        """
        if self.flips_channels:
            images = images.flip(1)
        if self.normalizes:
            images = images * self.scale + self.shift
        if self.size is not None:
            # first pixel on first, last on last, as TargetMapping has it
            images = F.interpolate(
                images, self.size, mode='bilinear', align_corners=True)
        return images


def normalization(preprocessor: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a preprocessor, in shape [3, 1, 1]."""
    if not hasattr(preprocessor, 'mean'):
        return torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    mean, std = (value.double().cpu().reshape(-1, 1, 1).expand(3, 1, 1)
                 for value in (preprocessor.mean, preprocessor.std))
    return mean, std
