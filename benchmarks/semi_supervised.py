"""What unlabeled images bring where labels are few, and what makes that collapse.

Trains a pretrained network on photos of LSP-extended with few labels, supervised and
by easy-hard consistency on all 6,000 images; and the demo's network on the embedded
data set: python -m mmpose_wloss render dataset --out data/annypose
"""

import json
import time
from pathlib import Path

from mmpose_wloss import register_all_modules
from mmpose_wloss.trainings import run_trainings
from mmpose_wloss.visualization import draw_curves

import numpy as np
import torch
from figures import draw_differences
from lspet import REFERENCES, exit_without
from mmengine.config import Config
from mmengine.runner import Runner
from study import ROOT, Study

AFFINE = dict(type='HardAffine')
SOFT = dict(AFFINE, rotate_factor=10., scale_factor=0.1)
FLIP = dict(type='HorizontalFlip')
SEEDS = 3
# the seed of a second network beside one of the same labels
SECOND = 100


def cutout(joints: int) -> dict:
    return dict(type='JointCutout', num_joints=joints)


def paths(joint_cutout: dict) -> list:
    """The four paths of MultiAugs."""
    occlude = dict(type='JointCutOcclude', num_joints=2)
    return [[occlude, dict(type='Cutout'), AFFINE],
            [joint_cutout, dict(type='CutMix'), AFFINE],
            [joint_cutout, AFFINE], [occlude, AFFINE]]


class PairedStudy(Study):
    """Tells networks from ensembles, and tests pairs of supervised networks as one.

    The options of such a pair have ``networks``, the configurations that it is of.
    """

    def pairs(self) -> list[str]:
        """The configurations that are tested, not trained."""
        return [name for name, options in self.configurations.items()
                if 'networks' in options]

    def missing(self) -> list[tuple[str, int]]:
        """Without the pairs."""
        return [row for row in super().missing() if row[0] not in self.pairs()]

    def run(self, minutes: float, processes: int) -> None:
        """Run the trainings, then test the pairs within the same time budget."""
        deadline = time.monotonic() + 60 * minutes
        super().run(minutes, processes)
        pairs = {
            (name, seed): [self.training(each, seed) for each
                           in self.configurations[name]['networks']]
            for name, seed in super().missing() if name in self.pairs()}
        # their rows may be there, but not their checkpoints on this machine
        run_trainings([training for pair in pairs.values() for training in pair
                       if not training.done()], processes, deadline=deadline)
        for (name, seed), pair in pairs.items():
            if all(training.done() for training in pair):
                self.add(dict(
                    configuration=name, options=self.configurations[name], seed=seed,
                    epochs=self.epochs, precision=self.precision(pair[0].config),
                    figures=self.test_pair(*(each.checkpoint()[1] for each in pair)),
                    curve={}, seconds=0.))

    def test_pair(self, first: Path, second: Path) -> dict[str, float]:
        """The figures of two networks and of the mean of their heatmaps."""
        register_all_modules()
        config = Config.fromfile(str(ROOT / self.config))
        config.work_dir = str(ROOT / 'work_dirs' / self.name / 'pair')
        runner = Runner.from_cfg(config)
        states = {name: torch.load(file, map_location='cpu')['state_dict']
                  for name, file in (('first', first), ('second', second))}
        runner.model.load_state_dict({
            f'networks.{name}.{key}': value for name, state in states.items()
            for key, value in state.items()})
        return runner.test()

    def figures_of(self, row: dict) -> dict[str, float]:
        """The means over networks under the plain names, the ensemble's, hardness."""
        figures = dict(row['figures'])
        networks = [name for name in ('first', 'second', 'third')
                    if f'{name}/PCK' in figures]
        if hardness := row.get('scalars', {}).get('first.hardness'):
            figures['hardness'] = hardness[max(hardness, key=int)]
        return figures | {
            key: np.mean([figures[f'{name}/{key}'] for name in networks])
            for key in self.figures if networks and f'first/{key}' in figures}


