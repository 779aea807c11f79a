"""What a head's outputs, heatmaps or SimCC, say of joints and how they are taught."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmpose.codecs import MegviiHeatmap, MSRAHeatmap, SimCCLabel, UDPHeatmap
from mmpose.models.losses import KeypointMSELoss
from mmpose.utils.typing import SampleList
from torch import Tensor, nn

from ...codecs import HourglassHeatmap
from ...common.errors import UserError
from ..hard_views.hard_view import invert, move, rescale, warp
from ..losses.consistency_losses import heatmap_consistency_loss
from .soft_argmax import soft_argmax

# a head's output: heatmaps, those of several stages, or a pair (x, y)
Output = Tensor | list[Tensor] | tuple[Tensor, Tensor]


class KeypointOutputs(metaclass=ABCMeta):
    """Reads and teaches the outputs of one stock head.

    Args:
        head (nn.Module): The head, with its codec as ``decoder``.
    """

    kind: str

    def __init__(self, head: nn.Module):
        self.head = head
        self.decoder = head.decoder

    def check(self, output: Output, fits: bool) -> None:
        """Refuse an output that is not what the codec promises."""
        if not fits:
            raise UserError(
                f'{type(self.head).__name__} gives {describe(output)}, but its decoder '
                f'{type(self.decoder).__name__} is for {self.kind}')

    @abstractmethod
    def final(self, output: Output) -> Output:
        """The part of an output that the head decodes: the last stage."""

    @abstractmethod
    def peaks(self, output: Output) -> Tensor:
        """The score of each joint in shape [B, K]."""

    @abstractmethod
    def joints(self, output: Output) -> Tensor:
        """The places of the highest values in pixels of the input, [B, K, 2]."""

    @abstractmethod
    def labels(self, data_samples: SampleList) -> Output:
        """What labeled samples teach, in the form of an output."""

    @abstractmethod
    def targets(self, output: Output, matrix: Tensor, size: tuple[int, int],
                half_pixels: bool) -> tuple[Output, Tensor | None]:
        """What a teacher's output on its view teaches on the hard one.

        Args:
            output (Output): The teacher's output.
            matrix (Tensor): From pixels of the hard view to those of the teacher's
                view, in shape [B, 2, 3].
            size (tuple): Width and height of the views in pixels.
            half_pixels (bool): Whether heatmaps lie on images edge to edge.

        Returns:
            tuple: The targets, and weights of joints in shape [B, K] where some
            have no target, else ``None``.
        """

    @abstractmethod
    def loss(self, output: Output, targets: Output, weights: Tensor) -> Tensor:
        """The consistency loss of a student's output, a scalar."""


