from collections.abc import Sequence

import numpy as np
from mmengine.structures import InstanceData
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from ...common import checks
from ...common.camera import back_project
from ...common.errors import UserError


@MODELS.register_module()
class TopdownPose3DEstimator(TopdownPoseEstimator):
    r"""Top-down estimator of a head that predicts joints and their depth.

    The head gives pixels and depths relative to the root joint
    (:class:`IntegralPose3DHead`). Where the sample's camera and the depth of
    its root are known, each joint is on the ray through its pixel, at the
    root's depth and its own added:

    .. math::
        Z = Z_{root} + z, \quad
        X = (u - c_x) Z / f_x, \quad Y = (v - c_y) Z / f_y

    (with the lens' distortion undone before). Elsewhere the person is taken to
    be far away, and its size is a guess by ``crop_extent``.

    ``pred_instances`` of a sample hold, beside the stock ones, all float32:

    - ``keypoints`` [N, K, 3]: camera space relative to the root, in mm; what
      the stock metrics ``MPJPE`` and the 3D visualizer take
    - ``transformed_keypoints`` [N, K, 2]: pixels of the image
    - ``keypoints_cam`` [N, K, 3]: absolute places in camera space in mm,
      where camera and root depth are known

    Args:
        root_joints (Sequence[int]): The joints whose mean is the root: (0, )
            for Human3.6M, the hips (11, 12) for COCO.
        crop_extent (float): What the longer side of a crop is taken to show
            where the camera is not known, in mm.
        **kwargs: As for ``TopdownPoseEstimator``.

    Raises:
        UserError: In evaluation, if a sample has a 3D truth but no camera or
            root depth, or if its data set has another root.
    """

    def __init__(self, *args, root_joints: Sequence[int] = (0, ),
                 crop_extent: float = 2000., **kwargs) -> None:
        super().__init__(*args, **kwargs)
        checks.positive(crop_extent=crop_extent)
        if not root_joints:
            raise UserError('root_joints must name a joint')
        self.root_joints = list(root_joints)
        self.crop_extent = crop_extent

    def add_pred_to_datasample(self, batch_pred_instances: list,
                               batch_pred_fields: list | None,
                               batch_data_samples: list) -> list:
        """Add predictions, pixels of the input and depths, in pixels and mm."""
        samples = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples)
        for sample in samples:
            self._lift(sample.pred_instances, sample)
        return samples

    def _lift(self, instances: InstanceData, sample: PoseDataSample) -> None:
        metainfo = sample.metainfo
        name = metainfo.get('img_path', 'the sample')
        root = metainfo.get('root_joints', self.root_joints)
        if sorted(root) != sorted(self.root_joints):
            raise UserError(
                f'the model takes the joints {self.root_joints} for the root, '
                f'the data set of {name} {list(root)}: give both the same '
                'root_joints')
        camera, root_depth = (metainfo.get(key)
                              for key in ('camera_param', 'root_depth'))
        known = None not in (camera, root_depth) and not np.isnan(root_depth)
        if not known and 'lifting_target' in sample.get('gt_instances', ()):
            raise UserError(
                f'{name} has a 3D truth, but not both camera_param and '
                'root_depth: pack samples with PackPose3DInputs')
        pixels, depths = instances.keypoints[..., :2], instances.keypoints[..., 2]
        depths = depths - self._root(depths)
        if known:
            places = back_project(pixels, root_depth + depths, camera)
            instances.keypoints_cam = places.astype(np.float32)
        else:
            scale = self.crop_extent / np.max(metainfo['input_scale'])
            places = np.concatenate([pixels * scale, depths[..., None]], -1)
        places = places - self._root(places)
        instances.keypoints = places.astype(np.float32)
        instances.transformed_keypoints = pixels.astype(np.float32)

    def _root(self, joints: np.ndarray) -> np.ndarray:
        return joints[:, self.root_joints].mean(1, keepdims=True)
