import os.path as osp

import numpy as np
from mmengine.fileio import exists, get_local_path, join_path
from mmengine.logging import MessageHub, print_log
from mmengine.utils import is_abs
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from .image_size import loaded_image_size
from .lsp_joints import JOINTS, read_joints

RIGHT, LEFT, MIDDLE = [255, 128, 0], [0, 255, 0], [51, 153, 255]
LINKS = [('right_ankle', 'right_knee'), ('right_knee', 'right_hip'),
         ('left_ankle', 'left_knee'), ('left_knee', 'left_hip'),
         ('right_hip', 'left_hip'), ('right_hip', 'right_shoulder'),
         ('left_hip', 'left_shoulder'), ('right_shoulder', 'right_elbow'),
         ('right_elbow', 'right_wrist'), ('left_shoulder', 'left_elbow'),
         ('left_elbow', 'left_wrist'), ('right_shoulder', 'neck'),
         ('left_shoulder', 'neck'), ('neck', 'head_top')]
LOWER = ('ankle', 'knee', 'hip')
# joint weights as in MMPose's definitions of MPII and JHMDB, sigmas as in
# CrowdPose's, which has the same 14 joints
WEIGHTS = dict(ankle=1.5, knee=1.2, wrist=1.5, elbow=1.2)
SIGMAS = dict(ankle=0.089, knee=0.087, hip=0.107, wrist=0.062, elbow=0.072,
              shoulder=0.079, neck=0.079, head_top=0.079)


def _part(name: str) -> str:
    return name.removeprefix('right_').removeprefix('left_')


def _color(*names: str) -> list[int]:
    sides = {name.split('_')[0] for name in names} & {'right', 'left'}
    return (MIDDLE if len(sides) != 1 else
            RIGHT if sides == {'right'} else LEFT)


def _swap(name: str) -> str:
    side, _, part = name.partition('_')
    other = dict(right='left', left='right').get(side)
    return f'{other}_{part}' if other else ''


