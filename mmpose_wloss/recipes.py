"""Recipes: functions that turn a stock config into one of this package.

Each takes a config, leaves it as it is, and gives a new, complete one. Recipes
compose, and ``python -m mmpose_wloss recipe`` writes what they give as a file.

.. code-block:: python

    cfg = Config.fromfile('my_hrnet.py')
    cfg = semi_supervised(focus_heatmaps(cfg), images='my/images')
"""

import copy
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from os.path import relpath
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS, MODELS, TRANSFORMS

from .common.checks import one_of, whole
from .common.configs import (
    add_import,
    components,
    components_of_class,
    data_sets,
    is_of_class,
)
from .common.errors import UserError
from .datasets import UnlabeledPoseDataset
from .datasets.datasets.crop_caching import CropCaching
from .models.heads.keypoint_outputs import check_weighted, keypoint_outputs
from .pose_density import PoseDensity
from .preflight import LAYER_DECAY, metainfo_of

HARD_VIEWS = (dict(type='JointCutout'), dict(type='HardAffine'))
# of so many joints JointCutout hides 4, of fewer joints fewer
BODY_JOINTS = 17
# the easy view, which a teacher sees, hides nothing and needs no label
TARGETS = ('GenerateTarget', 'DeviceTargets')
NOT_OF_EASY_VIEWS = ('RandomHalfBody', 'Albumentation', *TARGETS,
                     'PoseDensityWeights', 'PackPoseInputs')
# they weigh pixels by targets in [0, heatmap_max]
PIXEL_LOSSES = ('FocusMSELoss', 'HeatmapWeightingMSELoss', 'WeightAdaptiveMSELoss')
HEATMAP_LOSSES = ('KeypointMSELoss', 'KeypointOHKMMSELoss', *PIXEL_LOSSES)
LINEAR_LOSSES = ('KeypointMSELoss', *PIXEL_LOSSES, 'RankSortLoss',
                 'RankSortDiscretLoss', 'ExpectedOKSLoss', 'KLDiscretLoss', 'L1Loss',
                 'RLELoss', 'MaskedMSELoss', 'SoftWeightSmoothL1Loss',
                 'InstanceWeightedLoss')
# they multiply by the weight before they compare
NONLINEAR_LOSSES = ('KeypointOHKMMSELoss', 'CombinedTargetMSELoss', 'MSELoss',
                    'AdaptiveWingLoss', 'SmoothL1Loss', 'WingLoss', 'SoftWingLoss')
# of balancers that are given by name, so that no term has the gradient to itself
STARTS = {
    'UncertaintyBalancer': dict(log_variance='first_batch'),
    'GradNormBalancer': dict(weights='first_batch'),
}
# the losses that heads of stock configs return
TERMS = {
    'AssociativeEmbeddingHead': ['loss_kpt', 'loss_pull', 'loss_push'],
    'CIDHead': ['loss/heatmap_coupled', 'loss/heatmap_decoupled',
                'loss/contrastive'],
    'DEKRHead': ['loss/heatmap', 'loss/displacement'],
    'DSNTHead': {'coordinate': 'loss_kpt[0]', 'heatmap': 'loss_kpt[1]'},
    'InternetHead': ['loss_kpt', 'loss_rel_root', 'loss_hand_type'],
    'RTMOHead': ['loss_bbox', 'loss_vis', 'loss_mle', 'loss_oks', 'loss_cls'],
    'VisPredictHead': ['loss_kpt', 'loss_vis'],
    'YOLOXPoseHead': ['loss_obj', 'loss_bbox', 'loss_kpt', 'loss_vis',
                      'loss_cls'],
}


