"""``python -m mmpose_wloss demo``: two small networks, trained and compared."""

import argparse
import time
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from tabulate import tabulate

from ..common.errors import MissingFile
from ..trainings import Training, run_trainings
from ..visualization import draw_curves, draw_predictions, predict
from . import render

CONFIGS = {'MSE': 'resnet18_mse_annypose.py', 'focal MSE': 'resnet18_fmse_annypose.py'}
# heading in the table by the metric's name
FIGURES = {'coco/AP': 'AP', 'coco/AP .5': 'AP50', 'coco/AP .75': 'AP75',
           'coco/AR': 'AR', 'PCK': 'PCK@0.1'}
REPORT = '''# Focal MSE beside MSE

Two networks, the same but for the loss, on the same images in the same order.
Figures on the validation set after the last epoch:

{table}

![AP over the epochs](ap.png) ![PCK over the epochs](pck.png)

Predictions beside the truth (annotated joints only):

![predictions](predictions.png)

Heatmaps, the highest of all joints at each pixel; rings mark the true joints:

![heatmaps](heatmaps.png)

One seed is a hint, no result: the figures over several seeds are in
`docs/heatmap_losses.md`. The configs:

{configs}
'''


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
    print(f'\n{table(trainings)}\n\nready after '
          f'{(time.monotonic() - start) / 60:.1f} minutes: {report}')
    return 0


def demo_configs() -> Path:
    """The folder of the demo's configs, of a checkout or as installed."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package / '.mim'):
        if (root / 'configs' / 'demo').is_dir():
            return root / 'configs' / 'demo'
    raise MissingFile(f'{package} has no configs/demo beside it, nor in .mim')


def one_of_each_class(dataset: BaseDataset, count: int) -> list[int]:
    """Indices of so many samples, one of each pose class in turn."""
    by_class = {}
    for index in range(len(dataset)):
        annotation = dataset.get_data_info(index)['raw_ann_info']
        by_class.setdefault(annotation.get('pose_class'), []).append(index)
    turns = max(map(len, by_class.values()))
    ordered = [indices[turn] for turn in range(turns)
               for indices in by_class.values() if turn < len(indices)]
    return ordered[:count]


def table(trainings: dict[str, Training]) -> str:
    """The figures after the last epoch, as Markdown."""
    last = {name: training.validations()[training.epochs]
            for name, training in trainings.items()}
    return tabulate([[name, *(figures[each] for each in FIGURES)]
                     for name, figures in last.items()],
                    ['loss', *FIGURES.values()], tablefmt='github', floatfmt='.3f')


def write_report(trainings: dict[str, Training], folder: Path) -> Path:
    """Draw curves, predictions and heatmaps, and write ``report.md``.

    Args:
        trainings (dict[str, Training]): Those that are done, by name.
        folder (Path): Where it goes.
    """
    for metric, file in (('coco/AP', 'ap.png'), ('PCK', 'pck.png')):
        draw_curves({
            name: [{epoch: figures[metric] for epoch, figures in
                    training.validations().items()}]
            for name, training in trainings.items()
        }, folder / file, f'Validation {FIGURES[metric]}', FIGURES[metric])
    init_default_scope('mmpose')
    config = next(iter(trainings.values())).config
    samples = one_of_each_class(DATASETS.build(config.test_dataloader.dataset), 8)
    predictions = {
        name: predict(training.config,
                      training.work_dir / f'epoch_{training.epochs}.pth',
                      samples) for name, training in trainings.items()}
    draw_predictions(predictions, folder / 'predictions.png')
    draw_predictions(predictions, folder / 'heatmaps.png', heatmaps=True)
    report = folder / 'report.md'
    report.write_text(REPORT.format(
        table=table(trainings),
        configs='\n'.join(f'- {name}: `{training.work_dir.name}/config.py`'
                          for name, training in trainings.items())))
    return report
