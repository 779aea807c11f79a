import functools
import warnings
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

from ..datasets.poses import joint_names


@functools.cache
def _metainfo_of(dataset: type) -> dict:
    """Meta information of a class of data sets, where it has any."""
    metainfo = getattr(dataset, 'METAINFO', None)
    if not metainfo:
        return {}
    with warnings.catch_warnings():
        # it warns of each file that it finds
        warnings.simplefilter('ignore')
        return parse_pose_metainfo(metainfo)


class Skeleton(NamedTuple):
    """Bones and colors to draw a pose with.

    Attributes:
        links (np.ndarray): The joints of each bone, in shape [L, 2].
        link_colors (np.ndarray): RGB in [0, 1], in shape [L, 3].
        joint_colors (np.ndarray): RGB in [0, 1], in shape [K, 3].
    """
    links: np.ndarray
    link_colors: np.ndarray
    joint_colors: np.ndarray

    @classmethod
    def of_metainfo(cls, metainfo: dict) -> 'Skeleton':
        """That of a data set's meta information."""
        return cls(
            np.reshape(metainfo['skeleton_links'], (-1, 2)).astype(int),
            np.reshape(metainfo['skeleton_link_colors'], (-1, 3)) / 255,
            np.reshape(metainfo['keypoint_colors'], (-1, 3)) / 255)

    @classmethod
    def without_bones(cls, joints: int) -> 'Skeleton':
        """A number of joints alone."""
        return cls(np.zeros((0, 2), int), np.zeros((0, 3)),
                   np.tile((0.2, 0.4, 0.8), (joints, 1)))

    @classmethod
    def of_registered(cls, dataset_name: str,
                      joints: tuple[str, ...]) -> 'Skeleton | None':
        """That of MMPose's data set of this name and these joints, if any."""
        for dataset in DATASETS.module_dict.values():
            metainfo = _metainfo_of(dataset)
            if (metainfo.get('dataset_name') == dataset_name
                    and joint_names(metainfo) == tuple(joints)):
                return cls.of_metainfo(metainfo)
        return None

    def draw(self, axes: Axes, points: np.ndarray,
             visible: np.ndarray | None = None, width: float = 1.5,
             size: float = 6., color=None, zorder: float = 2.) -> None:
        """Draw a pose.

        Args:
            axes (Axes): Where.
            points (np.ndarray): Joints in shape [K, 2].
            visible (np.ndarray, optional): Which are drawn, bool in shape [K].
            width (float): Of bones, in points.
            size (float): Of joints, in square points.
            color (optional): Of all, by default the data set's.
            zorder (float): Of bones; joints are a half above.
        """
        visible = np.ones(len(points), bool) if visible is None else visible
        there = visible[self.links].all(1)
        axes.add_collection(LineCollection(
            points[self.links[there]], linewidths=width, zorder=zorder,
            colors=self.link_colors[there] if color is None else color))
        axes.scatter(
            *points[visible].T, s=size, linewidths=0, zorder=zorder + 0.5,
            color=self.joint_colors[visible] if color is None else color)
