"""What the demo writes: figures, curves and predictions of two trainings."""

from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from tabulate import tabulate

from ..trainings import Training
from ..visualization import draw_curves, draw_predictions, predict

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


def figures_table(trainings: dict[str, Training]) -> str:
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
        table=figures_table(trainings),
        configs='\n'.join(f'- {name}: `{training.work_dir.name}/config.py`'
                          for name, training in trainings.items())))
    return report