def semi_supervised(cfg: Config, images: str | Path | Mapping,
                    method: str = 'PoseDual', labels: str | Path | None = None,
                    hard_views: Sequence | None = None,
                    batch_size: int | None = None,
                    source_ratio: Sequence[float] = (1, 1),
                    **options) -> Config:
    """Learn from unlabeled images, too: :class:`PoseDual`.

    Hooks of the base that switch pipelines or average weights are left out, as
    they know neither the mixed data nor the networks.

    Args:
        cfg (Config): Of a top-down pose estimator with heatmaps or SimCC.
        images (str or dict): A folder whose images show one person each, an
            annotation file (``.json``) with boxes, in ``data_root`` and image
            folder of the labeled data, or keys of :class:`UnlabeledPoseDataset`.
        method (str): ``'PoseDual'``, ``'PoseCons'`` or ``'PoseTriple'``.
        labels (str, optional): Annotation file of the labeled subset, in the
            ``data_root`` of the base.
        hard_views (list, optional): As the model takes them. Defaults to
            :class:`JointCutout`, of as large a share of few joints as of a body's,
            and :class:`HardAffine`.
        batch_size (int, optional): Labeled and unlabeled images together.
            Defaults to that of the base.
        source_ratio (list): Labeled to unlabeled images in a batch.
        options: Other keys of the model.

    Raises:
        UserError: If the model or its data cannot be trained so.
    """
    one_of(('PoseDual', 'PoseCons', 'PoseTriple'), method=method)
    cfg = _begin(cfg)
    _check_outputs(cfg, method)
    _check_options(method, options)
    if hard_views is None:
        hard_views = _hard_views(cfg.train_dataloader.dataset)
    _wrap(cfg, type=method, network=cfg.model,
          hard_views=copy.deepcopy(list(hard_views)), **options)
    _mix(cfg, images, labels, batch_size, source_ratio)
    for key in ('val_evaluator', 'test_evaluator'):
        if cfg.get(key):
            cfg[key] = dict(type='NetworksEvaluator', metrics=cfg[key])
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks
                        if not is_of_class(hook, 'EMAHook')]
    return _complete(cfg, 'DualNetworkHook', 'UnreadableImagesHook')


def distill(cfg: Config, teacher: str | Mapping, checkpoint: str | None = None,
            images: str | Path | Mapping | None = None, alpha: float = 0.5,
            labels: str | Path | None = None, batch_size: int | None = None,
            source_ratio: Sequence[float] | None = (1, 1), **options) -> Config:
    """Learn from a trained teacher, too: :class:`FastPoseDistiller`.

    Args:
        cfg (Config): Of the student, as for :func:`semi_supervised`.
        teacher (str or dict): Path or stock name of its config, or its model.
        checkpoint (str, optional): Path or URL of its weights. A stock teacher
            defaults to those of MMPose's model zoo.
        images (str or dict, optional): Unlabeled images beside the labeled
            ones. These, ``labels``, ``batch_size`` and ``source_ratio`` are as
            for :func:`semi_supervised`; a ratio of ``None`` shuffles all.
        alpha (float): Share of the teacher in the loss, from 0 to 1.
        options: Other keys of the model.

    Raises:
        UserError: As :func:`semi_supervised`, or if there is no checkpoint.
    """
    cfg = _begin(cfg)
    _check_outputs(cfg, 'FastPoseDistiller')
    _check_options('FastPoseDistiller', options)
    if is_of_class(cfg.model.head, 'MSPNHead'):
        raise UserError('distill: an MSPNHead learns heatmaps of several sizes, but '
                        'a teacher gives one')
    _wrap(cfg, type='FastPoseDistiller', teacher=teacher,
          teacher_checkpoint=checkpoint or _zoo_checkpoint(teacher),
          student=cfg.model, alpha=alpha, **options)
    if images is None:
        _of_labels(cfg.train_dataloader, labels, batch_size)
        return _complete(cfg, 'DistillationHook')
    _mix(cfg, images, labels, batch_size, source_ratio)
    return _complete(cfg, 'DistillationHook', 'UnreadableImagesHook')


