"""``python -m mmpose_wloss curriculum CONFIG…``: depth that grows in stages."""

import argparse

from .. import register_all_modules
from ..common.checks import whole
from ..common.files import check_config_path
from .arguments import KeyValues


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
    add('--cfg-options', nargs='+', action=KeyValues, default={},
        metavar='KEY=VALUE', help='keys to change in every config')
    args = parser.parse_args(arguments)
    whole(gpus=args.gpus, threads=args.threads)
    for config in args.configs:
        check_config_path(config)

    register_all_modules()
    from ..apis.growing_depth import depth_and_mode, make_stages, write_report
    from ..trainings import run_trainings

    stages = make_stages(args.configs, args.work_dir, args.cfg_options, args.gpus)
    for number, stage in enumerate(stages, start=1):
        state = 'done' if stage.done() else f'{stage.epochs} epochs'
        depth, mode = depth_and_mode(stage)
        print(f'{number}/{len(stages)} d2 {depth}, {mode}, {state}: '
              f'{stage.work_dir}')
    run_trainings([stage for stage in stages if not stage.done()],
                  processes=1, threads=args.threads)
    table = write_report(stages, args.work_dir)
    print(f'\n{table}\n\nwritten: {args.work_dir}/curriculum.md')
    return 0
