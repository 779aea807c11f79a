"""Train two small networks that differ in the loss alone, and compare them."""

import argparse
import sys
import time
from pathlib import Path

from mmpose_wloss.commands.demo import Demo
from mmpose_wloss.trainings import TrainingFailed

from annypose import (
    MissingAnnyError,
    RenderInterrupted,
    RenderParameters,
    render_dataset,
)

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'demo'
DATA = 'data/annypose'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo',
                        help='where checkpoints, logs and the report go')
    parser.add_argument('--processes', type=int, default=2,
                        help='processes that render and train')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    print('1/3 rendering 2,400 images (once; about 75 s on two cores, and a '
          'minute more to prepare the body model)')
    render_dataset(DATA, dict(train=2000, val=400, unlabeled=0),
                   RenderParameters(), args.processes)
    print('2/3 training with MSE and with focal MSE (about 5 minutes on two '
          'cores)')
    demo = Demo({
        'MSE': CONFIGS / 'resnet18_mse_annypose.py',
        'focal MSE': CONFIGS / 'resnet18_fmse_annypose.py'
    }, args.work_dir)
    demo.train(args.processes)
    print('3/3 drawing the report')
    report = demo.write_report()
    print(f'\n{demo.table()}\n\nready after '
          f'{(time.monotonic() - start) / 60:.1f} minutes: {report}')


if __name__ == '__main__':
    try:
        main()
    except (KeyboardInterrupt, RenderInterrupted):
        sys.exit('\nInterrupted; the same command goes on from here.')
    except (MissingAnnyError, TrainingFailed, ValueError, OSError) as error:
        sys.exit(f'error: {error}')