def weigh_poses(cfg: Config, file: str | Path | None = None,
                **options) -> Config:
    """Weigh training samples by the rarity of their poses.

    A loss that is not linear in weights becomes an :class:`InstanceWeightedLoss`.

    Args:
        cfg (Config): Of a top-down pose estimator, also within
            :class:`PoseDual` or :class:`FastPoseDistiller`.
        file (str, optional): Where ``density fit`` writes the pose density, by
            default ``work_dirs/pose_density/NAME_OF_THE_ANNOTATIONS.npz``.
        options: As those of ``density fit``.

    Raises:
        UserError: If the data are not single people of one annotation file, or
            the loss ignores weights.
    """
    cfg = _begin(cfg)
    head = _top_down(cfg, 'weigh_poses').head
    losses = head.get('loss')
    losses = losses if isinstance(losses, list) else [losses]
    for one in losses:
        if _type(one) not in LINEAR_LOSSES + NONLINEAR_LOSSES:
            raise UserError(f'weigh_poses: {_type(one)}, the loss of a '
                            f'{_type(head)}, is not known to weigh samples')
        if not (one.get('use_target_weight') or _type(one) in (
                'KeypointMSELoss', 'MaskedMSELoss', 'InstanceWeightedLoss')):
            raise UserError(f'weigh_poses: {_type(one)} ignores weights. Set its '
                            'use_target_weight=True')
    losses = [dict(type='InstanceWeightedLoss', loss=one)
              if _type(one) in NONLINEAR_LOSSES else one for one in losses]
    head.loss = losses if isinstance(head.loss, list) else losses[0]

    if any(components_of_class(cfg.train_dataloader, 'PoseDensityWeights')):
        raise UserError('weigh_poses: the config has PoseDensityWeights already')
    file = _with_density(cfg, 'weigh_poses', file, options)
    for key in _training_keys(cfg):
        cfg[key] = _after_targets(
            cfg[key], dict(type='PoseDensityWeights', file=file))
    cfg.setdefault('default_hooks', {})['pose_density'] = dict(
        type='PoseDensityHook')
    return _complete(cfg)


def draw_rare_poses(cfg: Config, file: str | Path | None = None,
                    **options) -> Config:
    """Show rare poses more often, by a :class:`PoseDensitySampler`.

    Where unlabeled images come beside, the labeled ones of each batch are drawn so.

    Args:
        cfg (Config): Of a top-down pose estimator, also within
            :class:`PoseDual` or :class:`FastPoseDistiller`.
        file, options: As of :func:`weigh_poses`.

    Raises:
        UserError: If the data are not single people of one annotation file, or
            another sampler than MMPose's default one orders them.
    """
    cfg = _begin(cfg)
    _top_down(cfg, 'draw_rare_poses')
    file = _with_density(cfg, 'draw_rare_poses', file, options)
    loader = cfg.train_dataloader
    sampler = loader.get('sampler') or dict(type='DefaultSampler')
    if _type(sampler) == 'EpochMultiSourceSampler':
        sampler['densities'] = [
            None if _type(source) == 'UnlabeledPoseDataset' else file
            for source in loader.dataset.datasets]
    elif any(components_of_class(loader, 'UnlabeledPoseDataset')):
        raise UserError(f'draw_rare_poses: a {_type(sampler)} mixes labeled and '
                        'unlabeled images. Take an EpochMultiSourceSampler')
    elif _type(sampler) == 'DefaultSampler':
        loader['sampler'] = dict(type='PoseDensitySampler', file=file)
    else:
        raise UserError(f'draw_rare_poses: {_type(sampler)} orders the samples already')
    return _complete(cfg)


def _with_density(cfg: Config, recipe: str, file: str | Path | None,
                  options: Mapping) -> str:
    """Name the density of a config's poses in it; returns its file."""
    labeled = [one for _, one in components(cfg.train_dataloader.dataset)
               if one.get('ann_file') and _type(one) != 'UnlabeledPoseDataset']
    if len(labeled) != 1:
        raise UserError(
            f'{recipe}: a pose density is of one annotation file, but '
            f'train_dataloader has {len(labeled)} labeled data sets')
    file = str(file or Path('work_dirs', 'pose_density',
                            f'{Path(labeled[0].ann_file).stem}.npz'))
    if not file.endswith('.npz'):
        raise UserError(f'{recipe}: file must end in .npz, but it is {file}')
    PoseDensity(**options)  # refuses what it does not take
    cfg.pose_density = dict(file=file, **options)
    return file


