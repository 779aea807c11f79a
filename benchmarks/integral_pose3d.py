"""How the balance of five losses, and depth that grows, decide on 3D poses.

Trains the demo's 3D network on the embedded data set, from a network that has
learned its 2D heatmaps: with each balancer, keeping every term's weight and
gradient norm over time; and with 16 bins of depth at once, and from 4 and 8
bins, whose volume layer is drawn anew (as the original code does) or
interpolated; and with what the original code does otherwise.
Render the data first: python -m mmpose_wloss render dataset --out data/annypose
"""

import json

from mmpose_wloss.models.heads.integral_pose3d_head import TERMS

import numpy as np
from figures import draw_comparison, draw_term_curves
from mmpose.evaluation.functional import keypoint_mpjpe
from study import ROOT, Study
from tabulate import tabulate

EPOCHS = 10
# so often the gradients' norms are measured, in iterations
INTERVAL = 5
START = '2D heatmaps alone'
HIPS = (11, 12)
FIGURES = {'MPJPE': 'MPJPE, mm', 'P-MPJPE': 'PA-MPJPE, mm'}


def from_2d(**options) -> dict:
    return {'after': START, 'optim_wrapper.optimizer.lr': 2e-3, **options}


def balanced(mode: str, kind: str, **arguments) -> dict:
    return from_2d(**{
        'model.head.mode': mode,
        'model.head.balancer': dict(
            type=kind, grad_norm_interval=INTERVAL, **arguments),
    })


def manual(*ratios: float) -> dict:
    return balanced('manual', 'ManualBalancer',
                    ratios=dict(zip(TERMS, ratios, strict=True)))


def stage(depth: int, after: str, growth: str) -> dict:
    return from_2d(epochs=EPOCHS // 2, **{
        'after': after,
        'model.head.depth_growth': growth,
        # a list, as JSON has it
        'model.head.decoder.heatmap_size': [32, 32, depth],
    })


