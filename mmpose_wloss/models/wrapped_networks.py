"""Networks out of trainings that wrap them, as plain stock checkpoints."""

import copy
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..common.configs import (
    components,
    components_of_class,
    is_of_class,
    without_cache,
)
from ..common.errors import UserError
from ..common.files import (
    check_config_path,
    check_spares,
    existing_checkpoint,
    replaced_whole,
    write_whole,
)
from ..common.hooks import model_of
from ..common.state_dicts import load_strictly
from ..compat.private_api import keep_module_versions
from ..preflight import class_of

# where a state has each network; the average of a single one is called 'ema'
NETWORK_PREFIXES = {
    'first': 'networks.first.',
    'second': 'networks.second.',
    'third': 'networks.third.',
    'ema': 'averages.first.module.',
    'ema_first': 'averages.first.module.',
    'ema_second': 'averages.second.module.',
    'ema_third': 'averages.third.module.',
    'student': 'student.',
}
# where the config of a model has the network that it wraps
NETWORK_KEYS = ('network', 'student')
TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'optim_wrapper',
                 'param_scheduler', 'auto_scale_lr', 'load_from', 'resume')
# what a test builds
TEST_KEYS = ('model', 'val_dataloader', 'test_dataloader', 'val_evaluator',
             'test_evaluator', 'default_hooks', 'visualizer')
KEPT_META = ('epoch', 'iter', 'dataset_meta', 'mmengine_version', 'seed')


def networks_in(state_dict: dict[str, Tensor]) -> list[str]:
    """Names of the networks that a training's state holds; none of a stock one."""
    return [name for name, prefix in NETWORK_PREFIXES.items()
            if any(key.startswith(prefix) for key in state_dict)]


def network_state(state_dict: dict[str, Tensor],
                  name: str) -> 'OrderedDict[str, Tensor]':
    """The state of one network, as the stock model has it.

    Args:
        state_dict (dict): State of a :class:`PoseCons`, :class:`PoseDual`,
            :class:`PoseTriple` or :class:`FastPoseDistiller`.
        name (str): ``'first'``, ``'second'``, ``'third'``, ``'ema_first'`` (or
            ``'ema'``), ``'ema_second'``, ``'ema_third'``; ``'student'``.

    Raises:
        UserError: If the state has no such network; names those that it has.
    """
    there = networks_in(state_dict)
    if name not in there:
        raise UserError(f'there is no network {name!r} among those of the checkpoint: '
                        f'{", ".join(there) or "it is a stock one"}')
    prefix = NETWORK_PREFIXES[name]
    state = OrderedDict((key.removeprefix(prefix), value)
                        for key, value in state_dict.items()
                        if key.startswith(prefix))
    keep_module_versions(state, state_dict, prefix)
    return state


def stock_config(config: Config) -> Config:
    """A copy of a config; where its model wraps a network, that of the network.

    The latter has the stock model and evaluators, and nothing that only trains.
    In both, data to validate and test on are read from images, not from a crop cache.
    """
    stock = copy.deepcopy(config)
    for key in ('val_dataloader', 'test_dataloader'):
        loader = stock.get(key)
        if loader and any(components_of_class(loader, 'CropCache')):
            stock[key] = dict(loader, dataset=without_cache(loader['dataset']))
    model = stock.model
    key = next((key for key in NETWORK_KEYS if key in model), None)
    if key is None:
        return stock
    stock.model = model[key]
    if model.get('data_preprocessor'):
        stock.model.data_preprocessor = model.data_preprocessor
    for key in ('val_evaluator', 'test_evaluator'):
        if is_of_class(stock.get(key), 'NetworksEvaluator'):
            stock[key] = stock[key]['metrics']
    for key in TRAINING_KEYS:
        stock.pop(key, None)
    stock.custom_hooks = [hook for hook in stock.get('custom_hooks') or []
                          if not _is_of_this_package(hook)]
    if not any(_is_of_this_package(one) for key in TEST_KEYS
               for _, one in components(stock.get(key))):
        # MMPose alone can run it
        imports = stock.pop('custom_imports', None) or dict(imports=[])
        others = [name for name in imports['imports'] if name != 'mmpose_wloss']
        if others:
            stock.custom_imports = dict(imports, imports=others)
    return stock


def _is_of_this_package(component: dict) -> bool:
    return getattr(class_of(component), '__module__', '').startswith(
        'mmpose_wloss.')


def write_checkpoint(content: dict, path: str | Path) -> None:
    """Save a checkpoint; a failed write leaves an old file whole."""
    with replaced_whole(path) as partial:
        torch.save(content, partial)


def write_with_config(content: dict, path: str | Path,
                      config: Config) -> tuple[Path, Path]:
    """Save a checkpoint, and its config beside it.

    Args:
        content (dict): What the checkpoint holds.
        path (str or Path): Its file.
        config (Config): Its config, for the file of the same name in ``.py``.

    Returns:
        tuple[Path]: Checkpoint and config.

    Raises:
        UserError: If that file holds something else already. Nothing is written.
    """
    path = Path(path)
    beside, text = path.with_suffix('.py'), config.pretty_text.encode()
    if beside.exists() and beside.read_bytes() != text:
        raise UserError(f'{beside}, where the config of {path} is to be written, holds '
                        f'something else. Name another file than {path}, or remove '
                        f'{beside} if nobody needs it')
    write_checkpoint(content, path)
    write_whole(beside, text)
    return path, beside


