"""Whether the files of a config are there, and hold what it needs."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

from ..common.configs import components
from ..common.errors import MissingFile, UserError
from ..common.files import read_json
from .components import class_of

# relative to data_root, and relative to the working directory
FILE_KEYS = ('ann_file',)
OWN_FILE_KEYS = ('bbox_file', 'headbox_file')
ZOO = ('https://mmpose.readthedocs.io/en/latest/dataset_zoo/'
       '2d_body_keypoint.html')
SOURCES = {
    'CocoDataset': 'COCO 2017 from https://cocodataset.org/#download '
    '(train2017, val2017 and their annotations)',
    'MpiiDataset': 'the images from http://human-pose.mpi-inf.mpg.de and the '
    f'annotations that MMPose links at {ZOO}#mpii',
}
# names that the subset command gives
SUBSET = re.compile(r'(.+)_(?:first|random)(\d+)(?:_seed(\d+))?(?:_by_(\w+?))?'
                    r'(?:_rest)?\.json')
AREA_METRICS = ('CocoMetric', 'CocoWholeBodyMetric', 'FastCocoMetric',
                'FastCocoWholeBodyMetric')
NOT_FINITE = re.compile(rb'"keypoints":\s*\[[^\]]*(?:NaN|Infinity)')
DETECTIONS = (f"a detector's boxes are linked at {ZOO}; to evaluate on "
              'ground-truth boxes instead, add --cfg-options {}=None')


def check_files(cfg: Config, modes: Sequence[str]) -> None:
    """Check that the files and folders that a config names exist.

    Args:
        cfg (Config): The config.
        modes (Sequence[str]): Which loaders and evaluators to look at:
            ``'train'``, ``'val'``, ``'test'``. A training's hooks, which may
            switch its pipeline, are looked at too.

    Raises:
        MissingFile: Names each missing file, the key under which the config
            names it and where to get it.
    """
    keys = [f'{mode}_{part}' for mode in modes
            for part in ('dataloader', 'evaluator')]
    if 'train' in modes:
        keys += ['custom_hooks', 'default_hooks']
    raise_for_missing((file for key in keys
                       for file in named_files(cfg.get(key), key)),
                      cfg.filename)


def check_finite(cfg: Config, modes: Sequence[str]) -> None:
    """Check that no keypoint of an annotation file is NaN or infinite.

    A training would leave such joints out, or learn nothing but NaN.

    Args:
        cfg (Config): The config, whose files are there.
        modes (Sequence[str]): As of :func:`check_files`.

    Raises:
        UserError: Names the file, the first annotations and what to do.
    """
    for path in dict.fromkeys(
            path for mode in modes
            for key, path, _ in named_files(cfg.get(f'{mode}_dataloader'), mode)
            if key.endswith('.ann_file') and path.suffix == '.json'
            and path.is_file()):
        # reading a large file as JSON takes long, and it is read once more
        if not NOT_FINITE.search(path.read_bytes()):
            continue
        ids = [one.get('id') for one in read_json(path)['annotations']
               if not all(map(math.isfinite, one.get('keypoints') or ()))]
        raise UserError(f'{path}: keypoints of {len(ids)} annotations are NaN or '
                        f'infinite, first of id {ids[0]}. A joint that is not '
                        'annotated has the visibility 0 and zeros')


def check_areas(cfg: Config, modes: Sequence[str]) -> None:
    """Check that annotations have the area by which COCO's metric measures distances.

    Else a training would end at its first validation.

    Args:
        cfg (Config): The config, whose files are there.
        modes (Sequence[str]): As of :func:`check_files`.

    Raises:
        UserError: Names the key, the file, the first annotation and what to do.
    """
    for key, metric in (one for mode in modes for one in components(
            cfg.get(f'{mode}_evaluator'), f'{mode}_evaluator')):
        path = metric.get('ann_file')
        if not (getattr(class_of(metric), '__name__', None) in AREA_METRICS
                and metric.get('use_area', True) and path and Path(path).is_file()):
            continue
        content = read_json(path)
        ids = [one.get('id') for one in content.get('annotations') or ()
               if one.get('area') is None] if isinstance(content, dict) else []
        if ids:
            raise UserError(
                f"{path}: {len(ids)} annotations have no 'area', first of id {ids[0]}. "
                f'Set {key}.use_area=False, which takes 0.53 of their boxes for it')


def named_files(config: dict, key: str
                ) -> Iterator[tuple[str, Path, type | None]]:
    """The files that a part of a config names.

    Args:
        config (dict): The part.
        key (str): Its key.

    Yields:
        tuple[str, Path, type]: Key, file or folder, and who reads it.
    """
    for key_of, component in components(config, key):
        backend = (component.get('backend_args') or {}).get('backend', 'local')
        if backend != 'local':
            continue
        reader = class_of(component)
        root = component.get('data_root') or ''
        for name, prefix in (component.get('data_prefix') or {}).items():
            if isinstance(prefix, str):
                yield f'{key_of}.data_prefix.{name}', Path(root, prefix), reader
        for name in (*FILE_KEYS, *getattr(reader, 'file_keys', ())):
            paths = component.get(name) or []
            for path in [paths] if isinstance(paths, str) else filter(None, paths):
                yield f'{key_of}.{name}', Path(root, path), reader
        for name in OWN_FILE_KEYS:
            if component.get(name):
                yield f'{key_of}.{name}', Path(component[name]), reader


def raise_for_missing(files: Iterator[tuple[str, Path, type | None]],
                      config: str | None = None) -> None:
    """Raise an error for the files that are not there.

    Args:
        files (Iterator): As of :func:`named_files`.
        config (str, optional): Path of the config.

    Raises:
        MissingFile: As of :func:`check_files`.
    """
    missing, advice = [], []
    for key, path, reader in files:
        if ':/' in str(path) or path.exists():
            continue
        missing.append(f'  {key}: {path}')
        source = getattr(reader, 'source', None) or SOURCES.get(
            getattr(reader, '__name__', None), f'see {ZOO}')
        subset = SUBSET.fullmatch(path.name)
        if subset:
            advice.append(subset_command(path, *subset.groups()))
        elif 'annypose' in path.parts:
            folder = Path(*path.parts[:path.parts.index('annypose') + 1])
            advice.append(f'python -m mmpose_wloss render dataset --out {folder}')
        elif 'evaluator' not in key or hasattr(reader, 'source'):
            advice.append(source.replace('CONFIG', config or 'CONFIG'))
        if key.endswith('bbox_file') and not key.startswith('train'):
            advice.append(DETECTIONS.format(key))
    if missing:
        raise MissingFile('\n'.join([
            'Files that the config names are not there:', *missing,
            'Where to get them:',
            *(f'  {line}' for line in dict.fromkeys(advice)),
            'If you have them elsewhere, link their folder to the place above '
            'or change the key by --cfg-options key=value.']))


def subset_command(path: Path, stem: str, count: str, seed: str | None,
                   stratify: str | None) -> str:
    """The command that writes a subset of annotations, given its name."""
    command = (f'python -m mmpose_wloss subset {path.with_name(stem + ".json")} '
               f'--count {count}')
    if seed is not None:
        command += f' --seed {seed}'
    return command if stratify is None else f'{command} --stratify {stratify}'
