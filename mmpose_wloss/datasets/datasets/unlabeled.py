import os.path as osp
import warnings
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from numbers import Real
from pathlib import Path

import cv2
import numpy as np
from mmengine.dataset import force_full_init
from mmengine.fileio import get_local_path, isdir
from mmpose.datasets.datasets import CocoDataset
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.datasets.transforms import (
    GenerateTarget,
    LoadImage,
    PackPoseInputs,
    RandomHalfBody,
)
from mmpose.registry import DATASETS

from ...common.checks import one_of, whole
from ...common.errors import MissingFile, UserError
from ...common.files import list_images, read_json
from ...common.hooks import line_to_add
from ..image_size import loaded_image_size
from ..poses import joint_names
from ..transforms import PackSemiSupervisedPoseInputs
from .crop_caching import CropCaching

# so many in a row are no accident
MOST_UNREADABLE = 100


class UnreadableImageError(OSError):
    """An image that cannot be loaded."""


def read_coco(path: str | Path, what: str = 'annotation file') -> dict:
    """Read an annotation file in COCO's format; errors say ``what`` it is."""
    content = read_json(path, what)
    if not isinstance(content, dict) or not isinstance(content.get('images'), list):
        raise UserError(f"{path} is not in COCO's format: it has no list 'images'")
    return content


def instances_of(content: dict) -> Iterator[tuple[dict, dict]]:
    """Images with one of their annotations each, in the order of ``CocoDataset``.

    Both are in the order of the file. Annotations without an image are left out.
    """
    of_image = defaultdict(list)
    for annotation in content['annotations']:
        of_image[annotation['image_id']].append(annotation)
    for image in {image['id']: image for image in content['images']}.values():
        for annotation in of_image[image['id']]:
            yield image, annotation


def clip_box(annotation: dict, image: dict, name: str | Path) -> np.ndarray | None:
    """The box of an annotation, clipped to its image as MMPose does it.

    It has left, top, right and bottom in pixels, float32 in shape [1, 4], or is
    ``None`` if nothing is in the image. Errors tell the ``name`` of the file.
    """
    if not annotation.get('bbox'):
        return None
    if not (image.get('width') and image.get('height')):
        raise UserError(f'{name}: image {image["id"]!r} has no width and height')
    x, y, width, height = annotation['bbox']
    last = np.array([image['width'], image['height']] * 2) - 1
    box = np.clip([x, y, x + width, y + height], 0, last).astype(np.float32)
    return box[None] if _has_area(box) else None


def _has_area(box: np.ndarray) -> bool:
    # written so that NaN has none
    return bool((box[2:] - box[:2] > 0).all())


