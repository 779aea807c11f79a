"""What ``tools/pose_density.py`` does: fit, save and picture densities."""

import contextlib
import io
import itertools
import json
import os.path as osp
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from PIL import Image

from ..datasets.datasets.unlabeled import UnlabeledPoseDataset
from ..datasets.poses import Poses, collect_poses, fit_pose_density
from ..pose_density import PoseDensity, PoseDensityArtefact
from ..pose_density.summary import Comparison
from ..preflight import check_annotation_files, check_config_path, find_ours
from ..visualization.pose_density_figures import (
    draw_density_comparison,
    draw_density_histogram,
    draw_pose_axes,
)
from ..visualization.pose_sheet import PoseCell, draw_pose_sheet
from ..visualization.skeleton import Skeleton

FOLDER = Path('work_dirs', 'pose_density')
# poses of each kind in a sheet of skeletons, and in one of crops
SHEET, CROPS = 20, 8
# images that may be missing before crops are given up
TRIES = 100
CROP_MARGIN, CROP_PIXELS = 1.25, 160


class Source(NamedTuple):
    """Where poses come from, and what is to become of them.

    Attributes:
        key (str): What the data set is called in errors.
        dataset (dict): Config of the data set, no wrapper.
        out (str): The file to write.
        trained_on (tuple[str]): The files that a training with this config
            would read.
        options (dict): ``mode`` and options of :class:`PoseDensity`.
    """
    key: str
    dataset: dict
    out: str
    trained_on: tuple[str, ...] = ()
    options: dict = {}


def source_of(path: str, dataset_key: str | None = None,
              cfg_options: dict | None = None,
              dataset_type: str = 'CocoDataset', data_root: str = '',
              img_prefix: str = '') -> Source:
    """Say which poses a config or an annotation file means.

    Of a config it is the training data set: where there are several, the one
    whose pipeline holds ``PoseDensityWeights``, else the only labelled one.

    Args:
        path (str): A config (``.py``) or an annotation file.
        dataset_key (str, optional): Which data set of a config, by its key.
            Defaults to ``None``.
        cfg_options (dict, optional): Changes of the config.
        dataset_type (str): Class of the data set of an annotation file.
            Defaults to ``'CocoDataset'``.
        data_root (str): Where its images are. Defaults to ``''``.
        img_prefix (str): Their folder therein. Defaults to ``''``.

    Returns:
        Source: The source.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be told which data set is meant.
    """
    out = str(FOLDER / f'{Path(path).stem}.npz')
    if not path.endswith('.py'):
        if not Path(path).is_file():
            raise FileNotFoundError(f'There is no annotation file {path}')
        return Source(path, dict(
            type=dataset_type, ann_file=path,
            data_prefix=dict(img=osp.join(data_root, img_prefix))), out)

    check_config_path(path)
    config = Config.fromfile(path)
    if cfg_options:
        config.merge_from_dict(cfg_options)
    init_default_scope(config.get('default_scope') or 'mmpose')
    dataset = (config.get('train_dataloader') or {}).get('dataset')
    if not dataset:
        raise ValueError(f'{path} has no train_dataloader.dataset')
    key, dataset = _choose(path, dict(
        _leaves('train_dataloader.dataset', dataset)), dataset_key)
    options = dict(config.get('pose_density') or {})
    file = options.pop('file', None)
    trained_on = tuple(dict.fromkeys(
        component['file'] for _, component in find_ours(
            'train_dataloader', config.train_dataloader, 'PoseDensityWeights')))
    if file is None and len(trained_on) == 1:
        file = trained_on[0]
    return Source(key, dataset, file or out, trained_on, options)


def _leaves(key: str, dataset: dict) -> Iterator[tuple[str, dict]]:
    """Key and config of each data set within wrappers."""
    if dataset.get('datasets') is not None:
        for index, one in enumerate(dataset['datasets']):
            yield from _leaves(f'{key}.datasets.{index}', one)
    elif dataset.get('dataset') is not None:
        yield from _leaves(f'{key}.dataset', dataset['dataset'])
    else:
        yield key, dataset