def read_config(config: str | Config | None, checkpoint: str) -> Config:
    """A config, its file, or for ``None`` the one that a checkpoint holds.

    Raises:
        MissingFile: If there is no such config or checkpoint.
        UserError: If the checkpoint holds none, or is none.
    """
    if isinstance(config, Config):
        return config
    if config is not None:
        check_config_path(config)
        return Config.fromfile(config)
    meta = read_checkpoint(checkpoint).get('meta') or {}
    if 'cfg' not in meta:
        raise UserError(f'{checkpoint} does not hold its config: name that too')
    return Config.fromstring(meta['cfg'], '.py')


def read_checkpoint(checkpoint: str) -> dict:
    """What a checkpoint holds.

    Args:
        checkpoint (str): Path or URL.

    Raises:
        MissingFile: If it is not there.
        UserError: If it is none.
    """
    existing_checkpoint(str(checkpoint))
    try:
        return CheckpointLoader.load_checkpoint(
            str(checkpoint), map_location='cpu')
    except (EOFError, LookupError, RuntimeError, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:
        raise UserError(f'{checkpoint} is cut off or no checkpoint: {error}'
                        ) from error


def load_network(config: str | Config | None, checkpoint: str,
                 name: str | None = None) -> tuple[nn.Module, Config]:
    """Load a stock pose estimator out of any checkpoint that holds it.

    Args:
        config (str | Config, optional): Config of the stock model or of the training
            that wraps it, or its path; ``None``: the one that the checkpoint holds.
        checkpoint (str): Path or URL of a checkpoint of either.
        name (str, optional): As of :func:`network_state`; ``None``: the student, or
            the first.

    Returns:
        tuple[nn.Module, Config]: The model in evaluation mode on the CPU, with the
        checkpoint's ``meta`` as ``checkpoint_meta``, and its stock config.

    Raises:
        MissingFile: If there is no such config or checkpoint.
        UserError: If the checkpoint lacks the network or the config, or does not fit.
    """
    config = stock_config(read_config(config, checkpoint))
    content = read_checkpoint(checkpoint)
    state = content.get('state_dict', content)
    name = name or next(iter(networks_in(state)), None)
    if name is not None:
        state = network_state(state, name)
    init_default_scope(config.get('default_scope', 'mmpose'))
    model = MODELS.build(config.model)
    load_strictly(model, state, checkpoint, 'Give the config that it was '
                  'trained with, or another checkpoint')
    model.checkpoint_meta = content.get('meta') or {}
    model.dataset_meta = model.checkpoint_meta.get('dataset_meta')
    return model.eval(), config


def export_network(config: str | Config | None, checkpoint: str, out: str,
                   name: str | None = None) -> tuple[Path, Path]:
    """Write one network of a checkpoint as a stock checkpoint and its config.

    Args:
        config (str | Config, optional): As of :func:`load_network`.
        checkpoint (str): Likewise.
        out (str): The file to write, ``.pth``, with the config beside it, ``.py``.
        name (str, optional): As of :func:`load_network`.

    Returns:
        tuple[Path]: Checkpoint and config.

    Raises:
        UserError: As of :func:`load_network` and :func:`write_with_config`, or if
            ``out`` is the checkpoint.
    """
    check_spares([out], [checkpoint])
    model, config = load_network(config, checkpoint, name)
    return write_with_config(stock_checkpoint(
        model.state_dict(), model.checkpoint_meta, config), out, config)


def stock_checkpoint(state: dict[str, Tensor], meta: dict,
                     config: Config) -> dict:
    """What a stock checkpoint holds: state, config and what describes data."""
    kept = {key: meta[key] for key in KEPT_META if key in meta}
    return dict(meta=dict(kept, cfg=config.pretty_text), state_dict=state)


def save_networks(runner, names: Sequence[str], folder: Path,
                  config_name: str) -> None:
    """Write networks of a training as stock checkpoints, with their config.

    Where an ``EMAHook`` averages the model, its averages are written.

    Args:
        runner (Runner): The runner of the training process.
        names (Sequence[str]): As of :func:`network_state`, and names of the files.
        folder (Path): Where to.
        config_name (str): Name of the config's file.
    """
    model = model_of(runner)
    meta = dict(epoch=runner.epoch, iter=runner.iter, seed=runner.seed)
    if hasattr(runner.train_dataloader.dataset, 'metainfo'):
        meta['dataset_meta'] = runner.train_dataloader.dataset.metainfo
    checkpoint = dict(state_dict=get_state_dict(model))
    runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
    state = weights_to_cpu(checkpoint['state_dict'])
    config = stock_config(runner.cfg)
    for name in names:
        write_checkpoint(stock_checkpoint(
            network_state(state, name), meta, config), folder / f'{name}.pth')
    write_whole(folder / config_name, config.pretty_text.encode())
