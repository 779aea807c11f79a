"""Read the joints of Leeds Sports Pose from its two MATLAB files."""

from io import BytesIO

import numpy as np
from mmengine.fileio import exists, get
from scipy.io import loadmat

JOINTS = ('right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee',
          'left_ankle', 'right_wrist', 'right_elbow', 'right_shoulder',
          'left_shoulder', 'left_elbow', 'left_wrist', 'neck', 'head_top')


def read_joints(path: str,
                extended: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Read ``joints.mat`` of LSP or of LSP-extended.

    The two files differ in their axes and in what their third coordinate
    means: in LSP (3, 14, N) it is 1 where a joint is occluded, in LSP-extended
    (14, 3, N) it is 1 where a joint is annotated. An occluded joint of LSP has
    a position like every other; what stands in the place of a joint that
    LSP-extended lacks is none.

    The files count pixels from 1, as MATLAB does. 1 is subtracted, as MMPose
    does for MPII and JHMDB.

    Args:
        path (str): The file.
        extended (bool): Whether it is that of LSP-extended. Defaults to
            ``False``.

    Returns:
        tuple[np.ndarray]:

        - positions: x and y in pixels, counted from 0, float64 in shape
          [N, 14, 2]; 0 where a joint is not annotated
        - visibility: int64 in shape [N, 14] in COCO's code: 0 not annotated,
          1 occluded, 2 annotated and not said to be occluded

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not the file expected.
    """
    what = 'LSP-extended' if extended else 'LSP'
    argument = 'extended_ann_file' if extended else 'ann_file'
    if not exists(path):
        raise FileNotFoundError(
            f'There is no file {path}, the joints of {what}. Correct '
            f'{argument} or data_root')
    expected = (f"a MATLAB file with an array 'joints' in shape "
                f'{"(14, 3, N)" if extended else "(3, 14, N)"} is expected, '
                f'the joints.mat of {what}')
    try:
        content = loadmat(BytesIO(get(path)))
    # of a damaged file, scipy raises whatever it stumbles over
    except Exception as error:
        raise ValueError(f'{path} cannot be read ({error}); {expected}. '
                         'Download it again') from error
    joints = content.get('joints')
    if joints is None:
        names = [name for name in content if not name.startswith('__')]
        raise ValueError(f'{path} holds {names}; {expected}')
    axes = (14, 3) if extended else (3, 14)
    if joints.ndim != 3 or joints.shape[:2] != axes or not joints.shape[2]:
        other = ('ann_file' if extended else 'extended_ann_file')
        raise ValueError(
            f"{path} has 'joints' in shape {joints.shape}; {expected}" +
            (f'. This is the other file: name it by {other}'
             if joints.ndim == 3 and joints.shape[:2] == axes[::-1] else ''))
    joints = joints.transpose((2, 0, 1) if extended else (2, 1, 0))
    return _parse(joints.astype(np.float64), path, extended)


def _parse(joints: np.ndarray, path: str,
           extended: bool) -> tuple[np.ndarray, np.ndarray]:
    positions, flags = joints[..., :2] - 1, joints[..., 2]
    if not np.isin(flags, (0, 1)).all():
        found = np.setdiff1d(flags, (0, 1))[0]
        raise ValueError(f'{path}: the third coordinate of a joint is 0 or 1, '
                         f'but there is a {found:g}')
    visibility = np.where(flags == 1, 2 if extended else 1,
                          0 if extended else 2)
    positions = np.where(visibility[..., None] > 0, positions, 0)
    broken = ~np.isfinite(positions).all(axis=(1, 2))
    if broken.any():
        raise ValueError(
            f'{path}: annotated joints of {broken.sum()} samples have no '
            f'finite position, first in sample {broken.argmax() + 1}')
    return positions, visibility