class HeatmapOutputs(KeypointOutputs):
    """Heatmaps of one stage or several, each taught by the last one, warped.

    A score is a heatmap's highest value; the loss is
    :func:`heatmap_consistency_loss`, summed over the stages.
    """

    kind = 'heatmaps of shape [B, K, H, W]'

    def __init__(self, head: nn.Module):
        super().__init__(head)
        self.scale = tuple(float(x) for x in self.decoder.scale_factor)
        # where a heatmap's pixel 0 lies on the input, in its own pixels:
        # these round down and decode to the middle
        self.origin = 0.5 if isinstance(
            self.decoder, (MegviiHeatmap, HourglassHeatmap)) else 0.

    def stages(self, output: Output) -> list[Tensor]:
        """The heatmaps of each stage."""
        stages = list(output) if isinstance(output, list) else [output]
        self.check(output, all(
            isinstance(x, Tensor) and x.ndim == 4 for x in stages))
        return stages

    def final(self, output):
        return self.stages(output)[-1]

    def peaks(self, output):
        return self.final(output).detach().amax(dim=(2, 3)).float()

    def joints(self, output):
        heatmaps = self.final(output).detach()
        index, width = heatmaps.flatten(2).argmax(dim=2), heatmaps.shape[3]
        return torch.stack([
            (place + self.origin) * scale for place, scale in zip(
                (index % width, index // width), self.scale, strict=True)], dim=2)

    def soft_joints(self, output: Output) -> Tensor:
        """Mean places in pixels of the input, in shape [B, K, 2], with a gradient.

        Heatmaps count as shares of their highest value, however high that is.
        """
        heatmaps = self.final(output)
        highest = heatmaps.detach().amax(dim=(2, 3), keepdim=True)
        places = soft_argmax(heatmaps / highest.clamp(min=1e-2))
        return (places + self.origin) * places.new_tensor(self.scale)

    def labels(self, data_samples):
        heatmaps = [sample.gt_fields.heatmaps for sample in data_samples]
        # those of stages are of the sample's several levels
        return torch.stack([each[-1] if isinstance(each, list) else each
                            for each in heatmaps])

    def targets(self, output, matrix, size, half_pixels):
        heatmaps = self.final(output).detach()
        if half_pixels:
            scale = size[0] / heatmaps.shape[3], size[1] / heatmaps.shape[2]
            offset = tuple((x - 1) / 2 for x in scale)
        else:
            scale = self.scale
            offset = tuple(x * self.origin for x in scale)
        return warp(heatmaps, rescale(matrix, scale, offset)), None

    def loss(self, output, targets, weights):
        return sum(heatmap_consistency_loss(stage, targets, weights)
                   for stage in self.stages(output))


class SimCCOutputs(KeypointOutputs):
    """Pairs of distributions over x and over y, which a turn would mix.

    So the teacher's joints are moved to the hard view and encoded there as the codec
    does. A score is the lower one of the two highest values; the loss is half of the
    head's own.
    """

    kind = 'a pair of SimCC vectors of shape [B, K, W] and [B, K, H]'

    def final(self, output):
        self.check(output, isinstance(output, tuple) and len(output) == 2 and all(
            isinstance(x, Tensor) and x.ndim == 3 for x in output))
        return output

    def peaks(self, output):
        x, y = self.final(output)
        return torch.minimum(x.detach().amax(2), y.detach().amax(2)).float()

    def joints(self, output):
        x, y = self.final(output)
        place = torch.stack([x.argmax(2), y.argmax(2)], dim=2).float()
        return place / self.decoder.simcc_split_ratio

    def labels(self, data_samples):
        labels = [sample.gt_instance_labels for sample in data_samples]
        return (torch.cat([each.keypoint_x_labels for each in labels]),
                torch.cat([each.keypoint_y_labels for each in labels]))

    def targets(self, output, matrix, size, half_pixels):
        joints = move(self.joints(output), invert(matrix))
        centers = (joints * self.decoder.simcc_split_ratio).round()
        width, height = (x.shape[2] for x in self.final(output))
        inside = ((centers >= 0).all(dim=2) & (centers[..., 0] < width) &
                  (centers[..., 1] < height))
        labels = (self._encode(centers[..., 0], width, 0),
                  self._encode(centers[..., 1], height, 1))
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

    def loss(self, output, targets, weights):
        # half precision has no place in a logarithm
        return self.head.loss_module(
            at_least_float32(self.final(output)), targets, weights) / 2


def check_weighted(*losses: nn.Module) -> None:
    """Refuse losses, or lists of them, that do not weigh joints.

    Raises:
        UserError: If one has ``use_target_weight=False``. ``KeypointMSELoss``,
            which weighs all the same, may.
    """
    for loss in losses:
        if isinstance(loss, nn.ModuleList):
            check_weighted(*loss)
        elif not (getattr(loss, 'use_target_weight', True)
                  or isinstance(loss, KeypointMSELoss)):
            raise UserError(
                f'{type(loss).__name__} has use_target_weight=False, so joints of '
                'which nothing is known would be taught. Set use_target_weight=True')


def _mapped(function: Callable, *outputs: Output) -> Output:
    """A function of outputs of the same structure, tensor by tensor."""
    if isinstance(outputs[0], Tensor):
        return function(*outputs)
    return type(outputs[0])(
        _mapped(function, *parts) for parts in zip(*outputs, strict=True))


def at_least_float32(output: Output) -> Output:
    """A head's output without half precision, in lists and tuples too."""
    if isinstance(output, (list, tuple)):
        return type(output)(map(at_least_float32, output))
    half = (isinstance(output, Tensor)
            and output.dtype in (torch.float16, torch.bfloat16))
    return output.float() if half else output


def scaled(losses: dict, factor: float) -> dict:
    """A head's results, of which losses, or lists of them, are scaled."""
    return {key: value if 'loss' not in key
            else [factor * part for part in value] if isinstance(value, list)
            else factor * value for key, value in losses.items()}


def cloned(output: Output) -> Output:
    """A copy, as some codecs decode in place."""
    return _mapped(torch.clone, output)


def average(outputs: Sequence[Output]) -> Output:
    """The mean of outputs of the same structure."""
    return _mapped(lambda *parts: torch.stack(parts).mean(dim=0), *outputs)


def select(outputs: Sequence[Output], which: Tensor) -> Output:
    """For each joint one of several outputs of the same structure, of one stage.

    Args:
        outputs (Sequence[Output]): Heatmaps in shape [B, K, H, W], or pairs of SimCC
            vectors.
        which (Tensor): Index of the output, in shape [B, K].
    """

    def of_joints(*parts: Tensor) -> Tensor:
        parts = torch.stack(parts)
        index = which.view(1, *which.shape, *[1] * (parts.ndim - 3))
        return parts.gather(0, index.expand(1, *parts.shape[1:]))[0]

    return _mapped(of_joints, *outputs)


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
    kind = f'a {type(output).__name__}'
    if isinstance(output, (list, tuple)):
        return f'{kind} of {", ".join(map(describe, output))}'
    return kind


def head_of(network: nn.Module, key: str) -> nn.Module:
    """The head of a pose estimator, at a key of the config that errors name."""
    if not getattr(network, 'with_head', False):
        raise UserError(f'`{key}` must be a pose estimator with a head, but it is a '
                        f'{type(network).__name__} without one')
    return network.head


def keypoint_outputs(head: nn.Module, key: str = 'network') -> KeypointOutputs:
    """What reads and teaches the outputs of a head.

    Args:
        head (nn.Module): The head of a stock pose estimator.
        key (str): The key of the config that it is in, for the errors.

    Raises:
        UserError: If the head has no decoder, or neither one for heatmaps nor for
            SimCC.
    """
    decoder = getattr(head, 'decoder', None)
    place = f'the head {type(head).__name__} of `{key}`'
    if decoder is None:
        raise UserError(
            f'{place} has no `decoder`, which says how its outputs lie on the image. '
            f'Add the codec: {key} = dict(..., head=dict(..., decoder=codec))')
    if isinstance(decoder, SimCCLabel):
        return SimCCOutputs(head)
    if not isinstance(decoder, (MSRAHeatmap, UDPHeatmap, MegviiHeatmap)):
        raise UserError(
            f'{place} has the codec {type(decoder).__name__}, but it must be one of '
            'heatmaps (MSRAHeatmap, UDPHeatmap, MegviiHeatmap, HourglassHeatmap) or '
            'SimCCLabel')
    if getattr(decoder, 'heatmap_type', 'gaussian') != 'gaussian':
        raise UserError(
            f'{place} predicts offsets (heatmap_type={decoder.heatmap_type!r}), which '
            "a turn would change. Use a UDPHeatmap with heatmap_type='gaussian'")
    return HeatmapOutputs(head)
