"""``cv2.undistortPointsIter``, which OpenCV 5 has merged into another function.

It can go when OpenCV 4 is no longer supported.
"""

import cv2
import numpy as np


def undistort_points(pixels: np.ndarray, matrix: np.ndarray,
                     distortion: np.ndarray, criteria: tuple) -> np.ndarray:
    """Pixels without the distortion of the lens, in its normalized plane.

    Args:
        pixels (np.ndarray): In shape [N, 1, 2], float64.
        matrix (np.ndarray): Of the camera, in shape [3, 3].
        distortion (np.ndarray): Its coefficients in OpenCV's order.
        criteria (tuple): When to stop, as OpenCV takes it.

    Returns:
        np.ndarray: x / z and y / z in shape [N, 1, 2], float64.
    """
    if hasattr(cv2, 'undistortPointsIter'):
        return cv2.undistortPointsIter(
            pixels, matrix, distortion, None, None, criteria)
    return cv2.undistortPoints(pixels, matrix, distortion, criteria=criteria)