SUPERVISED = 'configs/lspet/supervised_efficientnet_lite0_lspet.py'
# as many images a step as with unlabeled ones
LARGER = {'train_dataloader.batch_size': 32}


def supervised(labels: int, people: int = 6000, **options) -> dict:
    return {'config': SUPERVISED, 'labels': labels,
            'train_dataloader.dataset.times': people // labels, **options}


def consistency(labels: int, kind: str, hard_views: list, **options) -> dict:
    return {'labels': labels, 'model.type': kind, 'model.hard_views': hard_views,
            **options}


def with_labels(labels: int, *methods: str) -> dict[str, dict]:
    """Configurations with so many labels: the baseline and these methods."""
    return {f'{labels} labels, {name}': options for name, options in {
        'supervised': supervised(labels),
        'PoseCons, 2 cutouts': consistency(labels, 'PoseCons', [cutout(2), AFFINE]),
        'PoseCons, affine': consistency(labels, 'PoseCons', [AFFINE]),
        'PoseDual, 2 cutouts': consistency(labels, 'PoseDual', [cutout(2), AFFINE]),
        'supervised, second': supervised(labels, seeds_from=SECOND),
        'supervised, two networks': dict(networks=[
            f'{labels} labels, supervised', f'{labels} labels, supervised, second']),
        'supervised, 32 images a step': supervised(labels, 2 * 6000, **LARGER),
        'PoseCons, 5 cutouts': consistency(labels, 'PoseCons', [cutout(5), AFFINE]),
        'PoseCons, RandAugment': consistency(
            labels, 'PoseCons', [dict(type='RandAugment'), AFFINE]),
        'PoseCons, 2 cutouts, and CCP': consistency(
            labels, 'PoseCons', [cutout(2), AFFINE],
            config='configs/lspet/posedual_efficientnet_lite0_ccp_lspet.py'),
        'MultiAugs': consistency(labels, 'PoseCons', paths(cutout(2))),
        'PoseTriple, 2 cutouts': consistency(
            labels, 'PoseTriple', [cutout(2), AFFINE],
            **{'model.confidence_threshold': 0.1}),
        'PoseCons, keypoint mask': consistency(
            labels, 'PoseCons', [dict(type='KeypointMask', num_joints=2), AFFINE]),
        'PoseCons, Keypoint-Mix': consistency(
            labels, 'PoseCons', [dict(type='KeypointMix'), AFFINE]),
        'PoseCons, 4 teacher views': consistency(
            labels, 'PoseCons', [cutout(2), AFFINE],
            **{'model.teacher_views': [[], [FLIP], [SOFT], [SOFT, FLIP]]}),
        'equal difficulty': consistency(
            labels, 'PoseCons', [AFFINE], **{'model.teacher_views': [AFFINE]}),
    }.items() if name == 'supervised' or name in methods}


LABELS = (300, 100, 1000)
# of all label counts
MAIN = ('PoseDual, 2 cutouts',)
# of the first one, in the order in which they are trained
ALL = ('PoseCons, 2 cutouts', 'PoseCons, affine', 'supervised, 32 images a step',
       'PoseDual, 2 cutouts', 'supervised, second', 'supervised, two networks',
       'PoseCons, 5 cutouts', 'PoseCons, RandAugment', 'PoseCons, 2 cutouts, and CCP',
       'MultiAugs', 'PoseTriple, 2 cutouts', 'PoseCons, keypoint mask',
       'PoseCons, Keypoint-Mix', 'PoseCons, 4 teacher views', 'equal difficulty')
UPPER = '6,000 labels, supervised'
UPPER_LARGER = f'{UPPER}, 32 images a step'


def all_labels(times: int, **options) -> dict:
    """All of them, in every seed."""
    return {'config': SUPERVISED, 'train_dataloader.dataset.times': times,
            'train_dataloader.dataset.dataset.dataset.indices': None, **options}


def deeppose(model: str, data: str) -> dict:
    """Options for regression in place of heatmaps, as in the config of DeepPose.

    Args:
        model, data (str): Where a config has the pose estimator and the labeled data.
    """
    source = Config.fromfile(str(
        ROOT / 'configs/lspet/deeppose_efficientnet_lite0_wloss_lspet.py')).to_dict()
    parts, label = source['model'], source['label']
    # rows are compared as JSON, which knows no tuples
    return json.loads(json.dumps({
        f'{model}.backbone.out_indices': parts['backbone']['out_indices'],
        f'{model}.neck': dict(parts['neck'], _delete_=True),
        f'{model}.head': dict(parts['head'], _delete_=True),
        f'{data}.pipeline.5.encoder': dict(label, _delete_=True)}))


DEEPPOSE = deeppose('model', 'train_dataloader.dataset.dataset.dataset')
REGRESSION = {
    'DeepPose, supervised': supervised(300, **DEEPPOSE),
    'DeepPose, 6,000 labels, supervised': all_labels(1, **DEEPPOSE),
    'DeepPose, PoseCons, affine': consistency(300, 'PoseCons', [AFFINE], **deeppose(
        'model.network', 'train_dataloader.dataset.datasets.0.dataset'))}
CONFIGURATIONS = {
    '300 labels, supervised': supervised(300),
    UPPER: all_labels(1),
    UPPER_LARGER: all_labels(2, **LARGER),
    **with_labels(300, *ALL[:3]),
    **with_labels(100, *MAIN), **with_labels(1000, *MAIN), **with_labels(300, *ALL),
    **REGRESSION}

COMPARISONS = [
    # by torsos, of those who show both ends of one, and by boxes, of all
    *((name, f'{name.partition(", ")[0]}, supervised', figure) for name, options
      in CONFIGURATIONS.items() if not name.endswith('supervised') and
      name not in REGRESSION and
      'networks' not in options and not options.get('seeds_from')
      for figure in ('PCK@0.2', 'PCK')),
    # the same number of images in each step, of networks, of boxes
    ('300 labels, PoseCons, 2 cutouts', '300 labels, supervised, 32 images a step'),
    ('300 labels, PoseDual, 2 cutouts', '300 labels, supervised, two networks',
     'ensemble/PCK@0.2'),
    ('300 labels, PoseDual, 2 cutouts', '300 labels, PoseCons, 2 cutouts'),
    ('300 labels, PoseDual, 2 cutouts', '300 labels, PoseCons, 2 cutouts', 'PCK'),
    ('300 labels, PoseCons, 2 cutouts', '300 labels, PoseCons, affine'),
    ('300 labels, PoseCons, 2 cutouts', '300 labels, PoseCons, 5 cutouts'),
    ('300 labels, PoseCons, 2 cutouts, and CCP', '300 labels, PoseCons, 2 cutouts'),
    ('300 labels, PoseCons, 2 cutouts, and CCP', '300 labels, PoseCons, 2 cutouts',
     'PCK'),
    *((f'300 labels, {method}', '300 labels, PoseCons, affine', 'PCK')
      for method in ('PoseCons, RandAugment', 'MultiAugs')),
    ('300 labels, PoseTriple, 2 cutouts', '300 labels, PoseDual, 2 cutouts'),
    *((f'300 labels, PoseCons, {step}', '300 labels, PoseCons, 2 cutouts')
      for step in ('keypoint mask', 'Keypoint-Mix', '4 teacher views')),
    *(('DeepPose, PoseCons, affine', 'DeepPose, supervised', figure)
      for figure in ('PCK@0.2', 'PCK')),
]
STUDY = PairedStudy(
    'semi_supervised',
    config='configs/lspet/posedual_efficientnet_lite0_lspet.py',
    configurations=CONFIGURATIONS, seeds=SEEDS, epochs=3,
    figures={
        'PCK@0.2': 'PCK@0.2, a network',
        'ensemble/PCK@0.2': 'PCK@0.2, ensemble',
        'PCK': 'PCK@0.1 of the box, a network',
        'hardness': 'hardness'
    },
    scalars=['first.peak_labeled', 'first.peak_unlabeled',
             'first.confident_unlabeled', 'first.loss_kpt', 'first.hardness'],
    comparisons=COMPARISONS,
    headrooms={
        **{f'{labels} labels': (f'{labels} labels, supervised', UPPER_LARGER)
           for labels in LABELS},
        'DeepPose': ('DeepPose, supervised', 'DeepPose, 6,000 labels, supervised')},
    page='docs/semi_supervised.md')


# the embedded data set's rendered people, 50 of them labeled
def embedded(kind: str, hard_views: list, **options) -> dict:
    return {
        'model.type': kind, 'model.hard_views': hard_views,
        'model.channels_last': True,
        'train_dataloader.dataset.datasets.0.indices': 50,
        'train_dataloader.dataset.datasets.1.indices': 800, **options}


def embedded_supervised(labels: int) -> dict:
    return {'config': 'configs/demo/supervised_resnet18_annypose.py',
            'train_dataloader.dataset.times': 800 // labels,
            'train_dataloader.dataset.dataset.indices': labels,
            'model.train_cfg.compute_acc': False}


EMBEDDED_AFFINE = dict(AFFINE, rotate_factor=20., scale_factor=0.15)
CUTOUT = dict(type='JointCutout')
EMBEDDED = PairedStudy(
    'semi_supervised_annypose',
    config='configs/demo/posedual_resnet18_annypose.py',
    configurations={
        'supervised': embedded_supervised(50),
        '800 labels, supervised': embedded_supervised(800),
        'PoseCons, joint cutout': embedded('PoseCons', [CUTOUT, EMBEDDED_AFFINE]),
        'PoseCons, affine': embedded('PoseCons', [EMBEDDED_AFFINE]),
        'PoseDual, joint cutout': embedded('PoseDual', [CUTOUT, EMBEDDED_AFFINE]),
    },
    seeds=SEEDS, epochs=30,
    figures={
        'coco/AP': 'AP, a network',
        'ensemble/coco/AP': 'AP, ensemble',
        'PCK': 'PCK@0.1, a network',
        'hardness': 'hardness'
    },
    scalars=STUDY.scalars,
    comparisons=[(f'Pose{name}', 'supervised') for name in (
        'Cons, joint cutout', 'Cons, affine', 'Dual, joint cutout')],
    headrooms={'': ('supervised', '800 labels, supervised')},
    page='docs/semi_supervised.md')


def draw_collapse(path: Path) -> None:
    """Scores of joints over time: on labeled and on unlabeled images."""
    rows = STUDY.by_configuration()
    curves = {
        f'{method}: {part} images': [
            {int(epoch): value for epoch, value in
             row['scalars'][f'first.peak_{part}'].items()}
            for row in rows[f'300 labels, {method}']]
        for method in ('equal difficulty', 'PoseCons, affine')
        for part in ('labeled', 'unlabeled')
        if f'300 labels, {method}' in rows}
    if curves:
        draw_curves(curves, str(path), 'The collapse, with 300 labels',
                    "mean score of the network's joints")
        print(f'drawn: {path.relative_to(ROOT)}')


if __name__ == '__main__':
    exit_without('lspet', 'ccp', 'weights', 'annypose')
    STUDY.main()
    print(f'\n{REFERENCES}\n')
    draw_differences(STUDY.differences(), ROOT / 'docs/images/semi_supervised.png',
                     'Photos of LSP-extended, few labels')
    draw_collapse(ROOT / 'docs/images/semi_supervised_collapse.png')
    EMBEDDED.main()