def _choose(path: str, datasets: dict[str, dict],
            key: str | None) -> tuple[str, dict]:
    choices = ''.join(
        f'\n  {name}: {one.get("type")} {one.get("ann_file") or ""}'.rstrip()
        for name, one in datasets.items())
    if key is not None:
        if key not in datasets:
            raise ValueError(f'{path} has no training data set {key}. It has:'
                             f'{choices}')
        return key, datasets[key]
    weighted = {
        name: one for name, one in datasets.items()
        if any(find_ours('', one.get('pipeline'), 'PoseDensityWeights'))
    }
    labeled = weighted or {
        name: one for name, one in datasets.items() if not _is_unlabeled(one)
    }
    if len(labeled) != 1:
        what = ('several training data sets with PoseDensityWeights' if weighted
                else f'{len(labeled) or "no"} labelled training data sets')
        raise ValueError(f'{path} has {what}. Choose one by --dataset:'
                         f'{choices}')
    return next(iter(labeled.items()))


def _is_unlabeled(dataset: dict) -> bool:
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, UnlabeledPoseDataset)


def read_poses(source: Source,
               progress: Callable[[Iterable], Iterable] = iter) -> Poses:
    """Read the poses of a source, without its images.

    Args:
        source (Source): The source; its pipeline is not built.
        progress (Callable): Wraps what is iterated over. Defaults to
            ``iter``.

    Returns:
        Poses: The poses.

    Raises:
        FileNotFoundError: If an annotation file is missing.
        ValueError: If the annotations cannot be read, or have no poses.
    """
    check_annotation_files(source.key, source.dataset)
    if _is_unlabeled(source.dataset):
        raise ValueError(f'{source.key} is a data set without labels, and so '
                         'without poses')
    init_default_scope('mmpose')
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # MMPose says where it found a definition, COCO's API how far it is
        warnings.simplefilter('ignore')
        try:
            # one without annotations could not be serialised
            dataset = DATASETS.build(dict(
                source.dataset, pipeline=[], lazy_init=True,
                serialize_data=False))
            dataset.full_init()
        except (AssertionError, AttributeError, IndexError, KeyError,
                TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f'{source.dataset.get("ann_file")} cannot be read by '
                f'{source.dataset["type"]} ({type(error).__name__}: {error})'
            ) from error
    return collect_poses(dataset, progress)


def check_options(options: dict) -> None:
    """Check the options of a density before anything is read.

    Args:
        options (dict): ``mode`` and options of :class:`PoseDensity`.

    Raises:
        ValueError: If one is unknown, or does not fit.
    """
    try:
        PoseDensity(**options)
    except TypeError as error:
        raise ValueError(str(error)) from None


def fit(source: Source, out: str, options: dict | None = None,
        device: str = 'cpu',
        progress: Callable[[Iterable], Iterable] = iter
        ) -> tuple[PoseDensityArtefact, Poses]:
    """Fit a density; nothing is written.

    Args:
        source (Source): Where the poses come from.
        out (str): The file that it is to be saved as, which is checked first.
        options (dict, optional): ``mode`` and options of
            :class:`PoseDensity`, before those of the source.
        device (str): Where densities are computed. Defaults to ``'cpu'``.
        progress (Callable): Wraps the poses read, e.g. ``tqdm``.

    Returns:
        tuple[PoseDensityArtefact, Poses]: The density and its poses.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If an option or the poses do not fit.
    """
    options = {**source.options, **(options or {})}
    check_options(options)
    if Path(out).suffix != '.npz' or Path(out).is_dir():
        raise ValueError(f'out must be a file ending in .npz, but it is {out}')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {device!r} cannot be used: '
                         f'{str(error).splitlines()[0]}') from None
    poses = read_poses(source, progress)
    return fit_pose_density(poses, device=device, progress=True,
                            **options), poses


