from math import cos, radians, sin

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.datasets.transforms import TopdownAffine
from mmpose.registry import TRANSFORMS

from ...common.errors import UserError


@TRANSFORMS.register_module()
class TopdownResize(TopdownAffine):
    """Stretch the box to the model's input, whatever its aspect ratio.

    It stands where ``TopdownAffine`` stands, which enlarges the box to the
    input's aspect ratio instead; for boxes that have it, the two are the same.
    A rotated box is turned upright and then stretched. As with
    ``TopdownAffine``, predictions are not turned back: rotate for training
    only.

    Args:
        input_size (tuple[int, int]): Width and height of the input in pixels.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        super().__init__(input_size)

    def transform(self, results: dict) -> dict:
        """Cut the box out of the image and stretch it.

        Raises:
            UserError: If it has not one box, or one without an area.
        """
        matrix = self.matrix(results)
        results['img'] = self.warp(results, matrix)
        if results.get('keypoints') is not None:
            # a transform before may have added a third coordinate
            given = results.get('transformed_keypoints')
            moved = np.array(results['keypoints'] if given is None else given)
            moved[..., :2] = cv2.transform(
                results['keypoints'][..., :2], matrix)
            results['transformed_keypoints'] = moved
        else:
            # what TopdownAffine gives at inference, for PackPoseInputs
            results['transformed_keypoints'] = np.zeros([])
            results['keypoints_visible'] = np.ones((1, 1, 1))
        results['input_size'] = tuple(self.input_size)
        results['input_center'] = results['bbox_center'][0]
        results['input_scale'] = results['bbox_scale'][0]
        return results

    def matrix(self, results: dict) -> np.ndarray:
        """The map from places in the image to those in the input, [2, 3]."""
        centers, scales = results['bbox_center'], results['bbox_scale']
        if len(centers) != 1 or not (scales > 0).all():
            raise UserError(
                f'{type(self).__name__} takes samples of one box with an area, but '
                f'{results.get("img_path")} has boxes of the sizes '
                f'{scales.tolist()}. Leave it out of the data set')
        angle = float(np.ravel(results.get('bbox_rotation', 0.))[0])
        return stretch_matrix(centers[0], scales[0], angle, self.input_size)

    def warp(self, results: dict, matrix: np.ndarray) -> np.ndarray:
        """The input, by a map that :meth:`matrix` gives."""
        return cv2.warpAffine(results['img'], matrix, tuple(self.input_size),
                              flags=cv2.INTER_LINEAR)


def stretch_matrix(center: np.ndarray, scale: np.ndarray, angle: float,
                   size: tuple[int, int]) -> np.ndarray:
    """The affine map [2, 3] of a box, rotated by degrees, to a whole image."""
    # of six numbers, Python computes sooner than NumPy
    x, y = center.tolist()
    across, down = size[0] / float(scale[0]), size[1] / float(scale[1])
    cosine, sine = cos(radians(angle)), sin(radians(angle))
    a, b, c, d = across * cosine, across * sine, -down * sine, down * cosine
    return np.array([[a, b, size[0] / 2 - a * x - b * y],
                     [c, d, size[1] / 2 - c * x - d * y]])


@TRANSFORMS.register_module()
class WholeImageBox(BaseTransform):
    """Take the whole image for the person's box.

    It stands where ``GetBBoxCenterScale`` stands. Before ``TopdownResize``,
    the image is squeezed to the model's input, whatever its aspect ratio;
    before ``TopdownAffine``, it is padded. Either way the network has to find
    the person, which it can where there is only one.
    """

    def transform(self, results: dict) -> dict:
        """Set ``bbox_center`` and ``bbox_scale``; ``bbox`` stays the person's.
        """
        height, width = results['img'].shape[:2]
        results['bbox_scale'] = np.array([[width, height]], np.float32)
        results['bbox_center'] = results['bbox_scale'] / 2
        return results

    def __repr__(self) -> str:
        """The transform."""
        return f'{type(self).__name__}()'
