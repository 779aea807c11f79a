"""What consistency needs to know of a head's output: its joints and targets.

One class for heatmaps, one for SimCC's pairs of distributions; which of them
serves a network is seen from its codec (:func:`keypoint_outputs`).
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmpose.codecs import MegviiHeatmap, MSRAHeatmap, SimCCLabel, UDPHeatmap
from mmpose.models.losses import KeypointMSELoss
from torch import Tensor, nn

from ..hard_views.hard_view import invert, move, rescale, warp
from ..losses.consistency_losses import heatmap_consistency_loss

# a head's output: heatmaps, those of several stages, or a pair (x, y)
Output = Tensor | list[Tensor] | tuple[Tensor, Tensor]


class KeypointOutputs(metaclass=ABCMeta):
    """How to read and to teach the outputs of one head.

    Args:
        head (nn.Module): The head of a stock pose estimator.
    """

    def __init__(self, head: nn.Module):
        self.head = head
        self.decoder = head.decoder

    def unfit(self, output) -> TypeError:
        """The error for an output that is not what the codec promises."""
        return TypeError(
            f'{type(self.head).__name__} gives no {self.kind} of shape '
            f'{self.shape}, which {type(self.decoder).__name__} makes one '
            f'expect: it gives {describe(output)}. Heatmap heads and SimCC '
            'heads do')

    @abstractmethod
    def final(self, output: Output) -> Output:
        """The part of a head's output that it decodes."""

    @abstractmethod
    def peaks(self, output: Output) -> Tensor:
        """How sure the head is of each joint, as it scores it: [B, K]."""

    @abstractmethod
    def joints(self, output: Output) -> Tensor:
        """The joints in pixels of the input, in shape [B, K, 2]."""

    @abstractmethod
    def targets(self, output: Output, matrix: Tensor, size: tuple[int, int],
                half_pixels: bool) -> tuple[Output, Tensor | None]:
        """What a teacher's output on its view teaches on the hard one.

        Args:
            output (Output): The teacher's output.
            matrix (Tensor): Maps pixels of the hard view to those of the view
                that the teacher saw, in shape [B, 2, 3].
            size (tuple): Width and height of the views in pixels.
            half_pixels (bool): Whether heatmaps lie on images edge to edge.

        Returns:
            tuple: The targets, and weights in shape [B, K] where some joints
            have none, else ``None``.
        """

    @abstractmethod
    def loss(self, output: Output, targets: Output, weights: Tensor) -> Tensor:
        """The consistency loss of a student's output, a scalar."""


