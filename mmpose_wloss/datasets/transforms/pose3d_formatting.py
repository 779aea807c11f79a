import inspect
from collections.abc import Sequence

import numpy as np
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS

from .quick_transforms import QuickPackPoseInputs


@TRANSFORMS.register_module()
class PackPose3DInputs(QuickPackPoseInputs):
    """Pack an image with its 2D and 3D pose, in place of ``PackPoseInputs``.

    Beside what that packs, ``gt_instances`` have ``lifting_target`` and
    ``lifting_target_visible``, where ``MPJPE`` finds them, and the metainfo
    has the camera, the root joints and their depth.

    ``lifting_target`` and ``camera_param`` are of the image as it is in its
    file. Of a flipped or rotated sample they are left out: training learns
    from ``keypoints``, and evaluation neither flips nor rotates.

    Args:
        meta_keys (Sequence[str], optional): Keys that are packed as metainfo
            if the sample has them; by default those of ``PackPoseInputs`` and
            ``camera_param``, ``root_depth``, ``root_joints``,
            ``target_img_path``.
        pack_transformed (bool): As in ``PackPoseInputs``.
    """

    TARGETS = ('lifting_target', 'lifting_target_visible')
    META_KEYS = (
        *inspect.signature(PackPoseInputs).parameters['meta_keys'].default,
        'camera_param', 'root_depth', 'root_joints', 'target_img_path')

    instance_mapping_table = {**PackPoseInputs.instance_mapping_table,
                              **{key: key for key in TARGETS}}

    def __init__(self, meta_keys: Sequence[str] | None = None,
                 pack_transformed: bool = False) -> None:
        super().__init__(
            meta_keys=self.META_KEYS if meta_keys is None else meta_keys,
            pack_transformed=pack_transformed)

    def transform(self, results: dict) -> dict:
        """Pack one sample, as ``PackPoseInputs`` does."""
        if results.get('flip') or np.any(results.get('bbox_rotation', 0)):
            results = {key: value for key, value in results.items()
                       if key not in ('camera_param', *self.TARGETS)}
        return super().transform(results)
