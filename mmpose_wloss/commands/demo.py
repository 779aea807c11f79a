"""A comparison of configs that differ in little, with a report."""

from pathlib import Path

from mmengine.dataset import BaseDataset
from mmpose.registry import DATASETS
from mmpose.utils import register_all_modules
from tabulate import tabulate

from ..trainings import Training, run_trainings
from ..visualization import draw_curves, draw_heatmap_sheet, draw_predictions, predict

# heading in the table by the metric's name
FIGURES = {
    'coco/AP': 'AP',
    'coco/AP .5': 'AP50',
    'coco/AP .75': 'AP75',
    'coco/AR': 'AR',
    'PCK': 'PCK@0.1'
}
REPORT = '''# Focal MSE beside MSE

Two networks, the same but for the loss, on the same images in the same order.
Figures on the validation set after the last epoch; the curves show the epochs
before.

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


def one_of_each_class(dataset: BaseDataset, count: int) -> list:
    """Indices of samples, one of each pose class in turn."""
    by_class = {}
    for index in range(len(dataset)):
        annotation = dataset.get_data_info(index)['raw_ann_info']
        by_class.setdefault(annotation.get('pose_class'), []).append(index)
    turns = max(map(len, by_class.values()))
    ordered = [indices[turn] for turn in range(turns)
               for indices in by_class.values() if turn < len(indices)]
    return ordered[:count]


class Demo:
    """Configs trained side by side and compared.

    Args:
        configs (Dict[str, Path]): Path of each config, by name.
        work_dir (str): Where checkpoints, logs and the report go.
    """

    def __init__(self, configs: dict[str, Path], work_dir: str):
        self.work_dir = Path(work_dir)
        self.trainings = {
            name: Training(str(config), self.work_dir)
            for name, config in configs.items()
        }

    def train(self, processes: int) -> None:
        """Train what is not trained yet."""
        missing = [t for t in self.trainings.values() if not t.done()]
        if missing:
            run_trainings(missing, processes)

    def table(self) -> str:
        """The figures after the last epoch, as Markdown."""
        lines = []
        for name, training in self.trainings.items():
            figures = training.validations()[training.epochs]
            lines.append([name, *(figures[figure] for figure in FIGURES)])
        return tabulate(lines, ['loss', *FIGURES.values()],
                        tablefmt='github', floatfmt='.3f')

    def draw(self) -> None:
        """Draw curves, predictions and heatmaps."""
        for metric, label, file in (('coco/AP', 'AP', 'ap.png'),
                                    ('PCK', 'PCK@0.1', 'pck.png')):
            draw_curves({
                name: [{epoch: figures[metric] for epoch, figures in
                        training.validations().items()}]
                for name, training in self.trainings.items()
            }, self.work_dir / file, f'Validation {label}', label)
        register_all_modules()
        config = next(iter(self.trainings.values())).config
        samples = one_of_each_class(
            DATASETS.build(config.test_dataloader.dataset), 8)
        predictions = {
            name: predict(training.config,
                          training.work_dir / f'epoch_{training.epochs}.pth',
                          samples)
            for name, training in self.trainings.items()
        }
        draw_predictions(predictions, self.work_dir / 'predictions.png')
        draw_heatmap_sheet(predictions, self.work_dir / 'heatmaps.png')

    def write_report(self) -> Path:
        """Write ``report.md`` with its pictures.

        Returns:
            Path: The report.
        """
        self.draw()
        report = self.work_dir / 'report.md'
        report.write_text(REPORT.format(
            table=self.table(),
            configs='\n'.join(f'- {name}: `{training.work_dir.name}/config.py`'
                              for name, training in self.trainings.items())))
        return report
