import copy
import os.path as osp
import zipfile
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from mmengine.fileio import exists, get_local_path, join_path, load
from mmengine.hub import get_config
from mmengine.logging import MessageHub, print_log
from mmengine.utils import is_abs
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from ...common import checks
from ...common.camera import camera_parameters
from ...common.errors import MissingFile, UserError
from ...compat.private_api import human36m_video
from .crop_caching import CropCaching
from .pose3d_samples import (
    check_projections,
    millimeters_per_unit,
    pose3d_fields,
    projection_errors,
)

# a box's side is this many pixels times its scale
PIXELS_OF_SCALE = 200.
# of each array of the annotation, its shape after the number of samples
LAYOUT = dict(imgname=(), center=(2, ), scale=(), part=(17, 3), S=(17, 4))
WRITTEN = "as MMPose's preprocess_h36m.py writes it"


@DATASETS.register_module()
class Human36mImageDataset(CropCaching, BaseCocoStyleDataset):
    """Human3.6M with its images, for 3D poses from single images.

    Ionescu et al., `Human3.6M: Large Scale Datasets and Predictive Methods for
    3D Human Sensing in Natural Environments
    <http://vision.imar.ro/human3.6m/pami-h36m.pdf>`_ (TPAMI 2014), as MMPose's
    ``preprocess_h36m.py`` writes it. The joints are those of MMPose's
    ``Human36mDataset``; joint 0, the pelvis, is the root. The annotation is an
    ``.npz`` file of N samples:

    - ``imgname`` [N]: ``S1/S1_Directions_1.54138969/`` and the image's name,
      ``S1_Directions_1.54138969_000001.jpg``, which says subject, action,
      camera and frame
    - ``center`` [N, 2] and ``scale`` [N]: center of the box in pixels, and its
      side in units of 200 pixels. It is already 1.2 times as large as the
      person: use ``GetBBoxCenterScale`` with ``padding=1.``
    - ``part`` [N, 17, 3]: u, v in pixels and whether they are annotated
    - ``S`` [N, 17, 4]: x, y, z in camera space and whether they are annotated;
      in meters, as MMPose writes them, or in mm: the poses' size says which

    A protocol is a choice of subjects alone: 1 trains on S1, S5, S6, S7, S8 and
    tests on S9, S11; 2 trains on S9, too. Alignment is a matter of ``MPJPE``,
    sampling of ``frame_interval``.

    A sample has what stock ones have, the fields of :func:`pose3d_fields`,
    ``root_joints``, ``camera_param`` (of :func:`camera_parameters`) and
    ``target_img_path``, the image's name, by which ``MPJPE`` knows the action.

    Args:
        ann_file (str | Sequence[str]): The annotation, relative to
            ``data_root``, or several: the training subjects of protocol 2 are
            in MMPose's files for training and for testing.
        camera_param_file (str): MMPose's ``cameras.pkl``, as ``ann_file``.
        protocol (int): 1 or 2.
        split (str): ``'train'`` or ``'test'``.
        subjects (Sequence[str], optional): Subjects, e.g. ``('S1', 'S5')``, in
            place of those of protocol and split.
        frame_interval (int): Takes every n-th annotated frame of a video.
        left_out (Sequence[str]): Joints that samples are not to have, by name.
            Without ``'spine'``, the 16 of integral 3D pose are left, in its order.
        **kwargs: As in ``BaseCocoStyleDataset``, except
            ``data_mode='bottomup'``, ``bbox_file`` and ``sample_interval``.

    Attributes:
        ann_files (list[str]): The annotation files that are read.
        ann_file (str): The first of them.

    Raises:
        MissingFile: If a file is missing.
        UserError: If a file or an argument does not fit, if poses miss their
            2D joints when projected, or if no sample is left.
    """

    source = (
        'Human3.6M from http://vision.imar.ro/human3.6m, which needs a '
        "license; MMPose's preprocess_h36m.py makes annotations, cameras.pkl "
        'and images of it, see https://mmpose.readthedocs.io/en/latest/'
        'dataset_zoo/3d_body_keypoint.html')
    file_keys = ('camera_param_file', )

    METAINFO: dict = dict(from_file='configs/_base_/datasets/h36m.py')

    ROOT_JOINTS = (0, )
    PROTOCOLS = {
        1: dict(train=('S1', 'S5', 'S6', 'S7', 'S8'), test=('S9', 'S11')),
        2: dict(train=('S1', 'S5', 'S6', 'S7', 'S8', 'S9'), test=('S11', ))}

    def __init__(self,
                 ann_file: str | Sequence[str] = '',
                 camera_param_file: str | None = None,
                 protocol: int = 1,
                 split: str = 'train',
                 subjects: Sequence[str] | None = None,
                 frame_interval: int = 1,
                 left_out: Sequence[str] = (),
                 **kwargs) -> None:
        checks.one_of(self.PROTOCOLS, protocol=protocol)
        checks.one_of(('train', 'test'), split=split)
        checks.whole(frame_interval=frame_interval)
        # boxes of a detector have no 3D poses; frame_interval is of videos
        for key, value in (('data_mode', 'topdown'), ('bbox_file', None),
                           ('sample_interval', 1)):
            checks.one_of([value], **{key: kwargs.get(key, value)})
        files = [ann_file] if isinstance(ann_file, str) else list(ann_file)
        if not files or not all(files) or not camera_param_file:
            raise UserError(
                'ann_file and camera_param_file must name files, but they are '
                f'{ann_file!r} and {camera_param_file!r}')
        self.ann_files = files
        self.camera_param_file = camera_param_file
        self.subjects = tuple(subjects or self.PROTOCOLS[protocol][split])
        self._subjects_named = bool(subjects)
        self.frame_interval = frame_interval
        if left_out:
            if kwargs.get('metainfo') is not None:
                raise UserError(f'left_out={list(left_out)} leaves joints out of the '
                                'stock metainfo: remove metainfo, or left_out')
            kwargs['metainfo'], self._columns = _without_joints(left_out)
        else:
            self._columns = list(range(LAYOUT['part'][0]))
        super().__init__(ann_file=files[0], **kwargs)
        if self.test_mode:
            # CocoMetric would take it for COCO's JSON
            MessageHub.get_current_instance().update_info(
                f"{self.metainfo['dataset_name']}_ann_file", None)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        *self.ann_files, self.camera_param_file = (
            path if is_abs(path) else join_path(self.data_root or '', path)
            for path in (*self.ann_files, self.camera_param_file))

    def load_data_list(self) -> list[dict]:
        """Read the annotations and take the samples of the subjects."""
        self._cameras = _load_cameras(self.camera_param_file)
        samples, found, total = [], set(), 0
        for path in self.ann_files:
            annotation = _load_annotation(path)
            for video, rows in _rows_of_videos(
                    annotation['imgname'], path).items():
                found.add(video[0])
                if video[0] in self.subjects:
                    samples += self._samples(
                        annotation, video,
                        np.array(rows[::self.frame_interval]), total, path)
            total += len(annotation['imgname'])
        missing = set(self.subjects) - found
        files = ' and '.join(self.ann_files)
        if not samples or (missing and self._subjects_named):
            raise UserError(
                f'{files} has no sample of {", ".join(sorted(missing))}, but of '
                f'{", ".join(sorted(found))}. Choose other subjects or another '
                'ann_file')
        samples.sort(key=lambda sample: sample['id'])
        print_log(
            f'Human36mImageDataset: {len(samples)} of {total} samples in '
            f'{files} are taken', 'current')
        return samples

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline, by its index."""
        info = super().get_data_info(idx)
        name = info.pop('imgname')
        subject, _, camera = human36m_video(name)
        return dict(
            info,
            img_path=join_path(self.data_prefix['img'], name),
            bbox_score=np.ones(1, np.float32),
            # a pipeline may change it
            camera_param=copy.deepcopy(self._cameras[subject, camera]),
            root_joints=self.ROOT_JOINTS,
            target_img_path=[osp.basename(name)])

    def _samples(self, annotation: dict, video: tuple[str, str, str],
                 rows: np.ndarray, first_id: int, path: str) -> list[dict]:
        """Samples of one video, whose ids are the rows' numbers."""
        names = annotation['imgname'][rows]
        subject, _, number = video
        camera = self._cameras.get((subject, number))
        if camera is None:
            raise UserError(
                f'{self.camera_param_file} has no camera {(subject, number)}, '
                f'with which {names[0]} of {path} was taken')
        part, pose = (np.asarray(annotation[key][rows][:, self._columns], np.float64)
                      for key in ('part', 'S'))
        points = np.where(pose[..., 3:] > 0, pose[..., :3], np.nan)
        points *= annotation['unit']
        half = annotation['scale'][rows, None] * PIXELS_OF_SCALE / 2
        centers = annotation['center'][rows]
        boxes = np.hstack([centers - half, centers + half])
        check_projections(
            projection_errors(part[..., :2], part[..., 2], points, camera),
            boxes, names, path)
        fields = pose3d_fields(part[..., :2], points, self.ROOT_JOINTS)
        depths = fields.pop('root_depth').tolist()
        fields.update(
            bbox=boxes.astype(np.float32),
            keypoints_visible=(part[..., 2] > 0).astype(np.float32))
        return [
            dict(id=first_id + row, img_id=first_id + row, imgname=str(name),
                 root_depth=depth, **{key: values[index:index + 1]
                                      for key, values in fields.items()})
            for index, (row, name, depth) in enumerate(
                zip(rows.tolist(), names, depths, strict=True))]


