"""Whether rows of a study come from the same data, on whatever machine.

Digests of files do not tell: a number rounded otherwise makes another file, and
the same training.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np


def summary_of(annotations: Path) -> dict:
    """What a file of COCO's layout holds.

    Args:
        annotations (Path): The file.

    Returns:
        dict: Numbers of images and of people, and by joint how often it is
        labeled and its mean place, in pixels.
    """
    content = json.loads(annotations.read_text())
    people = content['annotations']
    joints = np.array([person['keypoints'] for person in people], float)
    joints = joints.reshape(len(people), -1, 3)
    labeled = joints[..., 2] > 0
    counts = labeled.sum(axis=0)
    sums = (joints[..., :2] * labeled[..., None]).sum(axis=0)
    return dict(
        images=len(content['images']), people=len(people),
        labeled=counts.tolist(),
        x_and_y=np.round(sums / counts.clip(1)[:, None], 2).tolist())


def is_same(one: Any, other: Any, tolerance: float = 1e-3) -> bool:
    """Whether two values of JSON are equal, their numbers within a tolerance.

    Args:
        one, other (Any): What JSON can hold.
        tolerance (float): Relative, of numbers.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_same(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            is_same(*pair, tolerance) for pair in zip(one, other, strict=True))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=tolerance)
    return one == other
