from collections.abc import Sequence

import numpy as np
from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS

from ...common.camera import camera_parameters
from .pose3d_samples import (
    METRES,
    MILLIMETRES,
    check_projections,
    first,
    median_root_distance,
    pose3d_fields,
    projection_errors,
)


@DATASETS.register_module()
class CocoStyle3DDataset(CocoDataset):
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
    learnt from in 2D alone. ``MPJPE`` reports its error for each
    ``pose_class`` beside that of all.

    A sample has what one of ``CocoDataset`` has, and

    - ``keypoints`` in shape [1, K, 3]: u, v in pixels and the depth relative
      to the root in mm, NaN where 3D is not annotated
    - ``lifting_target`` in shape [1, K, 3]: relative to the root in mm, and
      ``lifting_target_visible`` in shape [1, K]
    - ``root_joints``, and ``root_depth`` in mm if there is 3D
    - ``camera_param`` if the image has a camera: ``f``, ``c`` and, of a lens
      that distorts, ``k``, ``p``, ``s``
    - ``target_img_path``: a name by which ``MPJPE`` knows the pose class

    Args:
        root_joints (Sequence[int]): The joints whose mean is the root.
            Defaults to ``(11, 12)``, the hips of COCO.
        **kwargs: As in ``CocoDataset``, except ``data_mode='bottomup'`` and
            ``bbox_file``.

    Raises:
        ValueError: If a key is missing or its value is malformed, if 3D poses
            are not in millimetres, if they miss their 2D joints when
            projected, or if an argument does not fit. It names the file and
            the annotations.
    """

    def __init__(self, *args, root_joints: Sequence[int] = (11, 12),
                 **kwargs) -> None:
        self.root_joints = tuple(root_joints)
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations and check that 2D and 3D agree.

        Returns:
            list[dict]: The samples.
        """
        if self.data_mode != 'topdown':
            raise ValueError(
                f'{type(self).__name__} has samples of one person each: set '
                f"data_mode='topdown', not {self.data_mode!r}")
        if self.bbox_file:
            raise ValueError(
                f'bbox_file {self.bbox_file} cannot be used: boxes of a '
                'detector have no 3D poses to compare with. Set it to None')
        joints = self.metainfo['num_keypoints']
        if not self.root_joints or not all(
                joint in range(joints) for joint in self.root_joints):
            raise ValueError(
                f'root_joints must be some of the joints 0 to {joints - 1} of '
                f"{self.metainfo['dataset_name']}, but they are "
                f'{self.root_joints}')
        samples = super().load_data_list()
        self._check_keys(samples)
        for sample in samples:
            sample.update(self._pose3d(sample))
        self._check_poses(samples)
        for sample in samples:
            del sample['keypoints_3d']
            if sample['camera_param'] is None:
                del sample['camera_param']
            if np.isnan(sample['root_depth']):
                del sample['root_depth']
        return samples

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        """Parse an annotation.

        Args:
            raw_data_info (dict): ``raw_ann_info`` and ``raw_img_info``.

        Returns:
            dict | None: The sample; ``None`` without a box or 2D joints.
        """
        sample = super().parse_data_info(raw_data_info)
        if sample is None:
            return None
        annotation = raw_data_info['raw_ann_info']
        sample['keypoints_3d'] = annotation.get('keypoints_3d')
        sample['camera_param'] = raw_data_info['raw_img_info'].get('camera')
        pose_class = str(annotation.get('pose_class', 'all'))
        # MPJPE takes what is between the first _ and the next _ or . as class
        names = [name.replace('_', '-').replace('.', '-') for name in (
            self.metainfo['dataset_name'], pose_class)]
        sample['target_img_path'] = [
            f"{'_'.join(names)}.camera_{sample['img_id']}.jpg"]
        return sample

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline.

        Args:
            idx (int): Its index.

        Returns:
            dict: The sample.
        """
        return dict(super().get_data_info(idx), root_joints=self.root_joints)

    def _check_keys(self, samples: list[dict]) -> None:
        """Check that there is 3D, and in a test everywhere."""
        for key, where, place in (
                ('keypoints_3d', 'annotation', 'keypoints_3d'),
                ('camera_param', 'image', 'camera')):
            if all(sample[key] is None for sample in samples):
                raise ValueError(
                    f'{self.ann_file}: no {where} has {place!r}. This data '
                    'set needs 3D poses and cameras; for 2D alone take '
                    'CocoDataset')
        missing = [sample['id'] for sample in samples
                   if sample['keypoints_3d'] is None]
        if missing and self.test_mode:
            raise ValueError(
                f"{self.ann_file}: {len(missing)} annotations have no "
                f"'keypoints_3d' to test against (ids {first(missing)}). "
                'Leave them out of this file')

    def _pose3d(self, sample: dict) -> dict:
        """What the sample's 3D pose adds to it."""
        shape = (*sample['keypoints'].shape[:2], 3)
        points = np.full(shape, np.nan)
        place = f"{self.ann_file}: annotation {sample['id']}"
        camera = sample['camera_param']
        if sample['keypoints_3d'] is not None:
            try:
                # null becomes NaN
                points = np.array([sample['keypoints_3d']], np.float64)
            except (TypeError, ValueError):
                points = np.empty(0)
            if points.shape != shape:
                raise ValueError(
                    f"{place} has 'keypoints_3d' that are not {shape[1]} lists "
                    'of x, y and z, one for each of its keypoints')
            if camera is None:
                raise ValueError(
                    f"{place} has 'keypoints_3d', but its image "
                    f"{sample['img_id']} has no 'camera'")
        if camera is not None:
            try:
                camera = camera_parameters(camera)
            except (AttributeError, TypeError, ValueError) as error:
                raise ValueError(f"{self.ann_file}: 'camera' of image "
                                 f"{sample['img_id']}: {error}") from None
        fields = pose3d_fields(sample['keypoints'], points, self.root_joints)
        if self.test_mode and not fields['lifting_target_visible'].any():
            raise ValueError(
                f"{place} has no 3D position of its root, the joints "
                f'{self.root_joints}, to test against')
        return dict(fields, root_depth=float(fields['root_depth'][0]),
                    keypoints_3d=points, camera_param=camera)

    def _check_poses(self, samples: list[dict]) -> None:
        """Check the unit and the projection of the 3D poses."""
        samples = [sample for sample in samples
                   if sample['lifting_target_visible'].any()]
        if not samples:
            raise ValueError(
                f'{self.ann_file}: no annotation has a 3D position of its '
                f'root, the joints {self.root_joints}')
        distance = median_root_distance(*(
            np.concatenate([sample[key] for sample in samples])
            for key in ('lifting_target', 'lifting_target_visible')))
        if distance < METRES:
            raise ValueError(
                f"{self.ann_file}: 'keypoints_3d' must be in millimetres, but "
                f'half of the joints are closer than {distance:.3g} to their '
                'root: they seem to be in metres. Multiply them by 1000')
        if distance <= MILLIMETRES:
            raise ValueError(
                f"{self.ann_file}: 'keypoints_3d' must be in millimetres, but "
                f'half of the joints are closer than {distance:.3g} to their '
                'root, which no person is: are they in centimetres? Then '
                'multiply them by 10')
        errors = np.concatenate([
            projection_errors(
                sample['keypoints'][..., :2], sample['keypoints_visible'],
                sample['keypoints_3d'], sample['camera_param'])
            for sample in samples
        ])
        check_projections(
            errors, np.concatenate([sample['bbox'] for sample in samples]),
            [f"annotation {sample['id']}" for sample in samples],
            self.ann_file)