class HeatmapOutputs(KeypointOutputs):
    """Heatmaps of one stage or several, each taught by the last one."""

    kind, shape = 'heatmaps', '[B, K, H, W]'

    def __init__(self, head: nn.Module):
        super().__init__(head)
        self.scale = tuple(float(x) for x in self.decoder.scale_factor)
        # where a heatmap's pixel 0 lies on the input, in its own pixels:
        # MegviiHeatmap rounds down and decodes to the middle
        self.origin = 0.5 if isinstance(self.decoder, MegviiHeatmap) else 0.

    def stages(self, output: Output) -> list[Tensor]:
        """The heatmaps of each stage."""
        stages = list(output) if isinstance(output, list) else [output]
        if not all(isinstance(x, Tensor) and x.ndim == 4 for x in stages):
            raise self.unfit(output)
        return stages

    def final(self, output: Output) -> Tensor:
        """The heatmaps of the last stage."""
        return self.stages(output)[-1]

    def peaks(self, output: Output) -> Tensor:
        """The highest value of each heatmap."""
        return self.final(output).detach().amax(dim=(2, 3)).float()

    def joints(self, output: Output) -> Tensor:
        """The place of each heatmap's highest value."""
        heatmaps = self.final(output).detach()
        index = heatmaps.flatten(2).argmax(dim=2)
        width = heatmaps.shape[3]
        return torch.stack([
            (place + self.origin) * scale for place, scale in zip(
                (index % width, index // width), self.scale, strict=True)
        ], dim=2)

    def targets(self, output: Output, matrix: Tensor, size: tuple[int, int],
                half_pixels: bool) -> tuple[Tensor, None]:
        """The last stage's heatmaps, warped."""
        heatmaps = self.final(output).detach()
        if half_pixels:
            scale = size[0] / heatmaps.shape[3], size[1] / heatmaps.shape[2]
            offset = tuple((x - 1) / 2 for x in scale)
        else:
            scale = self.scale
            offset = tuple(x * self.origin for x in scale)
        return warp(heatmaps, rescale(matrix, scale, offset)), None

    def loss(self, output: Output, targets: Tensor,
             weights: Tensor) -> Tensor:
        """:func:`heatmap_consistency_loss`, summed over the stages."""
        return sum(heatmap_consistency_loss(stage, targets, weights)
                   for stage in self.stages(output))


class SimCCOutputs(KeypointOutputs):
    """Pairs of distributions over x and over y.

    A turn mixes the two axes, of which each joint's distributions say nothing
    together. So coordinates are warped: the teacher's joints are moved to the
    hard view and encoded there as the codec does.
    """

    kind, shape = 'pair of SimCC vectors', '[B, K, W] and [B, K, H]'

    def final(self, output: Output) -> tuple[Tensor, Tensor]:
        """The pair itself."""
        if not (isinstance(output, tuple) and len(output) == 2 and
                all(isinstance(x, Tensor) and x.ndim == 3 for x in output)):
            raise self.unfit(output)
        return output

    def peaks(self, output: Output) -> Tensor:
        """The highest value of each vector, the lower one of the two."""
        x, y = self.final(output)
        return torch.minimum(x.detach().amax(2), y.detach().amax(2)).float()

    def joints(self, output: Output) -> Tensor:
        """The places of the highest values."""
        x, y = self.final(output)
        place = torch.stack([x.argmax(2), y.argmax(2)], dim=2).float()
        return place / self.decoder.simcc_split_ratio

    def targets(self, output: Output, matrix: Tensor, size: tuple[int, int],
                half_pixels: bool) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """The teacher's joints, moved and encoded."""
        joints = move(self.joints(output), invert(matrix))
        centers = (joints * self.decoder.simcc_split_ratio).round()
        lengths = [x.shape[2] for x in self.final(output)]
        inside = (centers >= 0).all(dim=2)
        for axis, length in enumerate(lengths):
            inside = inside & (centers[:, :, axis] < length)
        labels = tuple(self._encode(centers[:, :, axis], length, axis)
                       for axis, length in enumerate(lengths))
        return labels, inside.float()

    def _encode(self, center: Tensor, length: int, axis: int) -> Tensor:
        if self.decoder.smoothing_type == 'standard':
            smooth = self.decoder.label_smooth_weight
            label = F.one_hot(center.long().clamp(0, length - 1), length)
            return torch.where(label > 0, 1 - smooth, smooth / (length - 1))
        sigma = float(self.decoder.sigma[axis])
        bins = torch.arange(length, device=center.device)
        label = torch.exp(-((bins - center[..., None]) / sigma)**2 / 2)
        if self.decoder.normalize:
            label = label / (sigma * np.sqrt(2 * np.pi))
        return label

    def loss(self, output: Output, targets: tuple[Tensor, Tensor],
             weights: Tensor) -> Tensor:
        """Half of the head's own loss, as with heatmaps."""
        # half precision has no place in a logarithm
        output = tuple(x.float() for x in self.final(output))
        return self.head.loss_module(output, targets, weights) / 2


def check_weighted(*losses: nn.Module) -> None:
    """Refuse losses that do not weigh joints.

    Args:
        *losses (nn.Module): Losses, or lists of them.

    Raises:
        ValueError: If one has ``use_target_weight=False`` (which
            ``KeypointMSELoss`` does not heed: it weighs all the same).
    """
    for loss in losses:
        if isinstance(loss, nn.ModuleList):
            check_weighted(*loss)
        elif not (getattr(loss, 'use_target_weight', True)
                  or isinstance(loss, KeypointMSELoss)):
            raise ValueError(
                f'{type(loss).__name__} has use_target_weight=False, but '
                'joints are weighed: those that nothing is known of are not '
                'to be taught. Set use_target_weight=True')


def at_least_float32(output: Output) -> Output:
    """A head's output without half precision."""
    if isinstance(output, Tensor):
        return output.to(torch.promote_types(output.dtype, torch.float32))
    return type(output)(at_least_float32(part) for part in output)


def cloned(outputs: Output) -> Output:
    """A copy, as some codecs decode in place."""
    if isinstance(outputs, Tensor):
        return outputs.clone()
    return type(outputs)(cloned(part) for part in outputs)


def average(outputs: Sequence[Output]) -> Output:
    """The mean of outputs of the same structure."""
    if isinstance(outputs[0], Tensor):
        return torch.stack(list(outputs)).mean(dim=0)
    kind = type(outputs[0])
    return kind(average(parts) for parts in zip(*outputs, strict=True))


def average_fields(fields: Sequence[Sequence[PixelData | None]]
                   ) -> list[PixelData] | None:
    """The mean of the heatmaps that networks give with their predictions."""
    if fields[0][0] is None:
        return None
    return [PixelData(heatmaps=average([each.heatmaps for each in sample]))
            for sample in zip(*fields, strict=True)]


def describe(output) -> str:
    """Types and shapes of a head's output, for an error message."""
    if isinstance(output, Tensor):
        return f'a tensor of shape {list(output.shape)}'
    if isinstance(output, (list, tuple)):
        inner = ', '.join(describe(x) for x in output)
        return f'a {type(output).__name__} of {inner}'
    return f'a {type(output).__name__}'


def keypoint_outputs(head: nn.Module, key: str = 'network',
                     use: str = 'Consistency') -> KeypointOutputs:
    """What reads and teaches the outputs of a head.

    Args:
        head (nn.Module): The head of a stock pose estimator.
        key (str): The key of the config that it is in, for the errors.
        use (str): What it is read for, for the errors.

    Returns:
        KeypointOutputs: For heatmaps or for SimCC, as the head's codec says.

    Raises:
        ValueError: If the head has no decoder.
        TypeError: If its outputs are neither of them.
    """
    name = type(head).__name__
    decoder = getattr(head, 'decoder', None)
    if decoder is None:
        raise ValueError(
            f'the head {name} of `{key}` has no `decoder`, which says how '
            'its outputs lie on the image. Add the codec to the config: '
            f'{key} = dict(..., head=dict(..., decoder=codec))')
    if isinstance(decoder, SimCCLabel):
        return SimCCOutputs(head)
    if isinstance(decoder, (MSRAHeatmap, UDPHeatmap, MegviiHeatmap)):
        if getattr(decoder, 'heatmap_type', 'gaussian') == 'gaussian':
            return HeatmapOutputs(head)
        raise TypeError(
            f'the head {name} of `{key}` predicts offsets beside heatmaps '
            f"(heatmap_type={decoder.heatmap_type!r}), which a turn would "
            "change: use a UDPHeatmap codec with heatmap_type='gaussian'")
    raise TypeError(
        f'the head {name} of `{key}`, with the codec '
        f'{type(decoder).__name__}, gives neither. {use} needs heatmaps '
        '(MSRAHeatmap, UDPHeatmap, MegviiHeatmap) or SimCC (SimCCLabel)')
