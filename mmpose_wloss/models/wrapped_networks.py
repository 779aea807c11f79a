"""Networks out of trainings that wrap them, as plain stock checkpoints."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.registry import Registry, init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from mmpose.registry import (
    DATASETS,
    EVALUATORS,
    HOOKS,
    KEYPOINT_CODECS,
    METRICS,
    MODELS,
    TRANSFORMS,
    VISUALIZERS,
)
from torch import Tensor, nn

from ..compat.private_api import keep_module_versions
from .distillers.frozen_teacher import load_strictly

# where a checkpoint keeps a network, by the name it is asked for; the average
# of a single network is simply 'ema'
PLACES = {
    'first': 'networks.first.',
    'second': 'networks.second.',
    'ema': 'averages.first.module.',
    'ema_first': 'averages.first.module.',
    'ema_second': 'averages.second.module.',
    'student': 'student.',
}
# what of a test can be of this package
REGISTRIES = (DATASETS, EVALUATORS, HOOKS, KEYPOINT_CODECS, METRICS, MODELS,
              TRANSFORMS, VISUALIZERS)
# where a config keeps a network
KEYS = ('network', 'student')


def network_state(state_dict: dict[str, Tensor],
                  name: str) -> 'OrderedDict[str, Tensor]':
    """The part of a state that belongs to one network, under its own names.

    Args:
        state_dict (dict): State of a :class:`PoseCons`, a :class:`PoseDual`
            or a :class:`FastPoseDistiller`.
        name (str): ``'first'``, ``'second'``, ``'ema_first'`` (or
            ``'ema'``), ``'ema_second'``; ``'student'``.

    Returns:
        OrderedDict: As the stock model's ``state_dict()`` gives it.

    Raises:
        KeyError: If the state has no such network; names those that it has.
    """
    there = networks_in(state_dict)
    if name not in there:
        raise KeyError(
            f'there is no network {name!r}: ' +
            (f'there are {", ".join(there)}' if there else
             'this is no checkpoint of PoseCons, PoseDual or '
             'FastPoseDistiller'))
    place = PLACES[name]
    state = OrderedDict((key[len(place):], value)
                        for key, value in state_dict.items()
                        if key.startswith(place))
    keep_module_versions(state, state_dict, place)
    return state


def networks_in(state_dict: dict[str, Tensor]) -> list[str]:
    """The networks that a state holds beside others; none of a plain one."""
    return [name for name, place in PLACES.items()
            if any(key.startswith(place) for key in state_dict)]


def stock_config(config: Config) -> Config:
    """The config of the network alone, with its own evaluation.

    Args:
        config (Config): Config of a training that wraps a network.

    Returns:
        Config: The same with the stock model, the stock evaluators and
        without what only trains.

    Raises:
        KeyError: If the config's model wraps no network.
    """
    key = next((key for key in KEYS if key in config.model), None)
    if key is None:
        raise KeyError(
            f'the model {config.model.type} has no `network` and no '
            '`student`: only PoseCons, PoseDual and FastPoseDistiller have '
            'networks to export')
    stock = Config(config.to_dict())
    stock.model = config.model[key]
    if config.model.get('data_preprocessor'):
        stock.model.data_preprocessor = config.model.data_preprocessor
    for key in ('val_evaluator', 'test_evaluator'):
        if is_ours(stock.get(key), 'NetworksEvaluator'):
            stock[key] = stock[key]['metrics']
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper',
                'param_scheduler', 'auto_scale_lr', 'load_from', 'resume'):
        stock.pop(key, None)
    stock.custom_hooks = [
        hook for hook in stock.get('custom_hooks') or []
        if not any(is_ours(hook, name) for name in names_of_ours(HOOKS))]
    used = ''.join(str(stock.get(key)) for key in (
        'model', 'val_dataloader', 'test_dataloader', 'val_evaluator',
        'test_evaluator', 'default_hooks', 'visualizer'))
    if not any(f"'{name}'" in used for registry in REGISTRIES
               for name in names_of_ours(registry)):
        # MMPose alone can run it
        imports = stock.get('custom_imports') or dict(imports=[])
        others = [name for name in imports['imports']
                  if name != 'mmpose_wloss']
        stock.pop('custom_imports', None)
        if others:
            stock.custom_imports = dict(imports, imports=others)
    return stock


def is_ours(config: dict | None, name: str) -> bool:
    """Whether a config is one of a class, by its name or, lazy, by itself."""
    kind = config.get('type') if isinstance(config, dict) else None
    kind = getattr(kind, '__name__', kind)
    return isinstance(kind, str) and kind.rpartition('.')[2] == name


def names_of_ours(registry: Registry) -> list[str]:
    """What this package has registered."""
    return [name for name, member in registry.module_dict.items()
            if member.__module__.startswith('mmpose_wloss.')]


def save_whole(content: dict, path: Path) -> None:
    """Save a checkpoint; a failed write leaves an old file whole."""
    partial = path.with_name(f'{path.name}.partial')
    torch.save(content, partial)
    os.replace(partial, path)


def load_network(config: str | Config, checkpoint: str,
                 name: str | None = None) -> tuple[nn.Module, Config]:
    """Load a stock pose estimator out of any checkpoint that holds it.

    Args:
        config (str or Config): Config that the checkpoint was trained with,
            or its path: of a stock model, or of one that wraps it.
        checkpoint (str): A stock checkpoint, or one of a training of
            :class:`PoseCons`, :class:`PoseDual` or
            :class:`FastPoseDistiller`.
        name (str, optional): Which network of the checkpoint, as in
            :func:`network_state`. Defaults to ``None``: the only one, or the
            first.

    Returns:
        tuple[nn.Module, Config]: The model in evaluation mode on the CPU, and
        its stock config.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        KeyError: If the checkpoint holds no such network.
        ValueError: If it does not fit.
    """
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise FileNotFoundError(f'there is no config {config}')
        config = Config.fromfile(config)
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'there is no checkpoint {checkpoint}')
    if any(key in config.model for key in KEYS):
        config = stock_config(config)
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    state = content.get('state_dict', content)
    there = networks_in(state)
    if name is not None or there:
        state = network_state(state, name or there[0])
    init_default_scope(config.get('default_scope', 'mmpose'))
    model = MODELS.build(config.model)
    load_strictly(model, state, checkpoint)
    model.dataset_meta = content.get('meta', {}).get('dataset_meta')
    return model.eval(), config


def export_network(checkpoint: str, name: str | None,
                   out: str) -> tuple[Path, Path]:
    """Write one network of a checkpoint as a stock checkpoint and its config.

    Args:
        checkpoint (str): Checkpoint of a training of :class:`PoseCons`,
            :class:`PoseDual` or :class:`FastPoseDistiller`, which holds its
            config.
        name (str, optional): As in :func:`network_state`. ``None`` takes the
            student, or the first network.
        out (str): The file to write, ``.pth``; the config is written beside
            it as ``.py``.

    Returns:
        tuple[Path]: Checkpoint and config.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        KeyError: If it holds no such network or no config.
        RuntimeError: If the network does not load strictly into the config.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'there is no checkpoint {checkpoint}')
    out = Path(out)
    if out.suffix != '.pth':
        raise ValueError(f'--out must end in .pth, but it is {out}')
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    meta = content.get('meta', {})
    if 'cfg' not in meta:
        raise KeyError(f'{checkpoint} does not hold the config that it was '
                       'trained with: it was not written by a training')
    state = content['state_dict']
    state = network_state(state, name or (networks_in(state) or ['first'])[0])
    config = stock_config(Config.fromstring(meta['cfg'], '.py'))
    init_default_scope(config.get('default_scope', 'mmpose'))
    MODELS.build(config.model).load_state_dict(state, strict=True)

    out.parent.mkdir(parents=True, exist_ok=True)
    save_whole(stock_checkpoint(state, meta, config), out)
    config.dump(str(out.with_suffix('.py')))
    return out, out.with_suffix('.py')


