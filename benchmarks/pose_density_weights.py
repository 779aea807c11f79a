"""Whether weighting rare poses helps, and which weights do, on real people.

Trains a pretrained network, with heatmaps and with DeepPose's regression, on
LSP-extended, the source's own data set, with no weights, those of the original code
("the source's"), and leave-one-out ones, as they are and tempered; with DenseWeight,
smoothed densities and balanced MSE; and with rare poses drawn more often instead. What
other data bring says how much there is to gain. Without data and weights it says how
to get them.
"""

import json

from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.datasets.poses import Poses
from mmpose_wloss.pose_density import PoseDensityArtifact

import numpy as np
from figures import draw_comparison
from heatmap_losses import COMMON, EPOCHS
from lspet import REFERENCES, exit_without
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from paired import difference
from same_data import summary_of
from study import ROOT, Study
from tabulate import tabulate

FOLDER = 'work_dirs/pose_density_weights'
DATASET = 'train_dataloader.dataset.dataset'
PLACE = 6  # of PoseDensityWeights in the pipeline
# of the densities; the tempered one's also bounds the bins
DENSITIES = {
    'source': dict(mode='source'),
    'leave-one-out': dict(alpha=1., clip=None, min_ess=0.),
    'tempered': {},
    'denseweight': dict(mode='denseweight'),
    'smoothed': dict(mode='smoothed'),
    'repeat factors': dict(mode='repeat_factor'),
    'effective numbers': dict(mode='effective_number'),
}
NETWORKS = {
    'heatmap': 'configs/lspet/efficientnet_lite0_wloss_lspet.py',
    'DeepPose': 'configs/lspet/deeppose_efficientnet_lite0_wloss_lspet.py',
}
WEIGHTS = {
    'no weights': {},
    "the source's": dict(weights='source'),
    'tempered': dict(weights='tempered'),
}
# of heatmaps alone
MORE_WEIGHTS = {
    **{name: dict(weights=name)
       for name in ('leave-one-out', 'smoothed', 'denseweight')},
    'tempered, second half': dict(weights='tempered', begin=EPOCHS // 2),
}
DRAWN = ('tempered', 'repeat factors', 'effective numbers')
BALANCED = {
    'DeepPose, balanced MSE': {},
    'DeepPose, balanced MSE, whole poses': {
        'model.head.loss.per_joint': False, 'model.head.loss.sigma': 0.2},
}


def file_of(weights: str) -> str:
    return f'{FOLDER}/{weights}.npz'


EVALUATION = {
    'train_cfg.val_interval': EPOCHS,
    'val_evaluator': [
        dict(type='PoseRarityMetric', file=file_of('tempered'),
             metric=[dict(type='LSPPCKAccuracy'),
                     dict(type='PCKAccuracy', thr=0.1)])
    ],
}


def options(network: str, weights: str | None = None, begin: int = 0) -> dict:
    return {
        **COMMON, **EVALUATION,
        'config': NETWORKS[network],
        f'{DATASET}.pipeline.{PLACE}.file': file_of(weights or 'tempered'),
        'default_hooks.pose_density.weighted': weights is not None,
        'default_hooks.pose_density.begin': begin,
    }


def drawn(network: str, weights: str) -> dict:
    """Rare poses more often, in place of weights in the loss."""
    return {**options(network), 'train_dataloader.sampler': dict(
        COMMON['train_dataloader.sampler'], type='PoseDensitySampler',
        file=file_of(weights))}


# what more data bring, and a network that sees rare poses alone; both without weights
# and with as many steps
FEWER, SPECIALIST = 'a third of the people', 'the rarer half alone'
SPECIALIST_DATA = {
    'config': 'configs/lspet/efficientnet_lite0_mse_lspet.py',
    f'{DATASET}.data_root': '',
    f'{DATASET}.ann_file': f'{FOLDER}/rarer_half.json',
    f'{DATASET}.data_prefix.img': 'data/lspet/images/',
}
CONFIGURATIONS = {
    **{f'{network}, {name}': options(network, **WEIGHTS[name])
       for network in NETWORKS for name in WEIGHTS},
    **{f'{network}, {FEWER}': {**options(network), 'labels': 2000}
       for network in NETWORKS},
    f'heatmap, {SPECIALIST}': {**COMMON, **EVALUATION, **SPECIALIST_DATA},
    **{f'{network}, drawn, tempered': drawn(network, 'tempered')
       for network in NETWORKS},
    **{f'heatmap, drawn, {name}': drawn('heatmap', name) for name in DRAWN[1:]},
    **{name: {**COMMON, **EVALUATION, **options, 'config':
              'configs/lspet/deeppose_efficientnet_lite0_balanced_lspet.py'}
       for name, options in BALANCED.items()},
    **{f'heatmap, {name}': options('heatmap', **weights)
       for name, weights in MORE_WEIGHTS.items()},
}
# their differences tell whom weights help, and who pays
OF_BINS = ('rare/PCK@0.2', 'rare/error', 'middle/error', 'common/error', 'slope')


def table_of_bins(study: Study) -> str:
    """Differences of the bins' figures, paired by seed, as Markdown."""
    rows, lines = study.by_configuration(), []
    for name, baseline in study.comparisons:
        if name in rows and baseline in rows:
            lines.append([name, baseline, *(str(difference(*(
                {row['seed']: row['figures'][key] for row in rows[each]}
                for each in (name, baseline)))) for key in OF_BINS)])
    return tabulate(lines, ['difference [95 %]', 'from',
                            *map(study.figures.get, OF_BINS)], tablefmt='github')


STUDY = Study(
    'pose_density_weights',
    config='configs/lspet/efficientnet_lite0_wloss_lspet.py',
    configurations=CONFIGURATIONS,
    seeds=3,
    epochs=EPOCHS,
    figures={
        'PCK@0.2': 'PCK@0.2',
        'common/PCK@0.2': 'PCK@0.2, common half',
        'middle/PCK@0.2': 'PCK@0.2, middle',
        'rare/PCK@0.2': 'PCK@0.2, rare tenth',
        'PCK': 'PCK@0.1 of the box',
        'error': 'error',
        'common/error': 'error, common half',
        'middle/error': 'error, middle',
        'rare/error': 'error, rare tenth',
        'slope': 'slope',
    },
    comparisons=[
        *((name, f'{name.partition(",")[0]}, no weights')
          for name in CONFIGURATIONS if not name.endswith('no weights')),
        # at equal strength
        *((f'{network}, drawn, tempered', f'{network}, tempered')
          for network in NETWORKS)],
    # what three times the people bring
    headrooms={f'{network}, ': (f'{network}, {FEWER}', f'{network}, no weights')
               for network in NETWORKS},
    tables=[table_of_bins],
    page='docs/pose_density.md')


# the embedded data set's rendered people: some lie, some stand on their hands
EMBEDDED_FILE = 'work_dirs/pose_density/annypose_train.npz'
EMBEDDED_EVALUATION = {'val_evaluator': [dict(
    type='PoseRarityMetric', file=EMBEDDED_FILE, metric=[
        dict(type='CocoMetric', ann_file='data/annypose/annotations/'
             'person_keypoints_val.json'), dict(type='PCKAccuracy', thr=0.1)])]}
EMBEDDED = Study(
    'pose_density_weights_annypose',
    config='configs/demo/resnet18_mse_annypose.py',
    configurations={
        name: {'config': f'configs/demo/resnet18_{config}_annypose.py',
               **EMBEDDED_EVALUATION}
        for name, config in {'no weights': 'mse', 'drawn, tempered': 'drawn',
                             'tempered': 'wloss'}.items()},
    seeds=3, epochs=12,
    figures={
        'error': 'error',
        'common/error': 'error, common half',
        'middle/error': 'error, middle',
        'rare/error': 'error, rare tenth',
        'slope': 'slope',
        'coco/AP': 'AP',
        'rare/PCK': 'PCK@0.1, rare tenth',
    },
    comparisons=[
        (name, baseline, figure) for name, baseline in (
            ('drawn, tempered', 'no weights'), ('tempered', 'no weights'),
            ('drawn, tempered', 'tempered'))
        for figure in ('error', 'common/error', 'rare/error', 'coco/AP')],
    page='docs/pose_density.md')


def write_embedded_density() -> dict:
    """Fit the demo's density; what rows come from."""
    config = Config.fromfile(str(ROOT / EMBEDDED.config))
    init_default_scope('mmpose')
    artifact = fit_pose_density(collect_poses(DATASETS.build(
        dict(config.train_dataloader.dataset, pipeline=[]))))
    artifact.save(str(ROOT / EMBEDDED_FILE))
    return json.loads(json.dumps(dict(
        artifact.density.options, effective_sample_size=round(
            artifact.effective_sample_size, 4))))


def write_densities() -> dict:
    """Write the files of the weights and of the rarer half; say what weights are like.

    Returns:
        dict: What rows come from: the densities, and the annotations that are
        validated on.
    """
    config = Config.fromfile(str(ROOT / STUDY.config))
    init_default_scope('mmpose')
    dataset = config.train_dataloader.dataset.dataset
    poses = collect_poses(DATASETS.build(dict(dataset, pipeline=[])))
    artifacts = {name: fit_pose_density(poses, **density)
                 for name, density in DENSITIES.items()}
    for name, artifact in artifacts.items():
        artifact.save(str(ROOT / file_of(name)))
    log_density = artifacts['tempered'].held_out
    print(table_of_weights(poses, artifacts, log_density))

    content = json.loads(STUDY.annotations.read_text())
    rarer = set(poses.ids[log_density < np.median(log_density)].tolist())
    content['annotations'] = [each for each in content['annotations']
                              if each['id'] in rarer]
    (ROOT / FOLDER / 'rarer_half.json').write_text(json.dumps(content))
    validation = config.val_dataloader.dataset.dataset
    # as JSON reads it
    return json.loads(json.dumps(dict(
        validation=summary_of(ROOT / validation.data_root / validation.ann_file),
        **{name: dict(artifact.density.options,
                      effective_sample_size=round(
                          artifact.effective_sample_size, 4))
           for name, artifact in artifacts.items()})))


def table_of_weights(poses: Poses, artifacts: dict[str, PoseDensityArtifact],
                     log_density: np.ndarray) -> str:
    """Mean weights of rare and common poses, and of whole and partial ones.

    Args:
        poses (Poses): The training poses.
        artifacts (dict): Their densities and weights, by name.
        log_density (np.ndarray): By which they are rare, in shape [N], without NaN.
    """
    rare, half = np.quantile(log_density, [0.1, 0.5])
    joints = poses.visible.sum(1)
    groups = {
        'common half': log_density >= half,
        'middle': (log_density >= rare) & (log_density < half),
        'rare tenth': log_density < rare,
        'all joints': joints == poses.visible.shape[1],
        'at most 10 joints': joints <= 10,
    }
    ranks = np.argsort(np.argsort(log_density))
    lines = []
    for name, artifact in artifacts.items():
        weights = artifact.weights / artifact.weights.mean()
        its_ranks = np.argsort(np.argsort(artifact.log_density))
        lines.append([name, *(f'{value:.2f}' for value in (
            artifact.effective_sample_size, weights.min(), weights.max(),
            *(weights[group].mean() for group in groups.values()),
            np.corrcoef(ranks, its_ranks)[0, 1]))])
    people = ['people', '', '', '', *(group.sum() for group in groups.values())]
    return tabulate(
        [people, *lines],
        ['mean weight', 'effective sample size', 'smallest', 'largest', *groups,
         'rank correlation with the density of the bins'],
        tablefmt='github', disable_numparse=True)


def draw(path: str) -> None:
    """Draw the errors of common and rare poses, a dot a seed."""
    rows = STUDY.by_configuration()
    draw_comparison(
        {network: {
            name: {label: [row['figures'][key] for row in rows[full]]
                   for key, label in (('common/error', 'common half'),
                                      ('error', 'all'),
                                      ('rare/error', 'rare tenth'))}
            for name in (*WEIGHTS, *MORE_WEIGHTS, 'balanced MSE',
                         'balanced MSE, whole poses',
                         *(f'drawn, {each}' for each in DRAWN), FEWER, SPECIALIST)
            if (full := f'{network}, {name}') in rows
        } for network in NETWORKS}, str(ROOT / path),
        'Error of a person with each kind of weights',
        "mean distance, % of the box's longer side")
    print(f'drawn: {path}')


if __name__ == '__main__':
    exit_without('lspet', 'weights', 'annypose')
    STUDY.inputs = write_densities()
    STUDY.main()
    print(f'\n{REFERENCES}\n')
    EMBEDDED.inputs = write_embedded_density()
    EMBEDDED.main()
    if STUDY.by_configuration():
        draw('docs/images/pose_density_weights.png')
