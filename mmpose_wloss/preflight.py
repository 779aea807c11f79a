"""MMPose's own tools, with checks before they start."""

import argparse
import difflib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import mmpose
import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device

from .compat.process_groups import end_process_groups
from .deploy.onnx_evaluation import with_onnx_file
from .models.wrapped_networks import KEYS as NETWORK_KEYS
from .models.wrapped_networks import is_ours

CONFIGS = 'configs'

# where the files of a dataset class come from
SOURCES = {
    'CocoDataset':
    'COCO 2017 from https://cocodataset.org/#download (train2017, val2017 and '
    'their annotations)',
    'MpiiDataset':
    'the images from http://human-pose.mpi-inf.mpg.de and the annotations '
    'that MMPose links at https://mmpose.readthedocs.io/en/latest/'
    'dataset_zoo/2d_body_keypoint.html#mpii',
    'LSPDataset':
    'LSP (lsp_dataset_original.zip) from '
    'http://sam.johnson.io/research/lsp.html and LSP-extended '
    '(lspet_dataset.zip) from http://sam.johnson.io/research/lspet.html',
    'Human36mImageDataset':
    'Human3.6M from http://vision.imar.ro/human3.6m, which needs a licence; '
    "MMPose's preprocess_h36m.py makes annotations, cameras.pkl and images of "
    'it, see https://mmpose.readthedocs.io/en/latest/dataset_zoo/'
    '3d_body_keypoint.html',
    'UnlabeledPoseDataset':
    'any images of people serve, with boxes of annotations or of a detector in '
    "COCO's format, or as a folder. Those of the recipes are COCO's "
    'unlabeled2017 from https://cocodataset.org/#download and AI Challenger, '
    'see https://mmpose.readthedocs.io/en/latest/dataset_zoo/'
    '2d_body_keypoint.html',
    'FastPoseDistiller':
    'a teacher is trained first: python tools/train.py with its config; or '
    "take one of MMPose's model zoo, --cfg-options model.teacher_checkpoint=…",
}
OTHER_SOURCES = ('see https://mmpose.readthedocs.io/en/latest/dataset_zoo/'
                 '2d_body_keypoint.html')
# names that make_subset gives
SUBSET = re.compile(r'(.+)_(?:first|random)(\d+)(?:_seed(\d+))?(?:_by_(\w+?))?'
                    r'(?:_rest)?\.json')
SUBSETS = 'python tools/make_subset.py {} --count {}'
RENDERED = 'python tools/render_dataset.py --out {}'
FIT = 'python tools/pose_density.py fit {}'
DETECTIONS = ("a detector's boxes are linked at https://mmpose.readthedocs.io"
              '/en/latest/dataset_zoo/2d_body_keypoint.html; to evaluate on '
              'ground-truth boxes instead, add --cfg-options {}=None')


def stock_tool(name: str) -> ModuleType:
    """MMPose's own ``tools/{name}.py``, as a module.

    Args:
        name (str): ``'train'`` or ``'test'``.

    Raises:
        FileNotFoundError: If MMPose is installed without its tools.
    """
    package = Path(mmpose.__file__).parent
    for folder in (package / '.mim' / 'tools', package.parent / 'tools'):
        script = folder / f'{name}.py'
        if script.exists():
            spec = importlib.util.spec_from_file_location(
                f'mmpose_tools_{name}', script)
            tool = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(tool)
            return tool
    raise FileNotFoundError(
        f'MMPose is installed at {package} without its tools, whose '
        f'{name}.py this one runs. Install it with: mim install mmpose')


