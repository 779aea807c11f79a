import os.path as osp

import numpy as np
from mmengine.logging import MessageHub, print_log
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from ...common import checks
from ...common.errors import UserError
from ...common.files import existing_file
from ..image_size import loaded_image_size
from .crop_caching import CropCaching
from .lsp_joints import JOINTS, read_joints

COLORS = dict(right=[255, 128, 0], left=[0, 255, 0], middle=[51, 153, 255])
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
SIGMAS = dict(ankle=0.089, knee=0.087, hip=0.107, wrist=0.062, elbow=0.072)
OTHER_SIDE = dict(right='left', left='right')


def _part(name: str) -> str:
    return name.rpartition('_')[2]


def _color(*names: str) -> list[int]:
    sides = {name.partition('_')[0] for name in names} & {*OTHER_SIDE}
    return COLORS[sides.pop() if len(sides) == 1 else 'middle']


def _swap(name: str) -> str:
    side = name.partition('_')[0]
    return f'{OTHER_SIDE[side]}_{_part(name)}' if side in OTHER_SIDE else ''


@DATASETS.register_module()
class LSPDataset(CropCaching, BaseCocoStyleDataset):
    """Leeds Sports Pose, alone or with its extended training set.

    2,000 and 10,000 images of one person each with 14 joints, right and left
    as the person has them. Johnson & Everingham, `Clustered Pose and Nonlinear
    Appearance Models for Human Pose Estimation
    <http://sam.johnson.io/research/lsp.html>`_ (BMVC 2010) and `Learning
    Effective Human Pose Estimation from Inaccurate Annotation
    <http://sam.johnson.io/research/lspet.html>`_ (CVPR 2011).

    A sample's number is its place, from 0, in LSP followed by LSP-extended.
    Its id, which is its image's too, depends neither on the split nor on which
    files are read: the number in the image's name, in LSP-extended plus
    100,000. Coordinates count pixels from 0. Joints that LSP-extended lacks are
    at (0, 0) with visibility 0. Samples without a joint that counts are left
    out.

    Args:
        ann_file (str): ``joints.mat`` of LSP; empty: LSP-extended alone.
        extended_ann_file (str, optional): ``joints.mat`` of LSP-extended.
        data_prefix (dict): Folders of images, ``img`` and ``extended``.
        file_names (dict, optional): Names of images, as :attr:`FILE_NAMES`.
        split (str): ``'train'``, ``'test'`` or ``'all'``.
        protocol (str): Which samples are for training, while the others are
            for testing. ``'random'``: the first ``train_size`` of all in an
            order. ``'lsp'``, the custom of the field: the first 1,000 of LSP
            and all of LSP-extended.
        train_size (int): Of ``'random'``.
        seed (int): Draws the order.
        order_file (str, optional): The numbers of all samples in an order, in
            place of one that is drawn: one per line of a text file, an array of
            an ``.npy`` file, or the original code's ``dataorder.txt`` as it is.
            That one is separated by commas and counts LSP-extended first.
        bbox (str): ``'image'``, the whole image, whose size is read from its
            file when the sample is loaded, or ``'joints'``, the box around the
            joints that count; it may reach over the border of the image.
        bbox_padding (float): By how much ``'joints'`` boxes are enlarged about
            their center; ``GetBBoxCenterScale`` enlarges too.
        use_occluded (bool): Whether occluded joints of LSP count, with
            ``keypoints_visible`` 1; ``raw_ann_info`` holds them either way.
        **kwargs: As of ``BaseCocoStyleDataset``, and ``cache``, see
            :func:`cache_crops`.

    Attributes:
        ann_files (list[str]): The annotation files that are read.

    Raises:
        MissingFile: If a file is missing.
        UserError: If a file is not what is expected, if no sample is left,
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
            index: dict(name=name, id=index, color=_color(name),
                        type='lower' if _part(name) in LOWER else 'upper',
                        swap=_swap(name))
            for index, name in enumerate(JOINTS)},
        skeleton_info={
            index: dict(link=link, id=index, color=_color(*link))
            for index, link in enumerate(LINKS)},
        joint_weights=[WEIGHTS.get(_part(name), 1.) for name in JOINTS],
        sigmas=[SIGMAS.get(_part(name), 0.079) for name in JOINTS])

    FILE_NAMES = dict(img='im{:04d}.jpg', extended='im{:05d}.jpg')
    FIRST_EXTENDED_ID = 100_001
    # of the field's own split
    LSP_TRAIN_SIZE = 1000
    source = ('LSP (lsp_dataset_original.zip) from '
              'http://sam.johnson.io/research/lsp.html and LSP-extended '
              '(lspet_dataset.zip) from '
              'http://sam.johnson.io/research/lspet.html')
    file_keys = ('extended_ann_file', 'order_file')

    def __init__(self,
                 ann_file: str = '',
                 extended_ann_file: str | None = None,
                 data_prefix: dict | None = None,
                 file_names: dict | None = None,
                 split: str = 'train',
                 protocol: str = 'random',
                 train_size: int = 9000,
                 seed: int = 0,
                 order_file: str | None = None,
                 bbox: str = 'image',
                 bbox_padding: float = 1.,
                 use_occluded: bool = True,
                 **kwargs):
        checks.one_of(('train', 'test', 'all'), split=split)
        checks.one_of(('random', 'lsp'), protocol=protocol)
        checks.one_of(('image', 'joints'), bbox=bbox)
        for key, value in (('data_mode', 'topdown'), ('bbox_file', None)):
            checks.one_of([value], **{key: kwargs.get(key, value)})
        checks.positive(bbox_padding=bbox_padding)
        checks.whole(train_size=train_size)
        if order_file and protocol != 'random':
            raise UserError(f"order_file is for protocol='random', but protocol "
                            f'is {protocol!r}, which has a split of its own')
        if not (ann_file or extended_ann_file):
            raise UserError('there is nothing to read: give ann_file, '
                            'extended_ann_file or both')
        self.extended_ann_file = extended_ann_file
        self.file_names = {**self.FILE_NAMES, **(file_names or {})}
        self.split = split
        self.protocol = protocol
        self.train_size = train_size
        self.seed = seed
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
            if getattr(self, name):
                setattr(self, name, osp.join(self.data_root or '',
                                             getattr(self, name)))
        self._lsp_file = self.ann_file
        self.ann_files = [
            path for path in (self.ann_file, self.extended_ann_file) if path]
        self.ann_file = self.ann_files[0]

    def load_data_list(self) -> list[dict]:
        """Samples of the split, as of the stock data sets.

        Without ``bbox``, if it is the whole image. ``area``, in square pixels,
        is that of the box around the joints, with MMPose's factor 0.53.
        """
        # the stock data sets take it from COCO's file
        self._metainfo['CLASSES'] = [
            dict(id=1, name='person', supercategory='person')]
        samples = []
        for key, path in (('img', self._lsp_file),
                          ('extended', self.extended_ann_file)):
            if path:
                joints = read_joints(path, key == 'extended')
                samples += [(key, number, *one) for number, one in enumerate(
                    zip(*joints, strict=True), start=1)]
        chosen = [samples[number] for number in self._split_numbers(samples)]
        lowest = 1 if self.use_occluded else 2
        data_list = [self._data_info(*one, one[3] >= lowest) for one in chosen
                     if (one[3] >= lowest).any()]
        files = ' and '.join(self.ann_files)
        print_log(
            f'LSPDataset: {len(chosen)} of {len(samples)} samples in {files} '
            f'are of the split {self.split!r}; {len(chosen) - len(data_list)} '
            'have no joint that counts and are left out', 'current')
        data_list = [info for info in data_list
                     if info['img_id'] % self.sample_interval == 0]
        if not data_list:
            raise UserError(f'the split {self.split!r} of {files} has no '
                            'sample with a joint that counts')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """A sample before the pipeline, with ``bbox`` in shape [1, 4]."""
        data_info = super().get_data_info(idx)
        if 'bbox' not in data_info:
            width, height = loaded_image_size(existing_file(
                data_info['img_path'], 'image, whose size is its box:'))
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
                for key, number, *_ in samples])
            return np.flatnonzero(for_training == (self.split == 'train'))
        if self.train_size > len(samples):
            raise UserError(
                f'train_size must be from 1 to the {len(samples)} samples in '
                f'{" and ".join(self.ann_files)}, but it is {self.train_size}')
        if self.order_file:
            order = self._read_order(
                len(samples), sum(key == 'img' for key, *_ in samples))
        else:
            # of NumPy's generators, the one whose numbers stay the same in
            # every version
            order = np.random.RandomState(self.seed).permutation(len(samples))
        return (order[:self.train_size] if self.split == 'train' else
                order[self.train_size:])

    def _read_order(self, count: int, of_lsp: int) -> np.ndarray:
        path = existing_file(self.order_file, 'order_file')
        needed = (f'order_file {path} must hold the numbers 0 to {count - 1} of all '
                  'samples, each once')
        try:
            text = '' if path.suffix == '.npy' else path.read_text('utf-8')
            order = (np.array(text.replace(',', ' ').split(), float) if text
                     else np.load(path))
        except ValueError as error:
            raise UserError(f'{needed}: {error}') from error
        numbers, times = np.unique(order, return_counts=True)
        wrong = {'more than once': numbers[times > 1],
                 'missing': np.setdiff1d(np.arange(count), numbers),
                 'of no sample': np.setdiff1d(numbers, np.arange(count))}
        if any(map(len, wrong.values())):
            raise UserError(f'{needed}: ' + ', '.join(
                f'{some[0]:g} is {what}' for what, some in wrong.items() if len(some)))
        order = order.astype(np.int64)
        # of the original code, whose numbers of LSP come after LSP-extended's
        return (order + of_lsp) % count if ',' in text else order

    def _data_info(self, key: str, number: int, positions: np.ndarray,
                   visibility: np.ndarray, counts: np.ndarray) -> dict:
        """A sample; ``number`` is that of its image's name."""
        identity = number + (self.FIRST_EXTENDED_ID - 1 if key == 'extended'
                             else 0)
        low, high = (bound(positions[counts], axis=0)
                     for bound in (np.min, np.max))
        size = np.maximum(high - low, 1)
        area = max(0.53 * float(size.prod()), 1.)
        annotation = dict(
            id=identity, image_id=identity, category_id=1, iscrowd=0,
            num_keypoints=int((visibility > 0).sum()), area=area,
            keypoints=np.column_stack([positions,
                                       visibility]).ravel().tolist())
        info = dict(
            id=identity, img_id=identity, category_id=np.array(1), iscrowd=0,
            img_path=osp.join(self.data_prefix[key],
                              self.file_names[key].format(number)),
            bbox_score=np.ones(1, np.float32),
            keypoints=positions[None].astype(np.float32),
            keypoints_visible=counts[None].astype(np.float32),
            num_keypoints=annotation['num_keypoints'],
            area=np.array(area, np.float32), segmentation=None,
            raw_ann_info=annotation)
        if self.bbox == 'joints':
            corner = ((low + high - size) / 2
                      - (self.bbox_padding - 1) / 2 * size)
            size = self.bbox_padding * size
            annotation['bbox'] = [*corner.tolist(), *size.tolist()]
            info['bbox'] = np.concatenate(
                [corner, corner + size])[None].astype(np.float32)
        return info
