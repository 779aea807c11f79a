"""Read persons' crops in place of whole images, and yet give what these give."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, hypot

import cv2
import numpy as np
from mmcv.image import imflip
from mmcv.transforms import BaseTransform
from mmpose.datasets.transforms import LoadImage, TopdownAffine
from mmpose.structures.bbox import get_udp_warp_matrix

from .topdown_resize import TopdownResize

# of a pixel: what rounding may add to a place
TOLERANCE = 1e-3


@dataclass
class Crop:
    """A window of an image, maybe made smaller.

    Args:
        image (np.ndarray): Its pixels, uint8 in shape [h, w, 3], in memory that is
            shared and cannot be written.
        left (int): First column of the window in the image.
        top (int): First row.
        scale (float): Pixels of the crop by pixels of the image, at most 1.
        image_size (tuple[int, int]): Width and height of the whole image.
    """

    image: np.ndarray
    left: int
    top: int
    scale: float
    image_size: tuple[int, int]

    def mirror(self, direction: str | None) -> np.ndarray:
        """From places in the image to those in the flipped one, [3, 3]."""
        mirror = np.eye(3)
        for axis, directions in enumerate((('horizontal', 'diagonal'),
                                           ('vertical', 'diagonal'))):
            if direction in directions:
                mirror[axis, axis] = -1
                mirror[axis, 2] = self.image_size[axis] - 1
        return mirror

    def warp(self, matrix: np.ndarray, size: Sequence[int]) -> np.ndarray | None:
        """A warp of the image, as OpenCV makes it, but from the crop alone.

        Args:
            matrix (np.ndarray): From places in the image to the result, [2, 3].
            size (tuple[int, int]): Width and height of the result.

        Returns:
            np.ndarray: uint8 in shape [h, w, 3]; ``None`` where the crop lacks a pixel
            that the warp reads, or has fewer of them than the result.
        """
        scale = self.scale
        if scale < 1 and magnification(matrix) > scale * (1 + TOLERANCE):
            return None
        left, top, right, bottom = region_read(matrix, size)
        read = []
        for low, high, start, count, whole in (
                (left, right, self.left, self.image.shape[1], self.image_size[0]),
                (top, bottom, self.top, self.image.shape[0], self.image_size[1])):
            # beyond the image there is nothing to read
            low, high = max(low, -1), min(high, whole)
            if low >= high:
                return np.zeros((size[1], size[0], 3), np.uint8)
            low, high = ((place - start + 0.5) * scale - 0.5 for place in (low, high))
            if (low < -TOLERANCE and start > 0 or
                    high > count - 1 + TOLERANCE and start + count / scale < whole):
                return None
            read.append((max(floor(low), 0), floor(high) + 2))

        # OpenCV is to convert no more than what is read
        (first, end), (first_row, end_row) = read
        window = self.image[first_row:end_row, first:end]
        x_moved = self.left + (first + 0.5) / scale - 0.5
        y_moved = self.top + (first_row + 0.5) / scale - 0.5
        (a, b, x), (c, d, y) = matrix.tolist()
        moved = np.array([[a / scale, b / scale, a * x_moved + b * y_moved + x],
                          [c / scale, d / scale, c * x_moved + d * y_moved + y]])
        # OpenCV 5 warps four channels twice as fast as three, with the same values
        warped = cv2.warpAffine(cv2.cvtColor(window, cv2.COLOR_BGR2BGRA), moved,
                                tuple(size), flags=cv2.INTER_LINEAR)
        return cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)


def magnification(matrix: np.ndarray) -> float:
    """By how much an affine map [2, 3] enlarges lengths at most, across or down."""
    (a, b, _), (c, d, _) = matrix.tolist()
    return max(hypot(a, c), hypot(b, d))


def region_read(matrix: np.ndarray, size: Sequence[int]
                ) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what a warp reads of an image.

    Args:
        matrix (np.ndarray): From places in the image to the result, [2, 3].
        size (tuple[int, int]): Width and height of the result.
    """
    (a, b, x), (c, d, y) = matrix.tolist()
    determinant = a * d - b * c
    half_x, half_y = (size[0] - 1) / 2, (size[1] - 1) / 2
    x, y = half_x - x, half_y - y
    center_x, center_y = (d * x - b * y) / determinant, (a * y - c * x) / determinant
    half_x, half_y = ((abs(d) * half_x + abs(b) * half_y) / abs(determinant),
                      (abs(c) * half_x + abs(a) * half_y) / abs(determinant))
    return (center_x - half_x, center_y - half_y, center_x + half_x, center_y + half_y)