def doubts(artefact: PoseDensityArtefact) -> str | None:
    """Why training with these weights would be no use.

    Args:
        artefact (PoseDensityArtefact): The pose density.

    Returns:
        str: ``None``, where nothing speaks against it.
    """
    size = artefact.effective_sample_size
    if artefact.does_nothing():
        return (f'the effective sample size is {size:.4f}: all poses weigh '
                'almost the same, and training with these weights is training '
                'without them')
    if artefact.is_carried_by_few():
        return (f'the effective sample size is {size:.4f}, and the heaviest '
                f'1 % of the poses have {artefact.heaviest_share():.0%} of the '
                'weight: a handful would carry the training. Temper the '
                'weights (a lower alpha, a higher min_ess, a clip), or choose '
                'a larger bandwidth')
    return None


def skeleton_of(artefact: PoseDensityArtefact,
                poses: Poses | None = None) -> tuple[Skeleton, str | None]:
    """The skeleton to draw a density's poses with.

    Args:
        artefact (PoseDensityArtefact): The pose density.
        poses (Poses, optional): Its poses. Defaults to ``None``: the skeleton
            is that of the registered data set of its name.

    Returns:
        tuple[Skeleton, str]: The skeleton, and what is to be said about it, or
        ``None``.
    """
    if poses is not None:
        return Skeleton.of_metainfo(poses.metainfo), None
    skeleton = Skeleton.of_registered(artefact.dataset_name,
                                      artefact.joint_names)
    if skeleton is None:
        return Skeleton.without_bones(len(artefact.joint_names)), (
            'MMPose has no data set with the name '
            f'{artefact.dataset_name!r} and these joints: poses are drawn '
            'without bones. Give --source')
    return skeleton, None


def save_figure(figure: Figure, path: Path, dpi: int = 110) -> Path:
    """Save a picture.

    Args:
        figure (Figure): The picture.
        path (Path): Its file; its folder is made.
        dpi (int): Pixels per inch. Defaults to 110.

    Returns:
        Path: The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = path.suffix == '.jpg'
    figure.savefig(path, dpi=dpi,
                   pil_kwargs=dict(quality=85) if photo else None)
    return path


def draw_pictures(artefact: PoseDensityArtefact, folder: str,
                  poses: Poses | None = None
                  ) -> Iterator[tuple[Path | None, str | None]]:
    """Draw a density, and, where they are given, its poses.

    Args:
        artefact (PoseDensityArtefact): The pose density.
        folder (str): Folder of the pictures.
        poses (Poses, optional): The poses that it was fitted to. Defaults to
            ``None``: no sheets of poses.

    Yields:
        tuple[Path | None, str | None]: The file of each picture, or ``None``,
        and what is to be said about it, or ``None``.

    Raises:
        ValueError: If the density was not fitted to these poses.
    """
    folder = Path(folder)
    rows = None if poses is None else _rows_of(artefact, poses)
    skeleton, note = skeleton_of(artefact, poses)
    name = artefact.dataset_name
    yield save_figure(draw_density_histogram(
        artefact.log_density, artefact.weights,
        f'{len(artefact.ids)} poses of {name}, effective sample size '
        f'{artefact.effective_sample_size:.3f}'), folder / 'density.png'), None
    yield save_figure(draw_pose_axes(
        *artefact.density.pose_axes(),
        artefact.density.pca.explained_variance_ratio_, skeleton),
        folder / 'axes.png'), note
    if rows is None:
        return
    known = np.flatnonzero(~np.isnan(artefact.log_density))
    ordered = known[np.argsort(artefact.log_density[known], kind='stable')]
    groups = {'most common': ordered[::-1], 'rarest': ordered}
    frame, frames = _frames(artefact, poses)

    def cells(choice: Sequence[int]) -> list[PoseCell]:
        return [PoseCell.in_box(
            poses.keypoints[rows[index]], poses.visible[rows[index]],
            frames[rows[index]], _caption(artefact, index))
            for index in choice]

    yield save_figure(draw_pose_sheet(
        {group: cells(order[:SHEET]) for group, order in groups.items()},
        skeleton, f'poses of {name} with their weights; grey: {frame}'),
        folder / 'poses.png'), None
    crops, missing = {}, {}
    for group, order in groups.items():
        crops[group] = []
        for index in order[:TRIES]:
            cell = _crop(poses, rows[index], _caption(artefact, index))
            if cell is None:
                missing[rows[index]] = poses.image_paths[rows[index]]
            else:
                crops[group].append(cell)
            if len(crops[group]) == CROPS:
                break
    note = (f'{len(missing)} people are not shown in their images, which '
            f'cannot be read, as {next(iter(missing.values()))}'
            if missing else None)
    if not any(crops.values()):
        yield None, note
        return
    yield save_figure(draw_pose_sheet(
        crops, skeleton, f'people of {name} with their weights',
        columns=CROPS), folder / 'crops.jpg'), note


def _rows_of(artefact: PoseDensityArtefact, poses: Poses) -> np.ndarray:
    """Which of the poses each annotation of a density is."""
    artefact.check_joints([poses.metainfo['keypoint_id2name'][index]
                           for index in range(poses.keypoints.shape[1])],
                          'the source')
    row_of = {identity: row for row, identity in enumerate(poses.ids.tolist())}
    missing = [identity for identity in artefact.ids.tolist()
               if identity not in row_of]
    if missing:
        raise ValueError(
            f'{len(missing)} of {len(artefact.ids)} annotations of {artefact} '
            f'are not in {", ".join(map(str, poses.files))}, the first is '
            f'{missing[0]}: give the source that it was fitted to')
    return np.array([row_of[identity] for identity in artefact.ids.tolist()])


def _caption(artefact: PoseDensityArtefact, index: int) -> str:
    return f'{artefact.weights[index]:#.3g}'.rstrip('.')


def _frames(artefact: PoseDensityArtefact,
            poses: Poses) -> tuple[str, np.ndarray]:
    """What poses are drawn in, as near to the density's frame as can be."""
    options = artefact.density.options
    if options['normalize'] == 'box' and not options['center']:
        return 'the box', poses.boxes
    if options['normalize'] == 'image' and not options['center']:
        with contextlib.suppress(OSError):
            sizes = poses.image_sizes()
            return 'the image', np.hstack([np.zeros_like(sizes), sizes])
    shown = poses.visible[..., None]
    with np.errstate(invalid='ignore'):
        low = np.where(shown, poses.keypoints, np.inf).min(1)
        high = np.where(shown, poses.keypoints, -np.inf).max(1)
    boxes = np.concatenate([low, high], 1)
    return 'the box around the joints', np.where(
        poses.visible.any(1)[:, None], boxes, poses.boxes)


