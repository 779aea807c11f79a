import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...common.errors import UserError
from ...compat.private_api import turns_channels


class InputMapping(nn.Module):
    """From a student's images to those that its teacher was trained with.

    Args:
        student (nn.Module): Preprocessor of the student's images.
        teacher (nn.Module): Preprocessor of the teacher's images.
        student_size (tuple[int, int]): Width and height of the former in pixels.
        teacher_size (tuple[int, int]): Width and height of the latter.

    Raises:
        UserError: If their aspect ratios differ.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module,
                 student_size: tuple[int, int],
                 teacher_size: tuple[int, int]):
        super().__init__()
        width, height = (there / here for here, there in
                         zip(student_size, teacher_size, strict=True))
        if abs(width / height - 1) > 0.02:
            raise UserError(
                'teacher and student must see crops of the same aspect ratio, '
                f"but the teacher's input_size is {tuple(teacher_size)} and "
                f"the student's {tuple(student_size)}")
        self.size = (None if tuple(student_size) == tuple(teacher_size)
                     else (int(teacher_size[1]), int(teacher_size[0])))
        self.flips_channels = (
            turns_channels(student) != turns_channels(teacher))
        mean, std = normalization(student)
        if self.flips_channels:
            mean, std = mean.flip(0), std.flip(0)
        own_mean, own_std = normalization(teacher)
        scale, shift = std / own_std, (mean - own_mean) / own_std
        self.normalizes = bool((scale != 1).any() or (shift != 0).any())
        self.register_buffer('scale', scale.float(), persistent=False)
        self.register_buffer('shift', shift.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map the student's images [B, 3, H, W] to the teacher's [B, 3, H', W']."""
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
