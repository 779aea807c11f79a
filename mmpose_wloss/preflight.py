"""What a run needs, checked and completed before anything is built.

A registered class says by attributes what its config needs; all are optional:

- ``source``: where its files come from, in a sentence or as a command, in
  which ``CONFIG`` stands for the config's path,
- ``file_keys``: keys of its config that name files, beside MMPose's own,
- ``hooks``: names of the hooks that a training with it needs,
- ``check_config(component, key, cfg)``: a class method that raises a
  :class:`UserError` where its config does not fit the rest.
"""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATORS,
    HOOKS,
    KEYPOINT_CODECS,
    METRICS,
    MODELS,
    TRANSFORMS,
    VISUALIZERS,
)
from packaging.version import Version

from .common.checks import whole
from .common.configs import (
    add_import,
    components,
    components_of_class,
    data_sets,
    is_of_class,
)
from .common.errors import MissingFile, UserError
from .common.files import read_json

REGISTRIES = (DATA_SAMPLERS, DATASETS, EVALUATORS, HOOKS, KEYPOINT_CODECS, METRICS,
              MODELS, TRANSFORMS, VISUALIZERS)
# MMPose's, for ViTPose
LAYER_DECAY = 'LayerDecayOptimWrapperConstructor'
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


def class_of(component: dict) -> type | None:
    """The registered class of a config, if there is one."""
    kind = component.get('type')
    if not isinstance(kind, str):
        return kind if isinstance(kind, type) else None
    name = kind.rpartition('.')[2]
    return next((registry.module_dict[name] for registry in REGISTRIES
                 if name in registry.module_dict), None)


def check_components(cfg: Config) -> None:
    """Let each component of a config check its part of it.

    Args:
        cfg (Config): The config.

    Raises:
        UserError: If one does not fit the rest.
    """
    for key, component in components(cfg.to_dict()):
        check = getattr(class_of(component), 'check_config', None)
        if check is not None:
            check(component, key, cfg)
    check_joints(cfg)
    check_sizes(cfg)
    check_layer_decay(cfg)
    check_albumentations(cfg)


def check_joints(cfg: Config) -> None:
    """Check that a top-down 2D head has outputs for the joints of its training data.

    Data sets whose pipelines convert joints are not looked at.

    Args:
        cfg (Config): The config.

    Raises:
        UserError: If ``out_channels`` is no multiple of the number of joints.
    """
    head = _top_down_head(cfg)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    if (not dataset or not isinstance(head.get('out_channels'), int)
            or any(components_of_class(dataset, 'KeypointConverter'))):
        return
    metainfo = metainfo_of(dataset)
    if metainfo and head['out_channels'] % (joints := metainfo['num_keypoints']):
        raise UserError(
            f'the head has out_channels={head["out_channels"]}, but the data set '
            f'{metainfo["dataset_name"]!r} has {joints} joints. Set out_channels, or, '
            "for joints of your own, the data sets' metainfo")


def check_sizes(cfg: Config) -> None:
    """Check that pipelines cut crops of the size that a top-down head's codec has.

    A codec of another size finds joints at wrong places, and no error tells.

    Args:
        cfg (Config): The config.

    Raises:
        UserError: Names the key that differs.
    """
    size = (_top_down_head(cfg).get('decoder') or {}).get('input_size')
    for key, step in (one for mode in ('train', 'val', 'test') for one in components(
            cfg.get(f'{mode}_dataloader'), f'{mode}_dataloader')):
        if is_of_class(step, 'TopdownAffine') and size and (
                tuple(step['input_size']) != tuple(size)):
            raise UserError(
                f'{key}.input_size={tuple(step["input_size"])}, but '
                f"input_size={tuple(size)} of the head's decoder. A config that "
                'inherits another one must set both, and the encoder of GenerateTarget')