class LoadCrop(LoadImage):
    """Takes a person's crop from a store; who has none there is loaded as ever.

    It leaves all coordinates in those of the whole image; so ``img_shape`` and
    ``ori_shape`` are those of the whole image.

    Args:
        store (CropStore): The store.
        **kwargs: As of ``LoadImage``.
    """

    store = None

    def transform(self, results: dict) -> dict | None:
        """Load a crop, or an image."""
        if 'crop' in results:
            return results
        crop = None if 'img' in results else self.store.crop(
            results['sample_idx'], results['img_path'])
        if crop is None:
            return super().transform(results)
        shape = crop.image_size[::-1]
        results.update(img=crop.image, crop=crop, img_shape=shape, ori_shape=shape,
                       load_image=self.load)
        return results

    def load(self, path: str) -> np.ndarray:
        """Load the image that a crop is a window of."""
        return super().transform(dict(img_path=path))['img']


class TopdownResizeOfCrop(TopdownResize):
    """``TopdownResize`` of a crop where it serves, else of the image's file."""

    def warp(self, results: dict, matrix: np.ndarray) -> np.ndarray:
        """The input, by a map that :meth:`matrix` gives."""
        crop = results.pop('crop', None)
        if crop is None:
            return super().warp(results, matrix)
        load_image = results.pop('load_image')
        direction = results.get('flip_direction')
        # not what RandomFlip gives, a view that OpenCV would have to copy
        image = crop.warp(matrix @ crop.mirror(direction) if direction else matrix,
                          self.input_size)
        if image is None:
            whole = load_image(results['img_path'])
            results['img'] = imflip(whole, direction) if direction else whole
            image = super().warp(results, matrix)
        return image


class TopdownAffineOfCrop(TopdownResizeOfCrop):
    """``TopdownAffine``, likewise."""

    def matrix(self, results: dict) -> np.ndarray:
        """The map from places in the image to those in the input, [2, 3]."""
        width, height = self.input_size
        scales = results['bbox_scale']
        enlarged = scales[:, ::-1] * (width / height, height / width)
        results['bbox_scale'] = np.maximum(scales, enlarged).astype(scales.dtype)
        matrix = super().matrix(results)
        if self.use_udp:
            matrix = get_udp_warp_matrix(
                results['bbox_center'][0], results['bbox_scale'][0],
                np.ravel(results.get('bbox_rotation', 0.))[0], (width, height))
        return matrix


AFFINES = {TopdownAffine: TopdownAffineOfCrop, TopdownResize: TopdownResizeOfCrop}


def of_crops(transforms: Sequence[BaseTransform], store) -> list[BaseTransform]:
    """A pipeline's transforms, such that they read crops.

    Args:
        transforms (list): From ``LoadImage`` to a ``TopdownAffine`` or
            ``TopdownResize``, and what follows it.
        store (CropStore): Where crops come from.
    """
    changed = []
    for transform in transforms:
        if type(transform) is LoadImage:
            transform = copy.copy(transform)
            transform.__class__ = LoadCrop
            transform.store = store
        elif type(transform) in AFFINES:
            transform = copy.copy(transform)
            transform.__class__ = AFFINES[type(transform)]
        changed.append(transform)
    return changed