def stock_checkpoint(state: dict[str, Tensor], meta: dict,
                     config: Config) -> dict:
    """What a stock checkpoint holds, without what only trains.

    Args:
        state (dict): State of the network.
        meta (dict): Meta information of the training's checkpoint.
        config (Config): The network's config.

    Returns:
        dict: ``meta`` and ``state_dict``.
    """
    kept = {key: meta[key] for key in (
        'epoch', 'iter', 'dataset_meta', 'mmengine_version', 'seed')
        if key in meta}
    return dict(meta=dict(kept, cfg=config.pretty_text), state_dict=state)


def trained_state(runner) -> tuple[dict[str, Tensor], dict]:
    """State and meta information as a checkpoint of this moment has them.

    Args:
        runner (Runner): The runner of a training process.

    Returns:
        tuple[dict]: The model's state, averaged where an ``EMAHook`` averages
        it, and what :func:`stock_checkpoint` keeps.
    """
    model = (runner.model.module if is_model_wrapper(runner.model)
             else runner.model)
    meta = dict(epoch=runner.epoch, iter=runner.iter, seed=runner.seed)
    if hasattr(runner.train_dataloader.dataset, 'metainfo'):
        meta['dataset_meta'] = runner.train_dataloader.dataset.metainfo
    checkpoint = dict(state_dict=get_state_dict(model))
    runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
    return weights_to_cpu(checkpoint['state_dict']), meta


def save_networks(runner, names: Sequence[str], folder: Path,
                  config_name: str) -> None:
    """Write networks of a training as stock checkpoints, with their config.

    Args:
        runner (Runner): The runner of the training process.
        names (Sequence[str]): As in :func:`network_state`; each is written
            to a file of its name.
        folder (Path): Where to.
        config_name (str): Name of the config's file.
    """
    config = stock_config(runner.cfg)
    state, meta = trained_state(runner)
    for name in names:
        save_whole(stock_checkpoint(network_state(state, name), meta, config),
                   folder / f'{name}.pth')
    config.dump(str(folder / config_name))