BALANCERS = {
    'equal weights': manual(1., 1., 1., 1., 1.),
    # the original code's for 16 bins of depth
    'Manual 1 : 0.3 : 1': manual(1., 0.3, 1., 1., 1.),
    'Adaptive H1': balanced('H1', 'AdaptiveBalancer'),
    'Adaptive I1': balanced('I1', 'AdaptiveBalancer'),
    'GradNorm': balanced('I1', 'GradNormBalancer'),
    'Uncertainty': balanced('I1', 'UncertaintyBalancer',
                            log_variance='first_batch'),
}
DEPTHS = {
    '4 bins, H1': from_2d(epochs=EPOCHS // 2, **{
        'config': 'configs/demo/integral3d_h1_d4_annypose.py'}),
    '8 bins, after 4': stage(8, '4 bins, H1', 'random'),
    '16 bins, after 4 and 8': stage(16, '8 bins, after 4', 'random'),
    '16 bins at once': from_2d(epochs=3 * (EPOCHS // 2)),
    '8 bins, after 4, interpolated': stage(8, '4 bins, H1', 'interpolate'),
    '16 bins, after 4 and 8, interpolated': stage(
        16, '8 bins, after 4, interpolated', 'interpolate'),
}
NORMALIZED = {'model.head.integral_unit': 'normalized'}
OWN_SUM = {'model.head.threshold2d': 0.003}


def narrow(bins: int, nearest: bool = True) -> dict:
    return {'model.head.decoder.depth_sigma': bins / 6,
            'model.head.decoder.nearest_bin': nearest}


# each beside ours on one machine. A Gaussian of 5 bins is the original code's where
# there are 16 of depth, of 1 where there are 4
ORIGINAL = {
    'Adaptive I1, bins': BALANCERS['Adaptive I1'],
    'Adaptive I1, normalized': BALANCERS['Adaptive I1'] | NORMALIZED,
    'Manual 1 : 0.3 : 1, bins': BALANCERS['Manual 1 : 0.3 : 1'],
    'Manual 1 : 0.3 : 1, normalized':
    BALANCERS['Manual 1 : 0.3 : 1'] | NORMALIZED,
    'Adaptive I1, narrow depth': BALANCERS['Adaptive I1'] | narrow(5),
    'Adaptive I1, sum above 0.003': BALANCERS['Adaptive I1'] | OWN_SUM,
    # whose integral of the heatmaps weighs 0
    'Manual as the original': balanced(
        'manual', 'ManualBalancer', loss_weight=0.5,
        ratios=dict(zip(TERMS[:4], (1., 0.3, 1., 1.), strict=True))
    ) | NORMALIZED | narrow(5),
    '4 bins, H1, 1.5 bins wide': DEPTHS['4 bins, H1'],
    '4 bins, H1, narrow depth': DEPTHS['4 bins, H1'] | narrow(1),
    '4 bins, H1, narrow depth between bins':
    DEPTHS['4 bins, H1'] | narrow(1, nearest=False),
}
STUDY = Study(
    'integral_pose3d',
    config='configs/demo/integral3d_i1_d16_annypose.py',
    configurations={
        START: {'config': 'configs/demo/resnet18_mse_annypose.py',
                'epochs': 16},
        **BALANCERS, **DEPTHS, **ORIGINAL,
        'Dynamic task priority': balanced(
            'I1', 'DynamicTaskPriorityBalancer'),
    },
    seeds=2,
    epochs=EPOCHS,
    figures=FIGURES,
    scalars=[f'{figure}_{term}' for figure in ('weight', 'grad_norm', 'raw')
             for term in TERMS])


def relative(poses: np.ndarray) -> np.ndarray:
    return poses - poses[:, HIPS].mean(1, keepdims=True)


def poses_of(split: str) -> np.ndarray:
    """Poses of the embedded data set in camera space in mm."""
    file = STUDY.annotations.with_name(f'person_keypoints_{split}.json')
    annotations = json.loads(file.read_text())['annotations']
    return np.array([each['keypoints_3d'] for each in annotations])


def baselines() -> str:
    """What needs no network, as Markdown: how small an error has to be."""
    truth = poses_of('val')
    mean = relative(poses_of('train')).mean(0)
    depth = truth[:, HIPS, 2].mean(1)[:, None, None]
    rays = truth / truth[..., 2:]
    guesses = {
        'the mean pose for everybody': np.broadcast_to(mean, truth.shape),
        'the true place in the image, nobody has depth': rays * depth,
        'the true place in the image, depth of the mean pose':
        rays * (depth + mean[:, 2:]),
    }
    visible = np.ones(truth.shape[:2], bool)
    return tabulate(
        [[name, *(keypoint_mpjpe(relative(guess), relative(truth), visible, how)
                  for how in ('none', 'procrustes'))]
         for name, guess in guesses.items()],
        ['without a network', *FIGURES.values()], tablefmt='github',
        floatfmt='.1f')


def draw() -> None:
    """Draw errors, and every term's weight and gradient norm over time."""
    rows = STUDY.by_configuration()
    for part, file, title in (
            (BALANCERS, 'loss_balancers_study', 'with each balancer'),
            (DEPTHS, 'depth_growth', 'with depth that grows, and at once')):
        there = {name: rows[name] for name in part if name in rows}
        if there:
            draw_comparison(
                {label: {name: {'seed': [row['figures'][key]
                                         for row in of_one]}
                         for name, of_one in there.items()}
                 for key, label in FIGURES.items()},
                str(ROOT / f'docs/images/{file}.png'),
                f'Error of 3D poses {title}', 'mm')
    draw_term_curves(
        {name: [row['scalars'] for row in rows[name]] for name in BALANCERS
         if name in rows},
        {'weight': 'weight', 'grad_norm': 'gradient norm'}, TERMS,
        str(ROOT / 'docs/images/loss_balancers_terms.png'))
    print('drawn: docs/images/loss_balancers_study.png, '
          'loss_balancers_terms.png and depth_growth.png')


if __name__ == '__main__':
    STUDY.main()
    print(baselines())
    if set(STUDY.by_configuration()) & set(BALANCERS):
        draw()
