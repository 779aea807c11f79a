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
PANEL, TITLE = 3.6, 0.3  # inches


class PoseView(NamedTuple):
    """The people of an image, in the image and in space.

    Attributes:
        image (np.ndarray): RGB, uint8 in shape [H, W, 3].
        pixels (np.ndarray): Predicted joints in pixels of the image, in shape
            [N, K, 2].
        points (np.ndarray): Predicted joints in camera axes (x right, y down,
            z away from the camera) in mm, in shape [N, K, 3].
        visible (np.ndarray): Which of them are shown, bool in shape [N, K].
        true_pixels (np.ndarray, optional): The true joints like ``pixels``.
        true_points (np.ndarray, optional): The true joints like ``points``.
        true_visible (np.ndarray, optional): Which of them are known in 3D.
        boxes (np.ndarray, optional): Left, top, right, bottom in pixels, in
            shape [N, 4].
        caption (str): Goes above the image.
    """
    image: np.ndarray
    pixels: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    true_pixels: np.ndarray | None = None
    true_points: np.ndarray | None = None
    true_visible: np.ndarray | None = None
    boxes: np.ndarray | None = None
    caption: str = ''

    @classmethod
    def of_sample(cls, image: np.ndarray, sample: PoseDataSample,
                  kpt_thr: float = 0., truth: bool = False,
                  boxes: bool = False, caption: str = '') -> 'PoseView':
        """The prediction of a :class:`TopdownPose3DEstimator`.

        Args:
            image (np.ndarray): RGB of the whole image.
            sample (PoseDataSample): With ``pred_instances``.
            kpt_thr (float): Joints with a lower score are left out. Defaults
                to 0.
            truth (bool): Take the sample's 3D truth too, where it has one.
            boxes (bool): Take the boxes too.
            caption (str): Goes above the image.

        Raises:
            ValueError: If the sample's prediction has no 3D.
        """
        found = sample.pred_instances
        if ('transformed_keypoints' not in found
                or np.shape(found.keypoints)[-1] != 3):
            raise ValueError(
                'the prediction has no places in 3D and in the image: it is '
                'not of a TopdownPose3DEstimator')
        points = np.asarray(found.keypoints, np.float64)
        places = _places(found, points)
        true = dict()
        if truth and 'lifting_target' in sample.get('gt_instances', ()):
            target = sample.gt_instances
            true = dict(
                true_pixels=np.asarray(target.keypoints)[..., :2],
                true_points=np.asarray(target.lifting_target) + places,
                true_visible=np.asarray(target.lifting_target_visible) > 0)
        return cls(
            image=image,
            pixels=np.asarray(found.transformed_keypoints)[..., :2],
            points=points + places,
            visible=np.asarray(found.keypoint_scores) >= kpt_thr,
            boxes=np.asarray(found.bboxes) if boxes else None,
            caption=caption, **true)

    def cropped(self, box: np.ndarray, margin: float = 0.15) -> 'PoseView':
        """What the image shows of a box and around it.

        Args:
            box (np.ndarray): Left, top, right, bottom in pixels.
            margin (float): Part of the longer side that is added on each.
                Defaults to 0.15.
        """
        half = (0.5 + margin) * (box[2:] - box[:2]).max()
        center = (box[:2] + box[2:]) / 2
        height, width = self.image.shape[:2]
        left, top = np.clip(center - half, 0, (width - 2, height - 2)).astype(int)
        right, bottom = np.clip(
            center + half, (left + 2, top + 2), (width, height)).astype(int)
        origin = np.array([left, top])
        true_pixels = self.true_pixels
        return self._replace(
            image=self.image[top:bottom, left:right],
            pixels=self.pixels - origin,
            true_pixels=None if true_pixels is None else true_pixels - origin,
            boxes=None if self.boxes is None else
            self.boxes - np.tile(origin, 2))


