"""MMPose's arguments that ``train`` and ``test`` share, and what they change."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


class KeyValues(argparse.Action):
    """MMEngine's ``DictAction``, imported where there is something to parse."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from mmengine.config import DictAction

        try:
            DictAction(self.option_strings, self.dest)(parser, namespace, values)
        except (AssertionError, ValueError):
            raise argparse.ArgumentError(
                self, f'{" ".join(values)} is not of the form key=value, with as many '
                'brackets opened as closed') from None


def run_parser(verb: str, description: str) -> argparse.ArgumentParser:
    """A parser with the arguments of MMPose's own tools.

    Args:
        verb (str): ``'train'`` or ``'test'``.
        description (str): What it does.
    """
    parser = argparse.ArgumentParser(prog=f'mmpose_wloss {verb}',
                                     description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints. '
                        'Default: work_dirs/NAME_OF_THE_CONFIG')
    parser.add_argument('--show-dir', help='folder of pictures')
    parser.add_argument('--show', action='store_true',
                        help='show predictions in a window')
    parser.add_argument('--interval', type=int, default=1,
                        help='draw every so many samples')
    parser.add_argument('--wait-time', type=float, default=1,
                        help='seconds that a window stays')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeyValues, default={},
        help='keys of the config to change, key=value; a list is key="[a,b]", '
        'without spaces')
    parser.add_argument('--launcher', default='none', choices=[
        'none', 'pytorch', 'slurm', 'mpi'], help='what started the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def load_config(args: argparse.Namespace) -> 'Config':
    """Load a config and apply the arguments of :func:`run_parser`.

    Args:
        args (argparse.Namespace): What the parser gave.

    Raises:
        UserError: If it has no hook that draws and pictures are asked for, or the
            work directory is a file.
    """
    from mmengine.config import Config

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(
        Path('work_dirs', Path(args.config).stem))
    if Path(cfg.work_dir).is_file():
        raise UserError(f'--work-dir {cfg.work_dir} is a file: name a folder')
    # bad cases are shown by a hook of their own
    show = args.show and not getattr(args, 'badcase', False)
    if show or args.show_dir:
        _draw(_hook(cfg, 'visualization', "type='PoseVisualizationHook'"), args,
              show=show, out_dir=args.show_dir)
    return cfg


def check_device(device: str | None) -> None:
    """Check that PyTorch can compute on a device.

    Args:
        device (str, optional): Such as ``'cpu'`` or ``'cuda:0'``; ``None`` is any.

    Raises:
        UserError: If it cannot.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'device {device!r} cannot be used: '
                        f'{str(error).splitlines()[0]}') from None


def analyze_bad_cases(cfg: 'Config', args: argparse.Namespace) -> None:
    """Let MMPose's ``BadCaseAnalysisHook`` draw the worst samples.

    By loss, it measures squared distances in pixels, as is its default. The head's own
    loss is of heatmaps or the like, of which it knows nothing.

    Args:
        cfg (Config): Config of a test, changed in place.
        args (argparse.Namespace): What :func:`run_parser` gave.
    """
    hook = _hook(cfg, 'badcase', "type='BadCaseAnalysisHook', out_dir='badcase'")
    _draw(hook, args, show=args.show)
    if hook.get('metric_type', 'loss') == 'accuracy':
        hook.setdefault('metric', cfg.test_evaluator)


def _draw(hook: dict, args: argparse.Namespace, **changes) -> None:
    hook.update(enable=True, interval=args.interval, **changes)
    if args.show:
        hook.wait_time = args.wait_time


def _hook(cfg: 'Config', name: str, line: str) -> dict:
    hooks = cfg.get('default_hooks') or {}
    if name not in hooks:
        raise UserError(f'{cfg.filename} has no default_hooks.{name}. Add '
                        f'default_hooks = dict({name}=dict({line}))')
    return hooks[name]