def focus_heatmaps(cfg: Config,
                   loss: str | Mapping = 'FocusMSELoss') -> Config:
    """Put a heatmap loss of this package in the place of MSE.

    Args:
        cfg (Config): Of any pose estimator that learns heatmaps by MSE,
            top-down or bottom-up, also within the other recipes.
        loss (str or dict): Its type, or its config. It keeps the old one's
            ``use_target_weight``, ``skip_empty_channel`` and ``loss_weight``.

    Raises:
        UserError: If the head has no such loss.
    """
    cfg = _begin(cfg)
    loss = _component(loss)
    head = _network(cfg).get('head') or {}
    head = head.head if is_of_class(head, 'BalancedHead') else head
    if _type(loss) in PIXEL_LOSSES and is_of_class(
            head.get('decoder'), 'MegviiHeatmap'):
        loss.setdefault('heatmap_max', 255.)
    found = False
    for key, value in head.items():
        old = value if isinstance(value, list) else [value]
        if old and all(_type(one) in HEATMAP_LOSSES for one in old):
            found = True
            # losses of several stages weigh by stage; one serves all of them
            kept = ('use_target_weight', *(
                ('skip_empty_channel', 'loss_weight') if len(old) == 1 else ()))
            head[key] = {**{name: old[0][name] for name in kept
                            if name in old[0]}, **loss}
    if not found:
        raise UserError(f'focus_heatmaps: a {_type(head)} has no KeypointMSELoss, so '
                        'it does not learn heatmaps by their squared error')
    return _complete(cfg)


def balance(cfg: Config, balancer: str | Mapping = 'UncertaintyBalancer',
            terms: Sequence[str] | Mapping | None = None, **options) -> Config:
    """Balance the losses of a head that has several: :class:`BalancedHead`.

    Args:
        cfg (Config): Of any pose estimator.
        balancer (str or dict): Its type, or its config. By its type alone, it starts
            from the first batch, if it can.
        terms (list or dict, optional): Names of the losses. Defaults to those
            of a head that stock configs have.
        options: Other keys of :class:`BalancedHead`.

    Raises:
        UserError: If the head is not known to return several.
    """
    cfg = _begin(cfg)
    if isinstance(balancer, str):
        balancer = dict(STARTS.get(balancer, {}), type=balancer)
    balancer = _component(balancer)
    network = _network(cfg)
    head = network.get('head')
    terms = terms or TERMS.get(_type(head))
    if is_of_class(head, 'IntegralPose3DHead'):
        head.balancer = balancer
    elif terms:
        _check_options('BalancedHead', options)
        network.head = dict(type='BalancedHead', head=head, terms=terms,
                            balancer=balancer, **options)
    else:
        raise UserError(f'balance: a {_type(head)} is not known to return several '
                        "losses. If it does, name them: terms=['loss_…', …]")
    return _complete(cfg)


def cache_crops(cfg: Config, cache: str = 'disk', **options) -> Config:
    """Read people's crops in training instead of images: :func:`CropCache`.

    Workers hand them on by :func:`quick_collate`, unless the config says how. This
    recipe comes after others that change the data.

    Args:
        cfg (Config): Of a top-down training.
        cache (str): ``'disk'`` or ``'ram'``.
        options: Other arguments of :func:`mmpose_wloss.datasets.cache_crops`.

    Raises:
        UserError: If there are no data sets, or their crops are cached already.
    """
    cfg = _begin(cfg)
    one_of(('disk', 'ram'), cache=cache)
    _top_down(cfg, 'cache_crops')
    leaves = [one for _, one in data_sets(cfg.train_dataloader.dataset)]
    if any(one.get('cache') for _, one in components(cfg.train_dataloader)):
        raise UserError('cache_crops: the config caches crops already')

    def cached(part: Any) -> Any:
        if part in leaves:
            if issubclass(DATASETS.get(_type(part)), CropCaching):
                return dict(part, cache=dict(cache=cache, **options)
                            if options else cache)
            return dict(type='CropCache', cache=cache, **options, dataset=part)
        if isinstance(part, dict):
            return {key: cached(value) for key, value in part.items()}
        if isinstance(part, (list, tuple)):
            return type(part)(cached(value) for value in part)
        return part

    # also variables that the data sets are made of
    for key in _training_keys(cfg):
        cfg[key] = cached(cfg[key])
    cfg.train_dataloader.setdefault('collate_fn', dict(type='quick_collate'))
    return _complete(cfg)


