"""Several trained pose estimators that only ever predict."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...common.errors import UserError
from ..heads.keypoint_outputs import Output, mapped
from .frozen_teacher import FrozenTeacher


class FrozenTeachers(nn.Module):
    """Teachers that each know some of a student's joints.

    A joint's target is the mean of those of the teachers that have it.

    Args:
        teachers (Sequence[FrozenTeacher]): At least one.

    Attributes:
        taught (Tensor or None): 1 for joints of the student that a teacher has, else
            0, in shape [K]; ``None`` if they have all.
        digest (str): SHA-256 of all weights.

    Raises:
        UserError: If a SimCC student has some with SimCC and some with heatmaps, which
            teach in different units.
    """

    def __init__(self, teachers: Sequence[FrozenTeacher]):
        super().__init__()
        self.teachers = nn.ModuleList(teachers)
        self.from_simcc = teachers[0].from_simcc
        if len({each.from_simcc for each in teachers}) > 1:
            raise UserError('more_teachers must all have SimCC or all have heatmaps, '
                            'as the first teacher has')
        joints = max(len(each.taught) if each.taught is not None else 1
                     for each in teachers)
        shares = torch.stack([
            torch.ones(joints) if each.taught is None else each.taught.cpu()
            for each in teachers])
        count = shares.sum(0)
        self.register_buffer('shares', shares / count.clamp(min=1), persistent=False)
        self.register_buffer('taught', None if (count > 0).all() else
                             (count > 0).float(), persistent=False)
        self.digest = hashlib.sha256('\n'.join(
            each.digest for each in teachers).encode()).hexdigest()

    def train(self, mode: bool = True) -> 'FrozenTeachers':
        """Stay in evaluation mode, whatever the student's mode is."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Output:
        """Targets of the student's preprocessed images [B, 3, H, W]."""
        return self._mean([each(images) for each in self.teachers])

    @torch.no_grad()
    def with_features(self, images: Tensor) -> tuple[Output, Tensor]:
        """Targets, and the first teacher's last feature maps in shape [B, C, H, W]."""
        first, features = self.teachers[0].with_features(images)
        return self._mean([first, *(
            each(images) for each in self.teachers[1:])]), features

    def _mean(self, targets: Sequence[Output]) -> Output:

        def of_maps(*parts: Tensor) -> Tensor:
            shares = self.shares
            if shares.shape[1] > 1:
                shares = shares.repeat_interleave(
                    parts[0].shape[1] // shares.shape[1], dim=1)
            return sum(share.view(-1, *[1] * (part.ndim - 2)) * part
                       for share, part in zip(shares, parts, strict=True))

        return mapped(of_maps, *targets)
