"""Pinhole cameras whose lens may distort, as in OpenCV."""

import cv2
import numpy as np

from ..compat.opencv import undistort_points

# of each key: how many numbers it has
PARAMETERS = dict(f=2, c=2, k=3, p=2, s=4)
REQUIRED = ('f', 'c')


def camera_parameters(camera: dict) -> dict[str, np.ndarray]:
    """Read the intrinsic parameters of a camera.

    Args:
        camera (dict): ``f``, focal length (fx, fy), and ``c``, principal
            point (cx, cy), in pixels of the image; for a lens that distorts
            ``k``, radial (k1, k2, k3), ``p``, tangential (p1, p2), and ``s``,
            thin prism (s1, s2, s3, s4), as OpenCV defines them. Other keys
            are ignored.

    Returns:
        dict[str, np.ndarray]: Those of the parameters that it has, flat,
        float64.

    Raises:
        ValueError: If a parameter is missing or has another number of values,
            or if a focal length is not above 0.
    """
    missing = [key for key in REQUIRED if camera.get(key) is None]
    if missing:
        raise ValueError(
            f'the camera has no {" and no ".join(map(repr, missing))}: it '
            "needs 'f', the focal length [fx, fy], and 'c', the principal "
            'point [cx, cy], in pixels')
    parameters = {}
    for key, count in PARAMETERS.items():
        if camera.get(key) is None:
            continue
        values = np.asarray(camera[key], np.float64).reshape(-1)
        if len(values) != count or not np.isfinite(values).all():
            raise ValueError(f"the camera's {key!r} must be {count} finite "
                             f'numbers, but it is {camera[key]!r}')
        parameters[key] = values
    if (parameters['f'] <= 0).any():
        raise ValueError("the camera's focal length 'f' must be above 0, but "
                         f"it is {camera['f']!r}")
    return parameters


def camera_matrix(camera: dict) -> np.ndarray:
    """The matrix of a camera.

    Args:
        camera (dict): Parameters of :func:`camera_parameters`.

    Returns:
        np.ndarray: In shape [3, 3], float64.
    """
    (fx, fy), (cx, cy) = camera['f'], camera['c']
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def distortion_coefficients(camera: dict) -> np.ndarray:
    """The distortion of a camera in OpenCV's order.

    Args:
        camera (dict): Parameters of :func:`camera_parameters`.

    Returns:
        np.ndarray: k1, k2, p1, p2, k3, three zeros, s1, s2, s3, s4 in shape
        [12], float64; zeros for a camera without distortion.
    """
    k1, k2, k3 = camera.get('k', np.zeros(3))
    p1, p2 = camera.get('p', np.zeros(2))
    return np.array(
        [k1, k2, p1, p2, k3, 0, 0, 0, *camera.get('s', np.zeros(4))])


def project(points: np.ndarray, camera: dict) -> np.ndarray:
    """Project points in front of a camera onto its image.

    Args:
        points (np.ndarray): In camera space (x right, y down, z away from the
            camera) in any unit, in shape [..., 3].
        camera (dict): Parameters of :func:`camera_parameters`.

    Returns:
        np.ndarray: In pixels, in shape [..., 2], float64.
    """
    pixels, _ = cv2.projectPoints(
        np.asarray(points, np.float64).reshape(-1, 1, 3), np.zeros(3),
        np.zeros(3), camera_matrix(camera), distortion_coefficients(camera))
    return pixels.reshape(*np.shape(points)[:-1], 2)


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
    rays = undistort_points(
        np.asarray(pixels, np.float64).reshape(-1, 1, 2),
        camera_matrix(camera), distortion_coefficients(camera),
        criteria).reshape(np.shape(pixels))
    depths = np.asarray(depths, np.float64)[..., None]
    return np.concatenate([rays * depths, depths], -1)
