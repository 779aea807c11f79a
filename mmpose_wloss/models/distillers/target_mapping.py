from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmpose.codecs import MegviiHeatmap
from torch import Tensor, nn

from ...common.errors import UserError
from ..heads.keypoint_outputs import (
    HeatmapOutputs,
    KeypointOutputs,
    Output,
    SimCCOutputs,
    per_axis,
)


class Axis(NamedTuple):
    """How bins lie along one axis of an image of so many pixels."""

    length: int
    # pixels of the image from one bin to the next
    step: float
    # where bin 0 lies, in bins right of pixel 0
    origin: float
    pixels: int


def axes(outputs: KeypointOutputs) -> tuple[Axis, Axis]:
    """The axes x and y of a head's outputs."""
    codec = outputs.decoder
    if isinstance(outputs, SimCCOutputs):
        ratio = codec.simcc_split_ratio
        return tuple(Axis(int(np.around(size * ratio)), 1 / ratio, 0., size)
                     for size in codec.input_size)
    return tuple(Axis(int(length), step, outputs.origin, size)
                 for length, step, size in zip(
                     codec.heatmap_size, outputs.scale, codec.input_size,
                     strict=True))


def interpolation_matrix(to: Axis, source: Axis) -> Tensor | None:
    """The matrix that samples values along one axis at the bins of another.

    Images show the same, first pixel on first and last on last. The matrix has shape
    [to.length, source.length], and rows of zeros where there is nothing to sample; it
    is ``None`` if the axes are the same.
    """
    if to == source:
        return None
    zoom = ((source.pixels - 1) / (to.pixels - 1)
            if source.pixels != to.pixels else 1.)
    bins = np.arange(to.length)
    place = (bins + to.origin) * to.step * zoom / source.step - source.origin
    # codecs differ by a bin in where the last one lies
    inside = (place >= -1) & (place <= source.length)
    place = place.clip(0, source.length - 1)
    left = np.floor(place).astype(int)
    part = place - left
    matrix = np.zeros((to.length, source.length))
    # Catmull and Rom's cubic: a line would flatten peaks
    for step, weight in (
            (-1, -part / 2 + part**2 - part**3 / 2),
            (0, 1 - 5 * part**2 / 2 + 3 * part**3 / 2),
            (1, part / 2 + 2 * part**2 - 3 * part**3 / 2),
            (2, -part**2 / 2 + part**3 / 2)):
        np.add.at(matrix, (bins, (left + step).clip(0, source.length - 1)),
                  weight)
    return torch.from_numpy(matrix * inside[:, None]).float()


