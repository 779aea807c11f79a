"""3D poses, drawn in their image and upright in space beside it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator
from mmpose.structures import PoseDataSample
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from .skeleton import Skeleton

# people whose places in space are not known stand side by side, in mm
DISTANCE = 1300.
# half of the least cube that is shown: a person fits in, in mm
LEAST_HALF = 950.
# obliquely from the front: from the camera itself depth cannot be seen
ELEVATION, AZIMUTH = 12., -60.
TRUTH = 'white'
# part of a window's longer side that is shown around it
MARGIN = 0.15
PANEL, TITLE = 3.6, 0.3  # inches


class Poses3D(NamedTuple):
    """Poses in pixels [N, K, 2] and in camera axes in mm [N, K, 3].

    ``visible`` [N, K] tells which joints are drawn.
    """
    pixels: np.ndarray
    points: np.ndarray
    visible: np.ndarray


class PoseView(NamedTuple):
    """An RGB image [H, W, 3] and the people in it.

    ``boxes`` [N, 4] are drawn; of the image ``window``, a box, and what is
    around it is shown, by default all. The caption goes above.
    """
    image: np.ndarray
    prediction: Poses3D
    truth: Poses3D | None = None
    boxes: np.ndarray = np.zeros((0, 4))
    window: np.ndarray | None = None
    caption: str = ''

    @classmethod
    def of_sample(cls, image: np.ndarray, sample: PoseDataSample,
                  kpt_thr: float = 0., truth: bool = False,
                  boxes: bool = False, **view) -> 'PoseView':
        """The prediction of a :class:`TopdownPose3DEstimator`.

        Joints with a score below ``kpt_thr`` are left out. ``truth``, if there
        is one in 3D, and ``boxes`` are drawn on request; ``view`` is ``window``
        and ``caption``.
        """
        found = sample.pred_instances
        if 'keypoints_cam' in found:
            places = (found.keypoints_cam - found.keypoints).mean(1, keepdims=True)
        else:
            columns = np.asarray(found.transformed_keypoints)[..., 0].mean(1)
            places = np.zeros((len(columns), 1, 3))
            places[np.argsort(columns), 0, 0] = DISTANCE * np.arange(len(columns))
        if truth and 'lifting_target' in sample.get('gt_instances', ()):
            target = sample.gt_instances
            view['truth'] = Poses3D(
                np.asarray(target.keypoints)[..., :2],
                np.asarray(target.lifting_target) + places,
                np.asarray(target.lifting_target_visible) > 0)
        if boxes:
            view['boxes'] = np.asarray(found.bboxes)
        return cls(image, Poses3D(
            np.asarray(found.transformed_keypoints),
            np.asarray(found.keypoints, np.float64) + places,
            np.asarray(found.keypoint_scores) >= kpt_thr), **view)


def draw_pose_views(views: Sequence[PoseView], skeleton: Skeleton,
                    columns: int = 1, width: float = 1.5,
                    size: float = 9.) -> Figure:
    """Draw people in the image and beside it in space, upright.

    The truth is white on the image, and beside the prediction in space.

    Args:
        views (Sequence[PoseView]): The people of each image.
        skeleton (Skeleton): Of their joints.
        columns (int): Images a row.
        width (float): Of bones, in points.
        size (float): Of joints, in square points.
    """
    panels = 2 + any(view.truth is not None for view in views)
    columns = min(columns, len(views))
    grid = -(-len(views) // columns), panels * columns
    height = (PANEL + TITLE) * grid[0]
    figure = Figure(figsize=(PANEL * grid[1], height))
    figure.subplots_adjust(0.01, 0.02 / grid[0], 0.99, 1 - TITLE / height,
                           wspace=0.02, hspace=TITLE / PANEL)
    for index, view in enumerate(views):
        first = 1 + panels * index
        _draw_image(figure.add_subplot(*grid, first), view, skeleton, width, size)
        cube = _cube(view)
        for place, (name, poses) in enumerate(
                (('prediction', view.prediction), ('truth', view.truth)),
                start=first + 1):
            if poses is None:
                continue
            axes = figure.add_subplot(*grid, place, projection='3d')
            _draw_space(axes, poses, skeleton, cube, width, size)
            axes.set_title(name, fontsize=9, pad=0)
    return figure


def _draw_image(axes, view: PoseView, skeleton: Skeleton, width: float,
                size: float) -> None:
    low, high = np.zeros(2), np.array(view.image.shape[1::-1])
    if view.window is not None:
        corner, other = np.reshape(view.window, (2, 2))
        half = (0.5 + MARGIN) * (other - corner).max()
        center = (corner + other) / 2
        low = np.clip(center - half, 0, high - 2)
        high = np.clip(center + half, low + 2, high)
    axes.imshow(view.image)
    if view.truth is not None:
        for points, visible in zip(view.truth.pixels, view.truth.visible, strict=True):
            skeleton.draw(axes, points, visible, 2.5 * width, size, TRUTH, zorder=1.5)
    for points, visible in zip(view.prediction.pixels, view.prediction.visible,
                               strict=True):
        skeleton.draw(axes, points, visible, width, size)
    for left, top, right, bottom in view.boxes:
        axes.add_patch(Rectangle(
            (left, top), right - left, bottom - top, fill=False,
            edgecolor='lime', linewidth=1))
    axes.set(xlim=(low[0] - 0.5, high[0] - 0.5), xticks=[], yticks=[],
             ylim=(high[1] - 0.5, low[1] - 0.5))
    axes.set_title(view.caption, fontsize=9)


def upright(points: np.ndarray) -> np.ndarray:
    """Turn x right, y down, z ahead [..., 3] into x right, y ahead, z up."""
    return points[..., [0, 2, 1]] * (1, 1, -1)


def _cube(view: PoseView) -> tuple[np.ndarray, float]:
    """Center and half of the side of a cube around all that is drawn."""
    shown = upright(np.concatenate([
        poses.points[poses.visible] for poses in (view.prediction, view.truth)
        if poses is not None]))
    if not len(shown):
        return np.zeros(3), LEAST_HALF
    low, high = shown.min(0), shown.max(0)
    return (low + high) / 2, max(LEAST_HALF, 0.53 * (high - low).max())


def _draw_space(axes: Axes3D, poses: Poses3D, skeleton: Skeleton,
                cube: tuple[np.ndarray, float], width: float,
                size: float) -> None:
    for person, shown in zip(upright(poses.points), poses.visible, strict=True):
        there = shown[skeleton.links].all(1)
        if there.any():
            axes.add_collection3d(Line3DCollection(
                person[skeleton.links[there]], linewidths=1.5 * width,
                colors=skeleton.link_colors[there]))
        axes.scatter(*person[shown].T, s=size, linewidths=0, depthshade=False,
                     color=skeleton.joint_colors[shown])
    center, half = cube
    grid = 500 if half < 2500 else 1000
    for axis, middle in zip('xyz', center, strict=True):
        getattr(axes, f'set_{axis}lim')(middle - half, middle + half)
        getattr(axes, f'{axis}axis').set(
            major_locator=MultipleLocator(grid), ticklabels=[])
    axes.set_box_aspect((1, 1, 1), zoom=1.15)
    axes.view_init(elev=ELEVATION, azim=AZIMUTH)
    axes.set_xlabel(f'grid: {grid / 1000:g} m', fontsize=8, labelpad=-12)