def device_targets(cfg: Config) -> Config:
    """Draw targets on the device, a batch at a time: :class:`DeviceTargets`.

    Args:
        cfg (Config): Of a top-down pose estimator whose codec is an
            ``MSRAHeatmap``, ``UDPHeatmap``, ``MegviiHeatmap``, ``HourglassHeatmap``
            or ``SimCCLabel``, also within the other recipes.

    Raises:
        UserError: If the codec is another one, or no ``GenerateTarget`` is there.
    """
    cfg = _begin(cfg)
    steps = [step for key in _training_keys(cfg)
             for _, step in components_of_class(cfg[key], 'GenerateTarget')]
    if not steps:
        raise UserError('device_targets: no pipeline of the training has a '
                        'GenerateTarget, whose place DeviceTargets takes')
    for step in steps:
        step.type = 'DeviceTargets'
        with DefaultScope.overwrite_default_scope('mmpose'):
            TRANSFORMS.build(copy.deepcopy(step))  # refuses what it does not draw
    return _complete(cfg, 'DeviceTargetsHook')


def _training_keys(cfg: Config) -> list[str]:
    return [key for key in cfg if not key.startswith(('val', 'test'))]


def _begin(cfg: Config) -> Config:
    cfg = copy.deepcopy(cfg)
    if not cfg.get('model'):
        raise UserError('the config has no model')
    add_import(cfg)
    return cfg


def _wrap(cfg: Config, **model) -> None:
    """Put the network into a model, where its optimizer is to find its layers."""
    cfg.model = model
    if cfg.get('optim_wrapper', {}).get('constructor') == LAYER_DECAY:
        cfg.optim_wrapper.constructor = f'Wrapped{LAYER_DECAY}'


def _complete(cfg: Config, *hooks: str) -> Config:
    """Add hooks to those of the base."""
    if hooks:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []),
                            *(dict(type=name) for name in hooks)]
    # all dicts in it become MMEngine's
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename)


def _component(config: str | Mapping) -> dict:
    """The config of a registered model or loss, given by its type or whole."""
    config = dict(type=config) if isinstance(config, str) else dict(config)
    if 'type' not in config:
        raise UserError(f'{config} lacks its type: add type=CLASS')
    if MODELS.get(config['type']) is None:
        near = get_close_matches(config['type'], MODELS.module_dict, cutoff=.5)
        raise UserError(f'no {config["type"]} is registered' +
                        (f'. Did you mean {", ".join(near)}?' if near else ''))
    return config


def _check_options(kind: str, options: Mapping) -> None:
    """Refuse options that a model does not take."""
    known = signature(MODELS.get(kind)).parameters
    for name in options:
        if name not in known:
            raise UserError(f'{kind} has no option {name}. It takes '
                            f'{", ".join(known)}')


def _type(config: Any) -> str:
    kind = config.get('type') if isinstance(config, dict) else None
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def _network(cfg: Config) -> dict:
    """The stock pose estimator, wrapped by a recipe or not."""
    return cfg.model.get('network') or cfg.model.get('student') or cfg.model


def _top_down(cfg: Config, recipe: str) -> dict:
    network = _network(cfg)
    if _type(network) not in ('TopdownPoseEstimator', 'TopdownPose3DEstimator'):
        raise UserError(f'{recipe} is for top-down pose estimators, which see one '
                        f'person at a time, but the model is a {_type(network)}')
    if not cfg.get('train_dataloader'):
        raise UserError(f'{recipe}: the config has no train_dataloader')
    return network


def _check_outputs(cfg: Config, method: str) -> None:
    """Refuse a head whose outputs cannot be taught."""
    network = _top_down(cfg, method)
    if network is not cfg.model:
        raise UserError(
            f'{method} takes a stock pose estimator, but the model is a '
            f'{_type(cfg.model)} already. To let its networks teach, write one as '
            'a stock checkpoint (mmpose_wloss export) and name it as a teacher')
    with DefaultScope.overwrite_default_scope('mmpose'):
        head = MODELS.build(copy.deepcopy(network.head))
    keypoint_outputs(head)
    check_weighted(head.loss_module)


