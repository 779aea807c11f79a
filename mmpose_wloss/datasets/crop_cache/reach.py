"""How far around a person a pipeline looks, and how closely."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmpose.datasets.transforms import (
    GetBBoxCenterScale,
    KeypointConverter,
    RandomBBoxTransform,
    RandomFlip,
    RandomHalfBody,
)

from ...common.errors import UserError
from ..image_size import loaded_image_size
from ..transforms.bbox_transforms import ClippedBBoxTransform, UniformBBoxTransform
from ..transforms.crops import (
    LoadCrop,
    TopdownResizeOfCrop,
    magnification,
    of_crops,
    region_read,
)
from ..transforms.quick_transforms import QuickRandomBBoxTransform, QuickRandomFlip

# they change boxes and joints alone; a flip is made up for
FLIPS = (RandomFlip, QuickRandomFlip)
LEAVE_PIXELS = (*FLIPS, LoadCrop, GetBBoxCenterScale, KeypointConverter,
                RandomBBoxTransform, QuickRandomBBoxTransform, RandomHalfBody,
                ClippedBBoxTransform, UniformBBoxTransform)
PEOPLE, DRAWS = 256, 16
# of width, height and zoom each
SHARE_SERVED = 0.997
# in which the figures are rounded up, so that names of files are short
STEPS = 16


@dataclass(frozen=True)
class Reach:
    """What a pipeline reads of an image, around a person's box.

    Lengths are in units of the height of the box, after it was enlarged to the
    aspect ratio of the input.

    Args:
        input_size (tuple[int, int]): Width and height of the input in pixels.
        width (float): How far it looks to the left and right of the box's center.
        height (float): How far it looks up and down.
        zoom (float): The largest magnification; 1: the box fills the input.
    """

    input_size: tuple[int, int]
    width: float
    height: float
    zoom: float

    def __str__(self) -> str:
        width, height = self.input_size
        return (f'{width}x{height}_reach{self.width:g}x{self.height:g}'
                f'_zoom{self.zoom:g}')

    def units(self, boxes: np.ndarray) -> np.ndarray:
        """The unit of each of the boxes [N, 4], in pixels, [N]."""
        width, height = self.input_size
        sides = boxes[:, 2:] - boxes[:, :2]
        return np.maximum(sides[:, 0] * height / width, sides[:, 1])


def reach_of(dataset: BaseDataset, box_transforms: Sequence[str] = ()) -> Reach:
    """Find out how far a data set's pipeline looks: it is drawn some thousand times.

    What is drawn does not depend on the state of the random numbers, nor change it.

    Args:
        dataset (BaseDataset): Of top-down samples, with boxes.
        box_transforms (Sequence[str]): Further transforms that change boxes and
            joints, but no pixels.

    Raises:
        UserError: If it does not warp images top-down, or if a transform before
            the warp may change pixels.
    """
    before, affine = _until_warp(dataset, box_transforms)
    width, height = affine.input_size
    unit = Reach((int(width), int(height)), 0, 0, 0)
    drawn = []
    with _own_randomness():
        for index in np.unique(np.linspace(0, len(dataset) - 1, PEOPLE).astype(int)):
            try:
                drawn += _draw(dataset.get_data_info(int(index)), before, affine, unit)
            # the data set says what is wrong when it loads the image
            except OSError:
                continue
    if not drawn:
        raise UserError(f'none of {PEOPLE} images of {type(dataset).__name__} can be '
                        f'read, e.g. {dataset.get_data_info(0)["img_path"]}')
    rounded = np.ceil(np.quantile(drawn, SHARE_SERVED, axis=0) * STEPS) / STEPS
    return Reach(unit.input_size, *rounded.tolist())


def _until_warp(dataset: BaseDataset, box_transforms: Sequence[str]
                ) -> tuple[list[BaseTransform], TopdownResizeOfCrop]:
    name = type(dataset).__name__
    transforms = of_crops(dataset.pipeline.transforms, None)
    warps = [isinstance(one, TopdownResizeOfCrop) for one in transforms]
    if not any(warps):
        raise UserError(
            f'the pipeline of {name} has no TopdownAffine or TopdownResize by which to '
            'know what to cache. Give the cache to the data set whose pipeline has it')
    before = transforms[:warps.index(True)]
    if sum(type(one) in FLIPS for one in before) > 1:
        raise UserError(f'the pipeline of {name} has several RandomFlips before the '
                        'warp, of which samples tell the last alone: give one, with '
                        'several directions')
    for transform in before:
        if not (type(transform) in LEAVE_PIXELS or
                type(transform).__name__ in box_transforms):
            raise UserError(
                f'{type(transform).__name__} in the pipeline of {name} may change '
                'pixels before the crop is warped to the input, so crops cannot be '
                'cached. Put it after TopdownAffine, or if it changes boxes and joints '
                'alone, name it in box_transforms')
    return [one for one in before if type(one) not in (LoadCrop, *FLIPS)
            ], transforms[len(before)]


def _draw(sample: dict, before: Sequence[BaseTransform], affine: TopdownResizeOfCrop,
          reach: Reach) -> Iterator[tuple[float, float, float]]:
    width, height = loaded_image_size(sample['img_path'])
    sample['img_shape'] = height, width
    box = sample['bbox'][0]
    center, unit = (box[:2] + box[2:]) / 2, reach.units(box[None])[0]
    for _ in range(DRAWS):
        results = dict(sample)
        for transform in before:
            results = transform(results)
        matrix = affine.matrix(results)
        region = np.array(region_read(matrix, affine.input_size))
        # beyond the image there is nothing to read
        low = np.maximum(region[:2], 0)
        high = np.minimum(region[2:], (width - 1, height - 1))
        yield (*np.maximum(np.maximum(center - low, high - center), 0) / unit,
               magnification(matrix) * unit / reach.input_size[1])


@contextmanager
def _own_randomness() -> Iterator[None]:
    states = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