def _without_joints(names: Sequence[str]) -> tuple[dict, list[int]]:
    """The stock metainfo without some joints, and the columns of the others.

    A bone to a joint that is left out goes on to the next one.
    """
    info = get_config('mmpose::_base_/datasets/h36m.py').dataset_info.to_dict()
    joints = list(info['keypoint_info'].values())
    root = {joints[index]['name'] for index in Human36mImageDataset.ROOT_JOINTS}
    checks.one_of({joint['name'] for joint in joints} - root, **{
        f'left_out[{index}]': name for index, name in enumerate(names)})
    columns = [column for column, joint in enumerate(joints)
               if joint['name'] not in names]
    for column in columns:
        if joints[column]['swap'] in names:
            raise UserError(
                f'left_out={list(names)} leaves {joints[column]["name"]} without its '
                f'other side, {joints[column]["swap"]}: leave both out, or none')
    bones = list(info['skeleton_info'].values())
    for name in names:
        cut = [bone for bone in bones if name in bone['link']]
        start, *ends = (end for bone in cut for end in bone['link'] if end != name)
        bones = [bone for bone in bones if bone not in cut] + [
            dict(bone, link=(start, end))
            for bone, end in zip(cut[1:], ends, strict=True)]
    return dict(
        info,
        keypoint_info={index: dict(joints[column], id=index)
                       for index, column in enumerate(columns)},
        skeleton_info={index: dict(bone, id=index)
                       for index, bone in enumerate(bones)},
        joint_weights=[1.] * len(columns)), columns


