"""Boxes of people, as users give them."""

from collections.abc import Sequence

import numpy as np

from .errors import UserError


def check_boxes(boxes: Sequence, where: str) -> np.ndarray:
    """Check the boxes of the people in one image.

    Args:
        boxes (Sequence): Left, top, right, bottom in pixels, and perhaps a
            score, of each person.
        where (str): Which image, for the error.

    Returns:
        np.ndarray: With a score, by default 1, in shape [N, 5], float32.

    Raises:
        UserError: If they are something else.
    """
    try:
        array = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        array = np.zeros(())
    if array.shape == (0, ):
        array = np.zeros((0, 4), np.float32)
    if (array.ndim != 2 or array.shape[1] not in (4, 5)
            or not np.isfinite(array).all()
            or (array[:, 2:4] <= array[:, :2]).any()):
        raise UserError(
            f'the boxes of {where} must be a list of [left, top, right, '
            f'bottom] in pixels, one for each person, but are {boxes}')
    scores = np.ones((len(array), 1), np.float32)
    return np.concatenate([array, scores], 1)[:, :5]