class TargetMapping(nn.Module):
    """From a teacher's outputs to targets of its student.

    - Heatmaps for heatmaps: sampled where the student's pixels lie.
    - SimCC for SimCC: probabilities, sampled where the student's bins lie.
    - Heatmaps for SimCC: labels as the student's codec writes them. They are
      the marginals of :math:`\\max(h, 0)^{\\sigma_h^2 / \\sigma_s^2}`, which
      of a Gaussian of the teacher's codec makes one as wide as the student's
      codec has it, as high as the heatmap's peak (up to 1) has it.

    - Any outputs for coordinates and for heatmaps with offsets: the joints that the
      teacher predicts, as the student's codec writes them.

    Args:
        student (KeypointOutputs): Reads the outputs of the student's head.
        teacher (KeypointOutputs): Reads those of the teacher's head.
        keypoint_mapping (list[tuple[int, int]], optional): Pairs of the teacher's and
            the student's joint that are the same; ``None``: both have the same.

    Attributes:
        taught (Tensor or None): 1 for joints of the student that the teacher
            has, else 0, in shape [K]; ``None`` if it has all.
        from_simcc (bool): Whether targets are probabilities, not labels of a codec.

    Raises:
        UserError: If joints differ, or targets cannot be made of the outputs.
    """

    def __init__(self, student: KeypointOutputs, teacher: KeypointOutputs,
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None):
        super().__init__()
        self.to_simcc = isinstance(student, SimCCOutputs)
        self.from_simcc = self.to_simcc and isinstance(teacher, SimCCOutputs)
        by_joints = not isinstance(student, (HeatmapOutputs, SimCCOutputs))
        if not by_joints:
            check_codecs(student, teacher)
        source, taught = joint_sources(
            student.keypoints, teacher.keypoints, keypoint_mapping)
        self.register_buffer('source', source, persistent=False)
        self.register_buffer('taught', taught, persistent=False)
        # no modules: their heads are no part of this one
        self.by_joints = (student, teacher) if by_joints else None
        if by_joints:
            # as interpolation_matrix: first pixel on first, last on last
            self.zoom = [(own - 1) / (its - 1) for own, its in zip(
                student.decoder.input_size, teacher.decoder.input_size, strict=True)]
            return
        for name, to, source in zip('xy', axes(student), axes(teacher), strict=True):
            self.register_buffer(name, interpolation_matrix(to, source),
                                 persistent=False)
        self.beta = float(getattr(teacher.head.loss_module, 'beta', 1.))
        if self.to_simcc and not self.from_simcc:
            self.powers = sharpening(student, teacher)
            self.peak = teacher.height
            codec = student.decoder
            self.heights = [float(1 / (sigma * np.sqrt(2 * np.pi)))
                            if codec.normalize else 1. for sigma in codec.sigma]

    @torch.no_grad()
    def forward(self, output: Output) -> Output:
        """Make targets of the last stage of what the teacher's head gives.

        They are heatmaps, with offsets or without, coordinates, or labels or
        probabilities over x and over y, in float32, or in float64 if the output is.
        """
        if self.by_joints:
            student, teacher = self.by_joints
            joints = self._of_joints(teacher.joints(output))
            return student.encode(per_axis(joints, self.zoom))[0]
        device = (output if isinstance(output, Tensor) else output[0]).device
        # sampling is a product of matrices, for which autocast takes a half
        with torch.autocast(device.type, enabled=False):
            if self.from_simcc:
                return tuple(self._probabilities(part, matrix)
                             for part, matrix in zip(
                                 output, (self.x, self.y), strict=True))
            heatmaps = self._of_joints(output)
            if not self.to_simcc:
                return sampled(sampled(heatmaps, self.x).mT, self.y).mT
            return self._labels(heatmaps)

    def _of_joints(self, values: Tensor) -> Tensor:
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        return values if self.source is None else values[:, self.source]

    def _probabilities(self, logits: Tensor, matrix: Tensor | None) -> Tensor:
        # a cubic may fall below 0 beside a peak
        values = sampled((self._of_joints(logits) * self.beta).softmax(dim=2),
                         matrix).clamp(min=0)
        return values / values.sum(dim=2, keepdim=True).clamp(min=1e-6)

    def _labels(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        heatmaps = heatmaps.clamp(min=0) / self.peak
        highest = heatmaps.amax(dim=(2, 3)).clamp(min=1e-6)[..., None]
        # in units of the peak: a power of what is small would vanish
        heatmaps = heatmaps / highest[..., None]
        labels = []
        for turned, matrix, power, height in zip(
                (heatmaps, heatmaps.mT), (self.x, self.y), self.powers,
                self.heights, strict=True):
            # sampled while it is wide: a narrow peak would be smeared
            marginal = (sampled(turned, matrix).clamp(min=0)**power).sum(dim=2)
            marginal = marginal / marginal.amax(dim=2, keepdim=True).clamp(
                min=1e-6)
            labels.append(marginal * highest.clamp(max=1) * height)
        return tuple(labels)


def sampled(values: Tensor, matrix: Tensor | None) -> Tensor:
    """Values sampled along their last axis."""
    return values if matrix is None else values @ matrix.mT.to(values.dtype)


def check_codecs(student: KeypointOutputs, teacher: KeypointOutputs) -> None:
    """Refuse a teacher whose outputs the student's cannot be made of."""
    types = [getattr(each.decoder, 'label_type', 'gaussian')
             for each in (teacher, student)]
    if types[0] != types[1]:
        raise UserError(
            f"the teacher's heatmaps have the label_type {types[0]!r}, the student's "
            f'labels {types[1]!r}. Give both the same')
    if not isinstance(teacher, HeatmapOutputs) and not (
            isinstance(student, SimCCOutputs) and isinstance(teacher, SimCCOutputs)):
        raise UserError(
            f'a teacher with {teacher.kind} cannot teach a student with '
            f'{student.kind}. Take a teacher with heatmaps, or a student with '
            'coordinates')
    if isinstance(student, SimCCOutputs):
        return
    names = [type(each.decoder).__name__ for each in (teacher, student)]
    if 'MegviiHeatmap' in names and names[0] != names[1]:
        raise UserError(
            'only heatmaps of MegviiHeatmap peak at 255, but the teacher has '
            f'{names[0]} and the student {names[1]}. Give both the same codec')


def sharpening(student: KeypointOutputs, teacher: KeypointOutputs
               ) -> tuple[float, float]:
    """Exponents, for x and y, that make Gaussians as wide as the student's."""
    if isinstance(teacher.decoder, MegviiHeatmap):
        # OpenCV's blur with a kernel of this size
        sigma = 0.3 * ((teacher.decoder.kernel_size - 1) / 2 - 1) + 0.8
    else:
        sigma = teacher.decoder.sigma
    return tuple(float(
        (sigma * source.step / source.pixels)**2 /
        (own * to.step / to.pixels)**2) for own, to, source in zip(
            student.decoder.sigma, axes(student), axes(teacher), strict=True))


def joint_sources(joints: int, teacher_joints: int,
                  mapping: Sequence[tuple[int, int]] | None
                  ) -> tuple[Tensor | None, Tensor | None]:
    """For each joint of the student the teacher's index, and 1 if there is one else 0.

    Both are in shape [K]; ``None`` for both where each joint is its own.
    """
    if mapping is None:
        if joints != teacher_joints:
            raise UserError(
                f'the teacher has {teacher_joints} joints, the student '
                f'{joints}. Say which are the same: keypoint_mapping=[(joint '
                'of the teacher, joint of the student), …]')
        return None, None
    if not mapping or any(len(pair) != 2 for pair in mapping):
        raise UserError('keypoint_mapping must be a list of pairs (joint of the '
                        f'teacher, joint of the student), but it is {mapping}')
    source, taught = torch.zeros(joints, dtype=torch.long), torch.zeros(joints)
    for there, here in mapping:
        if not (0 <= there < teacher_joints and 0 <= here < joints):
            raise UserError(
                f'keypoint_mapping has the pair {(there, here)}, but the '
                f'teacher has {teacher_joints} joints and the student {joints}')
        if taught[here]:
            raise UserError('keypoint_mapping gives a joint of the student more '
                            f'than one of the teacher: {mapping}')
        source[here], taught[here] = there, 1.
    return source, taught
