"""A curriculum of 3D networks: each stage starts from the one before."""

import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from tabulate import tabulate
from torch import nn

from ..common.configs import change_config, is_of_class
from ..common.errors import UserError
from ..common.files import check_config_path, write_whole
from ..common.state_dicts import check_fits
from ..preflight import check_components, check_files
from ..trainings import Training
from ..visualization.curves import draw_curves

FIGURES = {'MPJPE': 'MPJPE, mm', 'P-MPJPE': 'PA-MPJPE, mm'}
REPORT = '''# Growing depth

Each stage starts from the checkpoint of the one before. Figures are of the
stage's checkpoint, on the validation set.

{table}

![MPJPE over the epochs]({picture})
'''


def depth_and_mode(stage: Training) -> tuple[int, str]:
    """Bins of depth of a stage's volume, and its pose is read by which integral."""
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
        change_config(config, options)
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
        depth, mode = depth_and_mode(stage)
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
