"""Read the joints of Leeds Sports Pose from its two MATLAB files."""

import numpy as np
from scipy.io import loadmat

from ...common.errors import UserError
from ...common.files import existing_file

JOINTS = ('right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee',
          'left_ankle', 'right_wrist', 'right_elbow', 'right_shoulder',
          'left_shoulder', 'left_elbow', 'left_wrist', 'neck', 'head_top')


def read_joints(path: str,
                extended: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Read ``joints.mat`` of LSP or of LSP-extended.

    The two files differ in their axes and in what their third coordinate
    means: in LSP (3, 14, N) it is 1 where a joint is occluded, in LSP-extended
    (14, 3, N) it is 1 where a joint is annotated. They count pixels from 1, as
    MATLAB does; 1 is subtracted, as MMPose does for MPII and JHMDB.

    Args:
        path (str): The file.
        extended (bool): Whether it is that of LSP-extended.

    Returns:
        tuple[np.ndarray]: x and y in pixels from 0, float64 in shape
        [N, 14, 2], 0 where a joint is not annotated; and visibilities in
        COCO's code, int64 in shape [N, 14]: 0 not annotated, 1 occluded, 2
        annotated and not said to be occluded.

    Raises:
        MissingFile: If there is no such file.
        UserError: If it is not the file expected.
    """
    argument, other, axes = (
        ('extended_ann_file', 'ann_file', (14, 3)) if extended else
        ('ann_file', 'extended_ann_file', (3, 14)))
    existing_file(path, f'file of {argument}')
    expected = (f"a MATLAB file with an array 'joints' in shape {axes[0]} × "
                f'{axes[1]} × N is expected')
    try:
        content = loadmat(path)
    # of a damaged file, scipy raises whatever it stumbles over
    except Exception as error:
        raise UserError(f'{path} cannot be read ({error}); {expected}. '
                        'Download it again') from error
    joints = np.asarray(content.get('joints', []))
    if joints.ndim != 3 or joints.shape[:2] != axes or not joints.size:
        raise UserError(
            f"{path} has 'joints' in shape {joints.shape}; {expected}" +
            (f'. This is the other file: name it by {other}'
             if joints.shape[:2] == axes[::-1] else ''))
    joints = joints.transpose((2, 0, 1) if extended else (2, 1, 0))
    positions, flags = joints[..., :2] - 1., joints[..., 2]
    visibility = np.where(flags == 1, 2 if extended else 1,
                          0 if extended else 2)
    positions = np.where(visibility[..., None] > 0, positions, 0)
    broken = ~np.isfinite(positions).all((1, 2)) | ~np.isin(
        flags, (0, 1)).all(1)
    if broken.any():
        raise UserError(
            f'{path}: joints of {broken.sum()} samples have no finite position '
            f'or a third coordinate other than 0 and 1, first in sample '
            f'{broken.argmax() + 1}')
    return positions, visibility
