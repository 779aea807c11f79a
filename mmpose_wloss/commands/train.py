"""``python -m mmpose_wloss train CONFIG``: train a model."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .. import register_all_modules
from ..common.configs import change_config
from ..common.errors import UserError
from ..common.files import check_config_path, existing_checkpoint
from ..compat.freed_memory import keep_freed_memory
from .arguments import load_config, run_parser

if TYPE_CHECKING:
    from mmengine.config import Config

# MMEngine's backends, by the package that each needs
LOGGERS = dict(tensorboard='TensorboardVisBackend', wandb='WandbVisBackend',
               mlflow='MLflowVisBackend')


def main(arguments: list[str] | None = None) -> int:
    """Train a model, with MMPose's arguments.

    The config is checked before anything is built: files that it names are
    there, and components fit together. Hooks that its components need are
    added, and a :class:`ResumableRandomnessHook`. On a CPU, what a step frees is
    kept for the next one.

    Args:
        arguments (list[str], optional): Those of the command line by default.

    Returns:
        int: 0.
    """
    parser = run_parser('train', 'Train a model, or go on with --resume.')
    parser.add_argument(
        '--resume', nargs='?', const='auto', help='go on from this checkpoint, '
        'or without a value from the last one of the work directory')
    parser.add_argument('--amp', action='store_true',
                        help='train in mixed precision')
    parser.add_argument('--no-validate', action='store_true',
                        help='evaluate no checkpoint')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale '
                        'the learning rate by the actual batch size')
    parser.add_argument(
        '--log-to', nargs='+', default=[], choices=LOGGERS, help='where losses and '
        'figures of validations go beside the log of the work directory')
    args = parser.parse_args(arguments)
    check_config_path(args.config)
    if args.resume not in (None, 'auto'):
        existing_checkpoint(args.resume)

    register_all_modules()
    from mmengine.device import get_device
    from mmengine.runner import Runner

    from ..compat.process_groups import end_process_groups, start_cpu_processes
    from ..engine.hooks import WholeCheckpointHook
    from ..preflight import (
        add_hooks,
        check_areas,
        check_components,
        check_files,
        check_finite,
        check_numbers,
    )

    cfg = load_config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        train_in_mixed_precision(cfg)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        cfg.setdefault('auto_scale_lr', {})['enable'] = True
    change_config(cfg, args.cfg_options)
    log_to(cfg, args.log_to)
    if 'preprocess_cfg' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.preprocess_cfg)

    check_components(cfg)
    check_files(cfg, ['train', 'val'])
    check_numbers(cfg)
    check_finite(cfg, ['train', 'val'])
    check_areas(cfg, ['val'])
    if cfg.get('load_from'):
        existing_checkpoint(cfg.load_from)
    add_hooks(cfg)
    start_cpu_processes(cfg)
    if get_device() == 'cpu':
        keep_freed_memory()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(WholeCheckpointHook(
        cfg.get('load_from') or f'the last checkpoint of {cfg.work_dir}',
        part=not cfg.get('resume')))
    runner.train()
    end_process_groups()
    return 0


def log_to(cfg: 'Config', names: Sequence[str]) -> None:
    """Let the visualizer write to more backends.

    Args:
        cfg (Config): The config to change.
        names (Sequence[str]): Of :data:`LOGGERS`.

    Raises:
        UserError: If a backend's package is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise UserError(f'--log-to {name} needs the package: pip install {name}')
        cfg.setdefault('visualizer', dict(type='PoseLocalVisualizer'))
        visualizer = cfg.visualizer
        backends = visualizer.setdefault(
            'vis_backends', [dict(type='LocalVisBackend')])
        if not any(backend['type'] == LOGGERS[name] for backend in backends):
            # other keys of the config may hold the same list
            visualizer['vis_backends'] = [*backends, dict(type=LOGGERS[name])]


def train_in_mixed_precision(cfg: 'Config') -> None:
    """Take the place of the ``OptimWrapper`` by one in mixed precision.

    It is an ``AmpOptimWrapper``, in float16, and on a CPU, where MMEngine's
    refuses, a :class:`Bfloat16OptimWrapper`. That of a
    :class:`JacobianOptimWrapper` is in bfloat16 everywhere.

    Args:
        cfg (Config): Config of a training, changed in place.

    Raises:
        UserError: If the config has a wrapper of its own.
    """
    from mmengine.device import get_device

    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    kind = getattr(kind, '__name__', kind)
    if kind.startswith('Bfloat16'):
        return
    if kind == 'JacobianOptimWrapper':
        cfg.optim_wrapper.type = 'Bfloat16JacobianOptimWrapper'
        return
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'--amp takes the place of an OptimWrapper, but '
                        f'optim_wrapper.type is {kind}')
    if get_device() == 'cpu':
        cfg.optim_wrapper.type = 'Bfloat16OptimWrapper'
        for name in ('loss_scale', 'dtype'):
            cfg.optim_wrapper.pop(name, None)
    else:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
