"""``python -m mmpose_wloss density``: fit, inspect and compare densities."""

import argparse
import contextlib
import functools
import io
import json
import os.path as osp
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from PIL import Image
from tqdm import tqdm

from ..common.configs import components_of_class, data_sets
from ..common.errors import UserError
from ..common.files import existing_file
from ..datasets.datasets.unlabeled import UnlabeledPoseDataset
from ..datasets.poses import Poses, collect_poses, fit_pose_density, joint_names
from ..pose_density import PoseDensity, PoseDensityArtifact
from ..pose_density.normalization import joint_boxes
from ..pose_density.summary import compare, summarize, summarize_comparison
from ..preflight import (
    check_config_path,
    class_of,
    named_files,
    raise_for_missing,
)
from ..visualization.pose_density_figures import (
    draw_density_comparison,
    draw_density_histogram,
    draw_pose_axes,
)
from ..visualization.pose_sheet import PoseCell, draw_pose_sheet
from ..visualization.skeleton import Skeleton

FOLDER = Path('work_dirs', 'pose_density')
SOURCE = ('a config (.py), of which the training data set is taken, or an '
          'annotation file')
# poses of each kind in a sheet of skeletons, and in one of crops
SHEET, CROPS = 20, 8
# images that may be missing before crops are given up
TRIES = 100
CROP_MARGIN, CROP_PIXELS = 1.25, 160


