"""What unlabeled images bring, and what makes training with them collapse.

Trains a small network on the embedded data set with few labels, supervised and
by easy-hard consistency. Render it first:
python -m mmpose_wloss render dataset --out data/annypose
"""

from pathlib import Path

from mmpose_wloss.visualization import draw_curves

from study import ROOT, Study

UNLABELED = 800
SEEDS = {50: 2, 200: 1, 400: 1}
# of 64 pixels, as the defaults are of 192
BOXES = dict(half_size=[3, 6])
JOINTS = dict(BOXES, jitter=3.)
AFFINE = dict(type='HardAffine', rotate_factor=20., scale_factor=0.15)
CUTOUT = dict(type='JointCutout', **JOINTS)
OCCLUDE = dict(type='JointCutOcclude', **JOINTS)
PATHS = [
    [OCCLUDE, dict(type='Cutout', **BOXES), AFFINE],
    [CUTOUT, dict(type='CutMix', **BOXES), AFFINE],
    [CUTOUT, AFFINE],
    [OCCLUDE, AFFINE],
]
COMMON = {'bfloat16': True}


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
        labels, 'PoseCons', PATHS),
}


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
STUDY = Study(
    'semi_supervised',
    config='configs/demo/posedual_resnet18_annypose.py',
    configurations=with_labels(50, 200) | MORE | with_labels(400),
    seeds={f'{labels} labels, {method}': seeds
           for labels, seeds in SEEDS.items() for method in METHODS} |
    dict.fromkeys(MORE, 2),
    epochs=10,
    figures={
        'coco/AP': 'AP',
        'coco/AP .5': 'AP50',
        'PCK': 'PCK@0.1'
    },
    scalars=['first.peak_labeled', 'first.peak_unlabeled',
             'first.confident_unlabeled', 'first.loss_kpt'])


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
        [f'50 labels, {method}' for method in METHODS])
    draw_collapse(ROOT / 'docs' / 'images' / 'semi_supervised_collapse.png')
