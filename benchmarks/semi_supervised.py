"""What unlabeled images bring, and what makes training with them collapse.

Trains a small network on the embedded data set with few labels, supervised and
by easy-hard consistency. Render it first:
python -m mmpose_wloss render dataset --out data/annypose
"""

from pathlib import Path

from mmpose_wloss import register_all_modules
from mmpose_wloss.visualization import draw_curves

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from study import ROOT, Study

UNLABELED = 800
SEEDS = {50: 2, 200: 1, 400: 1}
AFFINE = dict(type='HardAffine', rotate_factor=20., scale_factor=0.15)
CUTOUT = dict(type='JointCutout')
# they hide twice as much of a person: pixels of 64 as the original's are of 192
LARGER = dict(half_size=[3, 6])
LARGER_CUTOUT = dict(CUTOUT, **LARGER, jitter=3., num_joints=5)
COMMON = {'bfloat16': True}
# the first seed of the supervised pairs, and how many there are
PAIRED, PAIRS = 2, 2


def supervised(labels: int, unlabeled: int = UNLABELED) -> dict:
    return {
        'config': 'configs/demo/supervised_resnet18_annypose.py',
        'train_dataloader.dataset.times': unlabeled // labels,
        'train_dataloader.dataset.dataset.indices': labels,
        # its rows were measured without
        'model.train_cfg.compute_acc': False,
        **COMMON
    }


def consistency(labels: int, kind: str, hard_views: list,
                unlabeled: int = UNLABELED, **model) -> dict:
    return {
        'model.type': kind,
        'model.hard_views': hard_views,
        'model.channels_last': True,
        'train_dataloader.dataset.datasets.0.indices': labels,
        'train_dataloader.dataset.datasets.1.indices': unlabeled,
        **{f'model.{key}': value for key, value in model.items()},
        **COMMON
    }


def paths(cutout: dict, boxes: dict, **holes: int) -> list:
    """The four paths of MultiAugs."""
    occlude = dict(cutout, type='JointCutOcclude', num_joints=2)
    return [[occlude, dict(type='Cutout', **boxes, **holes), AFFINE],
            [cutout, dict(type='CutMix', **boxes), AFFINE],
            [cutout, AFFINE], [occlude, AFFINE]]


METHODS = {
    'supervised': supervised,
    'equal difficulty': lambda labels: consistency(
        labels, 'PoseCons', [AFFINE], teacher_views=[AFFINE]),
    'PoseCons, affine': lambda labels: consistency(
        labels, 'PoseCons', [AFFINE]),
    'PoseCons, joint cutout': lambda labels: consistency(
        labels, 'PoseCons', [CUTOUT, AFFINE]),
    'PoseDual, affine': lambda labels: consistency(
        labels, 'PoseDual', [AFFINE]),
    'PoseDual, RandAugment': lambda labels: consistency(
        labels, 'PoseDual', [dict(type='RandAugment', cutout_side=27.), AFFINE]),
    'PoseDual, joint cutout': lambda labels: consistency(
        labels, 'PoseDual', [CUTOUT, AFFINE]),
    'MultiAugs, one network': lambda labels: consistency(
        labels, 'PoseCons', paths(CUTOUT, {})),
}
LARGER_BOXES = {
    'PoseCons, joint cutout, larger boxes': lambda labels: consistency(
        labels, 'PoseCons', [LARGER_CUTOUT, AFFINE]),
    'PoseDual, joint cutout, larger boxes': lambda labels: consistency(
        labels, 'PoseDual', [LARGER_CUTOUT, AFFINE]),
    'MultiAugs, one network, larger boxes': lambda labels: consistency(
        labels, 'PoseCons', paths(LARGER_CUTOUT, LARGER, num_holes=4)),
}
METHODS |= LARGER_BOXES
PAIR = '50 labels, supervised, two networks'


def with_labels(*counts: int) -> dict[str, dict]:
    """The configurations of all methods with so many labels."""
    return {f'{labels} labels, {method}': options(labels)
            for labels in counts for method, options in METHODS.items()}


# the same with half as many unlabeled people again, and so half as many steps
# again
MORE = {
    '50 labels, 1,200 unlabeled, supervised': supervised(50, 1200),
    '50 labels, 1,200 unlabeled, PoseCons, affine': consistency(
        50, 'PoseCons', [AFFINE], 1200),
    '50 labels, 1,200 unlabeled, PoseDual, affine': consistency(
        50, 'PoseDual', [AFFINE], 1200),
}

