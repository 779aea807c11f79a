"""What a head's outputs say of joints and how they are taught."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch
from mmpose.models.losses import KLDiscretLoss
from mmpose.utils.typing import SampleList
from torch import Tensor, nn

from ....common.errors import UserError
from ...hard_views.hard_view import invert, move
from .structures import Output, at_least_float32, describe


class KeypointOutputs(metaclass=ABCMeta):
    """Reads and teaches the outputs of one stock head.

    Args:
        head (nn.Module): The head, with its codec as ``decoder``.
    """

    kind: str

    def __init__(self, head: nn.Module):
        self.head = head
        self.decoder = head.decoder

    @property
    def keypoints(self) -> int:
        """The number of joints."""
        return self.head.out_channels

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

    def compare(self, criterion: nn.Module, output: Output, targets: Output,
                weights: Tensor) -> Tensor:
        """A loss of an output, called as the head calls its own.

        Args:
            criterion (nn.Module): The loss.
            output (Output): What the head gives.
            targets (Output): As of :meth:`targets`.
            weights (Tensor): Of joints, in shape [B, K].
        """
        return criterion(self.final(output), targets, weights)

    def loss(self, output: Output, targets: Output, weights: Tensor) -> Tensor:
        """The consistency loss of a student's output, a scalar: half the head's own."""
        # half precision has no place in a logarithm
        return self.compare(self.head.loss_module, at_least_float32(output), targets,
                            weights) / 2

    def fits(self, criterion: nn.Module) -> bool:
        """Whether a loss can compare outputs with a teacher's."""
        return not isinstance(criterion, KLDiscretLoss)


# Axis by axis with numbers: a tensor of them would have to be copied to the device.


def per_axis(points: Tensor, factors: Sequence[float]) -> Tensor:
    """Points in shape [B, K, 2] times a factor for x and one for y."""
    return torch.stack([place * factor for place, factor in zip(
        points.unbind(2), factors, strict=True)], dim=2)


def inside(points: Tensor, size: Sequence[int], margin: float = 0.) -> Tensor:
    """1 for points in an image of a width and a height, else 0, in shape [B, K]."""
    x, y = ((place >= -margin) & (place <= length - 1 + margin)
            for place, length in zip(points.unbind(2), size, strict=True))
    return (x & y).float()


class JointOutputs(KeypointOutputs):
    """Outputs that a turn would mix: joints are moved, and written there anew."""

    @abstractmethod
    def encode(self, joints: Tensor) -> tuple[Output, Tensor]:
        """What the codec writes of joints.

        Args:
            joints (Tensor): In pixels of the input, in shape [B, K, 2].

        Returns:
            tuple: The targets, and 1 for joints in the image, else 0, in [B, K].
        """

    def targets(self, output, matrix, size, half_pixels):
        return self.encode(move(self.joints(output), invert(matrix)))
