"""Whether the parts of a config fit each other."""

import warnings
from importlib import metadata

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

from ..common.checks import whole
from ..common.configs import components, components_of_class, data_sets, is_of_class
from ..common.errors import UserError

REGISTRIES = (DATA_SAMPLERS, DATASETS, EVALUATORS, HOOKS, KEYPOINT_CODECS, METRICS,
              MODELS, TRANSFORMS, VISUALIZERS)
# MMPose's, for ViTPose
LAYER_DECAY = 'LayerDecayOptimWrapperConstructor'


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
    if not cfg.get('train_dataloader'):
        return
    # hooks may switch a training's pipeline
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


def _top_down_head(cfg: Config) -> dict:
    """The head of the stock top-down 2D network, wrapped or not; empty for others."""
    model = cfg.get('model') or {}
    network = model.get('network') or model.get('student') or model
    head = network.get('head') or {}
    return head.get('head') or head if is_of_class(
        network, 'TopdownPoseEstimator') else {}


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
