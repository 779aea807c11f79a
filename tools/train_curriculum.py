"""Train configs one after the other, each from the checkpoint before it."""

import argparse
import sys

from mmpose_wloss.commands.curriculum import Curriculum
from mmpose_wloss.preflight import MissingFile
from mmpose_wloss.trainings import TrainingFailed

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='Interrupted at any stage, the same '
        'command goes on from there.')
    parser.add_argument('configs', nargs='+', metavar='config',
                        help='configs with an IntegralPose3DHead, in order')
    parser.add_argument('--work-dir', default='work_dirs/curriculum',
                        help='where the stages and the report go (default: '
                        '%(default)s)')
    parser.add_argument('--gpus', type=int, default=1,
                        help='processes that train a stage together, each '
                        'with a GPU if there are any (default: 1)')
    parser.add_argument('--threads', type=int, default=1,
                        help='threads of computation of each process '
                        '(default: 1)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        metavar='KEY=VALUE',
                        help='keys to change in every config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    curriculum = Curriculum(
        args.configs, args.work_dir, args.cfg_options, args.gpus)
    for number, stage in enumerate(curriculum.stages, start=1):
        state = 'done' if stage.done() else f'{stage.epochs} epochs'
        print(f'{number}/{len(curriculum.stages)} {stage.title}, {state}: '
              f'{stage.work_dir}')
    curriculum.train(args.threads)
    report = curriculum.write_report()
    print(f'\n{curriculum.table()}\n\nwritten: {report}')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('\nInterrupted; the same command goes on from here.')
    except (MissingFile, TrainingFailed, ValueError, OSError) as error:
        sys.exit(f'error: {error}')