@DATASETS.register_module()
class LSPDataset(BaseCocoStyleDataset):
    """Leeds Sports Pose, alone or with its extended training set.

    2,000 and 10,000 images of one person each with 14 joints, right and left
    as the person has them. Johnson & Everingham, `Clustered Pose and Nonlinear
    Appearance Models for Human Pose Estimation
    <http://sam.johnson.io/research/lsp.html>`_ (BMVC 2010) and `Learning
    Effective Human Pose Estimation from Inaccurate Annotation
    <http://sam.johnson.io/research/lspet.html>`_ (CVPR 2011).

    LSP keypoints::

        0: 'right_ankle', 1: 'right_knee', 2: 'right_hip', 3: 'left_hip',
        4: 'left_knee', 5: 'left_ankle', 6: 'right_wrist', 7: 'right_elbow',
        8: 'right_shoulder', 9: 'left_shoulder', 10: 'left_elbow',
        11: 'left_wrist', 12: 'neck', 13: 'head_top'

    A sample's number is its place, from 0, in LSP followed by LSP-extended.
    Its id, which is its image's too, does not depend on the split nor on which
    files are read: 1 … 2000 in LSP and 100001 … 110000 in LSP-extended, the
    number in the image's name and, in LSP-extended, 100000.

    Coordinates count pixels from 0; :func:`read_joints` says how they are
    read. Joints that LSP-extended lacks are at (0, 0) with visibility 0.
    Samples without a joint that counts are left out, and the log says how
    many.

    .. code-block:: python

        train = dict(
            type='LSPDataset',
            data_root='data/lsp',
            ann_file='lsp_dataset_original/joints.mat',
            extended_ann_file='lspet_dataset/joints.mat',
            data_prefix=dict(img='lsp_dataset_original/images/',
                             extended='lspet_dataset/images/'),
            split='train')

    Args:
        ann_file (str): ``joints.mat`` of LSP, relative to ``data_root``.
            Leave it out to read LSP-extended alone.
        extended_ann_file (str, optional): ``joints.mat`` of LSP-extended,
            relative to ``data_root``. Defaults to ``None``: LSP alone.
        data_prefix (dict): The folders of the images, relative to
            ``data_root``: ``img`` those of LSP, ``extended`` those of
            LSP-extended.
        file_names (dict, optional): How the images of each are called, with a
            place for the number. Defaults to ``dict(img='im{:04d}.jpg',
            extended='im{:05d}.jpg')``.
        split (str): ``'train'``, ``'test'`` or ``'all'``. Defaults to
            ``'train'``.
        protocol (str): Which samples are for training. ``'random'``: the
            first ``train_size`` of all in an order drawn by ``seed`` or read
            from ``order_file``; the others are for testing. ``'lsp'``, the
            custom of the field: the first 1,000 of LSP and all of
            LSP-extended; the others of LSP are for testing. Defaults to
            ``'random'``.
        train_size (int, optional): Defaults to ``None``: 9,000.
        seed (int, optional): Defaults to ``None``: 0.
        order_file (str, optional): The numbers of all samples in an order, one
            per line of a text file or as an array of an ``.npy`` file,
            relative to ``data_root``. Defaults to ``None``.
        bbox (str): ``'image'``, the whole image, whose size is read from the
            header of its file on the local disk when the sample is loaded, or
            ``'joints'``, the box around the joints that count; it may reach
            over the border of the image. Defaults to ``'image'``.
        bbox_padding (float): By how much ``'joints'`` boxes are enlarged about
            their centre; ``GetBBoxCenterScale`` enlarges too. Defaults to 1.
        use_occluded (bool): Whether occluded joints of LSP have
            ``keypoints_visible`` 1. They have a position, and the field trains
            and tests on them. With ``False`` they have 0; ``raw_ann_info``
            holds them either way, with visibility 1. Defaults to ``True``.
        **kwargs: ``metainfo``, ``data_root``, ``filter_cfg``, ``indices``,
            ``serialize_data``, ``pipeline``, ``test_mode``, ``lazy_init``,
            ``max_refetch`` and ``sample_interval`` as in
            ``BaseCocoStyleDataset``.

    Attributes:
        ann_files (list[str]): The annotation files that are read.
        ann_file (str): The first of them.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not what is expected, if no sample is left,
            or if an argument does not fit.
    """

    METAINFO: dict = dict(
        dataset_name='lsp',
        paper_info=dict(
            author='Sam Johnson and Mark Everingham',
            title='Clustered Pose and Nonlinear Appearance Models for Human '
            'Pose Estimation',
            container='British Machine Vision Conference (BMVC)',
            year='2010',
            homepage='http://sam.johnson.io/research/lsp.html',
        ),
        keypoint_info={
            index: dict(
                name=name,
                id=index,
                color=_color(name),
                type='lower' if _part(name) in LOWER else 'upper',
                swap=_swap(name))
            for index, name in enumerate(JOINTS)
        },
        skeleton_info={
            index: dict(link=link, id=index, color=_color(*link))
            for index, link in enumerate(LINKS)
        },
        joint_weights=[WEIGHTS.get(_part(name), 1.) for name in JOINTS],
        sigmas=[SIGMAS[_part(name)] for name in JOINTS])

    FILE_NAMES = dict(img='im{:04d}.jpg', extended='im{:05d}.jpg')
    FIRST_EXTENDED_ID = 100_001
    # of the field's own split
    LSP_TRAIN_SIZE = 1000

    def __init__(self,
                 ann_file: str = '',
                 extended_ann_file: str | None = None,
                 data_prefix: dict | None = None,
                 file_names: dict | None = None,
                 split: str = 'train',
                 protocol: str = 'random',
                 train_size: int | None = None,
                 seed: int | None = None,
                 order_file: str | None = None,
                 bbox: str = 'image',
                 bbox_padding: float = 1.,
                 use_occluded: bool = True,
                 **kwargs):
        for name, value, choices in (
                ('split', split, ('train', 'test', 'all')),
                ('protocol', protocol, ('random', 'lsp')),
                ('bbox', bbox, ('image', 'joints')),
                ('data_mode', kwargs.get('data_mode', 'topdown'),
                 ('topdown', ))):
            if value not in choices:
                raise ValueError(f'{name} must be one of {choices}, but it is '
                                 f'{value!r}')
        if kwargs.get('bbox_file'):
            raise ValueError(
                f"bbox_file {kwargs['bbox_file']} cannot be used: every image "
                "shows one person. Choose its box by bbox='image' or 'joints'")
        if not (ann_file or extended_ann_file):
            raise ValueError('There is nothing to read: give ann_file, '
                             'extended_ann_file or both')
        if not bbox_padding > 0:
            raise ValueError('bbox_padding must be above 0, but it is '
                             f'{bbox_padding}')
        _check_split(protocol, ann_file, train_size, seed, order_file)
        self.extended_ann_file = extended_ann_file
        self.file_names = {**self.FILE_NAMES, **(file_names or {})}
        self.split = split
        self.protocol = protocol
        self.train_size = 9000 if train_size is None else train_size
        self.seed = 0 if seed is None else seed
        self.order_file = order_file
        self.bbox = bbox
        self.bbox_padding = bbox_padding
        self.use_occluded = use_occluded
        super().__init__(
            ann_file=ann_file,
            data_prefix={'img': '', 'extended': '', **(data_prefix or {})},
            **kwargs)
        if self.test_mode:
            # CocoMetric would take it for COCO's JSON; without it, it collects
            # raw_ann_info
            MessageHub.get_current_instance().update_info(
                f"{self.metainfo['dataset_name']}_ann_file", None)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        for name in ('extended_ann_file', 'order_file'):
            path = getattr(self, name)
            if path and not is_abs(path) and self.data_root:
                setattr(self, name, join_path(self.data_root, path))
        self._lsp_file = self.ann_file
        self.ann_files = [
            path for path in (self.ann_file, self.extended_ann_file) if path
        ]
        self.ann_file = self.ann_files[0]

    def load_data_list(self) -> list[dict]:
        """Read the joints and take those of the split.

        Returns:
            list[dict]: Of each sample ``img_id``, ``img_path``, ``id``,
            ``category_id``, ``bbox_score``, ``keypoints``,
            ``keypoints_visible``, ``num_keypoints``, ``area``, ``iscrowd``,
            ``segmentation``, ``raw_ann_info`` and, unless it is the whole
            image, ``bbox``. With MMPose's factor 0.53, ``area`` is that of
            the box around the joints, in square pixels.
        """
        # the stock data sets take it from COCO's file
        self._metainfo['CLASSES'] = [
            dict(id=1, name='person', supercategory='person')
        ]
        samples = []
        for key, path in (('img', self._lsp_file),
                          ('extended', self.extended_ann_file)):
            if path:
                samples += [
                    (key, number, positions, visibility)
                    for number, (positions, visibility) in enumerate(
                        zip(*read_joints(path, key == 'extended'),
                            strict=True), start=1)
                ]
        if sum(key == 'img' for key, *_ in samples) >= self.FIRST_EXTENDED_ID:
            raise ValueError(
                f'{self._lsp_file} has more than {self.FIRST_EXTENDED_ID - 1} '
                'samples, so that ids would clash with those of LSP-extended')
        chosen = [samples[number] for number in self._split_numbers(samples)]
        data_list = [
            info for info in (self._data_info(*sample) for sample in chosen)
            if info['keypoints_visible'].any()
        ]
        print_log(
            f'LSPDataset: {len(data_list)} of {len(samples)} samples in '
            f'{" and ".join(self.ann_files)} are of the split {self.split!r}, '
            f'{sum(key == "img" for key, *_ in chosen)} from LSP and '
            f'{sum(key == "extended" for key, *_ in chosen)} from '
            f'LSP-extended; {len(chosen) - len(data_list)} of them have no '
            'joint that counts and are left out', 'current')
        data_list = [
            info for info in data_list
            if info['img_id'] % self.sample_interval == 0
        ]
        if not data_list:
            raise ValueError(
                f'The split {self.split!r} of {" and ".join(self.ann_files)} '
                f'(protocol {self.protocol!r}, sample_interval '
                f'{self.sample_interval}) has no sample with a joint that counts')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline.

        Args:
            idx (int): Its index.

        Returns:
            dict: What :meth:`load_data_list` and the stock data sets give,
            with ``bbox`` in shape [1, 4], left, top, right and bottom.
        """
        data_info = super().get_data_info(idx)
        if 'bbox' not in data_info:
            path = data_info['img_path']
            try:
                width, height = loaded_image_size(path)
            except FileNotFoundError:
                raise FileNotFoundError(
                    f'There is no image {path}, whose size is the box of '
                    f"sample {data_info['id']}. Correct data_prefix, "
                    "file_names or data_root, or take bbox='joints'") from None
            data_info['bbox'] = np.array([[0, 0, width, height]], np.float32)
            data_info['raw_ann_info']['bbox'] = [0., 0., width, height]
        return data_info

    def _split_numbers(self, samples: list) -> np.ndarray:
        """The numbers of the split's samples."""
        if self.split == 'all':
            return np.arange(len(samples))
        if self.protocol == 'lsp':
            for_training = np.array([
                key == 'extended' or number <= self.LSP_TRAIN_SIZE
                for key, number, *_ in samples
            ])
            return np.flatnonzero(for_training == (self.split == 'train'))
        if not 0 < self.train_size <= len(samples):
            raise ValueError(
                f'train_size is {self.train_size}, but there are '
                f'{len(samples)} samples in {" and ".join(self.ann_files)}. '
                'Set a train_size between 1 and that number')
        if self.order_file:
            order = self._read_order(len(samples))
        else:
            # of NumPy's generators, the one whose numbers stay the same in
            # every version
            order = np.random.RandomState(self.seed).permutation(len(samples))
        return (order[:self.train_size] if self.split == 'train' else
                order[self.train_size:])

    def _read_order(self, count: int) -> np.ndarray:
        if not exists(self.order_file):
            raise FileNotFoundError(f'There is no file {self.order_file}, '
                                    'which order_file names. Correct it')
        expected = (f'the numbers 0 to {count - 1} of all samples, each once, '
                    'are expected')
        with get_local_path(self.order_file) as path:
            try:
                order = (np.load(path, allow_pickle=False)
                         if self.order_file.endswith('.npy') else
                         np.loadtxt(path, dtype=np.int64, ndmin=1))
            except ValueError as error:
                raise ValueError(f'order_file {self.order_file} cannot be '
                                 f'read ({error}); {expected}') from None
        if order.ndim != 1 or not np.array_equal(
                np.sort(order), np.arange(count)):
            raise ValueError(
                f'order_file {self.order_file} holds {order.size} numbers' +
                (f' from {order.min()} to {order.max()}, '
                 f'{np.unique(order).size} different ones'
                 if order.size else '') + f'; {expected}')
        return order.astype(np.int64)

    def _data_info(self, key: str, number: int, positions: np.ndarray,
                   visibility: np.ndarray) -> dict:
        """A sample; ``number`` is that of its image's name."""
        identity = number
        if key == 'extended':
            identity += self.FIRST_EXTENDED_ID - 1
        counts = visibility > (0 if self.use_occluded else 1)
        info = dict(
            img_id=identity,
            img_path=osp.join(self.data_prefix[key],
                              self.file_names[key].format(number)),
            id=identity,
            category_id=np.array(1),
            bbox_score=np.ones(1, np.float32),
            keypoints=positions[None].astype(np.float32),
            keypoints_visible=counts[None].astype(np.float32),
            num_keypoints=int((visibility > 0).sum()),
            iscrowd=0,
            segmentation=None)
        annotation = dict(
            id=identity, image_id=identity, category_id=1, iscrowd=0,
            num_keypoints=info['num_keypoints'],
            keypoints=np.column_stack([positions,
                                       visibility]).ravel().tolist())
        if counts.any():
            corner, size = _box_around(positions[counts])
            annotation['area'] = max(0.53 * float(size.prod()), 1.)
            info['area'] = np.array(annotation['area'], np.float32)
            if self.bbox == 'joints':
                corner = corner - (self.bbox_padding - 1) / 2 * size
                size = self.bbox_padding * size
                annotation['bbox'] = [*corner.tolist(), *size.tolist()]
                info['bbox'] = np.concatenate(
                    [corner, corner + size])[None].astype(np.float32)
        info['raw_ann_info'] = annotation
        return info


def _check_split(protocol: str, ann_file: str, train_size: int | None,
                 seed: int | None, order_file: str | None) -> None:
    if seed is not None and order_file:
        raise ValueError(
            f'seed {seed} and order_file {order_file} both say in which order '
            'the samples are split. Give one of them')
    if protocol != 'lsp':
        return
    if not ann_file:
        raise ValueError("protocol 'lsp' splits LSP: give its ann_file")
    given = [name for name, value in (('train_size', train_size),
                                      ('seed', seed),
                                      ('order_file', order_file))
             if value is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} say how the protocol "
                         "'random' splits. Leave them out with 'lsp'")


def _box_around(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left top corner and size of the box around points, at least 1 pixel."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    size = np.maximum(high - low, 1)
    return (low + high - size) / 2, size