def main(arguments: list[str] | None = None) -> int:
    """Fit, inspect or compare densities of poses; 0 where all went well."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss density',
        description='Weights of training poses by their density.')
    commands = parser.add_subparsers(dest='command', required=True)
    changes = dict(nargs='+', action=DictAction, default={},
                   metavar='KEY=VALUE')

    of_source = argparse.ArgumentParser(add_help=False)
    add = of_source.add_argument_group('of a config').add_argument
    add('--dataset', metavar='KEY', help='which training data set, e.g. '
        'train_dataloader.dataset.datasets.0')
    add('--cfg-options', help='changes of the config', **changes)
    add = of_source.add_argument_group('of an annotation file').add_argument
    add('--dataset-type', default='CocoDataset',
        help='class of the data set; default: CocoDataset')
    add('--data-root', default='', help='folder of the images')
    add('--img-prefix', default='', help='their folder in --data-root')

    def add_command(name: str, run: Callable, text: str, parents=()):
        command = commands.add_parser(name, help=text, parents=parents)
        command.set_defaults(run=run)
        return command.add_argument

    add = add_command('fit', run_fit, 'fit a density to the poses of a data '
                      'set, and write it with their weights', [of_source])
    add('source', help=SOURCE)
    add('--out', help='the file, .npz; default: pose_density.file of the '
        f'config, else {FOLDER}/NAME_OF_THE_SOURCE.npz')
    add('--options', help='mode and options of PoseDensity, before those of '
        'pose_density in the config, e.g. mode=source bandwidth=0.2 '
        'clip=0.1,10', **changes)
    add('--device', default='cpu',
        help='where densities are computed; default: cpu')
    add('--force', action='store_true',
        help='write weights with which a handful carries the training')
    add('--no-pictures', action='store_true',
        help='draw no pictures beside the file')

    add = add_command('inspect', run_inspect, 'describe and draw a density',
                      [of_source])
    add('file', help='file of a density')
    add('--source', help=f'{SOURCE}: draw its poses too')
    add('--out', metavar='DIR', help='folder of the pictures; '
        "default: beside the file, with the file's name")

    add = add_command('compare', run_compare,
                      'compare two densities of the same annotations')
    add('files', nargs=2, metavar='FILE', help='file of a density')
    add('--out', help='the picture; default: beside the first file')
    add('--count', type=int, default=10,
        help='how many of the largest disagreements to list; default: 10')

    args = parser.parse_args(arguments)
    args.run(args)
    return 0


def run_fit(args: argparse.Namespace) -> None:
    """Fit a density, write it and draw it."""
    source = source_of(args, args.source)
    out = Path(args.out or source.out)
    options = {**source.options, **args.options}
    # what can be wrong is found before poses are read
    PoseDensity(**options)
    if out.suffix != '.npz':
        raise UserError(f'out must end in .npz, but it is {out}')
    try:
        torch.zeros(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'device {args.device!r} cannot be used: '
                        f'{str(error).splitlines()[0]}') from None
    print(f'fitting to {source.key}', flush=True)
    poses = read_poses(source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always', UserWarning)
        artifact = fit_pose_density(poses, device=args.device, progress=True,
                                    **options)
    for each in caught:
        warn(each.message)
    print(summarize(artifact))
    if artifact.is_carried_by_few() and not args.force:
        raise UserError(f'{out} is not written: {artifact.doubt()}. Or write '
                        'it anyway by --force')
    if artifact.doubt():
        warn(artifact.doubt())
    artifact.save(out)
    print(f'written: {out}')
    others = [file for file in source.trained_on
              if Path(file).absolute() != out.absolute()]
    if others:
        warn(f'but a training with {args.source} reads {", ".join(others)}')
    if not args.no_pictures:
        draw_pictures(artifact, out.with_suffix(''), poses)


def run_inspect(args: argparse.Namespace) -> None:
    """Describe and draw a density."""
    artifact = PoseDensityArtifact.load(args.file)
    print(summarize(artifact))
    if artifact.doubt():
        warn(artifact.doubt())
    poses = None
    if args.source:
        poses = read_poses(source_of(args, args.source))
        artifact.check_annotations(poses.files)
    draw_pictures(artifact, Path(args.out or Path(args.file).with_suffix('')),
                  poses)


def run_compare(args: argparse.Namespace) -> None:
    """Compare two densities, in figures and in a picture."""
    first, second = (PoseDensityArtifact.load(file) for file in args.files)
    comparison = compare(first, second)
    print(summarize_comparison(comparison, args.count))
    if first.annotation_digest != second.annotation_digest:
        print('note: they were computed from different annotation files: '
              f'{", ".join(first.annotation_files)} and '
              f'{", ".join(second.annotation_files)}')
    paths = [Path(file).with_suffix('') for file in args.files]
    names = [path.name for path in paths]
    if names[0] == names[1]:
        names = list(map(str, paths))
    out = args.out or paths[0].with_name(
        f'{paths[0].name}_and_{paths[1].name}.png')
    save_figure(draw_density_comparison(
        comparison.log_density, comparison.weights, names), Path(out))


def warn(message: object) -> None:
    print(f'warning: {message}', file=sys.stderr)


class Source(NamedTuple):
    """Where poses come from, and what is to become of them."""
    key: str  # what errors call the data set
    dataset: dict  # its config, no wrapper's
    out: str  # the file to write
    trained_on: tuple[str, ...] = ()  # the files that a training would read
    options: dict = {}  # of the density


def source_of(args: argparse.Namespace, path: str) -> Source:
    """Say which poses a config or an annotation file means.

    Of a config's training data sets it is the one whose pipeline holds
    ``PoseDensityWeights``, else the only labeled one.
    """
    out = str(FOLDER / f'{Path(path).stem}.npz')
    if not path.endswith('.py'):
        existing_file(path, 'annotation file')
        images = osp.join(args.data_root, args.img_prefix)
        return Source(path, dict(type=args.dataset_type, ann_file=path,
                                 data_prefix=dict(img=images)), out)
    check_config_path(path)
    config = Config.fromfile(path)
    config.merge_from_dict(args.cfg_options)
    init_default_scope(config.get('default_scope') or 'mmpose')
    loader = config.get('train_dataloader') or {}
    if not loader.get('dataset'):
        raise UserError(f'{path} has no train_dataloader.dataset')
    datasets = dict(data_sets(loader.dataset, 'train_dataloader.dataset'))
    weighted = [key for key, one in datasets.items() if any(
        components_of_class(one.get('pipeline'), 'PoseDensityWeights'))]
    keys = [args.dataset] if args.dataset else weighted or [
        key for key, one in datasets.items() if not _is_unlabeled(one)]
    if len(keys) != 1 or keys[0] not in datasets:
        what = (f'no training data set {args.dataset}' if args.dataset else
                'several training data sets with PoseDensityWeights'
                if weighted else
                f'{len(keys) or "no"} labeled training data sets')
        choices = ''.join(
            f'\n  {key}: {one.get("type")} {one.get("ann_file") or ""}'.rstrip()
            for key, one in datasets.items())
        raise UserError(f'{path} has {what}. Choose one by --dataset:{choices}')
    options = dict(config.get('pose_density') or {})
    trained_on = tuple(dict.fromkeys(
        step['file'] for _, step in components_of_class(
            loader, 'PoseDensityWeights')))
    file = options.pop('file', None) or (
        trained_on[0] if len(trained_on) == 1 else out)
    return Source(keys[0], datasets[keys[0]], file, trained_on, options)


def _is_unlabeled(dataset: dict) -> bool:
    return issubclass(class_of(dataset) or object, UnlabeledPoseDataset)


def read_poses(source: Source) -> Poses:
    """Read the poses of a source, without its images."""
    config = dict(source.dataset, pipeline=[])
    raise_for_missing(file for file in named_files(config, source.key)
                      if '.data_prefix.' not in file[0])
    if _is_unlabeled(source.dataset):
        raise UserError(f'{source.key} is a data set without labels, and so '
                        'without poses')
    init_default_scope('mmpose')
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # MMPose says where it found a definition, COCO's API how far it is
        warnings.simplefilter('ignore')
        try:
            # one without annotations could not be serialized
            dataset = DATASETS.build(dict(config, lazy_init=True,
                                          serialize_data=False))
            dataset.full_init()
        except (AssertionError, AttributeError, LookupError, TypeError,
                json.JSONDecodeError, UnicodeDecodeError) as error:
            # MMPose does not check what it reads
            raise UserError(
                f'{config.get("ann_file")} cannot be read by {config["type"]} '
                f'({type(error).__name__}: {error})') from error
    return collect_poses(dataset, functools.partial(
        tqdm, desc='reading poses', unit=' poses'))


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
            crops, skeleton, f'people of {name} with their weights',
            columns=CROPS), folder / 'crops.jpg')
    if missing:
        print(f'note: {len(missing)} people are not shown in their images, '
              f'which cannot be read, as {next(iter(missing.values()))}')


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
