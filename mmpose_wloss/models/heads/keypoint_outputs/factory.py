from mmpose.codecs import (
    MegviiHeatmap,
    MSRAHeatmap,
    RegressionLabel,
    SimCCLabel,
    UDPHeatmap,
)
from mmpose.models.losses import KeypointMSELoss
from torch import nn

from ....common.errors import UserError
from ...losses.regression_losses import MaskedMSELoss
from .base import KeypointOutputs
from .coordinate_outputs import CoordinateOutputs
from .heatmap_outputs import HeatmapOutputs
from .offset_outputs import OffsetOutputs
from .simcc_outputs import SimCCOutputs


def check_weighted(*losses: nn.Module) -> None:
    """Refuse losses, or lists of them, that do not weigh joints.

    Raises:
        UserError: If one has ``use_target_weight=False``. ``KeypointMSELoss`` and
            ``MaskedMSELoss``, which leave out joints all the same, may.
    """
    for loss in losses:
        if isinstance(loss, nn.ModuleList):
            check_weighted(*loss)
        elif not (getattr(loss, 'use_target_weight', True)
                  or isinstance(loss, (KeypointMSELoss, MaskedMSELoss))):
            raise UserError(
                f'{type(loss).__name__} has use_target_weight=False, so joints of '
                'which nothing is known would be taught. Set use_target_weight=True')


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
        UserError: If the head has no decoder, or one of another kind.
    """
    decoder = getattr(head, 'decoder', None)
    place = f'the head {type(head).__name__} of `{key}`'
    if decoder is None:
        raise UserError(
            f'{place} has no `decoder`, which says how its outputs lie on the image. '
            f'Add the codec: {key} = dict(..., head=dict(..., decoder=codec))')
    if isinstance(decoder, SimCCLabel):
        return SimCCOutputs(head)
    if isinstance(decoder, RegressionLabel):
        return CoordinateOutputs(head)
    if not isinstance(decoder, (MSRAHeatmap, UDPHeatmap, MegviiHeatmap)):
        raise UserError(
            f'{place} has the codec {type(decoder).__name__}, but it must be one of '
            'heatmaps (MSRAHeatmap, UDPHeatmap, MegviiHeatmap, HourglassHeatmap), '
            'SimCCLabel or RegressionLabel')
    if getattr(decoder, 'heatmap_type', 'gaussian') == 'combined':
        return OffsetOutputs(head)
    return HeatmapOutputs(head)