def _places(instances, points: np.ndarray) -> np.ndarray:
    """Where each person's root is drawn, in shape [N, 1, 3]."""
    if 'keypoints_cam' in instances:
        return (instances.keypoints_cam - points).mean(1, keepdims=True)
    columns = np.asarray(instances.transformed_keypoints)[..., 0].mean(1)
    places = np.zeros((len(points), 1, 3))
    places[np.argsort(columns), 0, 0] = DISTANCE * np.arange(len(points))
    return places


def draw_pose_views(views: Sequence[PoseView], skeleton: Skeleton,
                    columns: int = 1, width: float = 1.5,
                    size: float = 9.) -> Figure:
    """Draw people in the image and beside it in space, upright.

    Where the truth is known, it is drawn in white on the image, and beside the
    prediction in space, in the same axes.

    Args:
        views (Sequence[PoseView]): The people of each image.
        skeleton (Skeleton): Of their joints.
        columns (int): Images a row. Defaults to 1.
        width (float): Of bones, in points. Defaults to 1.5.
        size (float): Of joints, in square points. Defaults to 9.

    Returns:
        Figure: The figure.
    """
    panels = 2 + any(view.true_points is not None for view in views)
    columns = min(columns, len(views))
    grid = -(-len(views) // columns), panels * columns
    height = (PANEL + TITLE) * grid[0]
    figure = Figure(figsize=(PANEL * grid[1], height))
    figure.subplots_adjust(0.01, 0.02 / grid[0], 0.99, 1 - TITLE / height,
                           wspace=0.02, hspace=TITLE / PANEL)
    for index, view in enumerate(views):
        first = 1 + panels * index
        axes = figure.add_subplot(*grid, first)
        _draw_image(axes, view, skeleton, width, size)
        cube = _cube(view)
        poses = [('prediction', view.points, view.visible)]
        if view.true_points is not None:
            poses.append(('truth', view.true_points, view.true_visible))
        for place, (name, points, visible) in enumerate(poses, start=1):
            axes = figure.add_subplot(*grid, first + place, projection='3d')
            _draw_space(axes, points, visible, skeleton, cube, width, size)
            axes.set_title(name, fontsize=9, pad=0)
    return figure


def _draw_image(axes, view: PoseView, skeleton: Skeleton, width: float,
                size: float) -> None:
    height, breadth = view.image.shape[:2]
    axes.imshow(view.image)
    if view.true_pixels is not None:
        for points, visible in zip(
                view.true_pixels, view.true_visible, strict=True):
            skeleton.draw(axes, points, visible, 2.5 * width, size, TRUTH,
                          zorder=1.5)
    for points, visible in zip(view.pixels, view.visible, strict=True):
        skeleton.draw(axes, points, visible, width, size)
    for left, top, right, bottom in (
            () if view.boxes is None else view.boxes):
        axes.add_patch(Rectangle(
            (left, top), right - left, bottom - top, fill=False,
            edgecolor='lime', linewidth=1))
    axes.set(xlim=(-0.5, breadth - 0.5), ylim=(height - 0.5, -0.5),
             xticks=[], yticks=[])
    axes.set_title(view.caption, fontsize=9)


def upright(points: np.ndarray) -> np.ndarray:
    """Turn camera axes into those of a plot, whose third points up.

    Args:
        points (np.ndarray): x right, y down, z ahead, in shape [..., 3].

    Returns:
        np.ndarray: x right, y ahead, z up, in shape [..., 3].
    """
    return np.stack(
        [points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _cube(view: PoseView) -> tuple[np.ndarray, float]:
    """Centre and half of the side of a cube around all that is drawn."""
    shown = [view.points[view.visible]]
    if view.true_points is not None:
        shown.append(view.true_points[view.true_visible])
    shown = upright(np.concatenate(shown))
    if not len(shown):
        return np.zeros(3), LEAST_HALF
    low, high = shown.min(0), shown.max(0)
    return (low + high) / 2, max(LEAST_HALF, 0.53 * (high - low).max())


def _draw_space(axes: Axes3D, points: np.ndarray, visible: np.ndarray,
                skeleton: Skeleton, cube: tuple[np.ndarray, float],
                width: float, size: float) -> None:
    points = upright(points)
    for person, shown in zip(points, visible, strict=True):
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
