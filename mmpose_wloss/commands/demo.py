"""``python -m mmpose_wloss demo``: two small networks, trained and compared."""

import argparse
import time
from pathlib import Path

from .. import register_all_modules
from ..common.errors import MissingFile

CONFIGS = {'MSE': 'resnet18_mse_annypose.py', 'focal MSE': 'resnet18_fmse_annypose.py'}


def main(arguments: list[str] | None = None) -> int:
    """Train with MSE and with focal MSE, and write a report."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss demo', description='Train two small networks that '
        'differ in the loss alone, and compare them. Interrupted, the same '
        'command goes on from there.')
    parser.add_argument('--work-dir', default='work_dirs/demo',
                        help='where checkpoints, logs and the report go')
    parser.add_argument('--processes', type=int, default=2,
                        help='processes that render and train')
    args = parser.parse_args(arguments)

    register_all_modules()
    from ..apis.demo_report import figures_table, write_report
    from ..trainings import Training, run_trainings
    from . import render

    start = time.monotonic()
    folder = demo_configs()
    print('1/3 rendering 2,400 images (once; about 75 s on two cores, and a '
          'minute more to prepare the body model)')
    render.main(['dataset', '--workers', str(args.processes)])
    print('2/3 training with MSE and with focal MSE (about 5 minutes on two '
          'cores)')
    trainings = {name: Training(str(folder / config), args.work_dir)
                 for name, config in CONFIGS.items()}
    run_trainings([training for training in trainings.values()
                   if not training.done()], args.processes)
    print('3/3 drawing the report')
    report = write_report(trainings, Path(args.work_dir))
    print(f'\n{figures_table(trainings)}\n\nready after '
          f'{(time.monotonic() - start) / 60:.1f} minutes: {report}')
    return 0


def demo_configs() -> Path:
    """The folder of the demo's configs, of a checkout or as installed."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package / '.mim'):
        if (root / 'configs' / 'demo').is_dir():
            return root / 'configs' / 'demo'
    raise MissingFile(f'{package} has no configs/demo beside it, nor in .mim')
