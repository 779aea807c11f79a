"""``python -m mmpose_wloss curriculum CONFIG…``: depth that grows in stages."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from tabulate import tabulate
from torch import nn

from ..common.configs import is_of_class
from ..common.errors import UserError
from ..common.files import write_whole
from ..common.state_dicts import check_fits
from ..preflight import check_components, check_config_path, check_files
from ..trainings import Training, run_trainings
from ..visualization.curves import draw_curves

FIGURES = {'MPJPE': 'MPJPE, mm', 'P-MPJPE': 'PA-MPJPE, mm'}
REPORT = '''# Growing depth

Each stage starts from the checkpoint of the one before. Figures are of the
stage's checkpoint, on the validation set.

{table}

![MPJPE over the epochs]({picture})
'''


def main(arguments: list[str] | None = None) -> int:
    """Train configs one after the other, each from the checkpoint before it.

    A stage that is done is not trained again; an interrupted one goes on. Where a
    config, an option or the annotations change, that stage and the later ones have
    other folders and are trained anew.
    """
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss curriculum', description='Train configs one after '
        'the other, each from the checkpoint before it.', epilog='Interrupted '
        'at any stage, the same command goes on from there.')
    add = parser.add_argument
    add('configs', nargs='+', metavar='config',
        help='configs with an IntegralPose3DHead, in order')
    add('--work-dir', default='work_dirs/curriculum',
        help='where the stages and the report go (default: %(default)s)')
    add('--gpus', type=int, default=1, help='processes that train a stage '
        'together, each with a GPU if there are any (default: 1)')
    add('--threads', type=int, default=1,
        help='threads of computation of each process (default: 1)')
    add('--cfg-options', nargs='+', action=DictAction, default={},
        metavar='KEY=VALUE', help='keys to change in every config')
    args = parser.parse_args(arguments)
    stages = make_stages(args.configs, args.work_dir, args.cfg_options, args.gpus)
    for number, stage in enumerate(stages, start=1):
        state = 'done' if stage.done() else f'{stage.epochs} epochs'
        depth, mode = _depth_and_mode(stage)
        print(f'{number}/{len(stages)} d2 {depth}, {mode}, {state}: '
              f'{stage.work_dir}')
    run_trainings([stage for stage in stages if not stage.done()],
                  processes=1, threads=args.threads)
    table = write_report(stages, args.work_dir)
    print(f'\n{table}\n\nwritten: {args.work_dir}/curriculum.md')
    return 0


def _depth_and_mode(stage: Training) -> tuple[int, str]:
    head = stage.config.model.head
    return head.decoder.heatmap_size[2], head.get('mode', 'I1')


def make_stages(configs: Sequence[str], work_dir: str,
                options: dict | None = None, processes: int = 1
                ) -> list[Training]:
    """Check configs and make the trainings of a curriculum.

    Args:
        configs (Sequence[str]): Paths of the configs, in order.
        work_dir, options, processes: As for each :class:`Training`.

    Raises:
        UserError: If a config cannot start from the one before, or if it
            names a file that is not there.
    """
    before, stages = None, []
    for number, path in enumerate(configs, start=1):
        check_config_path(path)
        config = Config.fromfile(path)
        config.merge_from_dict(dict(options or {}))
        head = (config.get('model') or {}).get('head') or {}
        if not is_of_class(head, 'IntegralPose3DHead'):
            raise UserError(f'{path}: model.head is {head.get("type")}, but the '
                            'stages of a curriculum have an IntegralPose3DHead')
        check_components(config)
        check_files(config, ['train', 'val'])
        with DefaultScope.overwrite_default_scope('mmpose'):
            model = MODELS.build(config.model)
        if before is not None:
            _check_pair(*before, model, path)
        before = model, path
        stages.append(Training(
            path, work_dir, options, f'{number}_{Path(path).stem}',
            after=stages[-1] if stages else None, processes=processes))
    return stages


def _check_pair(before: nn.Module, before_path: str, after: nn.Module,
                after_path: str) -> None:
    """Check that a model can start from the checkpoint of the one before."""
    old, new = (model.head.decoder.depth_size for model in (before, after))
    pair = f'{after_path} has d2 = {new}, and {before_path} before it d2 = {old}'
    if new < old:
        raise UserError(f'{pair}: depth must not shrink from stage to stage. '
                        'Give the configs in the order of their d2')
    if new > old and after.head.depth_growth is None:
        raise UserError(f"{pair}: set model.head.depth_growth to 'random' or "
                        f"'interpolate' in {after_path}")
    check_fits(_state_per_bin(before), _state_per_bin(after),
               f'the checkpoint of {before_path}',
               f'{after_path}, the stage after it, may differ in depth alone')


def _state_per_bin(model: nn.Module) -> dict:
    """What a stage takes over, with one bin of depth of the volume layer."""
    # balances are of a stage's own terms
    state = {key: value for key, value in model.state_dict().items()
             if not key.startswith('head.balancer.')}
    for key in ('head.volume_layer.weight', 'head.volume_layer.bias'):
        state[key] = state[key].unflatten(0, (-1, model.head.decoder.depth_size))[:, 0]
    return state


def write_report(stages: Sequence[Training], work_dir: str) -> str:
    """Write ``curriculum.md``, ``.json`` and ``.png``, and return the table."""
    rows, curves, before = [], {}, 0
    for number, stage in enumerate(stages, start=1):
        validations = stage.validations()
        best, checkpoint = stage.checkpoint()
        depth, mode = _depth_and_mode(stage)
        rows.append(dict(
            config=stage.config.filename, d2=depth, mode=mode,
            epochs=stage.epochs, epoch=best,
            **{name: validations[best].get(name) for name in FIGURES},
            checkpoint=str(checkpoint), starts_from=rows[-1]['checkpoint']
            if rows else stage.config.get('load_from')))
        curve = {before + epoch: figures['MPJPE']
                 for epoch, figures in validations.items() if 'MPJPE' in figures}
        if curve:
            curves[f'{number}: d2 {depth}, {mode}'] = [curve]
        before += stage.epochs
    report = Path(work_dir, 'curriculum.md')
    picture = report.with_suffix('.png')
    draw_curves(curves, str(picture), 'Validation MPJPE, stage by stage',
                'MPJPE, mm', 'epoch of all stages')
    headings = dict(d2='d2', mode='mode', epochs='epochs', epoch='checkpoint of '
                    'epoch', **FIGURES, checkpoint='checkpoint')
    table = tabulate(
        [[number, *(row[name] for name in headings)]
         for number, row in enumerate(rows, start=1)],
        ['stage', *headings.values()],
        tablefmt='github', floatfmt='.1f', missingval='-')
    write_whole(report.with_suffix('.json'), json.dumps(
        dict(format=1, stages=rows), indent=1) + '\n')
    write_whole(report, REPORT.format(table=table, picture=picture.name))
    return table
