"""Pinhole cameras whose lens may distort, as in OpenCV."""

from collections.abc import Mapping

import cv2
import numpy as np

from ..compat.opencv import undistort_points
from .errors import UserError

# how many numbers each parameter has
PARAMETERS = dict(f=2, c=2, k=3, p=2, s=4)


def camera_parameters(camera: Mapping,
                      where: str = 'camera') -> dict[str, np.ndarray]:
    """Read the intrinsic parameters of a camera.

    Args:
        camera (Mapping): ``f``, focal lengths (fx, fy), and ``c``, principal
            point (cx, cy), in pixels of the image; for a lens that distorts
            ``k``, radial (k1, k2, k3), ``p``, tangential (p1, p2), and ``s``,
            thin prism (s1, s2, s3, s4), as OpenCV defines them.
        where (str): Which camera, for the error.

    Returns:
        dict[str, np.ndarray]: The given ones of these, flat, float64.

    Raises:
        UserError: If one is missing or malformed.
    """
    if not isinstance(camera, Mapping) or any(
            camera.get(key) is None for key in 'fc'):
        raise UserError(
            f"{where} must have 'f', the focal lengths [fx, fy], and 'c', the "
            f'principal point [cx, cy], in pixels, but it is {camera!r}')
    parameters = {}
    for key, count in PARAMETERS.items():
        if camera.get(key) is None:
            continue
        try:
            values = np.array(camera[key], np.float64).ravel()
        except (TypeError, ValueError):
            values = np.empty(0)
        if (len(values) != count or not np.isfinite(values).all()
                or (key == 'f' and (values <= 0).any())):
            raise UserError(
                f'{where}: {key!r} must be {count} finite numbers'
                f'{" above 0" if key == "f" else ""}, but it is '
                f'{camera[key]!r}')
        parameters[key] = values
    return parameters


def _opencv(camera: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [3, 3] and distortion [12] as OpenCV takes them."""
    (fx, fy), (cx, cy) = camera['f'], camera['c']
    k1, k2, k3 = camera.get('k', np.zeros(3))
    p1, p2 = camera.get('p', np.zeros(2))
    return (np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), np.array(
        [k1, k2, p1, p2, k3, 0, 0, 0, *camera.get('s', np.zeros(4))]))


def project(points: np.ndarray, camera: Mapping) -> np.ndarray:
    """Project points in front of a camera onto its image.

    Args:
        points (np.ndarray): In camera space (x right, y down, z away from the
            camera) in any unit, in shape [..., 3].
        camera (Mapping): Of :func:`camera_parameters`.

    Returns:
        np.ndarray: Pixels in shape [..., 2], float64.
    """
    pixels, _ = cv2.projectPoints(
        np.asarray(points, np.float64).reshape(-1, 1, 3), np.zeros(3),
        np.zeros(3), *_opencv(camera))
    return pixels.reshape(*np.shape(points)[:-1], 2)


def back_project(pixels: np.ndarray, depths: np.ndarray,
                 camera: Mapping) -> np.ndarray:
    """Places in camera space of pixels whose depth is known.

    The inverse of :func:`project`; MMPose's ``SimpleCamera`` leaves the lens'
    distortion in.

    Args:
        pixels (np.ndarray): Pixels of the image in shape [..., 2].
        depths (np.ndarray): Along the optical axis in shape [...].
        camera (Mapping): As :func:`camera_parameters` takes it.

    Returns:
        np.ndarray: In shape [..., 3], float64, in the unit of the depths.
    """
    # a few steps of fixed-point iteration are OpenCV's default, too few for
    # the margins of a wide lens
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-9)
    rays = undistort_points(
        np.asarray(pixels, np.float64).reshape(-1, 1, 2),
        *_opencv(camera_parameters(camera)), criteria).reshape(pixels.shape)
    depths = np.asarray(depths, np.float64)[..., None]
    return np.concatenate([rays * depths, depths], -1)