def run_tool(name: str) -> None:
    """Run MMPose's own tool with its own arguments, and check them first.

    A training also gets a :class:`ResumableRandomnessHook`, where it weighs
    poses a :class:`PoseDensityHook`, and where it has unlabelled images an
    :class:`UnreadableImagesHook`.

    Args:
        name (str): ``'train'`` or ``'test'``.
    """
    tool = stock_tool(name)
    parse_args, merge_args = tool.parse_args, tool.merge_args

    def parse_and_check() -> argparse.Namespace:
        args = parse_args()
        check_config_path(args.config)
        return args

    def merge_and_check(cfg: Config, args: argparse.Namespace) -> Config:
        if getattr(args, 'dump', None):
            # MMPose puts one more metric beside the others
            for key in ('val_evaluator', 'test_evaluator'):
                if is_ours(cfg.get(key), 'NetworksEvaluator'):
                    cfg[key] = cfg[key]['metrics']
        cfg = merge_args(cfg, args)
        if args.launcher == 'pytorch' and get_device() == 'cpu':
            init_cpu_processes(cfg)
        check_flip_test(cfg)
        if name == 'train':
            add_resumable_randomness(cfg)
            add_pose_density_hook(cfg)
            add_unreadable_images_hook(cfg)
            check_data_files(cfg, ['train', 'val'])
        else:
            if args.checkpoint.endswith('.onnx'):
                cfg = with_onnx_file(cfg, args.checkpoint)
            refuse_depth_growth(cfg)
            check_data_files(cfg, ['test'])
        return cfg

    tool.parse_args, tool.merge_args = parse_and_check, merge_and_check
    try:
        tool.main()
        end_process_groups()
    except (MissingFile, WrongFlipTest) as error:
        sys.exit(f'error: {error}')


def refuse_depth_growth(cfg: Config) -> None:
    """Let no checkpoint of another depth be tested, with a layer drawn anew.

    Args:
        cfg (Config): Config of a test, changed in place.
    """
    for _, head in find_ours('model', cfg.get('model'), 'IntegralPose3DHead'):
        head['depth_growth'] = None


class MissingFile(FileNotFoundError):
    """A config, or a file that a config names, is not there."""


class WrongFlipTest(ValueError):
    """A head and a codec whose flip test would average wrong places."""


def check_config_path(path: str) -> None:
    """Check that a config file exists.

    Raises:
        MissingFile: Names the existing configs whose names are nearest.
    """
    if Path(path).is_file():
        return
    known = {}
    for folder in (Path(CONFIGS), Path(__file__).parents[1] / '.mim' / CONFIGS):
        for config in sorted(folder.rglob('*.py')):
            known.setdefault(config.name, config)
    for config in sorted(Path(path).parent.glob('*.py')):
        known.setdefault(config.name, config)
    near = difflib.get_close_matches(Path(path).name, known, n=3, cutoff=0.5)
    suggestion = ''.join(f'\n  {known[name]}' for name in near)
    raise MissingFile(
        f'There is no config {path}.' +
        (f' Did you mean:{suggestion}' if near else
         f' The configs of mmpose_wloss are in {CONFIGS}/.'))


def _dataset_files(key: str,
                   dataset: ConfigDict) -> Iterator[tuple[str, Path, str]]:
    """Key, path and dataset class of each file that a dataset reads."""
    for child in ('dataset', 'datasets'):
        children = dataset.get(child) or []
        if isinstance(children, dict):
            yield from _dataset_files(f'{key}.{child}', children)
        else:
            for index, one in enumerate(children):
                yield from _dataset_files(f'{key}.{child}.{index}', one)
    if (dataset.get('backend_args') or {}).get('backend', 'local') != 'local':
        return
    kind, root = dataset.get('type'), dataset.get('data_root') or ''
    prefixes = dataset.get('data_prefix') or {}
    for name, prefix in prefixes.items():
        if isinstance(prefix, str):
            yield f'{key}.data_prefix.{name}', Path(root, prefix), kind
    for name in ('ann_file', 'extended_ann_file', 'order_file',
                 'camera_param_file'):
        paths = dataset.get(name) or []
        for path in [paths] if isinstance(paths, str) else paths:
            yield f'{key}.{name}', Path(root, path), kind
    for name in ('bbox_file', 'headbox_file'):
        if dataset.get(name):
            yield f'{key}.{name}', Path(dataset[name]), kind


def _dicts(key: str, config) -> Iterator[tuple[str, dict]]:
    """Key and content of each dict in a config, the outer ones first."""
    if isinstance(config, dict):
        yield key, config
        parts = config.items()
    else:
        parts = enumerate(config if isinstance(config, (list, tuple)) else ())
    for part, value in parts:
        yield from _dicts(f'{key}.{part}', value)


