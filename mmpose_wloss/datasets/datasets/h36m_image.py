import os.path as osp
import zipfile
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from mmengine.fileio import exists, get_local_path, join_path, load
from mmengine.logging import MessageHub, print_log
from mmengine.utils import is_abs
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from ...common.camera import camera_parameters
from ...compat.private_api import human36m_video
from .pose3d_samples import (
    METRES,
    MILLIMETRES,
    check_projections,
    median_root_distance,
    pose3d_fields,
    projection_errors,
)

# a box's side is this many pixels times its scale
PIXELS_OF_SCALE = 200.
# of each array of the annotation, its shape after the number of samples
LAYOUT = dict(imgname=(), center=(2, ), scale=(), part=(17, 3), S=(17, 4))


@DATASETS.register_module()
class Human36mImageDataset(BaseCocoStyleDataset):
    """Human3.6M with its images, for 3D poses from single images.

    It reads what MMPose's ``tools/dataset_converters/preprocess_h36m.py``
    writes. Ionescu et al., `Human3.6M: Large Scale Datasets and Predictive
    Methods for 3D Human Sensing in Natural Environments
    <http://vision.imar.ro/human3.6m/pami-h36m.pdf>`_ (TPAMI 2014). The joints
    are those of MMPose's ``Human36mDataset``, which has poses alone; joint 0,
    the pelvis, is the root.

    The annotation is an ``.npz`` file of N samples:

    - ``imgname`` [N]: ``S1/S1_Directions_1.54138969/`` and the image's name,
      ``S1_Directions_1.54138969_000001.jpg``, which says subject, action,
      camera and frame
    - ``center`` [N, 2] and ``scale`` [N]: centre of the box in pixels, and its
      side in units of 200 pixels. It is already 1.2 times as large as the
      person: use ``GetBBoxCenterScale`` with ``padding=1.``
    - ``part`` [N, 17, 3]: u, v in pixels and whether they are annotated
    - ``S`` [N, 17, 4]: x, y, z in camera space in metres, as MMPose writes
      them, or in mm, which is told by the poses' size, and whether they are
      annotated

    Training and testing subjects by protocol:

    ======== ======================= =======
    protocol train                   test
    ======== ======================= =======
    1        S1, S5, S6, S7, S8      S9, S11
    2        S1, S5, S6, S7, S8, S9  S11
    ======== ======================= =======

    Papers differ in what they call protocol 1 and 2: some mean by 2 the
    subjects of 1 with MPJPE after a Procrustes alignment, some test on every
    64th frame. Here a protocol is a choice of subjects alone; alignment is a
    matter of the metric (``MPJPE`` with ``mode='p-mpjpe'``), sampling of
    ``frame_interval``.

    .. code-block:: python

        dataset = dict(
            type='Human36mImageDataset',
            data_root='data/h36m/',
            ann_file='annotation_body3d/fps50/h36m_train.npz',
            camera_param_file='annotation_body3d/cameras.pkl',
            data_prefix=dict(img='images/'),
            split='train')

    A sample has ``img_id`` and ``id`` (its place in the files, from 0),
    ``img_path``, ``bbox``, ``bbox_score``, ``keypoints_visible`` and

    - ``keypoints`` in shape [1, 17, 3]: u, v in pixels and the depth relative
      to the root in mm, NaN where 3D is not annotated
    - ``lifting_target`` in shape [1, 17, 3]: relative to the root in mm, and
      ``lifting_target_visible`` in shape [1, 17]
    - ``root_joints``, and ``root_depth`` in mm, NaN without 3D
    - ``camera_param``: ``f``, ``c``, ``k``, ``p`` and ``s`` as OpenCV defines
      them
    - ``target_img_path``: the image's name, by which ``MPJPE`` knows the
      action

    Args:
        ann_file (str | Sequence[str]): The annotation, relative to
            ``data_root``, or several. MMPose's file for training has the
            training subjects of protocol 1; for those of protocol 2, give it
            and the one for testing.
        camera_param_file (str): MMPose's ``cameras.pkl``, relative to
            ``data_root``.
        protocol (int): 1 or 2. Defaults to 1.
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        subjects (Sequence[str], optional): Subjects, e.g. ``('S1', 'S5')``, in
            place of those of protocol and split. Defaults to ``None``.
        frame_interval (int): Takes every n-th of the annotated frames of each
            video, from its first. Defaults to 1.
        **kwargs: ``data_prefix``, ``metainfo``, ``data_root``,
            ``filter_cfg``, ``indices``, ``serialize_data``, ``pipeline``,
            ``test_mode``, ``lazy_init`` and ``max_refetch`` as in
            ``BaseCocoStyleDataset``.

    Attributes:
        ann_files (list[str]): The annotation files that are read.
        ann_file (str): The first of them.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not what is expected, if a camera is missing,
            if poses miss their 2D joints when projected, if no sample is left,
            or if an argument does not fit.
    """

    METAINFO: dict = dict(from_file='configs/_base_/datasets/h36m.py')

    ROOT_JOINTS = (0, )
    PROTOCOLS = {
        1: dict(train=('S1', 'S5', 'S6', 'S7', 'S8'), test=('S9', 'S11')),
        2: dict(train=('S1', 'S5', 'S6', 'S7', 'S8', 'S9'), test=('S11', )),
    }

    def __init__(self,
                 ann_file: str | Sequence[str] = '',
                 camera_param_file: str | None = None,
                 protocol: int = 1,
                 split: str = 'train',
                 subjects: Sequence[str] | None = None,
                 frame_interval: int = 1,
                 **kwargs):
        for name, value, choices in (
                ('protocol', protocol, tuple(self.PROTOCOLS)),
                ('split', split, ('train', 'test')),
                ('data_mode', kwargs.get('data_mode', 'topdown'),
                 ('topdown', ))):
            if value not in choices:
                raise ValueError(f'{name} must be one of {choices}, but it is '
                                 f'{value!r}')
        if isinstance(subjects, str):
            raise ValueError('subjects must be a list such as '
                             f'[{subjects!r}], but they are {subjects!r}')
        if not (isinstance(frame_interval, int) and frame_interval > 0):
            raise ValueError('frame_interval must be a whole number above 0, '
                             f'but it is {frame_interval!r}')
        if kwargs.pop('sample_interval', 1) != 1:
            raise ValueError('sample_interval is of COCO\'s data sets: set '
                             'frame_interval')
        if kwargs.get('bbox_file'):
            raise ValueError(
                f"bbox_file {kwargs['bbox_file']} cannot be used: boxes of a "
                'detector have no 3D poses to compare with. Set it to None')
        files = [ann_file] if isinstance(ann_file, str) else list(ann_file)
        if not all(files) or not files:
            raise ValueError('There is nothing to read: give ann_file')
        if not camera_param_file:
            raise ValueError(
                'Give camera_param_file, the cameras.pkl that MMPose\'s '
                'preprocess_h36m.py writes beside the annotations')
        self.ann_files = files
        self.camera_param_file = camera_param_file
        self.subjects = tuple(subjects or self.PROTOCOLS[protocol][split])
        self.subjects_named = bool(subjects)
        self.frame_interval = frame_interval
        super().__init__(ann_file=files[0], **kwargs)
        if self.test_mode:
            # CocoMetric would take it for COCO's JSON
            MessageHub.get_current_instance().update_info(
                f"{self.metainfo['dataset_name']}_ann_file", None)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        self.ann_files = [self._joined(path) for path in self.ann_files]
        self.camera_param_file = self._joined(self.camera_param_file)

    def _joined(self, path: str) -> str:
        if self.data_root and not is_abs(path):
            return join_path(self.data_root, path)
        return path

    def load_data_list(self) -> list[dict]:
        """Read the annotations and take the samples of the subjects.

        Returns:
            list[dict]: The samples, without what :meth:`get_data_info` adds.
        """
        cameras = self._load_cameras()
        data_list, found, total = [], set(), 0
        for path in self.ann_files:
            annotation = _load_annotation(path)
            videos = _videos(annotation['imgname'], path)
            found |= {subject for subject, *_ in videos}
            for (subject, _, camera), rows in videos.items():
                if subject not in self.subjects:
                    continue
                if (subject, camera) not in cameras:
                    raise ValueError(
                        f'{self.camera_param_file} has no camera '
                        f'{(subject, camera)}, with which '
                        f"{annotation['imgname'][rows[0]]} of {path} was "
                        'taken. Take the file that belongs to it')
                data_list += self._samples(
                    annotation, np.array(rows[::self.frame_interval]), total,
                    cameras[subject, camera], path)
            total += len(annotation['imgname'])
        missing = set(self.subjects) - found
        files = ' and '.join(map(str, self.ann_files))
        if not data_list or (missing and self.subjects_named):
            raise ValueError(
                f'{files} has no sample of {_subjects(missing)}, but of '
                f'{_subjects(found)}. Choose other subjects or another '
                'ann_file')
        self._cameras = cameras
        data_list.sort(key=lambda sample: sample['id'])
        print_log(
            f'Human36mImageDataset: {len(data_list)} of {total} samples in '
            f'{files} are taken, of {_subjects(found & set(self.subjects))}'
            f' with frame_interval {self.frame_interval}', 'current')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline.

        Args:
            idx (int): Its index.

        Returns:
            dict: What :meth:`load_data_list` gives, with ``img_path``,
            ``bbox_score``, ``camera_param``, ``root_joints`` and
            ``target_img_path``.
        """
        info = super().get_data_info(idx)
        name = info.pop('imgname')
        subject, _, camera = human36m_video(name)
        return dict(
            info,
            img_path=join_path(self.data_prefix['img'], name),
            bbox_score=np.ones(1, np.float32),
            # a copy, for a pipeline may change it
            camera_param={
                key: values.copy()
                for key, values in self._cameras[subject, camera].items()
            },
            root_joints=self.ROOT_JOINTS,
            target_img_path=[osp.basename(name)])

    def _load_cameras(self) -> dict[tuple[str, str], dict]:
        """The parameters of each camera by subject and camera's number."""
        path = self.camera_param_file
        if not exists(path):
            raise FileNotFoundError(
                f'There is no camera_param_file {path}. MMPose\'s '
                'preprocess_h36m.py writes it, as cameras.pkl')
        content = load(path)
        if not isinstance(content, dict) or not all(
                isinstance(key, tuple) and len(key) == 2 for key in content):
            raise ValueError(
                f"{path} is not MMPose's cameras.pkl, a dict of parameters "
                "with keys such as ('S1', '54138969')")
        cameras = {}
        for key, camera in content.items():
            try:
                cameras[key] = _opencv_camera(camera_parameters(camera))
            except (AttributeError, TypeError, ValueError) as error:
                raise ValueError(
                    f'{path}: camera {key}: {error}') from None
        return cameras

    def _samples(self, annotation: dict, rows: np.ndarray, first_id: int,
                 camera: dict, path: str) -> list[dict]:
        """Samples of one video."""
        part, pose = (np.asarray(annotation[key][rows], np.float64)
                      for key in ('part', 'S'))
        names = annotation['imgname'][rows]
        points = np.where(pose[..., 3:] > 0, pose[..., :3], np.nan)
        points *= annotation['unit']
        half = annotation['scale'][rows, None] * PIXELS_OF_SCALE / 2
        centers = annotation['center'][rows]
        boxes = np.hstack([centers - half, centers + half])
        check_projections(
            projection_errors(part[..., :2], part[..., 2], points, camera),
            boxes, names, path)
        fields = pose3d_fields(part[..., :2], points, self.ROOT_JOINTS)
        boxes = boxes.astype(np.float32)
        visible = (part[..., 2] > 0).astype(np.float32)
        return [
            dict(
                id=first_id + int(row), img_id=first_id + int(row),
                imgname=str(name), bbox=boxes[index:index + 1],
                keypoints_visible=visible[index:index + 1],
                root_depth=float(fields['root_depth'][index]),
                **{key: fields[key][index:index + 1] for key in (
                    'keypoints', 'lifting_target', 'lifting_target_visible')})
            for index, (row, name) in enumerate(zip(rows, names, strict=True))
        ]