@DATASETS.register_module()
class UnlabeledPoseDataset(CropCaching, BaseCocoStyleDataset):
    """Images of people without labels, for top-down training.

    A sample is an image and the box of one person. Boxes come from:

    - ``ann_file`` with annotations: the box of each, clipped as ``CocoDataset``
      does, keypoints or none. Crowds, boxes without area, those with less than
      ``filter_cfg['num_keypoints_thr']`` labeled joints and other categories are left
      out. The categories are those with the joints of this data set or its name,
      else ``person``, else all.
    - ``ann_file`` and ``bbox_file``: the boxes of a detector, in COCO's format of
      results, that have an area; of the same categories, or of category 1 where
      ``ann_file`` lists none.
    - neither: each image in the folder ``data_prefix['img']`` and the folders in it,
      in the order of their names, with the whole image as the box. Hidden files are
      left out.

    A sample has ``labeled=False``. Its ``keypoints`` are zeros; its
    ``keypoints_visible`` are ones, as these joints belong to the data set's
    definition: a ``KeypointConverter`` leaves 0 for joints that it lacks. Its
    ``bbox_score`` is 1 where no detector gave one.

    The next sample takes the place of one whose image cannot be loaded (missing,
    empty, cut short, no image), the same one whenever it is drawn. It then has
    ``unreadable_images``, a list of the files passed over, which
    :class:`UnreadableImagesHook` tells and counts. Files that OpenCV decodes in spite
    of damage are not found. The ``LoadImage`` of this pipeline or a default one loads
    the image before the pipeline begins; that of a wrapper's pipeline takes it over.

    Args:
        ann_file (str): Annotation file, relative to ``data_root``.
        bbox_file (str, optional): Detected boxes, not relative to ``data_root``.
        data_mode (str): ``'topdown'``, the only one.
        test_mode (bool): ``False``: without labels there is nothing to test on.
        lazy_init (bool): Leave the files unread until they are needed.
        clip_length (int): So many neighboring images of a folder are a clip, which
            :class:`EpochMultiSourceSampler` puts into one batch. A sample then has
            ``clip``: the number of its clip, and its place in it. Random transforms
            draw the same for all images of a clip. Without ``ann_file`` only; what is
            left of a folder is no clip, and left out.
        unreadable (str): What an image that cannot be loaded does: ``'skip'`` takes
            the next sample instead, ``'error'`` raises an error.
        **kwargs: As of ``BaseCocoStyleDataset``; ``sample_interval`` counts ids, or in
            a folder places.

    Raises:
        MissingFile: If a file or the image folder is missing.
        UserError: If no box is left, a file is not in its format, boxes name images
            that ``ann_file`` lacks, ``pipeline`` takes joints for labels, or an
            argument does not fit.
        UnreadableImageError: When a sample is loaded: if its image cannot be and
            ``unreadable='error'``, or none of 100 files in a row or of all samples.
    """

    METAINFO: dict = CocoDataset.METAINFO

    # given the dummy joints, these would go wrong in silence
    LABEL_TRANSFORMS = (GenerateTarget, RandomHalfBody)

    source = (
        'any images of people serve, with boxes of annotations or of a detector in '
        "COCO's format, or as a folder. Those of the recipes are COCO's "
        'unlabeled2017 from https://cocodataset.org/#download and AI Challenger, see '
        'https://mmpose.readthedocs.io/en/latest/dataset_zoo/2d_body_keypoint.html')
    hooks = ('UnreadableImagesHook', )
    # whether the hook tells of unreadable images
    reported = False

    def __init__(self, ann_file: str = '', bbox_file: str | None = None,
                 data_mode: str = 'topdown', test_mode: bool = False,
                 lazy_init: bool = False, clip_length: int = 1,
                 unreadable: str = 'skip', **kwargs):
        one_of(('skip', 'error'), unreadable=unreadable)
        one_of(('topdown', ), data_mode=data_mode)
        one_of((False, ), test_mode=test_mode)
        if bbox_file and not ann_file:
            raise UserError(f'bbox_file {bbox_file} holds boxes by image id: give an '
                            'ann_file with the file of each id')
        whole(1, clip_length=clip_length)
        if clip_length > 1 and ann_file:
            raise UserError(f'clip_length is for frames in a folder, but ann_file '
                            f'{ann_file} names images in an order of its own')
        self.clip_length = clip_length
        # index and random numbers of the last sample
        self.drawn = None, None
        super().__init__(ann_file=ann_file, lazy_init=True, **kwargs)
        # not handed on: the base class takes detected boxes for testing only
        self.bbox_file = bbox_file
        self.unreadable = unreadable
        self._check_pipeline()
        if not lazy_init:
            self.full_init()

    @property
    def load_image(self) -> LoadImage:
        """What loads the images: of the pipeline, or a default one."""
        return next((transform for transform in self.pipeline.transforms
                     if isinstance(transform, LoadImage)), LoadImage())

    def _check_pipeline(self) -> None:
        transforms = [self.pipeline]
        # wrappers such as RandomApply hold transforms as a pipeline does
        for transform in transforms:
            transforms.extend(getattr(transform, 'transforms', None) or ())
        for transform in transforms:
            name = f'{type(transform).__name__} in the pipeline of unlabeled samples'
            if isinstance(transform, self.LABEL_TRANSFORMS):
                raise UserError(f'{name} needs joints, which they lack. Leave it out')
            if isinstance(transform, PackPoseInputs) and not isinstance(
                    transform, PackSemiSupervisedPoseInputs):
                raise UserError(f'{name} does not say that they are unlabeled. Pack '
                                'with PackSemiSupervisedPoseInputs')

    def load_data_list(self) -> list[dict]:
        """Load the boxes from the files, or find the images in the folder.

        A sample has ``img_id``, ``img_path``, ``id``, ``category_id``, ``bbox_score``
        and, except for whole images, ``bbox``.
        """
        folder = self.data_prefix.get('img')
        if folder is None:
            raise UserError("data_prefix needs the key 'img', the folder of the "
                            f'images, but it is {self.data_prefix}')
        if folder and not isdir(folder):
            raise MissingFile(f"there is no folder {folder}, which "
                              "data_prefix['img'] and data_root name")
        if self.ann_file:
            with get_local_path(self.ann_file) as path:
                content = read_coco(path, 'ann_file')
            data_list = (self._detected_boxes(content) if self.bbox_file else
                         self._annotated_boxes(content))
        elif folder:
            data_list = [self._sample(index, path.relative_to(folder), index)
                         for index, path in enumerate(list_images(folder))]
        else:
            raise UserError('there is nothing to load: give an ann_file, or as '
                            "data_prefix['img'] a folder to take every image of")
        if self.sample_interval > 1:
            try:
                data_list = [sample for sample in data_list
                             if int(sample['img_id']) % self.sample_interval == 0]
            except ValueError as error:
                raise UserError(
                    f'sample_interval={self.sample_interval} counts image ids, but '
                    f'those of {self.ann_file} are no whole numbers: {error}') from None
        return data_list if self.clip_length == 1 else self._clips(data_list)

    def _clips(self, data_list: list[dict]) -> list[dict]:
        found = []
        for _, frames in groupby(data_list, lambda each: osp.dirname(each['img_path'])):
            frames = list(frames)
            whole_clips = len(frames) // self.clip_length * self.clip_length
            found += frames[:whole_clips]
        if not found:
            raise UserError(
                f"no folder in {self.data_prefix['img']} has as many images as "
                f'clip_length={self.clip_length} asks for')
        return [dict(sample, clip=divmod(index, self.clip_length))
                for index, sample in enumerate(found)]

    def _annotated_boxes(self, content: dict) -> list[dict]:
        annotations = content.get('annotations') or []
        fewest = (self.filter_cfg or {}).get('num_keypoints_thr', 0)
        wanted = self._categories(content)
        data_list = []
        for image, annotation in instances_of(dict(content, annotations=annotations)):
            if (annotation.get('iscrowd')
                    or wanted and annotation.get('category_id') not in wanted
                    or (annotation.get('num_keypoints') or 0) < fewest):
                continue
            box = clip_box(annotation, image, self.ann_file)
            if box is not None:
                data_list.append(self._sample(
                    image['id'], image['file_name'], annotation['id'], box,
                    annotation.get('category_id', 1)))
        return data_list

    def _detected_boxes(self, content: dict) -> list[dict]:
        with get_local_path(self.bbox_file) as path:
            boxes = read_json(path, 'bbox_file')
        if not isinstance(boxes, list):
            raise UserError(f'{self.bbox_file} holds no list of boxes')
        for index, box in enumerate(boxes):
            if not (isinstance(box, dict) and {'image_id', 'category_id'} <= box.keys()
                    and isinstance(box.get('bbox'), list) and len(box['bbox']) >= 4
                    and isinstance(box.get('score'), Real)):
                raise UserError(
                    f'{self.bbox_file}: entry {index} is {str(box)[:80]}, but each '
                    'needs image_id, category_id, score and bbox (x, y, width, height)')
        wanted = self._categories(content) or {
            category['id'] for category in content.get('categories') or ()} or {1}
        boxes = [box for box in boxes if box['category_id'] in wanted]
        images = {image['id']: image for image in content['images']}
        unknown = {box['image_id'] for box in boxes} - images.keys()
        if unknown:
            raise UserError(
                f'{self.bbox_file} has boxes of {len(unknown)} images that '
                f'{self.ann_file} lacks, the first is {min(unknown, key=str)!r}')
        data_list = []
        for index, box in enumerate(boxes):
            x, y, width, height = box['bbox'][:4]
            corners = np.array([x, y, x + width, y + height], np.float32)
            if _has_area(corners):
                data_list.append(self._sample(
                    box['image_id'], images[box['image_id']]['file_name'], index,
                    corners[None], score=box['score']))
        return data_list

    def _categories(self, content: dict) -> set:
        """The numbers of the categories to look at, if not of all.

        A file of animals may have boxes of persons, too.
        """
        joints, name = joint_names(self._metainfo), self._metainfo['dataset_name']
        categories = content.get('categories') or ()
        of_data_set = {one['id'] for one in categories if one.get('name') == name
                       or tuple(one.get('keypoints') or ()) == joints}
        return of_data_set or {one['id'] for one in categories
                               if str(one.get('name')).lower() == 'person'}

    def _sample(self, image_id, file: str | Path, sample_id,
                box: np.ndarray | None = None, category_id: int = 1,
                score: float = 1.) -> dict:
        sample = dict(img_id=image_id, id=sample_id, category_id=np.array(category_id),
                      img_path=osp.join(self.data_prefix['img'], file),
                      bbox_score=np.array([score], np.float32))
        return sample if box is None else dict(sample, bbox=box)

    def filter_data(self) -> list[dict]:
        """The samples whose score is at least ``filter_cfg['bbox_score_thr']``."""
        data_list = super().filter_data()
        if not data_list:
            raise UserError(
                f'no box is left of {self.bbox_file or self.ann_file}: each is of a '
                'crowd, of another category (of detections: of none of ann_file, or '
                'of category 1 where it lists none), without an area in '
                f'its image, or left out by sample_interval={self.sample_interval} or '
                f'filter_cfg={self.filter_cfg}. Without boxes, give a bbox_file of a '
                'detector, or a folder without ann_file')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline.

        It has ``bbox`` in shape [1, 4], ``keypoints`` in shape [1, K, 2],
        ``keypoints_visible`` in shape [1, K], ``labeled``, and what the stock data sets
        give. The size of a whole image is read from the header of its file.
        """
        sample = self._unlabeled(idx)
        if 'bbox' not in sample:
            sample['bbox'] = _whole(*loaded_image_size(sample['img_path']))
        return sample

    def _unlabeled(self, idx: int) -> dict:
        joints = self._metainfo['num_keypoints']
        return dict(super().get_data_info(idx), labeled=False,
                    keypoints=np.zeros((1, joints, 2), np.float32),
                    keypoints_visible=np.ones((1, joints), np.float32))

    @force_full_init
    def prepare_data(self, idx: int):
        """Get a sample, or the next one whose image can be loaded, transformed."""
        if self.clip_length > 1:
            self._draw_as_the_clip(idx)
        # as the stock data sets do, for transforms that mix samples
        return self.pipeline(dict(self._next_readable(idx), dataset=self))

    def _draw_as_the_clip(self, idx: int) -> None:
        last, state = self.drawn
        if idx % self.clip_length and last == idx - 1:
            np.random.set_state(state)
        else:
            state = np.random.get_state()
        self.drawn = idx, state

    def _next_readable(self, idx: int) -> dict:
        passed_over = {}
        for step in range(len(self)):
            # the index itself may be past the end, which ends an iteration
            sample = self._unlabeled((idx + step) % len(self) if step else idx)
            path = sample['img_path']
            if path in passed_over:
                continue  # another box in the same image
            try:
                sample = self._loaded(sample)
            except UnreadableImageError as error:
                if self.unreadable == 'error':
                    raise
                passed_over[path] = error
                if not self.reported:  # where no hook tells of all, of the first
                    self.reported = True
                    warnings.warn(
                        f'{error}. The next image takes its place. '
                        'UnreadableImagesHook tells and counts them: '
                        f'{line_to_add("UnreadableImagesHook")}', stacklevel=2)
                if len(passed_over) == MOST_UNREADABLE:
                    break
                continue
            if passed_over:
                sample['unreadable_images'] = list(passed_over)
            return sample
        raise UnreadableImageError(
            f'none of {len(passed_over)} images in a row can be loaded. The first: '
            f'{next(iter(passed_over.values()))}')

    def _loaded(self, sample: dict) -> dict:
        path, why = sample['img_path'], 'no image'
        try:
            sample = self.load_image(sample)
        # of a missing file, an empty one, one that is no image
        except (OSError, cv2.error, AssertionError) as error:
            sample, why = None, str(error) or why
        if sample is None:  # with LoadImage(ignore_empty=True), too
            raise UnreadableImageError(f'{path} cannot be loaded: {why}')
        if 'bbox' not in sample:
            height, width = sample['ori_shape']
            sample['bbox'] = _whole(width, height)
        return sample


def _whole(width: int, height: int) -> np.ndarray:
    return np.array([[0, 0, width, height]], np.float32)
