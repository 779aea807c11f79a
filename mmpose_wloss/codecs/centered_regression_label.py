import numpy as np
from mmpose.codecs import RegressionLabel
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module()
class CenteredRegressionLabel(RegressionLabel):
    r"""Keypoint coordinates from -1 to 1, with 0 at the image's centre.

    .. math:: y = 2 x / s - 1

    for a coordinate x in pixels along a side of s pixels. ``RegressionLabel``
    scales to [0, 1]; all else, which joints get a weight included, is as
    there.

    To average over the flipped image (``flip_test``), the stock
    ``RegressionHead`` takes :math:`1 - y` for the mirrored coordinate, which
    is right in [0, 1] only. Use :class:`CenteredRegressionHead` for it;
    ``tools/train.py`` and ``tools/test.py`` refuse the stock head with
    ``flip_test``.

    Args:
        input_size (tuple[int, int]): Width and height of the model's input in
            pixels.
    """

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: np.ndarray | None = None) -> dict:
        """Encode coordinates of the model's input.

        Args:
            keypoints (np.ndarray): Coordinates in pixels in shape [N, K, 2].
            keypoints_visible (np.ndarray, optional): Visibilities in shape
                [N, K]. Defaults to ``None``: all visible.

        Returns:
            dict: ``keypoint_labels`` in shape [N, K, 2], from -1 to 1 within
            the input, and ``keypoint_weights`` in shape [N, K], float32.
        """
        encoded = super().encode(keypoints, keypoints_visible)
        encoded['keypoint_labels'] = 2 * encoded['keypoint_labels'] - 1
        return encoded

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode a model's output.

        Args:
            encoded (np.ndarray): Coordinates in shape [N, K, 2], or [N, K, 4]
                with their standard deviations, in the units of the labels.

        Returns:
            tuple[np.ndarray]:

            - keypoints: coordinates in pixels of the input in shape [N, K, 2]
            - scores: in shape [N, K], 1 without deviations
        """
        unit = encoded / 2
        unit[..., :2] += 0.5
        return super().decode(unit)
