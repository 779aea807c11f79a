from collections.abc import Sequence

import numpy as np
from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS

from ...common import checks
from ...common.camera import camera_parameters
from ...common.errors import UserError
from .crop_caching import CropCaching
from .pose3d_samples import (
    check_projections,
    first,
    millimeters_per_unit,
    pose3d_fields,
    projection_errors,
)


@DATASETS.register_module()
class CocoStyle3DDataset(CropCaching, CocoDataset):
    """Images with 2D and 3D poses in COCO's layout.

    The annotations are COCO's with two keys more: each image has its
    ``camera``, each annotation its ``keypoints_3d``:

    .. code-block:: python

        dict(
            images=[dict(
                id=1, file_name='1.jpg', width=640, height=480,
                # in pixels; k [k1, k2, k3] and p [p1, p2] for a lens that
                # distorts, as OpenCV defines them
                camera=dict(f=[1150., 1150.], c=[320., 240.]))],
            annotations=[dict(
                id=1, image_id=1, category_id=1, iscrowd=0,
                bbox=[210., 90., 180., 330.], num_keypoints=17,
                keypoints=[...],  # u, v, visibility of each joint
                # x, y, z of each joint in camera space (x right, y down,
                # z away from the camera) in mm
                keypoints_3d=[[110.6, -700.9, 6024.0], ...],
                pose_class='sitting')],  # optional
            categories=[dict(id=1, name='person')])

    In training, ``keypoints_3d`` may be missing or ``null`` in some
    annotations, and coordinates of single joints may be ``null``: they are
    learned from in 2D alone. ``MPJPE`` reports its error for each
    ``pose_class`` beside that of all.

    A sample has what one of ``CocoDataset`` has, the fields of
    :func:`pose3d_fields` (``root_depth`` if there is 3D), ``root_joints``,
    ``camera_param`` if the image has a camera, and ``target_img_path``, a name
    by which ``MPJPE`` knows the pose class.

    Args:
        root_joints (Sequence[int]): The joints whose mean is the root; by
            default the hips of COCO.
        check_unit (bool): Refuse poses that are smaller than people, as if they were
            in meters or centimeters. Poses of hands or faces need ``False``.
        **kwargs: As in ``CocoDataset``, except ``data_mode='bottomup'`` and
            ``bbox_file``.

    Raises:
        UserError: If a value or an argument does not fit, or 3D poses are not
            in millimeters or miss their 2D joints when projected.
    """

    def __init__(self, *args, root_joints: Sequence[int] = (11, 12),
                 check_unit: bool = True, **kwargs) -> None:
        self.root_joints = tuple(root_joints)
        self.check_unit = check_unit
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations and check that 2D and 3D agree."""
        # boxes of a detector have no 3D poses
        checks.one_of(['topdown'], data_mode=self.data_mode)
        checks.one_of([None, ''], bbox_file=self.bbox_file)
        joints = self.metainfo['num_keypoints']
        if not self.root_joints or not set(self.root_joints) <= set(
                range(joints)):
            raise UserError(f'root_joints must be some of 0 to {joints - 1}, '
                            f'but they are {self.root_joints}')
        samples = super().load_data_list()
        annotated, without = [], []
        for sample in samples:
            (annotated if sample['lifting_target_visible'].any() else
             without).append(sample)
        if not annotated or (self.test_mode and without):
            raise UserError(
                f"{self.ann_file}: {len(without)} of {len(samples)} "
                "annotations have no 'keypoints_3d' of their root, the joints "
                f"{self.root_joints} (ids {first([one['id'] for one in without])}"
                '). A test needs them in all annotations, a training in some')
        targets, visible, boxes = (
            np.concatenate([sample[key] for sample in annotated])
            for key in ('lifting_target', 'lifting_target_visible', 'bbox'))
        factor = millimeters_per_unit(targets, visible) if self.check_unit else 1
        if factor != 1:
            raise UserError(
                f"{self.ann_file}: 'keypoints_3d' must be in millimeters, but by the "
                f'size of people they are not. Multiply them by {factor}; or set '
                'check_unit=False, if they are of hands or faces')
        errors = np.concatenate([projection_errors(
            sample['keypoints'][..., :2], sample['keypoints_visible'],
            sample['keypoints_3d'], sample['camera_param'])
            for sample in annotated])
        check_projections(errors, boxes, [
            f"annotation {sample['id']}" for sample in annotated],
            self.ann_file)
        for sample in samples:
            del sample['keypoints_3d']
        return samples

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        """Parse an annotation; ``None`` without a box or 2D joints."""
        sample = super().parse_data_info(raw_data_info)
        if sample is None:
            return None
        annotation = raw_data_info['raw_ann_info']
        camera = raw_data_info['raw_img_info'].get('camera')
        image = f"image {sample['img_id']}"
        if camera is not None:
            sample['camera_param'] = camera_parameters(
                camera, f"{self.ann_file}: 'camera' of {image}")
        shape = (*sample['keypoints'].shape[:2], 3)
        points = np.full(shape, np.nan)
        given = annotation.get('keypoints_3d')
        if given is not None:
            where = f"{self.ann_file}: annotation {sample['id']}"
            if camera is None:
                raise UserError(f"{where} has 'keypoints_3d', but its {image} "
                                "has no 'camera'")
            try:
                # null becomes NaN
                points = np.array([given], np.float64)
            except (TypeError, ValueError):
                points = np.empty(0)
            if points.shape != shape:
                raise UserError(
                    f"{where} has 'keypoints_3d' that are not {shape[1]} lists "
                    'of x, y and z, one for each of its keypoints')
        fields = pose3d_fields(sample['keypoints'], points, self.root_joints)
        depth = float(fields.pop('root_depth')[0])
        if not np.isnan(depth):
            sample['root_depth'] = depth
        # MPJPE takes what is between the first _ and the next _ or . as class
        name, pose_class = (
            str(name).replace('_', '-').replace('.', '-') for name in (
                self.metainfo['dataset_name'],
                annotation.get('pose_class', 'all')))
        return sample | fields | dict(keypoints_3d=points, target_img_path=[
            f"{name}_{pose_class}.camera_{sample['img_id']}.jpg"])

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline, by its index."""
        return dict(super().get_data_info(idx), root_joints=self.root_joints)