def find_ours(key: str, config, name: str) -> Iterator[tuple[str, dict]]:
    """Find the components of a class, however deep in a config.

    Args:
        key (str): Key of the config.
        config (dict | Sequence): What to look through.
        name (str): The class' name.

    Yields:
        tuple[str, dict]: The component's key and config.
    """
    for key_of, component in _dicts(key, config):
        if is_ours(component, name):
            yield key_of, component


def _pose_density_files(cfg: Config,
                        modes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Key and path of each pose density that a config names."""
    places = [(f'{mode}_evaluator', 'PoseRarityMetric') for mode in modes]
    if 'train' in modes:
        # a hook may put another pipeline in the place of the first
        places += [(key, 'PoseDensityWeights') for key in (
            'train_dataloader', 'custom_hooks', 'default_hooks')]
    for place, name in places:
        for key, component in find_ours(place, cfg.get(place), name):
            if component.get('file'):
                yield f'{key}.file', Path(component['file'])


def _teacher_files(cfg: Config, modes: Sequence[str]
                   ) -> Iterator[tuple[str, Path, str]]:
    """Key, path and class of the checkpoint of a teacher that is needed."""
    if 'train' not in modes:
        return
    for key, model in find_ours('model', cfg.get('model'),
                                'FastPoseDistiller'):
        needed = model.get('alpha', 0.5) or any(find_ours(
            'train_dataloader', cfg.get('train_dataloader'),
            'UnlabeledPoseDataset'))
        if needed and model.get('teacher_checkpoint'):
            yield (f'{key}.teacher_checkpoint',
                   Path(model['teacher_checkpoint']), 'FastPoseDistiller')


def _config_files(cfg: Config,
                  modes: Sequence[str]) -> Iterator[tuple[str, Path, str]]:
    for mode in modes:
        loader = cfg.get(f'{mode}_dataloader')
        if not loader:
            continue
        yield from _dataset_files(f'{mode}_dataloader.dataset',
                                  loader['dataset'])
        key = f'{mode}_evaluator'
        # metrics may wrap metrics
        for key_of, one in _dicts(key, cfg.get(key)):
            if one.get('ann_file'):
                yield (f'{key_of}.ann_file', Path(one['ann_file']),
                       loader['dataset'].get('type'))


def subset_command(path: Path, stem: str, count: str, seed: str | None,
                   stratify: str | None) -> str:
    """The command that writes a subset of annotations, given its name."""
    command = SUBSETS.format(path.with_name(f'{stem}.json'), count)
    if seed is not None:
        command += f' --seed {seed}'
    return command if stratify is None else f'{command} --stratify {stratify}'


def check_data_files(cfg: Config, modes: Sequence[str]) -> None:
    """Check that the files and folders that a config names exist.

    Args:
        cfg (Config): The config.
        modes (Sequence[str]): Which loaders and evaluators to look at:
            ``'train'``, ``'val'``, ``'test'``.

    Raises:
        MissingFile: Names each missing file, the key under which the
            config names it and where to get it.
    """
    files = [*_config_files(cfg, modes), *_teacher_files(cfg, modes), *(
        (key, path, 'PoseDensity')
        for key, path in _pose_density_files(cfg, modes))]
    _check_files(files, cfg.filename)


def check_annotation_files(key: str, dataset: dict) -> None:
    """Check that the annotation files of a data set exist.

    Args:
        key (str): Key of the data set, for the error.
        dataset (dict): Its config.

    Raises:
        MissingFile: As of :func:`check_data_files`.
    """
    _check_files([file for file in _dataset_files(key, dataset)
                  if '.data_prefix.' not in file[0]])


def _check_files(files: Sequence[tuple[str, Path, str]],
                 config: str | None = None) -> None:
    missing, advice = [], []
    for key, path, kind in files:
        if '://' in str(path) or ':/' in str(path) or path.exists():
            continue
        missing.append(f'  {key}: {path}')
        subset = SUBSET.fullmatch(path.name)
        if kind == 'PoseDensity':
            advice.append(FIT.format(config or 'CONFIG'))
        elif subset:
            advice.append(subset_command(path, *subset.groups()))
        elif 'annypose' in path.parts:
            folder = Path(*path.parts[:path.parts.index('annypose') + 1])
            advice.append(RENDERED.format(folder))
        else:
            advice.append(SOURCES.get(kind, OTHER_SOURCES))
        if key.endswith('bbox_file') and not key.startswith('train'):
            advice.append(DETECTIONS.format(key))
    if missing:
        raise MissingFile('\n'.join([
            'Files that the config names are not there:', *missing,
            'Where to get them:',
            *(f'  {line}' for line in dict.fromkeys(advice)),
            'If you have them elsewhere, link their folder to the place above '
            'or change the key by --cfg-options key=value.'
        ]))


def check_flip_test(cfg: Config) -> None:
    """Check that the head mirrors coordinates as its codec scales them.

    Args:
        cfg (Config): The config.

    Raises:
        WrongFlipTest: If the stock ``RegressionHead`` mirrors coordinates of
            ``CenteredRegressionLabel``.
    """
    outer = cfg.get('model') or {}
    for key, model in (('model', outer),
                       *((f'model.{key}', outer.get(key) or {})
                         for key in NETWORK_KEYS)):
        head = model.get('head') or {}
        if (is_ours(head.get('decoder'), 'CenteredRegressionLabel')
                and not is_ours(head, 'CenteredRegressionHead')
                and (model.get('test_cfg') or {}).get('flip_test')):
            raise WrongFlipTest(
                f"{key}.test_cfg.flip_test: {head.get('type')} mirrors a "
                'coordinate x to 1 - x, which is wrong for those of '
                f'{key}.head.decoder, CenteredRegressionLabel, from -1 to 1. '
                "Set the head's type to CenteredRegressionHead or flip_test "
                'to False')


def init_cpu_processes(cfg: Config) -> None:
    """Start a distributed run without GPUs, which MMEngine cannot by itself.

    It takes a GPU for each process; what is initialised already it leaves.
    """
    torch.distributed.init_process_group('gloo')
    cfg.setdefault('model_wrapper_cfg',
                   dict(type='MMDistributedDataParallel', device_ids=None))


def add_pose_density_hook(cfg: Config) -> None:
    """Add :class:`PoseDensityHook` to a config that weighs poses without it.

    It alone checks that the weights are of the annotations that are trained
    on, and that the loss counts them as it should.
    """
    _add_hook(cfg, 'PoseDensityHook', 'PoseDensityWeights')


def add_unreadable_images_hook(cfg: Config) -> None:
    """Add :class:`UnreadableImagesHook` to a config with unlabelled images.

    It alone tells which of them cannot be loaded.
    """
    _add_hook(cfg, 'UnreadableImagesHook', 'UnlabeledPoseDataset')


def _add_hook(cfg: Config, hook: str, component: str) -> None:
    """Add a hook that a component of the data needs, unless it is there."""
    needed = any(find_ours('train_dataloader', cfg.get('train_dataloader'),
                           component))
    hooked = any(any(find_ours(key, cfg.get(key), hook))
                 for key in ('default_hooks', 'custom_hooks'))
    if needed and not hooked:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type=hook)]


def add_resumable_randomness(cfg: Config) -> None:
    """Add :class:`ResumableRandomnessHook`, unless the config has it.

    The import goes with it, so that MMPose's own tools can use the config that
    the training writes into its folder.
    """
    hooks = cfg.get('custom_hooks') or []
    if any(hook['type'] == 'ResumableRandomnessHook' for hook in hooks):
        return
    cfg.custom_hooks = [*hooks, dict(type='ResumableRandomnessHook')]
    imports = cfg.get('custom_imports') or dict(imports=[])
    names = imports['imports']
    names = [names] if isinstance(names, str) else list(names)
    if 'mmpose_wloss' not in names:
        cfg.custom_imports = dict(imports, imports=[*names, 'mmpose_wloss'])