def _existing(path: str, argument: str) -> str:
    if not exists(path):
        raise MissingFile(f'there is no {argument} {path}, {WRITTEN}')
    return path


def _load_cameras(path: str) -> dict[tuple[str, str], dict]:
    """The parameters of each camera by subject and camera's number."""
    content = load(_existing(path, 'camera_param_file'))
    if not isinstance(content, dict) or not all(
            isinstance(key, tuple) and len(key) == 2 for key in content):
        raise UserError(
            f'{path} is not the cameras.pkl, {WRITTEN}, a dict of parameters '
            "with keys such as ('S1', '54138969')")
    return {key: _opencv_camera(camera_parameters(
        camera, f'camera {key} of {path}')) for key, camera in content.items()}


def _load_annotation(path: str) -> dict[str, np.ndarray]:
    """Read an annotation file, and find its unit in mm."""
    arrays = {}
    with get_local_path(_existing(path, 'ann_file')) as local_path:
        if zipfile.is_zipfile(local_path):
            with np.load(local_path) as content:
                arrays = {key: content[key] for key in LAYOUT if key in content}
    count = len(arrays.get('imgname', ()))
    shapes = {key: array.shape for key, array in arrays.items()}
    expected = {key: (count, *shape) for key, shape in LAYOUT.items()}
    if shapes != expected:
        raise UserError(
            f'{path} is no processed Human3.6M, {WRITTEN}: it has arrays of '
            f'the shapes {shapes}, but should have {expected}')
    poses, root = arrays['S'], Human36mImageDataset.ROOT_JOINTS
    arrays['unit'] = millimeters_per_unit(
        poses[..., :3] - poses[:, root, :3], poses[..., 3] * poses[:, root, 3])
    if arrays['unit'] == 10:
        raise UserError(f"{path}: 'S' must be in meters or millimeters, but by the "
                        'size of people it is not. Multiply it by 10')
    return arrays


def _rows_of_videos(names: np.ndarray, path: str) -> dict[tuple, list[int]]:
    """Rows of each video by subject, action and camera, in their order."""
    videos = defaultdict(list)
    for row, name in enumerate(names):
        try:
            videos[human36m_video(str(name))].append(row)
        except ValueError:
            raise UserError(f'{path}: imgname {name} is not like '
                            'S1_Directions_1.54138969_000001.jpg') from None
    return videos


def _opencv_camera(camera: dict) -> dict:
    """A camera of Human3.6M as OpenCV has it.

    With r² = x² + y², Human3.6M's tangential distortion adds
    (x (p1 y + p2 x) + p2 r², y (p1 y + p2 x) + p1 r²), OpenCV's
    (2 p1 xy + p2 (r² + 2 x²), p1 (r² + 2 y²) + 2 p2 xy) and its thin prism
    (s1 r² + s2 r⁴, s3 r² + s4 r⁴).
    """
    if 'p' not in camera:
        return camera
    p1, p2 = camera['p'] / 2
    return dict(camera, p=np.array([p1, p2]), s=np.array([p2, 0., p1, 0.]))