def _crop(poses: Poses, row: int, caption: str) -> PoseCell | None:
    """The person in the image; ``None`` where the image cannot be read."""
    path = poses.image_paths[row]
    if not osp.isfile(path):
        return None
    # as the training reads it
    pixels = mmcv.imread(path, channel_order='rgb')
    if pixels is None:
        return None
    box = poses.boxes[row]
    center = (box[:2] + box[2:]) / 2
    half = max(1., CROP_MARGIN / 2 * (box[2:] - box[:2]).max())
    window = np.concatenate([center - half, center + half])
    crop = Image.fromarray(pixels).transform(
        (CROP_PIXELS, CROP_PIXELS), Image.Transform.EXTENT,
        tuple(window.tolist()), Image.Resampling.BICUBIC)
    return PoseCell.in_box(poses.keypoints[row], poses.visible[row], window,
                           caption, np.asarray(crop))


def draw_comparison_of(files: Sequence[str], comparison: Comparison,
                       out: str | None = None) -> Path:
    """Draw two densities, pose by pose.

    Args:
        files (Sequence[str]): The two files.
        comparison (Comparison): Of these.
        out (str, optional): The picture. Defaults to ``None``: beside the
            first file.

    Returns:
        Path: The picture.
    """
    if out is None:
        first, second = (Path(file).stem for file in files)
        out = Path(files[0]).with_name(f'{first}_and_{second}.png')
    return save_figure(draw_density_comparison(
        comparison.log_density, comparison.weights, _short_names(*files)),
        Path(out))


def _short_names(*paths: str) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    parts = [Path(path).with_suffix('').parts for path in paths]
    for count in itertools.count(1):
        names = ['/'.join(part[-count:]) for part in parts]
        if len(set(names)) == len(names) or count >= max(map(len, parts)):
            return names