def _load_annotation(path: str) -> dict[str, np.ndarray]:
    """Read an annotation file, and find its unit in mm."""
    if not exists(path):
        raise FileNotFoundError(f'There is no ann_file {path}')
    layout = ', '.join(f'{key} {["N", *shape]}'.replace("'", '')
                       for key, shape in LAYOUT.items())
    expected = f"MMPose's processed Human3.6M, an .npz file of {layout}"
    with get_local_path(path) as local_path:
        try:
            with np.load(local_path) as content:
                arrays = {key: content[key] for key in LAYOUT if key in content}
        except (AttributeError, TypeError, ValueError, EOFError,
                zipfile.BadZipFile):
            raise ValueError(f'{path} is not {expected}') from None
    missing = [key for key in LAYOUT if key not in arrays]
    if missing:
        raise ValueError(f'{path} has no {" and no ".join(missing)}: it should '
                         f'be {expected}')
    count = len(arrays['imgname'])
    for key, shape in LAYOUT.items():
        if arrays[key].shape != (count, *shape):
            raise ValueError(
                f'{path}: {key} is of shape {list(arrays[key].shape)} beside '
                f'{count} names of images: it should be {expected}')
    arrays['unit'] = _unit(arrays['S'], path)
    return arrays


def _unit(poses: np.ndarray, path: str) -> float:
    """What the poses are to be multiplied with to be in mm."""
    root = Human36mImageDataset.ROOT_JOINTS[0]
    relative = poses[..., :3] - poses[:, root:root + 1, :3]
    visible = poses[..., 3] * poses[:, root:root + 1, 3]
    distance = median_root_distance(relative, visible)
    if distance < METRES:
        return 1000.
    if distance > MILLIMETRES:
        return 1.
    raise ValueError(
        f'{path}: S must be in metres or in millimetres, but half of the '
        f'joints are closer than {distance:.3g} to their root, which is '
        'neither of a person')


def _videos(names: np.ndarray, path: str) -> dict[tuple, list[int]]:
    """Rows of each video by subject, action and camera, in their order."""
    videos = defaultdict(list)
    for row, name in enumerate(names):
        try:
            video = human36m_video(str(name))
        except ValueError:
            raise ValueError(
                f'{path}: imgname {name} does not say subject, action, camera '
                'and frame as S1_Directions_1.54138969_000001.jpg does'
            ) from None
        videos[video].append(row)
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


def _subjects(subjects: set[str]) -> str:
    """Subjects by their numbers."""
    return ', '.join(sorted(subjects, key=lambda name: (len(name), name)))
