"""Where the origin of a pose is, and what its unit of length is."""

from collections.abc import Sequence

import numpy as np

from ..common.checks import one_of
from ..common.errors import UserError

NORMALIZATIONS = ('image', 'box', 'torso', 'none')
TORSO = ('left_shoulder', 'right_shoulder', 'left_hip', 'right_hip')


class UnusablePoses(UserError):
    """Poses that nothing can be computed from.

    Attributes:
        rows (np.ndarray): Their numbers, from 0.
    """

    def __init__(self, message: str, rows: np.ndarray):
        super().__init__(message)
        self.rows = rows


def torso_indices(joint_names: Sequence[str]) -> list[int]:
    """Indices of shoulders and hips, left before right.

    Raises:
        UserError: If one is missing.
    """
    missing = [name for name in TORSO if name not in joint_names]
    if missing:
        raise UserError(
            f"normalize='torso' needs the joints {', '.join(TORSO)}, but "
            f"{', '.join(missing)} are not among {', '.join(joint_names)}. "
            "Normalize by 'box' or 'image'")
    return [list(joint_names).index(name) for name in TORSO]


def joint_boxes(poses: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The boxes of visible joints, left, top, right, bottom in shape [N, 4].

    Args:
        poses (np.ndarray): In shape [N, K, 2].
        visible (np.ndarray): Which joints are there, bool in shape [N, K]; a
            pose without any has the box 0, 0, 1, 1.
    """
    there = visible[..., None]
    boxes = np.concatenate([np.where(there, poses, np.inf).min(1),
                            np.where(there, poses, -np.inf).max(1)], 1)
    boxes[~visible.any(1)] = (0, 0, 1, 1)
    return boxes


def normalize_poses(poses: np.ndarray, visible: np.ndarray, by: str,
                    boxes: np.ndarray | None = None,
                    image_sizes: np.ndarray | None = None,
                    torso: Sequence[int] | None = None,
                    center: bool = False, least: int = 1
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Move and scale poses.

    Args:
        poses (np.ndarray): In shape [N, K, 2], in pixels.
        visible (np.ndarray): Which joints are there, bool in shape [N, K].
        by (str): ``'image'``: over the image's width and height, origin in
            its corner, as in the original code. ``'box'``: over the box's
            longer side, origin in its center. ``'torso'``: over the longest
            distance between shoulders and hips, which must all be visible,
            origin in their mean. ``'none'``: as they are.
        boxes (np.ndarray, optional): Left, top, right, bottom in pixels, in
            shape [N, 4]; by default those of the visible joints.
        image_sizes (np.ndarray, optional): Width and height in pixels, in
            shape [N, 2], for ``'image'``.
        torso (Sequence[int], optional): :func:`torso_indices`, for ``'torso'``.
        center (bool): Whether the mean of the visible joints is the origin.
        least (int): How many joints of a pose must be visible.

    Returns:
        tuple[np.ndarray]: Poses, float64 in shape [N, K, 2], 0 where not
        visible, and which have enough joints and a torso, bool in shape [N].

    Raises:
        UserError: If something needed is missing, or an extent is 0.
    """
    one_of(NORMALIZATIONS, normalize=by)
    poses = np.where(visible[..., None], poses, 0).astype(np.float64)
    fit = visible.sum(1) >= least
    origin = np.zeros((len(poses), 2))
    if by == 'image':
        if image_sizes is None:
            raise UserError("normalize='image' needs image_sizes")
        scale = np.asarray(image_sizes, np.float64)
    elif by == 'box':
        boxes = np.asarray(joint_boxes(poses, visible) if boxes is None else
                           boxes, np.float64)
        scale = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
        origin = (boxes[:, :2] + boxes[:, 2:]) / 2
    elif by == 'torso':
        if torso is None:
            raise UserError("normalize='torso' needs the joints' names")
        corners = poses[:, torso]
        scale = np.linalg.norm(corners[:, :, None] - corners[:, None],
                               axis=-1).max((1, 2))[:, None]
        origin = corners.mean(1)
        fit &= visible[:, torso].all(1) & (scale[:, 0] > 0)
    else:
        scale = np.ones((len(poses), 1))
    scale = np.where(fit[:, None], scale, 1)
    flat = np.flatnonzero(~(scale > 0).all(1))
    if len(flat):
        raise UnusablePoses(
            f'the {by} of {len(flat)} of {len(poses)} poses has no extent, '
            f'the first is number {flat[0]}: its joints may all lie at one '
            'point. Correct or remove these annotations', flat)
    poses = (poses - origin[:, None]) / scale[:, None]
    if center:
        count = visible.sum(1).clip(1)[:, None]
        poses -= ((poses * visible[..., None]).sum(1) / count)[:, None]
    return poses * visible[..., None], fit


def mirror_poses(poses: np.ndarray, visible: np.ndarray,
                 flip_indices: Sequence[int], by: str, center: bool
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Mirror normalized poses, and what is visible of them, left to right.

    Args:
        poses (np.ndarray): As :func:`normalize_poses` returns them.
        visible (np.ndarray): Which joints are there, bool in shape [N, K].
        flip_indices (Sequence[int]): For each joint the one of the other side.
        by (str): What they were normalized by: an image is mirrored at its
            middle, anything else at the origin.
        center (bool): Whether the poses were moved to their mean.
    """
    visible = visible[:, list(flip_indices)]
    poses = poses[:, list(flip_indices)] * [-1, 1]
    if by == 'image' and not center:
        poses = poses + [1, 0]
    return poses * visible[..., None], visible
