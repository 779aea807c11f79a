"""Which window of its image each person's crop is, and how large."""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from ..image_size import loaded_image_size
from .reach import Reach
from .store import ENTRY, IN_FILE, TO_DO, digest_of_name

# a pixel of a crop stands for as many pixels of the image, across and down
MOST_PIXELS = 64


def records(dataset: BaseDataset) -> tuple[list[str], np.ndarray]:
    """The image and the box of each person of a data set.

    Returns:
        tuple: Paths, and boxes in pixels, float32 in shape [N, 4]: left, top, right,
        bottom; NaN where it is the whole image.
    """
    paths, boxes = [], np.full((len(dataset), 4), np.nan, np.float32)
    for index in range(len(dataset)):
        # some data sets read a file to complete this
        record = BaseDataset.get_data_info(dataset, index)
        if 'img_path' not in record:
            record = dataset.get_data_info(index)
        paths.append(record['img_path'])
        if 'bbox' in record:
            boxes[index] = record['bbox']
    return paths, boxes


def plan(paths: Sequence[str], root: str, boxes: np.ndarray, reach: Reach,
         budget: float | None, progress: Callable = iter) -> np.ndarray:
    """The index of a store whose crops are to be made.

    A crop has the part of the image that the pipeline reads, in at least as many pixels
    as it looks at: those of the image, or half as many across and down, or a quarter, …

    Args:
        paths (list[str]): Of the images, [N].
        root (str): What they all begin with.
        boxes (np.ndarray): Of the people, as :func:`records` has them.
        reach (Reach): What the pipeline reads.
        budget (float, optional): Bytes for all pixels. Every person is drawn equally
            often, so the smallest crops go first, which serves most people.
        progress (Callable): Shows how far an iteration is.

    Returns:
        np.ndarray: Of the type ``ENTRY`` in shape [N].
    """
    sizes = {path: _size(path) for path in progress(list(dict.fromkeys(paths)))}
    entries = np.zeros(len(paths), ENTRY)
    image = np.array([sizes[path] for path in paths], np.int64).reshape(-1, 2)
    boxes = np.where(np.isnan(boxes), np.pad(image, ((0, 0), (2, 0))), boxes)
    units = reach.units(boxes)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = units[:, None] * (reach.width, reach.height)
    spare = np.maximum(units, 1) / (reach.zoom * reach.input_size[1])
    pixels = 2 ** np.floor(np.log2(np.clip(spare, 1, MOST_PIXELS)))[:, None]
    # between two pixels of a crop, both are read
    low = np.clip(np.floor(center - side - pixels), 0, image)
    high = np.clip(np.ceil(center + side + pixels) + 1, 0, image)
    # of whole pixels, up to the border of the image or beyond it
    sides = np.ceil((high - low) / pixels)
    low = np.maximum(np.minimum(low, image - sides * pixels), 0)

    entries['width'], entries['height'] = sides.astype(int).T
    entries['left'], entries['top'] = low.astype(int).T
    entries['scale'] = 1 / pixels[:, 0]
    entries['image_width'], entries['image_height'] = image.T
    entries['name'] = [digest_of_name(path, root) for path in paths]
    areas = entries['width'].astype(np.int64) * entries['height']
    order = np.argsort(areas, kind='stable')
    within = np.empty(len(paths), bool)
    within[order] = 3 * np.cumsum(areas[order]) <= (
        np.inf if budget is None else budget)
    entries['state'] = np.where(within & (areas > 0), TO_DO, IN_FILE)
    return entries


def _size(path: str) -> tuple[int, int]:
    try:
        return loaded_image_size(path)
    except OSError:
        # the data set says what is wrong when it loads the image
        return 0, 0