def _mix(cfg: Config, images: str | Path | Mapping, labels: str | Path | None,
         batch_size: int | None, source_ratio: Sequence[float] | None) -> None:
    """Mix unlabeled samples into the batches."""
    loader = cfg.train_dataloader
    # the sampler repeats what is short
    labeled = _of_labels(loader, labels, batch_size)
    if not is_of_class((labeled.get('pipeline') or [None])[-1], 'PackPoseInputs'):
        raise UserError('train_dataloader.dataset.pipeline must end in '
                        'PackPoseInputs')
    metainfo = labeled.get('metainfo') or DATASETS.get(_type(labeled)).METAINFO
    cfg.unlabeled = _unlabeled(images, labeled, metainfo)
    cfg.labeled = dict(labeled, pipeline=labeled.pipeline[:-1])
    loader.dataset = dict(
        type='CombinedDataset', metainfo=metainfo,
        datasets=[cfg.labeled, cfg.unlabeled],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')])
    cfg.batch_size = loader.batch_size
    if source_ratio is not None:
        loader.sampler = dict(
            type='EpochMultiSourceSampler', batch_size=cfg.batch_size,
            source_ratio=list(source_ratio))
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or []
                        if 'switch_pipeline' not in hook]


def _of_labels(loader: ConfigDict, labels: str | Path | None,
               batch_size: int | None) -> ConfigDict:
    """Give a loader an annotation file and a batch size; returns the labeled set."""
    labeled = loader.dataset
    while is_of_class(labeled, 'RepeatDataset'):
        labeled = labeled.dataset
    if labels is not None:
        if 'ann_file' not in labeled:
            raise UserError(f'labels: a {_type(labeled)} has no ann_file')
        labeled.ann_file = _below(labeled.get('data_root'), labels)
    if batch_size is not None:
        whole(batch_size=batch_size)
        loader.batch_size = batch_size
    return labeled


def _hard_views(dataset: dict) -> tuple[dict, dict]:
    """The default ones for the joints of a data set, which others may wrap."""
    metainfo = metainfo_of(dataset) or dict(num_keypoints=BODY_JOINTS)
    count = max(1, round(4 * metainfo['num_keypoints'] / BODY_JOINTS))
    return HARD_VIEWS if count >= 4 else (
        dict(HARD_VIEWS[0], num_joints=count), HARD_VIEWS[1])


def _unlabeled(images: str | Path | Mapping, labeled: dict,
               metainfo: dict) -> dict:
    if not isinstance(images, Mapping):
        images = (dict(ann_file=str(images)) if str(images).endswith('.json')
                  else dict(data_prefix=dict(img=str(images))))
    config = dict(type='UnlabeledPoseDataset')
    if metainfo != UnlabeledPoseDataset.METAINFO:
        config['metainfo'] = metainfo
    if 'ann_file' in images:
        config |= {key: labeled[key] for key in ('data_root', 'data_prefix')
                   if key in labeled}
    config |= images
    if 'ann_file' in images:
        config['ann_file'] = _below(config.get('data_root'), images['ann_file'])
    if 'pipeline' not in config:
        config['pipeline'] = [dict(step) for step in labeled.pipeline
                              if _type(step) not in NOT_OF_EASY_VIEWS]
        for step in config['pipeline']:
            # where there are no boxes, the whole image
            if is_of_class(step, 'GetBBoxCenterScale') and 'ann_file' not in config:
                step['padding'] = 1.
    return config


def _below(root: str | None, file: str | Path) -> str:
    """A path as a data set of this root names it.

    A relative one is below the root, or else of the working directory.
    """
    path = Path(file)
    here = (not path.is_absolute() and path.is_file()
            and not Path(root or '', path).is_file())
    return (relpath(path, root) if root and (here or path.is_relative_to(root))
            else str(file))


def _zoo_checkpoint(teacher: str | Mapping) -> str:
    try:
        return get_config(teacher, pretrained=True).model_path
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise UserError('distill: checkpoint must name the weights of the teacher, '
                        'unless it is in the model zoo of MMPose') from error


def _after_targets(config: Any, step: dict) -> Any:
    """A part of a config with a step after each that makes targets."""
    if isinstance(config, dict):
        return {key: _after_targets(value, step) for key, value in config.items()}
    if not isinstance(config, (list, tuple)):
        return config
    steps = []
    for each in config:
        steps.append(_after_targets(each, step))
        if any(is_of_class(each, name) for name in TARGETS):
            steps.append(dict(step))
    return type(config)(steps)