def _top_down_head(cfg: Config) -> dict:
    """The head of the stock top-down 2D network, wrapped or not; empty for others."""
    model = cfg.get('model') or {}
    network = model.get('network') or model.get('student') or model
    head = network.get('head') or {}
    return head.get('head') or head if is_of_class(
        network, 'TopdownPoseEstimator') else {}


def check_layer_decay(cfg: Config) -> None:
    """Check that rates by layer find the layers of networks within a model.

    Args:
        cfg (Config): The config.

    Raises:
        UserError: If the stock constructor looks for them, which does not know them.
    """
    model = cfg.get('model') or {}
    constructor = (cfg.get('optim_wrapper') or {}).get('constructor')
    if constructor == LAYER_DECAY and ('network' in model or 'student' in model):
        raise UserError(
            f'optim_wrapper.constructor={constructor} finds no layer in a '
            f'{model["type"]}: all would learn at the rate of the head. Set it to '
            f'Wrapped{constructor}')


def check_albumentations(cfg: Config) -> None:
    """Check that the albumentations of a training is one that MMPose can use.

    From version 2 on, MMPose cannot build its steps.

    Args:
        cfg (Config): The config.

    Raises:
        UserError: If it is missing, or too new; says what to install.
    """
    key = next((key for part in ('train_dataloader', 'custom_hooks')
                for key, _ in components_of_class(
                    cfg.get(part), 'Albumentation', part)), None)
    if key is None:
        return
    try:
        found = metadata.version('albumentations')
    except metadata.PackageNotFoundError:
        found = None
    if found is None or Version(found).major > 1:
        raise UserError(
            f'{key} needs albumentations below 2, but '
            f'{found or "none"} is installed: pip install '
            '"mmpose_wloss[albumentations]", or remove the step')


def metainfo_of(dataset: dict) -> dict | None:
    """What MMPose knows of the joints of a data set's config, if anything.

    Args:
        dataset (dict): As of :func:`named_metainfo`.
    """
    metainfo = named_metainfo(dataset)
    with warnings.catch_warnings():
        # it warns of each file that it finds
        warnings.simplefilter('ignore')
        return parse_pose_metainfo(metainfo) if metainfo else None


def named_metainfo(dataset: dict) -> dict | None:
    """The ``metainfo`` of a data set's config or of its class, if there is one.

    Args:
        dataset (dict): The config. Of those that wrap others and say nothing of
            joints, the first one counts.
    """
    _, first = next(data_sets(dataset))
    return (dataset.get('metainfo') or first.get('metainfo')
            or getattr(class_of(first), 'METAINFO', None))


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


def check_numbers(cfg: Config) -> None:
    """Check counts that would end in a traceback, or in a training of nothing.

    Args:
        cfg (Config): The config.

    Raises:
        UserError: Names the key and its range.
    """
    for key, least, names in (
            ('train_cfg', 1, ('max_epochs', 'max_iters', 'val_interval')),
            *((f'{mode}_dataloader', *one) for mode in ('train', 'val', 'test')
              for one in ((1, ('batch_size',)), (0, ('num_workers',))))):
        part = cfg.get(key) or {}
        whole(least, **{f'{key}.{name}': part[name] for name in names
                        if part.get(name) is not None})


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


def add_hooks(cfg: Config) -> None:
    """Add the hooks that a training needs and its config has not.

    These are a :class:`ResumableRandomnessHook` and those that its components
    ask for. The import goes with them, so that MMPose's own tools can use the
    config that the training writes into its folder.

    Args:
        cfg (Config): Config of a training, changed in place.
    """
    needed = ['ResumableRandomnessHook']
    for _, component in components(cfg.to_dict()):
        needed += getattr(class_of(component), 'hooks', ())
    there = [getattr(class_of(hook), '__name__', None) for hook in (
        *(cfg.get('custom_hooks') or []),
        *(cfg.get('default_hooks') or {}).values()) if hook]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), *(
        dict(type=name) for name in dict.fromkeys(needed) if name not in there)]
    add_import(cfg)
