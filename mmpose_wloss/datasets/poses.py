"""The poses of a data set, for their density."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
from mmengine.dataset import BaseDataset
from PIL import Image

from ..pose_density import (
    PoseDensity,
    PoseDensityArtefact,
    annotation_digest,
)


def annotation_files(dataset: BaseDataset) -> list[str]:
    """The annotation files that a data set reads.

    Args:
        dataset (BaseDataset): One data set, no wrapper of several.

    Returns:
        list[str]: Their paths.
    """
    return list(getattr(dataset, 'ann_files', None) or [dataset.ann_file])


def joint_names(metainfo: dict) -> tuple[str, ...]:
    """Names of the joints in their order.

    Args:
        metainfo (dict): Meta information of a data set.

    Returns:
        tuple[str]: The names.
    """
    names = metainfo['keypoint_id2name']
    return tuple(names[index] for index in range(len(names)))


@dataclasses.dataclass(frozen=True, eq=False)
class Poses:
    """The annotated poses of a data set.

    Attributes:
        ids (np.ndarray): Ids of the annotations, int64 in shape [N].
        keypoints (np.ndarray): In pixels, float32 in shape [N, K, 2].
        visible (np.ndarray): Which joints are annotated, bool in shape [N, K].
        boxes (np.ndarray): Left, top, right, bottom in pixels, float32 in
            shape [N, 4].
        image_paths (list[str]): Path of each pose's image.
        metainfo (dict): Meta information of the data set.
        files (list[str]): Its annotation files.
    """
    ids: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    image_paths: list[str]
    metainfo: dict
    files: list[str]

    def image_sizes(self) -> np.ndarray:
        """Width and height of each pose's image, float64 in shape [N, 2].

        They are read from the headers of the image files.
        """
        sizes = {}
        for path in self.image_paths:
            if path not in sizes:
                with Image.open(path) as image:
                    sizes[path] = image.size
        return np.array([sizes[path] for path in self.image_paths],
                        np.float64)


def collect_poses(dataset: BaseDataset,
                  progress: Callable[[Iterable], Iterable] = iter) -> Poses:
    """Read the poses of a data set, without its images.

    Args:
        dataset (BaseDataset): A top-down data set of MMPose.
        progress (Callable): Wraps the indices, e.g. ``tqdm``. Defaults to
            ``iter``.

    Returns:
        Poses: In the order of the data set.

    Raises:
        ValueError: If the data set is empty, has samples of several people, or
            ids that are not unique numbers.
    """
    dataset.full_init()
    if not len(dataset):
        raise ValueError(f'{", ".join(annotation_files(dataset))} has no pose '
                         'with keypoints to fit a density to')
    rows = []
    for index in progress(range(len(dataset))):
        info = dataset.get_data_info(index)
        if np.ndim(info['id']) or len(info['keypoints']) != 1:
            raise ValueError(
                'A density is of single poses, but a sample of '
                f'{annotation_files(dataset)[0]} has {len(info["keypoints"])}: '
                "use data_mode='topdown'")
        visible = np.asarray(info['keypoints_visible'])[0]
        if visible.ndim == 2:  # visibility and weight
            visible = visible[:, 0]
        rows.append((info['id'], info['keypoints'][0], visible > 0,
                     info['bbox'][0], info['img_path']))
    ids, keypoints, visible, boxes, paths = zip(*rows, strict=True)
    return Poses(
        ids=np.array(ids, np.int64),
        keypoints=np.array(keypoints, np.float32)[..., :2],
        visible=np.array(visible),
        boxes=np.array(boxes, np.float32),
        image_paths=list(paths),
        metainfo=dataset.metainfo,
        files=annotation_files(dataset))


def fit_pose_density(poses: Poses, mode: str = 'tempered',
                     device: str = 'cpu', progress: bool = False,
                     **options) -> PoseDensityArtefact:
    """Fit a :class:`PoseDensity` to the poses of a data set.

    Args:
        poses (Poses): :func:`collect_poses`.
        mode (str): Of :class:`PoseDensity`. Defaults to ``'tempered'``.
        device (str): Where densities are computed. Defaults to ``'cpu'``.
        progress (bool): Whether to show a bar. Defaults to ``False``.
        **options: Options of :class:`PoseDensity`.

    Returns:
        PoseDensityArtefact: To be saved.
    """
    density = PoseDensity(mode, **options)
    names = joint_names(poses.metainfo)
    by_image = density.options['normalize'] == 'image'
    density.fit(poses.keypoints, poses.visible, boxes=poses.boxes,
                image_sizes=poses.image_sizes() if by_image else None,
                joint_names=names,
                flip_indices=poses.metainfo.get('flip_indices'),
                device=device, progress=progress)
    return PoseDensityArtefact(
        ids=poses.ids, weights=density.weights,
        log_density=density.log_density, density=density, joint_names=names,
        dataset_name=poses.metainfo['dataset_name'],
        annotation_files=tuple(map(str, poses.files)),
        annotation_digest=annotation_digest(poses.files))
