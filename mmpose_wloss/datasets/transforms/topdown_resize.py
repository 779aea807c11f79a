import cv2
import numpy as np
from mmpose.datasets.transforms import TopdownAffine
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TopdownResize(TopdownAffine):
    """Stretch the box to the model's input, whatever its aspect ratio.

    It stands where ``TopdownAffine`` stands, which enlarges the box to the
    input's aspect ratio instead; for boxes that have it, the two are the same.
    ``TopdownPoseEstimator`` maps predictions back through a box that this
    transform leaves as it is.

    A rotated box is turned upright and then stretched. As with
    ``TopdownAffine``, predictions are not turned back: rotate for training
    only.

    .. code-block:: python

        # the whole image, resized
        dict(type='GetBBoxCenterScale', padding=1.),
        dict(type='TopdownResize', input_size=(224, 224)),

    Required Keys:

        - img
        - bbox_center
        - bbox_scale
        - bbox_rotation (optional)
        - keypoints (optional)

    Modified Keys:

        - img

    Added Keys:

        - input_size
        - input_center
        - input_scale
        - transformed_keypoints

    Args:
        input_size (tuple[int, int]): Width and height of the model's input in
            pixels.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        super().__init__(input_size)

    def transform(self, results: dict) -> dict:
        """Cut the box out of the image and stretch it.

        Args:
            results (dict): The sample, from the pipeline.

        Returns:
            dict: The sample.

        Raises:
            ValueError: If it has not one box, or one without an area.
        """
        center, scale = self._box(results)
        angle = float(np.ravel(results.get('bbox_rotation', 0.))[0])
        matrix = stretch_matrix(center, scale, angle, self.input_size)
        images = results['img']
        warped = [
            cv2.warpAffine(image, matrix, tuple(self.input_size),
                           flags=cv2.INTER_LINEAR)
            for image in (images if isinstance(images, list) else [images])
        ]
        results['img'] = warped if isinstance(images, list) else warped[0]

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
        results['input_center'] = center
        results['input_scale'] = scale
        return results

    @staticmethod
    def _box(results: dict) -> tuple[np.ndarray, np.ndarray]:
        center, scale = results['bbox_center'], results['bbox_scale']
        if len(center) != 1:
            raise ValueError('TopdownResize takes samples of one box, but '
                             f'{results.get("img_path")} comes with '
                             f'{len(center)}')
        if not (scale > 0).all():
            raise ValueError(
                f'The box of {results.get("img_path")} has the width and '
                f'height {scale[0].tolist()}, which cannot be stretched. '
                'Leave it out of the data set')
        return center[0], scale[0]

    def __repr__(self) -> str:
        """The transform and its parameters."""
        return f'{type(self).__name__}(input_size={self.input_size})'


def stretch_matrix(center: np.ndarray, scale: np.ndarray, angle: float,
                   size: tuple[int, int]) -> np.ndarray:
    """The affine map of a box to an image that it fills.

    Args:
        center (np.ndarray): Centre (x, y) of the box in pixels.
        scale (np.ndarray): Its width and height in pixels.
        angle (float): By which it is rotated about its centre, in degrees, as
            ``bbox_rotation``.
        size (tuple[int, int]): Width and height of the image in pixels.

    Returns:
        np.ndarray: float64 in shape [2, 3]: a point (x, y) is mapped to
        matrix @ (x, y, 1). Pixels are counted as by ``TopdownAffine`` without
        UDP: the box's left top corner is mapped to (0, 0), its right bottom
        corner to ``size``.
    """
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    upright = np.array([[cosine, sine], [-sine, cosine]])
    stretch = np.asarray(size, np.float64) / np.asarray(scale, np.float64)
    linear = stretch[:, None] * upright
    shift = np.asarray(size) / 2 - linear @ np.asarray(center, np.float64)
    return np.column_stack([linear, shift])
