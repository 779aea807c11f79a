"""Where the origin of a pose is, and what its unit of length is."""

from collections.abc import Sequence

import numpy as np

NORMALIZATIONS = ('image', 'box', 'torso', 'none')
TORSO = ('left_shoulder', 'right_shoulder', 'left_hip', 'right_hip')


class UnusablePoses(ValueError):
    """Poses that nothing can be computed from.

    Attributes:
        rows (np.ndarray): Their numbers, from 0.
    """

    def __init__(self, message: str, rows: np.ndarray):
        super().__init__(message)
        self.rows = rows


def torso_indices(joint_names: Sequence[str]) -> list[int]:
    """Indices of shoulders and hips, left before right.

    Args:
        joint_names (Sequence[str]): Names of the joints.

    Returns:
        list[int]: Four indices.

    Raises:
        ValueError: If one is missing.
    """
    missing = [name for name in TORSO if name not in joint_names]
    if missing:
        raise ValueError(
            f"normalize='torso' needs the joints {', '.join(TORSO)}, but "
            f"{', '.join(missing)} are not among {', '.join(joint_names)}. "
            "Normalise by 'box' or 'image'")
    return [list(joint_names).index(name) for name in TORSO]


def _joint_boxes(poses: np.ndarray, visible: np.ndarray) -> np.ndarray:
    hidden = ~visible[..., None]
    with np.errstate(invalid='ignore'):
        low = np.where(hidden, np.inf, poses).min(1)
        high = np.where(hidden, -np.inf, poses).max(1)
    boxes = np.concatenate([low, high], 1)
    boxes[~visible.any(1)] = (0, 0, 1, 1)  # nothing in it to be moved
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
            its corner, as in the source. ``'box'``: over the longer side of
            the box, origin in its center. ``'torso'``: over the longest of
            the distances between shoulders and hips, origin in their mean;
            all four must be visible. ``'none'``: as they are.
        boxes (np.ndarray, optional): Left, top, right, bottom in pixels, in
            shape [N, 4]. Defaults to ``None``: those of the visible joints.
        image_sizes (np.ndarray, optional): Width and height in pixels, in
            shape [N, 2]. Needed for ``'image'``.
        torso (Sequence[int], optional): :func:`torso_indices`. Needed for
            ``'torso'``.
        center (bool): Whether to move the mean of the visible joints to the
            origin instead. Defaults to ``False``.
        least (int): How many joints of a pose must be visible. Defaults to 1.

    Returns:
        tuple[np.ndarray]:

        - poses, float64 in shape [N, K, 2]; what is not visible is 0
        - which poses could be normalised, bool in shape [N]: not those
          with too few joints or without a torso

    Raises:
        ValueError: If something needed is not given, or a box or an image has
            no extent.
    """
    if by not in NORMALIZATIONS:
        raise ValueError(f'normalize must be one of {NORMALIZATIONS}, but it '
                         f'is {by!r}')
    poses = np.where(visible[..., None], poses, 0).astype(np.float64)
    fit = visible.sum(1) >= least
    if by == 'image':
        if image_sizes is None:
            raise ValueError("normalize='image' needs image_sizes")
        scale = np.asarray(image_sizes, np.float64)
        origin = np.zeros_like(scale)
    elif by == 'box':
        if boxes is None:
            boxes = _joint_boxes(poses, visible)
        boxes = np.asarray(boxes, np.float64)
        scale = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
        origin = (boxes[:, :2] + boxes[:, 2:]) / 2
    elif by == 'torso':
        if torso is None:
            raise ValueError("normalize='torso' needs the joints' names")
        corners = poses[:, list(torso)]
        distances = np.linalg.norm(corners[:, :, None] - corners[:, None],
                                   axis=-1)
        scale = distances.max((1, 2))[:, None]
        origin = corners.mean(1)
        fit &= visible[:, list(torso)].all(1) & (scale[:, 0] > 0)
    else:
        scale = np.ones((len(poses), 1))
        origin = np.zeros((len(poses), 2))
    scale = np.where(fit[:, None], scale, 1)
    flat = np.flatnonzero(~(scale > 0).all(1))
    if len(flat):
        what = {'image': 'an image', 'box': 'a box'}[by]
        raise UnusablePoses(
            f'{len(flat)} of {len(poses)} poses have {what} without extent, '
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
    """Mirror normalised poses left to right.

    Args:
        poses (np.ndarray): As :func:`normalize_poses` returns them.
        visible (np.ndarray): Which joints are there, bool in shape [N, K].
        flip_indices (Sequence[int]): For each joint the one of the other side.
        by (str): What they were normalised by: an image is mirrored at its
            middle, anything else at the origin.
        center (bool): Whether the poses were moved to their mean.

    Returns:
        tuple[np.ndarray]: Mirrored poses, and which of their joints are there.
    """
    visible = visible[:, list(flip_indices)]
    poses = poses[:, list(flip_indices)] * [-1, 1]
    if by == 'image' and not center:
        poses = poses + [1, 0]
    return poses * visible[..., None], visible
