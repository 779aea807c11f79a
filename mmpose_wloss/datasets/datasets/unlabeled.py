import json
import os
import os.path as osp
from collections.abc import Iterator
from numbers import Real
from pathlib import PurePath

import cv2
import numpy as np
from mmengine.dataset import force_full_init
from mmengine.fileio import exists, get, isdir
from mmpose.datasets.datasets import CocoDataset
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.datasets.transforms import (
    GenerateTarget,
    LoadImage,
    PackPoseInputs,
    RandomHalfBody,
)
from mmpose.registry import DATASETS

from ..transforms import PackSemiSupervisedPoseInputs
from .image_size import loaded_image_size

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
UNREADABLE = ('skip', 'error')
# so many in a row are no accident
MOST_UNREADABLE = 100


class UnreadableImageError(OSError):
    """An image that cannot be loaded."""


def parse_coco(data: bytes, name: str) -> dict:
    """Parse an annotation file in COCO's format.

    Args:
        data (bytes): The file's content.
        name (str): The file's name, for the errors.

    Returns:
        dict: The content, with a list of ``images``.

    Raises:
        ValueError: If it is not JSON, or not in COCO's format.
    """
    content = _parse_json(data, name)
    if not isinstance(content, dict) or not isinstance(
            content.get('images'), list):
        raise ValueError(
            f"{name} is not in COCO's format: a dict with a list 'images' is "
            'expected')
    return content


def _parse_json(data: bytes, name: str):
    try:
        return json.loads(data)
    except ValueError as error:
        raise ValueError(f'{name} is not a JSON file: {error}') from None


def instances_of(content: dict) -> Iterator[tuple[dict, dict]]:
    """List the annotations in the order in which ``CocoDataset`` does.

    Args:
        content (dict): The content of an annotation file.

    Yields:
        tuple[dict]: An image and one of its annotations: images in the order
        of the file, and of an image its annotations in the order of the file.
        Annotations of images that the file lacks are left out.
    """
    images = {image['id']: image for image in content['images']}
    annotations: dict = {image_id: [] for image_id in images}
    for annotation in content['annotations']:
        if annotation['image_id'] in annotations:
            annotations[annotation['image_id']].append(annotation)
    for image_id, of_image in annotations.items():
        for annotation in of_image:
            yield images[image_id], annotation


def clip_box(annotation: dict, image: dict, name: str) -> np.ndarray | None:
    """The box of an annotation, clipped to its image as MMPose does it.

    Args:
        annotation (dict): With ``bbox`` as x, y, width and height in pixels.
        image (dict): With ``width`` and ``height`` in pixels.
        name (str): The file that both are from, for the error.

    Returns:
        np.ndarray or None: Left, top, right and bottom, float32 in shape
        [1, 4]; ``None`` without a box, or if nothing of it is in the image.

    Raises:
        ValueError: If the image has no width or height.
    """
    if not annotation.get('bbox'):
        return None
    missing = [key for key in ('width', 'height') if not image.get(key)]
    if missing:
        raise ValueError(f'{name}: image {image["id"]!r} has no '
                         f'{" and no ".join(missing)}, to which its boxes '
                         'are clipped. Add it to the file')
    x, y, width, height = annotation['bbox']
    last = np.array([image['width'], image['height']] * 2) - 1
    box = np.clip([x, y, x + width, y + height], 0, last).astype(np.float32)
    return box[None] if _has_area(box) else None


def _has_area(box: np.ndarray) -> bool:
    # written so that NaN has none
    return bool((box[2:] - box[:2] > 0).all())


