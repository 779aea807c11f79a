"""Draw docs/images/distillation_heatmaps.png and distillation_alpha.png.

Needs the embedded data set and the study's trainings:
python benchmarks/distillation.py
"""

import sys
from pathlib import Path

from mmpose_wloss.apis.demo_report import one_of_each_class
from mmpose_wloss.visualization import draw_predictions, predict

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'benchmarks'))

from distillation import STUDENT, STUDY, TEACHER, UNLABELED  # noqa: E402
from figures import draw_comparison  # noqa: E402

IMAGES = ROOT / 'docs' / 'images'
SHOWN = {'teacher': TEACHER, 'student, labels': STUDENT,
         'student, distilled': 'distilled, alpha 0.5'}


def draw_heatmaps() -> None:
    """What the teacher and the students see in the same images."""
    init_default_scope('mmpose')
    trainings = {name: STUDY.training(row, 0) for name, row in SHOWN.items()}
    dataset = trainings['teacher'].config.test_dataloader.dataset
    samples = one_of_each_class(DATASETS.build(dataset), 6)
    predictions = {}
    for name, training in trainings.items():
        epoch, checkpoint = training.checkpoint()
        config = training.config
        if config.model.type == 'FastPoseDistiller':
            checkpoint = training.work_dir / 'student.pth'
            config = Config.fromfile(checkpoint.with_suffix('.py'))
        predictions[name] = predict(config, checkpoint, samples)
    draw_predictions(predictions, IMAGES / 'distillation_heatmaps.png',
                     heatmaps=True)


def draw_alphas() -> None:
    """AP of the student by alpha, a dot a seed."""
    rows = STUDY.by_configuration()
    names = {'0: labels alone': STUDENT}
    names.update({f'{alpha:g}': f'distilled, alpha {alpha:g}'
                  for alpha in (0.25, 0.5, 0.75)})
    names.update({'1: teacher alone': 'distilled, alpha 1',
                  '0.5, and images without labels': UNLABELED,
                  'the teacher itself': TEACHER})
    draw_comparison(
        {label: {text: {'seeds': [row['figures'][figure]
                                  for row in rows.get(name, ())]}
                 for text, name in names.items()}
         for figure, label in (('coco/AP', 'AP'), ('PCK', 'PCK@0.1'))},
        IMAGES / 'distillation_alpha.png',
        'A student of 100,000 parameters, by alpha', 'validation')


if __name__ == '__main__':
    draw_heatmaps()
    draw_alphas()
    print(f'drawn: {IMAGES / "distillation_heatmaps.png"}, '
          f'{IMAGES / "distillation_alpha.png"}')
