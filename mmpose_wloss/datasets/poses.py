"""The poses of a data set, for their density."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from ..common.errors import MissingFile, UserError
from ..common.files import digest_of_files
from ..pose_density import PoseDensity, PoseDensityArtifact
from ..pose_density.normalization import UnusablePoses, joint_boxes
from .image_size import loaded_image_size

# of unusable annotations an error names so many
NAMED = 5


def annotation_files(dataset: BaseDataset) -> list[str]:
    """The annotation files that a data set, no wrapper of several, reads."""
    return list(getattr(dataset, 'ann_files', None) or [dataset.ann_file])


def joint_names(metainfo: dict) -> tuple[str, ...]:
    """Names of the joints in the meta information of a data set, in order."""
    names = metainfo['keypoint_id2name']
    return tuple(names[index] for index in range(len(names)))


@dataclasses.dataclass(frozen=True, eq=False)
class Poses:
    """The annotated poses of a data set.

    Attributes:
        ids (np.ndarray): Of the annotations, int64 in shape [N].
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

        Raises:
            MissingFile: If one is missing.
        """
        try:
            sizes = {path: loaded_image_size(path)
                     for path in dict.fromkeys(self.image_paths)}
        except FileNotFoundError as error:
            raise MissingFile(
                f'There is no image {error.filename}, by whose size a pose is '
                "to be normalized. Correct its folder, or set normalize='box'"
            ) from None
        return np.array([sizes[path] for path in self.image_paths], float)


def checked_ids(ids: Sequence, files: Sequence[str]) -> np.ndarray:
    """Ids of annotations, by which weights are kept, int64 in shape [N].

    Args:
        ids (Sequence): The ids.
        files (Sequence[str]): The annotation files, for errors.

    Raises:
        UserError: If they are not unique whole numbers.
    """
    for each in ids:
        if isinstance(each, str) or each != int(each):
            raise UserError(f'annotation {each!r} of {files[0]} has an id that is no '
                            'whole number')
    if len(set(ids)) < len(ids):
        raise UserError(
            f'{len(ids)} annotations of {files[0]} have {len(set(ids))} ids, '
            'by which weights are kept: make them unique')
    return np.array(ids, np.int64)


def collect_poses(dataset: BaseDataset,
                  progress: Callable[[Iterable], Iterable] = iter) -> Poses:
    """Read the poses of a data set, without its images.

    Args:
        dataset (BaseDataset): A top-down data set of MMPose.
        progress (Callable): Wraps the indices, e.g. ``tqdm``.

    Raises:
        UserError: If the data set is empty, has samples of several people,
            another number of joints than it names, or ids that are not unique
            whole numbers.
    """
    dataset.full_init()
    joints = len(joint_names(dataset.metainfo))
    files = annotation_files(dataset)
    if not len(dataset):
        raise UserError(f'{", ".join(files)} has no pose with keypoints to fit '
                        'a density to')
    rows = []
    for index in progress(range(len(dataset))):
        info = dataset.get_data_info(index)
        identity, keypoints = info['id'], info['keypoints']
        if np.ndim(identity) or len(keypoints) != 1:
            raise UserError(
                f'A density is of single poses, but a sample of {files[0]} has '
                f"{len(keypoints)}: use data_mode='topdown'")
        if len(keypoints[0]) != joints:
            raise UserError(
                f'annotation {identity} of {files[0]} has {len(keypoints[0])} joints, '
                f'but {type(dataset).__name__} is of {joints}: take a config whose '
                'metainfo names yours')
        visible = np.asarray(info['keypoints_visible'])[0]
        if visible.ndim == 2:  # visibility and weight
            visible = visible[:, 0]
        rows.append((identity, keypoints[0], visible > 0,
                     info['bbox'][0], info['img_path']))
    ids, keypoints, visible, boxes, paths = zip(*rows, strict=True)
    return Poses(
        checked_ids(ids, files), np.array(keypoints, np.float32)[..., :2],
        np.array(visible), np.array(boxes, np.float32), list(paths),
        dataset.metainfo, files)


def fit_pose_density(poses: Poses, mode: str = 'tempered',
                     device: str = 'cpu', progress: bool = False,
                     **options) -> PoseDensityArtifact:
    """Fit a :class:`PoseDensity` to the poses of a data set.

    Args:
        poses (Poses): :func:`collect_poses`.
        mode (str): Of :class:`PoseDensity`.
        device (str): Where densities are computed.
        progress (bool): Whether to show a bar.
        **options: Options of :class:`PoseDensity`.

    Raises:
        UserError: If poses cannot be used; it names their annotations.
    """
    density = PoseDensity(mode, **options)
    names = joint_names(poses.metainfo)
    by_image = density.options['normalize'] == 'image'
    sizes = poses.image_sizes() if by_image else None
    # a few joints of somebody far away may share a pixel
    many = 2 * poses.visible.sum(1) >= poses.visible.shape[1]
    boxes = joint_boxes(poses.keypoints, poses.visible)
    points = np.flatnonzero(many & (boxes[:, :2] == boxes[:, 2:]).all(1))
    try:
        if len(points):  # as the rarest, they would weigh the most
            raise UnusablePoses(
                f'{len(points)} of {len(poses.ids)} poses have all their joints '
                'at one point. Correct or remove these annotations', points)
        density.fit(poses.keypoints, poses.visible, boxes=poses.boxes,
                    image_sizes=sizes, joint_names=names,
                    flip_indices=poses.metainfo.get('flip_indices'),
                    device=device, progress=progress)
    except UnusablePoses as error:
        ids = ', '.join(map(str, poses.ids[error.rows[:NAMED]]))
        more = ', …' if len(error.rows) > NAMED else ''
        raise UserError(f'{error} (ids {ids}{more})') from None
    return PoseDensityArtifact(
        ids=poses.ids, weights=density.weights,
        log_density=density.log_density, density=density, joint_names=names,
        dataset_name=poses.metainfo['dataset_name'],
        annotation_files=tuple(map(str, poses.files)),
        annotation_digest=digest_of_files(poses.files))
