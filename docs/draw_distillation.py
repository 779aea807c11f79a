"""Draw docs/images/distillation_heatmaps.png.

It shows networks of the embedded data set, which are trained first where they are not
there. Before: python -m mmpose_wloss render dataset --out data/annypose
"""

from pathlib import Path

from mmpose_wloss.trainings import Training, run_trainings
from mmpose_wloss.visualization import draw_predictions, predict

from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs' / 'images' / 'distillation_heatmaps.png'


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


def demo(name: str, **options) -> Training:
    """A training of the embedded data set."""
    return Training(ROOT / 'configs' / 'demo' / f'{name}.py',
                    ROOT / 'work_dirs' / 'distillation_demo', **options)


def draw_heatmaps() -> None:
    """What the teacher and the students see in the same images."""
    teacher = demo('hourglass_s4_annypose')
    trainings = {
        'teacher': teacher,
        'student, labels': demo('hourglass_mobile_s2_annypose'),
        'student, distilled': demo(
            'hourglass_mobile_s2_fpd_annypose', after=teacher,
            checkpoint_key='model.teacher_checkpoint'),
    }
    run_trainings([each for each in trainings.values() if not each.done()])
    init_default_scope('mmpose')
    dataset = teacher.config.test_dataloader.dataset
    samples = one_of_each_class(DATASETS.build(dataset), 6)
    predictions = {
        name: predict(training.config, training.checkpoint()[1], samples)
        for name, training in trainings.items()}
    draw_predictions(predictions, PICTURE, heatmaps=True)
    print(f'drawn: {PICTURE.relative_to(ROOT)}')


if __name__ == '__main__':
    draw_heatmaps()
