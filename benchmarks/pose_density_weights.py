"""Whether weighting rare poses helps, and which weights do.

Trains the demo's network, with heatmaps and with DeepPose's regression, on the
embedded data set, whose pose classes have known shares, with no weights, those
of the original code ("the source's"), leave-one-out, leave-one-out and
tempered, and weights by the true class. Render the data first, the second with
more people to validate on:
python -m mmpose_wloss render dataset --out data/annypose
python -m mmpose_wloss render dataset --out data/annypose_balance --val 3000
"""

import dataclasses
import json

from mmpose_wloss.datasets import collect_poses, fit_pose_density

import numpy as np
from figures import draw_comparison
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from same_data import summary_of
from study import ROOT, Study
from tabulate import tabulate

FOLDER = 'work_dirs/pose_density_weights'
# of the densities; the tempered one's also bounds the bins
DENSITIES = {
    'source': dict(mode='source'),
    'leave-one-out': dict(alpha=1., clip=None, min_ess=0.),
    'tempered': {},
}
NETWORKS = {
    'heatmap': {
        'config': 'configs/demo/resnet18_wloss_annypose.py',
        'bfloat16': True,
        # its rows were measured without
        'model.train_cfg.compute_acc': False,
    },
    'DeepPose': {
        'config': 'configs/demo/deeppose_resnet18_wloss_annypose.py',
    },
}
CLASSES = ('standing', 'walking', 'sitting', 'reaching', 'lying', 'bending',
           'upside_down')
EPOCHS = 10
VALIDATION = 'data/annypose_balance/'
PLACE = 6  # of PoseDensityWeights in the pipeline


def file_of(weights: str) -> str:
    return f'{FOLDER}/{weights}.npz'


def options(network: str, weights: str | None) -> dict:
    return {
        **NETWORKS[network],
        f'train_dataloader.dataset.pipeline.{PLACE}.file':
        file_of(weights or 'tempered'),
        'default_hooks.pose_density.weighted': weights is not None,
        'train_cfg.val_interval': EPOCHS,
        'val_dataloader.dataset.data_root': VALIDATION,
        'val_evaluator': [
            dict(type='PoseRarityMetric', file=file_of('tempered'),
                 group_by='pose_class',
                 metric=[dict(type='PCKAccuracy', thr=0.1),
                         dict(type='CocoMetric')])
        ],
    }


WEIGHTS = {'no weights': None, "the source's": 'source',
           'leave-one-out': 'leave-one-out',
           'leave-one-out, tempered': 'tempered', 'oracle': 'oracle'}
STUDY = Study(
    'pose_density_weights',
    config='configs/demo/resnet18_wloss_annypose.py',
    configurations={f'{network}, {name}': options(network, weights)
                    for network in NETWORKS
                    for name, weights in WEIGHTS.items()},
    seeds=3,
    epochs=EPOCHS,
    figures={
        'error': 'error, all',
        'common/error': 'common half',
        'middle/error': 'middle',
        'rare/error': 'rare tenth',
        'slope': 'slope',
        'PCK': 'PCK@0.1',
        'coco/AP': 'AP',
    })


def write_densities() -> dict:
    """Write the weights' files, and say what they are like.

    Returns:
        dict: What rows come from: the densities, and the annotations that are
        validated on.
    """
    config = Config.fromfile(str(ROOT / STUDY.config))
    init_default_scope('mmpose')
    dataset = dict(config.train_dataloader.dataset, pipeline=[])
    poses = collect_poses(DATASETS.build(dataset))
    annotations = json.loads(STUDY.annotations.read_text())['annotations']
    class_of = {annotation['id']: annotation['pose_class']
                for annotation in annotations}
    classes = np.array([class_of[number] for number in poses.ids])
    artifacts = {name: fit_pose_density(poses, **density)
                 for name, density in DENSITIES.items()}
    shares = {name: np.mean(classes == name) for name in CLASSES}
    weights = np.array([1 / shares[name] for name in classes])
    artifacts['oracle'] = dataclasses.replace(
        artifacts['tempered'], weights=weights / weights.mean())
    rows = []
    for name, artifact in artifacts.items():
        artifact.save(str(ROOT / file_of(name)))
        rows.append([name, artifact.effective_sample_size,
                     artifact.weights.min(), artifact.weights.max(),
                     *(artifact.weights[classes == kind].mean()
                       for kind in CLASSES)])
    print(tabulate(
        [['share', '', '', '', *(shares[kind] for kind in CLASSES)], *rows],
        ['weights', 'effective sample size', 'min', 'max', *CLASSES],
        tablefmt='github', floatfmt='.3g'))
    validation = ROOT / VALIDATION / 'annotations/person_keypoints_val.json'
    # as JSON reads it
    return json.loads(json.dumps(dict(
        validation=summary_of(validation),
        **{name: dict(artifact.density.options,
                      effective_sample_size=round(
                          artifact.effective_sample_size, 4))
           for name, artifact in artifacts.items()})))


def table_by_class() -> str:
    """Mean error of each class, as Markdown."""
    lines = []
    for name, rows in STUDY.by_configuration().items():
        line = [name]
        for kind in CLASSES:
            values = [row['figures'][f'pose_class={kind}/error']
                      for row in rows]
            spread = (f' ± {np.std(values, ddof=1):.2f}'
                      if len(values) > 1 else '')
            line.append(f'{np.mean(values):.2f}{spread}')
        lines.append(line)
    return tabulate(lines, ['configuration', *CLASSES], tablefmt='github')


def draw(path: str) -> None:
    """Draw the errors of common and rare poses, a dot a seed."""
    rows = STUDY.by_configuration()
    draw_comparison(
        {network: {
            name: {label: [row['figures'][key] for row in rows[full]]
                   for key, label in (('common/error', 'common half'),
                                      ('error', 'all'),
                                      ('rare/error', 'rare tenth'))}
            for name in WEIGHTS
            if (full := f'{network}, {name}') in rows
        } for network in NETWORKS}, str(ROOT / path),
        'Error of a person with each kind of weights',
        "mean distance, % of the box's longer side")
    print(f'drawn: {path}')


if __name__ == '__main__':
    STUDY.inputs = write_densities()
    STUDY.main()
    if STUDY.by_configuration():
        print(table_by_class())
        draw('docs/images/pose_density_weights.png')
