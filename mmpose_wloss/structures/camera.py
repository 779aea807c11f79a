"""Pinhole cameras as data sets of 3D poses describe them."""

from collections.abc import Mapping

import cv2
import numpy as np


def back_project(pixels: np.ndarray, depths: np.ndarray,
                 camera: Mapping[str, np.ndarray]) -> np.ndarray:
    """Places in camera space of pixels whose depth is known.

    The inverse of ``SimpleCamera.camera_to_pixel`` of MMPose, whose
    ``pixel_to_camera`` leaves the distortion of the lens in.

    Args:
        pixels (np.ndarray): Pixels of the image in shape [..., 2].
        depths (np.ndarray): Depths along the optical axis in shape [...].
        camera (Mapping): ``f`` and ``c``, focal lengths and principal point
            in pixels, two each; optional ``k``, up to three radial, and ``p``,
            two tangential coefficients of distortion.

    Returns:
        np.ndarray: x to the right, y down, z ahead in shape [..., 3], float64
        in the unit of the depths.

    Raises:
        KeyError: If the camera has no ``f`` or ``c``.
    """
    missing = {'f', 'c'} - set(camera)
    if missing:
        raise KeyError(
            f'the camera has no {" and no ".join(sorted(missing))}: focal '
            'lengths (f) and principal point (c) in pixels are needed, it has '
            f'{sorted(camera)}')
    (fx, fy), (cx, cy) = (np.asarray(camera[key], np.float64).ravel()
                          for key in 'fc')
    rays = (np.asarray(pixels, np.float64) - (cx, cy)) / (fx, fy)
    if 'k' in camera:
        k = np.zeros(3)
        k[:np.size(camera['k'])] = np.ravel(camera['k'])
        p = np.ravel(camera.get('p', (0., 0.)))
        # a few steps of fixed-point iteration are OpenCV's default, too few
        # for the margins of a wide lens
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-9)
        rays = cv2.undistortPointsIter(
            rays.reshape(-1, 1, 2), np.eye(3), (*k[:2], *p, k[2]), None, None,
            criteria).reshape(rays.shape)
    depths = np.asarray(depths, np.float64)[..., None]
    return np.concatenate([rays * depths, depths], -1)