@DATASETS.register_module()
class UnlabeledPoseDataset(BaseCocoStyleDataset):
    """Images of people without labels, for top-down training.

    A sample is an image and the box of one person. Boxes come from one of
    three sources:

    - ``ann_file`` with annotations: the box of each annotation. Crowds, boxes
      without area and, where the file has a category ``person``, other
      categories are left out. Keypoints and their number are not read, so an
      annotation without keypoints counts too. Boxes are clipped as those of
      ``CocoDataset``.
    - ``ann_file`` and ``bbox_file``: the boxes of a detector, in COCO's
      format of results; those of category 1 that have an area.
    - neither: each image in the folder ``data_prefix['img']`` and the folders
      in it, in the order of their names, with the whole image as the box.
      Files whose names begin with a dot are left out.

    A sample has ``labeled=False``. Its ``keypoints`` are zeros, its
    ``keypoints_visible`` are ones and say that these joints belong to the
    data set's definition: a ``KeypointConverter`` leaves 0 for joints that
    the definition lacks. Its ``bbox_score`` is 1 where no detector gave one.

    An image that ``LoadImage`` cannot load (missing, empty, cut short, no
    image) is passed over: its place takes the next sample whose image can be
    loaded, so the same one whenever it is drawn. That sample then has
    ``unreadable_images``, a list of the files passed over, from which
    :class:`UnreadableImagesHook` warns and counts. Files that OpenCV decodes
    in spite of damage are not found. The image is in the sample already when
    the pipeline begins, loaded as the ``LoadImage`` of this pipeline loads
    it, or by default; a ``LoadImage`` of a wrapper's pipeline takes it over.

    .. code-block:: python

        unlabeled = dict(
            type='UnlabeledPoseDataset',
            data_root='data/coco',
            ann_file='annotations/image_info_unlabeled2017.json',
            bbox_file='data/coco/unlabeled2017_boxes.json',
            data_prefix=dict(img='unlabeled2017/'),
            filter_cfg=dict(bbox_score_thr=0.5))

    Args:
        ann_file (str): Annotation file, relative to ``data_root``.
        bbox_file (str, optional): Detected boxes; as in MMPose not relative
            to ``data_root``. Defaults to ``None``.
        data_mode (str): ``'topdown'``, the only one.
        test_mode (bool): ``False``; without labels there is nothing to test
            on.
        lazy_init (bool): Leave the files unread until they are needed.
            Defaults to ``False``.
        unreadable (str): What an image that cannot be loaded does: ``'skip'``
            takes the next sample instead, ``'error'`` raises an error.
            Defaults to ``'skip'``.
        **kwargs: ``metainfo``, ``data_root``, ``data_prefix``,
            ``filter_cfg``, ``indices``, ``serialize_data``, ``pipeline``,
            ``max_refetch`` and ``sample_interval`` (in a folder, of places
            instead of ids) as in ``BaseCocoStyleDataset``.

    Raises:
        FileNotFoundError: If a file or the image folder is missing.
        ValueError: If no box is left, if a file is not in its format, if
            boxes name images that ``ann_file`` lacks, if ``pipeline`` holds a
            transform that takes joints for labels, or if an argument does not
            fit.
        UnreadableImageError: When a sample is loaded: if its image cannot be
            and ``unreadable='error'``, or if those of 100 files in a row or
            of all samples cannot be.
    """

    METAINFO: dict = CocoDataset.METAINFO

    # given the dummy joints, these would go wrong in silence
    LABEL_TRANSFORMS = (GenerateTarget, RandomHalfBody)

    def __init__(self,
                 ann_file: str = '',
                 bbox_file: str | None = None,
                 data_mode: str = 'topdown',
                 test_mode: bool = False,
                 lazy_init: bool = False,
                 unreadable: str = 'skip',
                 **kwargs):
        if unreadable not in UNREADABLE:
            raise ValueError(f'unreadable must be one of {list(UNREADABLE)}, '
                             f'but it is {unreadable!r}')
        if data_mode != 'topdown':
            raise ValueError('UnlabeledPoseDataset makes top-down samples; '
                             f'data_mode cannot be {data_mode!r}')
        if test_mode:
            raise ValueError(
                'UnlabeledPoseDataset is for training and cannot have '
                'test_mode=True: without labels there is nothing to test on. '
                'Evaluate on a labelled data set, e.g. CocoDataset')
        if bbox_file and not ann_file:
            raise ValueError(
                f'bbox_file {bbox_file} holds boxes by image id. Give an '
                'ann_file too, which says which file an id stands for')
        super().__init__(ann_file=ann_file, lazy_init=True, **kwargs)
        # not handed on: the base class takes detected boxes for testing only
        self.bbox_file = bbox_file
        self.unreadable = unreadable
        self._check_pipeline()
        self.load_image = next(
            (transform for transform in self.pipeline.transforms
             if isinstance(transform, LoadImage)), LoadImage())
        if not lazy_init:
            self.full_init()

    def _check_pipeline(self) -> None:
        transforms = [self.pipeline]
        # wrappers such as RandomApply hold transforms as a pipeline does
        for transform in transforms:
            transforms.extend(getattr(transform, 'transforms', None) or ())
        for transform in transforms:
            name = type(transform).__name__
            if isinstance(transform, self.LABEL_TRANSFORMS):
                raise ValueError(
                    f'{name} in the pipeline of UnlabeledPoseDataset needs '
                    'labelled joints, which unlabelled samples do not have. '
                    'Leave it out')
            if isinstance(transform, PackPoseInputs) and not isinstance(
                    transform, PackSemiSupervisedPoseInputs):
                raise ValueError(
                    f'{name} in the pipeline of UnlabeledPoseDataset does not '
                    'say that a sample is unlabelled. Pack with '
                    'PackSemiSupervisedPoseInputs')

    def load_data_list(self) -> list[dict]:
        """Load the boxes from the files, or find the images in the folder.

        Returns:
            list[dict]: ``img_id``, ``img_path``, ``id``, ``category_id``,
            ``bbox_score`` and, except for whole images, ``bbox`` of each
            sample.
        """
        self._check_image_folder()
        if not self.ann_file:
            data_list = self._load_folder()
        elif self.bbox_file:
            data_list = self._load_detected_boxes()
        else:
            data_list = self._load_annotated_boxes()
        if self.sample_interval == 1:
            return data_list
        kept = [
            data_info for data_info in data_list
            if data_info['img_id'] % self.sample_interval == 0
        ]
        if not kept:
            raise ValueError(
                f'sample_interval={self.sample_interval} leaves none of the '
                f'{len(data_list)} boxes, because it divides the id of none '
                'of their images. Make it smaller')
        return kept

    def filter_data(self) -> list[dict]:
        """Filter by ``filter_cfg`` as stock data sets do.

        Returns:
            list[dict]: The samples whose ``bbox_score`` is at least
            ``filter_cfg['bbox_score_thr']``.
        """
        data_list = super().filter_data()
        if not data_list:
            best = max(info['bbox_score'].item() for info in self.data_list)
            raise ValueError(
                f'filter_cfg {self.filter_cfg} leaves none of the '
                f'{len(self.data_list)} boxes of '
                f'{self.bbox_file or self.ann_file or self.data_prefix["img"]}'
                f', whose highest score is {best:.3g}. Lower bbox_score_thr')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Get a sample before the pipeline.

        Args:
            idx (int): Its index.

        Returns:
            dict: ``bbox`` in shape [1, 4], ``keypoints`` in shape [1, K, 2],
            ``keypoints_visible`` in shape [1, K], ``labeled``, and what
            :meth:`load_data_list` and the stock data sets give. The box of a
            whole image lies as in one that ``LoadImage`` loads by default;
            its size is read from the header of the file on the local disk.
        """
        data_info = self._unlabeled_info(idx)
        if 'bbox' not in data_info:
            data_info['bbox'] = _whole(*loaded_image_size(
                data_info['img_path']))
        return data_info

    @force_full_init
    def prepare_data(self, idx: int):
        """Get a sample, or the next one whose image can be loaded.

        Args:
            idx (int): Its index.

        Returns:
            Any: What the pipeline makes of it.

        Raises:
            UnreadableImageError: If there is none, or ``unreadable`` asks for
                it.
        """
        data_info = self._next_readable(idx)
        # as the stock data sets do, for transforms that mix samples
        data_info['dataset'] = self
        return self.pipeline(data_info)

    def _next_readable(self, idx: int) -> dict:
        passed_over = {}
        for step in range(len(self)):
            # the index itself may be past the end, which ends an iteration
            data_info = self._unlabeled_info(
                (idx + step) % len(self) if step else idx)
            path = data_info['img_path']
            if path in passed_over:
                # another box in the same image
                continue
            try:
                data_info = self._loaded(data_info)
            except UnreadableImageError as error:
                if self.unreadable == 'error':
                    raise UnreadableImageError(
                        f'{error}. Repair or remove it, or set '
                        "unreadable='skip' to take the next image instead"
                    ) from None
                passed_over[path] = error
                if len(passed_over) == MOST_UNREADABLE:
                    break
                continue
            if passed_over:
                data_info['unreadable_images'] = list(passed_over)
            return data_info
        which = (f'None of the {len(passed_over)} images'
                 if len(passed_over) < MOST_UNREADABLE else
                 f'None of {MOST_UNREADABLE} images in a row')
        raise UnreadableImageError(
            f'{which} of UnlabeledPoseDataset can be loaded. The first: '
            f'{next(iter(passed_over.values()))}. Correct '
            "data_prefix['img'], data_root or the files")

    def _loaded(self, data_info: dict) -> dict:
        path = data_info['img_path']
        try:
            loaded = self.load_image(data_info)
        # of a missing file, an empty one, one that is no image
        except (OSError, cv2.error, AssertionError) as error:
            why = ('does not exist' if isinstance(error, FileNotFoundError) else
                   'cannot be loaded: it is empty, cut short, no image or not '
                   f'to be read ({type(error).__name__})')
            raise UnreadableImageError(f'The image {path} {why}') from None
        if loaded is None:  # LoadImage(ignore_empty=True)
            raise UnreadableImageError(f'The image {path} cannot be loaded')
        if 'bbox' not in loaded:
            height, width = loaded['ori_shape']
            loaded['bbox'] = _whole(width, height)
        return loaded

    def _unlabeled_info(self, idx: int) -> dict:
        data_info = super().get_data_info(idx)
        num_keypoints = self._metainfo['num_keypoints']
        data_info['keypoints'] = np.zeros((1, num_keypoints, 2), np.float32)
        data_info['keypoints_visible'] = np.ones((1, num_keypoints),
                                                 np.float32)
        data_info['labeled'] = False
        return data_info

    def _check_image_folder(self) -> None:
        if 'img' not in self.data_prefix:
            raise ValueError("data_prefix needs the key 'img', the folder of "
                             f'the images, but it is {self.data_prefix}')
        folder = self.data_prefix['img']
        if not folder and not self.ann_file:
            raise ValueError(
                'There is nothing to load: give an ann_file, or as '
                "data_prefix['img'] a folder to take every image of")
        if folder and not isdir(folder):
            raise FileNotFoundError(
                f"There is no folder {folder}, which data_prefix['img'] and "
                'data_root name. Correct them')

    def _read(self, path: str, key: str) -> bytes:
        if not exists(path):
            raise FileNotFoundError(
                f'There is no file {path}, which {key} names. Correct {key}' +
                (' or data_root' if key == 'ann_file' else
                 '; it is not relative to data_root'))
        return get(path)

    def _load_folder(self) -> list[dict]:
        paths = sorted(_image_files(self.data_prefix['img']),
                       key=lambda path: PurePath(path).parts)
        if not paths:
            raise ValueError(
                f"There is no image in {self.data_prefix['img']}, which "
                "data_prefix['img'] and data_root name. Files ending in "
                f'{", ".join(IMAGE_SUFFIXES)} are taken')
        return [self._data_info(index, path, index)
                for index, path in enumerate(paths)]

    def _load_annotated_boxes(self) -> list[dict]:
        content = parse_coco(
            self._read(self.ann_file, 'ann_file'), self.ann_file)
        if not content.get('annotations'):
            raise ValueError(
                f'{self.ann_file} has no annotations. Give a bbox_file with '
                'the boxes of a detector too, or leave ann_file out to take '
                "every image in data_prefix['img'] whole")
        people = {
            category['id'] for category in content.get('categories') or ()
            if str(category.get('name')).lower() == 'person'
        }
        data_list = []
        for image, annotation in instances_of(content):
            if annotation.get('iscrowd'):
                continue
            if people and annotation.get('category_id') not in people:
                continue
            box = clip_box(annotation, image, self.ann_file)
            if box is not None:
                data_list.append(self._data_info(
                    image['id'], self._image_path(image), annotation['id'],
                    box, annotation.get('category_id', 1)))
        if not data_list:
            raise ValueError(
                f'None of the {len(content["annotations"])} annotations in '
                f'{self.ann_file} can be used: each is a crowd, has no box '
                'with an area in an image of the file' +
                (", or is not of the category 'person'" if people else ''))
        return data_list

    def _load_detected_boxes(self) -> list[dict]:
        content = parse_coco(
            self._read(self.ann_file, 'ann_file'), self.ann_file)
        images = {image['id']: image for image in content['images']}
        boxes = [box for box in self._read_boxes() if box['category_id'] == 1]

        unknown = [box['image_id'] for box in boxes
                   if box['image_id'] not in images]
        if unknown:
            ids = list(dict.fromkeys(unknown))
            first = ', '.join(map(repr, ids[:5]))
            raise ValueError(
                f'{len(unknown)} of the {len(boxes)} boxes in bbox_file '
                f'{self.bbox_file} are of images that ann_file '
                f'{self.ann_file} does not have, with the ids {first}' +
                (f' and {len(ids) - 5} more' if len(ids) > 5 else '') +
                '. Give the two files of the same images')

        data_list = []
        for index, box in enumerate(boxes):
            x, y, width, height = box['bbox'][:4]
            corners = np.array([x, y, x + width, y + height], np.float32)
            if _has_area(corners):
                image = images[box['image_id']]
                data_list.append(self._data_info(
                    image['id'], self._image_path(image), index,
                    corners[None], score=box['score']))
        if not data_list:
            raise ValueError(
                f'bbox_file {self.bbox_file} has no box with an area and '
                'category_id 1, a person')
        return data_list

    def _read_boxes(self) -> list[dict]:
        boxes = _parse_json(
            self._read(self.bbox_file, 'bbox_file'), self.bbox_file)
        expected = ('a list of dicts with image_id, category_id, bbox (x, y, '
                    "width, height) and score is expected, COCO's format of "
                    'results')
        if not isinstance(boxes, list):
            raise ValueError(f'bbox_file {self.bbox_file} holds a '
                             f'{type(boxes).__name__}; {expected}')
        for index, box in enumerate(boxes):
            if not (isinstance(box, dict) and isinstance(
                    box.get('bbox'), list) and len(box['bbox']) >= 4 and
                    isinstance(box.get('score'), Real)
                    and {'image_id', 'category_id'} <= box.keys()):
                raise ValueError(f'bbox_file {self.bbox_file}: entry {index} '
                                 f'is {str(box)[:80]}; {expected}')
        return boxes

    def _image_path(self, image: dict) -> str:
        return osp.join(self.data_prefix['img'], image['file_name'])

    @staticmethod
    def _data_info(image_id,
                   path: str,
                   sample_id,
                   box: np.ndarray | None = None,
                   category_id: int = 1,
                   score: float = 1.) -> dict:
        data_info = dict(
            img_id=image_id,
            img_path=path,
            id=sample_id,
            category_id=np.array(category_id),
            bbox_score=np.array([score], np.float32))
        if box is not None:
            data_info['bbox'] = box
        return data_info


def _whole(width: int, height: int) -> np.ndarray:
    return np.array([[0, 0, width, height]], np.float32)


def _image_files(folder: str) -> Iterator[str]:
    visited = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        # a link to a folder above would be followed forever
        visited.add(osp.realpath(parent))
        folders[:] = [
            name for name in folders if not name.startswith('.')
            and osp.realpath(osp.join(parent, name)) not in visited
        ]
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != '.':
                yield osp.join(parent, name)
