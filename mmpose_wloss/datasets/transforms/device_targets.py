from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import torch
from mmengine.structures import PixelData
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.datasets.transforms import GenerateTarget
from mmpose.registry import TRANSFORMS
from mmpose.structures import MultilevelPixelData, PoseDataSample

from ...codecs.drawn_targets import check_drawn, draw_targets
from ...common.errors import UserError
from ...common.hooks import line_to_add

# where a sample has what its targets are drawn from
PENDING = 'pending_targets'


class PendingTargets:
    """What the targets of a sample are drawn from.

    It stands among ``gt_instance_labels`` until :class:`DeviceTargetsHook` calls
    :func:`draw_device_targets`. A data preprocessor that meets it gets an error.

    Args:
        codecs (list[BaseKeypointCodec]): The codecs, one for each level.
        keypoints (np.ndarray): In pixels of the input in shape [1, K, 2].
        visible (np.ndarray): Which of them are labeled, bool in shape [1, K].
        length (int): Of the labels that it stands among.
    """

    def __init__(self, codecs: list[BaseKeypointCodec], keypoints: np.ndarray,
                 visible: np.ndarray, length: int):
        self.codecs = codecs
        self.keypoints = keypoints
        self.visible = visible
        self.length = length

    def __len__(self) -> int:
        return self.length

    def to(self, *_, **__) -> NoReturn:
        """Raise an error: the hook comes before a preprocessor moves a batch."""
        raise UserError('DeviceTargets trains without its DeviceTargetsHook. Add it '
                        f'to the config: {line_to_add("DeviceTargetsHook")}')


class _PendingCodec(BaseKeypointCodec):
    """Stands for codecs within ``GenerateTarget``, and encodes nothing yet."""

    def __init__(self, codecs: list[BaseKeypointCodec], multilevel: bool):
        self.codecs = codecs
        self.multilevel = multilevel
        self.field_mapping_table = codecs[0].field_mapping_table
        self.label_mapping_table = {**codecs[0].label_mapping_table, PENDING: PENDING}

    def encode(self, keypoints: np.ndarray, keypoints_visible: np.ndarray) -> dict:
        if keypoints.ndim != 3 or keypoints.shape[::2] != (1, 2):
            raise UserError('DeviceTargets draws the keypoints of one person, [1, K, '
                            f'2], but got {keypoints.shape}')
        absent = getattr(self.codecs[0], 'teach_absent', False)
        weights = (np.ones_like(keypoints_visible) if absent else
                   keypoints_visible.copy())
        if self.multilevel:
            weights = [weights] * len(self.codecs)
        return {'keypoint_weights': weights, PENDING: PendingTargets(
            self.codecs, keypoints, keypoints_visible >= 0.5, len(weights))}

    def decode(self, encoded: object) -> NoReturn:
        raise NotImplementedError


@TRANSFORMS.register_module()
class DeviceTargets(GenerateTarget):
    """Lets the targets of a sample be drawn on the device, a batch at a time.

    It stands in the place of ``GenerateTarget`` and takes the same arguments. The
    worker hands on keypoints; :class:`DeviceTargetsHook` draws what the codec would
    have encoded, and puts it where the heads look for it. A training without the
    hook ends in an error at its first step.

    Added Keys: keypoint_weights, pending_targets, see :class:`PendingTargets`

    Args:
        encoder (dict | list[dict]): As in ``GenerateTarget``: an ``MSRAHeatmap``,
            ``UDPHeatmap``, ``MegviiHeatmap``, ``HourglassHeatmap`` or
            ``SimCCLabel``, or heatmaps of several levels.
        **kwargs: As in ``GenerateTarget``.

    Raises:
        UserError: If targets of this codec cannot be drawn.
    """

    hooks = ('DeviceTargetsHook', )

    def __init__(self, encoder: dict | list[dict], **kwargs):
        super().__init__(encoder, **kwargs)
        several = isinstance(self.encoder, list)
        codecs = self.encoder if several else [self.encoder]
        for codec in codecs:
            check_drawn(codec)
            if several and not (self.multilevel and codec.field_mapping_table):
                raise UserError('DeviceTargets takes several codecs for heatmaps of '
                                'several levels alone: keep GenerateTarget')
        self.encoder = _PendingCodec(codecs, several)


def draw_device_targets(samples: Sequence[PoseDataSample],
                        device: torch.device | str) -> None:
    """Draw the targets of a batch, for loops without hooks, too.

    Pose weights are multiplied before (:func:`multiply_pose_weights`).

    Args:
        samples (Sequence[PoseDataSample]): The batch, changed in place. Samples
            without :class:`PendingTargets`, as unlabeled ones, stay as they are.
        device (torch.device | str): Where to.
    """
    groups = {}
    for sample in samples:
        pending = sample.gt_instance_labels.get(PENDING)
        if pending is not None:
            # the codecs of a pipeline stay one object in a batch
            key = id(pending.codecs), pending.keypoints.dtype
            groups.setdefault(key, []).append(sample)
    for group in groups.values():
        _draw(group, device)


def _draw(samples: list[PoseDataSample], device: torch.device | str) -> None:
    pending = [sample.gt_instance_labels.pop(PENDING) for sample in samples]
    keypoints, visible = (
        torch.from_numpy(np.concatenate([getattr(each, name) for each in pending])
                         ).to(device, non_blocking=True)
        for name in ('keypoints', 'visible'))
    weights = torch.stack([sample.gt_instance_labels.keypoint_weights
                           for sample in samples]).to(device, non_blocking=True)
    codecs = pending[0].codecs
    levels, missed = zip(*(draw_targets(codec, keypoints, visible)
                           for codec in codecs), strict=True)
    # [B, 1, K], or of several levels [B, L, 1, K]
    weights = weights.masked_fill(
        torch.stack(missed, 1).reshape(weights.shape), 0)
    for index, sample in enumerate(samples):
        labels = sample.gt_instance_labels
        labels.keypoint_weights = weights[index]
        for name in codecs[0].label_mapping_table.keys() & levels[0].keys():
            labels.set_field(levels[0][name][index:index + 1],
                             codecs[0].label_mapping_table[name])
        for name, packed in codecs[0].field_mapping_table.items():
            maps = [level[name][index] for level in levels]
            several = weights.ndim == 4
            sample.gt_fields = (MultilevelPixelData(**{packed: maps}) if several
                                else PixelData(**{packed: maps[0]}))
