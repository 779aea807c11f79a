"""What the samples of data sets with images and 3D poses have in common."""

from collections.abc import Sequence

import numpy as np

from ...common.camera import project
from ...common.errors import UserError

# the median distance of people's joints from the root is shorter in meters, and longer
# in millimeters
METERS, MILLIMETERS = 10, 100
# how far projected joints may be off: pixels, and part of the box
PIXELS, PART_OF_BOX = 5, 0.05
# an error names so many samples
NAMED = 5


def pose3d_fields(keypoints: np.ndarray, keypoints_3d: np.ndarray,
                  root_joints: Sequence[int]) -> dict[str, np.ndarray]:
    """The fields of samples that hold their 3D poses.

    A pose whose root is not annotated in 3D has no 3D.

    Args:
        keypoints (np.ndarray): In pixels, in shape [N, K, 2].
        keypoints_3d (np.ndarray): In camera space in mm or NaN, [N, K, 3].
        root_joints (Sequence[int]): The joints whose mean is the root.

    Returns:
        dict[str, np.ndarray]:

        - keypoints [N, K, 3], float32: u, v in pixels and the depth relative
          to the root in mm, positive away from the camera, NaN where it is not
          annotated
        - lifting_target [N, K, 3], float32: relative to the root in mm, 0
          where it is not annotated
        - lifting_target_visible [N, K], float32: annotated in 3D
        - root_depth [N], float64: in mm, NaN without 3D
    """
    root = keypoints_3d[:, list(root_joints)].mean(1, keepdims=True)
    relative = keypoints_3d - root
    annotated = np.isfinite(relative).all(-1, keepdims=True)
    depth = np.where(annotated, relative[..., 2:], np.nan)
    return dict(
        keypoints=np.concatenate([keypoints, depth], -1).astype(np.float32),
        lifting_target=np.where(annotated, relative, 0).astype(np.float32),
        lifting_target_visible=annotated[..., 0].astype(np.float32),
        root_depth=root[:, 0, 2])


def millimeters_per_unit(lifting_target: np.ndarray, visible: np.ndarray) -> int:
    """Factor to mm of people's poses [..., 3] relative to their root, by their size.

    1000 from meters, 10 from what is closer to centimeters.
    """
    distances = np.linalg.norm(lifting_target[visible > 0], axis=-1)
    # the root itself says nothing
    distance = np.median(distances[distances > 0])
    return 1000 if distance < METERS else 10 if distance <= MILLIMETERS else 1


def projection_errors(keypoints: np.ndarray, visible: np.ndarray,
                      keypoints_3d: np.ndarray, camera: dict) -> np.ndarray:
    """How far projected poses [N, K, 3] are from their 2D joints [N, K, 2].

    The medians over the joints that are visible [N, K] and not NaN, in pixels
    in shape [N]; infinite for joints behind the camera.
    """
    known = np.isfinite(keypoints_3d).all(-1)
    points = np.where(known[..., None], keypoints_3d, 1.)
    behind = (points[..., 2] <= 0).any(1)
    points[behind] = 1.
    compared = known & (visible > 0)
    distances = np.linalg.norm(project(points, camera) - keypoints, axis=-1)
    distances = np.sort(np.where(compared, distances, np.inf), axis=1)
    counts = compared.sum(1)
    medians = distances[np.arange(len(counts)), np.maximum(counts - 1, 0) // 2]
    return np.where(behind, np.inf, np.where(counts > 0, medians, 0.))


def check_projections(errors: np.ndarray, boxes: np.ndarray,
                      names: Sequence[str], file: str) -> None:
    """Check that no pose is off by more than 5 pixels and 5 % of its box.

    Of N samples these are errors [N] as of :func:`projection_errors`, boxes
    [N, 4] (left, top, right, bottom) and names; a file is where they are from.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
    wrong = [
        f'{names[index]} ' + ('with joints behind the camera' if np.isinf(
            errors[index]) else f'by {errors[index]:.0f} px')
        for index in np.flatnonzero(
            errors > np.maximum(PIXELS, PART_OF_BOX * sides))]
    if wrong:
        raise UserError(
            f'{file}: {len(wrong)} of {len(errors)} 3D poses, projected by '
            f'their cameras, miss their 2D joints: {first(wrong)}. 3D joints '
            'must be in camera space (x right, y down, z away from the camera) '
            "and in the order of the 2D joints; the camera's parameters must "
            'be those of the image at its size, in pixels, as OpenCV has them')


def first(words: Sequence) -> str:
    """The first of some things, for an error that names them."""
    more = ', …' if len(words) > NAMED else ''
    return ', '.join(map(str, words[:NAMED])) + more
