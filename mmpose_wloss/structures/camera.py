"""The way back from pixels into the space in front of a camera."""

import cv2
import numpy as np

from .projection import (
    camera_matrix,
    camera_parameters,
    distortion_coefficients,
)


def back_project(pixels: np.ndarray, depths: np.ndarray,
                 camera: dict) -> np.ndarray:
    """Places in camera space of pixels whose depth is known.

    The inverse of :func:`project`. MMPose's ``SimpleCamera`` leaves the
    distortion of the lens in on this way.

    Args:
        pixels (np.ndarray): Pixels of the image in shape [..., 2].
        depths (np.ndarray): Depths along the optical axis in shape [...].
        camera (dict): As :func:`camera_parameters` takes it.

    Returns:
        np.ndarray: x to the right, y down, z ahead in shape [..., 3], float64
        in the unit of the depths.

    Raises:
        ValueError: If the camera has no ``f`` or ``c``, or malformed ones.
    """
    camera = camera_parameters(camera)
    # a few steps of fixed-point iteration are OpenCV's default, too few for
    # the margins of a wide lens
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-9)
    rays = cv2.undistortPointsIter(
        np.asarray(pixels, np.float64).reshape(-1, 1, 2),
        camera_matrix(camera), distortion_coefficients(camera), None, None,
        criteria).reshape(np.shape(pixels))
    depths = np.asarray(depths, np.float64)[..., None]
    return np.concatenate([rays * depths, depths], -1)