# three times as long, and what labels for all of them would bring: only then do
# labels limit what is learned, and not steps
LONG = {
    '50 labels, 30 epochs, supervised': dict(supervised(50), epochs=30),
    '50 labels, 30 epochs, PoseCons, affine': dict(
        consistency(50, 'PoseCons', [AFFINE]), epochs=30),
    '50 labels, 30 epochs, PoseCons, joint cutout': dict(
        consistency(50, 'PoseCons', [CUTOUT, AFFINE]), epochs=30),
    '50 labels, 30 epochs, PoseDual, joint cutout': dict(
        consistency(50, 'PoseDual', [CUTOUT, AFFINE]), epochs=30),
    '800 labels, supervised': supervised(800),
    '800 labels, 30 epochs, supervised': dict(supervised(800), epochs=30),
}


class PairedStudy(Study):
    """Tells networks from ensembles, and tests pairs of supervised networks as one."""

    ordinate = "AP of what is predicted, PoseDual's ensemble"

    def missing(self) -> list[tuple[str, int]]:
        """Without the pairs, which are tested, not trained."""
        return [row for row in super().missing() if row[0] != PAIR]

    def run(self, minutes: float, processes: int) -> None:
        """Run the trainings, then test the pairs of those that are on this machine."""
        super().run(minutes, processes)
        options = self.configurations[PAIR]
        for _, seed in set(super().missing()) - set(self.missing()):
            pair = [self.training(options['networks'], PAIRED + 2 * seed + i)
                    for i in range(2)]
            if all(training.done() for training in pair):
                self.add(dict(
                    configuration=PAIR, options=options, seed=seed,
                    epochs=self.epochs, precision=self.precision(
                        self.configurations[options['networks']]),
                    figures=test_pair(*(each.checkpoint()[1] for each in pair)),
                    curve={}))

    def figures_of(self, row: dict) -> dict[str, float]:
        """The means over networks under the plain names, the ensemble's, hardness."""
        figures = dict(row['figures'])
        networks = [name for name in ('first', 'second') if f'{name}/PCK' in figures]
        if hardness := row.get('scalars', {}).get('first.hardness'):
            figures['hardness'] = hardness[max(hardness, key=int)]
        return figures | {
            key: np.mean([figures[f'{name}/{key}'] for name in networks])
            for key in self.figures if networks and f'first/{key}' in figures}


def test_pair(first: Path, second: Path) -> dict[str, float]:
    """The figures of two networks and of the mean of their heatmaps."""
    register_all_modules()
    config = Config.fromfile(str(ROOT / STUDY.config))
    config.work_dir = str(ROOT / 'work_dirs' / STUDY.name / 'pair')
    runner = Runner.from_cfg(config)
    states = {name: torch.load(file, map_location='cpu')['state_dict']
              for name, file in (('first', first), ('second', second))}
    runner.model.load_state_dict({
        f'networks.{name}.{key}': value for name, state in states.items()
        for key, value in state.items()})
    return runner.test()


STUDY = PairedStudy(
    'semi_supervised',
    config='configs/demo/posedual_resnet18_annypose.py',
    configurations=with_labels(50) | {
        PAIR: dict(networks='50 labels, supervised')} |
    LONG | with_labels(200) | MORE | with_labels(400),
    seeds={f'{labels} labels, {method}': seeds
           for labels, seeds in SEEDS.items() for method in METHODS} |
    dict.fromkeys([*MORE, *LONG], 2) | {
        PAIR: PAIRS, '50 labels, supervised': PAIRED + 2 * PAIRS},
    epochs=10,
    figures={
        'coco/AP': 'AP, a network',
        'ensemble/coco/AP': 'AP, ensemble',
        'coco/AP .5': 'AP50, a network',
        'PCK': 'PCK@0.1, a network',
        'hardness': 'hardness'
    },
    scalars=['first.peak_labeled', 'first.peak_unlabeled',
             'first.confident_unlabeled', 'first.loss_kpt', 'first.hardness'])


def draw_collapse(path: Path) -> None:
    """Scores of joints over time: on labeled and on unlabeled images."""
    rows = STUDY.by_configuration()
    curves = {}
    for method in ('equal difficulty', 'PoseCons, joint cutout'):
        for part, name in (('labeled', 'labeled'), ('unlabeled', 'unlabeled')):
            of_method = rows.get(f'50 labels, {method}')
            if of_method:
                curves[f'{method}: {name} images'] = [
                    {int(epoch): value for epoch, value in
                     row['scalars'][f'first.peak_{part}'].items()}
                    for row in of_method]
    if curves:
        draw_curves(curves, str(path), 'The collapse, with 50 labels',
                    "mean score of the network's joints")
        print(f'drawn: {path.relative_to(ROOT)}')


if __name__ == '__main__':
    STUDY.main(
        'docs/images/semi_supervised.png',
        'Validation AP with 50 labels and 800 unlabeled people',
        [f'50 labels, {method}' for method in METHODS if method not in LARGER_BOXES])
    draw_collapse(ROOT / 'docs' / 'images' / 'semi_supervised_collapse.png')
