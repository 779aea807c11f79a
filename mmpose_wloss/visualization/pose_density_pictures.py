"""The pictures of a density of poses, and of the poses, as files."""

import contextlib
import os.path as osp
from pathlib import Path

import mmcv
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ..common.errors import UserError
from ..datasets.poses import Poses, joint_names
from ..pose_density import PoseDensityArtifact
from ..pose_density.normalization import joint_boxes
from .pose_density_figures import draw_density_histogram, draw_pose_axes
from .pose_sheet import PoseCell, draw_pose_sheet
from .skeleton import Skeleton

# poses of each kind in a sheet of skeletons, and in one of crops
SHEET, CROPS = 20, 8
# images that may be missing before crops are given up
TRIES = 100
CROP_MARGIN, CROP_PIXELS = 1.25, 160


def save_figure(figure: Figure, path: Path) -> None:
    """Save a picture and say so; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = dict(quality=85) if path.suffix == '.jpg' else None
    figure.savefig(path, dpi=110, pil_kwargs=quality)
    print(f'drawn: {path}')


def draw_pictures(artifact: PoseDensityArtifact, folder: Path,
                  poses: Poses | None = None) -> None:
    """Draw a density, and, where they are given, its poses."""
    name, names = artifact.dataset_name, artifact.joint_names
    if poses is None:
        skeleton = Skeleton.of_registered(name, names)
    else:
        rows = _rows_of(artifact, poses)
        skeleton = Skeleton.of_metainfo(poses.metainfo)
    save_figure(draw_density_histogram(
        artifact.log_density, artifact.weights,
        f'{len(artifact.ids)} poses of {name}, effective sample size '
        f'{artifact.effective_sample_size:.3f}'), folder / 'density.png')
    save_figure(draw_pose_axes(
        *artifact.density.pose_axes(),
        artifact.density.pca.explained_variance_ratio_,
        skeleton or Skeleton.without_bones(len(names))), folder / 'axes.png')
    if skeleton is None:
        print(f'note: MMPose has no data set with the name {name!r} and these '
              'joints: poses are drawn without bones. Give --source')
    if poses is None:
        return
    known = np.flatnonzero(~np.isnan(artifact.log_density))
    ordered = known[np.argsort(artifact.log_density[known], kind='stable')]
    groups = {'most common': ordered[::-1], 'rarest': ordered}
    frame, frames = _frames(artifact, poses)
    sheets = {group: [] for group in groups}
    crops, missing = {group: [] for group in groups}, {}
    for group, order in groups.items():
        for place, index in enumerate(order[:TRIES]):
            row = rows[index]
            caption = f'{artifact.weights[index]:#.3g}'.rstrip('.')
            if place < SHEET:
                sheets[group].append(PoseCell.in_box(
                    poses.keypoints[row], poses.visible[row], frames[row],
                    caption))
            if len(crops[group]) < CROPS:
                cell = _crop(poses, row, caption)
                if cell is None:
                    missing[row] = poses.image_paths[row]
                else:
                    crops[group].append(cell)
    save_figure(draw_pose_sheet(
        sheets, skeleton, f'poses of {name} with their weights; gray: {frame}'),
        folder / 'poses.png')
    if any(crops.values()):
        save_figure(draw_pose_sheet(
            crops, skeleton, f'{name}, in images and with weights',
            columns=CROPS), folder / 'crops.jpg')
    if missing:
        print(f'note: {len(missing)} people are not shown in their images, '
              f'which cannot be read, as {next(iter(missing.values()))}')


def draw_crops(poses: Poses, captions: dict[int, str], title: str) -> Figure:
    """Draw people in their images.

    Args:
        poses (Poses): The people.
        captions (dict): Of those to draw, in order, by their number.
        title (str): Title.
    """
    cells = (_crop(poses, row, caption) for row, caption in captions.items())
    return draw_pose_sheet({'': [cell for cell in cells if cell]},
                           Skeleton.of_metainfo(poses.metainfo), title, columns=CROPS)


def _rows_of(artifact: PoseDensityArtifact, poses: Poses) -> list[int]:
    """Which of the poses each annotation of a density is."""
    artifact.check_joints(joint_names(poses.metainfo), 'the source')
    row_of = {identity: row for row, identity in enumerate(poses.ids.tolist())}
    missing = set(artifact.ids.tolist()) - row_of.keys()
    if missing:
        raise UserError(
            f'{len(missing)} of {len(artifact.ids)} annotations of {artifact} '
            f'are not in {", ".join(map(str, poses.files))}, the first is '
            f'{min(missing)}: give the source that it was fitted to')
    return [row_of[identity] for identity in artifact.ids.tolist()]


def _frames(artifact: PoseDensityArtifact,
            poses: Poses) -> tuple[str, np.ndarray]:
    """What poses are drawn in, as near to the density's frame as can be."""
    options = artifact.density.options
    if options['normalize'] == 'box' and not options['center']:
        return 'the box', poses.boxes
    if options['normalize'] == 'image' and not options['center']:
        with contextlib.suppress(OSError):
            sizes = poses.image_sizes()
            return 'the image', np.hstack([np.zeros_like(sizes), sizes])
    return 'the box around the joints', joint_boxes(poses.keypoints,
                                                    poses.visible)


def _crop(poses: Poses, row: int, caption: str) -> PoseCell | None:
    """The person in the image; ``None`` where the image cannot be read."""
    path, box = poses.image_paths[row], poses.boxes[row]
    # as the training reads it
    pixels = mmcv.imread(path, channel_order='rgb') if osp.isfile(path) else None
    if pixels is None:
        return None
    center = (box[:2] + box[2:]) / 2
    half = max(1., CROP_MARGIN / 2 * (box[2:] - box[:2]).max())
    window = np.concatenate([center - half, center + half])
    crop = Image.fromarray(pixels).transform(
        (CROP_PIXELS, CROP_PIXELS), Image.Transform.EXTENT,
        tuple(window.tolist()), Image.Resampling.BICUBIC)
    return PoseCell.in_box(poses.keypoints[row], poses.visible[row], window,
                           caption, np.asarray(crop))
