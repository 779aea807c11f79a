"""The poses of a data set, for their density."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
from mmengine.dataset import BaseDataset

from ..pose_density import (
    PoseDensity,
    PoseDensityArtefact,
    annotation_digest,
)
from ..pose_density.normalization import UnusablePoses
from .datasets.image_size import loaded_image_size

# of unusable annotations an error names so many
NAMED = 5


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

        Raises:
            FileNotFoundError: If one is missing.
        """
        sizes = {}
        for path in self.image_paths:
            if path in sizes:
                continue
            try:
                sizes[path] = loaded_image_size(path)
            except FileNotFoundError:
                raise FileNotFoundError(
                    f'There is no image {path}, by whose size a pose is to be '
                    "normalised. Correct its folder, or set normalize='box'"
                ) from None
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
            poses with another number of joints than it names, or ids that
            are not unique whole numbers.
    """
    dataset.full_init()
    joints = len(joint_names(dataset.metainfo))
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
        if len(info['keypoints'][0]) != joints:
            raise ValueError(
                f'annotation {info["id"]} has {len(info["keypoints"][0])} '
                f'joints, but {type(dataset).__name__} is of {joints}')
        identity = info['id']
        if isinstance(identity, str) or identity != int(identity):
            raise ValueError(
                f'annotation {identity!r} of {annotation_files(dataset)[0]} '
                'has an id that is no whole number')
        visible = np.asarray(info['keypoints_visible'])[0]
        if visible.ndim == 2:  # visibility and weight
            visible = visible[:, 0]
        rows.append((int(identity), info['keypoints'][0], visible > 0,
                     info['bbox'][0], info['img_path']))
    ids, keypoints, visible, boxes, paths = zip(*rows, strict=True)
    if len(set(ids)) < len(ids):
        raise ValueError(
            f'{len(ids)} annotations of {annotation_files(dataset)[0]} have '
            f'{len(set(ids))} ids, by which weights are kept: make them unique')
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

    Raises:
        ValueError: If poses cannot be used; it names their annotations.
    """
    _check_extent(poses)
    density = PoseDensity(mode, **options)
    names = joint_names(poses.metainfo)
    by_image = density.options['normalize'] == 'image'
    sizes = poses.image_sizes() if by_image else None
    try:
        density.fit(poses.keypoints, poses.visible, boxes=poses.boxes,
                    image_sizes=sizes, joint_names=names,
                    flip_indices=poses.metainfo.get('flip_indices'),
                    device=device, progress=progress)
    except UnusablePoses as error:
        raise ValueError(f'{error} ({_named(poses.ids[error.rows])})') from None
    return PoseDensityArtefact(
        ids=poses.ids, weights=density.weights,
        log_density=density.log_density, density=density, joint_names=names,
        dataset_name=poses.metainfo['dataset_name'],
        annotation_files=tuple(map(str, poses.files)),
        annotation_digest=annotation_digest(poses.files))


def _check_extent(poses: Poses) -> None:
    """Check that no pose is a single point, which would weigh the most."""
    shown = poses.visible[..., None]
    extents = (np.where(shown, poses.keypoints, -np.inf).max(1) -
               np.where(shown, poses.keypoints, np.inf).min(1)).max(1)
    # a few joints of somebody far away may share a pixel
    many = 2 * poses.visible.sum(1) >= poses.visible.shape[1]
    points = np.flatnonzero(many & (extents == 0))
    if len(points):
        raise ValueError(
            f'{len(points)} of {len(poses.ids)} poses have all their joints at '
            'one point. Correct or remove these annotations '
            f'({_named(poses.ids[points])})')


def _named(ids: np.ndarray) -> str:
    """The first of some annotations, by their ids."""
    more = ', …' if len(ids) > NAMED else ''
    return f'ids {", ".join(map(str, ids[:NAMED]))}{more}'
