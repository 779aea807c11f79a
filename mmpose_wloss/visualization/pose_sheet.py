from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .skeleton import Skeleton

MARGIN = 0.06


class PoseCell(NamedTuple):
    """A pose in a sheet.

    Attributes:
        points (np.ndarray): Joints in shape [K, 2], in a frame from 0 to 1.
        visible (np.ndarray): Which are there, bool in shape [K].
        frame (Sequence[float]): Width and height of it; the longer one is 1.
        caption (str): Goes above it.
        image (np.ndarray, optional): Its RGB, uint8 in shape [H, W, 3].
    """
    points: np.ndarray
    visible: np.ndarray
    frame: Sequence[float]
    caption: str
    image: np.ndarray | None = None

    @classmethod
    def in_box(cls, keypoints: np.ndarray, visible: np.ndarray,
               box: np.ndarray, caption: str,
               image: np.ndarray | None = None) -> 'PoseCell':
        """A pose in pixels, in the frame of a box: left, top, right, bottom."""
        size = np.maximum(box[2:] - box[:2], 1e-6)
        return cls((keypoints - box[:2]) / size.max(), visible,
                   size / size.max(), caption, image)


def draw_pose_sheet(groups: dict[str, list[PoseCell]], skeleton: Skeleton,
                    title: str, columns: int = 10) -> Figure:
    """Draw groups of poses, one below the other.

    Args:
        groups (dict[str, list[PoseCell]]): The poses by the group's name.
        skeleton (Skeleton): Of these joints.
        title (str): Title.
        columns (int): Poses a row.
    """
    rows = [(name if start == 0 else '', cells[start:start + columns])
            for name, cells in groups.items()
            for start in range(0, len(cells), columns)]
    columns = max((len(cells) for _, cells in rows), default=1)
    figure = Figure(figsize=(1.05 * columns + 0.3, 1.3 * len(rows) + 0.4),
                    layout='constrained')
    figure.suptitle(title, fontsize=10)
    if not rows:
        return figure
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for (name, cells), row in zip(rows, grid, strict=True):
        for axes in row[len(cells):]:
            axes.axis('off')
        for axes, cell in zip(row, cells, strict=False):
            _draw_cell(axes, cell, skeleton)
        row[0].set_ylabel(name, fontsize=9)
    return figure


def _draw_cell(axes, cell: PoseCell, skeleton: Skeleton) -> None:
    width, height = cell.frame
    corners = np.array([(0., 0.), (width, height)])
    if cell.image is None:
        axes.add_patch(Rectangle((0, 0), width, height, facecolor='0.96',
                                 edgecolor='0.8', linewidth=0.5))
        corners = np.concatenate([corners, cell.points[cell.visible]])
    else:
        axes.imshow(cell.image, extent=(0, width, height, 0))
    # cells are square, whatever their poses are
    low, high = corners.min(0), corners.max(0)
    half = (1 + MARGIN * (cell.image is None)) * (high - low).max() / 2
    x, y = (low + high) / 2
    skeleton.draw(axes, cell.points, cell.visible)
    axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half),
             xticks=[], yticks=[], aspect='equal')
    axes.spines[:].set_visible(False)
    axes.set_title(cell.caption, fontsize=7, pad=2)
